"""Steps of reminders: make, read, edit, complete, put off, and the calendar feed."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET

from hushtag.client.account_steps import AccountSteps
from hushtag.client.answers import encode, expect, expect_nothing
from hushtag.client.batches import Pages
from hushtag.client.calls import fetch
from hushtag.client.changes import Versioned, create, delete, edit, if_match
from hushtag.client.contents import FeedAddress
from hushtag.client.due_events import DueEvents, Place
from hushtag.client.effects import Request, Steps, exchange
from hushtag.client.ids import id_of, uuid_of
from hushtag.errors import MalformedError
from hushtag.reminder_messages import (
    Feed,
    FeedOpened,
    NewReminder,
    OccurrenceList,
    Reminder,
    ReminderChange,
    ReminderCompleted,
    ReminderList,
    Snooze,
)

__all__ = ["ReminderSteps"]

_PATH: Final = "/v1/reminders"
_FEED: Final = f"{_PATH}/feed"
_MAX_ANSWER: Final = 256 * 1024
"""Bytes of an answer with one reminder or two: every character of a description may be escaped."""
_ADDRESS: Final = re.compile(r"/v1/feeds/[A-Za-z0-9_-]{1,128}\.ics")


class ReminderSteps:
    """The reminders of one account."""

    def __init__(self, account: AccountSteps) -> None:
        self._account = account
        self._place = Place()

    @property
    def _token(self) -> str:
        return self._account.current().token

    def create(self, new: NewReminder) -> Steps[Reminder]:
        """Make a reminder, once however often it is sent."""
        reminder_id = uuid_of(new.id or uuid4())
        sent = msgspec.structs.replace(new, id=reminder_id)
        request = Request("POST", _PATH, self._token, encode(sent), "application/json", max_answer=_MAX_ANSWER)

        def attempt() -> Steps[Reminder]:
            return _reminder(expect((yield from exchange(request)), (201,), Reminder), reminder_id)

        def recall() -> Steps[Reminder | None]:
            found = yield from self.get(reminder_id)
            return found if (found.title, found.reminder_time) == (sent.title, sent.reminder_time) else None

        return (yield from create(attempt, recall, self._account.retry, drawn=new.id is None))

    def get(self, reminder_id: UUID) -> Steps[Reminder]:
        """Read a reminder."""
        reminder_id = uuid_of(reminder_id)
        request = Request("GET", f"{_PATH}/{reminder_id}", self._token, max_answer=_MAX_ANSWER)
        return _reminder(expect((yield from fetch(request, self._account.retry)), (200,), Reminder), reminder_id)

    def edit(self, read: Versioned, wanted: ReminderChange) -> Steps[Reminder]:
        """Change a reminder that still is as it was read."""
        path, body = f"{_PATH}/{id_of(read)}", encode(wanted)
        request = Request(
            "PATCH", path, self._token, body, "application/json", if_match(read, Reminder), max_answer=_MAX_ANSWER
        )

        def attempt() -> Steps[Reminder]:
            return _reminder(expect((yield from exchange(request)), (200,), Reminder), read.id)

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
        """Delete a reminder that still is as it was read."""
        request = Request("DELETE", f"{_PATH}/{id_of(read)}", self._token, headers=if_match(read, Reminder))

        def attempt() -> Steps[None]:
            expect_nothing((yield from exchange(request)))

        yield from delete(attempt, lambda: self.get(read.id), self._account.retry, read.version)

    def complete(self, reminder_id: UUID) -> Steps[ReminderCompleted]:
        """Complete a reminder; sent twice, it makes one successor."""
        request = Request("POST", f"{_PATH}/{reminder_id}/complete", self._token, max_answer=_MAX_ANSWER)
        done = expect((yield from fetch(request, self._account.retry)), (200,), ReminderCompleted)
        _reminder(done.reminder, reminder_id)
        return done

    def reopen(self, reminder_id: UUID) -> Steps[Reminder]:
        """Make a reminder one that is still to be done."""
        request = Request("POST", f"{_PATH}/{reminder_id}/reopen", self._token, max_answer=_MAX_ANSWER)
        return _reminder(expect((yield from fetch(request, self._account.retry)), (200,), Reminder), reminder_id)

    def snooze(self, reminder_id: UUID, wish: Snooze) -> Steps[Reminder]:
        """Put a reminder off; sent twice, minutes count from the second."""
        path = f"{_PATH}/{reminder_id}/snooze"
        request = Request("POST", path, self._token, encode(wish), "application/json", max_answer=_MAX_ANSWER)
        return _reminder(expect((yield from fetch(request, self._account.retry)), (200,), Reminder), reminder_id)

    def occurrences(self, reminder_id: UUID, limit: int) -> Steps[tuple[datetime, ...]]:
        """Return when a reminder happens next."""
        request = Request("GET", f"{_PATH}/{reminder_id}/occurrences", self._token, query={"limit": str(limit)})
        return tuple(expect((yield from fetch(request, self._account.retry)), (200,), OccurrenceList).occurrences)

    def list(self, status: str, sort: str) -> Pages[ReminderList, Reminder]:
        """List reminders."""
        query: dict[str, str | Sequence[str]] = {"status": status, "sort": sort}
        return Pages(
            _PATH, self._token, ReminderList, lambda page: (page.reminders, page.next), self._account.retry, query
        )

    def events(self, wait: int | None) -> DueEvents:
        """Hear of due reminders, from where an iterator was left that went on no further."""
        return DueEvents(self._token, self._account.retry, wait, self._place)

    def open_feed(self) -> Steps[FeedAddress]:
        """Make a new address of the feed. Sent once: a second one would make the first one's answer worthless."""
        opened = expect((yield from exchange(Request("POST", _FEED, self._token))), (201,), FeedOpened)
        if not _ADDRESS.fullmatch(opened.url_path):
            raise MalformedError("answer is no address of a feed")
        return FeedAddress(self._account.server + opened.url_path, opened.created_at)

    def feed(self) -> Steps[Feed]:
        """Tell about the feed."""
        return expect((yield from fetch(Request("GET", _FEED, self._token), self._account.retry)), (200,), Feed)

    def close_feed(self) -> Steps[None]:
        """Revoke the feed's address."""
        yield from self._account.remove(_FEED)


def _reminder(found: Reminder, reminder_id: UUID) -> Reminder:
    if found.id != reminder_id:
        raise MalformedError("answer is another reminder than the one asked for")
    return found


def _has(reminder: Reminder, wanted: ReminderChange) -> bool:
    """Tell whether a reminder is as a change would have made it."""
    for name in ReminderChange.__struct_fields__:
        value, kept = getattr(wanted, name), getattr(reminder, name)
        if name == "repeat_pattern" and isinstance(value, str):
            value = value.upper()
        if value is not UNSET and value != kept:
            return False
    return True
