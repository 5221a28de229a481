"""The steps of maintenance: what each looks for, and how one batch of it is done.

A batch is one short transaction: an interruption loses at most the batch under way, and nobody waits long for a lock.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg import sql
from psycopg.errors import DeadlockDetected

from hushtag.types import Record
from hushtag_server.operation import partitions, security_log, segments
from hushtag_server.operation.key_sets import count_tags, note_tags
from hushtag_server.operation.reach import Connection, as_maintainer
from hushtag_server.settings import Settings
from hushtag_server.streams.removing import BATCH
from hushtag_server.vault.seals import PLAIN_ENVELOPE, new_seal, seal_envelope

__all__ = ["STEPS", "Step", "Work"]

_BATCH: Final = 1000  # rows a transaction
_USERS: Final = 500  # users looked up at once
_BACKUP_NOTES: Final = timedelta(days=400)
_RETRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Work:
    """What a step may use: a connection in autocommit, as the owner of the tables."""

    connection: Connection
    settings: Settings


class Step(NamedTuple):
    """One thing that maintenance looks after: `due` counts, `batches` does, yielding how many each transaction did."""

    name: str
    about: str
    due: Callable[[Work], int]
    batches: Callable[[Work], Iterator[int]]
    always: bool = False
    """Whether it has something to do also where nothing is due."""


def _done(change: Callable[[], int]) -> int:
    """Do one batch, a transaction; again where it was given up to one of the server's, which leaves nothing of it."""
    for _ in range(_RETRIES):
        try:
            return change()
        except DeadlockDetected:
            continue
    return change()


# --- rows that have ended ------------------------------------------------------------------------------------


class _Ended(NamedTuple):
    table: LiteralString
    key: LiteralString
    condition: LiteralString
    value: Callable[[Settings], timedelta]


_SESSIONS: Final = _Ended(
    "user_sessions",
    "user_id, id",
    "(t.expires_at <= now() OR t.last_activity <= now() - %(age)s)",
    lambda settings: settings.session_idle,
)
_CEREMONIES: Final = _Ended(
    "opaque_sessions",
    "user_id, session_id",
    "(t.expires_at <= now() OR (t.session_state = 'unlocked' AND t.last_activity <= now() - %(age)s))",
    lambda settings: settings.vault_idle,
)
# A bucket fills within the hour. A full one and none are the same, but for an address that is known for an email.
_ATTEMPTS: Final = _Ended(
    "login_attempts",
    "scope, key_hash",
    "t.refilled_at <= now() - %(age)s AND (t.scope <> 'known' OR t.refilled_at <= now() - interval '90 days')",
    lambda _: timedelta(hours=2),
)


_PAIRINGS: Final = _Ended("pairings", "user_id, id", "t.expires_at <= now() - %(age)s", lambda _: timedelta(0))


def _count(ended: _Ended) -> Callable[[Work], int]:
    query = sql.SQL("SELECT count(*) FROM {} t WHERE ").format(sql.Identifier(ended.table)) + sql.SQL(ended.condition)

    def count(work: Work) -> int:
        with as_maintainer(work.connection):
            row = work.connection.execute(query, {"age": ended.value(work.settings)}).fetchone()
        return int(row[0]) if row else 0

    return count


def _delete(ended: _Ended) -> Callable[[Work], Iterator[int]]:
    # The condition stands twice: a session that was used while the lock was waited for has not ended after all.
    query = sql.SQL(
        "DELETE FROM {table} t WHERE ({key}) IN (SELECT {key} FROM {table} t WHERE {condition} LIMIT {most})"
        " AND {condition}"
    ).format(
        table=sql.Identifier(ended.table),
        key=sql.SQL(ended.key),
        condition=sql.SQL(ended.condition),
        most=sql.Literal(_BATCH),
    )

    def delete(work: Work) -> Iterator[int]:
        def remove() -> int:
            with as_maintainer(work.connection):
                return work.connection.execute(query, {"age": ended.value(work.settings)}).rowcount

        while True:
            gone = _done(remove)
            if gone:
                yield gone
            if gone < _BATCH:
                return

    return delete


def _removal(ended: _Ended, about: str) -> Step:
    return Step(ended.table, about, _count(ended), _delete(ended))


# --- rows of one user at a time, by the functions of their domain ---------------------------------------------


class _PerUser(NamedTuple):
    users: LiteralString  # query of user ids after %(after)s, with a number of rows due, as the maintainer
    call: LiteralString  # returns how many it did; runs as the owner, whom row-level security binds to this user


