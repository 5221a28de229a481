"""What `doctor` asks of large objects, and what it can repair: leftovers go, counts are taken anew."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Final, NamedTuple
from uuid import UUID

from hushtag_server.errors import StartError
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.reach import Connection, as_maintainer
from hushtag_server.operation.segments import (
    USERS_WITH_LEFTOVERS,
    due_objects,
    is_needed,
    reach_store,
    remove_objects,
    remove_segments,
    remove_staged,
    stores_of,
    upload_age,
)
from hushtag_server.settings import Settings
from hushtag_server.streams.object_store import ObjectStoreError

__all__ = ["Leftovers", "StoreState", "compare_store", "count_leftovers", "repair_segments"]

_PAGE: Final = 10_000
_USERS: Final = 1000

_IN_STREAM: Final = """(SELECT count(*) AS segments, coalesce(sum(g.byte_count), 0) AS bytes FROM vault_segments g
    WHERE g.user_id = s.user_id AND g.vault_id = s.vault_id AND g.stream_id = s.id)"""
_IN_VAULT: Final = """(SELECT coalesce(sum(s.byte_count), 0) AS bytes FROM vault_streams s
    WHERE s.user_id = v.user_id AND s.vault_id = v.id)"""
# Counts that are not those of the rows.
_MISCOUNTED: Final = f"""
    SELECT s.user_id, s.vault_id FROM vault_streams s CROSS JOIN LATERAL {_IN_STREAM} c
    WHERE (s.segment_count, s.byte_count) <> (c.segments, c.bytes)
"""  # noqa: S608  (constants)
_VAULTS_MISCOUNTED: Final = f"""
    SELECT v.user_id, v.id FROM vaults v CROSS JOIN LATERAL {_IN_VAULT} c WHERE v.stream_bytes <> c.bytes
"""  # noqa: S608  (constants)
# Whoever changes these counts holds the vault's row: with it, what is counted is what is written.
_LOCK: Final = "SELECT FROM vaults v WHERE v.user_id = %(user)s AND v.id = %(vault)s FOR NO KEY UPDATE"
_RECOUNT: Final = f"""
    UPDATE vault_streams s SET (segment_count, byte_count) = {_IN_STREAM}
    WHERE s.user_id = %(user)s AND s.vault_id = %(vault)s
"""  # noqa: S608  (constants)
_RECOUNT_VAULT: Final = f"""
    UPDATE vaults v SET stream_bytes = {_IN_VAULT} WHERE v.user_id = %(user)s AND v.id = %(vault)s
"""  # noqa: S608  (constants)
# Segments in the database whose bytes are not all there.
_HOLLOW: Final = """
    SELECT count(*) FROM vault_segments g WHERE g.store_id IS NULL AND g.byte_count <> (
        SELECT coalesce(sum(octet_length(p.bytes)), 0) FROM segment_parts p WHERE p.user_id = g.user_id
          AND p.vault_id = g.vault_id AND p.stream_id = g.stream_id AND p.segment_id = g.id)
"""
_LISTED: Final = """
    CREATE TEMPORARY TABLE listed_objects (id uuid PRIMARY KEY, modified timestamptz, byte_count bigint);
    GRANT SELECT ON listed_objects TO hushtag_maintainer
"""
# What is under way is noted before it is written, so what neither a row nor a note names is nobody's. Whichever store
# they name: ids are random and used once, and two addresses may lead to one place.
_NOBODYS: Final = """
    SELECT l.id FROM listed_objects l WHERE l.modified < %(before)s
      AND NOT EXISTS (SELECT FROM vault_segments g WHERE g.id = l.id)
      AND NOT EXISTS (SELECT FROM segment_removals r WHERE r.id = l.id)
"""
# Moving keeps `created_at` and writes a new object: the row is as old as its last change.
_MISSING: Final = """
    SELECT count(*) FROM vault_segments g WHERE g.store_id = %(store)s AND g.updated_at < %(begin)s
      AND NOT EXISTS (SELECT FROM listed_objects l WHERE l.id = g.id AND l.byte_count = g.byte_count)
