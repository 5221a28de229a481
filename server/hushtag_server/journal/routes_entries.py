"""Routes of one entry: create, read, edit, delete, restore, erase."""

from typing import Any, Final
from uuid import UUID

from litestar import Response, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody

from hushtag.journal_messages import MAX_JOURNAL_BYTES, Journal, JournalChange, NewJournal
from hushtag.messages import FieldProblem
from hushtag_server.auth import account_transaction
from hushtag_server.database import retry_conflicts
from hushtag_server.errors import NotFoundError
from hushtag_server.journal import queries_entries as queries
from hushtag_server.journal import steps
from hushtag_server.journal.parameters import ETAG, IfNoneMatch, answer_entry, answer_unchanged, origin_of
from hushtag_server.journal.schemas import Stored
from hushtag_server.services import Services, ServicesDep
from hushtag_server.versions import IfMatch, expected_version, is_known, version_conflict
from hushtag_server.wire import WireRequest

__all__ = ["ENTRY_HANDLERS"]

_LOCATION: Final = ResponseHeader(name="Location", description="path of the entry", documentation_only=True)


@post(
    "/journals",
    status_code=201,
    summary="Write an entry",
    request_max_body_size=MAX_JOURNAL_BYTES,
    response_headers=[*ETAG, _LOCATION],
    opt={"problems": ["already_exists", "limit_reached"]},
)
async def create_journal(data: JSONBody[NewJournal], request: WireRequest, services: ServicesDep) -> Response[Journal]:
    """Store an entry; an id the client made makes the request safe to repeat: the second answers `already_exists`."""
    journal_id, stored = await steps.create_journal(services, request.auth, data, origin_of(request, services))
    return answer_entry(stored, 201, {"Location": f"/v1/journals/{journal_id}"})


@get(
    "/journals/{journal_id:uuid}",
    summary="Read an entry",
    response_headers=ETAG,
    responses={304: ResponseSpec(None, description="If-None-Match names the present version")},
    opt={"problems": ["not_found"]},
)
async def read_journal(
    journal_id: FromPath[UUID], request: WireRequest, services: ServicesDep, if_none_match: IfNoneMatch = None
) -> Response[Journal]:
    """Return an entry, deleted or not."""
    stored = await steps.get_journal(services, request.auth, journal_id)
    if if_none_match is not None and is_known(request, stored.version):
        return answer_unchanged(stored)
    return answer_entry(stored)


@patch(
    "/journals/{journal_id:uuid}",
    summary="Edit an entry",
    request_max_body_size=MAX_JOURNAL_BYTES,
    response_headers=ETAG,
    opt={"problems": ["not_found", "version_conflict", "precondition_required", "limit_reached"]},
)
async def edit_journal(
    journal_id: FromPath[UUID],
    data: JSONBody[JournalChange],
    request: WireRequest,
    services: ServicesDep,
    if_match: IfMatch = None,
) -> Response[Journal]:
    """Change what the message names: absent stays, null clears, `tags` replaces all. A deleted entry is not found."""
    version = expected_version(if_match)
    origin = origin_of(request, services)
    return answer_entry(await steps.update_journal(services, request.auth, journal_id, data, version, origin))


async def _delete(request: WireRequest, services: Services, journal_id: UUID, version: int | None) -> None:
    async with account_transaction(request, services) as (connection, user_id, _):
        row = await queries.lock_journal(connection, user_id, journal_id)
        if row is None or row.deleted:
            raise NotFoundError("no such entry")
        if version not in {None, row.version}:
            raise version_conflict(row.version)
        await queries.delete_journal(connection, user_id, journal_id)


@delete(
    "/journals/{journal_id:uuid}",
    status_code=204,
    summary="Delete an entry; it can be restored",
    opt={"problems": ["not_found", "version_conflict", "precondition_required"]},
)
async def delete_journal(
    journal_id: FromPath[UUID], request: WireRequest, services: ServicesDep, if_match: IfMatch = None
) -> None:
    """Mark an entry as deleted. It is erased when the time of the server's setting has passed."""
    version = expected_version(if_match)
    await retry_conflicts(lambda: _delete(request, services, journal_id, version))


async def _restore(request: WireRequest, services: Services, journal_id: UUID) -> Stored:
    async with account_transaction(request, services) as (connection, user_id, _):
        await queries.restore_journal(connection, user_id, journal_id)
        stored = await queries.find_body(connection, user_id, journal_id)
        if stored is None:
            raise NotFoundError("no such entry")
        return stored


@post(
    "/journals/{journal_id:uuid}/restore",
    status_code=200,
    summary="Restore a deleted entry",
    response_headers=ETAG,
    opt={"problems": ["not_found"]},
)
async def restore_journal(journal_id: FromPath[UUID], request: WireRequest, services: ServicesDep) -> Response[Journal]:
    """Take a deletion back; an entry that is not deleted stays as it is."""
    return answer_entry(await retry_conflicts(lambda: _restore(request, services, journal_id)))


async def _erase(request: WireRequest, services: Services, journal_id: UUID) -> None:
    async with account_transaction(request, services) as (connection, user_id, _):
        if not await queries.erase_journal(connection, user_id, journal_id):
            rule = "must name an entry of yours that is deleted; delete it first"
            raise NotFoundError("no such deleted entry", [FieldProblem(field="journal_id", rule=rule)])


@delete(
    "/journals/{journal_id:uuid}/permanently",
    status_code=204,
    summary="Erase a deleted entry",
    opt={"problems": ["not_found"]},
)
async def erase_journal(journal_id: FromPath[UUID], request: WireRequest, services: ServicesDep) -> None:
    """Erase an entry that is deleted; nothing brings it back."""
    await retry_conflicts(lambda: _erase(request, services, journal_id))


ENTRY_HANDLERS: Final[list[Any]] = [
    create_journal,
    read_journal,
    edit_journal,
    delete_journal,
    restore_journal,
    erase_journal,
]
