"""Rows of journals and tags, as queries return them, and what a listing is asked for."""

from datetime import date, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

__all__ = ["EntryRow", "JournalFilter", "Origin", "Page", "SearchPage", "SearchPosition", "Sort", "Stored", "TagRow"]

Sort = Literal[
    "entry_date",
    "-entry_date",
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "title",
    "-title",
    "mood_rating",
    "-mood_rating",
]


class Origin(NamedTuple):
    """Where a change comes from, for the audit trail: client address and agent."""

    address: str | None = None
    agent: str | None = None


class Stored(NamedTuple):
    """An entry's version and the entry itself as JSON."""

    version: int
    body: bytes


class Page(NamedTuple):
    """Entries as JSON objects, and where the page ends if there is more."""

    session_id: UUID | None
    bodies: bytes
    last_key: str | None
    last_id: UUID | None


class SearchPosition(NamedTuple):
    """Where a page of matches ended."""

    rank: float
    entry_date: date
    id: UUID


class SearchPage(NamedTuple):
    """Matches and facets as JSON, and where the page ends if there is more."""

    session_id: UUID | None
    results: bytes
    facets: bytes
    more: bool
    last_rank: float | None
    last_date: date | None
    last_id: UUID | None


class EntryRow(NamedTuple):
    """What a change of an entry looks at first."""

    version: int
    deleted: bool


class TagRow(msgspec.Struct, frozen=True):
    """A tag with its usage."""

    id: UUID
    name: str
    color: str | None
    usage_count: int
    created_at: datetime
    updated_at: datetime


class JournalFilter(msgspec.Struct, frozen=True, omit_defaults=True, rename={"from_": "from"}):
    """What a listing, a search or an export is limited to; encoded it is what `hushtag_journal_filter` takes."""

    from_: date | None = None
    to: date | None = None
    mood_min: int | None = None
    mood_max: int | None = None
    private: bool | None = None
    deleted: str = "false"
    tags: list[str] = msgspec.field(default_factory=list)

    def encode(self) -> str | None:
        """Return the filter as JSON, None where it filters nothing."""
        encoded = msgspec.json.encode(self)
        return None if encoded == b"{}" else encoded.decode()

    def listing(self, *parts: Any) -> str:
        """Return the name of a listing with this filter, which its cursors are bound to."""
        return msgspec.json.encode([*parts, self]).decode()
