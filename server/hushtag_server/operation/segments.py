"""Segments of large objects, as maintenance sees them: what ended goes, in the database and in object stores."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import RawCursor

from hushtag_server.errors import StartError
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.reach import Connection, as_maintainer
from hushtag_server.settings import Settings
from hushtag_server.streams.object_store import ObjectStore, ObjectStoreError
from hushtag_server.streams.opening import check_mark, claim_store, open_store
from hushtag_server.streams.removing import (
    BATCH,
    CLAIM,
    CLAIM_REMOVALS,
    FORGET_REMOVALS,
    OBJECTS,
    RETURN_REMOVALS,
    STORES_OF_REMOVALS,
    remove_all,
)
from hushtag_server.streams.stores import MARK_STORE, STORE_BY_ID

__all__ = [
    "USERS_WITH_LEFTOVERS",
    "count_staged",
    "due_objects",
    "is_needed",
    "reach_store",
    "remove_objects",
    "remove_segments",
    "remove_staged",
    "segments_elsewhere",
    "stores_of",
    "upload_age",
]

# Users after %(after)s with segments that are to go, and how many rows that is about.
USERS_WITH_LEFTOVERS: Final = """
    SELECT l.user_id, sum(l.due)::bigint FROM (
        SELECT s.user_id, 1 + (SELECT count(*) FROM vault_segments g WHERE g.user_id = s.user_id
            AND g.vault_id = s.vault_id AND g.stream_id = s.id) AS due
        FROM vault_streams s JOIN vaults v ON v.user_id = s.user_id AND v.id = s.vault_id
        WHERE s.state = 'ended' OR (s.state = 'uploading' AND s.last_activity < now() - %(upload)s)
           OR (v.destroyed_at IS NOT NULL AND EXISTS (SELECT FROM vault_segments g WHERE g.user_id = s.user_id
                AND g.vault_id = s.vault_id AND g.stream_id = s.id))
        UNION ALL
        SELECT p.user_id, 1 FROM segment_parts p WHERE p.created_at < now() - %(upload)s AND NOT EXISTS (
            SELECT FROM vault_segments g WHERE g.user_id = p.user_id AND g.vault_id = p.vault_id
              AND g.stream_id = p.stream_id AND g.id = p.segment_id)) l
    WHERE l.user_id > %(after)s GROUP BY 1 ORDER BY 1 LIMIT %(most)s
"""


def upload_age(settings: Settings) -> timedelta:
    """Return how long an upload may lie without activity."""
    return timedelta(hours=settings.stream_hours)


def remove_segments(connection: Connection, settings: Settings, user_id: UUID) -> int:
    """Remove one batch of what a user's streams left behind; 0 is the end."""
    with connection.transaction():
        values = [user_id, upload_age(settings), BATCH]
        row = connection.execute("SELECT hushtag_remove_segments(%s, %s, %s, true)", values).fetchone()
    return int(row[0]) if row else 0


def stores_of(connection: Connection) -> dict[UUID, str]:
    """Return the addresses of all object stores that rows may name."""
    return dict(connection.execute("SELECT s.id, s.url FROM segment_stores s ORDER BY 1").fetchall())


_NAMED: Final = """
    SELECT EXISTS (SELECT FROM vault_segments g WHERE g.store_id = %(store)s)
        OR EXISTS (SELECT FROM segment_removals r WHERE r.store_id = %(store)s)
"""


def is_needed(connection: Connection, settings: Settings, store_id: UUID, url: str) -> bool:
    """Tell whether new segments go into a store, or rows name something of it: if not, it may be gone for good."""
    with as_maintainer(connection):
        row = connection.execute(_NAMED, {"store": store_id}).fetchone()
    return url == settings.segment_store or (row is not None and bool(row[0]))


_ELSEWHERE: Final = """
    SELECT s.url, count(*), sum(g.byte_count)::bigint FROM vault_segments g JOIN segment_stores s ON s.id = g.store_id
    GROUP BY 1 ORDER BY 1
"""


