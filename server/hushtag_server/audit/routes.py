"""Routes of the audit trail: a user reads their own, and nobody writes it through here."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Router, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from hushtag.account_messages import AuditEntry, AuditPage
from hushtag.messages import FieldProblem
from hushtag_server.audit import queries
from hushtag_server.audit.schemas import EntryRow, Filters
from hushtag_server.auth import ACCOUNT_SECURITY, account_transaction, require_account_token
from hushtag_server.cursors import MAX_CURSOR, open_cursor, seal_cursor
from hushtag_server.errors import MalformedRequestError
from hushtag_server.services import ServicesDep
from hushtag_server.wire import Limit

__all__ = ["AUDIT_ROUTES"]

Action = Annotated[
    str | None,
    QueryParameter(
        name="action",
        pattern="^(CREATE|UPDATE|DELETE|LOGIN|LOGOUT|FAILED_LOGIN)$",
        description="CREATE, UPDATE, DELETE, LOGIN, LOGOUT or FAILED_LOGIN",
    ),
]
TableName = Annotated[
    str | None,
    QueryParameter(name="table", pattern="^[a-z_]+$", min_length=1, max_length=100, description="name of a table"),
]
Since = Annotated[datetime | None, QueryParameter(name="from", description="time with zone: no entries before")]
Until = Annotated[datetime | None, QueryParameter(name="to", description="time with zone: no entries from then on")]
Cursor = Annotated[
    str | None, QueryParameter(name="cursor", max_length=MAX_CURSOR, description="the `next` of the page before")
]


def _check_zone(field: str, moment: datetime | None) -> None:
    if moment is not None and moment.tzinfo is None:
        raise MalformedRequestError([FieldProblem(field=field, rule="must be a time with its zone, such as …T12:00Z")])


def _entry(row: EntryRow) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        action=row.action,
        table_name=row.table_name,
        record_id=row.record_id,
        old_values=row.old_values,
        new_values=row.new_values,
        ip_address=None if row.ip_address is None else str(row.ip_address),
        user_agent=row.user_agent,
        created_at=row.created_at,
    )


@get("/account/audit", summary="Read the audit trail", guards=[require_account_token], security=ACCOUNT_SECURITY)
async def read_audit(
    request: Request[Any, Any, Any],
    services: ServicesDep,
    cursor: Cursor = None,
    limit: Limit = 100,
    action: Action = None,
    table: TableName = None,
    from_: Since = None,
    to: Until = None,
) -> AuditPage:
    """List what happened to the account's plain rows and its logins, the newest first; nothing about secret tags."""
    _check_zone("from", from_)
    _check_zone("to", to)
    filters = Filters(action, table, from_, to)
    listing = f"audit {action} {table} {from_} {to}"
    after = (
        open_cursor(services.keys, request.auth.user_id, listing, cursor, tuple[datetime, UUID])
        if cursor is not None
        else None
    )
    async with account_transaction(request, services) as (connection, user_id, _):
        rows = await queries.list_entries(connection, user_id, filters, after=after, limit=limit)
    following = (rows[-1].created_at, rows[-1].id) if len(rows) == limit else None
    return AuditPage(
        entries=[_entry(row) for row in rows],
        next=None if following is None else seal_cursor(services.keys, user_id, listing, following),
    )


AUDIT_ROUTES: list[ControllerRouterHandler] = [Router(path="/v1", route_handlers=[read_audit], tags=["audit"])]
