"""Segments on their way out: the next piece is read while one is sent, and none beyond it."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager
from typing import Any, Final
from uuid import UUID

import psycopg
from litestar import Response

from hushtag_server.asgi import Receive, Scope, Send
from hushtag_server.edge import prolong_deadline
from hushtag_server.errors import (
    RefusedError,
    SegmentLostError,
    StartError,
    UnauthenticatedError,
    UnavailableError,
)
from hushtag_server.services import Services
from hushtag_server.streams import queries
from hushtag_server.streams.limits import PART_BYTES
from hushtag_server.streams.object_store import ObjectGoneError, ObjectStoreError
from hushtag_server.streams.queries import SegmentPage, SegmentRow, StreamPlace
from hushtag_server.vault.in_use import absence
from hushtag_server.vault.schemas import VaultCaller

__all__ = ["BodyResponse", "Reading", "checked_page", "in_parts"]

_AHEAD: Final = 16
"""Segments that are looked up at once, which authenticates anew."""
_log = logging.getLogger("hushtag.server")


class _MovedError(Exception):
    """The bytes are not where the segment's row said, or not all of them."""


async def checked_page(services: Services, caller: VaultCaller, page: SegmentPage) -> SegmentPage:
    """Return a page of a stream that this caller may see.

    Raises:
        UnauthenticatedError, NotFoundError: it may not.
    """
    if page.tag_id is None:
        raise UnauthenticatedError("no such vault session")
    if page.state is None:
        raise await absence(services, caller, "no such stream")
    return page


class Reading:
    """One caller reading one stream."""

    def __init__(self, services: Services, caller: VaultCaller, place: StreamPlace) -> None:
        self._services, self._caller, self.place = services, caller, place

    async def look_up(self, first: int, count: int) -> list[SegmentRow]:
        """Authenticate and return the segments numbered `first` and up, without a gap.

        Raises:
            UnauthenticatedError, NotFoundError: the session ended, or the stream did.
        """
        page = await queries.list_segments(
            self._services.pool, self._caller, self.place, after=first - 1, limit=min(count, _AHEAD)
        )
        rows = (await checked_page(self._services, self._caller, page)).segments
        return [row for number, row in enumerate(rows, start=first) if row.seq == number]

    async def _from_parts(self, segment_id: UUID, size: int, start: int, end: int) -> AsyncIterator[bytes]:
        for number in range(start // PART_BYTES, -(-end // PART_BYTES)):
            async with self._services.lanes.parts:
                part = await queries.read_part(self._services.pool, self.place, segment_id, number)
            begin = number * PART_BYTES
            if part is None or len(part) != min(PART_BYTES, size - begin):
                raise _MovedError
            inside = start <= begin and begin + len(part) <= end
            yield part if inside else part[max(0, start - begin) : end - begin]

    async def _from_store(self, store_id: UUID, segment_id: UUID, start: int, end: int) -> AsyncIterator[bytes]:
        try:
            store = await self._services.segments.of(self._services.pool, store_id)
            async for piece in store.read(segment_id, start, end):
                yield piece
        except ObjectGoneError:
            raise _MovedError from None
        except (ObjectStoreError, StartError) as error:
            raise UnavailableError("the segment store failed") from error

    def _pieces(self, row: SegmentRow, start: int, end: int) -> AsyncIterator[bytes]:
        if row.store_id is None:
            return self._from_parts(row.segment_id, row.size, start, end)
        return self._from_store(row.store_id, row.segment_id, start, end)

    async def segment(self, row: SegmentRow, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield bytes `start` to `end` of a segment; one that is moved to another store meanwhile is followed there.

        Raises:
            SegmentLostError: bytes of it are gone. NotFoundError: the stream ended. UnavailableError: the store failed.
        """
        while True:
            with contextlib.suppress(_MovedError):
                async for piece in self._pieces(row, start, end):
                    start += len(piece)
                    yield piece
            if start >= end:
                return
            found = await self.look_up(row.seq, 1)
            if not found or found[0].segment_id == row.segment_id or found[0].digest != row.digest:
                raise SegmentLostError("the bytes of a segment are gone")
            row = found[0]

    async def segments(self, first: int, count: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of `count` segments, one after another."""
        while count > 0:
            rows = await self.look_up(first, count)
            if not rows:
                raise UnavailableError("a segment is gone")
            for row in rows:
                async for piece in self.segment(row, 0, row.size):
                    yield piece
            first, count = first + len(rows), count - len(rows)


async def _ahead(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield the pieces, reading the next one while one is in use."""
    reading: asyncio.Task[bytes] | None = None
    try:
        reading = asyncio.create_task(anext(pieces))
        while True:
            try:
                piece = await reading
            except StopAsyncIteration:
                return
            reading = asyncio.create_task(anext(pieces))
            yield piece
    finally:
        if reading is not None:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, Exception):
                await reading
        await pieces.aclose()


async def in_parts(body: bytes) -> AsyncGenerator[bytes, None]:
    """Yield a body in parts of 1 MiB, the last one shorter."""
    for start in range(0, len(body), PART_BYTES):
        yield body[start : start + PART_BYTES]


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class BodyResponse(Response[Any]):
    """An answer whose body is sent piece by piece, while its reader reads, within `lane`; a full one is refused.

    Each piece that was taken puts off the request's deadline by `pause` seconds; `counter` counts their bytes.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        *,
        status_code: int,
        headers: dict[str, str],
        pause: float,
        lane: AbstractContextManager[None],
        counter: Any = None,
    ) -> None:
        super().__init__(None, status_code=status_code, headers=headers)
        self._pieces, self._pause, self._lane, self._counter = pieces, pause, lane, counter

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return the ASGI application that sends it."""
        return self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name.lower().encode("ascii"), str(value).encode("ascii")) for name, value in self.headers.items()]
        with self._lane:
            leaving = asyncio.create_task(_until_gone(receive))
            begun = False
            try:
                async with contextlib.aclosing(_ahead(self._pieces)) as pieces:
                    # The first piece before the head: what fails until then is told by its code.
                    piece = await anext(pieces, None)
                    begun = True
                    await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
                    while piece is not None:
                        if leaving.done():
                            return
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                        prolong_deadline(scope, self._pause)
                        if self._counter is not None:
                            self._counter.inc(len(piece))
                        piece = await anext(pieces, None)
                await send({"type": "http.response.body", "body": b""})
            except (RefusedError, psycopg.Error) as error:
                _log.error("a segment could not be read", extra={"error": [type(error.__cause__ or error).__name__]})
                if not begun:
                    raise
                # The answer is under way: that its end is missing tells the reader, who asks for the rest again.
            finally:
                leaving.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await leaving