def _found(work: Work, kind: _PerUser, after: UUID) -> list[tuple[UUID, int]]:
    with as_maintainer(work.connection):
        values = {"after": after, "most": _USERS, "age": work.settings.journal_purge_after}
        values["upload"] = segments.upload_age(work.settings)
        return work.connection.execute(kind.users, values).fetchall()


def _each_user(work: Work, kind: _PerUser) -> Iterator[tuple[UUID, int]]:
    after = UUID(int=0)
    while found := _found(work, kind, after):
        yield from found
        after = found[-1][0]


def _call(work: Work, kind: _PerUser, user: UUID) -> int:
    values = {"user": user, "most": _BATCH, "age": work.settings.journal_purge_after}
    values |= {"upload": segments.upload_age(work.settings), "segments": BATCH}

    def do() -> int:
        with work.connection.transaction():
            work.connection.execute("SELECT set_config('app.user_id', %s, true)", [str(user)])
            row = work.connection.execute(kind.call, values).fetchone()
        return int(row[0]) if row and row[0] else 0

    return _done(do)


def _per_user(name: str, about: str, kind: _PerUser) -> Step:
    def batches(work: Work) -> Iterator[int]:
        for user, due in _each_user(work, kind):
            left = due
            while left > 0 and (done := _call(work, kind, user)):
                yield done
                left -= done

    return Step(name, about, lambda work: sum(due for _, due in _each_user(work, kind)), batches)


_JOURNALS: Final = _PerUser(
    "SELECT j.user_id, count(*) FROM journals j WHERE j.user_id > %(after)s AND j.deleted_at <= now() - %(age)s"
    " GROUP BY 1 ORDER BY 1 LIMIT %(most)s",
    "SELECT hushtag_purge_journals(%(user)s, now() - %(age)s, %(most)s)",
)
# A language that PostgreSQL has no configuration for counts as due, and the function then finds nothing to do.
_INDEX: Final = _PerUser(
    "SELECT w.user_id, count(*) FROM journal_words w LEFT JOIN user_settings s ON s.user_id = w.user_id"
    " WHERE w.user_id > %(after)s AND w.language <> coalesce(s.language, 'simple')"
    " GROUP BY 1 ORDER BY 1 LIMIT %(most)s",
    "SELECT hushtag_reindex_journals(%(user)s, %(most)s)",
)
_ACCOUNTS: Final = _PerUser(
    "SELECT u.id, 1 FROM users u WHERE u.id > %(after)s AND u.deletion_at <= now() ORDER BY 1 LIMIT %(most)s",
    "SELECT hushtag_erase_account(%(user)s)",
)

# Its bytes first, batch by batch: one transaction over all of them would be as long as they are many.
_DRAIN: Final = _PerUser(_ACCOUNTS.users, "SELECT hushtag_drain_account(%(user)s, %(segments)s)")


def _erase_accounts(work: Work) -> Iterator[int]:
    for user, _ in _each_user(work, _ACCOUNTS):
        while _call(work, _DRAIN, user):
            pass
        if done := _call(work, _ACCOUNTS, user):
            yield done


# --- tags of earlier versions --------------------------------------------------------------------------------

# A tag that is locked has another phrase hash than its own, to which a seal would bind it: it waits.
_UNSEALED: Final = """
    SELECT count(*) FROM secret_tags t WHERE octet_length(t.opaque_envelope) = %s
      AND NOT EXISTS (SELECT FROM locked_tags l WHERE l.user_id = t.user_id AND l.tag_id = t.id)
"""
_SOME_UNSEALED: Final = """
    SELECT t.user_id, t.id, t.phrase_hash, t.verifier_kv, t.opaque_envelope FROM secret_tags t
    WHERE octet_length(t.opaque_envelope) = %s
      AND NOT EXISTS (SELECT FROM locked_tags l WHERE l.user_id = t.user_id AND l.tag_id = t.id) LIMIT %s
"""


def _unsealed(work: Work) -> int:
    with as_maintainer(work.connection):
        row = work.connection.execute(_UNSEALED, [PLAIN_ENVELOPE]).fetchone()
    return int(row[0]) if row else 0


def _seal_tags(work: Work) -> Iterator[int]:
    while True:
        with as_maintainer(work.connection):
            found = work.connection.execute(_SOME_UNSEALED, [PLAIN_ENVELOPE, _BATCH]).fetchall()
        done = 0
        for user, tag, phrase_hash, verifier, plain in found:
            seal = new_seal()
            sealed = seal_envelope(seal, user, phrase_hash, Record(verifier + plain))
            values = [user, tag, plain, sealed, seal]
            row = work.connection.execute("SELECT hushtag_seal_tag(%s, %s, %b, %b, %b)", values).fetchone()
            done += bool(row and row[0])
        if done:
            yield done
        if not done or len(found) < _BATCH:
            return


