"""Programs that the server and its commands start: none is left running or waited for, whenever a signal arrives.

A handler of SIGINT, SIGTERM or SIGHUP that raises may do so between the start of a program and the first line that
would end it: whoever ends the block then either never learns of the program, or waits for it without having told it to
end.
"""

import contextlib
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Final

__all__ = ["running_program", "uninterrupted"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold SIGINT, SIGTERM and SIGHUP back until the block ends; then they reach whoever handled them, and may raise.

    For a block of an instant. Handlers run in the main thread only: in any other, there is nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        arrived.append(number)

    # What was not installed from Python could not be put back, and does not raise.
    before = {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) is not None}
    try:
        for number in before:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for arrival in arrived:
            signal.raise_signal(arrival)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()  # first: at the end of its input it would take a part for the whole. No-op once it was waited for
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):  # what was not written to it, nobody reads any more
                stream.close()
    process.wait()


@contextlib.contextmanager
def running_program(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a program without a shell; it is killed if it still runs when the block ends, and waited for.

    `options` are those of `subprocess.Popen`.

    Raises:
        OSError: it cannot be started.
    """
    with contextlib.ExitStack() as stack:
        with uninterrupted():
            # S603: what is started is named by our own code or by the operator's setting.
            process: subprocess.Popen[bytes] = subprocess.Popen(command, **options)  # noqa: S603
            stack.callback(_end, process)
        yield process
