"""Listings: every page, in order of ids, and never without end."""

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar
from uuid import UUID

from hushtag.client.answers import expect
from hushtag.client.calls import fetch
from hushtag.client.effects import Request, Steps
from hushtag.client.policy import MAX_LIST_BYTES, RetryPolicy
from hushtag.errors import MalformedError
from hushtag.messages import MAX_PAGE, ObjectList, SessionList, TagList

__all__ = ["MAX_ENTRIES", "collect"]

P = TypeVar("P", SessionList, TagList, ObjectList)

MAX_ENTRIES: Final = 10_000
"""Sessions or tags in one listing, at most; objects are bounded by what the vault head counts."""


def collect(
    path: str,
    token: str,
    kind: type[P],
    ids_of: Callable[[P], list[UUID]],
    retry: RetryPolicy,
    *,
    limit: int = MAX_PAGE,
    accept: Callable[[P, int], None] | None = None,
    take: Callable[[P], Steps[P]] | None = None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> Steps[list[P]]:
    """Return all pages of a listing. `accept` sees each page and the number of entries up to its end, and may raise.

    `take` returns what is kept of an accepted page; `more` are further parameters of the query.

    Raises:
        MalformedError: ids do not ascend from page to page, a page with a successor is empty, or there are more than
            10,000 entries and no `accept` to bound them.
    """
    found: list[P] = []
    count = 0
    after: UUID | None = None
    while True:
        query = {"limit": str(limit), **more} | ({} if after is None else {"after": str(after)})
        request = Request("GET", path, token, query=query, max_answer=MAX_LIST_BYTES)
        page = expect((yield from fetch(request, retry)), (200,), kind)
        ids = ids_of(page)
        count += len(ids)
        _check_order(ids, after, page.next)
        if accept is not None:
            accept(page, count)
        elif count > MAX_ENTRIES:
            raise MalformedError(f"listing has more than {MAX_ENTRIES} entries")
        found.append(page if take is None else (yield from take(page)))
        if page.next is None:
            return found
        after = page.next


def _check_order(ids: list[UUID], after: UUID | None, following: UUID | None) -> None:
    # Ascending ids make every page bring something new, so a listing cannot run in a circle.
    places = [*([after] if after is not None else []), *ids]
    if any(left >= right for left, right in itertools.pairwise(places)):
        raise MalformedError("listing is not in ascending order of ids")
    if following is not None and (not ids or following != ids[-1]):
        raise MalformedError("listing names another successor than its last entry")
