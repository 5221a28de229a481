"""Routes of sign-up, login and sessions; the other routes of accounts stand beside this file."""

import secrets
from typing import Any
from uuid import UUID, uuid4

from litestar import Request, Router, delete, get, post
from litestar.params import FromPath, JSONBody

from hushtag.messages import (
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
from hushtag_server.accounts.login import authenticate, charged, open_session
from hushtag_server.accounts.passwords import hash_password
from hushtag_server.accounts.routes_credentials import CREDENTIAL_ROUTES
from hushtag_server.accounts.routes_profile import PROFILE_ROUTES
from hushtag_server.accounts.schemas import NewUser, SessionRow
from hushtag_server.auth import ACCOUNT_SECURITY, account_transaction, require_account_token
from hushtag_server.database import retry_conflicts
from hushtag_server.errors import NotFoundError
from hushtag_server.peer import client_peer
from hushtag_server.services import ServicesDep
from hushtag_server.wire import After, Limit

__all__ = ["ACCOUNT_ROUTES"]


@post("/accounts", status_code=202, summary="Sign up", opt={"problems": ["too_many_attempts"]})
async def sign_up(data: JSONBody[SignUp], request: Request[Any, Any, Any], services: ServicesDep) -> SignUpAccepted:
    """Make an account. A known email gets the same answer after the same work, and its account stays untouched."""
    peer = client_peer(request, services.settings)
    async with charged(services, None, peer.address):
        user = NewUser(
            user_id=uuid4(),
            email=data.email,
            password_hash=await hash_password(data.password, services.passwords),
            first_name=data.first_name,
            last_name=data.last_name,
            phrase_salt=secrets.token_bytes(16),
            opaque_credential_id=secrets.token_bytes(32),
            guesses=services.settings.guess_capacity,
            terms_version=data.terms_version,
            privacy_version=data.privacy_version,
        )
        async with services.transaction(None, peer=peer) as connection:
            await queries.sign_up(connection, user)
    return SignUpAccepted()


@post("/sessions", status_code=201, summary="Log in", opt={"problems": ["login_failed", "too_many_attempts"]})
async def log_in(data: JSONBody[LogIn], request: Request[Any, Any, Any], services: ServicesDep) -> SessionOpened:
    """Open a session. The token is shown once; the server keeps its hash."""
    peer = client_peer(request, services.settings)
    found = await authenticate(services, data, peer)
    opened = await open_session(services, found, peer)
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


@get("/sessions", summary="List the account's sessions", guards=[require_account_token], security=ACCOUNT_SECURITY)
async def list_sessions(
    request: Request[Any, Any, Any], services: ServicesDep, after: After = None, limit: Limit = 100
) -> SessionList:
    """List the living sessions of the account by id."""
    async with account_transaction(request, services) as (connection, user_id, current):
        rows = await queries.list_sessions(
            connection, user_id, idle=services.settings.session_idle, after=after, limit=limit
        )
    following = rows[-1].id if len(rows) == limit else None
    return SessionList(sessions=[_session_info(row, current) for row in rows], next=following)


@delete(
    "/sessions/current", status_code=204, summary="Log out", guards=[require_account_token], security=ACCOUNT_SECURITY
)
async def log_out(request: Request[Any, Any, Any], services: ServicesDep) -> None:
    """End this session and the vault sessions opened with it."""

    async def end() -> None:
        async with account_transaction(request, services) as (connection, user_id, current):
            await queries.end_sessions(connection, user_id, only=current)

    await retry_conflicts(end)


@delete(
    "/sessions/{session_id:uuid}",
    status_code=204,
    summary="Revoke a session",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["not_found"]},
)
async def revoke_session(session_id: FromPath[UUID], request: Request[Any, Any, Any], services: ServicesDep) -> None:
    """End one of the account's sessions and the vault sessions opened with it."""

    async def end() -> None:
        async with account_transaction(request, services) as (connection, user_id, _):
            if not await queries.end_sessions(connection, user_id, only=session_id):
                raise NotFoundError("no such session")

    await retry_conflicts(end)


ACCOUNT_ROUTES = [
    Router(
        path="/v1",
        route_handlers=[
            sign_up,
            log_in,
            list_sessions,
            log_out,
            revoke_session,
            *PROFILE_ROUTES,
            *CREDENTIAL_ROUTES,
        ],
        tags=["accounts"],
    )
]
