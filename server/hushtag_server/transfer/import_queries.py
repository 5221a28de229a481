"""SQL of an import: rows that are missing are made, rows that are there stay as they are.

Every statement names the user.
"""

from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from hushtag_server.database import Connection

__all__ = [
    "count_tags",
    "insert_journals",
    "insert_reminders",
    "insert_settings",
    "insert_tags",
    "name_tags",
    "set_names",
]

_NAMES: Final = """
    UPDATE users SET first_name = %(first_name)s, last_name = %(last_name)s
    WHERE id = %(user_id)s AND first_name IS NULL AND last_name IS NULL
"""
_SETTINGS: Final = """
    INSERT INTO user_settings (user_id, time_zone, language, theme)
    VALUES (%(user_id)s, %(time_zone)s, %(language)s, %(theme)s)
    ON CONFLICT (user_id) DO NOTHING
"""
_TAGS: Final = """
    INSERT INTO tags (user_id, id, name, color, created_at, updated_at)
    SELECT %(user_id)s, g.id, g.name, lower(g.color), g.created_at, g.updated_at
    FROM jsonb_to_recordset(%(rows)s) g (id uuid, name text, color text, created_at timestamptz, updated_at timestamptz)
    ON CONFLICT DO NOTHING
"""
_NAME_TAGS: Final = "SELECT hushtag_name_tags(%(user_id)s, %(names)s::text[], %(most)s) IS NOT NULL"
_JOURNALS: Final = """
    INSERT INTO journals (user_id, id, title, content, mood_rating, is_private, entry_date, published_at, deleted_at,
        created_at, updated_at)
    SELECT %(user_id)s, g.id, g.title, g.content, g.mood_rating, g.is_private, g.entry_date, g.published_at,
        g.deleted_at, g.created_at, g.updated_at
    FROM jsonb_to_recordset(%(rows)s) g (id uuid, title text, content text, mood_rating smallint, is_private boolean,
        entry_date date, published_at timestamptz, deleted_at timestamptz, created_at timestamptz,
        updated_at timestamptz)
    ON CONFLICT (user_id, id) DO NOTHING
    RETURNING id
"""
# The tags were made a transaction ago. One that is deleted at this moment is waited for, and then there is none.
_JOURNAL_TAGS: Final = """
    INSERT INTO journal_tags (user_id, journal_id, tag_id)
    SELECT %(user_id)s::uuid, g.id, t.id
    FROM jsonb_to_recordset(%(rows)s) g (id uuid, tags jsonb), jsonb_array_elements_text(g.tags) n (name)
    JOIN tags t ON t.user_id = %(user_id)s AND t.folded = lower(n.name)
    WHERE g.id = ANY (%(made)s)
    FOR KEY SHARE OF t
    ON CONFLICT DO NOTHING
"""
_REMINDERS: Final = """
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(%(rows)s) g (id uuid, title text, description text,
            reminder_time timestamptz, snoozed_until timestamptz, is_completed boolean, completed_at timestamptz,
            priority integer, repeat_pattern text, time_zone text, series_id uuid, series_start timestamp,
            occurrence_time timestamp, occurrence_number integer, follows uuid, created_at timestamptz,
            updated_at timestamptz)
    ), there AS (
        SELECT count(*) AS rows FROM given g JOIN reminders r ON r.user_id = %(user_id)s AND r.id = g.id
    ), made AS (
        INSERT INTO reminders (user_id, id, title, description, reminder_time, snoozed_until, is_completed,
            completed_at, priority, repeat_pattern, time_zone, series_id, series_start, occurrence_time,
            occurrence_number, follows, created_at, updated_at)
        SELECT %(user_id)s, g.id, g.title, g.description, g.reminder_time, g.snoozed_until, g.is_completed,
            g.completed_at, g.priority, upper(g.repeat_pattern), g.time_zone, g.series_id, g.series_start,
            g.occurrence_time, g.occurrence_number, g.follows, g.created_at, g.updated_at
        FROM given g
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    SELECT (SELECT count(*) FROM made), (SELECT rows FROM there)
"""


def _as_it_is(rows: bytes) -> bytes:
    return rows


def _rows(rows: bytes) -> Jsonb:
    return Jsonb(rows, dumps=_as_it_is)  # JSON already, encoded in a worker thread


async def _row(connection: Connection, statement: LiteralString, values: dict[str, Any]) -> Any:
    return await (await connection.execute(statement, values)).fetchone()


async def set_names(connection: Connection, user_id: UUID, first_name: str | None, last_name: str | None) -> bool:
    """Give an account that has no names these; tell whether it had none."""
    values = {"user_id": user_id, "first_name": first_name, "last_name": last_name}
    return (await connection.execute(_NAMES, values)).rowcount == 1


async def insert_settings(connection: Connection, user_id: UUID, settings: dict[str, str]) -> bool:
    """Make the settings of an account that has none; tell whether it had none."""
    return (await connection.execute(_SETTINGS, {"user_id": user_id, **settings})).rowcount == 1


async def insert_tags(connection: Connection, user_id: UUID, rows: bytes) -> int:
    """Make the tags whose id and name are free; return how many."""
    return (await connection.execute(_TAGS, {"user_id": user_id, "rows": _rows(rows)})).rowcount


async def name_tags(connection: Connection, user_id: UUID, names: list[str], most: int) -> bool:
    """Make the tags of these names that are missing; False: the account would have more than `most`."""
    found = await _row(connection, _NAME_TAGS, {"user_id": user_id, "names": names, "most": most})
    return bool(found[0])


async def count_tags(connection: Connection, user_id: UUID) -> int:
    """Return how many tags the user has, and let nobody else make one before this transaction ends."""
    # The lock that hushtag_name_tags takes, so that the count holds.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 5))", [user_id])
    found = await _row(connection, "SELECT count(*) FROM tags WHERE user_id = %(id)s", {"id": user_id})
    return int(found[0])


async def insert_journals(connection: Connection, user_id: UUID, rows: bytes) -> int:
    """Make the entries whose id is free, with their tags, as version 1; return how many."""
    values: dict[str, Any] = {"user_id": user_id, "rows": _rows(rows)}
    made = [row[0] for row in await (await connection.execute(_JOURNALS, values)).fetchall()]
    if made:
        await connection.execute(_JOURNAL_TAGS, values | {"made": made})
    return len(made)


async def insert_reminders(connection: Connection, user_id: UUID, rows: bytes) -> tuple[int, int]:
    """Make the reminders whose id is free, as version 1; return how many, and how many ids were taken."""
    made, there = await _row(connection, _REMINDERS, {"user_id": user_id, "rows": _rows(rows)})
    return made, there
