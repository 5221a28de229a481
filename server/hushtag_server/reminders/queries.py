"""SQL of reminders. Every statement names the user; row-level security holds even where one would not."""

from dataclasses import fields
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import class_row

from hushtag_server.database import Connection
from hushtag_server.reminders.schemas import ReminderRow, ReminderValues

__all__ = [
    "COLUMNS",
    "SORTS",
    "complete_reminder",
    "delete_reminder",
    "find_clock",
    "find_reminder",
    "find_successor",
    "find_time_zone",
    "insert_reminder",
    "list_reminders",
    "reopen_reminder",
    "snooze_reminder",
    "update_reminder",
]

# "due" lasts a day: what nobody has done by then is overdue.
COLUMNS: Final[LiteralString] = """
    r.id, r.title, r.description, r.reminder_time, r.snoozed_until, r.due_at, r.is_completed, r.completed_at,
    r.priority, r.repeat_pattern, r.time_zone, r.series_id, r.series_start, r.occurrence_time, r.occurrence_number,
    r.version, r.created_at, r.updated_at,
    CASE WHEN r.is_completed THEN 'done' WHEN r.due_at > now() THEN 'pending'
         WHEN r.due_at > now() - interval '24 hours' THEN 'due' ELSE 'overdue' END AS status
"""

_INSERT: Final[LiteralString] = f"""
    INSERT INTO reminders AS r (user_id, id, title, description, reminder_time, snoozed_until, priority,
        repeat_pattern, time_zone, series_id, series_start, occurrence_time, occurrence_number, follows)
    SELECT %(user_id)s, %(id)s, %(title)s, %(description)s, %(reminder_time)s, %(snoozed_until)s, %(priority)s,
        %(repeat_pattern)s, %(time_zone)s, %(series_id)s, %(series_start)s, %(occurrence_time)s,
        %(occurrence_number)s, %(follows)s
    ON CONFLICT DO NOTHING
    RETURNING {COLUMNS}
"""

_UPDATE: Final[LiteralString] = f"""
    UPDATE reminders r SET title = %(title)s, description = %(description)s, reminder_time = %(reminder_time)s,
        snoozed_until = %(snoozed_until)s, priority = %(priority)s, repeat_pattern = %(repeat_pattern)s,
        time_zone = %(time_zone)s, series_start = %(series_start)s, occurrence_time = %(occurrence_time)s,
        occurrence_number = %(occurrence_number)s, version = r.version + 1
    WHERE r.user_id = %(user_id)s AND r.id = %(id)s
    RETURNING {COLUMNS}
"""  # noqa: S608  (constants)

_STATUSES: Final[dict[str, LiteralString]] = {
    "all": "true",
    "pending": "NOT r.is_completed AND r.due_at > now()",
    "due": "NOT r.is_completed AND r.due_at <= now() AND r.due_at > now() - interval '24 hours'",
    "overdue": "NOT r.is_completed AND r.due_at <= now() - interval '24 hours'",
    "done": "r.is_completed",
}

SORTS: Final[dict[str, tuple[LiteralString, LiteralString]]] = {
    "time": ("(r.due_at, r.id) > (%(due_at)s, %(id)s)", "r.due_at, r.id"),
    "-time": ("(r.due_at, r.id) < (%(due_at)s, %(id)s)", "r.due_at DESC, r.id DESC"),
    "priority": (
        "(-r.priority, r.due_at, r.id) > (-%(priority)s, %(due_at)s, %(id)s)",
        "-r.priority, r.due_at, r.id",
    ),
}
"""Orders of a listing: what comes after a position, and the order itself."""


async def _row(connection: Connection, statement: LiteralString, values: dict[str, object]) -> ReminderRow | None:
    async with connection.cursor(row_factory=class_row(ReminderRow)) as cursor:
        await cursor.execute(statement, values)
        return await cursor.fetchone()


def _values(user_id: UUID, values: ReminderValues) -> dict[str, object]:
    return {"user_id": user_id, **{field.name: getattr(values, field.name) for field in fields(values)}}


async def find_clock(connection: Connection) -> datetime:
    """Return the database's time: the one clock all workers share."""
    row = await (await connection.execute("SELECT clock_timestamp()")).fetchone()
    if row is None:
        raise LookupError("the database told no time")
    now: datetime = row[0]
    return now


async def find_time_zone(connection: Connection, user_id: UUID) -> str | None:
    """Return the zone of the user's settings, if there are any."""
    found = await connection.execute("SELECT time_zone FROM user_settings WHERE user_id = %s", [user_id])
    row = await found.fetchone()
    return None if row is None else row[0]


