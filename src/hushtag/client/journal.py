"""The journal of the blocking client."""

from collections.abc import Generator, Iterable
from datetime import date, datetime
from typing import Unpack
from uuid import UUID

from msgspec import UNSET, UnsetType

from hushtag.client.batches import each
from hushtag.client.drivers import SyncDriver
from hushtag.client.ids import id_of
from hushtag.client.journal_steps import JournalFilter, JournalSteps, tag_names
from hushtag.client.tag_steps import TagSteps
from hushtag.client.tags import JournalTags
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

__all__ = ["Journals"]


class Journals:
    """The journal of an account: `client.journal`.

        entry = client.journal.create("A walk", content="Along the river.", tags=["walks"])
        entry = client.journal.edit(entry, mood_rating=8)
        for found in client.journal.search("river"):
            print(found.journal.title)

    Entries are immutable. A change takes the entry as it was read and is refused with `VersionConflictError` if
    somebody else has changed it since: read it again and apply the change to that. Listings are fetched page by page
    while they are iterated over. The calls raise what every call of `Client` may.
    """

    def __init__(self, driver: SyncDriver, steps: JournalSteps, tags: TagSteps) -> None:
        self._driver = driver
        self._steps = steps
        self._tags = tags

    @property
    def tags(self) -> JournalTags:
        """The tags of the journal."""
        return JournalTags(self._driver, self._tags)

    def create(
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
        """Write an entry. Title of 1 to 500 characters, content up to 100,000, mood 1 to 10, up to 50 names of tags.

        The date is today's in the time zone of the settings unless it is given; tags that do not exist are made. The
        entry has an id made here (or `journal_id`), so it is stored once even if an answer is lost on the way.

        Raises:
            LimitError: a field is outside its limits; nothing was sent.
            ConflictError: an entry has that id already.
            LimitReachedError: the account has too many tags.
        """
        names = tag_names(tags)
        new = NewJournal(title, journal_id, content, mood_rating, is_private, entry_date, published_at, tags=names)
        return self._driver.run(self._steps.create(new))

    def create_many(self, entries: Iterable[NewJournal]) -> tuple[UUID, ...]:
        """Write up to 500 entries (8 MiB), all or none, and return their ids in order.

        Raises:
            LimitError: they are too many or too long, or a field is outside its limits; nothing was sent.
            ConflictError: an entry has one of their ids already; none was stored.
        """
        return self._driver.run(self._steps.create_many(entries))

    def get(self, journal_id: UUID) -> Journal:
        """Read an entry, deleted or not.

        Raises:
            NotFoundError: the account has no such entry.
        """
        return self._driver.run(self._steps.get(journal_id))

    def edit(
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
        """Change what is named and return the entry as it is then. None empties a field; `tags` replaces all of them.

        Raises:
            VersionConflictError: it was changed since it was read; nothing was changed now.
            NotFoundError: there is no such entry, or it is deleted.
            OutcomeUnknownError: the connection is gone and what became of the change is not known.
        """
        wanted = JournalChange(
            title=title,
            content=content,
            mood_rating=mood_rating,
            is_private=is_private,
            entry_date=entry_date,
            published_at=published_at,
            tags=tags if isinstance(tags, UnsetType) else tag_names(tags),
        )
        return self._driver.run(self._steps.edit(entry, wanted))

    def delete(self, entry: Journal | JournalSummary) -> None:
        """Delete an entry; `restore` brings it back until the server erases it.

        Raises:
            VersionConflictError, NotFoundError, OutcomeUnknownError: as for `edit`.
        """
        self._driver.run(self._steps.delete(entry))

    def restore(self, entry: Journal | JournalSummary | UUID) -> Journal:
        """Take a deletion back.

        Raises:
            NotFoundError: there is no such entry any more.
        """
        return self._driver.run(self._steps.restore(id_of(entry)))

    def erase(self, entry: Journal | JournalSummary | UUID) -> None:
        """Erase a deleted entry; nothing brings it back.

        Raises:
            NotFoundError: there is no such entry, or it is not deleted.
        """
        self._driver.run(self._steps.erase(id_of(entry)))

    def add_tag(self, entry: Journal | JournalSummary | UUID, tag: Tag | TagRef) -> None:
        """Give an entry a tag; the entry gets a new version.

        Raises:
            NotFoundError: there is no such entry or tag.
            LimitReachedError: the entry has 50 tags.
        """
        self._driver.run(self._steps.link(id_of(entry), id_of(tag)))

    def remove_tag(self, entry: Journal | JournalSummary | UUID, tag: Tag | TagRef) -> None:
        """Take a tag from an entry, which gets a new version.

        Raises:
            NotFoundError: the entry does not have it.
        """
        self._driver.run(self._steps.unlink(id_of(entry), id_of(tag)))

    def list(
        self, *, sort: str = "-entry_date", **chosen: Unpack[JournalFilter]
    ) -> Generator[JournalSummary, None, None]:
        """List entries with the beginning of their content.

        `sort`: entry_date, created_at, updated_at, title or mood_rating; with - in front for descending. `chosen`
        limits it: `start`, `end`, `mood_min`, `mood_max`, `tags`, `is_private`, `deleted`.
        """
        return each(self._driver, self._steps.list(sort, chosen))

    def search(self, words: str, **chosen: Unpack[JournalFilter]) -> Generator[JournalFound, None, None]:
        """Search title and content, the best match first, among the newest 1,000 matches.

        All words must occur; "a phrase", OR, and - for what must not. Snippets are HTML: escaped text with `<mark>`.
        """
        return each(self._driver, self._steps.search(words, chosen))

    def facets(self, words: str, **chosen: Unpack[JournalFilter]) -> JournalFacets:
        """Count the matches of a search by tag and by mood."""
        return self._driver.run(self._steps.facets(words, chosen))

    def export(self, **chosen: Unpack[JournalFilter]) -> Generator[Journal, None, None]:
        """Read whole entries by date, as the server streams them.

        Raises:
            TransportError: the connection broke; what came before is not everything.
        """
        return each(self._driver, self._steps.export(chosen))
