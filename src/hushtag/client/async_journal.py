"""The journal of the client for an event loop."""

from collections.abc import AsyncGenerator, Iterable
from datetime import date, datetime
from typing import Unpack
from uuid import UUID

from msgspec import UNSET, UnsetType

from hushtag.client.async_tags import AsyncJournalTags
from hushtag.client.batches import each_awaited
from hushtag.client.drivers import AsyncDriver
from hushtag.client.ids import id_of
from hushtag.client.journal_steps import JournalFilter, JournalSteps, tag_names
from hushtag.client.tag_steps import TagSteps
from hushtag.journal_messages import (
    Journal,
    JournalChange,
    JournalFacets,
    JournalFound,
    JournalSummary,
    NewJournal,
    Tag,
    TagRef,
)

__all__ = ["AsyncJournals"]


class AsyncJournals:
    """`Journals` for an event loop: the same calls, arguments and errors, awaited; listings with `async for`."""

    def __init__(self, driver: AsyncDriver, steps: JournalSteps, tags: TagSteps) -> None:
        self._driver = driver
        self._steps = steps
        self._tags = tags

    @property
    def tags(self) -> AsyncJournalTags:
        """As `Journals.tags`."""
        return AsyncJournalTags(self._driver, self._tags)

    async def create(
        self,
        title: str,
        *,
        content: str | None = None,
        mood_rating: int | None = None,
        is_private: bool = False,
        entry_date: date | None = None,
        published_at: datetime | None = None,
        tags: Iterable[str] = (),
        journal_id: UUID | None = None,
    ) -> Journal:
        """As `Journals.create`."""
        names = tag_names(tags)
        new = NewJournal(title, journal_id, content, mood_rating, is_private, entry_date, published_at, tags=names)
        return await self._driver.run(self._steps.create(new))

    async def create_many(self, entries: Iterable[NewJournal]) -> tuple[UUID, ...]:
        """As `Journals.create_many`."""
        return await self._driver.run(self._steps.create_many(entries))

    async def get(self, journal_id: UUID) -> Journal:
        """As `Journals.get`."""
        return await self._driver.run(self._steps.get(journal_id))

    async def edit(
        self,
        entry: Journal | JournalSummary,
        *,
        title: str | UnsetType = UNSET,
        content: str | UnsetType | None = UNSET,
        mood_rating: int | UnsetType | None = UNSET,
        is_private: bool | UnsetType = UNSET,
        entry_date: date | UnsetType = UNSET,
        published_at: datetime | UnsetType | None = UNSET,
        tags: Iterable[str] | UnsetType = UNSET,
    ) -> Journal:
        """As `Journals.edit`."""
        wanted = JournalChange(
            title=title,
            content=content,
            mood_rating=mood_rating,
            is_private=is_private,
            entry_date=entry_date,
            published_at=published_at,
            tags=tags if isinstance(tags, UnsetType) else tag_names(tags),
        )
        return await self._driver.run(self._steps.edit(entry, wanted))

    async def delete(self, entry: Journal | JournalSummary) -> None:
        """As `Journals.delete`."""
        await self._driver.run(self._steps.delete(entry))

    async def restore(self, entry: Journal | JournalSummary | UUID) -> Journal:
        """As `Journals.restore`."""
        return await self._driver.run(self._steps.restore(id_of(entry)))

    async def erase(self, entry: Journal | JournalSummary | UUID) -> None:
        """As `Journals.erase`."""
        await self._driver.run(self._steps.erase(id_of(entry)))

    async def add_tag(self, entry: Journal | JournalSummary | UUID, tag: Tag | TagRef) -> None:
        """As `Journals.add_tag`."""
        await self._driver.run(self._steps.link(id_of(entry), id_of(tag)))

    async def remove_tag(self, entry: Journal | JournalSummary | UUID, tag: Tag | TagRef) -> None:
        """As `Journals.remove_tag`."""
        await self._driver.run(self._steps.unlink(id_of(entry), id_of(tag)))

    def list(
        self, *, sort: str = "-entry_date", **chosen: Unpack[JournalFilter]
    ) -> AsyncGenerator[JournalSummary, None]:
        """As `Journals.list`."""
        return each_awaited(self._driver, self._steps.list(sort, chosen))

    def search(self, words: str, **chosen: Unpack[JournalFilter]) -> AsyncGenerator[JournalFound, None]:
        """As `Journals.search`."""
        return each_awaited(self._driver, self._steps.search(words, chosen))

    async def facets(self, words: str, **chosen: Unpack[JournalFilter]) -> JournalFacets:
        """As `Journals.facets`."""
        return await self._driver.run(self._steps.facets(words, chosen))

    def export(self, **chosen: Unpack[JournalFilter]) -> AsyncGenerator[Journal, None]:
        """As `Journals.export`."""
        return each_awaited(self._driver, self._steps.export(chosen))
