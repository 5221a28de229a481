"""Routes of tags, and which entries have them. Secret tags are elsewhere and never seen here."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from litestar import delete, get, patch, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET

from hushtag.journal_messages import (
    MAX_JOURNAL_TAGS,
    MAX_TAG_NAME,
    MAX_TAGS,
    JournalTagList,
    MergeTag,
    NewJournalTag,
    Tag,
    TagChange,
    TagSuggestions,
)
from hushtag.messages import FieldProblem
from hushtag_server.auth import account_transaction
from hushtag_server.cursors import open_cursor, seal_cursor
from hushtag_server.database import Connection, retry_conflicts
from hushtag_server.errors import (
    AlreadyExistsError,
    LimitReachedError,
    MalformedRequestError,
    NotFoundError,
    RefusedError,
)
from hushtag_server.journal import queries_entries, queries_tags
from hushtag_server.journal.names import tidy_name
from hushtag_server.journal.parameters import Cursor, PageLimit, check_text
from hushtag_server.journal.schemas import TagRow
from hushtag_server.services import Services, ServicesDep
from hushtag_server.wire import WireRequest

__all__ = ["TAG_HANDLERS"]

TagSort = Annotated[Literal["name", "usage"], QueryParameter(name="sort", description="by name, or most used first")]


def _tag(row: TagRow | None) -> Tag:
    if row is None:
        raise NotFoundError("no such tag")
    return Tag(
        id=row.id,
        name=row.name,
        color=row.color,
        usage_count=row.usage_count,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _taken() -> RefusedError:
    return AlreadyExistsError("name", [FieldProblem(field="$.name", rule="must not be that of another tag of yours")])


def _color(color: str | None) -> str | None:
    return None if color is None else color.lower()


async def _create(request: WireRequest, services: Services, name: str, color: str | None) -> Tag:
    async with account_transaction(request, services) as (connection, user_id, _):
        made = await queries_tags.insert_tag(connection, user_id, name, color, MAX_TAGS)
        if made == "already_exists":
            raise _taken()
        if not isinstance(made, UUID):
            raise LimitReachedError("tags", [FieldProblem(field="$", rule=f"must leave at most {MAX_TAGS} tags")])
        return _tag(await queries_tags.find_tag(connection, user_id, made))


@post("/journal-tags", status_code=201, summary="Make a tag", opt={"problems": ["already_exists", "limit_reached"]})
async def create_tag(data: JSONBody[NewJournalTag], request: WireRequest, services: ServicesDep) -> Tag:
    """Make a tag. Names are unique whatever their case; they are composed (NFC) and trimmed."""
    name = tidy_name(data.name, "$.name")
    return await retry_conflicts(lambda: _create(request, services, name, _color(data.color)))


async def _page(
    connection: Connection, services: Services, user_id: UUID, sort: str, cursor: str | None, limit: int
) -> list[TagRow]:
    by_name = sort == "name"
    kind = tuple[str, UUID] if by_name else tuple[int, UUID]
    after: Any = None
    if cursor is not None:
        after = open_cursor(services.keys, user_id, f"journal-tags {sort}", cursor, kind)
    listed = queries_tags.list_tags_by_name if by_name else queries_tags.list_tags_by_usage
    return await listed(connection, user_id, after=after, limit=limit + 1)


@get("/journal-tags", summary="List tags")
async def list_tags(
    request: WireRequest, services: ServicesDep, sort: TagSort = "name", cursor: Cursor = None, limit: PageLimit = 20
) -> JournalTagList:
    """List tags with how many entries that are not deleted have them."""
    async with account_transaction(request, services) as (connection, user_id, _):
        rows = await _page(connection, services, user_id, sort, cursor, limit)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        position = (last.name if sort == "name" else last.usage_count, last.id)
        following = seal_cursor(services.keys, user_id, f"journal-tags {sort}", position)
    return JournalTagList(tags=[_tag(row) for row in rows[:limit]], next=following)


@get("/journal-tags/suggest", summary="Suggest tags")
async def suggest_tags(
    request: WireRequest,
    services: ServicesDep,
    prefix: Annotated[str, QueryParameter(min_length=1, max_length=MAX_TAG_NAME, description="what was typed so far")],
    limit: PageLimit = 10,
) -> TagSuggestions:
    """Return the tags that begin like this, then those that are spelled alike."""
    begun = check_text(prefix, "prefix")
    async with account_transaction(request, services) as (connection, user_id, _):
        rows = await queries_tags.suggest_tags(connection, user_id, begun, limit)
    return TagSuggestions(tags=[_tag(row) for row in rows])


@get("/journal-tags/{tag_id:uuid}", summary="Read a tag", opt={"problems": ["not_found"]})
async def read_tag(tag_id: FromPath[UUID], request: WireRequest, services: ServicesDep) -> Tag:
    """Return one tag."""
    async with account_transaction(request, services) as (connection, user_id, _):
        return _tag(await queries_tags.find_tag(connection, user_id, tag_id))


async def _edit(request: WireRequest, services: Services, tag_id: UUID, changes: dict[str, Any]) -> Tag:
    async with account_transaction(request, services) as (connection, user_id, _):
        if await queries_tags.update_tag(connection, user_id, tag_id, changes) == "already_exists":
            raise _taken()
        return _tag(await queries_tags.find_tag(connection, user_id, tag_id))


@patch(
    "/journal-tags/{tag_id:uuid}",
    summary="Rename or recolour a tag",
    opt={"problems": ["not_found", "already_exists"]},
)
async def edit_tag(
    tag_id: FromPath[UUID], data: JSONBody[TagChange], request: WireRequest, services: ServicesDep
) -> Tag:
    """Change what the message names. Every entry that has the tag gets a new version."""
    changes: dict[str, Any] = {}
    if data.name is not UNSET:
        changes["name"] = tidy_name(data.name, "$.name")
    if data.color is not UNSET:
        changes["color"] = _color(data.color)
    return await retry_conflicts(lambda: _edit(request, services, tag_id, changes))


async def _delete(request: WireRequest, services: Services, tag_id: UUID) -> None:
    async with account_transaction(request, services) as (connection, user_id, _):
        if not await queries_tags.delete_tag(connection, user_id, tag_id):
            raise NotFoundError("no such tag")


@delete("/journal-tags/{tag_id:uuid}", status_code=204, summary="Delete a tag", opt={"problems": ["not_found"]})
async def delete_tag(tag_id: FromPath[UUID], request: WireRequest, services: ServicesDep) -> None:
    """Delete a tag and take it from every entry; the entries stay."""
    await retry_conflicts(lambda: _delete(request, services, tag_id))


async def _merge(request: WireRequest, services: Services, tag_id: UUID, into: UUID) -> Tag:
    async with account_transaction(request, services) as (connection, user_id, _):
        if not await queries_tags.merge_tag(connection, user_id, tag_id, into):
            raise NotFoundError("no such tags")
        return _tag(await queries_tags.find_tag(connection, user_id, into))


@post(
    "/journal-tags/{tag_id:uuid}/merge",
    status_code=200,
    summary="Merge a tag into another",
    opt={"problems": ["not_found"]},
)
async def merge_tag(
    tag_id: FromPath[UUID], data: JSONBody[MergeTag], request: WireRequest, services: ServicesDep
) -> Tag:
    """Give every entry of this tag the other one and delete this one, in one transaction; return the other."""
    if data.into == tag_id:
        raise MalformedRequestError([FieldProblem(field="$.into", rule="must be another tag")])
    return await retry_conflicts(lambda: _merge(request, services, tag_id, data.into))


async def _link(request: WireRequest, services: Services, journal_id: UUID, tag_id: UUID) -> None:
    async with account_transaction(request, services) as (connection, user_id, _):
        row = await queries_entries.lock_journal(connection, user_id, journal_id)
        if row is None or row.deleted:
            raise NotFoundError("no such entry")
        outcome = await queries_entries.link_tag(connection, user_id, journal_id, tag_id, MAX_JOURNAL_TAGS)
        if outcome == "not_found":
            raise NotFoundError("no such tag")
        if outcome == "limit_reached":
            rule = f"must have at most {MAX_JOURNAL_TAGS} tags"
            raise LimitReachedError("tags of the entry", [FieldProblem(field="journal_id", rule=rule)])


@put(
    "/journals/{journal_id:uuid}/tags/{tag_id:uuid}",
    status_code=204,
    summary="Give an entry a tag",
    opt={"problems": ["not_found", "limit_reached"]},
)
async def link_tag(
    journal_id: FromPath[UUID], tag_id: FromPath[UUID], request: WireRequest, services: ServicesDep
) -> None:
    """Give an entry a tag; where it has it already, nothing changes. Otherwise the entry has a new version."""
    await retry_conflicts(lambda: _link(request, services, journal_id, tag_id))


async def _unlink(request: WireRequest, services: Services, journal_id: UUID, tag_id: UUID) -> None:
    async with account_transaction(request, services) as (connection, user_id, _):
        row = await queries_entries.lock_journal(connection, user_id, journal_id)
        known = row is not None and not row.deleted
        if not known or not await queries_entries.unlink_tag(connection, user_id, journal_id, tag_id):
            raise NotFoundError("no such tag of the entry")


@delete(
    "/journals/{journal_id:uuid}/tags/{tag_id:uuid}",
    status_code=204,
    summary="Take a tag from an entry",
    opt={"problems": ["not_found"]},
)
async def unlink_tag(
    journal_id: FromPath[UUID], tag_id: FromPath[UUID], request: WireRequest, services: ServicesDep
) -> None:
    """Take a tag from an entry, which then has a new version."""
    await retry_conflicts(lambda: _unlink(request, services, journal_id, tag_id))


TAG_HANDLERS: Final[list[Any]] = [
    *(create_tag, list_tags, suggest_tags, read_tag, edit_tag, delete_tag, merge_tag),
    *(link_tag, unlink_tag),
]
