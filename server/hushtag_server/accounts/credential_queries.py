"""SQL of what only a proven password may change: email, password, closing an account and opening it again."""

from datetime import datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from hushtag_server.accounts.schemas import Credentials
from hushtag_server.database import Connection

__all__ = ["change_email", "deactivate", "find_credentials", "reactivate", "restore", "schedule_deletion"]

_DELETE: Final = """
    UPDATE users SET deleted_at = now(), deletion_at = now() + %s, opaque_credential_id = %s
    WHERE id = %s AND password_hash = %s AND deleted_at IS NULL
    RETURNING deletion_at
"""


async def find_credentials(connection: Connection, user_id: UUID) -> Credentials | None:
    """Return what a user logs in with."""
    async with connection.cursor(row_factory=class_row(Credentials)) as cursor:
        await cursor.execute("SELECT email, password_hash FROM users WHERE id = %s", [user_id])
        return await cursor.fetchone()


async def change_email(connection: Connection, user_id: UUID, *, proven: str, email: str) -> bool:
    """Give the account this email, unless somebody has it: then nothing changes, after the same work.

    Returns whether `proven` is still the password hash.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT hushtag_change_email(%s, %s, %s)", [user_id, proven, email])
        return bool(await cursor.fetchone())


async def _changed(connection: Connection, statement: LiteralString, user_id: UUID, proven: str) -> bool:
    return (await connection.execute(statement, [user_id, proven])).rowcount == 1


async def deactivate(connection: Connection, user_id: UUID, *, proven: str) -> bool:
    """Close an account; tell whether `proven` is still its password hash."""
    statement: LiteralString = "UPDATE users SET is_active = false WHERE id = %s AND password_hash = %s"
    return await _changed(connection, statement, user_id, proven)


async def reactivate(connection: Connection, user_id: UUID, *, proven: str) -> bool:
    """Open a deactivated account of this password hash; tell whether there was one."""
    statement: LiteralString = (
        "UPDATE users SET is_active = true"
        " WHERE id = %s AND password_hash = %s AND NOT is_active AND deleted_at IS NULL"
    )
    return await _changed(connection, statement, user_id, proven)


async def restore(connection: Connection, user_id: UUID, *, proven: str) -> bool:
    """Cancel the deletion of an account of this password hash within its grace; tell whether there was one.

    The credential id that the deletion overwrote stays lost.
    """
    # The time of this moment, not of the transaction's beginning: who waited here for maintenance has lost bytes to it.
    statement: LiteralString = (
        "UPDATE users SET deleted_at = NULL, deletion_at = NULL"
        " WHERE id = %s AND password_hash = %s AND deletion_at > clock_timestamp()"
    )
    return await _changed(connection, statement, user_id, proven)


async def schedule_deletion(
    connection: Connection, user_id: UUID, *, proven: str, grace: timedelta, credential_id: bytes
) -> datetime | None:
    """Delete an account but for its rows: overwrite its credential id (32 bytes) at once, and note when the grace ends.

    None: `proven` is no longer its password hash.
    """
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_DELETE, [grace, credential_id, user_id, proven])
        return await cursor.fetchone()