async def insert_reminder(connection: Connection, user_id: UUID, values: ReminderValues) -> ReminderRow | None:
    """Insert a reminder; None: the user has one of this id, or one that follows the same reminder.

    A limit of the account ends the transaction (see `transaction`), but not for one that follows another.
    """
    if values.follows is not None:  # a series goes on however many there are
        await connection.execute("SELECT set_config('app.most_reminders', '', true)")
    return await _row(connection, _INSERT, _values(user_id, values))


async def find_reminder(
    connection: Connection, user_id: UUID, reminder_id: UUID, *, lock: bool = False
) -> ReminderRow | None:
    """Return a reminder; with `lock` nobody else changes it before this transaction ends."""
    statement: LiteralString = f"SELECT {COLUMNS} FROM reminders r WHERE r.user_id = %(user_id)s AND r.id = %(id)s"  # noqa: S608  (constants)
    locked: LiteralString = statement + " FOR NO KEY UPDATE"
    return await _row(connection, locked if lock else statement, {"user_id": user_id, "id": reminder_id})


async def find_successor(connection: Connection, user_id: UUID, reminder_id: UUID) -> ReminderRow | None:
    """Return the reminder that the completion of this one made."""
    statement: LiteralString = f"SELECT {COLUMNS} FROM reminders r WHERE r.user_id = %(user_id)s AND r.follows = %(id)s"  # noqa: S608  (constants)
    return await _row(connection, statement, {"user_id": user_id, "id": reminder_id})


async def list_reminders(
    connection: Connection,
    user_id: UUID,
    *,
    status: str,
    sort: str,
    after: tuple[int, datetime, UUID] | None,
    limit: int,
) -> list[ReminderRow]:
    """Return up to `limit` reminders of a status in an order, those behind `after` (priority, due time, id)."""
    beyond, order = SORTS[sort]
    behind: LiteralString = beyond if after is not None else "true"
    priority, due_at, reminder_id = after or (None, None, None)
    async with connection.cursor(row_factory=class_row(ReminderRow)) as cursor:
        await cursor.execute(
            f"SELECT {COLUMNS} FROM reminders r WHERE r.user_id = %(user_id)s AND {_STATUSES[status]} AND {behind}"  # noqa: S608  (constants)
            f" ORDER BY {order} LIMIT %(limit)s",
            {"user_id": user_id, "priority": priority, "due_at": due_at, "id": reminder_id, "limit": limit},
        )
        return await cursor.fetchall()


async def update_reminder(connection: Connection, user_id: UUID, values: ReminderValues) -> ReminderRow | None:
    """Write an edited reminder as its next version."""
    return await _row(connection, _UPDATE, _values(user_id, values))


async def _change(
    connection: Connection, user_id: UUID, reminder_id: UUID, change: LiteralString, **given: object
) -> ReminderRow | None:
    statement: LiteralString = (
        f"UPDATE reminders r SET {change}, version = r.version + 1"  # noqa: S608  (constants)
        f" WHERE r.user_id = %(user_id)s AND r.id = %(id)s RETURNING {COLUMNS}"
    )
    return await _row(connection, statement, {"user_id": user_id, "id": reminder_id, **given})


async def complete_reminder(connection: Connection, user_id: UUID, reminder_id: UUID) -> ReminderRow | None:
    """Complete a reminder now."""
    change: LiteralString = "is_completed = true, completed_at = clock_timestamp(), snoozed_until = NULL"
    return await _change(connection, user_id, reminder_id, change)


async def reopen_reminder(connection: Connection, user_id: UUID, reminder_id: UUID) -> ReminderRow | None:
    """Make a completed reminder one that is still to be done."""
    return await _change(connection, user_id, reminder_id, "is_completed = false, completed_at = NULL")


async def snooze_reminder(
    connection: Connection, user_id: UUID, reminder_id: UUID, until: datetime
) -> ReminderRow | None:
    """Let a reminder become due at another time, this once."""
    return await _change(connection, user_id, reminder_id, "snoozed_until = %(until)s", until=until)


async def delete_reminder(connection: Connection, user_id: UUID, reminder_id: UUID) -> bool:
    """Delete a reminder; tell whether there was one."""
    done = await connection.execute("DELETE FROM reminders WHERE user_id = %s AND id = %s", [user_id, reminder_id])
    return done.rowcount == 1
