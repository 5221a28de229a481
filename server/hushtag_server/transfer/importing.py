"""An import: received into a temporary file, checked as a whole, then written in small transactions.

The transactions need not be one: each row is either made or already there, so an import that broke off is simply sent
again. Nothing is written before the whole archive has been found in order.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import IO, Any, Final, TypeVar

import anyio
import msgspec
from litestar import Request

from hushtag.account_messages import AccountSettings
from hushtag.journal_messages import MAX_TAGS
from hushtag.messages import FieldProblem
from hushtag.transfer_messages import MAX_TRANSFER_SECONDS, ArchivedTag, ImportDone, Imported
from hushtag_server.accounts import profile_queries
from hushtag_server.database import Connection, retry_conflicts
from hushtag_server.errors import LimitReachedError, TooLargeError
from hushtag_server.journal.names import tidy_name, tidy_names
from hushtag_server.reminders.zones import is_zone
from hushtag_server.transfer import import_queries as queries
from hushtag_server.transfer.access import Transfer
from hushtag_server.transfer.archive import Archive, Row

__all__ = ["Import"]

T = TypeVar("T")
_ROWS: Final = 200
_BATCH_BYTES: Final = 1024 * 1024
_BUFFER: Final = 1024 * 1024


def _batches(rows: Iterable[Row]) -> Iterator[list[Any]]:
    batch: dict[Any, Any] = {}  # by id: one that comes twice would be a row of two minds
    size = 0
    for row in rows:
        batch[row.message.id] = row.message
        size += row.size
        if len(batch) >= _ROWS or size >= _BATCH_BYTES:
            yield list(batch.values())
            batch, size = {}, 0
    if batch:
        yield list(batch.values())


def _tidy(message: Any) -> Any:
    return msgspec.structs.replace(message, tags=tidy_names(message.tags)) if hasattr(message, "tags") else message


def _tidy_tag(tag: ArchivedTag) -> ArchivedTag:
    return msgspec.structs.replace(tag, name=tidy_name(tag.name, "$.name"))


def _next_batch(batches: Iterator[list[Any]]) -> tuple[bytes, int]:
    batch = next(batches, [])
    return msgspec.json.encode([_tidy(message) for message in batch]), len(batch)


async def _serves(connection: Connection, settings: AccountSettings) -> bool:
    """Tell whether this server knows zone, language and theme: others would break what reads them."""
    if not is_zone(settings.time_zone) or settings.theme not in {"system", "light", "dark"}:
        return False
    known = await profile_queries.languages(connection)
    return settings.language in known and await profile_queries.knows_time_zone(connection, settings.time_zone)


class Import:
    """One import."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer

    async def run(self, request: Request[Any, Any, Any]) -> ImportDone:
        """Receive, check, write.

        Raises:
            TransferRunningError: the user imports already.
            TooLargeError: the archive is larger than this server takes.
            MalformedRequestError: it is no archive of ours; names member, line, field and rule.
            LimitReachedError: the account would have too many tags; nothing was written.
        """
        try:
            async with self._transfer.transaction():
                pass  # authenticated, and the lease is held, before the body is read
            with tempfile.TemporaryFile() as file:
                async with self._transfer.held():
                    length = await self._receive(request, file)
                    archive = Archive(file, length)
                    self._transfer.go_on(pause=MAX_TRANSFER_SECONDS)  # bounded by the archive's size, not by its sender
                    await self._run(archive.check)
                return await self._write(archive)
        finally:
            await self._transfer.end()

    async def _run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._transfer.services.threads)

    async def _receive(self, request: Request[Any, Any, Any], file: IO[bytes]) -> int:
        most = self._transfer.services.settings.max_import_bytes
        length, buffer = 0, bytearray()
        async for chunk in request.stream():
            self._transfer.go_on()
            length += len(chunk)
            if length > most:
                raise TooLargeError(most)
            buffer += chunk
            if len(buffer) >= _BUFFER:
                await self._run(partial(file.write, bytes(buffer)))
                buffer.clear()
        await self._run(partial(file.write, bytes(buffer)))
        return length

    async def _write(self, archive: Archive) -> ImportDone:
        counts = archive.manifest.counts
        tags = await retry_conflicts(lambda: self._write_tags(archive))
        profile, settings = await retry_conflicts(lambda: self._write_account(archive))
        return ImportDone(
            profile=profile,
            settings=settings,
            consents=Imported(skipped=len(archive.account.consents)),
            tags=tags,
            journals=await self._write_rows(archive.journals(), self._write_journals),
            reminders=await self._write_rows(archive.reminders(), self._write_reminders),
            audit=Imported(skipped=counts.audit),
            vault_objects=Imported(skipped=counts.objects),
        )

    async def _write_tags(self, archive: Archive) -> Imported:
        def encoded() -> tuple[bytes, int]:
            tags = [_tidy_tag(tag) for tag in archive.tags()]
            return msgspec.json.encode(tags), len(tags)

        rows, given = await self._run(encoded)
        async with self._transfer.transaction() as connection:
            user_id = self._transfer.user_id
            before = await queries.count_tags(connection, user_id)
            made = await queries.insert_tags(connection, user_id, rows)
            fits = await queries.name_tags(connection, user_id, archive.tag_names, MAX_TAGS)
            if not fits or before + made > MAX_TAGS:
                rule = f"must not make more than {MAX_TAGS} tags of the account; it has {before}"
                raise LimitReachedError("tags", [FieldProblem(field="tags.ndjson", rule=rule)])
        return Imported(created=made, already_there=given - made)

    async def _write_account(self, archive: Archive) -> tuple[Imported, Imported]:
        account, user_id = archive.account, self._transfer.user_id
        async with self._transfer.transaction() as connection:
            profile = Imported()
            if account.first_name is not None or account.last_name is not None:
                names = await queries.set_names(connection, user_id, account.first_name, account.last_name)
                profile = Imported(created=int(names), already_there=int(not names))
            if account.settings is None:
                return profile, Imported()
            if not await _serves(connection, account.settings):
                return profile, Imported(skipped=1)
            made = await queries.insert_settings(connection, user_id, msgspec.structs.asdict(account.settings))
            return profile, Imported(created=int(made), already_there=int(not made))

    async def _write_rows(self, rows: Iterator[Row], write: Callable[[bytes, int], Any]) -> Imported:
        batches = _batches(rows)
        created = already_there = skipped = 0
        while True:
            encoded, count = await self._run(partial(_next_batch, batches))
            if not count:
                return Imported(created, already_there, skipped)
            self._transfer.go_on()
            done: Imported = await retry_conflicts(partial(write, encoded, count))
            created += done.created
            already_there += done.already_there
            skipped += done.skipped

    async def _write_journals(self, rows: bytes, count: int) -> Imported:
        async with self._transfer.transaction() as connection:
            made = await queries.insert_journals(connection, self._transfer.user_id, rows)
        return Imported(made, count - made)

    async def _write_reminders(self, rows: bytes, count: int) -> Imported:
        async with self._transfer.transaction() as connection:
            made, there = await queries.insert_reminders(connection, self._transfer.user_id, rows)
        return Imported(made, there, count - made - there)
