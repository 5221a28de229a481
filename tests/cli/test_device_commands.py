"""hushtag device: show, use, drop, offer, accept, qr, import-qr, and --this-device at every command of a vault."""

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hushtag.cli.here import Here
from hushtag.device_secret import TEXT_PREFIX
from tests.cli.conftest import Run, as_json, command_line, error_of
from tests.client.support import EMAIL, PASSWORD

Process = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def second_state(tmp_path: Path) -> Path:
    return tmp_path / "second"


@pytest.fixture
def second(logged_in: Run, second_state: Path, url: str) -> Run:
    """The command on another device of the same account."""

    def invoke(*arguments: str, input: str | bytes | None = None) -> Any:  # noqa: A002 - click's name for it
        return logged_in(*arguments, "--state", str(second_state), input=input)

    assert invoke("login", EMAIL, "--server", url, "--password-stdin", input=PASSWORD + "\n").exit_code == 0
    return invoke


def test_the_first_login_makes_a_secret_and_warns_where_there_is_no_keyring(run: Run, url: str, state: Path) -> None:
    log_in = ("login", EMAIL, "--server", url, "--password-stdin")
    first = run(*log_in, input=PASSWORD + "\n")
    assert first.exit_code == 0
    assert "no keyring" in first.stderr
    again = run(*log_in, input=PASSWORD + "\n")
    assert "keyring" not in again.stderr
    path = state / "device-secrets.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    names = as_json(run("device", "show", "--json"))["names"]
    assert len(names) == 1
    shown = run("device", "show").stdout
    assert shown == f"{names[0]}  (in use)\n"
    assert not any(each in shown for each in json.loads(path.read_text())["accounts"].popitem()[1]["secrets"])


def test_a_phrase_of_this_device_opens_nothing_without_it(logged_in: Run, second: Run, workplace: Path) -> None:
    drawn = as_json(logged_in("enrol", "--draw", "--this-device", "--json"))["phrase"]

    def ls(run: Run, *options: str) -> Any:
        return run("ls", "--phrase-stdin", "--json", *options, input=drawn + "\n")

    assert as_json(ls(logged_in, "--this-device")) == {"objects": []}
    refused = [ls(logged_in), ls(second), ls(second, "--this-device")]
    assert [result.exit_code for result in refused] == [4] * 3
    assert len({result.stderr for result in refused}) == 1
    both = ls(logged_in, "--this-device", "--device-secret", "device")
    assert error_of(both)["code"] == "usage"


def test_qr_and_its_text_carry_the_secret(logged_in: Run, second: Run, workplace: Path, state: Path) -> None:
    refused = logged_in("device", "qr")
    assert refused.exit_code == 2
    assert "--png" in refused.stderr
    name = as_json(logged_in("device", "qr", "--png", "secret.png", "--json"))["name"]
    image = workplace / "secret.png"
    assert image.read_bytes().startswith(b"\x89PNG")
    assert stat.S_IMODE(image.stat().st_mode) == 0o600
    assert logged_in("device", "qr", "--png", "secret.png").exit_code == 2
    own = as_json(second("device", "show", "--json"))["names"][0]
    text = _text_of(state)
    assert as_json(second("device", "import-qr", "--text-stdin", "--json", input=text + "\n"))["name"] == name
    assert as_json(second("device", "show", "--json"))["names"] == [name, own]
    assert as_json(second("device", "use", *own.split(" "), "--json"))["name"] == own
    assert second("device", "drop", *name.split(" ")).exit_code == 2  # nobody to ask
    assert second("device", "drop", *own.split(" "), "--yes").exit_code == 2  # the one in use
    dropped = as_json(second("device", "drop", *name.split(" "), "--yes", "--json"))
    assert dropped == {"dropped": name, "names": [own]}
    assert error_of(second("device", "drop", *name.split(" "), "--yes", "--json"))["exit_code"] == 9


