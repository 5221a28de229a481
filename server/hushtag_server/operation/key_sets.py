"""Changing the server's keys: a new set beside the old ones, tags that move to it as they are unlocked, then the end.

The store of the keys and the table `server_keys` change one after the other, in the order in which a crash between the
two leaves a server that starts: a set is stored before it is registered, and retired there before it is taken away.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from hushtag.messages import MAX_SETUPS
from hushtag_server.key_stores import absent, key_store
from hushtag_server.keyfile import LOCK_KEY, KeyRing, ServerKeys, encode_key_ring, load_keys, new_keys, register_keys
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.key_copies import BRING_BACK
from hushtag_server.operation.reach import Connection, Reached, as_maintainer, check_migrated, connect
from hushtag_server.settings import Settings

__all__ = ["KeySetStatus", "Retired", "Rotated", "count_tags", "key_status", "retire_keys", "rotate_keys"]

_COUNT: Final = "SELECT t.server_key_id, count(*) FROM secret_tags t GROUP BY 1"


class KeySetStatus(NamedTuple):
    """One key set: the tags that are under it now, and whether the keys of it are here."""

    id: UUID
    created_at: datetime
    current: bool
    here: bool
    retired_at: datetime | None
    tags: int


class Rotated(NamedTuple):
    """What a rotation did: the ring as it is now, and whether the new set is in use for new tags already."""

    ring: KeyRing
    keys: ServerKeys
    current: bool


class Retired(NamedTuple):
    """What was retired, and how many tags open nothing any more."""

    keys: ServerKeys
    lost: int


@contextmanager
def _changing(reached: Reached) -> Iterator[Connection]:
    """Yield a connection that alone changes keys; the lock is that of `ensure_keys`."""
    with connect(reached.owner_url) as connection:
        check_migrated(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        yield connection


def _ring(settings: Settings, connection: Connection) -> KeyRing:
    ring = load_keys(settings)
    if ring is not None:
        return ring
    if connection.execute("SELECT FROM server_keys LIMIT 1").rowcount:
        raise OperationError(f"{absent(settings)}, {BRING_BACK}")
    raise OperationError(f"{absent(settings)} yet; `hushtag-server serve` makes them")


def count_tags(connection: Connection) -> dict[UUID, int]:
    """Return how many tags are under each key set."""
    with as_maintainer(connection):
        return dict(connection.execute(_COUNT).fetchall())


def note_tags(connection: Connection, counts: dict[UUID, int]) -> int:
    """Write the counts where `/metrics` reads them; return how many had changed."""
    known = [row[0] for row in connection.execute("SELECT id FROM server_keys")]
    changed = 0
    for key_id in known:
        changed += connection.execute(
            "UPDATE server_keys SET tag_count = %(count)s, counted_at = now() WHERE id = %(id)s"
            " AND tag_count IS DISTINCT FROM %(count)s",
            {"id": key_id, "count": counts.get(key_id, 0)},
        ).rowcount
    return changed


def key_status(settings: Settings, reached: Reached) -> list[KeySetStatus]:
    """Return every key set of the database and of the store, the oldest first.

    Raises:
        OperationError: there are no keys. StartError: they are not usable.
    """
    with connect(reached.owner_url) as connection:
        check_migrated(connection)
        ring = _ring(settings, connection)
        counts = count_tags(connection)
        note_tags(connection, counts)
        known = connection.execute("SELECT id, created_at, retired_at FROM server_keys").fetchall()
    times = {row[0]: (row[1], row[2]) for row in known} | {
        keys.id: (keys.created_at, next((row[2] for row in known if row[0] == keys.id), None))
        for keys in ring.by_id.values()
    }
    return [
        KeySetStatus(key_id, made, key_id == ring.current.id, key_id in ring.by_id, ended, counts.get(key_id, 0))
        for key_id, (made, ended) in sorted(times.items(), key=lambda item: item[1][0])
    ]


def rotate_keys(
    settings: Settings, reached: Reached, make_setup: Callable[[], bytes], *, prepare: bool = False
) -> Rotated:
    """Make a new key set current: the one that was prepared, or a fresh one; `prepare` only adds it.

    Raises:
        OperationError: three sets are in use already, or one is prepared. StartError: the keys are not usable, not
            those of this database, or cannot be written.
    """
    with _changing(reached) as connection:
        ring = _ring(settings, connection)
        with connection.transaction():
            register_keys(connection, ring)
        prepared = [keys for keys in ring.by_id.values() if keys.created_at > ring.current.created_at]
        if prepare and prepared:
            raise OperationError(f"the key set {prepared[0].id} is prepared already; `keys rotate` makes it current")
        if not prepared and len(ring.by_id) >= MAX_SETUPS:
            raise OperationError(
                f"{MAX_SETUPS} key sets are in use, and every unlock pays for each; retire the oldest first: see "
                "`hushtag-server keys status`"
            )
        fresh = prepared[-1] if prepared else new_keys(make_setup, ring.by_id.values()).current
        after = KeyRing(ring.current if prepare else fresh, {**ring.by_id, fresh.id: fresh}, ring.retired_audit_keys)
        key_store(settings).store(encode_key_ring(after), first=False)
        with connection.transaction():
            register_keys(connection, after)
    return Rotated(after, fresh, not prepare)


def _end(connection: Connection, key_id: UUID, *, force: bool) -> int:
    """Note that a key set is retired, unless tags are under it; return how many are."""
    with connection.transaction():
        # A tag that is being stored under it is waited for, and counted; later ones are refused (migration 0023).
        connection.execute("SELECT FROM server_keys WHERE id = %s FOR UPDATE", [key_id])
        connection.execute("UPDATE server_keys SET retired_at = now() WHERE id = %s", [key_id])
        lost = count_tags(connection).get(key_id, 0)
        if lost and not force:
            raise OperationError(
                f"{lost} secret tags are still under the key set {key_id} and would open nothing for ever; wait until "
                "they are unlocked once, or retire it with --force"
            )
    return lost


def retire_keys(settings: Settings, reached: Reached, key_id: UUID, *, force: bool = False) -> Retired:
    """Take a key set out of use and out of the store; `force` also while tags are under it, which then open nothing.

    Its audit key stays in the store, for the security log that it signed.

    Raises:
        OperationError: it is the current one, not here, or tags are under it (says how many).
        StartError: the keys are not usable, or cannot be written.
    """
    with _changing(reached) as connection:
        ring = _ring(settings, connection)
        keys = ring.by_id.get(key_id)
        if keys is None:
            raise OperationError(f"{key_store(settings).name} holds no key set {key_id}; see `keys status`")
        if keys.id == ring.current.id:
            raise OperationError("the current key set cannot be retired; rotate first")
        lost = _end(connection, key_id, force=force)
        left = {other.id: other for other in ring.by_id.values() if other.id != key_id}
        retired = ring.retired_audit_keys | {key_id: keys.audit_key}
        key_store(settings).store(encode_key_ring(KeyRing(ring.current, left, retired)), first=False)
    return Retired(keys, lost)
