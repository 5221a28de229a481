"""The bell of a worker: wakes the event streams of a user when one of their reminders changes at any worker.

One connection outside the pool listens for what the trigger on `reminders` says. It only saves time: a stream also
looks at every heartbeat, so a lost bell delays an event and never loses one.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from uuid import UUID

import psycopg
from litestar.connection import ASGIConnection
from psycopg import AsyncConnection

from hushtag.reminder_messages import MAX_STREAMS_PER_USER, MAX_STREAMS_PER_WORKER
from hushtag_server.errors import TooManyStreamsError, UnavailableError

__all__ = ["Bell", "bell_of"]

_FIRST_WAIT: Final = 0.5  # seconds before connecting again, doubled each time
_LONGEST_WAIT: Final = 30.0
_RETRY_AFTER: Final = 15
_KEEPALIVE: Final[dict[str, Any]] = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class Bell:
    """The streams of a worker by user, and the connection that wakes them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._streams: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._count = 0
        self.stopping = False
        self.listens = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen while the context lasts; the streams end with it."""
        self.stopping = False
        task = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            self.stop()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @contextmanager
    def subscribed(self, user_id: UUID) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the user's reminders change, or when the worker stops.

        Raises:
            TooManyStreamsError: the user has enough streams here.
            UnavailableError: the worker has.
        """
        if self._count >= MAX_STREAMS_PER_WORKER or self.stopping:
            raise UnavailableError("the worker takes no more streams")
        if len(self._streams.get(user_id, ())) >= MAX_STREAMS_PER_USER:
            raise TooManyStreamsError(_RETRY_AFTER)
        woken = asyncio.Event()
        self._streams[user_id].add(woken)
        self._count += 1
        try:
            yield woken
        finally:
            self._count -= 1
            self._streams[user_id].discard(woken)
            if not self._streams[user_id]:
                del self._streams[user_id]

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._count

    def stop(self) -> None:
        """Let every stream end by itself, and take no more."""
        self.stopping = True
        self._ring_all()

    def _ring_all(self) -> None:
        for streams in self._streams.values():
            for woken in streams:
                woken.set()

    def _ring(self, payload: str) -> None:
        with contextlib.suppress(ValueError):  # whoever may connect may notify; what is no user id wakes nobody
            for woken in self._streams.get(UUID(payload), ()):
                woken.set()

    async def _listen(self) -> None:
        wait = _FIRST_WAIT
        while True:
            with contextlib.suppress(psycopg.Error, OSError):
                async with await AsyncConnection.connect(
                    self._url, autocommit=True, application_name="hushtag-bell", connect_timeout=5, **_KEEPALIVE
                ) as connection:
                    await connection.execute("LISTEN hushtag_reminders")
                    wait = _FIRST_WAIT
                    self.listens.set()
                    self._ring_all()  # nobody knows what was said while nobody listened
                    async for said in connection.notifies():
                        self._ring(said.payload)
            self.listens.clear()
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)


def bell_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Bell:
    """Return the bell of the application that serves this connection."""
    bell: Bell = connection.app.state["bell"]
    return bell
