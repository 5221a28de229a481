"""SQL of the calendar feed: one secret address per user, of which only the hash is kept."""

from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import class_row

from hushtag_server.database import Connection
from hushtag_server.reminders.queries import COLUMNS
from hushtag_server.reminders.schemas import FeedRow, ReminderRow

__all__ = ["close_feed", "enter_feed", "find_feed", "list_open_reminders", "open_feed"]

# One statement; the address is noted as used at most once a minute.
_ENTER: Final = """
    WITH entered AS (
        SELECT f.user_id, f.last_used FROM reminder_feeds f
        JOIN users u ON u.id = f.user_id AND u.is_active AND u.deleted_at IS NULL
        WHERE f.user_id = %(user_id)s AND f.secret_hash = %(secret_hash)s
    ), noted AS (
        UPDATE reminder_feeds f SET last_used = now() FROM entered e
        WHERE f.user_id = %(user_id)s AND (e.last_used IS NULL OR e.last_used < now() - interval '1 minute')
    )
    SELECT FROM entered
"""


async def open_feed(connection: Connection, user_id: UUID, secret_hash: bytes) -> datetime:
    """Give the feed a new secret (hash: 32 bytes); the earlier address is gone. Return when."""
    await connection.execute("DELETE FROM reminder_feeds WHERE user_id = %s", [user_id])
    done = await connection.execute(
        "INSERT INTO reminder_feeds (user_id, secret_hash) VALUES (%s, %s)"
        " ON CONFLICT (user_id) DO UPDATE SET secret_hash = excluded.secret_hash, last_used = NULL"
        " RETURNING created_at",
        [user_id, secret_hash],
    )
    row = await done.fetchone()
    if row is None:
        raise LookupError("the feed was not written")
    created_at: datetime = row[0]
    return created_at


async def find_feed(connection: Connection, user_id: UUID) -> FeedRow | None:
    """Return when the feed was opened and last read; None if there is none."""
    async with connection.cursor(row_factory=class_row(FeedRow)) as cursor:
        await cursor.execute("SELECT created_at, last_used FROM reminder_feeds WHERE user_id = %s", [user_id])
        return await cursor.fetchone()


async def close_feed(connection: Connection, user_id: UUID) -> bool:
    """Revoke the feed's address; tell whether there was one."""
    return (await connection.execute("DELETE FROM reminder_feeds WHERE user_id = %s", [user_id])).rowcount == 1


async def enter_feed(connection: Connection, user_id: UUID, secret_hash: bytes) -> bool:
    """Tell whether this is the address of the feed of an active account, and note that it was used."""
    return (await connection.execute(_ENTER, {"user_id": user_id, "secret_hash": secret_hash})).rowcount == 1


async def list_open_reminders(connection: Connection, user_id: UUID, *, limit: int) -> list[ReminderRow]:
    """Return the `limit` reminders that are not completed and lie nearest to now, by id."""
    statement: LiteralString = f"""
        SELECT * FROM (
            SELECT {COLUMNS} FROM reminders r WHERE r.user_id = %(user_id)s AND NOT r.is_completed
            ORDER BY abs(extract(epoch FROM r.due_at - now())), r.id LIMIT %(limit)s
        ) nearest ORDER BY id
    """  # noqa: S608  (constants)
    async with connection.cursor(row_factory=class_row(ReminderRow)) as cursor:
        await cursor.execute(statement, {"user_id": user_id, "limit": limit})
        return await cursor.fetchall()
