"""SQL of streams: one call a step, each a transaction of its own (migration 0017)."""

from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from hushtag.stream_messages import MAX_STREAM_BYTES
from hushtag_server.database import AnyPool, Pool, call
from hushtag_server.settings import Settings
from hushtag_server.streams.limits import MAX_UPLOADS
from hushtag_server.vault.schemas import VaultCaller

__all__ = [
    "NewSegment",
    "SegmentPage",
    "SegmentRow",
    "StreamPlace",
    "begin_segment",
    "drop_parts",
    "end_stream",
    "finish_segment",
    "list_segments",
    "measure_stream",
    "put_part",
    "read_part",
    "remove_segments",
]


class StreamPlace(NamedTuple):
    """Whose stream, of which vault."""

    user_id: UUID
    vault_id: UUID
    stream_id: UUID


class BegunSegment(NamedTuple):
    """Whether a segment may be stored; with the outcome `known`, what is stored under its number already."""

    outcome: str
    size: int | None
    digest: bytes | None


class NewSegment(NamedTuple):
    """Where an upload writes: a fresh id, of parts in the database or, with a store, of an object there."""

    segment_id: UUID
    store_id: UUID | None


class SegmentRow(NamedTuple):
    """A stored segment; without a store its bytes are parts in the database. Digest: 32 bytes."""

    seq: int
    size: int
    digest: bytes
    segment_id: UUID
    store_id: UUID | None


class SegmentPage(NamedTuple):
    """Segments in order. No tag: not authenticated. No state: no such stream for this tag."""

    tag_id: UUID | None
    state: str | None
    segments: list[SegmentRow]


class Measured(NamedTuple):
    """How many segments follow each other, and their bytes. No tag, no state: as in `SegmentPage`."""

    tag_id: UUID | None
    state: str | None
    segments: int | None
    size: int | None


_BEGIN: Final = """
    SELECT outcome, known_size, known_digest
    FROM hushtag_begin_segment($1, $2, $3, $4, $5, $6, $7::integer, $8::bigint, $9, $10::uuid, $11, $12::integer,
                               $13::bigint, $14::bigint)
"""
_PUT_PART: Final = "SELECT hushtag_put_part($1, $2, $3, $4, $5::integer, $6)"
_DROP_PARTS: Final = "SELECT hushtag_drop_parts($1, $2, $3, $4)"
_FINISH: Final = """
    SELECT hushtag_finish_segment($1, $2, $3, $4, $5, $6, $7::integer, $8, $9::uuid, $10::integer, $11, $12::bigint,
                                  $13::bigint)
"""
_LIST: Final = """
    SELECT tag_id, state, seq, byte_count, digest, segment_id, store_id
    FROM hushtag_list_segments($1, $2, $3, $4, $5, $6, $7::integer, $8::integer)
"""
_MEASURE: Final = """
    SELECT tag_id, state, segments, bytes FROM hushtag_measure_stream($1, $2, $3, $4, $5, $6, $7::integer, $8::integer)
"""
_READ_PART: Final = "SELECT hushtag_read_part($1, $2, $3, $4, $5::integer)"
_END: Final = "SELECT hushtag_end_stream($1, $2, $3, $4, $5, $6)"
_REMOVE: Final = "SELECT hushtag_remove_segments($1, $2, $3::integer, false)"


async def begin_segment(
    pool: AnyPool, caller: VaultCaller, place: StreamPlace, seq: int, size: int, new: NewSegment, settings: Settings
) -> BegunSegment:
    """Authenticate and tell whether this segment of `size` bytes may be stored; begins the stream with its first one.

    The outcome is `begun`, `known`, `unauthenticated`, `not_found`, `stream_committed`, `limit_reached` or
    `vault_full`.
    """
    age, most = timedelta(hours=settings.stream_hours), (MAX_UPLOADS, settings.vault_bytes, MAX_STREAM_BYTES)
    values = (*caller, place.vault_id, place.stream_id, seq, size, *new, age, *most)
    return BegunSegment(*(await call(pool, _BEGIN, values))[0])


async def put_part(pool: Pool, place: StreamPlace, segment_id: UUID, number: int, part: bytes) -> None:
    """Write one part, of at most 1 MiB, that no segment names yet."""
    await call(pool, _PUT_PART, (*place, segment_id, number, part))


async def drop_parts(pool: Pool, place: StreamPlace, segment_id: UUID) -> None:
    """Remove the parts of an upload that came to nothing."""
    await call(pool, _DROP_PARTS, (*place, segment_id))


async def finish_segment(
    pool: AnyPool,
    caller: VaultCaller,
    place: StreamPlace,
    seq: int,
    new: NewSegment,
    size: int,
    digest: bytes,
    most: int,
) -> str:
    """Authenticate again and make the bytes a segment; a vault's streams have at most `most` bytes, 0 for any number.

    Returns `stored`; or `known` or `segment_exists`, as somebody else stored the same or other bytes under the number;
    or `lost`, `unauthenticated`, `not_found`, `stream_committed`, `limit_reached` or `vault_full`.
    """
    values = (*caller, place.vault_id, place.stream_id, seq, *new, size, digest, most, MAX_STREAM_BYTES)
    outcome: str = (await call(pool, _FINISH, values))[0][0]
    return outcome


async def list_segments(
    pool: AnyPool, caller: VaultCaller, place: StreamPlace, *, after: int, limit: int
) -> SegmentPage:
    """Authenticate and return up to `limit` segments numbered above `after`."""
    rows = await call(pool, _LIST, (*caller, place.vault_id, place.stream_id, after, limit))
    return SegmentPage(rows[0][0], rows[0][1], [SegmentRow(*row[2:]) for row in rows if row[2] is not None])


async def measure_stream(pool: AnyPool, caller: VaultCaller, place: StreamPlace, *, first: int, count: int) -> Measured:
    """Authenticate and measure the segments from `first` on, at most `count`, up to the first that is missing."""
    return Measured(*(await call(pool, _MEASURE, (*caller, place.vault_id, place.stream_id, first, count)))[0])


async def read_part(pool: Pool, place: StreamPlace, segment_id: UUID, number: int) -> bytes | None:
    """Return a part of a segment that `list_segments` named; None if it was moved or removed since."""
    part: bytes | None = (await call(pool, _READ_PART, (*place, segment_id, number)))[0][0]
    return part


async def end_stream(pool: AnyPool, caller: VaultCaller, place: StreamPlace) -> str:
    """Authenticate and give an upload up.

    Returns `ended`, `unauthenticated`, `not_found` or `stream_committed`.
    """
    outcome: str = (await call(pool, _END, (*caller, place.vault_id, place.stream_id)))[0][0]
    return outcome


async def remove_segments(pool: Pool, user_id: UUID, age: timedelta, most: int) -> int:
    """Remove a batch of what a user's streams left behind; 0 is the end. Parts that nothing names are maintenance's."""
    gone: int = (await call(pool, _REMOVE, (user_id, age, most)))[0][0]
    return gone
