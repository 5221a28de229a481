"""Retention: the beginning of the chain is removed, and a signed statement says how much, so that verifying goes on."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.reach import Connection, as_maintainer
from hushtag_server.security_log.audit_keys import AuditKeys
from hushtag_server.security_log.chain import GENESIS, Head, is_authentic, sign_checkpoint
from hushtag_server.security_log.verify import Keys, stored_checkpoints, walk

__all__ = ["KEPT_HEADS", "count_expired", "remove_expired"]

KEPT_HEADS: Final = 1000
"""Checkpoints that stay in the database; the operator's own file has them all."""
_BATCH: Final = 1000

# The chain goes by time but for seconds. What is removed is its beginning, up to the first row that must stay.
_LAST: Final = """
    SELECT coalesce(
        (SELECT k.seq - 1 FROM security_audit_links k JOIN security_audit_logs l ON l.id = k.log_id
         WHERE l."timestamp" > now() - %s ORDER BY k.seq LIMIT 1),
        (SELECT max(seq) FROM security_audit_links), 0)
"""
_FIRST: Final = "SELECT coalesce(min(seq), 0) FROM security_audit_links"
_REMOVE: Final = """
    WITH gone AS (
        DELETE FROM security_audit_links WHERE seq IN (
            SELECT seq FROM security_audit_links WHERE seq <= %s ORDER BY seq LIMIT %s) RETURNING log_id
    ), rows AS (DELETE FROM security_audit_logs l USING gone g WHERE l.id = g.log_id)
    SELECT count(*) FROM gone
"""
_STATE: Final = """
    INSERT INTO security_audit_checkpoints (kind, first_seq, last_seq, link, key_id, signed_at, signature)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_THIN: Final = """
    DELETE FROM security_audit_checkpoints WHERE kind = 'head' AND id NOT IN (
        SELECT id FROM security_audit_checkpoints WHERE kind = 'head' ORDER BY last_seq DESC, signed_at DESC LIMIT %s)
"""


def _range(connection: Connection, retention: timedelta) -> tuple[int, int]:
    first, last = (
        connection.execute(query, values).fetchone() for query, values in ((_FIRST, []), (_LAST, [retention]))
    )
    return (int(first[0]), int(last[0])) if first and last else (0, 0)


def count_expired(connection: Connection, retention: timedelta) -> int:
    """Return how many rows at the beginning of the chain are older than the retention."""
    with as_maintainer(connection):
        first, last = _range(connection, retention)
    return max(0, last - first + 1) if first else 0


def _start(connection: Connection, keys: Keys) -> Head:
    cuts = [cut for cut in stored_checkpoints(connection, "cut") if is_authentic(cut, keys.get(cut.key_id))]
    return Head(cuts[-1].last_seq, cuts[-1].link) if cuts else GENESIS


def _state(connection: Connection, current: AuditKeys, keys: Keys, last: int) -> None:
    """Verify what is about to be removed, and sign that it is."""
    start = _start(connection, keys)
    if last <= start.seq:
        return  # an earlier run stated it, and was stopped while it removed
    found = next(walk(connection, keys, start, last, lambda _: None), None)
    row = connection.execute("SELECT link FROM security_audit_links WHERE seq = %s", [last]).fetchone()
    if found is not None or row is None:
        raise OperationError(
            "the security log was tampered with, so nothing of it was removed; run `hushtag-server audit verify`"
        )
    connection.execute(_STATE, list(sign_checkpoint(current, "cut", start.seq + 1, Head(last, bytes(row[0])))))


def remove_expired(connection: Connection, current: AuditKeys, keys: Keys, retention: timedelta) -> Iterator[int]:
    """Verify, state and remove what is older than the retention; yield the rows of each transaction.

    Raises:
        OperationError: the rows that are due are not as they were sealed; nothing was removed.
    """
    with as_maintainer(connection):
        _, last = _range(connection, retention)
        _state(connection, current, keys, last)
    while True:
        with as_maintainer(connection):
            row = connection.execute(_REMOVE, [last, _BATCH]).fetchone()
        if not row or not row[0]:
            break
        yield int(row[0])
    with as_maintainer(connection):
        connection.execute(_THIN, [KEPT_HEADS])