# --- progress of a rotation ----------------------------------------------------------------------------------


def _counts_due(work: Work) -> int:
    counts = count_tags(work.connection)
    rows = work.connection.execute("SELECT id, tag_count FROM server_keys").fetchall()
    return sum(counts.get(key_id, 0) != noted for key_id, noted in rows)


def _count_sets(work: Work) -> Iterator[int]:
    if changed := note_tags(work.connection, count_tags(work.connection)):
        yield changed


_DESTROYED: Final = _PerUser(
    "SELECT v.user_id, count(*) FROM vaults v WHERE v.user_id > %(after)s AND v.destroyed_at IS NOT NULL"
    " GROUP BY 1 ORDER BY 1 LIMIT %(most)s",
    "SELECT hushtag_remove_destroyed(%(user)s)",
)

_LOCKS: Final = _PerUser(
    "SELECT l.user_id, count(*) FROM locked_tags l WHERE l.user_id > %(after)s AND l.locked_until <= now()"
    " GROUP BY 1 ORDER BY 1 LIMIT %(most)s",
    "SELECT hushtag_end_locks(%(user)s)",
)

_STREAMS: Final = _PerUser(
    segments.USERS_WITH_LEFTOVERS,
    "SELECT hushtag_remove_segments(%(user)s, %(upload)s, %(segments)s, true)",
)

# --- notes of backups ---------------------------------------------------------------------------------------


def _old_notes(work: Work) -> int:
    row = work.connection.execute(
        "SELECT count(*) FROM backups WHERE finished_at <= now() - %s", [_BACKUP_NOTES]
    ).fetchone()
    return int(row[0]) if row else 0


def _drop_notes(work: Work) -> Iterator[int]:
    gone = work.connection.execute("DELETE FROM backups WHERE finished_at <= now() - %s", [_BACKUP_NOTES]).rowcount
    if gone:
        yield gone


STEPS: Final = (
    _removal(_CEREMONIES, "vault sessions and ceremonies that expired or idled out"),
    _removal(_SESSIONS, "account sessions that expired or idled out"),
    _removal(_PAIRINGS, "pairings of devices whose time is over"),
    _removal(_ATTEMPTS, "login attempts whose bucket is full again"),
    Step("tag_seals", "secret tags of earlier versions that get their seal", _unsealed, _seal_tags),
    Step(
        "accounts",
        "accounts whose grace has ended, with everything of theirs",
        lambda work: sum(due for _, due in _each_user(work, _ACCOUNTS)),
        _erase_accounts,
    ),
    _per_user("journals", "journal entries deleted longer ago than HUSHTAG_JOURNAL_PURGE_AFTER", _JOURNALS),
    _per_user("search_index", "journal entries indexed under a language their writer has left", _INDEX),
    _per_user("streams", "segments of uploads given up, of objects deleted and of vaults destroyed", _STREAMS),
    Step(
        "segment_objects",
        "objects of segment stores that no segment names any more",
        lambda work: segments.due_objects(work.connection),
        lambda work: segments.remove_objects(work.connection, work.settings),
        always=True,
    ),
    Step(
        "segment_files",
        "unfinished files that killed servers left in directories of segments",
        lambda work: segments.count_staged(work.connection, work.settings),
        lambda work: segments.remove_staged(work.connection, work.settings),
    ),
    _per_user("destroyed_vaults", "rows of vaults whose keys were destroyed with their last phrase", _DESTROYED),
    _per_user("locks", "secret tags that were locked until now", _LOCKS),
    Step(
        "audit_partitions",
        "audit partitions of this month and the next ones",
        lambda work: len(partitions.missing_months(work.connection)),
        lambda work: partitions.open_months(work.connection),
    ),
    Step(
        "audit_logs",
        "audit months older than HUSHTAG_AUDIT_RETENTION",
        lambda work: partitions.expired_rows(work.connection, work.settings.audit_retention),
        lambda work: partitions.drop_expired(work.connection, work.settings.audit_retention),
    ),
    Step("key_sets", "key sets whose tags are counted anew", _counts_due, _count_sets),
    Step("backup_notes", "notes of backups older than 400 days", _old_notes, _drop_notes),
    Step(
        "security_audit_seal",
        "events of the security log that no server has sealed",
        lambda work: security_log.count_unsealed(work.connection),
        lambda work: security_log.seal_and_sign(work.connection, work.settings),
        always=True,
    ),
    Step(
        "security_audit_logs",
        "rows of the security log older than HUSHTAG_SECURITY_AUDIT_RETENTION",
        lambda work: security_log.count_due(work.connection, work.settings),
        lambda work: security_log.remove_due(work.connection, work.settings),
    ),
)
