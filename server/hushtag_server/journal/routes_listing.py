"""Routes of many entries: list, search, create at once, export."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from litestar import Response, get, post
from litestar.params import JSONBody, QueryParameter
from litestar.response import Stream

from hushtag.journal_messages import (
    MAX_BULK_BYTES,
    JournalList,
    JournalsCreated,
    JournalSearch,
    NewJournals,
)
from hushtag_server.journal import steps
from hushtag_server.journal.parameters import (
    FILTERED,
    Cursor,
    FilterDep,
    PageLimit,
    SearchWords,
    check_text,
)
from hushtag_server.journal.schemas import JournalFilter, Page, Sort
from hushtag_server.peer import client_peer
from hushtag_server.services import Services, ServicesDep
from hushtag_server.tokens import BearerToken
from hushtag_server.wire import WireRequest

__all__ = ["LISTING_HANDLERS"]

NDJSON = "application/x-ndjson"


def _json(body: bytes) -> Response[Any]:
    return Response(body, media_type="application/json")


@get("/journals", summary="List entries", dependencies=FILTERED)
async def list_journals(
    chosen: FilterDep,
    request: WireRequest,
    services: ServicesDep,
    sort: Annotated[Sort, QueryParameter(description="order; - for descending")] = "-entry_date",
    cursor: Cursor = None,
    limit: PageLimit = 20,
) -> Response[JournalList]:
    """List entries. By title: its first 64 characters, whatever their case. An entry without a mood is below 1."""
    return _json(await steps.list_journals(services, request.auth, chosen, sort=sort, cursor=cursor, limit=limit))


@get("/journals/search", summary="Search title and content", dependencies=FILTERED)
async def search_journals(
    q: SearchWords,
    chosen: FilterDep,
    request: WireRequest,
    services: ServicesDep,
    cursor: Cursor = None,
    limit: PageLimit = 20,
) -> Response[JournalSearch]:
    """Return matches in the user's language, accents folded, best first, with counts over all that were ranked.

    Of words in 500 entries or more, only those that the index gives first and those among the newest 500 entries that
    the filters let through are ranked; of words in about a third of these, of 5,000 and more, the latter alone.
    """
    query = check_text(q, "q")
    return _json(await steps.search_journals(services, request.auth, query, chosen, cursor=cursor, limit=limit))


@post(
    "/journals/bulk",
    status_code=201,
    summary="Write up to 500 entries, all or none",
    request_max_body_size=MAX_BULK_BYTES,
    opt={"problems": ["already_exists", "limit_reached"]},
)
async def create_journals(data: JSONBody[NewJournals], request: WireRequest, services: ServicesDep) -> JournalsCreated:
    """Store entries in one transaction; return their ids in order."""
    return JournalsCreated(
        created=await steps.create_journals(services, request.auth, data, client_peer(request, services.settings))
    )


async def _lines(services: Services, token: BearerToken, chosen: JournalFilter, page: Page) -> AsyncIterator[bytes]:
    while page.bodies:
        yield page.bodies + b"\n"
        if page.last_id is None or page.last_key is None:
            return
        # Each page is a transaction of its own: a slow reader holds no snapshot and no connection.
        page = await steps.export_page(services, token, chosen, (page.last_key, page.last_id))


@get("/journals/export", summary="Export entries, a line for each", media_type=NDJSON, dependencies=FILTERED)
async def export_journals(chosen: FilterDep, request: WireRequest, services: ServicesDep) -> Stream:
    """Stream whole entries by date. An answer that ends without its last chunk is not complete."""
    first = await steps.export_page(services, request.auth, chosen, None)
    return Stream(_lines(services, request.auth, chosen, first), media_type=NDJSON)


LISTING_HANDLERS: Final[list[Any]] = [list_journals, search_journals, create_journals, export_journals]
