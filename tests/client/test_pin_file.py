"""Pins on disk: whole, private, shared by processes without loss, never begun anew unasked, and telling nothing."""

import copy
import errno
import os
import signal
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from hushtag.cli.failures import describe
from hushtag.client import (
    ExposedFileError,
    NewObject,
    PinFile,
    PinsNotWrittenError,
    PinStoreError,
    StoredNotPinnedError,
    VaultRolledBackError,
)
from hushtag.client.pinning import PinnedVault
from hushtag.head import VaultHead
from hushtag.phrase import draw_phrase
from hushtag.pins import HEADS, OBJECTS, HeadPin
from hushtag.types import DataKey, PinKey
from hushtag.unlock import OpenVault
from tests.client.fake_server import FakeServer
from tests.client.support import EMAIL, PASSWORD, PHRASE, Connect

Shape = type(HEADS)


def opened(number: int, phrase: int = 0, rotation: int = 0) -> OpenVault:
    """The same vault for the same number, by one of its phrases, under one of its data keys."""
    data_key = DataKey(bytes([number, rotation]) * 16)
    return OpenVault(UUID(int=number), uuid4(), data_key, VaultHead.first(), PinKey(bytes([number, phrase]) * 16))


def head(generation: int) -> VaultHead:
    return VaultHead(generation, 1, 1, bytes(32))


@pytest.fixture
def pins(tmp_path: Path) -> PinFile:
    return PinFile(tmp_path / "state" / "hushtag")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_pinned_comes_back_to_another_process(pins: PinFile) -> None:
    assert PinnedVault(pins, opened(1)).newest() is None
    PinnedVault(pins, opened(1)).keep(head(7))
    PinnedVault(pins, opened(1)).keep_rows(head(7), {UUID(int=5): (3, bytes(32))})
    again = PinnedVault(PinFile(pins.directory), opened(1))
    found, rows = again.newest(), again.rows()
    assert found is not None
    assert rows is not None
    assert (found.generation, rows.generation, rows.rows) == (7, 7, {UUID(int=5): (3, bytes(8))})
    assert PinnedVault(pins, opened(2)).newest() is None


def test_only_the_owner_can_read_it_whatever_the_umask(pins: PinFile) -> None:
    before = os.umask(0)
    try:
        pins.renew()
    finally:
        os.umask(before)
    assert mode(pins.directory) == 0o700
    assert {path.name: mode(path) for path in pins.directory.iterdir()} == {
        "pins": 0o600,
        "pins-objects": 0o600,
        "pins.lock": 0o600,
    }
    (pins.directory / "pins").chmod(0o640)
    with pytest.raises(ExposedFileError, match="chmod 600") as refused:  # it is whole: nothing is to be given up
        pins.read(HEADS)
    assert not isinstance(refused.value, PinStoreError)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "first bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "a slot's bit": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "digest": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("shape", [HEADS, OBJECTS], ids=["heads", "objects"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_and_left_alone(pins: PinFile, shape: Shape, damage: str) -> None:
    pins.renew()
    path = pins._path(shape)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    broken = path.read_bytes()
    with pytest.raises(PinStoreError):
        pins.read(shape)
    with pytest.raises(PinStoreError):
        pins.change(shape, lambda page: bytes(len(page)))
    pins.renew()  # a command that needs no pins goes on, and repairs nothing
    if len(broken) <= shape.length + 48:
        assert path.read_bytes() == broken


@pytest.mark.parametrize("shape", [HEADS, OBJECTS], ids=["heads", "objects"])
def test_a_lost_file_is_not_begun_anew_unasked(pins: PinFile, shape: Shape) -> None:
    PinnedVault(pins, opened(1)).keep(head(7))
    pins._path(shape).unlink()
    pins.renew()
    assert not pins._path(shape).exists()
    with pytest.raises(PinStoreError, match="gone"):
        pins.read(shape)
    with pytest.raises(PinStoreError, match="gone"):
        PinnedVault(pins, opened(1)).keep_rows(head(8), {}) if shape is OBJECTS else PinnedVault(pins, opened(1)).keep(
            head(8)
        )
    pins.reset()
    assert PinnedVault(pins, opened(1)).newest() is None


