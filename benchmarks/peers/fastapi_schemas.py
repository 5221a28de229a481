"""What the peer takes and answers, as pydantic 2 checks it."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

TagName = Annotated[str, Field(min_length=1, max_length=100)]


class NewJournal(BaseModel):
    """A journal entry to be made."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=500)
    content: str | None = Field(default=None, max_length=100_000)
    mood_rating: int | None = Field(default=None, ge=1, le=10)
    is_private: bool = False
    entry_date: date
    tags: list[TagName] = Field(default_factory=list, max_length=50)


class TagOut(BaseModel):
    """A tag."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    color: str | None


class JournalSummary(BaseModel):
    """A journal entry as lists show it."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    excerpt: str | None
    mood_rating: int | None
    is_private: bool
    entry_date: date
    word_count: int
    tags: list[TagOut]
    version: int
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    deleted_at: datetime | None


class JournalOut(BaseModel):
    """A whole journal entry."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    content: str | None
    mood_rating: int | None
    is_private: bool
    entry_date: date
    word_count: int
    tags: list[TagOut]
    version: int
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    deleted_at: datetime | None


class JournalPage(BaseModel):
    """Journal entries, the newest first."""

    journals: list[JournalSummary]
    next: str | None
