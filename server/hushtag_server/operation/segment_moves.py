"""`hushtag-server segments move`: from the database into an object store, back, or from one store to another.

One segment at a time: its bytes are read and compared with its digest, written to the new place under a fresh id, and
one transaction lets the row name them. So it can be stopped anywhere and begun again, while the server runs: who reads
meanwhile follows the row.
"""

import asyncio
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol
from uuid import UUID, uuid4

from blake3 import blake3
from psycopg.errors import ForeignKeyViolation

from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.reach import Connection, as_maintainer
from hushtag_server.operation.segments import reach_store, remove_objects, upload_age
from hushtag_server.settings import Settings
from hushtag_server.streams.limits import PART_BYTES
from hushtag_server.streams.object_store import ObjectGoneError, ObjectStore, ObjectStoreError
from hushtag_server.streams.opening import claim_store, open_store
from hushtag_server.streams.stores import IN_DATABASE

__all__ = ["Moved", "count_segments", "move_segments"]

_PAGE: Final = 100


class Watcher(Protocol):
    """Who is told how far it is."""

    def begin(self, total: int) -> None:
        """Begin with so many to do."""

    def done(self, count: int) -> None:
        """So many more are done."""


class Moved(NamedTuple):
    """Segments and bytes that were moved, and segments that are damaged and stay where they are."""

    segments: int
    bytes: int
    damaged: int


class _Segment(NamedTuple):
    user_id: UUID
    vault_id: UUID
    stream_id: UUID
    id: UUID
    digest: bytes
    size: int
    store_id: UUID | None


_ELSEWHERE: Final = "g.store_id IS DISTINCT FROM %(to)s"
_SOME: Final = f"""
    SELECT g.user_id, g.vault_id, g.stream_id, g.id, g.digest, g.byte_count, g.store_id FROM vault_segments g
    WHERE {_ELSEWHERE} AND (g.user_id, g.vault_id, g.stream_id, g.id)
        > (%(user)s::uuid, %(vault)s::uuid, %(stream)s::uuid, %(id)s::uuid)
    ORDER BY 1, 2, 3, 4 LIMIT %(most)s
"""  # noqa: S608  (a constant)


def count_segments(connection: Connection, to: UUID | None) -> int:
    """Return how many segments do not lie in that store yet (None: in the database)."""
    with as_maintainer(connection):
        query = f"SELECT count(*) FROM vault_segments g WHERE {_ELSEWHERE}"  # noqa: S608  (a constant)
        row = connection.execute(query, {"to": to}).fetchone()
    return int(row[0]) if row else 0


def _elsewhere(connection: Connection, to: UUID | None) -> Iterator[_Segment]:
    least = UUID(int=0)
    last = _Segment(least, least, least, least, b"", 0, None)
    while True:
        with as_maintainer(connection):
            place = {"user": last.user_id, "vault": last.vault_id, "stream": last.stream_id, "id": last.id}
            found = connection.execute(_SOME, {**place, "to": to, "most": _PAGE}).fetchall()
        for row in found:
            last = _Segment(*row)
            yield last
        if len(found) < _PAGE:
            return


def _act_as(connection: Connection, user_id: UUID) -> None:
    # The owner of the tables is bound by row-level security as well.
    connection.execute("SELECT set_config('app.user_id', %s, true)", [str(user_id)])


def _refused(error: ObjectStoreError) -> OperationError:
    return OperationError(
        f"the object store refused: {error}; what was moved is moved, the rest is where it was: see the store's "
        "settings, then run this again"
    )


