"""The ciphertext of the vaults that one unlocked tag opens, added to an export: rows here, segments by their module."""

import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any, Final, TypeVar

import anyio
import msgspec

from hushtag.messages import OldKey, encode_binary
from hushtag.transfer_messages import ArchivedKey, ArchivedObject, ArchivedVault
from hushtag_server.errors import UnauthenticatedError
from hushtag_server.security_log.events import VAULTS_EXPORTED
from hushtag_server.security_log.recording import Subject
from hushtag_server.transfer import vault_queries as queries
from hushtag_server.transfer.access import Transfer
from hushtag_server.transfer.segment_export import SegmentExport
from hushtag_server.transfer.vault_queries import KeyRow, StoredRow, TagRow, VaultRow
from hushtag_server.transfer.zip_writer import ZipWriter
from hushtag_server.vault.phrase_queries import list_old_keys
from hushtag_server.vault.schemas import OldKeyRow

__all__ = ["export_vaults"]

T = TypeVar("T")
_ROWS: Final = 100
_PAGE_BYTES: Final = 1024 * 1024
_IN_MEMORY: Final = 256 * 1024
_READ: Final = 64 * 1024


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


class _VaultExport:
    """One vault on its way into the archive."""

    def __init__(
        self,
        transfer: Transfer,
        archive: ZipWriter,
        vault: VaultRow,
        now: datetime,
        lines: IO[bytes],
        segments: SegmentExport,
    ) -> None:
        self._transfer, self._zip, self._vault, self._now, self._lines = transfer, archive, vault, now, lines
        self._place = f"vault/{vault.id}"
        self._segments = segments

    async def run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._transfer.services.threads)

    async def _page(self, after: Any) -> list[StoredRow]:
        async with self._transfer.transaction() as connection:
            if self._transfer.tag_id is None:
                raise UnauthenticatedError("no vault session")
            names = (connection, self._transfer.user_id, self._transfer.tag_id, self._vault.id)
            return await queries.list_rows(*names, after=after, rows=_ROWS, most=_PAGE_BYTES)

    async def rows(self, counts: dict[str, int]) -> AsyncGenerator[bytes, None]:
        after = None
        while page := await self._page(after):
            counts["objects"] += len(page)
            for row in page:
                yield await self.run(partial(self._add_row, row))
                if row.stream_id is None:
                    continue
                async with aclosing(self._segments.stream(self._vault.id, row.stream_id, counts)) as pieces:
                    async for octets in pieces:
                        yield octets
            after = page[-1].object_id

    def _add_row(self, row: StoredRow) -> bytes:
        name = f"{self._place}/rows/{row.object_id}"
        self._zip.add(name, [row.body], row.updated_at, compress=False)  # ciphertext does not compress
        fields = row._asdict() | {"digest": encode_binary(row.digest)}
        fields |= {"created_at": _utc(row.created_at), "updated_at": _utc(row.updated_at)}
        del fields["body"]
        self._lines.write(msgspec.json.encode(ArchivedObject(**fields)) + b"\n")
        return self._zip.take()

    def add_description(
        self, tag: TagRow, keys: list[KeyRow], old_keys: list[OldKeyRow], after: VaultRow | None
    ) -> bytes:
        vault = self._vault
        described = ArchivedVault(
            vault_id=vault.id,
            generation=vault.generation,
            key_version=vault.key_version,
            head=encode_binary(vault.head),
            unchanged=after is not None and after.generation == vault.generation,
            tag_id=self._transfer.tag_id or vault.id,
            suite=tag.suite,
            salt=encode_binary(tag.salt),
            sealed_label=encode_binary(tag.sealed_label),
            wrapped_keys=[
                ArchivedKey(
                    key.id, encode_binary(key.wrapped_key), key.key_purpose, key.key_version, _utc(key.created_at)
                )
                for key in keys
            ],
            ring=None if vault.ring is None else encode_binary(vault.ring),
            old_keys=[OldKey(each.key_version, encode_binary(each.old_key)) for each in old_keys],
        )
        self._lines.seek(0)
        self._zip.add(f"{self._place}/objects.ndjson", iter(partial(self._lines.read, _READ), b""), self._now)
        pretty = msgspec.json.format(msgspec.json.encode(described), indent=2)
        self._zip.add(f"{self._place}/vault.json", [pretty, b"\n"], self._now)
        return self._zip.take()


async def export_vaults(
    transfer: Transfer, archive: ZipWriter, counts: dict[str, int], now: datetime
) -> AsyncGenerator[bytes, None]:
    """Yield what the archive gains by the vaults that the transfer's vault token opens.

    Raises:
        UnauthenticatedError: the vault session has ended.
    """
    async with transfer.transaction() as connection:
        if transfer.tag_id is None:
            raise UnauthenticatedError("no vault session")
        vaults = await queries.list_vaults(connection, transfer.user_id, transfer.tag_id)
        if transfer.vault is not None:
            events = transfer.services.events_of(transfer.scope)
            told = {"vaults": [events.hashed(b"vault", vault.id.bytes) for vault in vaults]}
            subject = Subject(transfer.user_id, transfer.vault.secret_hash, None, told)
            await events.record(connection, VAULTS_EXPORTED, subject)
    segments = SegmentExport(transfer, archive, now)
    for vault in vaults:
        counts["vaults"] += 1
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as lines, segments.listed(vault.id) as listed:
            export = _VaultExport(transfer, archive, vault, now, lines, segments)
            async with aclosing(export.rows(counts)) as rows:
                async for octets in rows:
                    yield octets
            yield await export.run(listed.add)
            async with transfer.transaction() as connection:
                names = (connection, transfer.user_id, transfer.tag_id)
                tag = await queries.find_tag(*names)
                keys = await queries.list_keys(*names, vault.id)
                old_keys = await list_old_keys(*names, vault.id)
                after = {each.id: each for each in await queries.list_vaults(*names)}.get(vault.id)
            if tag is None:
                raise UnauthenticatedError("the tag vanished")
            yield await export.run(partial(export.add_description, tag, keys, old_keys, after))
