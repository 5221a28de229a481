"""Steps of the journal: write, read, edit, delete, list, search and export entries."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Final, TypedDict
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET

from hushtag.client.account_steps import AccountSteps
from hushtag.client.answers import encode, expect, expect_nothing
from hushtag.client.batches import Lines, Pages
from hushtag.client.calls import fetch
from hushtag.client.changes import Versioned, create, delete, edit, if_match
from hushtag.client.effects import Request, Steps, exchange
from hushtag.client.ids import id_of, uuid_of
from hushtag.client.policy import MAX_PAGE_BYTES
from hushtag.errors import LimitError, MalformedError, MisuseError
from hushtag.journal_messages import (
    MAX_BULK_BYTES,
    MAX_BULK_JOURNALS,
    MAX_JOURNAL_BYTES,
    Journal,
    JournalChange,
    JournalFacets,
    JournalFound,
    JournalList,
    JournalsCreated,
    JournalSearch,
    JournalSummary,
    NewJournal,
    NewJournals,
)

__all__ = ["JournalFilter", "JournalSteps", "id_of", "tag_names"]

_PATH: Final = "/v1/journals"


class JournalFilter(TypedDict, total=False):
    """What a listing, a search or an export is limited to; all of it must hold."""

    start: date
    """The first entry date."""
    end: date
    """The last entry date."""
    mood_min: int
    mood_max: int
    """Either leaves out entries without a mood."""
    tags: Sequence[str]
    """Names of tags, at most 10; an entry must have them all."""
    is_private: bool
    deleted: bool | None
    """True: only deleted entries; None: those as well. By default they are left out."""


def tag_names(given: Iterable[str]) -> list[str]:
    """Return the names of tags.

    Raises:
        MisuseError: it is one text, whose characters would be tags, or nothing that holds several.
    """
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise MisuseError(f"tags are several names, such as a list of them, not {type(given).__name__}")
    return list(given)


def _check_types(chosen: JournalFilter) -> None:
    for name in ("start", "end"):
        day = chosen.get(name, date.min)
        if not isinstance(day, date) or isinstance(day, datetime):
            raise MisuseError(f"{name} is a date, not {type(day).__name__}")
    for name in ("is_private", "deleted"):
        given = chosen.get(name, False)
        if not isinstance(given, bool) and (name, given) != ("deleted", None):
            raise MisuseError(f"{name} is a bool{' or None' * (name == 'deleted')}, not {type(given).__name__}")


def _query(chosen: JournalFilter) -> dict[str, str | Sequence[str]]:
    for name in chosen.keys() - JournalFilter.__optional_keys__:
        # Only a type checker knows the keywords of a filter; one that limits nothing would show, or export, too much.
        raise TypeError(f"a filter of the journal has no keyword argument {name!r}")
    _check_types(chosen)
    texts = {
        "from": chosen["start"].isoformat() if "start" in chosen else None,
        "to": chosen["end"].isoformat() if "end" in chosen else None,
        "mood_min": str(chosen["mood_min"]) if "mood_min" in chosen else None,
        "mood_max": str(chosen["mood_max"]) if "mood_max" in chosen else None,
        "private": str(chosen["is_private"]).lower() if "is_private" in chosen else None,
        "deleted": {True: "true", None: "any", False: None}[chosen.get("deleted", False)],
    }
    query: dict[str, str | Sequence[str]] = {name: text for name, text in texts.items() if text is not None}
    return query | ({"tag": tag_names(chosen["tags"])} if "tags" in chosen else {})


def _folded(names: Iterable[str]) -> set[str]:
    return {unicodedata.normalize("NFC", name).strip().casefold() for name in names}


def _has(entry: Journal, wanted: JournalChange) -> bool:
    """Tell whether an entry is as a change would have made it."""
    for name in JournalChange.__struct_fields__:
        value = getattr(wanted, name)
        if value is UNSET:
            continue
        if name == "tags":
            if _folded(tag.name for tag in entry.tags) != _folded(value):
                return False
        elif getattr(entry, name) != value:
            return False
    return True


class JournalSteps:
    """The journal of one account."""

    def __init__(self, account: AccountSteps) -> None:
        self._account = account

    @property
    def _token(self) -> str:
        return self._account.current().token

    def create(self, new: NewJournal) -> Steps[Journal]:
        """Write an entry, once however often it is sent."""
        journal_id = uuid_of(new.id or uuid4())
        sent = msgspec.structs.replace(new, id=journal_id)
        body = encode(sent, MAX_JOURNAL_BYTES)
        request = Request("POST", _PATH, self._token, body, "application/json", max_answer=MAX_JOURNAL_BYTES)

        def attempt() -> Steps[Journal]:
            return _entry(expect((yield from exchange(request)), (201,), Journal), journal_id)

        def recall() -> Steps[Journal | None]:
            found = yield from self.get(journal_id)
            return found if (found.title, found.content) == (sent.title, sent.content) else None

        return (yield from create(attempt, recall, self._account.retry, drawn=new.id is None))

    def create_many(self, entries: Iterable[NewJournal]) -> Steps[tuple[UUID, ...]]:
        """Write entries, all or none."""
        given = list(entries)
        for entry in given:
            if not isinstance(entry, NewJournal):
                raise MisuseError(f"entries are NewJournal, not {type(entry).__name__}")
        sent = [msgspec.structs.replace(entry, id=uuid_of(entry.id or uuid4())) for entry in given]
        if len(sent) > MAX_BULK_JOURNALS:
            raise LimitError(f"{len(sent)} entries at once, at most {MAX_BULK_JOURNALS}")
        if not sent:
            return ()
        ids = tuple(entry.id for entry in sent if entry.id is not None)
        body = encode(NewJournals(sent), MAX_BULK_BYTES)
        request = Request("POST", f"{_PATH}/bulk", self._token, body, "application/json")

        def attempt() -> Steps[tuple[UUID, ...]]:
            created = expect((yield from exchange(request)), (201,), JournalsCreated).created
            if tuple(created) != ids:
                raise MalformedError("answer names other entries than were sent")
            return ids

        def recall() -> Steps[tuple[UUID, ...] | None]:
            # They are stored together: as one of them is there, so are all.
            found = yield from self.get(ids[0])
            return ids if found.title == sent[0].title else None

        return (yield from create(attempt, recall, self._account.retry, drawn=given[0].id is None))

    def get(self, journal_id: UUID) -> Steps[Journal]:
        """Read an entry."""
        journal_id = uuid_of(journal_id)
        request = Request("GET", f"{_PATH}/{journal_id}", self._token, max_answer=MAX_JOURNAL_BYTES)
        return _entry(expect((yield from fetch(request, self._account.retry)), (200,), Journal), journal_id)

    def edit(self, read: Versioned, wanted: JournalChange) -> Steps[Journal]:
        """Change an entry that still is as it was read."""
        request = Request(
            "PATCH",
            f"{_PATH}/{id_of(read)}",
            self._token,
            encode(wanted, MAX_JOURNAL_BYTES),
            "application/json",
            if_match(read, Journal, JournalSummary),
            max_answer=MAX_JOURNAL_BYTES,
        )

        def attempt() -> Steps[Journal]:
            return _entry(expect((yield from exchange(request)), (200,), Journal), read.id)

        return (
            yield from edit(
                attempt,
                lambda: self.get(read.id),
                lambda found: _has(found, wanted),
                self._account.retry,
                read.version,
            )
        )

    def delete(self, read: Versioned) -> Steps[None]:
        """Delete an entry that still is as it was read."""
        request = Request(
            "DELETE", f"{_PATH}/{id_of(read)}", self._token, headers=if_match(read, Journal, JournalSummary)
        )

        def attempt() -> Steps[None]:
            expect_nothing((yield from exchange(request)))

        yield from delete(
            attempt,
            lambda: self.get(read.id),
            self._account.retry,
            read.version,
            lambda found: found.deleted_at is not None,
        )

    def restore(self, journal_id: UUID) -> Steps[Journal]:
        """Take a deletion back; sent twice, it restores once."""
        journal_id = uuid_of(journal_id)
        request = Request("POST", f"{_PATH}/{journal_id}/restore", self._token, max_answer=MAX_JOURNAL_BYTES)
        return _entry(expect((yield from fetch(request, self._account.retry)), (200,), Journal), journal_id)

    def erase(self, journal_id: UUID) -> Steps[None]:
        """Erase a deleted entry."""
        yield from self._account.remove(f"{_PATH}/{uuid_of(journal_id)}/permanently")

    def link(self, journal_id: UUID, tag_id: UUID) -> Steps[None]:
        """Give an entry a tag."""
        request = Request("PUT", f"{_PATH}/{uuid_of(journal_id)}/tags/{uuid_of(tag_id)}", self._token)
        expect_nothing((yield from fetch(request, self._account.retry)))

    def unlink(self, journal_id: UUID, tag_id: UUID) -> Steps[None]:
        """Take a tag from an entry."""
        yield from self._account.remove(f"{_PATH}/{uuid_of(journal_id)}/tags/{uuid_of(tag_id)}")

    def list(self, sort: str, chosen: JournalFilter) -> Pages[JournalList, JournalSummary]:
        """List entries."""
        query = {"sort": sort, **_query(chosen)}
        return Pages(
            _PATH, self._token, JournalList, lambda page: (page.journals, page.next), self._account.retry, query
        )

    def search(self, words: str, chosen: JournalFilter) -> Pages[JournalSearch, JournalFound]:
        """Search entries."""
        path, query = f"{_PATH}/search", {"q": words, **_query(chosen)}
        return Pages(
            path, self._token, JournalSearch, lambda page: (page.results, page.next), self._account.retry, query
        )

    def facets(self, words: str, chosen: JournalFilter) -> Steps[JournalFacets]:
        """Count the matches of a search."""
        query = {"q": words, "limit": "1", **_query(chosen)}
        request = Request("GET", f"{_PATH}/search", self._token, query=query, max_answer=MAX_PAGE_BYTES)
        return expect((yield from fetch(request, self._account.retry)), (200,), JournalSearch).facets

    def export(self, chosen: JournalFilter) -> Lines[Journal]:
        """Read whole entries one after the other."""
        request = Request(
            "GET",
            f"{_PATH}/export",
            self._token,
            headers={"Accept": "application/x-ndjson, application/problem+json"},
            query=_query(chosen),
        )
        return Lines(request, Journal, self._account.retry, MAX_JOURNAL_BYTES)


def _entry(found: Journal, journal_id: UUID) -> Journal:
    if found.id != journal_id:
        raise MalformedError("answer is another entry than the one asked for")
    return found
