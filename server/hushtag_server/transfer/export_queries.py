"""SQL of an export: rows as JSON lines, page after page by key. Every statement names the user.

A page ends after `rows` rows or once it holds `most` bytes of free text, so that a page fits in memory whatever its
rows hold. Times are in UTC, because the connection's time zone is.
"""

from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from psycopg.rows import TupleRow

from hushtag_server.database import Connection

__all__ = [
    "Line",
    "Totals",
    "count_rows",
    "find_account",
    "list_events",
    "list_journals",
    "list_reminders",
    "list_tags",
]


class Line(NamedTuple):
    """A row as JSON, and the key after which the next page begins."""

    json: bytes
    id: UUID
    created_at: datetime | None = None


class Totals(NamedTuple):
    """How many members there will be about, and when the export began."""

    journals: int
    reminders: int
    events: int
    now: datetime


_COUNT: Final = """
    SELECT (SELECT count(*) FROM journals WHERE user_id = %(user_id)s),
           (SELECT count(*) FROM reminders WHERE user_id = %(user_id)s),
           (SELECT count(*) FROM audit_logs WHERE user_id = %(user_id)s), clock_timestamp()
"""
_ACCOUNT: Final = """
    SELECT convert_to(json_build_object(
        'email', u.email, 'first_name', u.first_name, 'last_name', u.last_name, 'created_at', u.created_at,
        'last_login', u.last_login,
        'settings', (SELECT json_build_object('time_zone', s.time_zone, 'language', s.language, 'theme', s.theme)
                     FROM user_settings s WHERE s.user_id = u.id),
        'consents', (SELECT coalesce(json_agg(json_build_object('id', c.id, 'document', c.document,
                         'version', c.version, 'ip_address', host(c.ip_address), 'user_agent', c.user_agent,
                         'created_at', c.created_at) ORDER BY c.created_at, c.id), '[]')
                     FROM consents c WHERE c.user_id = u.id))::text, 'UTF8'),
        (SELECT count(*) FROM consents c WHERE c.user_id = u.id)
    FROM users u WHERE u.id = %(user_id)s
"""
_TAGS: Final = """
    SELECT convert_to(json_build_object('id', t.id, 'name', t.name, 'color', t.color, 'created_at', t.created_at,
        'updated_at', t.updated_at)::text, 'UTF8'), t.id
    FROM tags t WHERE t.user_id = %(user_id)s ORDER BY t.folded, t.id
"""
_JOURNALS: Final = """
    WITH near AS (
        SELECT j.id, j.own, sum(j.own) OVER (ORDER BY j.id) AS upto
        FROM (SELECT id, octet_length(title) + coalesce(octet_length(content), 0) AS own FROM journals
              WHERE user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR id > %(after)s)
              ORDER BY id LIMIT %(rows)s) j
    )
    SELECT convert_to(json_build_object(
        'id', j.id, 'title', j.title, 'content', j.content, 'mood_rating', j.mood_rating,
        'is_private', j.is_private, 'entry_date', j.entry_date, 'word_count', j.word_count,
        'tags', (SELECT coalesce(json_agg(t.name ORDER BY t.folded), '[]')
                 FROM journal_tags l JOIN tags t ON t.user_id = l.user_id AND t.id = l.tag_id
                 WHERE l.user_id = %(user_id)s AND l.journal_id = j.id),
        'version', j.version, 'published_at', j.published_at, 'deleted_at', j.deleted_at,
        'created_at', j.created_at, 'updated_at', j.updated_at)::text, 'UTF8'), j.id
    FROM near n JOIN journals j ON j.user_id = %(user_id)s AND j.id = n.id
    WHERE n.upto - n.own < %(most)s
    ORDER BY j.id
"""
_REMINDERS: Final = """
    WITH near AS (
        SELECT r.id, r.own, sum(r.own) OVER (ORDER BY r.id) AS upto
        FROM (SELECT id, octet_length(title) + coalesce(octet_length(description), 0) AS own FROM reminders
              WHERE user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR id > %(after)s)
              ORDER BY id LIMIT %(rows)s) r
    )
    SELECT convert_to(json_build_object(
        'id', r.id, 'title', r.title, 'description', r.description, 'reminder_time', r.reminder_time,
        'snoozed_until', r.snoozed_until, 'is_completed', r.is_completed, 'completed_at', r.completed_at,
        'priority', r.priority, 'repeat_pattern', r.repeat_pattern, 'time_zone', r.time_zone,
        'series_id', r.series_id, 'series_start', r.series_start, 'occurrence_time', r.occurrence_time,
        'occurrence_number', r.occurrence_number, 'follows', r.follows, 'version', r.version,
        'created_at', r.created_at, 'updated_at', r.updated_at)::text, 'UTF8'), r.id
    FROM near n JOIN reminders r ON r.user_id = %(user_id)s AND r.id = n.id
    WHERE n.upto - n.own < %(most)s
    ORDER BY r.id
"""
_EVENTS: Final = """
    SELECT convert_to(json_build_object(
        'id', a.id, 'action', a.action, 'table_name', a.table_name, 'record_id', a.record_id,
        'old_values', a.old_values, 'new_values', a.new_values, 'ip_address', host(a.ip_address),
        'user_agent', a.user_agent, 'created_at', a.created_at)::text, 'UTF8'), a.id, a.created_at
    FROM audit_logs a
    WHERE a.user_id = %(user_id)s AND a.created_at < %(until)s
      AND (%(after)s::uuid IS NULL OR (a.created_at, a.id) > (%(since)s::timestamptz, %(after)s))
    ORDER BY a.created_at, a.id LIMIT %(rows)s
"""


