"""An export: page after page out of the database, compressed in a worker thread, sent as it comes.

Each page is read in a short transaction of its own, so that a slow reader holds neither a connection nor old rows. A
row is of one moment and an entry stands in its JSON and its Markdown alike; what somebody changes while the export
runs is in it before or after the change.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import anyio
import msgspec
import psycopg

from hushtag import __version__
from hushtag.transfer_messages import ARCHIVE_FORMAT, ArchivedAccount, ArchivedJournal, Counts, Manifest
from hushtag_server.database import Connection
from hushtag_server.errors import RefusedError
from hushtag_server.transfer import export_queries as queries
from hushtag_server.transfer.access import Transfer
from hushtag_server.transfer.export_queries import Line, Totals
from hushtag_server.transfer.markdown import markdown_name, render_markdown
from hushtag_server.transfer.vault_export import export_vaults
from hushtag_server.transfer.zip_writer import ZipWriter

__all__ = ["Export"]

T = TypeVar("T")
Pages = Callable[..., Awaitable[list[Line]]]

_ROWS: Final = 200
_PAGE_BYTES: Final = 1024 * 1024
_PIECE: Final = 64 * 1024
_decode_journal: Final = msgspec.json.Decoder(ArchivedJournal).decode
_decode_account: Final = msgspec.json.Decoder(ArchivedAccount).decode


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield line
        yield b"\n"


class Export:
    """One export; `begin` may refuse, `stream` sends."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._zip: ZipWriter
        self._counts = dict.fromkeys(Counts.__struct_fields__, 0)
        self._totals = Totals(0, 0, 0, datetime.now(UTC))
        self._last_mark = ""

    async def begin(self) -> int:
        """Authenticate, take the lease and return about how many members there will be.

        Raises:
            UnauthenticatedError, TransferRunningError, UnavailableError: there will be none.
        """
        async with self._transfer.transaction() as connection:
            self._totals = await queries.count_rows(connection, self._transfer.user_id)
        parts = sum(-(-rows // _ROWS) for rows in self._totals[:3])
        return self._totals.journals + parts + 4

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Yield the archive. Whatever breaks it off leaves it without its directory, so that no reader takes it.

        Once begun it must be read to its end or closed, or it keeps the lease until that runs out.
        """
        self._zip = ZipWriter()
        try:
            async with aclosing(self._archive()) as archive:
                async for octets in archive:
                    for start in range(0, len(octets), _PIECE):
                        self._transfer.go_on()
                        yield octets[start : start + _PIECE]
        except (RefusedError, psycopg.Error):
            return  # the session ended or the database is away; the status is sent, the missing directory tells
        finally:
            self._zip.close()
            await self._transfer.end()

    async def _archive(self) -> AsyncGenerator[bytes, None]:
        yield await self._account_and_tags()
        async for octets in self._pages("journals", queries.list_journals, self._add_journals, most=_PAGE_BYTES):
            yield octets
        async for octets in self._pages("reminders", queries.list_reminders, self._add_part, most=_PAGE_BYTES):
            yield octets
        async for octets in self._pages("audit", queries.list_events, self._add_part, until=self._totals.now):
            yield octets
        if self._transfer.vault is not None:
            added = export_vaults(self._transfer, self._zip, self._counts, self._totals.now)
            async with aclosing(added) as vaults:
                async for octets in vaults:
                    yield octets
        yield await self._work(self._add_manifest)
        ending = await self._run(self._zip.end)
        while octets := await self._run(partial(next, ending, b"")):
            yield octets

    async def _run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._transfer.services.threads)

    async def _work(self, work: Callable[..., None], *given: Any) -> bytes:
        """Let a worker thread add to the archive, and return what is now due."""

        def add() -> bytes:
            work(*given)
            return self._zip.take()

        return await self._run(add)

    async def _read(self, read: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._transfer.transaction() as connection:
            return await read(connection)

    async def _account_and_tags(self) -> bytes:
        user_id = self._transfer.user_id
        account, consents = await self._read(lambda connection: queries.find_account(connection, user_id))
        tags = await self._read(lambda connection: queries.list_tags(connection, user_id))
        self._counts |= {"consents": consents, "tags": len(tags)}

        def add() -> None:
            pretty = msgspec.json.format(msgspec.json.encode(_decode_account(account)), indent=2)
            self._zip.add("account.json", [pretty, b"\n"], self._totals.now)
            self._zip.add("tags.ndjson", _joined(line.json for line in tags), self._totals.now)

        return await self._work(add)

    async def _pages(
        self, kind: str, pages: Pages, add: Callable[[str, list[Line]], None], **limits: Any
    ) -> AsyncIterator[bytes]:
        """Yield the members of one kind of rows; there is a first part even where there is no row."""
        after: Line | None = None
        part = 0
        while True:
            read = partial(pages, user_id=self._transfer.user_id, after=after, rows=_ROWS, **limits)
            page = await self._read(read)
            if not page and part:
                return
            part += 1
            self._counts[kind] += len(page)
            yield await self._work(add, f"{kind}/{part:05}.ndjson", page)
            if not page:
                return
            after = page[-1]

    def _add_part(self, name: str, page: list[Line]) -> None:
        self._zip.add(name, _joined(line.json for line in page), self._totals.now)

    def _add_journals(self, name: str, page: list[Line]) -> None:
        self._add_part(name, page)
        for line in page:
            entry = _decode_journal(line.json)
            mark = entry.id.hex[:8]
            member = markdown_name(entry, whole_id=mark == self._last_mark)
            self._last_mark = mark
            self._zip.add(member, [render_markdown(entry)], entry.updated_at)

    def _add_manifest(self) -> None:
        sums = self._zip.add_sums(self._totals.now)
        manifest = Manifest(
            format=ARCHIVE_FORMAT,
            product_version=__version__,
            created_at=self._totals.now.astimezone(UTC),
            members=self._zip.members,
            sums_sha256=sums,
            counts=Counts(**self._counts),
        )
        self._zip.add(
            "manifest.json", [msgspec.json.format(msgspec.json.encode(manifest), indent=2), b"\n"], self._totals.now
        )
