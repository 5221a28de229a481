"""Audit partitions by month: made ahead, and dropped as a whole when their retention has ended."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final, TypeVar

import psycopg
from psycopg import sql

from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.reach import Connection

__all__ = ["AHEAD", "drop_expired", "expired_rows", "missing_months", "open_months"]

Result = TypeVar("Result")

AHEAD: Final = 3  # months after the present one
_BATCH: Final = 5000
_LOCK_WAIT: Final = 500  # milliseconds; writers stand in line behind a waiting lock, so it may not wait long
_ATTEMPTS: Final = 60

# The months that should have a partition: this one, the next ones, and any whose rows fell into the default partition.
_MISSING: Final = """
    SELECT m.month FROM (
        SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n) AS month
        FROM generate_series(0, %s) n
        UNION SELECT DISTINCT date_trunc('month', d.created_at AT TIME ZONE 'UTC') FROM audit_logs_default d
    ) m WHERE to_regclass('audit_logs_' || to_char(m.month, 'YYYY_MM')) IS NULL ORDER BY 1
"""
_EXPIRED: Final = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'audit_logs'::regclass AND c.relname ~ '^audit_logs_[0-9]{4}_[0-9]{2}$'
      AND (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC' <= now() - %s::interval
    ORDER BY 1
"""
_OLD: Final = "created_at <= now() - %s::interval"


def missing_months(connection: Connection) -> list[datetime]:
    """Return the first days of the months (UTC) that lack a partition."""
    return [row[0] for row in connection.execute(_MISSING, [AHEAD])]


def _with_short_locks(connection: Connection, change: Callable[[], Result]) -> Result:
    """Make a change that needs the whole table for a moment; give way to long transactions, and try again."""
    for _ in range(_ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = {_LOCK_WAIT}")
                return change()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            continue
    raise OperationError(
        "a transaction holds the audit log for too long; look for it in monitoring_connections, then run maintain again"
    )


def open_months(connection: Connection) -> Iterator[int]:
    """Make the missing partitions, moving rows out of the default one; yield 1 for each."""
    for month in missing_months(connection):

        def make(month: datetime = month) -> int:
            return connection.execute(
                "SELECT FROM (SELECT hushtag_open_audit_month(%s::timestamp AT TIME ZONE 'UTC') AS made) m WHERE made",
                [month],
            ).rowcount

        if made := _with_short_locks(connection, make):
            yield made


def _expired(connection: Connection, retention: timedelta) -> list[str]:
    return [row[0] for row in connection.execute(_EXPIRED, [retention])]


def expired_rows(connection: Connection, retention: timedelta) -> int:
    """Return the rows of expired months, and the expired rows of the default partition."""
    counts = [
        connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
        for name in _expired(connection, retention)
    ]
    counts.append(connection.execute(f"SELECT count(*) FROM audit_logs_default WHERE {_OLD}", [retention]).fetchone())  # noqa: S608
    return sum(row[0] for row in counts if row)


def drop_expired(connection: Connection, retention: timedelta) -> Iterator[int]:
    """Drop the partitions of expired months and delete expired rows of the default one; yield the rows of each."""
    for name in _expired(connection, retention):

        def drop(name: str = name) -> int:
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
            return int(row[0]) if row else 0

        yield _with_short_locks(connection, drop)
    while gone := connection.execute(
        f"DELETE FROM audit_logs_default WHERE id IN (SELECT id FROM audit_logs_default WHERE {_OLD} LIMIT {_BATCH})"  # noqa: S608
        f" AND {_OLD}",
        [retention, retention],
    ).rowcount:
        yield gone
