"""Files that the caller gives open: nobody knows whether they keep what an open binary file promises."""

import io
from collections.abc import Coroutine
from typing import IO, Protocol

from hushtag.errors import MisuseError

__all__ = ["Reader", "SourceChangedError", "read_some", "writable", "write_some"]


class Reader(Protocol):
    """What can be read as an open binary file can."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        ...


class SourceChangedError(MisuseError):
    """The file was changed while it was read; nothing was stored. Put it again."""


def read_some(file: Reader, size: int) -> bytes | bytearray | memoryview:
    """Return up to `size` bytes of a file, none at its end.

    Raises:
        MisuseError: it gives text, or something to await, or more than was asked for, or stops an iteration that is
            none.
        BlockingIOError: it has nothing now, and does not wait.
    """
    try:
        piece: object = file.read(size)
    except StopIteration:  # it would end the steps, or never come out of a thread
        raise MisuseError("the source raises StopIteration; at its end it must give no bytes") from None
    if piece is None:
        raise BlockingIOError("the source has nothing now, and does not wait")
    if isinstance(piece, str):
        raise MisuseError("the source gives text; open it in binary mode")
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise MisuseError(f"the source gives {_kind(piece)}, not bytes")
    if len(piece) > size:
        raise MisuseError(f"the source gives {len(piece)} bytes where at most {size} were asked for")
    return piece


def _kind(given: object) -> str:
    if isinstance(given, Coroutine):
        given.close()  # nobody will await it
        return "what must be awaited"
    return type(given).__name__


def write_some(file: IO[bytes], piece: memoryview) -> int:
    """Write a piece to a file, or the beginning of it; returns how many bytes.

    Raises:
        MisuseError: it returns something else than how many it took of them.
        BlockingIOError: it takes nothing now, and does not wait.
    """
    written: object = file.write(piece)
    if not written:
        raise BlockingIOError("the target takes nothing more")
    if not isinstance(written, int):
        raise MisuseError(f"the target's `write` returns {_kind(written)}, not how many bytes it took")
    if not 0 < written <= len(piece):
        raise MisuseError(f"the target says it took {written} bytes of {len(piece)}")
    return written


def writable(target: IO[bytes]) -> IO[bytes]:
    """Return an open file that content can be written to.

    Raises:
        MisuseError: it is none, or one of text.
    """
    given: object = target
    if not hasattr(given, "write"):
        raise MisuseError("the target is a path or an open binary file; wrap a path of bytes in os.fsdecode")
    if isinstance(given, io.TextIOBase):
        raise MisuseError("the target takes text; open it in binary mode")
    return target
