"""Standard input, read by one reader: what one secret leaves over, the next line, or the content, still gets."""

import io
import os
import select
import sys
from typing import Final

from hushtag.cli.failures import UsageError

__all__ = ["IdleError", "StandardInput"]

MAX_LINE_BYTES: Final = 16 * 1024
_PIECE: Final = 64 * 1024


class IdleError(Exception):
    """No line came in time."""


class StandardInput:
    """Reads standard input line by line, without taking more lines from it than were asked for from their reader, and
    what follows the lines as an open binary file would.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._begun = self._ended = self._skipping = False

    def line(self, *, idle: float | None = None) -> str | None:
        """Return the next line without its end; `None` at the end of input.

        A mark of the byte order that some editors and shells put before UTF-8 is no part of the first line. A line
        that was refused is gone: the next call returns the one behind it, never the end of what was too long.

        Raises:
            UsageError: not UTF-8, or longer than 16 KiB.
            IdleError: nothing came for `idle` seconds.
        """
        self._skip(idle)
        while b"\n" not in self._buffer[: MAX_LINE_BYTES + 1]:
            if len(self._buffer) > MAX_LINE_BYTES:
                self._begun = self._skipping = True
                raise UsageError(f"a line of standard input is longer than {MAX_LINE_BYTES} bytes")
            if self._ended:
                break
            self._buffer += self._piece(idle)
        if not self._buffer:
            return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        encoding = "utf-8" if self._begun else "utf-8-sig"
        self._begun = True
        try:
            return line.removesuffix(b"\r").decode(encoding)
        except UnicodeDecodeError:
            raise UsageError("standard input is not UTF-8") from None

    def _skip(self, idle: float | None) -> None:
        """Let go of what is left of a line that was too long: of one without an end no more than a piece is held."""
        while self._skipping:
            _, end, self._buffer = self._buffer.partition(b"\n")
            self._skipping = not (end or self._ended)
            if self._skipping:
                self._buffer = self._piece(idle)

    def _piece(self, idle: float | None) -> bytes:
        piece = self._read(_PIECE, idle)
        self._ended = not piece
        return piece

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes of what follows the lines that were read; none at the end."""
        if self._buffer:
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            return piece
        return b"" if self._ended else self._read(size)

    @staticmethod
    def _read(size: int, idle: float | None = None) -> bytes:
        try:
            descriptor = sys.stdin.fileno()
        except (io.UnsupportedOperation, AttributeError, ValueError):
            return sys.stdin.buffer.readline(size)  # a stand-in, which cannot be waited for
        if idle is not None and not select.select([descriptor], [], [], idle)[0]:
            raise IdleError
        return os.read(descriptor, size)
