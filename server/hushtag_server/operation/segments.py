"""Segments of large objects, as maintenance sees them: what ended goes, in the database and in object stores."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from uuid import UUID

from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.reach import Connection
from hushtag_server.settings import Settings
from hushtag_server.streams.object_store import ObjectStore, ObjectStoreError, open_store
from hushtag_server.streams.removing import BATCH, CLAIM_REMOVALS, OBJECTS, STORES_OF_REMOVALS, remove_all

__all__ = [
    "USERS_WITH_LEFTOVERS",
    "due_objects",
    "remove_objects",
    "remove_segments",
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


def remove_objects(connection: Connection) -> Iterator[int]:
    """Remove the objects that are due, their notes in the transaction that is committed afterwards.

    Raises:
        OperationError: a store did not answer; what it was to remove stays noted.
    """
    opened: dict[UUID, ObjectStore] = {}
    while True:
        addresses = stores_of(connection)
        for (store_id,) in connection.execute(STORES_OF_REMOVALS).fetchall():
            if store_id not in opened:
                opened[store_id] = open_store(addresses[store_id])
        with connection.transaction():
            claimed = connection.execute(CLAIM_REMOVALS, [list(opened), OBJECTS]).fetchall()
            if not claimed:
                return
            try:
                asyncio.run(remove_all(opened, claimed))
            except ObjectStoreError as error:
                raise OperationError(f"an object store refused ({error}); see its settings, then try again") from None
        yield len(claimed)
