"""Streams of due reminders as server-sent events (WHATWG HTML, section 9.2).

No database connection is held between two looks. Each look authenticates the token anew, so a stream ends at the
latest one heartbeat after its session.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from litestar import Request

from hushtag_server.auth import account_transaction
from hushtag_server.errors import RefusedError
from hushtag_server.reminders import deliveries
from hushtag_server.reminders.bell import Bell
from hushtag_server.reminders.schemas import DueReminder, Telling
from hushtag_server.services import Services

__all__ = ["HEARTBEAT", "tell_events"]

HEARTBEAT: Final = 15.0  # seconds
_BATCH: Final = 100
_RETRY: Final = 3000  # milliseconds a client waits before it connects again
_LATE: Final = 0.005  # seconds behind the due time, so that the database's clock has passed it
_ID: Final = re.compile(r"([0-9a-f]{12})-([0-9]{1,18})")


def _event_id(session_id: UUID, position: int) -> str:
    return f"{session_id.hex[-12:]}-{position}"


def _position_of(event_id: str | None, session_id: UUID) -> int | None:
    # Anything but an id of this session is none: whoever logs in anew starts with what is due.
    found = _ID.fullmatch(event_id or "")
    return int(found[2]) if found and found[1] == session_id.hex[-12:] else None


def _frame(session_id: UUID, event: DueReminder) -> bytes:
    # JSON as msgspec writes it has no line breaks, so one data line holds it.
    head = f"event: reminder\nid: {_event_id(session_id, event.position)}\ndata: "
    return head.encode() + msgspec.json.encode(event.to_message()) + b"\n\n"


class _Session:
    """What one stream knows of its session."""

    def __init__(self, request: Request[Any, Any, Any], services: Services) -> None:
        self._request = request
        self._services = services
        self.user_id = self.session_id = UUID(int=0)
        self.resume: int | None = None

    async def enter(self, last_event_id: str | None) -> bytes:
        """Authenticate; return the opening, which tells the client where it stands before the first event."""
        async with account_transaction(self._request, self._services) as (connection, self.user_id, self.session_id):
            self.resume = _position_of(last_event_id, self.session_id)
            position = self.resume
            if position is None:
                position = await deliveries.find_position(connection, self.user_id, self.session_id)
        return f"retry: {_RETRY}\nid: {_event_id(self.session_id, position)}\n\n".encode()

    async def look(self) -> Telling:
        """Return what to tell now: first what was told before and did not arrive, then what is newly due."""
        async with account_transaction(self._request, self._services) as (connection, user_id, session_id):
            if self.resume is not None:
                again = await deliveries.list_delivered(
                    connection, user_id, session_id, after=self.resume, limit=_BATCH
                )
                self.resume = again[-1].position if len(again) == _BATCH else None
                return Telling(again, 0.0)
            is_due, more_in = await deliveries.look_ahead(connection, user_id, session_id)
            if not is_due:
                return Telling([], more_in)
            return Telling(await deliveries.deliver_due(connection, user_id, session_id, limit=_BATCH), 0.0)


async def _pause(woken: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        pass


async def tell_events(
    request: Request[Any, Any, Any], services: Services, bell: Bell, last_event_id: str | None, seconds: float
) -> AsyncIterator[bytes]:
    """Yield the opening, then events and heartbeats for `seconds`; 0 tells what is due and ends.

    Raises:
        UnauthenticatedError, TooManyStreamsError, UnavailableError: before the opening. Afterwards the stream ends.
    """
    session = _Session(request, services)
    opening = await session.enter(last_event_id)
    clock = asyncio.get_running_loop().time
    ends = clock() + seconds
    with bell.subscribed(session.user_id) as woken:
        yield opening
        spoken = clock()
        while not bell.stopping:
            woken.clear()  # before the look: what rings during it is looked at again
            try:
                telling = await session.look()
            except (RefusedError, psycopg.Error):
                return  # the session ended or the database is away; the client comes again and is told which
            for event in telling.events:
                yield _frame(session.session_id, event)
                spoken = clock()
            if telling.more_in == 0.0:
                continue
            if clock() >= ends:
                return
            quiet = spoken + HEARTBEAT - clock()
            if quiet <= 0:
                yield b":\n\n"
                spoken = clock()
                quiet = HEARTBEAT
            due = HEARTBEAT if telling.more_in is None else telling.more_in + _LATE
            await _pause(woken, min(quiet, due, ends - clock()))
