"""The journal's tags in the blocking client."""

from collections.abc import Generator
from uuid import UUID

from msgspec import UNSET, UnsetType

from hushtag.client.batches import each
from hushtag.client.drivers import SyncDriver
from hushtag.client.ids import id_of
from hushtag.client.tag_steps import TagSteps
from hushtag.journal_messages import NewJournalTag, Tag, TagChange, TagRef

__all__ = ["JournalTags"]


class JournalTags:
    """The tags of a journal: `client.journal.tags`. They are no secret tags, which are nowhere in here."""

    def __init__(self, driver: SyncDriver, steps: TagSteps) -> None:
        self._driver = driver
        self._steps = steps

    def create(self, name: str, *, color: str | None = None) -> Tag:
        """Make a tag; `color` like #3366cc.

        Raises:
            ConflictError: a tag has that name, whatever its case.
            LimitReachedError: the account has 1,000 tags.
        """
        return self._driver.run(self._steps.create(NewJournalTag(name, color)))

    def get(self, tag_id: UUID) -> Tag:
        """Read a tag.

        Raises:
            NotFoundError: the account has no such tag.
        """
        return self._driver.run(self._steps.get(tag_id))

    def list(self, *, sort: str = "name") -> Generator[Tag, None, None]:
        """List tags by `name`, or by `usage`, the most used first."""
        return each(self._driver, self._steps.list(sort))

    def suggest(self, prefix: str, *, limit: int = 10) -> tuple[Tag, ...]:
        """Return the tags that begin like this, then those that are spelled alike."""
        return self._driver.run(self._steps.suggest(prefix, limit))

    def edit(
        self, tag: Tag | TagRef | UUID, *, name: str | UnsetType = UNSET, color: str | UnsetType | None = UNSET
    ) -> Tag:
        """Rename or recolour a tag; every entry that has it gets a new version.

        Raises:
            ConflictError: another tag has that name.
            NotFoundError: the account has no such tag.
        """
        return self._driver.run(self._steps.edit(id_of(tag), TagChange(name, color)))

    def delete(self, tag: Tag | TagRef | UUID) -> None:
        """Delete a tag and take it from every entry; the entries stay.

        Raises:
            NotFoundError: the account has no such tag.
        """
        self._driver.run(self._steps.delete(id_of(tag)))

    def merge(self, tag: Tag | TagRef | UUID, into: Tag | TagRef | UUID) -> Tag:
        """Give every entry of `tag` the tag `into`, delete `tag`, and return the other.

        Raises:
            NotFoundError: the account lacks one of them.
        """
        return self._driver.run(self._steps.merge(id_of(tag), id_of(into)))
