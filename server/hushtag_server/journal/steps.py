"""What people do with entries most: create, read, list, edit, search. One call of the database each.

Answers are JSON as the database made it, so no entry is taken apart and put together again on its way.
"""

from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET

from hushtag.journal_messages import JournalChange, NewJournal, NewJournals
from hushtag.messages import FieldProblem
from hushtag_server.auth import account_caller
from hushtag_server.cursors import open_cursor, seal_cursor
from hushtag_server.errors import AlreadyExistsError
from hushtag_server.journal import queries
from hushtag_server.journal.names import check_moment, tidy_names
from hushtag_server.journal.schemas import JournalFilter, Page, SearchPosition, Stored
from hushtag_server.peer import Peer
from hushtag_server.services import Services
from hushtag_server.tokens import BearerToken

__all__ = [
    "create_journal",
    "create_journals",
    "export_page",
    "get_journal",
    "list_journals",
    "search_journals",
    "update_journal",
]

EXPORT_PAGE = 50


async def create_journal(services: Services, token: BearerToken, data: NewJournal, peer: Peer) -> tuple[UUID, Stored]:
    """Store an entry; return its id and what it became."""
    check_moment(data.published_at)
    journal_id = data.id or uuid4()
    body = await queries.create_journal(
        services.pool,
        account_caller(token, services),
        peer,
        journal_id=journal_id,
        chosen=data.id is not None,
        title=data.title,
        content=data.content,
        mood_rating=data.mood_rating,
        is_private=data.is_private,
        entry_date=data.entry_date,
        published_at=data.published_at,
        tags=tidy_names(data.tags),
    )
    return journal_id, Stored(1, body)


def _entry(data: NewJournal, place: int) -> dict[str, Any]:
    check_moment(data.published_at, f"$.journals[{place}].published_at")
    entry = {name: getattr(data, name) for name in NewJournal.__struct_fields__}
    return entry | {"id": data.id or uuid4(), "tags": tidy_names(data.tags, f"$.journals[{place}].tags")}


def _refuse_id(place: int, rule: str) -> AlreadyExistsError:
    return AlreadyExistsError("an id", [FieldProblem(field=f"$.journals[{place}].id", rule=rule)])


async def create_journals(services: Services, token: BearerToken, data: NewJournals, peer: Peer) -> list[UUID]:
    """Store entries, all or none; return their ids in order."""
    entries = [_entry(entry, place) for place, entry in enumerate(data.journals)]
    places: dict[UUID, int] = {}
    for place, entry in enumerate(entries):
        if places.setdefault(entry["id"], place) != place:
            raise _refuse_id(place, "must not be that of another entry here")
    caller = account_caller(token, services)
    taken = await queries.create_journals(services.pool, caller, peer, msgspec.json.encode(entries).decode())
    if taken is not None:
        raise _refuse_id(places[taken], "must not be taken")
    return [*places]


async def get_journal(services: Services, token: BearerToken, journal_id: UUID) -> Stored:
    """Return one entry."""
    return await queries.get_journal(services.pool, account_caller(token, services), journal_id)


def _following(services: Services, token: BearerToken, listing: str, position: tuple[Any, ...]) -> bytes:
    return msgspec.json.encode(seal_cursor(services.keys, token.user_id, listing, position))


async def list_journals(
    services: Services, token: BearerToken, chosen: JournalFilter, *, sort: str, cursor: str | None, limit: int
) -> bytes:
    """Return a `JournalList` as JSON."""
    listing, after = chosen.listing("journals", sort), None
    if cursor is not None:
        after = open_cursor(services.keys, token.user_id, listing, cursor, tuple[str, UUID])
    page = await queries.list_journals(
        services.pool, account_caller(token, services), chosen=chosen.encode(), sort=sort, after=after, limit=limit
    )
    following = b"null"
    if page.last_id is not None:
        following = _following(services, token, listing, (page.last_key, page.last_id))
    return b'{"journals":[%b],"next":%b}' % (page.bodies, following)


async def export_page(
    services: Services, token: BearerToken, chosen: JournalFilter, after: tuple[str, UUID] | None
) -> Page:
    """Return a page of whole entries by date, a line for each."""
    return await queries.list_journals(
        services.pool,
        account_caller(token, services),
        chosen=chosen.encode(),
        sort="entry_date",
        after=after,
        limit=EXPORT_PAGE,
        whole=True,
        between="\n",
    )


async def update_journal(
    services: Services, token: BearerToken, journal_id: UUID, data: JournalChange, version: int | None, peer: Peer
) -> Stored:
    """Apply what the change names; `version` None: whatever the present one is."""
    check_moment(data.published_at)
    given = {name: getattr(data, name) for name in JournalChange.__struct_fields__}
    changes = {name: value for name, value in given.items() if value is not UNSET and name != "tags"}
    return await queries.update_journal(
        services.pool,
        account_caller(token, services),
        peer,
        journal_id,
        version=version,
        changes=msgspec.json.encode(changes).decode(),
        tags=None if data.tags is UNSET else tidy_names(data.tags),
    )


async def search_journals(
    services: Services, token: BearerToken, query: str, chosen: JournalFilter, *, cursor: str | None, limit: int
) -> bytes:
    """Return a `JournalSearch` as JSON."""
    listing, after = chosen.listing("journals/search", query), None
    if cursor is not None:
        after = open_cursor(services.keys, token.user_id, listing, cursor, SearchPosition)
    async with services.searches.turn(token.user_id):
        page = await queries.search_journals(
            services.pool, account_caller(token, services), query, chosen=chosen.encode(), after=after, limit=limit
        )
    following = b"null"
    if page.more:
        following = _following(services, token, listing, (page.last_rank, page.last_date, page.last_id))
    return b'{"results":[%b],"next":%b,"facets":%b}' % (page.results, following, page.facets)
