"""A segment on its way in: its bytes first, under a fresh id, then the row that makes them a segment."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final
from uuid import uuid4

import anyio
import psycopg

from hushtag_server.database import AnyPool
from hushtag_server.errors import RefusedError, StartError, UnavailableError
from hushtag_server.services import Services
from hushtag_server.streams import queries
from hushtag_server.streams.bodies import Body
from hushtag_server.streams.object_store import ObjectStoreError
from hushtag_server.streams.queries import NewSegment, StreamPlace
from hushtag_server.vault.schemas import VaultCaller

__all__ = ["new_segment", "store_segment"]

_CLEAN_SECONDS: Final = 5.0
_log = logging.getLogger("hushtag.server")


def new_segment(services: Services) -> NewSegment:
    """Return where the next segment goes: an id that was never used, in the store of the settings."""
    return NewSegment(uuid4(), services.segments.current)


async def _write_parts(services: Services, place: StreamPlace, new: NewSegment, parts: AsyncIterator[bytes]) -> None:
    """Write each part while the next one arrives; no connection is held while nothing does."""
    writing: asyncio.Task[None] | None = None
    number = 0

    async def write(number: int, part: bytes) -> None:
        async with services.lanes.parts:
            await queries.put_part(services.pool, place, new.segment_id, number, part)

    try:
        async for part in parts:
            if writing is not None:
                await writing
            writing = asyncio.create_task(write(number, part))
            number += 1
        if writing is not None:
            await writing
    except psycopg.errors.ForeignKeyViolation:
        raise UnavailableError("the stream was removed meanwhile") from None
    finally:
        if writing is not None and not writing.done():
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await writing  # no part may come after its others were dropped


async def _write(services: Services, place: StreamPlace, new: NewSegment, parts: AsyncIterator[bytes]) -> None:
    if new.store_id is None:
        await _write_parts(services, place, new, parts)
        return
    try:
        store = await services.segments.of(services.pool, new.store_id)
        await store.write(new.segment_id, parts)
    except (ObjectStoreError, StartError) as error:
        _log.error("the segment store failed", extra={"error": [str(error) or type(error).__name__]})
        raise UnavailableError("the segment store failed") from error


async def _drop(services: Services, place: StreamPlace, new: NewSegment) -> None:
    """Remove bytes that no segment names; what this cannot do maintenance does later."""
    with (
        anyio.move_on_after(_CLEAN_SECONDS, shield=True),
        contextlib.suppress(RefusedError, psycopg.Error, ObjectStoreError, StartError),
    ):
        if new.store_id is None:
            await queries.drop_parts(services.pool, place, new.segment_id)
        else:
            # Its note, which outlives a crash, stays until its day.
            await (await services.segments.of(services.pool, new.store_id)).remove(new.segment_id)


async def store_segment(
    services: Services,
    pool: AnyPool,
    caller: VaultCaller,
    place: StreamPlace,
    seq: int,
    new: NewSegment,
    body: Body,
    expected: bytes | None,
) -> str:
    """Store the body under the number; returns what `finish_segment` does, or `digest_differs` from the expected one.

    Raises:
        MalformedRequestError: the body is not as announced, or the client left.
        UnavailableError: database or store failed. Whether the segment is stored is unknown only if that was the last
            step of all; the same request again finds out.
    """
    try:
        async with contextlib.aclosing(body.parts()) as parts:
            await _write(services, place, new, parts)
    except BaseException:
        await _drop(services, place, new)
        raise
    if expected is not None and body.digest != expected:
        await _drop(services, place, new)
        return "digest_differs"
    # From here on the bytes may be a segment, answered or not: only what the database refuses is dropped.
    most = services.settings.vault_bytes
    outcome = await queries.finish_segment(pool, caller, place, seq, new, body.length, body.digest, most)
    if outcome != "stored":
        await _drop(services, place, new)
    return outcome
