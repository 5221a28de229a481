"""SQL of profile, settings and consents."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET, structs
from psycopg.errors import InvalidParameterValue
from psycopg.rows import class_row, scalar_row

from hushtag.account_messages import AccountSettings, ChangeAccount, ChangeSettings, GiveConsent
from hushtag_server.accounts.schemas import ConsentRow
from hushtag_server.database import Connection

__all__ = [
    "change_names",
    "change_settings",
    "find_settings",
    "insert_consent",
    "knows_time_zone",
    "languages",
    "list_consents",
]

_NAMES: Final = """
    UPDATE users SET
        first_name = CASE WHEN %(set_first)s THEN %(first_name)s ELSE first_name END,
        last_name = CASE WHEN %(set_last)s THEN %(last_name)s ELSE last_name END
    WHERE id = %(user_id)s
"""
_SETTINGS: Final = """
    INSERT INTO user_settings AS s (user_id, time_zone, language, theme)
    VALUES (%(user_id)s, %(new_time_zone)s, %(new_language)s, %(new_theme)s)
    ON CONFLICT (user_id) DO UPDATE SET
        time_zone = coalesce(%(time_zone)s, s.time_zone),
        language = coalesce(%(language)s, s.language),
        theme = coalesce(%(theme)s, s.theme)
    RETURNING time_zone, language, theme
"""
_CONSENT: Final = """
    INSERT INTO consents (user_id, document, version, ip_address, user_agent)
    SELECT %(user_id)s, %(document)s, %(version)s, nullif(current_setting('app.ip_address', true), '')::inet,
        nullif(current_setting('app.user_agent', true), '')
    WHERE (SELECT count(*) FROM consents WHERE user_id = %(user_id)s) < %(most)s
    RETURNING id, document, version, ip_address, user_agent, created_at
"""
_CONSENTS: Final = """
    SELECT id, document, version, ip_address, user_agent, created_at FROM consents
    WHERE user_id = %(user_id)s
      AND (%(created_at)s::timestamptz IS NULL OR (created_at, id) < (%(created_at)s, %(id)s::uuid))
    ORDER BY created_at DESC, id DESC
    LIMIT %(limit)s
"""


async def change_names(connection: Connection, user_id: UUID, message: ChangeAccount) -> None:
    """Change what the message sets."""
    first, last = message.first_name, message.last_name
    values = {
        "user_id": user_id,
        "set_first": first is not UNSET,
        "first_name": None if first is UNSET else first,
        "set_last": last is not UNSET,
        "last_name": None if last is UNSET else last,
    }
    await connection.execute(_NAMES, values)


async def find_settings(connection: Connection, user_id: UUID) -> AccountSettings | None:
    """Return the settings, if the user ever made any."""
    async with connection.cursor(row_factory=class_row(AccountSettings)) as cursor:
        await cursor.execute("SELECT time_zone, language, theme FROM user_settings WHERE user_id = %s", [user_id])
        return await cursor.fetchone()


async def change_settings(connection: Connection, user_id: UUID, message: ChangeSettings) -> AccountSettings:
    """Change what the message sets; the first change makes the row."""
    given = {name: value for name, value in structs.asdict(message).items() if value is not UNSET}
    new = structs.asdict(AccountSettings(**given))
    values: dict[str, Any] = {name: given.get(name) for name in new} | {f"new_{name}": new[name] for name in new}
    async with connection.cursor(row_factory=class_row(AccountSettings)) as cursor:
        await cursor.execute(_SETTINGS, values | {"user_id": user_id})
        (row,) = await cursor.fetchall()
        return row


async def languages(connection: Connection) -> list[str]:
    """Return PostgreSQL's own text search configurations that this database has."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            "SELECT cfgname::text FROM pg_ts_config WHERE cfgnamespace = 'pg_catalog'::regnamespace ORDER BY 1"
        )
        return await cursor.fetchall()


async def knows_time_zone(connection: Connection, name: str) -> bool:
    """Tell whether the database knows the time zone of that name."""
    try:
        # A savepoint: the transaction goes on. (The view pg_timezone_names would read every zone's file.)
        async with connection.transaction():
            await connection.execute("SELECT now() AT TIME ZONE %s", [name])
    except InvalidParameterValue:
        return False
    return True


async def insert_consent(
    connection: Connection, user_id: UUID, message: GiveConsent, *, most: int
) -> ConsentRow | None:
    """Record a consent with address and agent of the transaction. None: the user has `most` of them.

    Parallel requests may exceed `most` by their number: it only keeps the table from growing without end.
    """
    values = {"user_id": user_id, "most": most, "document": message.document, "version": message.version}
    async with connection.cursor(row_factory=class_row(ConsentRow)) as cursor:
        await cursor.execute(_CONSENT, values)
        return await cursor.fetchone()


async def list_consents(
    connection: Connection, user_id: UUID, *, after: tuple[datetime, UUID] | None, limit: int
) -> list[ConsentRow]:
    """Return up to `limit` consents, the newest first, those behind `after`."""
    created_at, consent_id = after or (None, None)
    values = {"user_id": user_id, "created_at": created_at, "id": consent_id, "limit": limit}
    async with connection.cursor(row_factory=class_row(ConsentRow)) as cursor:
        await cursor.execute(_CONSENTS, values)
        return await cursor.fetchall()
