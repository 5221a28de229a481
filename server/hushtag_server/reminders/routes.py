"""Routes of reminders."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from litestar import Request, Response, Router, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler

from hushtag.reminder_messages import (
    MAX_OCCURRENCES,
    MAX_REMINDER_BYTES,
    NewReminder,
    OccurrenceList,
    Reminder,
    ReminderChange,
    ReminderCompleted,
    ReminderList,
    Snooze,
)
from hushtag_server.auth import ACCOUNT_SECURITY, account_transaction, require_account_token
from hushtag_server.cursors import MAX_CURSOR, open_cursor, seal_cursor
from hushtag_server.database import retry_conflicts
from hushtag_server.errors import NotFoundError
from hushtag_server.reminders import changes, queries
from hushtag_server.reminders.expansions import Expansions
from hushtag_server.reminders.routes_feed import close_feed, open_feed, read_calendar, read_feed
from hushtag_server.reminders.routes_stream import stream_events
from hushtag_server.reminders.schemas import ReminderRow
from hushtag_server.services import ServicesDep
from hushtag_server.versions import IfMatch, etag
from hushtag_server.wire import Limit

__all__ = ["REMINDER_ROUTES"]

Asking = Request[Any, Any, Any]
Cursor = Annotated[
    str | None, QueryParameter(name="cursor", max_length=MAX_CURSOR, description="`next` of the page before")
]
Status = Annotated[
    Literal["pending", "due", "overdue", "done", "all"], QueryParameter(name="status", description="which reminders")
]
Sort = Annotated[
    Literal["time", "-time", "priority"],
    QueryParameter(name="sort", description="by due time, latest first, or highest priority first"),
]
_VERSIONED: Final = [ResponseHeader(name="ETag", documentation_only=True, description="the reminder's version")]
_ACCOUNT: Final[dict[str, Any]] = {"guards": [require_account_token], "security": ACCOUNT_SECURITY}
_CHANGE: Final = ["not_found", "version_conflict", "malformed_request"]


def _answer(row: ReminderRow, status_code: int = 200) -> Response[Reminder]:
    return Response(row.to_message(), status_code=status_code, headers={"ETag": etag(row.version)})


@post(
    "/reminders",
    status_code=201,
    summary="Make a reminder",
    response_headers=[
        *_VERSIONED,
        ResponseHeader(name="Location", documentation_only=True, description="the reminder's path"),
    ],
    opt={"problems": ["already_exists", "limit_reached"]},
    request_max_body_size=MAX_REMINDER_BYTES,
    **_ACCOUNT,
)
async def create_reminder(data: JSONBody[NewReminder], request: Asking, services: ServicesDep) -> Response[Reminder]:
    """Make a reminder. Its time lies in the future, by the database's clock."""
    rules = Expansions(services)

    async def attempt() -> ReminderRow:
        async with account_transaction(request, services) as (connection, user_id, _):
            return await changes.create(connection, rules, user_id, data)

    row = await rules.around(attempt)
    answer = _answer(row, 201)
    answer.headers["Location"] = f"/v1/reminders/{row.id}"
    return answer


