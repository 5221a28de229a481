"""signup, login, logout, status: what they print, keep and exit with."""

import errno
import json
import stat
from pathlib import Path

import pytest

from hushtag.client.pin_file import PinFile
from hushtag.client.state import StateFile
from tests.cli.conftest import Run, as_json, error_of
from tests.client.fake_server import FakeServer, Fault
from tests.client.support import EMAIL, PASSWORD


def test_sign_up_log_in_look_and_log_out(run: Run, url: str, server: FakeServer) -> None:
    password = "a password of eve"
    signed = run("signup", "eve@example.org", "--server", url, "--password-stdin", "--json", input=password + "\n")
    assert as_json(signed) == {"email": "eve@example.org", "next": "log in"}
    opened = as_json(
        run("login", "eve@example.org", "--server", url, "--password-stdin", "--json", input=password + "\r\n")
    )
    assert set(opened) == {"server", "user_id", "session_id", "expires_at"}
    shown = as_json(run("status", "--json"))
    assert (shown["email"], shown["session_id"]) == ("eve@example.org", opened["session_id"])
    assert set(shown) == {"server", "email", "user_id", "session_id", "expires_at", "suite"}
    assert "eve@example.org" in run("status").stdout
    assert as_json(run("logout", "--json")) == {"logged_out": True, "server": url}
    assert server.tokens == {}
    left = run("status", "--json")
    assert (left.exit_code, error_of(left)["code"]) == (3, "not_logged_in")
    assert "next" in error_of(left)


def test_the_state_holds_the_session_and_no_password(logged_in: Run, state: Path) -> None:
    kept = (state / "state.json").read_text()
    assert stat.S_IMODE((state / "state.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert set(json.loads(kept)) == {"version", "session", "pins"}
    assert PASSWORD not in kept
    assert EMAIL not in kept


@pytest.mark.parametrize(
    ("email", "password", "code"), [(EMAIL, "wrong password", 4), ("nobody@example.org", PASSWORD, 4), (EMAIL, "", 2)]
)
def test_a_failed_login_keeps_nothing(run: Run, url: str, state: Path, email: str, password: str, code: int) -> None:
    failed = run("login", email, "--server", url, "--password-stdin", input=password + "\n")
    assert failed.exit_code == code
    assert not (state / "state.json").exists()
    assert failed.stdout == ""


def test_a_second_login_ends_the_first_session(logged_in: Run, url: str, server: FakeServer) -> None:
    first = set(server.tokens)
    assert logged_in("login", EMAIL, "--password-stdin", input=PASSWORD).exit_code == 0  # the same server
    assert len(server.tokens) == 1
    assert not first & set(server.tokens)


def test_a_logout_that_cannot_reach_the_server_forgets_here(logged_in: Run, server: FakeServer) -> None:
    server.faults = [Fault("DELETE", "sessions/current", times=9)]
    assert logged_in("logout").exit_code == 7
    assert logged_in("status").exit_code == 3


def test_a_login_that_cannot_be_kept_leaves_no_session(
    run: Run, url: str, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(StateFile, "keep_session", full)
    assert run("login", EMAIL, "--server", url, "--password-stdin", input=PASSWORD).exit_code == 1
    assert server.tokens == {}


def test_a_logout_that_cannot_forget_here_ends_the_session_there(
    logged_in: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(StateFile, "forget_session", full)
    monkeypatch.setattr(PinFile, "renew", full)
    assert logged_in("logout").exit_code == 1
    monkeypatch.undo()
    assert "DELETE /v1/sessions/current" in server.log
    assert logged_in("status").exit_code == 3


def test_a_session_that_the_server_ended_is_expired(logged_in: Run, server: FakeServer) -> None:
    server.tokens.clear()
    assert error_of(logged_in("status", "--json"))["code"] == "session_expired"
    assert logged_in("status").exit_code == 3
    assert logged_in("logout").exit_code == 0


def test_a_server_must_be_named_and_be_the_sessions(run: Run, url: str) -> None:
    nameless = run("login", EMAIL, "--password-stdin", input=PASSWORD)
    assert nameless.exit_code == 2
    assert "HUSHTAG_SERVER" in nameless.stderr
    assert run("login", EMAIL, "--server", url, "--password-stdin", input=PASSWORD).exit_code == 0
    other = run("status", "--server", "https://other.example.org")
    assert (other.exit_code, "log in there first" in other.stderr) == (2, True)
    assert run("status", "--server", url + "/").exit_code == 0


def test_plain_http_to_another_machine_is_refused(run: Run) -> None:
    refused = run("login", EMAIL, "--server", "http://vault.example.org", "--password-stdin", input=PASSWORD)
    assert (refused.exit_code, "plain http" in refused.stderr) == (2, True)


def test_a_server_that_is_not_there_is_exit_7(run: Run) -> None:
    gone = run("signup", EMAIL, "--server", "http://127.0.0.1:1", "--password-stdin", "--json", input=PASSWORD)
    assert (gone.exit_code, error_of(gone)["code"]) == (7, "transport")


def test_a_changed_salt_is_refused_until_it_is_accepted(logged_in: Run, server: FakeServer) -> None:
    server.users[EMAIL].phrase_salt = bytes(16)
    refused = logged_in("login", EMAIL, "--password-stdin", "--json", input=PASSWORD)
    assert (refused.exit_code, error_of(refused)["code"]) == (8, "pin_changed")
    assert logged_in("login", EMAIL, "--password-stdin", "--accept-new-salt", input=PASSWORD).exit_code == 0
    assert logged_in("login", EMAIL, "--password-stdin", input=PASSWORD).exit_code == 0


def test_a_state_that_others_can_read_is_refused(logged_in: Run, state: Path) -> None:
    (state / "state.json").chmod(0o644)
    refused = logged_in("status", "--json")
    assert (refused.exit_code, error_of(refused)["code"]) == (1, "state_file")
    assert "chmod 600" in error_of(refused)["message"]


def test_an_unknown_suite_is_refused_before_the_phrase_is_read(run: Run, url: str, server: FakeServer) -> None:
    server.users[EMAIL].suite = "hushtag-v2"
    run("login", EMAIL, "--server", url, "--password-stdin", input=PASSWORD)
    for command in (["ls"], ["enrol"], ["unlock"]):
        refused = run(*command, "--phrase-stdin", "--json", input="")  # reading it would be a usage error
        assert (refused.exit_code, error_of(refused)["code"]) == (8, "unknown_suite")


def test_what_the_server_calls_the_account_cannot_steer_the_terminal(run: Run, url: str, server: FakeServer) -> None:
    run("login", EMAIL, "--server", url, "--password-stdin", input=PASSWORD)
    server.users[EMAIL].email = "\x1b]0;title\x07ada"
    shown = run("status")
    assert "\x1b" not in shown.stdout
    assert "\\u{1b}]0;title" in shown.stdout


def test_wrong_usage_is_exit_2_also_in_json(run: Run) -> None:
    for arguments in (["login"], ["nothing"], ["ls", "--unknown"], ["rm"], ["unlock", "--vault", "x"]):
        assert run(*arguments).exit_code == 2
        wrong = run(*arguments, "--json")
        assert (wrong.exit_code, error_of(wrong)["code"]) == (2, "usage")
        assert wrong.stdout == ""
