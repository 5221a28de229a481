"""Where keys may lie: a file, the environment, a program, systemd's credentials."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hushtag_server import key_stores
from hushtag_server.errors import StartError
from hushtag_server.key_stores import key_store
from hushtag_server.keyfile import encode_key_ring, ensure_keys, load_keys, new_keys
from hushtag_server.operation.failures import KeysDifferError, OperationError
from hushtag_server.operation.key_copies import check_copy, copy_keys, restore_keys
from hushtag_server.operation.key_sets import retire_keys, rotate_keys
from hushtag_server.operation.reach import Reached
from hushtag_server.settings import Settings, SettingsError, load_settings

PASSPHRASE = "correct horse battery staple"
_PROGRAM = """
import os, sys, time
place, verb = sys.argv[1], sys.argv[2]
{before}
if verb == "load":
    if not os.path.exists(place):
        sys.exit(3)
    sys.stdout.write(open(place).read())
else:
    content = sys.stdin.read()
    open(place + ".new", "w").write(content{spoilt})
    os.replace(place + ".new", place)
"""


@pytest.fixture
def helper(tmp_path: Path) -> Any:
    """Make a store whose program keeps the keys in a file of its own; return the setting."""

    def make(before: str = "", spoilt: str = "") -> str:
        program = tmp_path / "helper.py"
        program.write_text(_PROGRAM.format(before=before, spoilt=spoilt))
        return f"command:{shlex.join([sys.executable, str(program), str(tmp_path / 'a vault')])}"

    return make


def test_a_program_keeps_the_keys_from_the_first_start_on(
    settings: Settings, database: Any, make_setup: Any, helper: Any, tmp_path: Path
) -> None:
    outside = replace(settings, key_store=helper())
    ring = ensure_keys(database.app_url, outside, make_setup)
    assert not settings.key_path.exists()
    assert load_keys(outside) == ring
    reached = Reached(database.owner_url)
    rotated = rotate_keys(outside, reached, make_setup)
    assert load_keys(outside) == rotated.ring
    assert list(rotated.ring.by_id) == [ring.current.id, rotated.keys.id]
    retire_keys(outside, reached, ring.current.id)
    assert list(load_keys(outside).by_id) == [rotated.keys.id]  # type: ignore[union-attr]
    (tmp_path / "a vault").unlink()
    with pytest.raises(StartError, match="is missing, and the database was made under one"):
        ensure_keys(database.app_url, outside, make_setup)


@pytest.mark.parametrize(
    ("before", "says"),
    [
        ("sys.exit(1)", "exit code 1"),
        ("print('{'); sys.exit(3)", "exit code 3"),
        ("print('no keys'); sys.exit(0)", "not a key file"),
        ("sys.stdout.write('x' * 2_000_000); sys.exit(0)", "more than a key file"),
        ("while True: sys.stdout.write('x' * 65536)", "more than a key file"),
        ("time.sleep(60)", "took longer than"),
    ],
)
def test_a_program_that_fails_stops_the_start_and_tells_nothing_it_printed(
    helper: Any, before: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_stores, "COMMAND_WAIT", 2.0 if "sleep" in before else 30.0)
    with pytest.raises(StartError, match=says) as caught:
        load_keys(Settings(key_store=helper(before)))
    assert "no keys" not in str(caught.value)


def test_a_program_that_does_not_keep_what_it_is_given_is_noticed(helper: Any, make_setup: Any) -> None:
    store = key_store(Settings(key_store=helper(spoilt="[:-1]")))
    with pytest.raises(StartError, match="does not give back"):
        store.store(encode_key_ring(new_keys(make_setup)), first=True)
    with pytest.raises(FileExistsError):
        store.store(b"{}", first=True)


def test_a_directory_that_cannot_be_made_is_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file/keys.json", tmp_path / "file/below/keys.json"):
        with pytest.raises(StartError, match=f"cannot make the directory of the key file {place}: "):
            key_store(replace(settings, key_file=place)).store(b"{}", first=True)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(StartError, match="cannot run the key store /no/such/program"):
        load_keys(Settings(key_store="command:/no/such/program"))


def test_systemd_hands_the_keys_over_and_they_cannot_be_changed_here(
    settings: Settings, database: Any, make_setup: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = replace(settings, key_store="credential:hushtag-keys")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(StartError, match="LoadCredentialEncrypted=hushtag-keys"):
        load_keys(passed)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(StartError, match="is not there"):
        load_keys(passed)
    ring = new_keys(make_setup)
    (tmp_path / "hushtag-keys").write_bytes(encode_key_ring(ring))
    assert ensure_keys(database.app_url, passed, make_setup) == ring
    with pytest.raises(StartError, match="cannot be written from here"):
        rotate_keys(passed, Reached(database.owner_url), make_setup)
    assert ensure_keys(database.app_url, passed, make_setup) == ring


@pytest.mark.parametrize(
    "value", ["command:", "command:'", "credential:", "credential:../x", "credential:..", "safe:x"]
)
def test_a_store_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="HUSHTAG_KEY_STORE must be"):
        load_settings({"HUSHTAG_KEY_STORE": value})


def test_two_places_for_the_keys_are_refused() -> None:
    with pytest.raises(SettingsError, match="keep one"):
        load_settings({"HUSHTAG_KEY_STORE": "command:/bin/x", "HUSHTAG_KEY_FILE": "/x"})


def test_a_copy_brings_a_rotation_to_another_host_and_never_takes_a_set_away(
    settings: Settings, database: Any, make_setup: Any, tmp_path: Path
) -> None:
    ring = ensure_keys(database.app_url, settings, make_setup)
    copy_keys(settings, tmp_path / "before", PASSPHRASE)
    other = replace(settings, data=tmp_path / "other host")
    assert restore_keys(other, tmp_path / "before", PASSPHRASE)[1]
    rotated = rotate_keys(settings, Reached(database.owner_url), make_setup)
    with pytest.raises(OperationError, match="lacks 1 key sets"):
        check_copy(settings, tmp_path / "before", PASSPHRASE)
    copy_keys(settings, tmp_path / "after", PASSPHRASE)
    assert check_copy(settings, tmp_path / "after", PASSPHRASE) == 2
    assert restore_keys(other, tmp_path / "after", PASSPHRASE) == (rotated.ring, True)
    assert load_keys(other) == rotated.ring
    with pytest.raises(KeysDifferError):  # the older copy lacks what is there now
        restore_keys(other, tmp_path / "before", PASSPHRASE)
    assert load_keys(other) == rotated.ring
    assert ring.current.id in rotated.ring.by_id
