"""SQL of tags, inside a transaction of the account. At most 1000 belong to a user, so none needs an index for likeness:
`%` and `LIKE` are not leakproof, and PostgreSQL would use no such index under row-level security."""

from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from hushtag_server.database import Connection
from hushtag_server.journal.schemas import TagRow

__all__ = [
    "delete_tag",
    "find_tag",
    "insert_tag",
    "list_tags_by_name",
    "list_tags_by_usage",
    "merge_tag",
    "suggest_tags",
    "update_tag",
]

_TAGS: Final = """
    WITH counted AS (
        SELECT t.id, t.name, t.color, t.folded, t.created_at, t.updated_at, (
            SELECT count(*) FROM journal_tags l JOIN journals j ON j.user_id = l.user_id AND j.id = l.journal_id
            WHERE l.user_id = t.user_id AND l.tag_id = t.id AND j.deleted_at IS NULL
        ) AS usage_count
        FROM tags t WHERE t.user_id = %(user_id)s
    )
    SELECT id, name, color, usage_count, created_at, updated_at FROM counted
"""


_ALIKE: Final = """
    CROSS JOIN LATERAL (SELECT lower(%(prefix)s) AS prefix) p
    CROSS JOIN LATERAL (
        SELECT starts_with(folded, prefix) AS begins,
            greatest(similarity(folded, prefix), word_similarity(prefix, folded)) AS alike
    ) s
    WHERE begins OR alike >= 0.25
"""


async def _tags(connection: Connection, statement: Any, values: dict[str, Any]) -> list[TagRow]:
    async with connection.cursor(row_factory=class_row(TagRow)) as cursor:
        # Planned each time: a plan that was made for a few entries compares each of many with each.
        await cursor.execute(statement, values, prepare=False)
        return await cursor.fetchall()


async def find_tag(connection: Connection, user_id: UUID, tag_id: UUID) -> TagRow | None:
    """Return one tag."""
    found = await _tags(connection, _TAGS + "WHERE id = %(tag_id)s", {"user_id": user_id, "tag_id": tag_id})
    return found[0] if found else None


async def list_tags_by_name(
    connection: Connection, user_id: UUID, *, after: tuple[str, UUID] | None, limit: int
) -> list[TagRow]:
    """Return up to `limit` tags by name whatever its case, those after (name, id)."""
    name, tag_id = after or (None, None)
    return await _tags(
        connection,
        _TAGS + "WHERE %(id)s::uuid IS NULL OR (folded, id) > (lower(%(name)s), %(id)s)"
        " ORDER BY folded, id LIMIT %(limit)s",
        {"user_id": user_id, "name": name, "id": tag_id, "limit": limit},
    )


async def list_tags_by_usage(
    connection: Connection, user_id: UUID, *, after: tuple[int, UUID] | None, limit: int
) -> list[TagRow]:
    """Return up to `limit` tags, most used first, those after (count, id)."""
    count, tag_id = after or (None, None)
    return await _tags(
        connection,
        _TAGS + "WHERE %(id)s::uuid IS NULL OR (-usage_count, id) > (-%(count)s::bigint, %(id)s)"
        " ORDER BY -usage_count, id LIMIT %(limit)s",
        {"user_id": user_id, "count": count, "id": tag_id, "limit": limit},
    )


async def suggest_tags(connection: Connection, user_id: UUID, prefix: str, limit: int) -> list[TagRow]:
    """Return the likeliest tags: those that begin like this, then those alike by trigrams, each by usage."""
    return await _tags(
        connection,
        _TAGS + _ALIKE + "ORDER BY NOT begins, CASE WHEN begins THEN 0 ELSE -alike END, usage_count DESC, folded"
        " LIMIT %(limit)s",
        {"user_id": user_id, "prefix": prefix, "limit": limit},
    )


async def insert_tag(connection: Connection, user_id: UUID, name: str, color: str | None, most: int) -> UUID | str:
    """Make a tag and return its id, or `already_exists` or `limit_reached`."""
    # The same lock as hushtag_name_tags takes: the count holds until the transaction ends.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 5))", [str(user_id)])
    row = await (
        await connection.execute(
            "INSERT INTO tags (user_id, name, color) VALUES (%s, %s, %s) ON CONFLICT (user_id, folded) DO NOTHING"
            " RETURNING id, (SELECT count(*) FROM tags WHERE user_id = %s)",
            [user_id, name, color, user_id],
        )
    ).fetchone()
    if row is None:
        return "already_exists"
    made: UUID = row[0]
    return made if row[1] < most else "limit_reached"


async def update_tag(connection: Connection, user_id: UUID, tag_id: UUID, changes: dict[str, Any]) -> str:
    """Change name or colour, or both. Returns `changed`, `not_found` or `already_exists`.

    Every entry that has the tag gets a new version: its tags are part of it.
    """
    try:
        done = await connection.execute(
            "UPDATE tags SET name = CASE WHEN %(has_name)s THEN %(name)s ELSE name END,"
            " color = CASE WHEN %(has_color)s THEN %(color)s ELSE color END"
            " WHERE user_id = %(user_id)s AND id = %(tag_id)s",
            {
                "user_id": user_id,
                "tag_id": tag_id,
                "has_name": "name" in changes,
                "name": changes.get("name"),
                "has_color": "color" in changes,
                "color": changes.get("color"),
            },
        )
    except psycopg.errors.UniqueViolation:
        return "already_exists"
    if done.rowcount == 0:
        return "not_found"
    await connection.execute("SELECT hushtag_renew_tagged(%s, %s)", [user_id, tag_id])
    return "changed"


async def delete_tag(connection: Connection, user_id: UUID, tag_id: UUID) -> bool:
    """Delete a tag and take it from every entry; tell whether there was one."""
    # Held first: an entry that got it between the two statements would lose it and keep its version.
    await connection.execute("SELECT FROM tags WHERE user_id = %s AND id = %s FOR UPDATE", [user_id, tag_id])
    await connection.execute("SELECT hushtag_renew_tagged(%s, %s)", [user_id, tag_id])
    done = await connection.execute("DELETE FROM tags WHERE user_id = %s AND id = %s", [user_id, tag_id])
    return done.rowcount == 1


async def merge_tag(connection: Connection, user_id: UUID, tag_id: UUID, into: UUID) -> bool:
    """Give every entry of one tag the other and delete the first; tell whether there were both."""
    held = await connection.execute(
        "SELECT id FROM tags WHERE user_id = %s AND id = ANY(%s) ORDER BY id FOR UPDATE", [user_id, [tag_id, into]]
    )
    if held.rowcount != 2:
        return False
    await connection.execute(
        "INSERT INTO journal_tags (user_id, journal_id, tag_id)"
        " SELECT user_id, journal_id, %s FROM journal_tags WHERE user_id = %s AND tag_id = %s ON CONFLICT DO NOTHING",
        [into, user_id, tag_id],
    )
    return await delete_tag(connection, user_id, tag_id)
