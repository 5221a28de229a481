"""Files that the caller gives open: nobody knows whether they keep what an open binary file promises."""

import io
from typing import IO, Protocol

from hushtag.errors import MisuseError

__all__ = ["Reader", "SourceChangedError", "read_some", "writable"]


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
        MisuseError: it gives text, or more than was asked for, or stops an iteration that is none.
        BlockingIOError: it has nothing now, and does not wait.
    """
    try:
        piece: object = file.read(size)
    except StopIteration:  # it would end the steps, or never come out of a thread
        raise MisuseError("the source raises StopIteration; at its end it must give no bytes") from None
    if piece is None:
        raise BlockingIOError("the source has nothing now, and does not wait")
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise MisuseError("the source gives text; open it in binary mode")
    if len(piece) > size:
        raise MisuseError(f"the source gives {len(piece)} bytes where at most {size} were asked for")
    return piece


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