def test_a_full_disk_is_said_and_leaves_the_old_pins(pins: PinFile, monkeypatch: pytest.MonkeyPatch) -> None:
    PinnedVault(pins, opened(1)).keep(head(7))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PinStoreError, match="No space"):
        PinnedVault(pins, opened(1)).keep(head(8))
    monkeypatch.undo()
    found = PinnedVault(pins, opened(1)).newest()
    assert found is not None
    assert found.generation == 7
    assert not list(pins.directory.glob("*.tmp"))


_START = """
import os, pathlib, signal, sys
from hushtag.client import PinFile
from hushtag.client.pinning import PinnedVault
from tests.client.test_pin_file import head, opened
pins = PinFile(pathlib.Path(sys.argv[1]))
"""
_WRITER = (
    _START
    + """
for number in range(2, 14):
    for vault in (1, int(sys.argv[2])):
        PinnedVault(pins, opened(vault)).keep(head(number))
"""
)
_KILLED = (
    _START
    + """
count = 0
def dying(call):
    def run(*arguments):
        global count
        count += 1
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)
    return run
os.fsync, os.open, os.close = dying(os.fsync), dying(os.open), dying(os.close)
pathlib.Path.replace = dying(pathlib.Path.replace)
PinnedVault(pins, opened(1)).keep(head(8))
"""
)


def run(script: str, *arguments: object) -> "subprocess.Popen[bytes]":
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})


def test_processes_that_pin_at_once_lose_nothing(pins: PinFile) -> None:
    """Both pin one vault, and each one of its own, on the same pages."""
    writers = [run(_WRITER, pins.directory, number) for number in (2, 3)]
    assert [writer.wait(100) for writer in writers] == [0, 0]
    for number in (1, 2, 3):
        found = PinnedVault(pins, opened(number)).newest()
        assert found is not None
        assert found.generation == 13


def test_a_process_killed_at_any_point_of_a_write_leaves_whole_pins(pins: PinFile) -> None:
    """Killed at each call in turn that opens, syncs, moves or closes; what is there is the old pin or the new one."""
    PinnedVault(pins, opened(1)).keep(head(7))
    seen: list[int] = []
    for point in range(1, 100):
        ended = run(_KILLED, pins.directory, point).wait(60)
        found = PinnedVault(pins, opened(1)).newest()
        assert found is not None
        seen.append(found.generation)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert len(seen) > 5
    assert seen == sorted(seen)
    assert set(seen) == {7, 8}
    PinnedVault(pins, opened(1)).keep(head(9))
    assert sorted(path.name for path in pins.directory.iterdir()) == ["pins", "pins-objects", "pins.lock"]


def test_a_process_killed_while_it_makes_the_first_pages_is_a_new_device_still(tmp_path: Path) -> None:
    for point in (2, 4, 6, 9):
        pins = PinFile(tmp_path / str(point))
        run(_KILLED, pins.directory, point).wait(60)
        PinnedVault(pins, opened(1)).keep(head(3))
        found = PinnedVault(pins, opened(1)).newest()
        assert found is not None


# --- what the files tell (P6) ---------------------------------------------------------------------------------


def contents(pins: PinFile) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pins.directory.iterdir()}


def test_the_files_of_who_has_no_vault_look_like_those_of_who_has_twenty(tmp_path: Path) -> None:
    """Names, modes, sizes and frames are the same, and a slot that was written is as random as one that never was."""
    none, many = PinFile(tmp_path / "none"), PinFile(tmp_path / "many")
    for pins in (none, many):
        pins.renew()
    for number in range(20):
        PinnedVault(many, opened(number)).keep(head(number + 1))
        PinnedVault(many, opened(number)).keep_rows(head(number + 1), {uuid4(): (n, bytes(32)) for n in range(number)})
    without, with_vaults = contents(none), contents(many)
    assert {name: len(content) for name, content in without.items()} == {
        name: len(content) for name, content in with_vaults.items()
    }
    assert {name: content[:15] for name, content in without.items()} == {
        name: content[:15] for name, content in with_vaults.items()
    }
    for shape in (HEADS, OBJECTS):
        for pins in (none, many):
            page = pins.read(shape)
            slots = [page[start : start + shape.slot_bytes] for start in range(0, len(page), shape.slot_bytes)]
            assert len(set(slots)) == shape.slots
            expected = len(page) / 256
            deviation = sum((count - expected) ** 2 / expected for count in Counter(page).values())
            # Chi-square of 255 degrees of freedom: beyond these bounds once in 10^9 pages of random bytes.
            assert 135 < deviation < 420
            for place in range(0, shape.slot_bytes, 16):  # no column of the slots is special
                column = b"".join(slot[place : place + 16] for slot in slots)
                assert len(set(column)) > 220
    for number in range(20):
        assert UUID(int=number).bytes * 2 not in with_vaults["pins"]


