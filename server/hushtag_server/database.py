"""The ways to the database: a transaction as one user or as nobody, a call that is one of its own, and calls together.

Row-level security shows a transaction only the rows of `app.user_id`, which is set here and lasts exactly as long as
the transaction. A query that forgot to name its user finds nothing instead of somebody else's row.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, LiteralString, NamedTuple, TypeVar
from uuid import UUID

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout, TooManyRequests

from hushtag.messages import FieldProblem
from hushtag_server.batches import Batches
from hushtag_server.connection import Connection
from hushtag_server.errors import LimitReachedError, StartError, UnauthenticatedError, UnavailableError
from hushtag_server.migration_names import STATE_TABLE, missing_of
from hushtag_server.peer import NO_PEER, Peer
from hushtag_server.pool import Pool
from hushtag_server.security_log.recording import RecordedPool

__all__ = [
    "AnyPool",
    "Connection",
    "Pool",
    "Together",
    "call",
    "call_together",
    "check_role",
    "entered",
    "missing_migrations",
    "retry_conflicts",
    "transaction",
]

Result = TypeVar("Result")

AnyPool = Pool | RecordedPool
"""A pool, or one whose next call also stores an event in the security log."""

_RETRIES: Final = 3
_encode: Final = msgspec.json.Encoder().encode


_MOST: Final = {"journals_most": "entries", "reminders_most": "reminders"}
"""What is limited by the triggers that raise under these names."""

_CONFLICTS: Final = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except _CONFLICTS:
        raise
    except psycopg.errors.CheckViolation as error:
        what = _MOST.get(error.diag.constraint_name or "")
        if what is None:
            raise
        rule = f"must leave at most {error.diag.message_detail} {what} of the account"
        raise LimitReachedError(what, [FieldProblem(field="$", rule=rule)]) from error
    except (PoolTimeout, TooManyRequests) as error:
        raise UnavailableError("no database connection became free in time") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise UnavailableError("the database did not answer") from error


_AS_USER: Final = (
    "SELECT set_config('app.user_id', %s, true), set_config('app.login_email', lower(%s), true),"
    " set_config('app.ip_address', %s, true), set_config('app.user_agent', %s, true)"
)
_ENTER: Final = "SELECT hushtag_enter(%s, %s, %s, %s, %s, %s)"


@asynccontextmanager
async def _begun(pool: Pool, opening: LiteralString, values: Sequence[object]) -> AsyncIterator[tuple[Connection, Any]]:
    with _reachable():
        async with pool.connection() as connection:
            # In a pipeline: BEGIN and this statement travel together and cost one round trip.
            async with connection.pipeline():
                await connection.execute("BEGIN")
                opened = await connection.execute(opening, values)
            yield connection, await opened.fetchone()


@asynccontextmanager
async def transaction(
    pool: Pool, user_id: UUID | None, *, login_email: str | None = None, peer: Peer = NO_PEER
) -> AsyncIterator[Connection]:
    """Yield a connection inside a transaction that sees only the rows of `user_id`; commit on exit, else roll back.

    `None` is nobody and sees no user's row; with `login_email` it sees that one account, to log in. What is changed
    for `peer` goes into the audit trail with its address and agent.

    Raises:
        LimitReachedError: the account would have more entries or reminders than it may.
        UnavailableError: no connection became free in time, or the database is away.
    """
    caller = [str(user_id) if user_id else "", login_email or "", peer.address or "", peer.agent or ""]
    async with _begun(pool, _AS_USER, caller) as (connection, _):
        yield connection


@asynccontextmanager
async def entered(pool: Pool, caller: Sequence[object]) -> AsyncIterator[tuple[Connection, UUID]]:
    """Yield a connection inside a transaction of the account token in `caller`, and the id of its session.

    `caller` is user id, token hash (32 bytes), idle time, touch interval, client address and agent; the last two go
    into the audit trail with whatever the transaction changes.

    Raises:
        UnauthenticatedError: the token is unknown, expired or of an account that is not active.
        LimitReachedError: the account would have more entries or reminders than it may.
        UnavailableError: no connection became free in time, or the database is away.
    """
    async with _begun(pool, _ENTER, caller) as (connection, (session_id,)):
        if session_id is None:
            raise UnauthenticatedError("no such session")
        yield connection, session_id


async def call(pool: AnyPool, statement: LiteralString, values: Sequence[object]) -> list[Any]:
    """Run one statement that is a transaction of its own and return its rows; prepared, results in binary.

    For the `hushtag_…` functions, which name their user themselves. Given up to a concurrent one, it runs again.

    Raises:
        LimitReachedError: the account would have more entries or reminders than it may.
        UnavailableError: no connection became free in time, or the database is away.
    """
    recorded = None
    if isinstance(pool, RecordedPool):
        recorded, pool = pool, pool.pool
        statement, values = recorded.join(statement, values)
    rows = await retry_conflicts(partial(_call_once, pool, statement, values))
    if recorded is not None:
        recorded.source.kick()
    return rows


class Together(NamedTuple):
    """A statement of one step, and that of several steps at once.

    The second takes the steps as JSON and, with `bulk`, what each has besides as one value; its rows begin with the
    place of their step, from 1. Both end with the values that all steps share.
    """

    alone: LiteralString
    several: LiteralString
    bulk: bool = False

    @classmethod
    def of(
        cls, columns: LiteralString, one: LiteralString, several: LiteralString, *, bulk: bool = False
    ) -> "Together":
        """Return the statements that read the same columns from a call for one step, and from one for several."""
        alone, together = f"SELECT {columns} FROM {one}", f"SELECT place, {columns} FROM {several}"  # noqa: S608  (constants)
        return cls(alone, together, bulk)


class _Content(NamedTuple):
    step: msgspec.Struct
    bulk: bytes
    recorded: RecordedPool | None


async def call_together(
    pool: AnyPool,
    together: Together,
    session: bytes,
    step: msgspec.Struct,
    shared: tuple[object, ...],
    alone: Sequence[object],
    bulk: bytes = b"",
) -> list[Any]:
    """Make a step as `call` does, in one transaction with the same step of other sessions that ask now.

    `session` tells it from others (user id and token hash, as they came). `alone` are the values of the statement for
    one step, which is run where the batch was refused.

    Raises:
        UnavailableError: no connection became free in time, the database is away, or too many steps wait.
    """
    recorded = pool if isinstance(pool, RecordedPool) else None
    own = pool.pool if isinstance(pool, RecordedPool) else pool
    statement = together.several if recorded is None else recorded.join_together(together.several)
    batches = own.batches.get((statement, shared))
    if batches is None:
        run = partial(_run_batch, own, statement, shared, together.bulk)
        batches = Batches(run, longest_wait=own.timeout, longest_run=own.patience)
        own.batches[(statement, shared)] = batches
    rows: list[Any] | None = await batches.make(session, _Content(step, bulk, recorded))
    if rows is None:
        with batches.apart(session):
            return await call(pool, together.alone, alone)
    if recorded is not None:
        recorded.source.kick()
    return rows


async def _run_batch(
    pool: Pool, statement: LiteralString, shared: tuple[object, ...], bulk: bool, contents: Sequence[_Content]
) -> list[list[Any]] | None:
    try:
        values: list[object] = [_encode([content.step for content in contents]).decode()]
        if bulk:
            values.append(b"".join([content.bulk for content in contents]))
        values += shared
        # Signed only now, one behind the other: what is done once a request costs twice as much.
        endings = [content.recorded.endings() for content in contents if content.recorded is not None]
        if endings:
            values.append((b"[" + b",".join(endings) + b"]").decode())
    except Exception:
        return None  # nothing was sent: made alone, the step that cannot be sent fails by itself
    try:
        rows = await _call_once(pool, statement, values)
    except (UnavailableError, psycopg.Error) as error:
        if _was_undone(error):
            return None
        raise
    found: list[list[Any]] = [[] for _ in contents]
    for row in rows:
        found[row[0] - 1].append(row[1:])
    return found


def _was_undone(error: Exception) -> bool:
    # An ERROR is said by a server that goes on: the transaction is undone. Of one that went away nobody knows. And if a
    # batch took too long, so would its steps alone, all at once.
    cause = error.__cause__ if isinstance(error, UnavailableError) else error
    if not isinstance(cause, psycopg.Error) or isinstance(cause, psycopg.errors.QueryCanceled):
        return False
    return cause.diag.severity_nonlocalized == "ERROR"


async def _call_once(pool: Pool, statement: LiteralString, values: Sequence[object]) -> list[Any]:
    with _reachable():
        connection = pool.take() or await pool.getconn()
        try:
            return await connection.call(statement, values)
        finally:
            if not pool.lay_down(connection):
                await pool.putconn(connection)


async def retry_conflicts(attempt: Callable[[], Awaitable[Result]]) -> Result:
    """Run `attempt` again when the database gave it up to a concurrent one (serialization failure, deadlock).

    Safe only where `attempt` is one whole transaction: what was given up left nothing behind.
    """
    for turn in range(_RETRIES):
        try:
            return await attempt()
        except _CONFLICTS:
            await asyncio.sleep(random.uniform(0.005, 0.02) * 2**turn)  # noqa: S311  (spreads load, guards nothing)
    return await attempt()


_ROLE: Final = """
    SELECT r.rolsuper, r.rolbypassrls,
           EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('users') AND pg_has_role(c.relowner, 'MEMBER')),
           to_regclass('users') IS NOT NULL AND has_table_privilege(to_regclass('users'), 'SELECT'),
           EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'hushtag_maintainer' AND pg_has_role(m.oid, 'MEMBER'))
    FROM pg_roles r WHERE r.rolname = session_user
