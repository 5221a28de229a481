"""Programs that are started are ended, also when a signal arrives at the worst of moments."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from hushtag_server.processes import running_program, uninterrupted

SLEEPS = ["sleep", "100"]
PIPES: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


class StopError(Exception):
    """What the handler of this test raises."""


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal whose handler raises, as those of our commands do."""

    def stop(_: int, __: FrameType | None) -> None:
        raise StopError

    before = signal.signal(request.param, stop)
    yield request.param
    signal.signal(request.param, before)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    """Every program that was started since."""
    programs: list[subprocess.Popen[bytes]] = []
    original = subprocess.Popen.__init__

    def note(self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        programs.append(self)

    monkeypatch.setattr(subprocess.Popen, "__init__", note)
    return programs


def test_a_program_is_killed_when_the_signal_comes_while_it_is_started(
    number: int, started: list["subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = subprocess.Popen.__init__

    def signalled(self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        signal.raise_signal(number)

    monkeypatch.setattr(subprocess.Popen, "__init__", signalled)
    with pytest.raises(StopError), running_program(SLEEPS, **PIPES):
        pytest.fail("the block was entered")
    (program,) = started
    assert program.returncode == -signal.SIGKILL
    assert all(stream is not None and stream.closed for stream in (program.stdin, program.stdout, program.stderr))


def test_a_program_is_killed_before_the_end_of_its_input_tells_it_that_all_was_sent(number: int) -> None:
    code = "import sys; sys.stdin.read(); sys.exit(3)"
    programs: list[subprocess.Popen[bytes]] = []

    def run() -> None:
        with running_program([sys.executable, "-c", code], **PIPES) as program:
            programs.append(program)
            assert program.stdin is not None
            program.stdin.write(b"not all")
            signal.raise_signal(number)

    with pytest.raises(StopError):
        run()
    assert [program.returncode for program in programs] == [-signal.SIGKILL]


def test_a_program_that_ended_keeps_its_code_and_what_it_did_not_read_is_no_error() -> None:
    with running_program(["sh", "-c", "exec <&-; echo said; exit 7"], **PIPES) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.read() == b"said\n"
        program.stdin.write(b"for nobody")
        assert program.wait() == 7
    assert program.returncode == 7
    with pytest.raises(FileNotFoundError), running_program(["/nonexistent/program"]):
        pytest.fail("the block was entered")


def test_signals_that_were_held_back_arrive_at_the_end_and_handlers_are_as_before(number: int) -> None:
    handler = signal.getsignal(number)
    reached: list[str] = []

    def run() -> None:
        with uninterrupted():
            os.kill(os.getpid(), number)
            reached.append("the end of the block")
        reached.append("what is behind it")

    with pytest.raises(StopError):
        run()
    assert reached == ["the end of the block"]
    assert signal.getsignal(number) is handler
    with pytest.raises(ValueError, match="of the block"), uninterrupted():
        raise ValueError("of the block")
    assert signal.getsignal(number) is handler


def test_another_thread_holds_nothing_back_and_starts_programs_too() -> None:
    ended: list[int | None] = []

    def work() -> None:
        with running_program(SLEEPS) as program:
            pass
        ended.append(program.returncode)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [-signal.SIGKILL]
