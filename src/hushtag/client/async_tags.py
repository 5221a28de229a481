"""The journal's tags in the client for an event loop."""

from collections.abc import AsyncGenerator
from uuid import UUID

from msgspec import UNSET, UnsetType

from hushtag.client.batches import each_awaited
from hushtag.client.drivers import AsyncDriver
from hushtag.client.ids import id_of
from hushtag.client.tag_steps import TagSteps
from hushtag.journal_messages import NewJournalTag, Tag, TagChange, TagRef

__all__ = ["AsyncJournalTags"]


class AsyncJournalTags:
    """`JournalTags` for an event loop: the same calls, arguments and errors, awaited; listings with `async for`."""

    def __init__(self, driver: AsyncDriver, steps: TagSteps) -> None:
        self._driver = driver
        self._steps = steps

    async def create(self, name: str, *, color: str | None = None) -> Tag:
        """As `JournalTags.create`."""
        return await self._driver.run(self._steps.create(NewJournalTag(name, color)))

    async def get(self, tag_id: UUID) -> Tag:
        """As `JournalTags.get`."""
        return await self._driver.run(self._steps.get(tag_id))

    def list(self, *, sort: str = "name") -> AsyncGenerator[Tag, None]:
        """As `JournalTags.list`."""
        return each_awaited(self._driver, self._steps.list(sort))

    async def suggest(self, prefix: str, *, limit: int = 10) -> tuple[Tag, ...]:
        """As `JournalTags.suggest`."""
        return await self._driver.run(self._steps.suggest(prefix, limit))

    async def edit(
        self, tag: Tag | TagRef | UUID, *, name: str | UnsetType = UNSET, color: str | UnsetType | None = UNSET
    ) -> Tag:
        """As `JournalTags.edit`."""
        return await self._driver.run(self._steps.edit(id_of(tag), TagChange(name, color)))

    async def delete(self, tag: Tag | TagRef | UUID) -> None:
        """As `JournalTags.delete`."""
        await self._driver.run(self._steps.delete(id_of(tag)))

    async def merge(self, tag: Tag | TagRef | UUID, into: Tag | TagRef | UUID) -> Tag:
        """As `JournalTags.merge`."""
        return await self._driver.run(self._steps.merge(id_of(tag), id_of(into)))
