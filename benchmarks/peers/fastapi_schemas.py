"""What the peer takes and answers, as pydantic 2 checks it."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

TagName = Annotated[str, Field(min_length=1, max_length=100)]


class NewJournal(BaseModel):
    """A journal entry to be made."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=500)
    content: str = Field(max_length=1_000_000)
    mood_rating: int | None = Field(default=None, ge=1, le=10)
    is_private: bool = True
    entry_date: date
    tags: list[TagName] = Field(default_factory=list, max_length=50)


def _name_of(tag: object) -> object:
    return getattr(tag, "name", tag)


class JournalOut(BaseModel):
    """A journal entry."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    title: str
    content: str
    mood_rating: int | None
    is_private: bool
    word_count: int
    entry_date: date
    version: int
    published_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime
    tags: list[Annotated[str, BeforeValidator(_name_of)]]


class JournalPage(BaseModel):
    """Journal entries, the newest first."""

    model_config = ConfigDict(from_attributes=True)

    journals: list[JournalOut]