"""
_NEXT: Final = (
    "create a login role (CREATE ROLE hushtag_app LOGIN PASSWORD '…'), run "
    "`hushtag-server migrate --app-role hushtag_app` as the owner, and put that role into HUSHTAG_DATABASE_URL"
)


async def missing_migrations(connection: AsyncConnection[TupleRow]) -> list[str]:
    """Return the migrations of this version that the database does not have."""
    try:
        found = await connection.execute(f"SELECT migration_id FROM {STATE_TABLE}")  # noqa: S608  (a constant)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        return missing_of(())
    return missing_of({row[0] for row in await found.fetchall()})


async def check_role(connection: AsyncConnection[TupleRow]) -> None:
    """Refuse a database role that row-level security does not bind, or that may not serve.

    Raises:
        StartError: says which, and the next step.
    """
    row: Any = await (await connection.execute(_ROLE)).fetchone()
    superuser, bypasses, owner, may_read, maintains = row
    if superuser or bypasses or owner or maintains:
        what = (
            "is a superuser"
            if superuser
            else "has BYPASSRLS"
            if bypasses
            else "owns the tables"
            if owner
            else "is a member of hushtag_maintainer"
        )
        raise StartError(f"the database role {what}, so row-level security would not bind the server; {_NEXT}")
    if not may_read:
        raise StartError(f"the database role is no member of hushtag_server; {_NEXT}")
