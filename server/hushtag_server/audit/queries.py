"""SQL of the audit trail. Triggers write what changes; logins and what follows from them are written here."""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from hushtag_server.audit.schemas import EntryRow, Filters
from hushtag_server.database import Connection

__all__ = ["list_entries", "record_event"]

Event = Literal["LOGIN", "FAILED_LOGIN", "UPDATE"]

_RECORD: Final = """
    INSERT INTO audit_logs (user_id, action, table_name, record_id, new_values, ip_address, user_agent)
    VALUES (%s, %s, %s, %s, %s, nullif(current_setting('app.ip_address', true), '')::inet,
        nullif(current_setting('app.user_agent', true), ''))
"""
_LIST: Final = """
    SELECT id, action, table_name, record_id, old_values, new_values, ip_address, user_agent, created_at
    FROM audit_logs
    WHERE user_id = %(user_id)s
      AND (%(action)s::text IS NULL OR action = %(action)s)
      AND (%(table_name)s::text IS NULL OR table_name = %(table_name)s)
      AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)
      AND (%(created_at)s::timestamptz IS NULL OR (created_at, id) < (%(created_at)s, %(id)s::uuid))
    ORDER BY created_at DESC, id DESC
    LIMIT %(limit)s
"""


async def record_event(
    connection: Connection,
    user_id: UUID | None,
    action: Event,
    table_name: str,
    record_id: UUID | None,
    new_values: dict[str, str] | None = None,
) -> None:
    """Write what no trigger sees, with address and agent of the transaction. `None` is nobody that is known."""
    values = Jsonb(new_values) if new_values else None
    await connection.execute(_RECORD, [user_id, action, table_name, record_id, values])


async def list_entries(
    connection: Connection, user_id: UUID, filters: Filters, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[EntryRow]:
    """Return up to `limit` entries of a user, the newest first, those behind `after`."""
    created_at, entry_id = after or (None, None)
    values: dict[str, Any] = {"user_id": user_id, "created_at": created_at, "id": entry_id, "limit": limit}
    async with connection.cursor(row_factory=class_row(EntryRow)) as cursor:
        await cursor.execute(_LIST, values | filters._asdict())
        return await cursor.fetchall()