def test_what_is_pasted_wrong_is_wrong_input_and_no_answer_of_a_server(
    logged_in: Run, second: Run, state: Path
) -> None:
    own = as_json(second("device", "show", "--json"))["names"]
    code = "abruptly abruptly abruptly\n"
    for run, arguments, pasted in (
        (second, ("import-qr", "--text-stdin"), _text_of(state)[:-2] + "\n"),
        (logged_in, ("offer", "--offline"), "htp1a.AAAA\n"),
        (second, ("accept", "--offline", "--code-stdin"), code + "htp1a.AAAA\n"),
    ):
        refused = run("device", *arguments, input=pasted)
        assert refused.exit_code == 2
        assert "look whether it was pasted whole" in refused.stderr
        assert "server" not in refused.stderr
    assert as_json(second("device", "show", "--json"))["names"] == own


def _text_of(state: Path) -> str:
    # The image itself needs a camera.
    with Here(as_json=True, server=None, state=state, allow_insecure=False).logged_in() as client:
        text = client.device.text()
    assert text.startswith(TEXT_PREFIX)
    return text


def test_two_processes_pair(logged_in: Run, second: Run, second_state: Path, environment: dict[str, str]) -> None:
    """`offer` and `accept` without the server: two processes, three lines, one code."""
    old = _started("offer", environment, "--offline")
    shown = _read(old, "offer", "code", "offer")
    new = _started("accept", {**environment, "HUSHTAG_STATE": str(second_state)}, "--code-stdin", "--offline")
    _write(new, shown["code"].upper(), shown["offer"])
    _write(old, _read(new, "answer", "answer")["answer"])
    _write(new, _read(old, "delivery", "delivery")["delivery"])
    name = _read(new, "paired", "name")["name"]
    for process in (old, new):
        assert process.wait(30) == 0
        _nothing_more(process)
    assert as_json(second("device", "show", "--json"))["names"][0] == name
    assert as_json(logged_in("device", "show", "--json"))["names"] == [name]


def test_two_processes_pair_by_the_code_alone(
    logged_in: Run, second: Run, second_state: Path, environment: dict[str, str]
) -> None:
    assert error_of(second("device", "accept", "--code-stdin", "--json", input="one two three\n"))["exit_code"] == 9
    old = _started("offer", environment)
    code = _read(old, "code", "code")["code"]
    taken = as_json(second("device", "accept", "--code-stdin", "--json", input=code.upper() + "\n"))
    assert _read(old, "paired", "name") == taken
    assert old.wait(30) == 0
    _nothing_more(old)
    assert as_json(second("device", "show", "--json"))["names"][0] == taken["name"]
    assert as_json(logged_in("device", "show", "--json"))["names"] == [taken["name"]]


def test_a_wrong_code_ends_it(logged_in: Run, second: Run, second_state: Path, environment: dict[str, str]) -> None:
    old = _started("offer", environment, "--offline")
    shown = _read(old, "offer", "code", "offer")
    new = _started("accept", {**environment, "HUSHTAG_STATE": str(second_state)}, "--code-stdin", "--offline")
    words = shown["code"].split(" ")
    _write(new, " ".join([words[1], words[0], "abruptly" if words[2] != "abruptly" else "acrobat"]), shown["offer"])
    _write(old, _read(new, "answer", "answer")["answer"])
    assert old.wait(30) == 4
    assert new.stdin is not None
    new.stdin.close()
    assert new.wait(30) == 2
    for process in (old, new):
        _close(process)
    assert len(as_json(second("device", "show", "--json"))["names"]) == 1


def _started(command: str, environment: dict[str, str], *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command_line("device", command, "--json", *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _read(process: "subprocess.Popen[str]", step: str, *fields: str) -> Any:
    """The next line, which tells of this step with exactly these fields."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    told = json.loads(line)
    assert told["step"] == step
    assert set(told) == {"step", *fields}
    return told


def _nothing_more(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.read() == ""
    _close(process)


def _write(process: "subprocess.Popen[str]", *lines: str) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(f"{line}\n" for line in lines))
    process.stdin.flush()


def _close(process: "subprocess.Popen[str]") -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
