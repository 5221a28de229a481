"""SQL of deliveries: which session has been told of which due reminder.

A delivery is committed before its event is sent, under a lock on the session's row: of any number of streams and
workers of one session one delivers it. What was committed and never arrived is sent again to whoever names the last
event that did arrive.
"""

from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import class_row

from hushtag_server.database import Connection
from hushtag_server.reminders.queries import COLUMNS
from hushtag_server.reminders.schemas import DueReminder

__all__ = ["deliver_due", "find_position", "list_delivered", "look_ahead"]

_FRESH: Final[LiteralString] = """
    r.user_id = %(user_id)s AND NOT r.is_completed AND r.due_at <= now() AND NOT EXISTS (
        SELECT FROM reminder_deliveries d
        WHERE d.user_id = r.user_id AND d.session_id = %(session_id)s AND d.reminder_id = r.id AND d.due_at = r.due_at)
"""

_LOOK: Final[LiteralString] = f"""
    SELECT EXISTS (SELECT FROM reminders r WHERE {_FRESH}),
        (SELECT extract(epoch FROM min(r.due_at) - now())::float8 FROM reminders r
         WHERE r.user_id = %(user_id)s AND NOT r.is_completed AND r.due_at > now())
"""  # noqa: S608  (constants)

_DELIVER: Final[LiteralString] = f"""
    WITH fresh AS (
        SELECT r.id, r.due_at, row_number() OVER (ORDER BY r.due_at, r.id) AS turn
        FROM reminders r WHERE {_FRESH} ORDER BY r.due_at, r.id LIMIT %(limit)s
    ), made AS (
        INSERT INTO reminder_deliveries (user_id, session_id, reminder_id, due_at, position)
        SELECT %(user_id)s, %(session_id)s, f.id, f.due_at, f.turn + (
            SELECT coalesce(max(d.position), 0) FROM reminder_deliveries d
            WHERE d.user_id = %(user_id)s AND d.session_id = %(session_id)s)
        FROM fresh f RETURNING reminder_id, position
    )
    SELECT {COLUMNS}, made.position FROM made JOIN reminders r ON r.user_id = %(user_id)s AND r.id = made.reminder_id
    ORDER BY made.position
"""  # noqa: S608  (constants)

_DELIVERED: Final[LiteralString] = f"""
    SELECT {COLUMNS}, d.position FROM reminder_deliveries d
    JOIN reminders r ON r.user_id = d.user_id AND r.id = d.reminder_id
    WHERE d.user_id = %(user_id)s AND d.session_id = %(session_id)s AND d.position > %(after)s
    ORDER BY d.position LIMIT %(limit)s
"""  # noqa: S608  (constants)


async def look_ahead(connection: Connection, user_id: UUID, session_id: UUID) -> tuple[bool, float | None]:
    """Tell whether something is due that the session does not know, and in how many seconds the next will be."""
    found = await connection.execute(_LOOK, {"user_id": user_id, "session_id": session_id})
    row = await found.fetchone()
    return (False, None) if row is None else (row[0], row[1])


async def deliver_due(connection: Connection, user_id: UUID, session_id: UUID, *, limit: int) -> list[DueReminder]:
    """Note up to `limit` due reminders as delivered to the session and return them, the longest due first."""
    # The next statement sees what the holder before committed; positions follow each other without a hole.
    locked = await connection.execute(
        "SELECT FROM user_sessions WHERE user_id = %s AND id = %s FOR NO KEY UPDATE", [user_id, session_id]
    )
    if locked.rowcount == 0:
        return []  # the session ended this moment
    async with connection.cursor(row_factory=class_row(DueReminder)) as cursor:
        await cursor.execute(_DELIVER, {"user_id": user_id, "session_id": session_id, "limit": limit})
        return await cursor.fetchall()


async def list_delivered(
    connection: Connection, user_id: UUID, session_id: UUID, *, after: int, limit: int
) -> list[DueReminder]:
    """Return what was delivered to the session after a position, as it is now."""
    async with connection.cursor(row_factory=class_row(DueReminder)) as cursor:
        given = {"user_id": user_id, "session_id": session_id, "after": after, "limit": limit}
        await cursor.execute(_DELIVERED, given)
        return await cursor.fetchall()


async def find_position(connection: Connection, user_id: UUID, session_id: UUID) -> int:
    """Return the position of the session's last delivery; 0 if there is none."""
    found = await connection.execute(
        "SELECT coalesce(max(position), 0) FROM reminder_deliveries WHERE user_id = %s AND session_id = %s",
        [user_id, session_id],
    )
    row = await found.fetchone()
    return 0 if row is None else int(row[0])
