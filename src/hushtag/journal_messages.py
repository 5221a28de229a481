"""Messages of the plain side's journals and tags (SPEC.md, section 21). None of them has to do with a phrase."""

from datetime import date, datetime
from typing import Annotated, Final
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType, field

from hushtag.messages import Message

MAX_TITLE: Final = 500
"""Characters of an entry's title."""
MAX_CONTENT: Final = 100_000
"""Characters of an entry's content."""
MAX_MOOD: Final = 10
MAX_JOURNAL_TAGS: Final = 50
"""Tags of one entry."""
MAX_TAGS: Final = 1000
"""Tags of one user."""
MAX_TAG_NAME: Final = 100
"""Characters of a tag's name, composed (NFC) and without white space at its ends."""
MAX_BULK_JOURNALS: Final = 500
"""Entries created at once."""
MAX_BULK_BYTES: Final = 8 * 1024 * 1024
"""Bytes of the message that creates entries at once."""
MAX_JOURNAL_BYTES: Final = 1280 * 1024
"""Bytes of the message that creates or edits one entry: every character may be two escapes, as an emoji is."""
MAX_JOURNAL_PAGE: Final = 100
"""Entries or tags in one page."""
MAX_FILTER_TAGS: Final = 10
"""Tags a listing is filtered by at once."""
MAX_QUERY: Final = 300
"""Characters of a search."""
MAX_RANKED: Final = 500
"""Matches that the index of words gives first and newest entries that a search of common words looks at."""

Title = Annotated[str, Meta(min_length=1, max_length=MAX_TITLE, pattern="^[^\\x00]*$")]
Content = Annotated[str, Meta(max_length=MAX_CONTENT, pattern="^[^\\x00]*$")]
Mood = Annotated[int, Meta(ge=1, le=MAX_MOOD)]
Moment = Annotated[datetime, Meta(tz=True)]
TagName = Annotated[str, Meta(min_length=1, max_length=MAX_TAG_NAME, pattern="^[^\\x00]*$")]
TagNames = Annotated[list[TagName], Meta(max_length=MAX_JOURNAL_TAGS)]
Color = Annotated[str, Meta(pattern="^#[0-9A-Fa-f]{6}$", min_length=7, max_length=7)]


class TagRef(Message, frozen=True):
    """A tag as an entry shows it."""

    id: UUID
    name: str
    color: str | None = None


class NewJournal(Message, frozen=True):
    """`POST /v1/journals`. `entry_date` is by default today in the user's time zone; missing tags are made."""

    title: Title
    id: UUID | None = None
    content: Content | None = None
    mood_rating: Mood | None = None
    is_private: bool = False
    entry_date: date | None = None
    published_at: Moment | None = None
    tags: TagNames = field(default_factory=list)


class JournalChange(Message, frozen=True):
    """`PATCH /v1/journals/{journal_id}`: what is absent stays as it is; null is a value."""

    title: Title | UnsetType = UNSET
    content: Content | UnsetType | None = UNSET
    mood_rating: Mood | UnsetType | None = UNSET
    is_private: bool | UnsetType = UNSET
    entry_date: date | UnsetType = UNSET
    published_at: Moment | UnsetType | None = UNSET
    tags: TagNames | UnsetType = UNSET


class Journal(Message, frozen=True, kw_only=True):
    """A whole entry."""

    id: UUID
    title: str
    content: str | None = None
    mood_rating: int | None = None
    is_private: bool
    entry_date: date
    word_count: int
    tags: list[TagRef]
    version: int
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None = None
    deleted_at: datetime | None = None


class JournalSummary(Message, frozen=True, kw_only=True):
    """An entry in a listing: `excerpt` is the first 200 characters of its content."""

    id: UUID
    title: str
    excerpt: str | None = None
    mood_rating: int | None = None
    is_private: bool
    entry_date: date
    word_count: int
    tags: list[TagRef]
    version: int
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None = None
    deleted_at: datetime | None = None


class JournalList(Message, frozen=True):
    """`GET /v1/journals`; `next` is the cursor of the next page."""

    journals: list[JournalSummary]
    next: str | None = None


class NewJournals(Message, frozen=True):
    """`POST /v1/journals/bulk`: all or nothing."""

    journals: Annotated[list[NewJournal], Meta(min_length=1, max_length=MAX_BULK_JOURNALS)]


class JournalsCreated(Message, frozen=True):
    """Answer to `NewJournals`: the ids in the order of the entries."""

    created: list[UUID]


class JournalFound(Message, frozen=True):
    """A match. Snippets are safe HTML: escaped text with `<mark>` around what matched."""

    journal: JournalSummary
    rank: float
    title_snippet: str
    content_snippet: str | None = None


class TagFacet(Message, frozen=True):
    """How many of the ranked matches have this tag."""

    tag_id: UUID
    name: str
    count: int


class MoodFacet(Message, frozen=True, kw_only=True):
    """How many of the ranked matches have this mood; null: none."""

    mood_rating: int | None = None
    count: int


class JournalFacets(Message, frozen=True):
    """Counts over the ranked matches, at most twice `MAX_RANKED`; of tags the hundred most frequent."""

    tags: list[TagFacet]
    moods: list[MoodFacet]


class JournalSearch(Message, frozen=True, kw_only=True):
    """`GET /v1/journals/search`, best match first."""

    results: list[JournalFound]
    next: str | None = None
    facets: JournalFacets


class NewJournalTag(Message, frozen=True):
    """`POST /v1/journal-tags`."""

    name: TagName
    color: Color | None = None


class TagChange(Message, frozen=True):
    """`PATCH /v1/journal-tags/{tag_id}`: what is absent stays as it is."""

    name: TagName | UnsetType = UNSET
    color: Color | UnsetType | None = UNSET


class MergeTag(Message, frozen=True):
    """`POST /v1/journal-tags/{tag_id}/merge`: every entry of the tag gets the tag `into`, and the tag is gone."""

    into: UUID


class Tag(Message, frozen=True, kw_only=True):
    """A tag and how many entries that are not deleted have it."""

    id: UUID
    name: str
    color: str | None = None
    usage_count: int
    created_at: datetime
    updated_at: datetime


class JournalTagList(Message, frozen=True):
    """`GET /v1/journal-tags`; `next` is the cursor of the next page."""

    tags: list[Tag]
    next: str | None = None


class TagSuggestions(Message, frozen=True):
    """`GET /v1/journal-tags/suggest`, the likeliest first."""

    tags: list[Tag]
