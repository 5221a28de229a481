"""The segments of large objects in an export: members as they are stored, written while they are read.

No more of a segment is held than the pieces under way. What goes while it is read, or is damaged, does not break the
export off: its line says that the member has not all of it.
"""

import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import datetime
from functools import partial
from typing import IO, Final, TypeVar
from uuid import UUID

import anyio
import msgspec
from blake3 import blake3

from hushtag.messages import encode_binary
from hushtag.stream_messages import MAX_SEGMENTS
from hushtag.transfer_messages import MAX_ARCHIVE_SEGMENT_BYTES, ArchivedSegment
from hushtag_server.errors import NotFoundError, SegmentLostError, UnauthenticatedError
from hushtag_server.services import touch_interval
from hushtag_server.streams import queries
from hushtag_server.streams.downloading import Reading
from hushtag_server.streams.queries import SegmentRow, StreamPlace
from hushtag_server.transfer.access import Transfer
from hushtag_server.transfer.zip_writer import ZipWriter
from hushtag_server.vault.schemas import VaultCaller

__all__ = ["Listed", "SegmentExport"]

Result = TypeVar("Result")
_PAGE: Final = 100
_IN_MEMORY: Final = 256 * 1024
_READ: Final = 64 * 1024


class Listed:
    """The lines of a vault's segments.ndjson, in a temporary file until the member is added."""

    def __init__(self, archive: ZipWriter, name: str, now: datetime, lines: IO[bytes]) -> None:
        self._zip, self._name, self._now, self._lines = archive, name, now, lines

    def note(self, segment: ArchivedSegment) -> None:
        """Write one line."""
        self._lines.write(msgspec.json.encode(segment) + b"\n")

    def add(self) -> bytes:
        """Add the member, if there is a line, and return what is now due of the archive."""
        if self._lines.tell():
            self._lines.seek(0)
            self._zip.add(self._name, iter(partial(self._lines.read, _READ), b""), self._now)
        return self._zip.take()


class SegmentExport:
    """The segments of one archive: whole streams, until they have as many bytes as an archive may have of them."""

    def __init__(self, transfer: Transfer, archive: ZipWriter, now: datetime) -> None:
        self._transfer, self._zip, self._now = transfer, archive, now
        self._left = MAX_ARCHIVE_SEGMENT_BYTES
        self._listed: Listed
        self._whole = False  # whether the member that was written last has all of its segment

    @contextmanager
    def listed(self, vault_id: UUID) -> Iterator[Listed]:
        """Yield the lines of a vault, which `stream` writes."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as lines:
            self._listed = Listed(self._zip, f"vault/{vault_id}/segments.ndjson", self._now, lines)
            yield self._listed

    def _caller(self) -> VaultCaller:
        token, idle = self._transfer.vault, self._transfer.services.settings.vault_idle
        if token is None:
            raise UnauthenticatedError("no vault session")
        return VaultCaller(token.user_id, token.secret_hash.hex(), idle, touch_interval(idle))

    async def stream(self, vault_id: UUID, stream_id: UUID, counts: dict[str, int]) -> AsyncGenerator[bytes, None]:
        """Yield what the archive gains by the segments of a stream.

        Raises:
            UnauthenticatedError: the account session or the vault session has ended.
            UnavailableError: database or store are away.
        """
        pool, caller = self._transfer.services.pool, self._caller()
        place = StreamPlace(caller.user_id, vault_id, stream_id)
        measured = await queries.measure_stream(pool, caller, place, first=0, count=MAX_SEGMENTS)
        fits = (measured.size or 0) <= self._left
        self._left -= measured.size or 0 if fits else 0
        reading, after, more = Reading(self._transfer.services, caller, place), -1, True
        while more:
            page = await queries.list_segments(pool, caller, place, after=after, limit=_PAGE)
            if page.tag_id is None:
                raise UnauthenticatedError("no vault session")
            for row in page.segments:
                async with self._transfer.transaction():
                    pass  # the account session is asked for as well, and the lease kept
                self._whole = False
                if fits:
                    async with aclosing(self._member(reading, row)) as pieces:
                        async for octets in pieces:
                            yield octets
                counts["segments"] += self._whole
                line = ArchivedSegment(stream_id, row.seq, row.size, encode_binary(row.digest), self._whole)
                await self._run(partial(self._listed.note, line))
            more = len(page.segments) == _PAGE
            after = page.segments[-1].seq if more else after

    async def _member(self, reading: Reading, row: SegmentRow) -> AsyncGenerator[bytes, None]:
        name = f"vault/{reading.place.vault_id}/segments/{reading.place.stream_id}/{row.seq:05}"
        found = blake3()
        await self._run(partial(self._zip.begin, name, self._now, compress=False))
        try:
            async with aclosing(reading.segment(row, 0, row.size)) as pieces:
                async for piece in pieces:
                    found.update(piece)
                    yield await self._run(partial(self._write, piece))
        except (NotFoundError, SegmentLostError):
            pass  # deleted or replaced meanwhile, or damaged: the line tells
        await self._run(self._zip.finish)
        self._whole = found.digest() == row.digest
        yield self._zip.take()

    def _write(self, piece: bytes) -> bytes:
        self._zip.write(piece)
        return self._zip.take()

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await anyio.to_thread.run_sync(work, limiter=self._transfer.services.threads)