def test_neither_key_nor_id_of_a_vault_is_in_the_files(pins: PinFile) -> None:
    vault, thing = opened(1), uuid4()
    PinnedVault(pins, vault).keep(head(7))
    PinnedVault(pins, vault).keep_rows(head(7), {thing: (3, b"d" * 32)})
    everything = b"".join(contents(pins).values())
    for secret in (vault.data_key.expose(), vault.pin_key.expose(), vault.vault_id.bytes, thing.bytes, b"d" * 8):
        assert secret not in everything


def test_who_has_the_phrase_of_one_vault_reads_nothing_of_another(pins: PinFile) -> None:
    PinnedVault(pins, opened(1)).keep(head(7))
    assert PinnedVault(pins, opened(2)).newest() is None
    stolen = opened(2)._replace(vault_id=UUID(int=1))
    assert PinnedVault(pins, stolen).newest() is None


def test_renewing_changes_no_page_and_every_file(pins: PinFile) -> None:
    """So the time of a file is that of the last command, whatever it was."""
    PinnedVault(pins, opened(1)).keep(head(7))
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in pins.directory.glob("pins*")}
    pins.renew()
    after = {path.name: (path.stat().st_ino, path.read_bytes()) for path in pins.directory.glob("pins*")}
    assert {name: content for name, (_, content) in before.items()} == {
        name: content for name, (_, content) in after.items()
    }
    assert all(before[name][0] != after[name][0] for name in ("pins", "pins-objects"))


# --- several phrases, a new data key, many vaults -------------------------------------------------------------


def generation_of(found: HeadPin | None) -> int:
    assert found is not None
    return found.generation


def test_every_phrase_of_a_vault_finds_what_another_has_pinned(pins: PinFile) -> None:
    PinnedVault(pins, opened(1, phrase=1)).keep(head(7))
    assert generation_of(PinnedVault(pins, opened(1, phrase=2)).newest()) == 7


def test_a_new_data_key_leaves_the_pins_of_a_phrase(pins: PinFile) -> None:
    """This device did not see the rotation: under the new key it finds nothing, by the phrase's own key it does."""
    PinnedVault(pins, opened(1)).keep(head(7))
    after = PinnedVault(pins, opened(1, rotation=1))
    assert generation_of(after.newest()) == 7
    after.keep(VaultHead(9, 1, 2, bytes(32)))
    assert generation_of(PinnedVault(pins, opened(1, phrase=5, rotation=1)).newest()) == 9


def test_who_rotates_pins_under_the_new_key_as_well(pins: PinFile) -> None:
    rotating = PinnedVault(pins, opened(1))
    rotating.keep(head(7))
    rotating.follow(DataKey(bytes([1, 1]) * 16))
    rotating.keep(VaultHead(8, 1, 2, bytes(32)))
    assert generation_of(PinnedVault(pins, opened(1, phrase=9, rotation=1)).newest()) == 8


def test_the_pins_of_sixteen_vaults_do_not_push_each_other_out(tmp_path: Path) -> None:
    for device in range(3):
        pins = PinFile(tmp_path / str(device))
        for number in range(16):
            vault = opened(number)._replace(vault_id=uuid4(), data_key=DataKey(os.urandom(32)))
            PinnedVault(pins, vault._replace(pin_key=PinKey(os.urandom(32)))).keep(head(number + 1))
        first = opened(99)
        PinnedVault(pins, first).keep(head(5))
        assert generation_of(PinnedVault(pins, first).newest()) == 5


