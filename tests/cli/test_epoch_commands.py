"""epoch: codes shown and checked, a restored backup accepted by typing what is lost, pins that are damaged or lost."""

import copy
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, as_json, error_of
from tests.client.fake_server import FakeServer
from tests.client.support import EMAIL, PASSWORD, PHRASE


@pytest.fixture
def letter(workplace: Path) -> Path:
    path = workplace / "letter"
    path.write_bytes(b"Dear reader")
    return path


def go_back(server: FakeServer, state: dict[str, Any]) -> None:
    """Serve an earlier state to the sessions there are."""
    server.users = copy.deepcopy(state)
    server.tokens = {token: (server.users[EMAIL], session) for token, (_, session) in server.tokens.items()}


def test_a_code_is_shown_and_checked_on_a_fresh_device(
    inside: Run, run: Run, url: str, letter: Path, tmp_path: Path
) -> None:
    inside("put", "letter")
    shown = as_json(inside("epoch", "show", "--json"))
    code = shown["epoch_code"]
    assert (shown["objects"], len(code.split())) == (1, 5)
    assert inside("epoch", "show").stdout == code + "\n"
    fresh = str(tmp_path / "fresh")
    assert (
        run("login", EMAIL, "--server", url, "--state", fresh, "--password-stdin", input=PASSWORD + "\n").exit_code == 0
    )
    first = inside("epoch", "check", *code.split(), "--state", fresh)
    assert first.stdout == "The vault is in the very state of the code.\n"
    assert "first time" in first.stderr
    assert "first time" not in inside("ls", "--state", fresh).stderr
    inside("put", "letter")
    checked = as_json(inside("epoch", "check", code, "--json"))
    assert (checked["same"], checked["changes_since"]) == (False, 1)
    words = code.split()
    refused = inside("epoch", "check", *words[:3], "--json")
    assert (refused.exit_code, error_of(refused)["code"]) == (2, "epoch_code")
    mistyped = inside(
        "epoch", "check", *words[:2], "younger" if words[2] != "younger" else "abruptly", *words[3:], "--json"
    )
    assert (mistyped.exit_code, error_of(mistyped)["code"]) == (8, "epoch")


def test_an_older_vault_is_refused_and_accepted_by_its_words(inside: Run, letter: Path, server: FakeServer) -> None:
    inside("put", "letter")
    older = copy.deepcopy(server.users)
    inside("put", "letter", "--name", "another")
    inside("ls")
    go_back(server, older)
    refused = inside("ls", "--json")
    error = error_of(refused)
    assert (refused.exit_code, error["code"], error["change"]) == (8, "vault_rolled_back", "older")
    assert (error["pinned_generation"], error["served_generation"]) == (3, 2)
    assert (error["pinned_objects"], error["served_objects"]) == (2, 1)
    assert "hushtag epoch accept-restore" in error["next"]
    asked = inside("epoch", "accept-restore")
    assert asked.exit_code == 2
    assert "Lost: 1 changes." in asked.stderr
    assert "missing, revision 1 was seen" in asked.stderr
    assert '--confirm "give up generation 3 for 2"' in asked.stderr
    assert inside("epoch", "accept-restore", "--confirm", "yes").exit_code == 2
    assert inside("ls").exit_code == 8
    accepted = as_json(inside("epoch", "accept-restore", "--confirm", "give up generation 3 for 2", "--json"))
    assert (accepted["accepted"], accepted["change"], len(accepted["lost"])) == (True, "older", 1)
    names = [each["name"] for each in as_json(inside("ls", "--json"))["objects"]]
    assert names[1:] == ["letter"]
    assert names[0].startswith("Restored from a backup")
    assert "nothing to accept" in inside("epoch", "accept-restore").stdout


def test_damaged_and_lost_pins_are_said_and_reset_only_when_asked(
    inside: Run, logged_in: Run, letter: Path, state: Path
) -> None:
    inside("put", "letter")
    for change in (lambda: (state / "pins").write_bytes(b"damaged"), (state / "pins-objects").unlink):
        change()
        refused = inside("ls", "--json")
        assert (refused.exit_code, error_of(refused)["code"]) == (1, "pin_store")
        assert "hushtag epoch reset-pins" in error_of(refused)["next"]
        assert logged_in("status").exit_code == 0  # what needs no pins goes on
        assert inside("ls").exit_code == 1
        assert logged_in("epoch", "reset-pins").exit_code == 2
        assert logged_in("epoch", "reset-pins", "--yes").exit_code == 0
        assert "first time" in inside("ls").stderr


