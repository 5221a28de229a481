"""SQL of accounts. Every statement names the user it is about; row-level security holds even where one would not."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from hushtag_server.accounts.schemas import AccountRow, LoginRow, NewUser, OpenedSession, SessionRow
from hushtag_server.database import Connection

__all__ = [
    "charge_attempt",
    "charge_known",
    "end_sessions",
    "find_account",
    "find_login",
    "insert_session",
    "know_address",
    "list_sessions",
    "refund_attempt",
    "remember_address",
    "sign_up",
    "update_password",
]

_SIGN_UP = """
    SELECT hushtag_sign_up(%(user_id)s, %(email)s, %(password_hash)s, %(first_name)s, %(last_name)s,
        %(phrase_salt)s, %(opaque_credential_id)s, %(guesses)s, %(terms_version)s, %(privacy_version)s)
"""

# Which way the time between lies does not count: a bucket that was used under a clock that was ahead would get nothing
# back until it is as late again.
_REFILL: Final = "abs(extract(epoch FROM clock_timestamp() - a.refilled_at))"
_TOKENS: Final = f"least(%(capacity)s, a.tokens + {_REFILL} * %(rate)s)"

_CHARGE: Final = f"""
    WITH full_again AS (
        DELETE FROM login_attempts WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM login_attempts
            WHERE refilled_at < now() - interval '2 hours'
              AND (scope <> 'known' OR refilled_at < now() - interval '90 days')
            LIMIT 10 FOR UPDATE SKIP LOCKED
        ))
    )
    INSERT INTO login_attempts AS a (scope, key_hash, tokens, refilled_at)
    VALUES (%(scope)s, %(key)s, %(capacity)s - 1, clock_timestamp())
    ON CONFLICT (scope, key_hash) DO UPDATE
    SET tokens = {_TOKENS} - 1, refilled_at = clock_timestamp()
    WHERE {_TOKENS} >= 1
"""  # noqa: S608  (constants)

_CHARGE_KNOWN: Final = f"""
    UPDATE login_attempts a
    SET tokens = {_TOKENS} - 1, refilled_at = clock_timestamp()
    WHERE a.scope = 'known' AND a.key_hash = %(key)s AND a.refilled_at >= now() - interval '90 days'
      AND {_TOKENS} >= 1
"""  # noqa: S608  (constants)

# Where there is a bucket under the present key, that one counts: a rotation gives nobody a second one.
_REMEMBER = """
    INSERT INTO login_attempts (scope, key_hash, tokens, refilled_at)
    SELECT 'known', %(key)s, a.tokens, a.refilled_at FROM login_attempts a
    WHERE a.scope = 'known' AND a.key_hash = ANY (%(earlier)s) ORDER BY a.refilled_at DESC LIMIT 1
    ON CONFLICT DO NOTHING
"""

# A proof fills it: what had failed from there was the owner's.
_KNOW = """
    INSERT INTO login_attempts AS a (scope, key_hash, tokens, refilled_at)
    VALUES ('known', %(key)s, %(capacity)s, clock_timestamp())
    ON CONFLICT (scope, key_hash) DO UPDATE SET tokens = %(capacity)s, refilled_at = clock_timestamp()
"""

_WAIT: Final = f"""
    SELECT ceil((1 - a.tokens) / %(rate)s - {_REFILL})::integer
    FROM login_attempts a WHERE a.scope = %(scope)s AND a.key_hash = %(key)s