def _full(*_args: Any, **_options: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _unlocked(connect: Connect, pins: PinFile) -> tuple[Any, Any]:
    client = connect(vault_pins=pins)
    client.log_in(EMAIL, PASSWORD)
    return client, client.unlock(PHRASE)


def test_a_change_that_is_stored_and_not_pinned_says_so(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no failed change, and no damaged store: nobody may be told to begin the pins anew."""
    _, vault = _unlocked(connect, PinFile(tmp_path / "state"))
    with monkeypatch.context() as patched:
        patched.setattr("hushtag.client.pin_file.replace_private", _full)
        with pytest.raises(StoredNotPinnedError, match="No space left") as stored:
            vault.put(b"kept", name="a")
        with pytest.raises(PinsNotWrittenError) as unwritten:
            PinFile(tmp_path / "new").read(HEADS)
    assert vault.get(stored.value.object_id).revision == stored.value.revision == 1
    vault.delete(stored.value.object_id)
    for error in (stored.value, unwritten.value):
        described = describe(error)
        assert described is not None
        assert "reset-pins" not in described["next"]
        assert "room" in described["next"]


@pytest.mark.parametrize("for_ever", [True, False])
def test_what_could_not_be_pinned_is_not_shown_and_cannot_be_taken_back_unnoticed(
    connect: Connect, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, for_ever: bool
) -> None:
    """A disk that is full, for ever or for a moment, while another device stores something."""
    _, vault = _unlocked(connect, PinFile(tmp_path / "state"))
    vault.list()
    older = copy.deepcopy(server.users)
    elsewhere = connect()
    elsewhere.log_in(EMAIL, PASSWORD)
    new = elsewhere.unlock(PHRASE).put(b"new", name="new")
    with monkeypatch.context() as patched:
        patched.setattr("hushtag.client.pin_file.replace_private", _full)
        for _ in range(2):
            for look in (vault.list, lambda: vault.get(new.object_id), lambda: vault.find("new"), vault.epoch_code):
                with pytest.raises(PinsNotWrittenError):
                    look()
                if not for_ever:
                    break
            if not for_ever:
                break
    if not for_ever:
        assert [entry.name for entry in vault.list()] == ["new"]
        assert vault.get(new.object_id).body == b"new"
    vault.lock()
    server.users = older
    if for_ever:
        assert _unlocked(connect, PinFile(tmp_path / "state"))[1].list() == ()
    else:
        with pytest.raises(VaultRolledBackError):
            _unlocked(connect, PinFile(tmp_path / "state"))


def test_objects_that_are_stored_or_deleted_together_and_not_pinned_say_so(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, vault = _unlocked(connect, PinFile(tmp_path / "state"))
    told: list[Any] = []
    with monkeypatch.context() as patched:
        patched.setattr("hushtag.client.pin_file.replace_private", _full)
        with pytest.raises(StoredNotPinnedError, match="2 objects are stored, but") as stored:
            vault.put_many([NewObject(b"a", "a"), NewObject(b"b", "b")], on_stored=told.append)
    assert (stored.value.object_id, stored.value.revision, told) == (None, None, [])
    there = vault.list()
    assert {entry.name for entry in there} == {"a", "b"}
    with monkeypatch.context() as patched:
        patched.setattr("hushtag.client.pin_file.replace_private", _full)
        with pytest.raises(StoredNotPinnedError, match="2 objects are deleted, but"):
            vault.delete_many([entry.object_id for entry in there], on_deleted=told.append)
    assert (told, vault.list()) == ([], ())


def test_a_login_needs_no_pins(connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hushtag.client.pin_file.replace_private", _full)
    client = connect(vault_pins=PinFile(tmp_path / "state"))
    assert client.log_in(EMAIL, PASSWORD).user_id
    with pytest.raises(PinsNotWrittenError):
        client.unlock(PHRASE)


def test_a_change_of_phrases_that_is_stored_and_not_pinned_says_so(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever believed that nothing was changed would trust a phrase that is revoked, or throw away a new one."""
    client, vault = _unlocked(connect, PinFile(tmp_path / "state"))
    own = vault.phrases()[0].tag_id
    added, changed = draw_phrase(), draw_phrase()

    with monkeypatch.context() as patched:
        patched.setattr("hushtag.client.pin_file.replace_private", _full)
        with pytest.raises(StoredNotPinnedError, match="the phrase is added, but"):
            vault.add_phrase(added)
        (further,) = {phrase.tag_id for phrase in vault.phrases()} - {own}
        with pytest.raises(StoredNotPinnedError, match="the phrase is changed, but"):
            vault.change_phrase(own, changed)
        with pytest.raises(StoredNotPinnedError, match="the phrase is revoked, but") as revoked:
            vault.revoke_phrase(further)
    assert revoked.value.object_id is None
    assert len(vault.phrases()) == 1
    with client.unlock(changed) as again:
        assert again.vault_id == vault.vault_id
