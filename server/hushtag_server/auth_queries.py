"""SQL of authentication: one statement finds a session and notes, at most once a minute, that it was used."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg.rows import class_row

from hushtag_server.database import Connection

__all__ = ["FoundVaultSession", "find_account_session", "find_vault_session"]

_ACCOUNT = """
    WITH found AS (
        SELECT s.id, s.last_activity
        FROM user_sessions s JOIN users u ON u.id = s.user_id AND u.is_active AND u.deleted_at IS NULL
        WHERE s.user_id = %(user_id)s AND s.token_hash = %(token_hash)s
          AND s.expires_at > now() AND s.last_activity > now() - %(idle)s
    ), touched AS (
        UPDATE user_sessions s SET last_activity = now() FROM found
        WHERE s.user_id = %(user_id)s AND s.id = found.id AND found.last_activity < now() - %(touch)s
    )
    SELECT id FROM found
"""

_VAULT = """
    WITH found AS (
        SELECT o.session_id, o.tag_id, o.user_session_id AS account_session_id, o.last_activity
        FROM opaque_sessions o
        JOIN user_sessions s ON s.user_id = o.user_id AND s.id = o.user_session_id AND s.expires_at > now()
        JOIN users u ON u.id = o.user_id AND u.is_active AND u.deleted_at IS NULL
        WHERE o.user_id = %(user_id)s AND o.session_id = %(session_id)s AND o.session_state = 'unlocked'
          AND o.expires_at > now() AND o.last_activity > now() - %(idle)s
    ), touched AS (
        UPDATE opaque_sessions o SET last_activity = now() FROM found
        WHERE o.user_id = %(user_id)s AND o.session_id = found.session_id
          AND found.last_activity < now() - %(touch)s
    )
    SELECT tag_id, account_session_id FROM found
"""


@dataclass(frozen=True, slots=True)
class FoundVaultSession:
    """An unlocked session and the account session it hangs on."""

    tag_id: UUID
    account_session_id: UUID


async def find_account_session(
    connection: Connection, user_id: UUID, token_hash: bytes, *, idle: timedelta, touch: timedelta
) -> UUID | None:
    """Return the id of the valid session with this token hash (32 bytes), or None."""
    values = {"user_id": user_id, "token_hash": token_hash, "idle": idle, "touch": touch}
    row = await (await connection.execute(_ACCOUNT, values)).fetchone()
    return None if row is None else row[0]


async def find_vault_session(
    connection: Connection, user_id: UUID, session_id: str, *, idle: timedelta, touch: timedelta
) -> FoundVaultSession | None:
    """Return the valid vault session of this id (64 hex characters), or None."""
    values = {"user_id": user_id, "session_id": session_id, "idle": idle, "touch": touch}
    async with connection.cursor(row_factory=class_row(FoundVaultSession)) as cursor:
        await cursor.execute(_VAULT, values)
        return await cursor.fetchone()
