"""SQL of entries: one call each, a transaction of its own that authenticates and acts (migration 0005)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

import psycopg

from hushtag.journal_messages import MAX_RANKED, MAX_TAGS
from hushtag.messages import FieldProblem
from hushtag_server.auth import Caller
from hushtag_server.database import call
from hushtag_server.errors import AlreadyExistsError, LimitReachedError, NotFoundError, UnauthenticatedError
from hushtag_server.journal.schemas import Page, SearchPage, SearchPosition, Stored
from hushtag_server.outcomes import check_outcome
from hushtag_server.peer import Peer
from hushtag_server.pool import Pool
from hushtag_server.versions import version_conflict

__all__ = ["create_journal", "create_journals", "get_journal", "list_journals", "search_journals", "update_journal"]

_GET = "SELECT session_id, version, body FROM hushtag_get_journal($1, $2, $3, $4, $5, $6, $7)"
_LIST = """
    SELECT session_id, bodies, last_key, last_id
    FROM hushtag_list_journals($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11::integer, $12, $13)
"""
_CREATE = """
    SELECT session_id, outcome, body
    FROM hushtag_create_journal($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::integer, $12, $13, $14, $15::text[],
                                $16::integer)
"""
_CREATE_MANY = """
    SELECT session_id, outcome, taken FROM hushtag_create_journals($1, $2, $3, $4, $5, $6, $7::jsonb, $8::integer)
"""
_UPDATE = """
    SELECT session_id, outcome, version, body
    FROM hushtag_update_journal($1, $2, $3, $4, $5, $6, $7, $8::bigint, $9::jsonb, $10::text[], $11::integer)
"""
_SEARCH = """
    SELECT session_id, results, facets, more, last_rank, last_date, last_id
    FROM hushtag_search_journals($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9::double precision, $10, $11, $12::integer,
                                 $13::integer)
"""


def _authenticated(session_id: UUID | None) -> None:
    if session_id is None:
        raise UnauthenticatedError("no such session")


def _check(outcome: str | None, deed: str, version: int | None = None, *, field: str = "$.id") -> None:
    if outcome == "not_found":
        raise NotFoundError("no such entry")
    if outcome == "already_exists":
        raise AlreadyExistsError("an entry of that id", [FieldProblem(field=field, rule="must not be taken")])
    if outcome == "limit_reached":
        rule = f"must not make more than {MAX_TAGS} tags of the account"
        raise LimitReachedError("tags", [FieldProblem(field="$.tags", rule=rule)])
    if outcome == "conflict" and version is not None:
        raise version_conflict(version)
    check_outcome(outcome, deed)


@asynccontextmanager
async def _unique(field: str) -> AsyncIterator[None]:
    # The function looks first; of two that looked at the same moment, one meets the other's key.
    try:
        yield
    except psycopg.errors.UniqueViolation:
        _check("already_exists", "created", field=field)


async def get_journal(pool: Pool, caller: Caller, journal_id: UUID) -> Stored:
    """Return an entry, deleted or not.

    Raises:
        UnauthenticatedError: the token is not valid.
        NotFoundError: the user has no such entry.
    """
    session_id, version, body = (await call(pool, _GET, (*caller, None, None, journal_id)))[0]
    _authenticated(session_id)
    if version is None:
        raise NotFoundError("no such entry")
    return Stored(version, body)


async def list_journals(
    pool: Pool,
    caller: Caller,
    *,
    chosen: str | None,
    sort: str,
    after: tuple[str, UUID] | None,
    limit: int,
    whole: bool = False,
    between: str = ",",
) -> Page:
    """Return up to `limit` entries that the filter `chosen` (JSON) lets through, after a position.

    Raises:
        UnauthenticatedError: the token is not valid.
    """
    values = (*caller, None, None, chosen, sort, *(after or (None, None)), limit, whole, between)
    page = Page(*(await call(pool, _LIST, values))[0])
    _authenticated(page.session_id)
    return page


async def create_journal(
    pool: Pool,
    caller: Caller,
    peer: Peer,
    *,
    journal_id: UUID,
    chosen: bool,
    title: str,
    content: str | None,
    mood_rating: int | None,
    is_private: bool,
    entry_date: date | None,
    published_at: datetime | None,
    tags: Sequence[str],
) -> bytes:
    """Store an entry and return it as JSON; `chosen` tells that its id is the client's choice, and may be taken.

    Raises:
        UnauthenticatedError: the token is not valid.
        AlreadyExistsError: the user has an entry of that id.
        LimitReachedError: it would make too many tags.
    """
    entry = (journal_id, chosen, title, content, mood_rating, is_private, entry_date, published_at)
    async with _unique("$.id"):
        rows = await call(pool, _CREATE, (*caller, *peer, *entry, list(tags) or None, MAX_TAGS))
    session_id, outcome, body = rows[0]
    _authenticated(session_id)
    _check(outcome, "created")
    stored: bytes = body
    return stored


async def create_journals(pool: Pool, caller: Caller, peer: Peer, entries: str) -> UUID | None:
    """Store a JSON array of entries with different ids, all or none; return an id that was taken, if one was.

    Raises:
        UnauthenticatedError: the token is not valid.
        AlreadyExistsError: an id was taken at this moment.
        LimitReachedError: it would make too many tags.
    """
    async with _unique("$.journals[...].id"):
        rows = await call(pool, _CREATE_MANY, (*caller, *peer, entries, MAX_TAGS))
    session_id, outcome, taken = rows[0]
    _authenticated(session_id)
    if taken is None:
        _check(outcome, "created")
    return taken  # type: ignore[no-any-return]


async def update_journal(
    pool: Pool,
    caller: Caller,
    peer: Peer,
    journal_id: UUID,
    *,
    version: int | None,
    changes: str,
    tags: Sequence[str] | None,
) -> Stored:
    """Apply `changes` (a JSON object) and, unless None, the tags to an entry that is not deleted.

    Raises:
        UnauthenticatedError: the token is not valid.
        NotFoundError: the user has no such entry.
        PreconditionFailedError: it has another version; nothing was changed.
        LimitReachedError: it would make too many tags.
    """
    names = None if tags is None else list(tags)
    rows = await call(pool, _UPDATE, (*caller, *peer, journal_id, version, changes, names, MAX_TAGS))
    session_id, outcome, present, body = rows[0]
    _authenticated(session_id)
    _check(outcome, "changed", present)
    return Stored(present, body)


async def search_journals(
    pool: Pool, caller: Caller, query: str, *, chosen: str | None, after: SearchPosition | None, limit: int
) -> SearchPage:
    """Return up to `limit` matches, best first, and facets over all that are ranked.

    Raises:
        UnauthenticatedError: the token is not valid.
    """
    position: tuple[Any, ...] = after or (None, None, None)
    values = (*caller, None, None, query, chosen, *position, limit, MAX_RANKED)
    page = SearchPage(*(await call(pool, _SEARCH, values))[0])
    _authenticated(page.session_id)
    return page