def segments_elsewhere(connection: Connection) -> list[tuple[str, int, int]]:
    """Return address, segments and bytes of each object store, as this maintainer's transaction sees the rows."""
    return connection.execute(_ELSEWHERE).fetchall()


def due_objects(connection: Connection) -> int:
    """Return how many objects are to be removed from their stores."""
    row = connection.execute("SELECT count(*) FROM segment_removals r WHERE r.due_at <= now()").fetchone()
    return int(row[0]) if row else 0


def reach_store(connection: Connection, settings: Settings, store_id: UUID, *, claim: bool = True) -> ObjectStore:
    """Open the store of that id and see whose it is; with `claim` it is marked, if it never was.

    Raises:
        StartError: it cannot be opened, or is another installation's.
        ObjectStoreError: it failed.
    """
    found = _run(connection, STORE_BY_ID, (store_id,))
    if not found:
        raise ObjectStoreError("no such store")
    url, marked, installation = found[0]
    store = open_store(url, settings)
    if claim:
        asyncio.run(claim_store(store, url, installation, marked=marked))
        _run(connection, MARK_STORE, (store_id,))
    else:
        asyncio.run(check_mark(store, url, installation, marked=marked))
    return store


def _run(connection: Connection, statement: LiteralString, values: Sequence[object]) -> list[Any]:
    # With the server's own statements, whose parameters are written $1, $2, …
    cursor = RawCursor(connection)
    cursor.execute(statement, values)
    return cursor.fetchall() if cursor.description else []


def _directories(connection: Connection, settings: Settings) -> Iterator[ObjectStore]:
    for store_id, url in stores_of(connection).items():
        if url.startswith("file://"):
            # One that is away or another's keeps what it has: `doctor` tells.
            with contextlib.suppress(StartError, ObjectStoreError):
                store = reach_store(connection, settings, store_id, claim=False)
                if store.marked:
                    yield store


def count_staged(connection: Connection, settings: Settings) -> int:
    """Return how many unfinished files killed servers have left in directories of segments.

    Raises:
        OperationError: a directory cannot be read.
    """
    before = datetime.now(UTC) - upload_age(settings)
    try:
        return sum(1 for store in _directories(connection, settings) for _ in store.list_staged(before))
    except ObjectStoreError as error:
        raise OperationError(f"a directory of segments cannot be read: {error}; see who may read it") from None


def remove_staged(connection: Connection, settings: Settings) -> Iterator[int]:
    """Remove them; what is younger than an upload may be under way.

    Raises:
        OperationError: one cannot be removed.
    """
    before = datetime.now(UTC) - upload_age(settings)
    try:
        for store in _directories(connection, settings):
            yield store.remove_staged(before)
    except ObjectStoreError as error:
        raise OperationError(f"an unfinished file cannot be removed: {error}; see who may write there") from None


def remove_objects(connection: Connection, settings: Settings) -> Iterator[int]:
    """Remove the objects that are due: claimed, removed, forgotten, and no transaction open while a store works.

    Raises:
        OperationError: a store refused; what it was to remove stays noted, and that of the others is removed.
    """
    urls, refused = stores_of(connection), []
    for (store_id,) in connection.execute(STORES_OF_REMOVALS).fetchall():
        try:
            yield from _remove_from(connection, settings, store_id)
        except (ObjectStoreError, StartError) as error:
            refused.append(f"{urls[store_id]}: {error}")
    if refused:
        raise OperationError(f"an object store refused: {'; '.join(refused)}; see its settings, then try again")


def _remove_from(connection: Connection, settings: Settings, store_id: UUID) -> Iterator[int]:
    store = reach_store(connection, settings, store_id)
    while claimed := [row[0] for row in _run(connection, CLAIM_REMOVALS, (store_id, OBJECTS, CLAIM))]:
        removed = asyncio.run(remove_all(store, claimed))
        _run(connection, FORGET_REMOVALS, (store_id, removed.gone))
        if removed.error is not None:
            _run(connection, RETURN_REMOVALS, (store_id, removed.failed))
            raise removed.error
        yield len(claimed)
