"""What a client must be able to do on any server: run on the one in memory and on the real one, with both clients.

A scenario takes `connect`, which gives a new client each time, and makes its own account.
"""

import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from hushtag.client import (
    AmbiguousNameError,
    ConflictError,
    LoginError,
    NewObject,
    NotFoundError,
    PinFile,
    SessionExpiredError,
    VaultLockedError,
)
from hushtag.errors import AuthenticationError, EpochCodeError, LimitError, MalformedError, WeakPhraseError
from hushtag.phrase import draw_phrase
from tests.client.pairing_scenarios import PAIRING_SCENARIOS
from tests.client.phrase_scenarios import PHRASE_SCENARIOS
from tests.client.support import OTHER_PHRASE, PASSWORD, PHRASE, UNKNOWN_PHRASE, Connect, new_account, unpadded_frame

BODIES = {
    "empty": b"",
    "note.txt": "Grüße aus dem Tresor\n".encode(),
    "page.html": b"<p>" * 5000,
    "noise.bin": os.urandom(1024 * 1024),
}


def every_byte_comes_back_to_another_client(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    client.enrol(PHRASE, label="for the diary")
    path = tmp_path / "letter.txt"
    path.write_bytes(b"Dear reader")
    with client.unlock(PHRASE) as vault:
        for name, body in BODIES.items():
            vault.put(body, name=name)
        assert vault.put(path).name == "letter.txt"
    other = connect()
    other.log_in(email, PASSWORD)
    with other.unlock(f"  {PHRASE.upper()}! ") as vault:
        entries = {entry.name: entry for entry in vault.list()}
        assert {name: vault.get(entries[name].object_id).body for name in BODIES} == BODIES
        assert vault.get_by_name("letter.txt").body == b"Dear reader"
        assert entries["page.html"].content_type == "text/html"
        assert [entries[name].size for name in BODIES] == [len(body) for body in BODIES.values()]
        assert vault.object_count == len(BODIES) + 1


def large_objects_come_back_whole_and_in_parts(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    client.enrol(PHRASE)
    body = os.urandom(9_000_001)  # three segments
    film, out = tmp_path / "film.mp4", tmp_path / "out"
    film.write_bytes(body)
    with client.unlock(PHRASE) as vault:
        stored = vault.put(film)
        assert (stored.size, stored.content_type) == (len(body), "video/mp4")
        guest = vault.add_phrase(OTHER_PHRASE).tag_id
        vault.revoke_phrase(guest)
        assert vault.reseal() == 1
    other = connect()
    other.log_in(email, PASSWORD)
    with other.unlock(PHRASE) as vault:
        (entry,) = vault.list()
        assert (entry.size, entry.revision) == (len(body), 2)
        assert entry.stored_size > len(body)
        assert vault.get_to(entry.object_id, out).size == len(body)
        assert out.read_bytes() == body
        file = vault.open(entry.object_id)
        file.seek(4 * 1024 * 1024 - 5)
        assert file.read(10) == body[4 * 1024 * 1024 - 5 :][:10]
        vault.put(io.BytesIO(body[::-1]), name="film.mp4", replace=entry.object_id)
        file.seek(-1, os.SEEK_END)
        with pytest.raises(ConflictError):
            file.read(1)
        assert vault.get(entry.object_id).body == body[::-1]
        vault.delete(entry.object_id)
        assert vault.list() == ()


def many_objects_are_listed_with_the_rows_that_are_short(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    client.enrol(PHRASE)
    sizes = {f"number {size}": size for size in (0, 1, 10, 100, 1000, 3000, 3900, 4000, 4096, 5000, 20_000, 300_000)}
    with client.unlock(PHRASE) as vault:
        for name, size in sizes.items():
            vault.put(bytes(size), name=name)
        vault.put(b"replaced", name="number 0", replace=vault.get_by_name("number 0").object_id)
        guest = vault.add_phrase(OTHER_PHRASE).tag_id
        vault.revoke_phrase(guest)  # and now its rows are of an old key
        vault.put(b"new", name="under the new key")
    sizes |= {"number 0": len(b"replaced"), "under the new key": len(b"new")}
    for resealed in (False, True):
        other = connect()
        other.log_in(email, PASSWORD)
        with other.unlock(PHRASE) as vault:
            assert {entry.name: entry.size for entry in vault.list()} == sizes
            assert vault.get_by_name("number 4000").body == bytes(4000)
            assert resealed or vault.reseal() == 12


def many_small_objects_are_put_together(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    client.enrol(PHRASE)
    bodies = {f"number {number}": os.urandom(number) for number in range(100)} | {"long": os.urandom(300_000)}
    with client.unlock(PHRASE) as vault:
        stored = vault.put_many(NewObject(body, name) for name, body in bodies.items())
        assert [each.name for each in stored] == list(bodies)
        again = [NewObject(b"again", each.name, replace=each.object_id) for each in stored[-3:]]
        assert [each.revision for each in vault.put_many(again)] == [2, 2, 2]
        bodies |= dict.fromkeys((each.name for each in again), b"again")
        guest = vault.add_phrase(OTHER_PHRASE).tag_id
        vault.revoke_phrase(guest)
        assert vault.reseal() == len(bodies)
        gone = [each.object_id for each in stored[:70]]
        assert vault.delete_many([*gone, *gone]) == tuple(gone)
    for each in stored[:70]:
        del bodies[each.name]
    other = connect()
    other.log_in(email, PASSWORD)
    with other.unlock(PHRASE) as vault:
        assert {entry.name: vault.get(entry.object_id).body for entry in vault.list()} == bodies
        assert vault.object_count == len(bodies)


def a_wrong_phrase_opens_nothing(connect: Connect, tmp_path: Path) -> None:
    client, _ = new_account(connect)
    with pytest.raises(AuthenticationError, match=r"^the phrase opens nothing here$"):
        client.unlock(UNKNOWN_PHRASE)
    client.enrol(PHRASE)
    with pytest.raises(AuthenticationError, match=r"^the phrase opens nothing here$"):
        client.unlock(UNKNOWN_PHRASE)
    client.unlock(PHRASE).lock()


def the_right_one_of_several_candidates_opens(connect: Connect, tmp_path: Path) -> None:
    client, _ = new_account(connect)
    client.enrol(PHRASE)
    mishearings = ["far from what was said", "and this is not it", PHRASE.upper(), UNKNOWN_PHRASE]
    with client.unlock(mishearings) as vault:
        assert vault.candidate == 2
        assert vault.list() == ()
    with client.unlock(iter(mishearings)) as vault:
        assert vault.candidate == 2


def a_device_secret_is_needed_as_well(connect: Connect, tmp_path: Path) -> None:
    client, _ = new_account(connect)
    secret = os.urandom(32)
    client.enrol(PHRASE, device_secret=secret)
    with pytest.raises(AuthenticationError):
        client.unlock(PHRASE)
    with pytest.raises(AuthenticationError):
        client.unlock(PHRASE, device_secret=bytes(32))
    client.unlock(PHRASE, device_secret=secret).lock()


def two_phrases_open_two_vaults(connect: Connect, tmp_path: Path) -> None:
    client, _ = new_account(connect)
    first = client.enrol(PHRASE, label="one")
    second = client.enrol(draw_phrase_given(OTHER_PHRASE), label="two")
    heard = ["far from what was said", draw_phrase_given(OTHER_PHRASE)]
    with client.unlock(draw_phrase_given(PHRASE)) as vault, client.unlock(heard) as other:
        assert (vault.vault_id, other.vault_id) == (first.vault_id, second.vault_id)
        kept = vault.put(b"mine", name="a")
        with pytest.raises(NotFoundError):
            other.get(kept.object_id)
        assert [phrase.label for phrase in other.phrases()] == ["two"]
        assert [each.vault_id for each in vault.vaults] == [first.vault_id]


def draw_phrase_given(text: str) -> Any:
    drawn = draw_phrase()
    return type(drawn)(text, drawn.effective_bits)


def one_phrase_is_enrolled_once(connect: Connect, tmp_path: Path) -> None:
    client, _ = new_account(connect)
    client.enrol(PHRASE)
    with pytest.raises(ConflictError, match="the phrase opens a vault of this account already; choose another"):
        client.enrol(PHRASE)
    with pytest.raises(WeakPhraseError):
        client.enrol("too short")


def objects_are_replaced_and_deleted(connect: Connect, tmp_path: Path) -> None:
    client, _ = new_account(connect)
    client.enrol(PHRASE)
    with client.unlock(PHRASE) as vault:
        first = vault.put(b"one", name="a")
        second = vault.put(b"two", name="b", replace=first.object_id)
        assert (first.revision, second.revision, second.object_id) == (1, 2, first.object_id)
        twin = vault.put(b"three", name="b")
        with pytest.raises(AmbiguousNameError) as caught:
            vault.find("b")
        assert set(caught.value.object_ids) == {first.object_id, twin.object_id}
        vault.delete(twin.object_id)
        assert vault.get_by_name("b").body == b"two"
        with pytest.raises(NotFoundError):
            vault.get(twin.object_id)
        with pytest.raises(NotFoundError):
            vault.delete(twin.object_id)
        with pytest.raises(NotFoundError):
            vault.put(b"", name="c", replace=uuid4())
        vault.delete(first.object_id)
        assert vault.list() == ()


def one_object_that_breaks_the_rules_hides_no_other(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    client.enrol(PHRASE)
    with client.unlock(PHRASE) as vault:
        vault.put(b"Dear reader", name="letter")
        with patch("hushtag.objects._frame", unpadded_frame), pytest.raises(MalformedError):
            vault.get(vault.put(b"no padding", name="letter").object_id)
        with patch("time.time", lambda: 10**15), patch("hushtag.objects.MAX_CREATED_AT", 10**15):
            vault.put(b"far away", name="late")
    other = connect()
    other.log_in(email, PASSWORD)
    with other.unlock(PHRASE) as vault:
        listed = {entry.name: entry for entry in vault.list()}
        broken = listed[""]
        assert [broken.readable, broken.size, broken.content_type] == [False, 0, ""]
        assert broken.stored_size > 0
        assert listed["late"].created_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
        assert vault.get_by_name("late").body == b"far away"
        assert vault.get_by_name("letter").body == b"Dear reader"  # the other of that name tells none
        with pytest.raises(NotFoundError):
            vault.find("")
        with pytest.raises(MalformedError, match=r"can only be deleted or replaced, by its id$"):
            vault.get(broken.object_id)
        assert vault.old_streams() == ()
        vault.revoke_phrase(vault.add_phrase(OTHER_PHRASE).tag_id)
        with pytest.raises(MalformedError, match=f"{broken.object_id} \\(1 in all\\); then re-seal again$"):
            vault.reseal()
        vault.delete(broken.object_id)
        vault.reseal()
        assert sorted(entry.name for entry in vault.list()) == ["late", "letter"]


def one_object_that_opens_for_nobody_hides_no_other(connect: Connect, tmp_path: Path) -> None:
    """The head counts its very bytes, so nobody but who is inside has made it so, and everything else is as ever."""
    client, email = new_account(connect)
    client.enrol(PHRASE)
    with client.unlock(PHRASE) as vault:
        vault.put(b"Dear reader", name="letter")
        with patch("hushtag.objects._aad", lambda *_: b"of something else"):
            broken = {vault.put(bytes(size), name="letter").object_id for size in (0, 5000)}  # with a listing, and not
        with pytest.raises(MalformedError, match=r"can only be deleted or replaced, by its id$"):
            vault.get(min(broken))
    other = connect()
    other.log_in(email, PASSWORD)
    with other.unlock(PHRASE) as vault:
        assert {entry.object_id for entry in vault.list() if not entry.readable} == broken
        assert vault.get_by_name("letter").body == b"Dear reader"
        for object_id in broken:
            with pytest.raises(MalformedError, match=r"can only be deleted or replaced, by its id$"):
                vault.get(object_id)
        vault.revoke_phrase(vault.add_phrase(OTHER_PHRASE).tag_id)
        with pytest.raises(MalformedError, match=r"\(2 in all\); then re-seal again$"):
            vault.reseal()
        vault.put(b"mended", name="mended", replace=min(broken))
        vault.delete(max(broken))
        vault.reseal()
        assert sorted(entry.name for entry in vault.list()) == ["letter", "mended"]


def two_devices_write_without_losing_anything(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    client.enrol(PHRASE)
    other = connect()
    other.log_in(email, PASSWORD)
    with client.unlock(PHRASE) as here, other.unlock(PHRASE) as there:
        ours = here.put(b"1", name="from here")
        there.put(b"2", name="from there")  # its head is older by one
        here.put(b"3", name="from here again")
        assert sorted(entry.name for entry in there.list()) == ["from here", "from here again", "from there"]
        there.put(b"newer", name="from there", replace=ours.object_id)
        with pytest.raises(ConflictError):
            here.put(b"lost?", name="from here", replace=ours.object_id)
        assert here.get(ours.object_id).body == b"newer"
        here.list()
        assert here.put(b"4", name="now knowing", replace=ours.object_id).revision == 3


def locking_ends_the_vault_session(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    client.enrol(PHRASE)
    vault = client.unlock(PHRASE)
    other = connect()
    other.log_in(email, PASSWORD)
    elsewhere = other.unlock(PHRASE)
    vault.lock()
    vault.lock()
    assert vault.locked
    with pytest.raises(VaultLockedError):
        vault.list()
    assert elsewhere.list() == ()
    other_session = other.session.session_id
    assert {session.session_id for session in client.sessions()} == {client.session.session_id, other_session}
    client.revoke_session(other_session)
    with pytest.raises(SessionExpiredError):
        elsewhere.list()
    with pytest.raises(NotFoundError):
        client.revoke_session(uuid4())


def the_account_can_be_read_and_left(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    session = client.session
    assert client.account().email == email
    resumed = connect(session=session)
    assert resumed.account().user_id == session.user_id
    client.log_out()
    assert client.session is None
    with pytest.raises(SessionExpiredError):
        resumed.account()
    resumed.log_out()  # it has ended already, which is what was wanted
    with pytest.raises(LoginError):
        client.log_in(email, "not the password")


def changing_the_password_ends_the_other_sessions_and_touches_no_vault(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    client.enrol(PHRASE)
    other = connect()
    other.log_in(email, PASSWORD)
    elsewhere = other.unlock(PHRASE)
    elsewhere.put(b"kept", name="a")
    with pytest.raises(LoginError):
        client.change_password("not the password", "another good password")
    with pytest.raises(LimitError):
        client.change_password(PASSWORD, "short")
    assert other.account().email == email
    client.change_password(PASSWORD, "another good password")
    assert client.account().email == email
    for call in (other.account, elsewhere.list):
        with pytest.raises(SessionExpiredError):
            call()
    with pytest.raises(LoginError):
        other.log_in(email, PASSWORD)
    other.log_in(email, "another good password")
    vault = other.unlock(PHRASE)
    assert [entry.name for entry in vault.list()] == ["a"]


def two_devices_compare_epoch_codes_and_pin_what_they_see(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    client.enrol(PHRASE)
    with client.unlock(PHRASE) as vault:
        vault.put(b"one", name="a")
        code = vault.epoch_code()
        assert vault.pinned is None  # without `vault_pins`
    for number in range(2):  # another device, which is fresh at first
        other = connect(vault_pins=PinFile(tmp_path / "pins"))
        other.log_in(email, PASSWORD)
        with other.unlock(PHRASE, epoch_code=code) as vault:
            assert (vault.pinned is None) == (number == 0)
            assert vault.check_epoch(code) == number
            assert vault.restoration() is None
            vault.put(b"two", name="b")
            assert len(vault.list()) == number + 2
    with pytest.raises(EpochCodeError):
        client.unlock(PHRASE, epoch_code="one two three")
    with other.unlock(PHRASE) as vault:
        assert vault.pinned.generation == 4
        assert vault.pinned.object_count == 3


SCENARIOS = [
    two_devices_compare_epoch_codes_and_pin_what_they_see,
    every_byte_comes_back_to_another_client,
    large_objects_come_back_whole_and_in_parts,
    many_objects_are_listed_with_the_rows_that_are_short,
    many_small_objects_are_put_together,
    a_wrong_phrase_opens_nothing,
    the_right_one_of_several_candidates_opens,
    a_device_secret_is_needed_as_well,
    two_phrases_open_two_vaults,
    one_phrase_is_enrolled_once,
    objects_are_replaced_and_deleted,
    one_object_that_breaks_the_rules_hides_no_other,
    one_object_that_opens_for_nobody_hides_no_other,
    two_devices_write_without_losing_anything,
    locking_ends_the_vault_session,
    the_account_can_be_read_and_left,
    changing_the_password_ends_the_other_sessions_and_touches_no_vault,
    *PHRASE_SCENARIOS,
    *PAIRING_SCENARIOS,
]