async def _fetch(connection: Connection, statement: LiteralString, **values: Any) -> list[TupleRow]:
    # In binary: bytes arrive as they are, and nothing is decoded on the event loop.
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(statement, values)
        return await cursor.fetchall()


async def count_rows(connection: Connection, user_id: UUID) -> Totals:
    """Return how much there is, and the database's time."""
    return Totals(*(await _fetch(connection, _COUNT, user_id=user_id))[0])


async def find_account(connection: Connection, user_id: UUID) -> tuple[bytes, int]:
    """Return profile, settings and consents as JSON, and how many consents there are."""
    account, consents = (await _fetch(connection, _ACCOUNT, user_id=user_id))[0]
    return account, consents


async def list_tags(connection: Connection, user_id: UUID) -> list[Line]:
    """Return all tags (at most `MAX_TAGS`) by name."""
    return [Line(*row) for row in await _fetch(connection, _TAGS, user_id=user_id)]


async def list_journals(
    connection: Connection, user_id: UUID, *, after: Line | None, rows: int, most: int
) -> list[Line]:
    """Return the next entries by id, deleted ones among them."""
    key = None if after is None else after.id
    found = await _fetch(connection, _JOURNALS, user_id=user_id, after=key, rows=rows, most=most)
    return [Line(*row) for row in found]


async def list_reminders(
    connection: Connection, user_id: UUID, *, after: Line | None, rows: int, most: int
) -> list[Line]:
    """Return the next reminders by id."""
    key = None if after is None else after.id
    found = await _fetch(connection, _REMINDERS, user_id=user_id, after=key, rows=rows, most=most)
    return [Line(*row) for row in found]


async def list_events(
    connection: Connection, user_id: UUID, *, after: Line | None, rows: int, until: datetime
) -> list[Line]:
    """Return the next entries of the audit trail before `until`, the oldest first."""
    key, since = (None, None) if after is None else (after.id, after.created_at)
    found = await _fetch(connection, _EVENTS, user_id=user_id, after=key, since=since, until=until, rows=rows)
    return [Line(*row) for row in found]
