"""Who is asking. A guard reads the token before the body is read; the database says whether it is valid.

- `guards=[require_account_token]`: the guard only reads the token's shape, and the route's own statement authenticates
  it (`account_transaction`, or a function of the database that takes a `Caller`). That saves a round trip and leaves
  no moment between check and change.
- `guards=[require_account]` with the parameter `account: AccountDep`, or `guards=[require_vault]` with
  `vault: VaultDep`: the guard authenticates in a transaction of its own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import SkipValidation

from hushtag_server import auth_queries as queries
from hushtag_server.database import Connection, entered
from hushtag_server.errors import UnauthenticatedError
from hushtag_server.peer import client_peer
from hushtag_server.services import Services, services_of, touch_interval
from hushtag_server.tokens import ACCOUNT, VAULT, BearerToken, parse_bearer

__all__ = [
    "ACCOUNT_SECURITY",
    "VAULT_SECURITY",
    "AccountDep",
    "AccountSession",
    "AccountTransaction",
    "Caller",
    "VaultDep",
    "VaultSession",
    "account_caller",
    "account_transaction",
    "provide_account",
    "provide_vault",
    "require_account",
    "require_account_token",
    "require_vault",
]

ACCOUNT_SECURITY: Final[list[dict[str, list[str]]]] = [{"accountToken": []}]
VAULT_SECURITY: Final[list[dict[str, list[str]]]] = [{"vaultToken": []}]


@dataclass(frozen=True, slots=True)
class AccountSession:
    """A valid account token."""

    user_id: UUID
    session_id: UUID


@dataclass(frozen=True, slots=True)
class VaultSession:
    """A valid vault token: the user, the tag that was unlocked and the account session it hangs on."""

    user_id: UUID
    tag_id: UUID
    session_id: str
    account_session_id: UUID


class Caller(NamedTuple):
    """An account token as it came, not yet checked: whose, its hash (32 bytes), and how long it may lie unused."""

    user_id: UUID
    token_hash: bytes
    idle: timedelta
    touch: timedelta


class AccountTransaction(NamedTuple):
    """A transaction that acts for an account: its connection, the user and the session whose token was valid."""

    connection: Connection
    user_id: UUID
    session_id: UUID


AccountDep = NamedDependency[SkipValidation[AccountSession]]
"""Annotation of the parameter `account` of a route."""
VaultDep = NamedDependency[SkipValidation[VaultSession]]
"""Annotation of the parameter `vault` of a route."""


async def require_account_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the header holds an account token; whether it is known, the route's statement finds out.

    Raises:
        UnauthenticatedError: it does not.
    """
    connection.scope["auth"] = parse_bearer(connection.headers.get("authorization"), ACCOUNT)


def account_caller(token: BearerToken, services: Services) -> Caller:
    """Return what a statement needs to authenticate an account token."""
    idle = services.settings.session_idle
    return Caller(token.user_id, token.secret_hash, idle, touch_interval(idle))


@asynccontextmanager
async def account_transaction(
    request: ASGIConnection[Any, Any, Any, Any], services: Services
) -> AsyncIterator[AccountTransaction]:
    """Yield a transaction for the account token of this request; commit on exit, else roll back.

    The route must have the guard `require_account_token`.

    Raises:
        UnauthenticatedError: the token is unknown, expired or of an account that is not active.
        UnavailableError: the database is away or overloaded.
    """
    caller = account_caller(request.auth, services)
    who = (*caller, *client_peer(request, services.settings))
    async with entered(services.pool, who) as (connection, session_id):
        yield AccountTransaction(connection, caller.user_id, session_id)


async def require_account(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: a known, unexpired, recently used account token of an active account.

    Raises:
        UnauthenticatedError: anything else; nobody is told what.
    """
    token = parse_bearer(connection.headers.get("authorization"), ACCOUNT)
    services = services_of(connection)
    idle = services.settings.session_idle
    async with services.transaction(token.user_id) as database:
        session_id = await queries.find_account_session(
            database, token.user_id, token.secret_hash, idle=idle, touch=touch_interval(idle)
        )
    if session_id is None:
        raise UnauthenticatedError("no such session")
    connection.scope["auth"] = AccountSession(token.user_id, session_id)


async def require_vault(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: a vault token that is unlocked, unexpired, recently used, and whose account session still stands.

    Raises:
        UnauthenticatedError: anything else; nobody is told what.
    """
    token = parse_bearer(connection.headers.get("authorization"), VAULT)
    services = services_of(connection)
    idle = services.settings.vault_idle
    session_id = token.secret_hash.hex()
    async with services.transaction(token.user_id) as database:
        found = await queries.find_vault_session(
            database, token.user_id, session_id, idle=idle, touch=touch_interval(idle)
        )
    if found is None:
        raise UnauthenticatedError("no such vault session")
    connection.scope["auth"] = VaultSession(token.user_id, found.tag_id, session_id, found.account_session_id)


async def provide_account(request: Request[Any, Any, Any]) -> AccountSession:
    """Dependency `account`; the route must have the guard `require_account`."""
    if not isinstance(request.auth, AccountSession):
        raise UnauthenticatedError("the route has no account guard")
    return request.auth


async def provide_vault(request: Request[Any, Any, Any]) -> VaultSession:
    """Dependency `vault`; the route must have the guard `require_vault`."""
    if not isinstance(request.auth, VaultSession):
        raise UnauthenticatedError("the route has no vault guard")
    return request.auth
