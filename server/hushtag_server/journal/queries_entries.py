"""SQL of entries inside a transaction of the account: delete, restore, erase, one tag more or less."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from hushtag_server.database import Connection
from hushtag_server.journal.schemas import EntryRow, Stored

__all__ = ["delete_journal", "erase_journal", "find_body", "link_tag", "lock_journal", "restore_journal", "unlink_tag"]


async def _one(connection: Connection, statement: Any, values: Sequence[object]) -> Any:
    return await (await connection.execute(statement, values)).fetchone()


async def lock_journal(connection: Connection, user_id: UUID, journal_id: UUID) -> EntryRow | None:
    """Return version and state of an entry, and hold it until the transaction ends."""
    row = await _one(
        connection,
        "SELECT version, deleted_at IS NOT NULL FROM journals WHERE user_id = %s AND id = %s FOR NO KEY UPDATE",
        [user_id, journal_id],
    )
    return None if row is None else EntryRow(*row)


async def find_body(connection: Connection, user_id: UUID, journal_id: UUID) -> Stored | None:
    """Return an entry as JSON."""
    row = await _one(
        connection,
        "SELECT version, convert_to((hushtag_journal_bodies(user_id, ARRAY[id], true))[1], 'UTF8') FROM journals"
        " WHERE user_id = %s AND id = %s",
        [user_id, journal_id],
    )
    return None if row is None else Stored(*row)


async def delete_journal(connection: Connection, user_id: UUID, journal_id: UUID) -> None:
    """Mark an entry as deleted."""
    await connection.execute(
        "UPDATE journals SET deleted_at = clock_timestamp(), version = version + 1"
        " WHERE user_id = %s AND id = %s AND deleted_at IS NULL",
        [user_id, journal_id],
    )


async def restore_journal(connection: Connection, user_id: UUID, journal_id: UUID) -> None:
    """Take the mark away again; an entry without it stays as it is."""
    await connection.execute(
        "UPDATE journals SET deleted_at = NULL, version = version + 1"
        " WHERE user_id = %s AND id = %s AND deleted_at IS NOT NULL",
        [user_id, journal_id],
    )


async def erase_journal(connection: Connection, user_id: UUID, journal_id: UUID) -> bool:
    """Delete the row of an entry that is marked as deleted; tell whether there was one."""
    done = await connection.execute(
        "DELETE FROM journals WHERE user_id = %s AND id = %s AND deleted_at IS NOT NULL", [user_id, journal_id]
    )
    return done.rowcount == 1


async def link_tag(connection: Connection, user_id: UUID, journal_id: UUID, tag_id: UUID, most: int) -> str:
    """Give an entry, held by `lock_journal`, a tag. Returns `linked`, `present`, `not_found` or `limit_reached`."""
    names = [user_id, journal_id, tag_id]
    if (
        await _one(connection, "SELECT FROM tags WHERE user_id = %s AND id = %s FOR KEY SHARE", [user_id, tag_id])
        is None
    ):
        return "not_found"
    made = await connection.execute(
        "INSERT INTO journal_tags (user_id, journal_id, tag_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", names
    )
    if made.rowcount == 0:
        return "present"
    count = await _one(
        connection, "SELECT count(*) FROM journal_tags WHERE user_id = %s AND journal_id = %s", names[:2]
    )
    if count[0] > most:
        return "limit_reached"
    await _renew(connection, user_id, journal_id)
    return "linked"


async def unlink_tag(connection: Connection, user_id: UUID, journal_id: UUID, tag_id: UUID) -> bool:
    """Take a tag from an entry; tell whether it had it."""
    done = await connection.execute(
        "DELETE FROM journal_tags WHERE user_id = %s AND journal_id = %s AND tag_id = %s",
        [user_id, journal_id, tag_id],
    )
    if done.rowcount == 1:
        await _renew(connection, user_id, journal_id)
    return done.rowcount == 1


async def _renew(connection: Connection, user_id: UUID, journal_id: UUID) -> None:
    await connection.execute(
        "UPDATE journals SET version = version + 1 WHERE user_id = %s AND id = %s", [user_id, journal_id]
    )