def test_pins_are_there_from_the_login_on_and_every_command_writes_them(
    logged_in: Run, inside: Run, letter: Path, state: Path
) -> None:
    """P6: neither names nor sizes nor times of the files tell whether there is a vault."""

    def seen() -> dict[str, tuple[int, tuple[int, int]]]:
        found = {path.name: path.stat() for path in state.iterdir() if path.name.startswith("pins")}
        # A file may get the inode of the one before the last.
        return {name: (each.st_size, (each.st_ino, each.st_ctime_ns)) for name, each in found.items()}

    after_login = seen()
    assert set(after_login) == {"pins", "pins-objects", "pins.lock"}
    logged_in("status")
    after_status = seen()
    inside("put", "letter")
    after_put = seen()
    for earlier, later in ((after_login, after_status), (after_status, after_put)):
        assert {name: size for name, (size, _) in earlier.items()} == {name: size for name, (size, _) in later.items()}
        assert earlier["pins"][1] != later["pins"][1]
        assert earlier["pins-objects"][1] != later["pins-objects"][1]


def test_the_shell_of_an_open_vault_shows_and_checks_codes(logged_in: Run, inside: Run) -> None:
    code = inside("epoch", "show").stdout.strip()
    lines = f"{PHRASE}\nepoch show\nepoch check {code}\nepoch accept-restore\nlock\n"
    result = logged_in("unlock", "--shell", "--phrase-stdin", input=lines)
    assert result.stdout.splitlines()[:2] == [code, "The vault is in the very state of the code."]
    assert "leave the shell first" in result.stderr


# --- a state that can be read and not written ------------------------------------------------------------------


def _read_only(patched: pytest.MonkeyPatch, state: Path) -> None:
    opened, writing = os.open, os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def open_(path: Any, flags: int, *more: Any, **options: Any) -> int:
        if flags & writing and Path(os.fsdecode(path)).is_relative_to(state):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return opened(path, flags, *more, **options)

    patched.setattr(os, "open", open_)


def _full(patched: pytest.MonkeyPatch, _state: Path) -> None:
    def replace(*_args: Any, **_options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patched.setattr("hushtag.client.pin_file.replace_private", replace)


Unwritable = Callable[[pytest.MonkeyPatch, Path], None]
unwritable = pytest.mark.parametrize("make", [_read_only, _full], ids=["read only", "full"])


@unwritable
def test_what_is_pinned_is_read_from_a_state_that_cannot_be_written(
    inside: Run, logged_in: Run, letter: Path, state: Path, monkeypatch: pytest.MonkeyPatch, make: Unwritable
) -> None:
    inside("put", "letter")
    before = inside("ls")
    assert "cannot be written" not in before.stderr
    with monkeypatch.context() as patched:
        make(patched, state)
        for _ in range(2):  # it is said every time
            listed = inside("ls")
            assert (listed.exit_code, listed.stdout) == (0, before.stdout)
            assert f"{state} cannot be written" in listed.stderr
        assert inside("get", "letter", "-o", "-").stdout == "Dear reader"
        assert inside("ls", "--json").stderr == ""
        named = logged_in("device", "show")
        assert (named.exit_code, "cannot be written" in named.stderr) == (0, True)


@unwritable
def test_nothing_newer_is_shown_and_nothing_older_believed_where_nothing_can_be_pinned(
    inside: Run,
    letter: Path,
    state: Path,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    make: Unwritable,
    run: Run,
    url: str,
    tmp_path: Path,
) -> None:
    older = copy.deepcopy(server.users)
    inside("put", "letter")
    inside("ls")
    other = str(tmp_path / "other")
    log_in = ("login", EMAIL, "--server", url, "--state", other, "--password-stdin")
    assert run(*log_in, input=PASSWORD + "\n").exit_code == 0
    assert inside("put", "letter", "--name", "another", "--state", other).exit_code == 0
    newer = copy.deepcopy(server.users)
    with monkeypatch.context() as patched:
        make(patched, state)
        refused = inside("ls", "--json")
        assert (refused.stdout, error_of(refused)["code"]) == ("", "pins_not_written")
        go_back(server, older)
        assert error_of(inside("ls", "--json"))["code"] == "vault_rolled_back"
        go_back(server, newer)
    assert len(as_json(inside("ls", "--json"))["objects"]) == 2


@unwritable
def test_a_change_from_a_state_that_cannot_be_written_is_told_as_stored(
    inside: Run, letter: Path, state: Path, monkeypatch: pytest.MonkeyPatch, make: Unwritable
) -> None:
    inside("ls")
    with monkeypatch.context() as patched:
        make(patched, state)
        assert error_of(inside("put", "letter", "--json"))["code"] == "stored_not_pinned"
    assert len(as_json(inside("ls", "--json"))["objects"]) == 1


def test_a_lock_that_is_a_link_is_no_state_that_cannot_be_written(inside: Run, state: Path) -> None:
    inside("ls")
    (state / "pins.lock").rename(state / "elsewhere")
    (state / "pins.lock").symlink_to(state / "elsewhere")
    assert error_of(inside("ls", "--json"))["code"] == "os"