"""


class Leftovers(NamedTuple):
    """Rows that are to go, objects whose day has come, counts that are wrong, segments without all of their bytes."""

    rows: int
    objects: int
    miscounted: int
    hollow: int


class StoreState(NamedTuple):
    """A store beside the rows that name it: objects of ours, those nothing names, and segments without a whole one.

    `staged`: files of a directory that killed servers left unfinished.
    """

    objects: int
    nobodys: list[UUID]
    missing: int
    staged: int


def _users(connection: Connection, settings: Settings) -> Iterator[tuple[UUID, int]]:
    after = UUID(int=0)
    while True:
        with as_maintainer(connection):
            values = {"after": after, "most": _USERS, "upload": upload_age(settings)}
            found = connection.execute(USERS_WITH_LEFTOVERS, values).fetchall()
        yield from found
        if len(found) < _USERS:
            return
        after = found[-1][0]


def count_leftovers(connection: Connection, settings: Settings) -> Leftovers:
    """Look, and change nothing."""
    rows = sum(due for _, due in _users(connection, settings))
    with as_maintainer(connection):
        wrong = len(connection.execute(_MISCOUNTED).fetchall()) + len(connection.execute(_VAULTS_MISCOUNTED).fetchall())
        hollow = connection.execute(_HOLLOW).fetchone()
    return Leftovers(rows, due_objects(connection), wrong, int(hollow[0]) if hollow else 0)


def _pages(entries: Iterable[tuple[UUID, datetime, int]]) -> Iterator[list[tuple[UUID, datetime, int]]]:
    iterator = iter(entries)
    while page := list(islice(iterator, _PAGE)):
        yield page


def compare_store(connection: Connection, settings: Settings, store_id: UUID, *, claim: bool = False) -> StoreState:
    """List a store and compare it with the rows; objects younger than an upload may take are left out.

    With `claim` a store that was never marked is marked as this installation's.

    Raises:
        ObjectStoreError, StartError: it cannot be listed, or is another installation's.
    """
    begin, objects = datetime.now(UTC), 0
    before = begin - upload_age(settings)
    store = reach_store(connection, settings, store_id, claim=claim)

    ours = ((entry.segment_id, entry.modified, entry.size) for entry in store.list() if entry.segment_id is not None)
    # Listed first, and compared in one transaction then: none is open as long as the store takes.
    connection.execute(_LISTED)
    try:
        with connection.cursor() as cursor:
            for page in _pages(ours):
                objects += len(page)
                cursor.executemany("INSERT INTO listed_objects VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", page)
        with as_maintainer(connection):
            values = {"store": store_id, "before": before, "begin": begin}
            nobodys = [row[0] for row in connection.execute(_NOBODYS, values)]
            missing = connection.execute(_MISSING, values).fetchone()
    finally:
        connection.execute("DROP TABLE listed_objects")
    staged = sum(1 for _ in store.list_staged(before))
    return StoreState(objects, nobodys, int(missing[0]) if missing else 0, staged)


def _recount(connection: Connection) -> None:
    with as_maintainer(connection):
        wrong = connection.execute(f"{_MISCOUNTED} UNION {_VAULTS_MISCOUNTED}").fetchall()
    for user, vault in wrong:
        with connection.transaction():
            connection.execute("SELECT set_config('app.user_id', %s, true)", [str(user)])
            for statement in (_LOCK, _RECOUNT, _RECOUNT_VAULT):
                connection.execute(statement, {"user": user, "vault": vault})


def repair_segments(connection: Connection, settings: Settings) -> None:
    """Remove what nothing names and what ended, and take the counts anew.

    Raises:
        OperationError: a store cannot be reached that rows name, or where new segments go.
    """
    for store_id, url in stores_of(connection).items():
        try:
            nobodys = compare_store(connection, settings, store_id, claim=True).nobodys
        except (StartError, ObjectStoreError) as error:
            if not is_needed(connection, settings, store_id, url):
                continue
            if isinstance(error, StartError):
                raise OperationError(str(error)) from None
            raise OperationError(f"the object store {url} cannot be listed: {error}; see its settings") from None
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO segment_removals (id, store_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                [(segment_id, store_id) for segment_id in nobodys],
            )
    for user_id, _ in _users(connection, settings):
        while remove_segments(connection, settings, user_id):
            pass
    for _ in chain(remove_objects(connection, settings), remove_staged(connection, settings)):
        pass
    _recount(connection)
