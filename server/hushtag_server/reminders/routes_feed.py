"""Routes of the calendar feed: opening and revoking its address, and the address itself."""

import secrets
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Response, delete, get, post
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter

from hushtag.errors import MalformedError
from hushtag.messages import decode_binary, encode_binary
from hushtag.reminder_messages import MAX_FEED_REMINDERS, Feed, FeedOpened
from hushtag_server.auth import ACCOUNT_SECURITY, account_transaction, require_account_token
from hushtag_server.database import retry_conflicts
from hushtag_server.errors import NotFoundError
from hushtag_server.query_rules import ANY_QUERY
from hushtag_server.reminders import feed_queries
from hushtag_server.reminders.calendar_tag import calendar_tag
from hushtag_server.reminders.schemas import ReminderRow
from hushtag_server.services import ServicesDep
from hushtag_server.tokens import token_hash

__all__ = ["close_feed", "open_feed", "read_calendar", "read_feed"]

_SECRET: Final = 32
_SUFFIX: Final = ".ics"
_ACCOUNT: Final[dict[str, Any]] = {"guards": [require_account_token], "security": ACCOUNT_SECURITY}
FeedName = Annotated[
    str,
    PathParameter(
        name="feed",
        description="base64url of user id (16 bytes) and secret (32 bytes), then `.ics`",
        schema_extra={"pattern": r"^[A-Za-z0-9_-]{64}\.ics$"},  # documented, not checked: every other name is a 404
    ),
]


@post("/reminders/feed", status_code=201, summary="Open the calendar feed", **_ACCOUNT)
async def open_feed(request: Request[Any, Any, Any], services: ServicesDep) -> FeedOpened:
    """Make a secret address for calendars, shown once. An earlier address stops working."""
    secret = secrets.token_bytes(_SECRET)

    async def attempt() -> tuple[UUID, datetime]:
        async with account_transaction(request, services) as (connection, user_id, _):
            return user_id, await feed_queries.open_feed(connection, user_id, token_hash(secret))

    user_id, created_at = await retry_conflicts(attempt)
    return FeedOpened(f"/v1/feeds/{encode_binary(user_id.bytes + secret)}{_SUFFIX}", created_at)


@get("/reminders/feed", summary="Read about the calendar feed", opt={"problems": ["not_found"]}, **_ACCOUNT)
async def read_feed(request: Request[Any, Any, Any], services: ServicesDep) -> Feed:
    """Tell since when there is an address and when it was last read, to the minute; never the address."""
    async with account_transaction(request, services) as (connection, user_id, _):
        row = await feed_queries.find_feed(connection, user_id)
    if row is None:
        raise NotFoundError("no feed")
    return Feed(row.created_at, row.last_used)


@delete(
    "/reminders/feed",
    status_code=204,
    summary="Revoke the calendar feed's address",
    opt={"problems": ["not_found"]},
    **_ACCOUNT,
)
async def close_feed(request: Request[Any, Any, Any], services: ServicesDep) -> None:
    """Make the address one that never was."""

    async def attempt() -> None:
        async with account_transaction(request, services) as (connection, user_id, _):
            if not await feed_queries.close_feed(connection, user_id):
                raise NotFoundError("no feed")

    await retry_conflicts(attempt)


def _read_name(name: str) -> tuple[UUID, bytes]:
    try:
        raw = decode_binary(name.removesuffix(_SUFFIX), 16 + _SECRET)
    except (MalformedError, UnicodeError):
        raise NotFoundError("no feed of that name") from None
    if not name.endswith(_SUFFIX):
        raise NotFoundError("no feed of that name")
    return UUID(bytes=raw[:16]), token_hash(raw[16:])


@get(
    "/feeds/{feed:str}",
    summary="Read the calendar feed",
    media_type="text/calendar",
    response_headers=[ResponseHeader(name="ETag", documentation_only=True, description="changes when a reminder does")],
    responses={304: ResponseSpec(None, description="If-None-Match names the present state")},
    opt={"problems": ["not_found"], ANY_QUERY: True},
)
async def read_calendar(feed: FeedName, request: Request[Any, Any, Any], services: ServicesDep) -> Response[bytes]:
    """Return the open reminders as a calendar. The address is the permission; the log holds only its template."""
    user_id, secret_hash = _read_name(feed)

    async def attempt() -> list[ReminderRow]:
        async with services.transaction(user_id) as connection:
            if not await feed_queries.enter_feed(connection, user_id, secret_hash):
                raise NotFoundError("no feed of that name")
            return await feed_queries.list_open_reminders(connection, user_id, limit=MAX_FEED_REMINDERS)

    rows = await retry_conflicts(attempt)
    tag = calendar_tag(rows)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}:
        return Response(b"", status_code=304, headers=headers)
    written = await services.calendars.write(user_id, rows)
    return Response(written, media_type="text/calendar", headers=headers)
