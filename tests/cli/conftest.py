"""Fixtures of the command's tests: a server behind a socket, a state directory, and a way to run the command."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hushtag.cli.group import cli
from hushtag.client import RetryPolicy
from tests.cli.fake_http import served
from tests.client.conftest import enrolled_server, server  # noqa: F401 - fixtures
from tests.client.fake_server import FakeServer
from tests.client.support import EMAIL, PASSWORD, PHRASE
from tests.stretching import stretched_once  # noqa: F401 - a fixture

Run = Callable[..., Result]


@pytest.fixture
def url(server: FakeServer) -> Iterator[str]:  # noqa: F811 - the fixture imported above
    with served(server) as running:
        yield running


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty present directory."""
    place = tmp_path / "work"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command in this process tries again at once; how long it ought to wait is tried in tests/client."""
    monkeypatch.setattr(RetryPolicy, "_pause", lambda *_: 0.0)


@pytest.fixture
def run(state: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("ls", "--json", input=…)` runs the command in this process."""
    monkeypatch.setenv("HUSHTAG_STATE", str(state))
    monkeypatch.delenv("HUSHTAG_SERVER", raising=False)

    def invoke(*arguments: str, input: str | bytes | None = None) -> Result:  # noqa: A002 - click's name for it
        result = CliRunner().invoke(cli, list(arguments), input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def logged_in(run: Run, url: str) -> Run:
    """`run`, with a session in the state."""
    assert run("login", EMAIL, "--server", url, "--password-stdin", input=PASSWORD + "\n").exit_code == 0
    return run


@pytest.fixture
def inside(logged_in: Run) -> Run:
    """`inside("ls")` runs a command of the vault with the right phrase."""

    def invoke(*arguments: str, phrase: str = PHRASE) -> Result:
        return logged_in(*arguments, "--phrase-stdin", input=phrase + "\n")

    return invoke


def as_json(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def error_of(result: Result) -> Any:
    error = json.loads(result.stderr)["error"]
    assert error["exit_code"] == result.exit_code
    return error


def command_line(*arguments: str) -> list[str]:
    """The command in a process of its own, warnings being errors."""
    return [sys.executable, "-W", "error", "-c", "from hushtag.cli import main; main()", *arguments]


@pytest.fixture
def environment(state: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}
    return {**kept, "HUSHTAG_STATE": str(state), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def process(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """`process("ls", input=b"…")` runs the command in its own process."""

    def start(*arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:  # noqa: A002 - as above
        return subprocess.run(command_line(*arguments), input=input, capture_output=True, env=environment, timeout=60)

    return start