class _Move:
    """Moves segments to one place."""

    def __init__(self, connection: Connection, settings: Settings, to: UUID | None) -> None:
        self._connection, self._settings, self._to = connection, settings, to
        self._open: dict[UUID, ObjectStore] = {}

    def _store(self, store_id: UUID) -> ObjectStore:
        if store_id not in self._open:
            self._open[store_id] = reach_store(self._connection, self._settings, store_id)
        return self._open[store_id]

    def _from_database(self, segment: _Segment) -> bytes:
        with self._connection.transaction():
            _act_as(self._connection, segment.user_id)
            rows = self._connection.execute(
                "SELECT bytes FROM segment_parts WHERE user_id = %s AND vault_id = %s AND stream_id = %s"
                " AND segment_id = %s ORDER BY part",
                segment[:4],
                binary=True,
            ).fetchall()
        return b"".join(row[0] for row in rows)

    def _from_store(self, store_id: UUID, segment: _Segment) -> bytes:
        return asyncio.run(self._store(store_id).read_whole(segment.id))

    def _read(self, segment: _Segment) -> bytes | None:
        """Return the bytes of a segment, or None where they are not those that were stored."""
        try:
            if segment.store_id is None:
                content = self._from_database(segment)
            else:
                content = self._from_store(segment.store_id, segment)
        except ObjectGoneError:
            return None
        except ObjectStoreError as error:
            raise _refused(error) from None
        return content if blake3(content).digest() == segment.digest else None

    def _into_database(self, segment: _Segment, new: UUID, content: bytes) -> None:
        _act_as(self._connection, segment.user_id)
        for number, start in enumerate(range(0, len(content), PART_BYTES)):
            self._connection.execute(
                "INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes)"
                " VALUES (%s, %s, %s, %s, %s, %b)",
                [*segment[:3], new, number, content[start : start + PART_BYTES]],
            )

    def _into_store(self, store_id: UUID, new: UUID, content: bytes) -> None:
        # Noted first: should this end before the row names the object, maintenance removes it.
        self._connection.execute(
            "INSERT INTO segment_removals (id, store_id, due_at) VALUES (%s, %s, now() + %s)",
            [new, store_id, upload_age(self._settings)],
        )
        try:
            asyncio.run(self._store(store_id).write_whole(new, content))
        except ObjectStoreError as error:
            raise _refused(error) from None

    def _rename(self, segment: _Segment, new: UUID) -> bool:
        """Let the row name the new bytes; False if the segment went meanwhile."""
        _act_as(self._connection, segment.user_id)
        changed = self._connection.execute(
            "UPDATE vault_segments SET id = %s, store_id = %s"
            " WHERE user_id = %s AND vault_id = %s AND stream_id = %s AND id = %s",
            [new, self._to, *segment[:4]],
        ).rowcount
        self._connection.execute(
            "DELETE FROM segment_parts WHERE user_id = %s AND vault_id = %s AND stream_id = %s AND segment_id = %s",
            [*segment[:3], segment.id if changed else new],
        )
        if changed and self._to is not None:
            noted = self._connection.execute(
                "DELETE FROM segment_removals WHERE store_id = %s AND id = %s AND claimed_at IS NULL", [self._to, new]
            ).rowcount
            if not noted:
                raise OperationError("the new object was taken for a leftover; set HUSHTAG_STREAM_HOURS higher")
        return bool(changed)

    def _is_named(self, segment: _Segment) -> bool:
        with self._connection.transaction():
            _act_as(self._connection, segment.user_id)
            found = self._connection.execute(
                "SELECT id FROM vault_segments WHERE user_id = %s AND vault_id = %s AND stream_id = %s AND id = %s",
                segment[:4],
            ).fetchone()
        return found is not None

    def move(self, segment: _Segment) -> bool | None:
        """Move a segment; False if it went meanwhile, None if it is damaged.

        Raises:
            OperationError: a store refused.
        """
        content, new = self._read(segment), uuid4()
        if content is None:
            # Bytes are removed after the row: while that is there, they should be.
            return None if self._is_named(segment) else False
        if self._to is not None:
            self._into_store(self._to, new, content)
        try:
            with self._connection.transaction():
                if self._to is None:
                    self._into_database(segment, new, content)
                return self._rename(segment, new)
        except ForeignKeyViolation:
            return False  # its stream is gone


def _noted(connection: Connection, url: str) -> UUID | None:
    row = connection.execute("SELECT s.id FROM segment_stores s WHERE s.url = %s", [url]).fetchone()
    return row[0] if row else None


def _destination(connection: Connection, settings: Settings, to: str) -> UUID | None:
    if to == IN_DATABASE:
        return None
    try:
        if (found := _noted(connection, to)) is None:
            # Noted once it is ours: an address that leads nowhere would be asked for ever.
            row = connection.execute("SELECT i.id FROM installations i").fetchone()
            assert row is not None  # noqa: S101  (a migration makes it; for the type checker)
            asyncio.run(claim_store(open_store(to, settings), to, row[0], marked=False))
            connection.execute("INSERT INTO segment_stores (url) VALUES (%s) ON CONFLICT DO NOTHING", [to])
            found = _noted(connection, to)
        if found is not None:
            reach_store(connection, settings, found)
    except ObjectStoreError as error:
        raise _refused(error) from None
    return found


def move_segments(connection: Connection, settings: Settings, to: str, watcher: Watcher) -> Moved:
    """Move every segment to `to`, as HUSHTAG_SEGMENT_STORE spells it, and remove what they left behind.

    Raises:
        OperationError, StartError: a store refused or cannot be opened; what was moved is moved.
    """
    destination = _destination(connection, settings, to)
    move, segments, size, damaged = _Move(connection, settings, destination), 0, 0, 0
    watcher.begin(count_segments(connection, destination))
    for segment in _elsewhere(connection, destination):
        moved = move.move(segment)
        segments, size = segments + bool(moved), size + (segment.size if moved else 0)
        damaged += moved is None
        watcher.done(1)
    for _ in remove_objects(connection, settings):
        pass
    return Moved(segments, size, damaged)
