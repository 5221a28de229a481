"""Due reminders as they come: a stream that is opened again where it broke; none is lost and none comes twice."""

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hushtag.client.answers import decode
from hushtag.client.batches import open_stream
from hushtag.client.effects import Opened, Pause, Request, Steps, close_answer, read_piece
from hushtag.client.errors import TimedOutError, TransportError
from hushtag.client.event_stream import EventParser, ServerEvent
from hushtag.client.policy import RetryPolicy
from hushtag.errors import MisuseError
from hushtag.reminder_messages import MAX_STREAM_SECONDS, Reminder

__all__ = ["DueEvents", "Place"]

PATH: Final = "/v1/reminders/events"
GRACE_SECONDS: Final = 60.0
"""How long after `wait` the server may take to end the stream, broken connections included."""


@dataclass
class Place:
    """Behind which event an iterator was left that went on no further."""

    last_id: str | None = None


class DueEvents:
    """The reminders that become due, for `wait` seconds, or (None) until whoever iterates has enough.

    They begin at `place`, and leave there where whoever had enough stands.
    """

    def __init__(self, token: str, retry: RetryPolicy, wait: int | None, place: Place) -> None:
        if wait is not None and not (isinstance(wait, int | float) and math.isfinite(wait)):
            raise MisuseError(f"wait is a finite number of seconds, not {type(wait).__name__}")
        self._token = token
        self._retry = retry
        self._wait = wait
        self._place = place
        self._parser = EventParser(None)
        self._due = deque[ServerEvent]()
        self._told: str | None = None  # where whoever iterates stands: the stream may be ahead
        self._opened: Opened | None = None
        self._was_open = False
        self._breaks = 0  # since an event came, or a sign of life
        self._ended = False
        self._waited = 0.0  # seconds, without those that whoever iterates takes

    def more(self) -> Steps[Sequence[Reminder] | None]:
        """Return the next reminder, waiting for it; None when `wait` is over.

        Raises:
            SessionExpiredError: the session has ended.
            BudgetError: too many streams are open for the account.
            TransportError, UnavailableError: the server stayed away.
            TimedOutError: it does not end the stream.
        """
        if not self._was_open and self._place.last_id is not None:
            # Of another session, it is no place to the server.
            last_id, self._place.last_id = self._place.last_id, None
            self._parser = EventParser(last_id)
        while self._due or not self._ended:
            if self._due:
                event = self._due.popleft()
                self._told = event.id
                if event.kind == "reminder":
                    return [decode(event.text.encode(), Reminder)]
                continue
            self._told = self._parser.last_id
            began = time.monotonic()
            try:
                self._due.extend((yield from self._look()))
            finally:
                self._waited += time.monotonic() - began
            if self._due:
                continue
            if self._wait is not None and self._waited > self._wait + GRACE_SECONDS:
                raise TimedOutError("the server does not end the stream of reminders")
        return None

    def _look(self) -> Steps[Sequence[ServerEvent]]:
        """Return the events of the next piece; none if it completes none, or there was no piece."""
        opened = self._opened or (yield from self._open())
        try:
            piece = yield from read_piece(opened)
        except TransportError:
            yield from self._leave()  # half an event that came is sent again: the id is that of the last whole one
            return ()
        if not piece:
            yield from self._leave()
            self._ended = self._wait is not None
            return ()
        events = self._parser.take(piece)
        if self._parser.alive:
            self._breaks = 0
        return events

    def _open(self) -> Steps[Opened]:
        if self._breaks:
            yield Pause(self._retry.wait(self._breaks - 1))
        self._breaks += 1
        headers = {"Accept": "text/event-stream, application/problem+json"}
        if self._parser.last_id:
            headers["Last-Event-ID"] = self._parser.last_id
        wait = MAX_STREAM_SECONDS if self._wait is None else max(0, math.ceil(self._wait - self._waited))
        request = Request("GET", PATH, self._token, headers=headers, query={"wait": str(wait)})
        self._opened = yield from open_stream(request, "text/event-stream", self._retry, again=self._was_open)
        self._was_open = True
        self._parser = EventParser(self._parser.last_id)
        return self._opened

    def _leave(self) -> Steps[None]:
        opened, self._opened = self._opened, None
        if opened is not None:
            yield from close_answer(opened)

    def end(self) -> Steps[None]:
        """Close the stream. What the server sent of it and nobody took is for the next one."""
        if not self._ended and self._told is not None:
            self._place.last_id = self._told
        self._ended = True
        yield from self._leave()
