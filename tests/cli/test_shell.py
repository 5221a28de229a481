"""unlock --shell: several commands on one open vault, and every way in which it ends locks it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.client.fake_server import FakeServer
from tests.client.support import PHRASE

Process = Callable[..., subprocess.CompletedProcess[bytes]]


def script(*lines: str) -> bytes:
    return "\n".join([PHRASE, *lines, ""]).encode()


def test_commands_share_one_unlock(logged_in: Run, process: Process, workplace: Path, server: FakeServer) -> None:
    (workplace / "a file").write_bytes(b"content")
    server.log.clear()
    lines = ('put "a file"', "ls", "get 'a file' -o -", "rm --yes 'a file'", "ls --json", "phrases", "lock", "ls")
    done = process("unlock", "--shell", "--phrase-stdin", input=script(*lines))
    assert done.returncode == 0, done.stderr
    assert b"content" in done.stdout
    assert b"Locked." in done.stdout
    assert b'{"objects": []}' in done.stdout
    assert b"for the diary" in done.stdout
    assert sum(line.endswith("/unlock/locate") for line in server.log) == 1
    assert server.log[-1] == "DELETE /v1/vault-session"  # nothing after `lock`
    assert server.vault_tokens == {}


def test_an_error_does_not_end_the_shell(logged_in: Run, process: Process, workplace: Path) -> None:
    lines = ("nonsense", "get nothing", 'put "open', "put missing", "rm x", "ls --phrase-stdin", "ls --help", "", "ls")
    done = process("unlock", "--shell", "--phrase-stdin", "--json", input=script(*lines))
    errors = [json.loads(line)["error"]["code"] for line in done.stderr.splitlines()]
    assert errors == ["usage", "not_found", "usage", "usage", "usage", "usage"]
    assert done.stdout.splitlines()[-1] == b'{"objects": []}'
    assert done.returncode == 2  # a script must not take a put that failed for one that is done


@pytest.mark.parametrize(
    "refused",
    [b"put \xff\xfe", b"ls " + b" " * 17_000 + b" rm --yes kept", b"x" * 200_000 + b" rm --yes kept"],
    ids=["no UTF-8", "too long", "longer than what is read at once"],
)
def test_a_line_that_cannot_be_read_is_refused_alone(
    logged_in: Run, process: Process, workplace: Path, refused: bytes
) -> None:
    (workplace / "kept").write_bytes(b"content")
    lines = b"\n".join([PHRASE.encode(), b"put kept", refused, b"ls", b""])
    done = process("unlock", "--shell", "--phrase-stdin", "--json", input=lines)
    errors = [json.loads(line)["error"] for line in done.stderr.splitlines()]
    assert [(error["code"], error["exit_code"]) for error in errors] == [("usage", 2)]
    assert [each["name"] for each in json.loads(done.stdout.splitlines()[-1])["objects"]] == ["kept"]
    assert done.returncode == 2


def test_a_phrase_that_cannot_be_read_begins_no_shell(logged_in: Run, process: Process, server: FakeServer) -> None:
    server.log.clear()
    done = process("unlock", "--shell", "--phrase-stdin", "--json", input=b"\xff\nls\n")
    assert [json.loads(line)["error"]["code"] for line in done.stderr.splitlines()] == ["usage"]
    assert (done.returncode, done.stdout) == (2, b"")
    assert not any("unlock" in line for line in server.log)


def test_a_line_that_asks_for_json_has_its_error_in_json(logged_in: Run, process: Process, workplace: Path) -> None:
    done = process("unlock", "--shell", "--phrase-stdin", input=script("put missing", "get nothing --json", "ls"))
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == "not_found"
    assert done.returncode == 9


def test_the_end_of_input_locks(logged_in: Run, process: Process, server: FakeServer) -> None:
    done = process("unlock", "--shell", "--phrase-stdin", input=script("ls"))
    assert done.returncode == 0
    assert server.log[-1] == "DELETE /v1/vault-session"


def test_idleness_locks(logged_in: Run, environment: dict[str, str], server: FakeServer) -> None:
    from tests.cli.conftest import command_line

    shell = subprocess.Popen(
        command_line("unlock", "--shell", "--phrase-stdin", "--idle", "1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert shell.stdin is not None
    shell.stdin.write(script())
    shell.stdin.flush()  # and it stays open: only idleness can end this
    assert shell.wait(30) == 0
    out, err = shell.communicate()
    assert b"Locked after 1 s" in err
    assert out == b""
    assert server.log[-1] == "DELETE /v1/vault-session"


@pytest.mark.parametrize("option", ["--candidate-stdin"])
def test_candidates_and_shell_exclude_each_other(logged_in: Run, option: str) -> None:
    refused = logged_in("unlock", "--shell", option, input=PHRASE)
    assert (refused.exit_code, "exclude" in refused.stderr) == (2, True)
