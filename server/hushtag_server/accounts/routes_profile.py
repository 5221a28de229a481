"""Routes of profile, settings and consents."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, get, patch, post
from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET

from hushtag.account_messages import (
    MAX_CONSENTS,
    AccountSettings,
    ChangeAccount,
    ChangeSettings,
    Consent,
    ConsentList,
    GiveConsent,
)
from hushtag.messages import Account, FieldProblem, encode_binary
from hushtag.suites import HUSHTAG_V1
from hushtag_server.accounts import profile_queries, queries
from hushtag_server.accounts.schemas import AccountRow, ConsentRow
from hushtag_server.auth import ACCOUNT_SECURITY, account_transaction, require_account_token
from hushtag_server.cursors import MAX_CURSOR, open_cursor, seal_cursor
from hushtag_server.database import Connection, retry_conflicts
from hushtag_server.errors import LimitReachedError, MalformedRequestError, UnauthenticatedError
from hushtag_server.reminders.zones import is_zone, unknown_zone
from hushtag_server.services import ServicesDep
from hushtag_server.wire import Limit

__all__ = ["PROFILE_ROUTES"]

AccountRequest = Request[Any, Any, Any]
Cursor = Annotated[
    str | None, QueryParameter(name="cursor", max_length=MAX_CURSOR, description="the `next` of the page before")
]


def _account(row: AccountRow | None) -> Account:
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


@get("/account", summary="Read the account", guards=[require_account_token], security=ACCOUNT_SECURITY)
async def read_account(request: AccountRequest, services: ServicesDep) -> Account:
    """Return the profile and what a client needs before it may touch a phrase; nothing about secret tags."""
    async with account_transaction(request, services) as (connection, user_id, _):
        return _account(await queries.find_account(connection, user_id))


@patch("/account", summary="Change the names", guards=[require_account_token], security=ACCOUNT_SECURITY)
async def change_account(data: JSONBody[ChangeAccount], request: AccountRequest, services: ServicesDep) -> Account:
    """Change what the message names; null clears it."""

    async def attempt() -> Account:
        async with account_transaction(request, services) as (connection, user_id, _):
            await profile_queries.change_names(connection, user_id, data)
            return _account(await queries.find_account(connection, user_id))

    return await retry_conflicts(attempt)


@get("/account/settings", summary="Read the settings", guards=[require_account_token], security=ACCOUNT_SECURITY)
async def read_settings(request: AccountRequest, services: ServicesDep) -> AccountSettings:
    """Return time zone, language and theme: the defaults as long as none were set."""
    async with account_transaction(request, services) as (connection, user_id, _):
        return await profile_queries.find_settings(connection, user_id) or AccountSettings()


async def _check_settings(connection: Connection, message: ChangeSettings) -> None:
    if message.language is not UNSET:
        known = await profile_queries.languages(connection)
        if message.language not in known:
            raise MalformedRequestError([FieldProblem("$.language", f"must be one of {', '.join(known)}")])
    zone = message.time_zone
    if zone is not UNSET and not (is_zone(zone) and await profile_queries.knows_time_zone(connection, zone)):
        raise unknown_zone()


@patch("/account/settings", summary="Change settings", guards=[require_account_token], security=ACCOUNT_SECURITY)
async def change_settings(
    data: JSONBody[ChangeSettings], request: AccountRequest, services: ServicesDep
) -> AccountSettings:
    """Change what the message names."""

    async def attempt() -> AccountSettings:
        async with account_transaction(request, services) as (connection, user_id, _):
            await _check_settings(connection, data)
            return await profile_queries.change_settings(connection, user_id, data)

    return await retry_conflicts(attempt)


def _consent(row: ConsentRow) -> Consent:
    address = None if row.ip_address is None else str(row.ip_address)
    return Consent(
        id=row.id,
        document=row.document,
        version=row.version,
        ip_address=address,
        user_agent=row.user_agent,
        created_at=row.created_at,
    )


@post(
    "/account/consents",
    status_code=201,
    summary="Record a consent",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["limit_reached"]},
)
async def give_consent(data: JSONBody[GiveConsent], request: AccountRequest, services: ServicesDep) -> Consent:
    """Record that the user consents to a version of the terms or of the privacy policy; nothing takes it back."""

    async def attempt() -> Consent:
        async with account_transaction(request, services) as (connection, user_id, _):
            row = await profile_queries.insert_consent(connection, user_id, data, most=MAX_CONSENTS)
            if row is None:
                rule = f"must not be recorded once more: the account has {MAX_CONSENTS} consents"
                raise LimitReachedError("too many consents", [FieldProblem("$", rule)])
            return _consent(row)

    return await retry_conflicts(attempt)


@get("/account/consents", summary="List the consents", guards=[require_account_token], security=ACCOUNT_SECURITY)
async def list_consents(
    request: AccountRequest, services: ServicesDep, cursor: Cursor = None, limit: Limit = 100
) -> ConsentList:
    """List what the user consented to, the newest first."""
    keys, asking = services.keys, request.auth.user_id
    after = open_cursor(keys, asking, "consents", cursor, tuple[datetime, UUID]) if cursor is not None else None
    async with account_transaction(request, services) as (connection, user_id, _):
        rows = await profile_queries.list_consents(connection, user_id, after=after, limit=limit)
    following = (rows[-1].created_at, rows[-1].id) if len(rows) == limit else None
    return ConsentList(
        consents=[_consent(row) for row in rows],
        next=None if following is None else seal_cursor(keys, user_id, "consents", following),
    )


PROFILE_ROUTES: Final = [
    read_account,
    change_account,
    read_settings,
    change_settings,
    give_consent,
    list_consents,
]
