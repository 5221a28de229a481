"""What the routes of entries read from the query string and the headers."""

import re
from datetime import date
from typing import Annotated, Any, Final, Literal

from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, QueryParameter, SkipValidation

from hushtag.journal_messages import MAX_FILTER_TAGS, MAX_JOURNAL_PAGE, MAX_MOOD, MAX_QUERY
from hushtag.messages import FieldProblem
from hushtag_server.errors import MalformedRequestError
from hushtag_server.journal.names import tidy_names
from hushtag_server.journal.schemas import JournalFilter, Origin, Stored
from hushtag_server.peer import client_address, client_agent
from hushtag_server.services import Services
from hushtag_server.versions import etag
from hushtag_server.wire import WireRequest

__all__ = [
    "ETAG",
    "FILTERED",
    "Cursor",
    "FilterDep",
    "IfNoneMatch",
    "PageLimit",
    "SearchWords",
    "answer_entry",
    "answer_unchanged",
    "check_text",
    "origin_of",
]

Cursor = Annotated[str | None, QueryParameter(name="cursor", description="the `next` of the page before")]
PageLimit = Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_JOURNAL_PAGE, description="entries of the page")]
SearchWords = Annotated[
    str,
    QueryParameter(
        name="q",
        min_length=1,
        max_length=MAX_QUERY,
        description='words that must all occur; "a phrase", OR, and - for what must not',
    ),
]
IfNoneMatch = Annotated[
    str | None, HeaderParameter(name="If-None-Match", description="ETag of the version that is at hand")
]
_Mood = Annotated[int | None, QueryParameter(ge=1, le=MAX_MOOD, description="entries without a mood are left out")]
ETAG: Final = [ResponseHeader(name="ETag", description="version of the entry, for If-Match", documentation_only=True)]
_UNWANTED: Final = re.compile(r"[\x00\ud800-\udfff]")


def check_text(text: str, field: str) -> str:
    """Return a text of the query string that the database can take.

    Raises:
        MalformedRequestError: it holds NUL or half a surrogate pair.
    """
    if _UNWANTED.search(text):
        raise MalformedRequestError([FieldProblem(field=field, rule="must be text without NUL")])
    return text


async def _provide_filter(
    from_: Annotated[date | None, QueryParameter(name="from", description="first entry date")] = None,
    to: Annotated[date | None, QueryParameter(name="to", description="last entry date")] = None,
    mood_min: _Mood = None,
    mood_max: _Mood = None,
    private: Annotated[bool | None, QueryParameter(description="only private ones, or only others")] = None,
    deleted: Annotated[Literal["false", "true", "any"], QueryParameter(description="which are listed")] = "false",
    tag: Annotated[list[str] | None, QueryParameter(description="name of a tag; of several, all")] = None,
) -> JournalFilter:
    names = sorted({check_text(name, "tag") for name in tidy_names(tag or [], "tag")})
    if len(names) > MAX_FILTER_TAGS:
        raise MalformedRequestError([FieldProblem(field="tag", rule=f"must be given at most {MAX_FILTER_TAGS} times")])
    return JournalFilter(from_, to, mood_min, mood_max, private, deleted, names)


FilterDep = NamedDependency[SkipValidation[JournalFilter]]
"""Annotation of the parameter `chosen` of a route with the dependency `FILTERED`."""
FILTERED: Final = {"chosen": Provide(_provide_filter)}


def origin_of(request: WireRequest, services: Services) -> Origin:
    """Return what the audit trail says of where a change came from."""
    return Origin(client_address(request, services.settings), client_agent(request))


def answer_entry(stored: Stored, status: int = 200, headers: dict[str, str] | None = None) -> Response[Any]:
    """Answer with an entry and its ETag."""
    given = {"ETag": etag(stored.version), **(headers or {})}
    return Response(stored.body, status_code=status, media_type="application/json", headers=given)


def answer_unchanged(stored: Stored) -> Response[Any]:
    """Answer 304: whoever asks has this version."""
    return Response(b"", status_code=304, headers={"ETag": etag(stored.version)})
