"""Routes of accounts and sessions."""

import secrets
from typing import Any
from uuid import UUID, uuid4

from litestar import Request, Router, delete, get, post
from litestar.params import FromPath, JSONBody

from hushtag.messages import (
    Account,
    ChangePassword,
    LogIn,
    SessionInfo,
    SessionList,
    SessionOpened,
    SignUp,
    SignUpAccepted,
    encode_binary,
)
from hushtag.suites import HUSHTAG_V1
from hushtag_server.accounts import queries
from hushtag_server.accounts.login import authenticate, change_password, open_session
from hushtag_server.accounts.passwords import hash_password
from hushtag_server.accounts.schemas import NewUser, SessionRow
from hushtag_server.accounts.throttle import charge_attempt
from hushtag_server.auth import ACCOUNT_SECURITY, AccountDep, require_account
from hushtag_server.errors import NotFoundError, UnauthenticatedError
from hushtag_server.peer import client_address, client_agent
from hushtag_server.services import Services, ServicesDep
from hushtag_server.wire import After, Limit

__all__ = ["ACCOUNT_ROUTES"]


@post("/accounts", status_code=202, summary="Sign up", opt={"problems": ["too_many_attempts"]})
async def sign_up(data: JSONBody[SignUp], request: Request[Any, Any, Any], services: ServicesDep) -> SignUpAccepted:
    """Make an account. A known email gets the same answer after the same work, and its account stays untouched."""
    await charge_attempt(services, None, client_address(request, services.settings))
    user = NewUser(
        user_id=uuid4(),
        email=data.email,
        password_hash=await hash_password(data.password, services.passwords),
        first_name=data.first_name,
        last_name=data.last_name,
        phrase_salt=secrets.token_bytes(16),
        opaque_credential_id=secrets.token_bytes(32),
        guesses=services.settings.guess_capacity,
    )
    async with services.transaction(user.user_id) as connection:
        await queries.insert_user(connection, user)
    return SignUpAccepted()


@post("/sessions", status_code=201, summary="Log in", opt={"problems": ["login_failed", "too_many_attempts"]})
async def log_in(data: JSONBody[LogIn], request: Request[Any, Any, Any], services: ServicesDep) -> SessionOpened:
    """Open a session. The token is shown once; the server keeps its hash."""
    address = client_address(request, services.settings)
    found = await authenticate(services, data, address)
    opened = await open_session(services, found, address, client_agent(request))
    return SessionOpened(
        token=opened.token,
        user_id=found.id,
        session_id=opened.session_id,
        expires_at=opened.expires_at,
        suite=HUSHTAG_V1.id,
        phrase_salt=encode_binary(opened.phrase_salt),
    )


def _session_info(row: SessionRow, current: UUID) -> SessionInfo:
    return SessionInfo(
        session_id=row.id,
        created_at=row.created_at,
        last_activity=row.last_activity,
        expires_at=row.expires_at,
        ip_address=None if row.ip_address is None else str(row.ip_address),
        user_agent=row.user_agent,
        current=row.id == current,
    )


@get("/sessions", summary="List the account's sessions", guards=[require_account], security=ACCOUNT_SECURITY)
async def list_sessions(
    account: AccountDep, services: ServicesDep, after: After = None, limit: Limit = 100
) -> SessionList:
    """List the living sessions of the account by id."""
    async with services.transaction(account.user_id) as connection:
        rows = await queries.list_sessions(
            connection, account.user_id, idle=services.settings.session_idle, after=after, limit=limit
        )
    following = rows[-1].id if len(rows) == limit else None
    return SessionList(sessions=[_session_info(row, account.session_id) for row in rows], next=following)


async def _end_session(services: Services, user_id: UUID, session_id: UUID) -> None:
    async with services.transaction(user_id) as connection:
        if not await queries.delete_session(connection, user_id, session_id):
            raise NotFoundError("no such session")


@delete("/sessions/current", status_code=204, summary="Log out", guards=[require_account], security=ACCOUNT_SECURITY)
async def log_out(account: AccountDep, services: ServicesDep) -> None:
    """End this session and the vault sessions opened with it."""
    await _end_session(services, account.user_id, account.session_id)


@delete(
    "/sessions/{session_id:uuid}",
    status_code=204,
    summary="Revoke a session",
    guards=[require_account],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["not_found"]},
)
async def revoke_session(session_id: FromPath[UUID], account: AccountDep, services: ServicesDep) -> None:
    """End one of the account's sessions and the vault sessions opened with it."""
    await _end_session(services, account.user_id, session_id)


@get("/account", summary="Read the account", guards=[require_account], security=ACCOUNT_SECURITY)
async def read_account(account: AccountDep, services: ServicesDep) -> Account:
    """Return the profile and what a client needs before it may touch a phrase; nothing about secret tags."""
    async with services.transaction(account.user_id) as connection:
        row = await queries.find_account(connection, account.user_id)
    if row is None:
        raise UnauthenticatedError("the account vanished")
    return Account(
        user_id=row.id,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        created_at=row.created_at,
        last_login=row.last_login,
        suite=HUSHTAG_V1.id,
        phrase_salt=encode_binary(row.phrase_salt),
    )


@post(
    "/account/password",
    status_code=204,
    summary="Change the password; every other session ends",
    guards=[require_account],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["login_failed", "too_many_attempts"]},
)
async def replace_password(
    data: JSONBody[ChangePassword], account: AccountDep, request: Request[Any, Any, Any], services: ServicesDep
) -> None:
    """Take the current password once more, replace it and end every session but this one."""
    address = client_address(request, services.settings)
    await change_password(services, account.user_id, account.session_id, data, address)


ACCOUNT_ROUTES = [
    Router(
        path="/v1",
        route_handlers=[sign_up, log_in, list_sessions, log_out, revoke_session, read_account, replace_password],
        tags=["accounts"],
    )
]