@get("/reminders", summary="List reminders", **_ACCOUNT)
async def list_reminders(
    request: Asking,
    services: ServicesDep,
    status: Status = "all",
    sort: Sort = "time",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> ReminderList:
    """List the reminders of a status. `due` has come within the last 24 hours, `overdue` before."""
    listing = f"reminders {status} {sort}"
    async with account_transaction(request, services) as (connection, user_id, _):
        after = None
        if cursor is not None:
            after = open_cursor(services.keys, user_id, listing, cursor, tuple[int, datetime, UUID])
        rows = await queries.list_reminders(connection, user_id, status=status, sort=sort, after=after, limit=limit)
    following = None
    if len(rows) == limit:
        last = rows[-1]
        following = seal_cursor(services.keys, user_id, listing, (last.priority, last.due_at, last.id))
    return ReminderList([row.to_message() for row in rows], following)


@get("/reminders/{reminder_id:uuid}", summary="Read a reminder", response_headers=_VERSIONED, **_ACCOUNT)
async def read_reminder(reminder_id: FromPath[UUID], request: Asking, services: ServicesDep) -> Response[Reminder]:
    """Return one reminder."""
    async with account_transaction(request, services) as (connection, user_id, _):
        row = await queries.find_reminder(connection, user_id, reminder_id)
    if row is None:
        raise NotFoundError("no such reminder")
    return _answer(row)


@patch(
    "/reminders/{reminder_id:uuid}",
    summary="Edit a reminder",
    response_headers=_VERSIONED,
    opt={"problems": [*_CHANGE, "precondition_required"]},
    request_max_body_size=MAX_REMINDER_BYTES,
    **_ACCOUNT,
)
async def edit_reminder(
    reminder_id: FromPath[UUID],
    data: JSONBody[ReminderChange],
    request: Asking,
    services: ServicesDep,
    if_match: IfMatch = None,
) -> Response[Reminder]:
    """Change the fields that are named. A new time, zone or rule begins the series anew."""
    rules = Expansions(services)

    async def attempt() -> ReminderRow:
        async with account_transaction(request, services) as (connection, user_id, _):
            row = await changes.find_for_change(connection, user_id, reminder_id, if_match, required=True)
            return await changes.edit(connection, rules, user_id, row, data)

    return _answer(await rules.around(attempt))


@delete(
    "/reminders/{reminder_id:uuid}",
    status_code=204,
    summary="Delete a reminder",
    opt={"problems": [*_CHANGE, "precondition_required"]},
    **_ACCOUNT,
)
async def delete_reminder(
    reminder_id: FromPath[UUID], request: Asking, services: ServicesDep, if_match: IfMatch = None
) -> None:
    """Delete a reminder for good; no successor is made."""

    async def attempt() -> None:
        async with account_transaction(request, services) as (connection, user_id, _):
            row = await changes.find_for_change(connection, user_id, reminder_id, if_match, required=True)
            await queries.delete_reminder(connection, user_id, row.id)

    await retry_conflicts(attempt)


@post(
    "/reminders/{reminder_id:uuid}/complete",
    status_code=200,
    summary="Complete a reminder",
    response_headers=_VERSIONED,
    opt={"problems": _CHANGE},
    **_ACCOUNT,
)
async def complete_reminder(
    reminder_id: FromPath[UUID], request: Asking, services: ServicesDep, if_match: IfMatch = None
) -> Response[ReminderCompleted]:
    """Complete a reminder; a repeating one makes its next. Doing it again changes nothing and answers the same."""
    rules = Expansions(services)

    async def attempt() -> tuple[ReminderRow, ReminderRow | None]:
        async with account_transaction(request, services) as (connection, user_id, _):
            row = await changes.find_for_change(connection, user_id, reminder_id, if_match, required=False)
            return await changes.complete(connection, rules, user_id, row)

    done, successor = await rules.around(attempt)
    answer = ReminderCompleted(done.to_message(), None if successor is None else successor.to_message())
    return Response(answer, headers={"ETag": etag(done.version)})


@post(
    "/reminders/{reminder_id:uuid}/reopen",
    status_code=200,
    summary="Reopen a reminder",
    response_headers=_VERSIONED,
    opt={"problems": _CHANGE},
    **_ACCOUNT,
)
async def reopen_reminder(
    reminder_id: FromPath[UUID], request: Asking, services: ServicesDep, if_match: IfMatch = None
) -> Response[Reminder]:
    """Make a completed reminder one that is still to be done; its successor stays."""

    async def attempt() -> ReminderRow:
        async with account_transaction(request, services) as (connection, user_id, _):
            row = await changes.find_for_change(connection, user_id, reminder_id, if_match, required=False)
            return await changes.reopen(connection, user_id, row)

    return _answer(await retry_conflicts(attempt))


@post(
    "/reminders/{reminder_id:uuid}/snooze",
    status_code=200,
    summary="Snooze a reminder",
    response_headers=_VERSIONED,
    opt={"problems": _CHANGE},
    **_ACCOUNT,
)
async def snooze_reminder(
    reminder_id: FromPath[UUID],
    data: JSONBody[Snooze],
    request: Asking,
    services: ServicesDep,
    if_match: IfMatch = None,
) -> Response[Reminder]:
    """Let a reminder become due later, this once; its time and its series stay."""

    async def attempt() -> ReminderRow:
        async with account_transaction(request, services) as (connection, user_id, _):
            row = await changes.find_for_change(connection, user_id, reminder_id, if_match, required=False)
            return await changes.snooze(connection, user_id, row, data)

    return _answer(await retry_conflicts(attempt))


@get("/reminders/{reminder_id:uuid}/occurrences", summary="Tell when a reminder happens next", **_ACCOUNT)
async def list_occurrences(
    reminder_id: FromPath[UUID],
    request: Asking,
    services: ServicesDep,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_OCCURRENCES, description="how many")] = 10,
) -> OccurrenceList:
    """Return the reminder's own time and those that follow in its series, at most 40 years ahead."""
    async with account_transaction(request, services) as (connection, user_id, _):
        row = await queries.find_reminder(connection, user_id, reminder_id)
    if row is None:
        raise NotFoundError("no such reminder")
    return OccurrenceList(await changes.occurrences_of(services, row, limit))


REMINDER_ROUTES: list[ControllerRouterHandler] = [
    Router(
        path="/v1",
        route_handlers=[
            *(create_reminder, list_reminders, read_reminder, edit_reminder, delete_reminder),
            *(complete_reminder, reopen_reminder, snooze_reminder, list_occurrences, stream_events),
            *(open_feed, read_feed, close_feed, read_calendar),
        ],
        tags=["reminders"],
    )
]
