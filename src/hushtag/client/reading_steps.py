"""Steps that list what an open vault holds."""

import contextlib
import functools
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from hushtag.client.answers import check_times
from hushtag.client.contents import VaultEntry, created_at
from hushtag.client.effects import Pause, Steps, compute, gather
from hushtag.client.errors import AmbiguousNameError, ConflictError, IntegrityError, NotFoundError
from hushtag.client.paging import collect
from hushtag.client.row_steps import VAULT_DENIED, FoundObject, Read, RowGoneError, RowSteps, row_key
from hushtag.client.witness import Seen
from hushtag.errors import RollbackError
from hushtag.messages import MAX_PAGE, MAX_PAGE_WITH_ROWS, ObjectEntry, ObjectList, decode_binary
from hushtag.objects import ObjectRow, row_digest, shape_of
from hushtag.types import DataKey

__all__ = ["ReadingSteps"]

ROWS_AT_ONCE: Final = 8
"""Rows fetched side by side for a listing: up to 16 MiB each."""
FEW_ROWS: Final = 8
"""So many unread rows are fetched one by one; for more, the listing is asked to bring those that are short."""


class _MovedError(Exception):
    """The vault changed between two looks at it."""


class ReadingSteps(RowSteps):
    """Reading one open vault."""

    def listing(self, *, with_rows: bool = False) -> Steps[list[ObjectEntry]]:
        """Return all entries of one generation, verified against the head of that generation.

        `with_rows` asks for short rows too, if many were not read yet. What they tell of their objects is remembered,
        the rows are not; a vault that changes meanwhile is listed again, and then mostly in larger pages without rows.

        Raises:
            RollbackError: older than what was seen, or not what the head sums up.
            ConflictError: the vault changed at every look.
        """
        yield from self.catch_up()
        for attempt in range(self.retry.changes):
            rows = with_rows and self._many_unread()
            try:
                pages = yield from collect(
                    f"{self.path}/objects",
                    self.token,
                    ObjectList,
                    _object_ids,
                    self.retry,
                    limit=MAX_PAGE_WITH_ROWS if rows else MAX_PAGE,
                    accept=self._accept,
                    take=self._take_rows if rows else None,
                    more={"rows": "short"} if rows else {},
                )
            except NotFoundError:
                raise RollbackError(VAULT_DENIED) from None
            except _MovedError:
                yield from self.refresh()
                if attempt:
                    yield Pause(self.retry.pause(attempt - 1))
                continue
            entries = [entry for page in pages for entry in page.objects]
            for entry in entries:
                check_times(entry.created_at, entry.updated_at)
            yield from compute(functools.partial(self._settle, entries))
            yield from self.pin()  # again, where that failed when this head was seen first
            return entries
        raise ConflictError("the vault changes faster than it can be listed; try again", code="busy")

    def listed(self, object_ids: Sequence[UUID]) -> Steps[list[Seen | None]]:
        """List the vault and return the row of each object, `None` of one there is not: of the generation listed.

        Whoever looks at the head beside this may have seen a newer one since; that one's rows are not known.
        """
        entries = {entry.object_id: entry for entry in (yield from self.listing())}
        return [_listed(entries[each]) if each in entries else None for each in object_ids]

    def _settle(self, entries: "list[ObjectEntry]") -> None:
        self.witness.settle(entries)
        head, rows = self.witness.head, self.witness.rows
        if self.pinned is not None and rows is not None:
            try:
                self.pinned.keep_rows(head, rows)
            except BaseException:
                self.witness.rows = None  # they are not pinned: nothing of them is shown
                raise

    def _accept(self, page: ObjectList, count: int) -> None:
        head = self.witness.head
        if page.generation < head.generation:
            raise RollbackError(f"server lists generation {page.generation}, {head.generation} was seen before")
        if page.generation > head.generation:
            raise _MovedError
        if count > head.object_count:
            raise RollbackError(f"listing has more objects than the {head.object_count} the vault head counts")

    def _many_unread(self) -> bool:
        return self.witness.head.object_count - len(self._metas) > FEW_ROWS

    def _take_rows(self, page: ObjectList) -> Steps[ObjectList]:
        """Read the rows of a page, and return it without them: all of them would fill the memory.

        A row that opens under our key was sealed in the vault; whether it is in it now, the verified digest tells. One
        that does not is asked for by itself once the head has vouched for its digest.
        """
        entries = [entry for entry in page.objects if entry.row is not None]
        keys: dict[int, DataKey] = {}
        for version in {entry.key_version for entry in entries}:
            try:
                keys[version] = yield from self._key_of(version, self.witness.head)
            except RowGoneError:
                raise _MovedError from None
        yield from compute(functools.partial(self._read_rows, entries, keys))
        return replace(page, objects=[replace(entry, row=None) for entry in page.objects])

    def _read_rows(self, entries: "list[ObjectEntry]", keys: dict[int, DataKey]) -> None:
        for entry in entries:
            encoded, version = decode_binary(entry.row or ""), entry.key_version
            row = ObjectRow.decode(encoded, key_version=version, revision=entry.revision)
            seen = Seen(row.revision, row_digest(row))
            if seen != _listed(entry):
                raise IntegrityError("row in a listing")
            stream_id = None if entry.stream_id is None else str(entry.stream_id)
            with contextlib.suppress(IntegrityError):
                _, self._metas[row_key(entry)] = self._open(entry.object_id, row, seen, stream_id, keys[version])

    def list(self) -> Steps[tuple[VaultEntry, ...]]:
        """Return the entries with their names; rows whose digest was read before are not fetched again."""
        for _ in range(self.retry.changes):
            entries = yield from self.listing(with_rows=True)
            keys = [row_key(entry) for entry in entries]
            unread = [entry for entry, key in zip(entries, keys, strict=True) if key not in self._metas]
            still = yield from gather([self._read_meta(entry) for entry in unread], ROWS_AT_ONCE)
            self._metas = {key: self._metas[key] for key in keys if key in self._metas}
            if all(still) and len(self._metas) == len(keys):
                self.shown = {entry.object_id: _listed(entry) for entry in entries}
                return tuple(_vault_entry(entry, self._metas[key]) for entry, key in zip(entries, keys, strict=True))
            if self.witness.rows is not None:  # otherwise a newer head was seen while the rows were read
                yield from self._expect_newer("withholds an object that it listed")
        raise ConflictError("the vault changes faster than it can be listed; try again", code="busy")

    def old_streams(self) -> Steps[tuple[VaultEntry, ...]]:
        """Return the entries of large objects whose stream was begun under an earlier data key."""
        entries = yield from self.list()
        version = self.witness.head.key_version
        metas = [(entry, self._metas[entry.object_id, self.shown[entry.object_id].digest].meta) for entry in entries]
        streams = [(entry, meta.stream) for entry, meta in metas if meta is not None]
        return tuple(entry for entry, stream in streams if stream is not None and stream.key_version < version)

    def _read_meta(self, entry: ObjectEntry) -> Steps[bool]:
        """Read a listed row's metadata; tell whether the row is still the listed one."""
        try:
            row, _ = yield from self._open_row(entry.object_id)
        except (NotFoundError, RowGoneError):
            return False
        return row == _listed(entry)

    def get(self, object_id: UUID) -> Steps[FoundObject]:
        """Return an object as the vault's newest head has it.

        A row proves by itself only that somebody inside sealed it once. The head tells whether it is in the vault now:
        not an earlier revision, not one that was deleted, not one that was never stored.

        Raises:
            NotFoundError: the vault has no such object; its head says so as well.
            RollbackError: the server shows, or withholds, what the head does not, or does, count.
            ConflictError: the vault changed at every look.
        """
        for _ in range(self.retry.changes):
            if not self.witness.knows(object_id):
                yield from self.listing()
            found = yield from self.get_known(object_id)
            if found is not None:
                return found
            if self.witness.knows(object_id):
                yield from self._expect_newer("shows or withholds an object otherwise than the vault head counts it")
        raise ConflictError("the vault changes faster than it can be read; try again", code="busy")

    def find(self, name: str) -> Steps[VaultEntry]:
        """Return the one object of that name."""
        found = [entry for entry in (yield from self.list()) if entry.readable and entry.name == name]
        if not found:
            raise NotFoundError("no object has this name", code="not_found")
        if len(found) > 1:
            raise AmbiguousNameError(tuple(entry.object_id for entry in found))
        return found[0]


def _listed(entry: ObjectEntry) -> Seen:
    return Seen(entry.revision, decode_binary(entry.digest))


def _object_ids(page: ObjectList) -> list[UUID]:
    return [entry.object_id for entry in page.objects]


def _vault_entry(entry: ObjectEntry, read: Read) -> VaultEntry:
    # The head sums up revision and digest alone; the rest of an entry is held against the row itself.
    meta = read.meta
    stream_id = entry.stream_id if meta is None else meta.stream and meta.stream.id
    if (entry.key_version, entry.content_size, entry.stream_id) != (read.key_version, read.content_size, stream_id):
        raise IntegrityError("listing of an object")
    if meta is None:
        told = (entry.content_size, entry.revision, entry.created_at, entry.updated_at)
        return VaultEntry(entry.object_id, "", "", 0, *told, readable=False)
    return VaultEntry(
        object_id=entry.object_id,
        name=meta.name,
        content_type=meta.content_type,
        size=meta.size,
        stored_size=entry.content_size if meta.stream is None else shape_of(meta).sealed_size,
        revision=entry.revision,
        created_at=created_at(meta),
        updated_at=entry.updated_at,
    )
