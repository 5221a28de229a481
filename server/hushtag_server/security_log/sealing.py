"""Sealing: what was queued gets its place in the chain, one sealer at a time, in batches.

Whoever seals holds an advisory lock for one transaction; PostgreSQL lets go of it whatever becomes of the sealer, and
what it had not committed is still queued. Writers of events never meet it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from hushtag_server.security_log.audit_keys import AuditKeys
from hushtag_server.security_log.chain import GENESIS, Checkpoint, Head, extend, sign_checkpoint
from hushtag_server.security_log.events import SESSION_ENDED
from hushtag_server.security_log.recording import INSERT, identifier, new_row_id
from hushtag_server.security_log.rows import EventRow, encode_row, stamp

__all__ = ["BATCH", "LOCK", "Sealed", "read_head", "seal_batch", "seal_everything", "store_checkpoint"]

BATCH: Final = 450
"""Rows of one transaction: what is done once for all of them costs more than chaining a hundred."""
CHAINED_AT_ONCE: Final = 150
"""Rows between two turns of the event loop: less than a millisecond."""
LOCK: Final = int.from_bytes(b"hushseal", "big")

_HEAD: Final[LiteralString] = """
    (SELECT seq, link FROM security_audit_links ORDER BY seq DESC LIMIT 1)
    UNION ALL
    (SELECT last_seq, link FROM security_audit_checkpoints WHERE kind = 'cut' ORDER BY last_seq DESC LIMIT 1)
    ORDER BY seq DESC LIMIT 1
"""
# By id, which begins with the time. A queued row that is gone, or that is in the chain already, leaves its id there:
# nobody but an intruder makes such, they must not stop the sealer, and verification names them.
_TAKE: Final[LiteralString] = """
    WITH next AS (
        SELECT u.id, l.log_signature FROM security_audit_unsealed u JOIN security_audit_logs l ON l.id = u.id
        WHERE NOT EXISTS (SELECT FROM security_audit_links k WHERE k.log_id = u.id) ORDER BY u.id LIMIT %s
    ), taken AS (DELETE FROM security_audit_unsealed u USING next n WHERE u.id = n.id)
    SELECT id, log_signature FROM next ORDER BY id
"""
# Ids and links come one behind the other: as arrays, each value would be spelt by itself.
_LINK: Final[LiteralString] = """
    INSERT INTO security_audit_links (seq, log_id, link, key_id)
    SELECT %(first)s::bigint + n, encode(substring(%(links)b::bytea FROM 48 * n + 1 FOR 16), 'hex')::uuid,
           substring(%(links)b::bytea FROM 48 * n + 17 FOR 32), %(key)s
    FROM generate_series(0, octet_length(%(links)b::bytea) / 48 - 1) n
"""
# A time that no calendar has comes of an intruder as well; what a trigger wrote is never later than now.
_ENDS: Final[LiteralString] = """
    DELETE FROM security_audit_ends WHERE id IN (SELECT id FROM security_audit_ends ORDER BY created_at LIMIT %s)
    RETURNING session_id, expired, greatest(least(created_at, clock_timestamp()), '2000-01-01Z')
"""
_CHECKPOINT: Final[LiteralString] = """
    INSERT INTO security_audit_checkpoints (kind, first_seq, last_seq, link, key_id, signed_at, signature)
    VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


class Sealed(NamedTuple):
    """What was done: the head it left, and how many rows were chained; no head: somebody else seals."""

    head: Head | None
    rows: int


async def read_head(connection: AsyncConnection[Any]) -> Head:
    """Return the end of the chain; where every row was removed, that of the last removal."""
    row = await (await connection.execute(_HEAD)).fetchone()
    return GENESIS if row is None else Head(row[0], bytes(row[1]))


async def store_checkpoint(connection: AsyncConnection[Any], keys: AuditKeys, head: Head) -> Checkpoint:
    """Sign how far the chain reaches and store it."""
    checkpoint = sign_checkpoint(keys, "head", 1, head)
    await connection.execute(_CHECKPOINT, list(checkpoint))
    return checkpoint


def _named_session(session_id: str) -> bytes:
    # What is no session id an intruder wrote. It must not stop the sealer, or events would wait unsealed and could go.
    try:
        return bytes.fromhex(session_id)
    except ValueError:
        return session_id.encode()


async def _sign_ends(connection: AsyncConnection[Any], keys: AuditKeys) -> None:
    # Sessions that are gone, by whatever way: signed here, because the database has no key.
    for session_id, expired, created_at in await (await connection.execute(_ENDS, [CHAINED_AT_ONCE])).fetchall():
        message, error, severity = SESSION_ENDED.outcomes["expired" if expired else "ended"]
        session = identifier(keys, b"session", _named_session(session_id))
        row = EventRow(
            *(new_row_id(), keys.text_id, None, session, None, None, None, None, None, stamp(created_at), None),
            *(SESSION_ENDED.name, SESSION_ENDED.category, severity, message, SESSION_ENDED.sensitive, True, error),
        )
        row.log_signature = keys.sign_row(encode_row(row))
        await connection.execute(INSERT, [msgspec.json.encode(row).decode()])


async def _chain(connection: AsyncConnection[Any], keys: AuditKeys, rows: Sequence[tuple[UUID, str | None]]) -> Head:
    head = before = await read_head(connection)
    pieces = []
    for start in range(0, len(rows), CHAINED_AT_ONCE):
        links = extend(keys, head, rows[start : start + CHAINED_AT_ONCE])
        pieces += [log_id.bytes + link for _, log_id, link in links]
        head = Head(links[-1][0], links[-1][2])
        await asyncio.sleep(0)
    if pieces:
        values = {"first": before.seq + 1, "links": b"".join(pieces), "key": keys.id}
        await connection.execute(_LINK, values)
    return head


async def seal_batch(connection: AsyncConnection[Any], keys: AuditKeys) -> Sealed:
    """Chain up to `BATCH` queued rows in one transaction, unless somebody else is at it."""
    async with connection.transaction():
        found = await (await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])).fetchone()
        if not found or not found[0]:
            return Sealed(None, 0)
        await _sign_ends(connection, keys)
        rows = await (await connection.execute(_TAKE, [BATCH])).fetchall()
        return Sealed(await _chain(connection, keys, rows), len(rows))


async def seal_everything(connection: AsyncConnection[Any], keys: AuditKeys) -> Sealed:
    """Chain batch by batch until nothing is queued; the rows are of all. No head: somebody else is at it."""
    total = 0
    while True:
        head, rows = await seal_batch(connection, keys)
        total += rows
        if rows < BATCH:
            return Sealed(head, total)