"""  # noqa: S608  (constants)


async def sign_up(connection: Connection, user: NewUser) -> None:
    """Add an account with its full guess budget and its consents; a known email is left untouched, in silence.

    Both cost the same: one account added, one refused (see the function in the database).
    """
    values = {name: getattr(user, name) for name in NewUser.__slots__}
    await connection.execute(_SIGN_UP, values)


async def find_login(connection: Connection, email: str) -> LoginRow | None:
    """Return the account of an email, whatever its case, inside a transaction opened for that email."""
    async with connection.cursor(row_factory=class_row(LoginRow)) as cursor:
        await cursor.execute(
            "SELECT id, password_hash, is_active AND deleted_at IS NULL AS may_log_in"
            " FROM users WHERE lower(email) = lower(%s)",
            [email],
        )
        return await cursor.fetchone()


async def find_account(connection: Connection, user_id: UUID) -> AccountRow | None:
    """Return the profile of a user."""
    async with connection.cursor(row_factory=class_row(AccountRow)) as cursor:
        await cursor.execute(
            "SELECT id, email, first_name, last_name, created_at, last_login, phrase_salt FROM users WHERE id = %s",
            [user_id],
        )
        return await cursor.fetchone()


async def update_password(connection: Connection, user_id: UUID, *, old: str, new: str) -> bool:
    """Replace a password hash, if it is still the old one; tell whether it was."""
    done = await connection.execute(
        "UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s", [new, user_id, old]
    )
    return done.rowcount == 1


async def insert_session(
    connection: Connection,
    user_id: UUID,
    token_hash: bytes,
    *,
    password_hash: str,
    lifetime: timedelta,
    idle: timedelta,
    most: int,
    ip_address: str | None,
    user_agent: str | None,
) -> OpenedSession | None:
    """Open a session (token hash: 32 bytes), note the login and clear away the user's dead sessions.

    Of living ones those unused longest end, so that there are at most `most` with the new one. None: the password hash
    is no longer the one that was proven, or the account was closed meanwhile.
    """
    await connection.execute(
        "DELETE FROM user_sessions WHERE user_id = %s AND (expires_at <= now() OR last_activity <= now() - %s)",
        [user_id, idle],
    )
    noted = await connection.execute(
        "UPDATE users SET last_login = now() WHERE id = %s AND password_hash = %s AND is_active AND deleted_at IS NULL",
        [user_id, password_hash],
    )
    if noted.rowcount == 0:
        return None
    # The user's row is held now: of log-ins at the same moment each sees the sessions of those before it.
    await end_sessions(connection, user_id, beyond=most - 1)
    async with connection.cursor(row_factory=class_row(OpenedSession)) as cursor:
        await cursor.execute(
            "INSERT INTO user_sessions (user_id, token_hash, expires_at, ip_address, user_agent)"
            " VALUES (%s, %s, now() + %s, %s, %s) RETURNING id, expires_at",
            [user_id, token_hash, lifetime, ip_address, user_agent],
        )
        return await cursor.fetchone()


async def list_sessions(
    connection: Connection, user_id: UUID, *, idle: timedelta, after: UUID | None, limit: int
) -> list[SessionRow]:
    """Return up to `limit` living sessions by id, those after `after`."""
    async with connection.cursor(row_factory=class_row(SessionRow)) as cursor:
        await cursor.execute(
            "SELECT id, created_at, last_activity, expires_at, ip_address, user_agent FROM user_sessions"
            " WHERE user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR id > %(after)s)"
            " AND expires_at > now() AND last_activity > now() - %(idle)s ORDER BY id LIMIT %(limit)s",
            {"user_id": user_id, "after": after, "idle": idle, "limit": limit},
        )
        return await cursor.fetchall()


_END_SESSIONS = """
    WITH ended AS (
        DELETE FROM user_sessions WHERE user_id = %(user_id)s
            AND (%(only)s::uuid IS NULL OR id = %(only)s) AND (%(but)s::uuid IS NULL OR id <> %(but)s)
            AND (%(beyond)s::bigint IS NULL OR id = ANY (ARRAY(
                SELECT s.id FROM user_sessions s WHERE s.user_id = %(user_id)s
                    AND (SELECT count(*) FROM user_sessions c WHERE c.user_id = %(user_id)s) > %(beyond)s
                ORDER BY greatest(s.last_activity, (
                    SELECT max(o.last_activity) FROM opaque_sessions o
                    WHERE o.user_id = s.user_id AND o.user_session_id = s.id)) DESC, s.id
                OFFSET %(beyond)s)))
        RETURNING id
    )
    INSERT INTO audit_logs (user_id, action, table_name, record_id, ip_address, user_agent)
    SELECT %(user_id)s, 'LOGOUT', 'user_sessions', id, nullif(current_setting('app.ip_address', true), '')::inet,
        nullif(current_setting('app.user_agent', true), '')
    FROM ended
"""


async def end_sessions(
    connection: Connection,
    user_id: UUID,
    *,
    only: UUID | None = None,
    but: UUID | None = None,
    beyond: int | None = None,
) -> int:
    """End the sessions of a user and, by the foreign key, the vault sessions that hang on them; return how many.

    All of them, `only` one of them, all `but` one, or all `beyond` so many that were used last, be it through their
    vaults. Each leaves a LOGOUT in the audit trail.
    """
    chosen = {"user_id": user_id, "only": only, "but": but, "beyond": beyond}
    ended = await connection.execute(_END_SESSIONS, chosen)
    return ended.rowcount


async def charge_attempt(connection: Connection, scope: str, key: bytes, capacity: int, rate: float) -> int | None:
    """Take one token from a bucket, or return in how many seconds there will be one (None: taken).

    One statement: of parallel attempts exactly as many pass as there are tokens.
    """
    values = {"scope": scope, "key": key, "capacity": float(capacity), "rate": rate}
    if (await connection.execute(_CHARGE, values)).rowcount == 1:
        return None
    row = await (await connection.execute(_WAIT, values)).fetchone()
    return 1 if row is None else max(1, row[0])


async def charge_known(connection: Connection, key: bytes, capacity: int, rate: float) -> bool:
    """Take one token from the bucket of an address that is known for this email; tell whether there was one."""
    values = {"key": key, "capacity": float(capacity), "rate": rate}
    return (await connection.execute(_CHARGE_KNOWN, values)).rowcount == 1


async def remember_address(connection: Connection, key: bytes, earlier: Sequence[bytes]) -> None:
    """Take over what is known of an address under earlier keys of the server, unless it is known under the present."""
    await connection.execute(_REMEMBER, {"key": key, "earlier": list(earlier)})


async def know_address(connection: Connection, key: bytes, capacity: int) -> None:
    """Make the bucket of an address that is known for an email, full."""
    await connection.execute(_KNOW, {"key": key, "capacity": float(capacity)})


async def refund_attempt(connection: Connection, scope: str, key: bytes, capacity: int) -> None:
    """Put one token back."""
    await connection.execute(
        "UPDATE login_attempts SET tokens = least(%s, tokens + 1) WHERE scope = %s AND key_hash = %s",
        [float(capacity), scope, key],
    )
