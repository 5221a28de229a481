"""Server-sent events (WHATWG HTML, section 9.2.6), from bytes as they arrive. Any bytes give events or our error."""

import re
from typing import Final, NamedTuple

from hushtag.errors import MalformedError

__all__ = ["EventParser", "ServerEvent"]

MAX_EVENT_BYTES: Final = 128 * 1024
"""Bytes of one event, and of one line."""
_END: Final = re.compile(rb"\r\n|\n|\r")
_ID: Final = re.compile(r"[!-~]{0,64}")


class ServerEvent(NamedTuple):
    """One event: its kind, its text, and where the stream stands behind it."""

    kind: str
    text: str
    id: str | None


class EventParser:
    """Takes bytes, gives events. `last_id` is where the stream stands; `alive` whether it spoke since it was opened."""

    def __init__(self, last_id: str | None) -> None:
        self.last_id = last_id
        self.alive = False
        self._pending_id = last_id
        self._buffer = b""
        self._kind = ""
        self._lines: list[str] = []
        self._size = 0

    def take(self, piece: bytes) -> list[ServerEvent]:
        """Return the events that these bytes complete.

        Raises:
            MalformedError: not UTF-8, a line or an event over 128 KiB, or an id that is not printable ASCII.
        """
        self._buffer += piece
        found: list[ServerEvent] = []
        start = 0
        for end in _END.finditer(self._buffer):
            if end.group() == b"\r" and end.end() == len(self._buffer):
                break  # the rest of it may be on its way
            event = self._line(self._buffer[start : end.start()])
            start = end.end()
            if event is not None:
                found.append(event)
        self._buffer = self._buffer[start:]
        self._check(len(self._buffer))
        return found

    def _check(self, more: int) -> None:
        if self._size + more > MAX_EVENT_BYTES:
            raise MalformedError(f"event is longer than {MAX_EVENT_BYTES} bytes")

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        self._check(len(line))
        if line.startswith(b":"):
            self.alive = True
            return None
        self._size += len(line)
        try:
            name, _, value = line.decode("utf-8").partition(":")
        except UnicodeDecodeError:
            raise MalformedError("stream of events is not UTF-8") from None
        self._field(name, value.removeprefix(" "))
        return None

    def _field(self, name: str, value: str) -> None:
        if name == "data":
            self._lines.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            # It goes back in a header, so only what a header can hold is taken.
            if not _ID.fullmatch(value):
                raise MalformedError("event has an id that is not printable ASCII")
            self._pending_id = value

    def _dispatch(self) -> ServerEvent | None:
        self.last_id = self._pending_id
        event = ServerEvent(self._kind or "message", "\n".join(self._lines), self.last_id) if self._lines else None
        self.alive = self.alive or event is not None
        self._kind = ""
        self._lines = []
        self._size = 0
        return event
