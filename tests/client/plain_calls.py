"""Every call of the plain side, with an answer of the contract: what hostile answers are made from."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from hushtag.account_messages import (
    AccountSettings,
    AuditEntry,
    AuditPage,
    Consent,
    ConsentList,
    DeletionScheduled,
    EmailChangeAccepted,
    ReopenAccepted,
)
from hushtag.journal_messages import (
    Journal,
    JournalFacets,
    JournalFound,
    JournalList,
    JournalsCreated,
    JournalSearch,
    JournalSummary,
    JournalTagList,
    MoodFacet,
    NewJournal,
    Tag,
    TagFacet,
    TagRef,
    TagSuggestions,
)
from hushtag.messages import Account, Message
from hushtag.reminder_messages import (
    Feed,
    FeedOpened,
    OccurrenceList,
    Reminder,
    ReminderCompleted,
    ReminderList,
)
from tests.client.support import EMAIL, PASSWORD

ID = UUID("3f0c2a9e-5d0f-4b7e-9b1c-0d9a6a4f0b11")
NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)
_SHARED = {
    "id": ID,
    "title": "A walk",
    "mood_rating": 7,
    "is_private": False,
    "entry_date": NOW.date(),
    "word_count": 3,
    "tags": [TagRef(ID, "walks", None)],
    "version": 2,
    "created_at": NOW,
    "updated_at": NOW,
    "published_at": None,
    "deleted_at": NOW,
}
ENTRY = Journal(content="Along the river.", **_SHARED)  # type: ignore[arg-type]
SUMMARY = JournalSummary(excerpt="Along the river.", **_SHARED)  # type: ignore[arg-type]
TAG = Tag(id=ID, name="walks", color="#3366cc", usage_count=1, created_at=NOW, updated_at=NOW)
REMINDER = Reminder(
    id=ID,
    title="Tea",
    reminder_time=NOW,
    is_completed=False,
    priority=2,
    repeat_pattern="FREQ=DAILY",
    time_zone="UTC",
    series_id=ID,
    status="due",
    version=1,
    created_at=NOW,
    updated_at=NOW,
)
FACETS = JournalFacets([TagFacet(ID, "walks", 1)], [MoodFacet(mood_rating=7, count=1)])
SEARCH = JournalSearch(results=[JournalFound(SUMMARY, 0.5, "A walk", "the <mark>river</mark>")], facets=FACETS)
CONSENT = Consent(id=ID, document="terms", version="1", created_at=NOW)
AUDIT = AuditEntry(
    id=ID,
    action="UPDATE",
    table_name="users",
    record_id=ID,
    old_values={"a": 1},
    new_values={"a": 2},
    created_at=NOW,
)
SETTINGS = AccountSettings()


class Call(NamedTuple):
    """A call, and the status and message of an answer of the contract; None for no content."""

    make: Callable[[Any], Any]
    status: int
    answer: Message | Callable[[Any], Message] | None
    kind: str = "application/json"


def few(found: Any) -> list[Any]:
    return list(islice(found, 3))


def account_of(client: Any) -> Message:
    session = client.session
    return Account(
        user_id=session.user_id,
        email=EMAIL,
        first_name="Ada",
        created_at=NOW,
        last_login=NOW,
        suite=session.suite,
        phrase_salt=session.phrase_salt,
    )


CALLS: dict[str, Call] = {
    "journal.create": Call(lambda client: client.journal.create("A walk", journal_id=ID), 201, ENTRY),
    "journal.create_many": Call(
        lambda client: client.journal.create_many([NewJournal("A walk", id=ID)]), 201, JournalsCreated([ID])
    ),
    "journal.get": Call(lambda client: client.journal.get(ID), 200, ENTRY),
    "journal.edit": Call(lambda client: client.journal.edit(ENTRY, title="A walk"), 200, ENTRY),
    "journal.delete": Call(lambda client: client.journal.delete(ENTRY), 204, None),
    "journal.restore": Call(lambda client: client.journal.restore(ENTRY), 200, ENTRY),
    "journal.erase": Call(lambda client: client.journal.erase(ID), 204, None),
    "journal.add_tag": Call(lambda client: client.journal.add_tag(ENTRY, TAG), 204, None),
    "journal.remove_tag": Call(lambda client: client.journal.remove_tag(ENTRY, TAG), 204, None),
    "journal.list": Call(lambda client: few(client.journal.list(tags=["a"])), 200, JournalList([SUMMARY])),
    "journal.search": Call(lambda client: few(client.journal.search("river")), 200, SEARCH),
    "journal.facets": Call(lambda client: client.journal.facets("river"), 200, SEARCH),
    "journal.export": Call(lambda client: few(client.journal.export()), 200, ENTRY, "application/x-ndjson"),
    "journal.tags.create": Call(lambda client: client.journal.tags.create("walks"), 201, TAG),
    "journal.tags.get": Call(lambda client: client.journal.tags.get(ID), 200, TAG),
    "journal.tags.list": Call(lambda client: few(client.journal.tags.list()), 200, JournalTagList([TAG])),
    "journal.tags.suggest": Call(lambda client: client.journal.tags.suggest("w"), 200, TagSuggestions([TAG])),
    "journal.tags.edit": Call(lambda client: client.journal.tags.edit(TAG, color=None), 200, TAG),
    "journal.tags.delete": Call(lambda client: client.journal.tags.delete(ID), 204, None),
    "journal.tags.merge": Call(lambda client: client.journal.tags.merge(UUID(int=1), ID), 200, TAG),
    "reminders.create": Call(lambda client: client.reminders.create("Tea", NOW, reminder_id=ID), 201, REMINDER),
    "reminders.get": Call(lambda client: client.reminders.get(ID), 200, REMINDER),
    "reminders.edit": Call(lambda client: client.reminders.edit(REMINDER, title="Tea"), 200, REMINDER),
    "reminders.list": Call(lambda client: few(client.reminders.list()), 200, ReminderList([REMINDER])),
    "reminders.complete": Call(
        lambda client: client.reminders.complete(ID), 200, ReminderCompleted(REMINDER, REMINDER)
    ),
    "reminders.reopen": Call(lambda client: client.reminders.reopen(REMINDER), 200, REMINDER),
    "reminders.snooze": Call(lambda client: client.reminders.snooze(ID, minutes=5), 200, REMINDER),
    "reminders.delete": Call(lambda client: client.reminders.delete(REMINDER), 204, None),
    "reminders.occurrences": Call(lambda client: client.reminders.occurrences(ID), 200, OccurrenceList([NOW])),
    "reminders.events": Call(lambda client: few(client.reminders.events(wait=0)), 200, REMINDER, "text/event-stream"),
    "reminders.open_feed": Call(lambda client: client.reminders.open_feed(), 201, FeedOpened("/v1/feeds/abc.ics", NOW)),
    "reminders.feed": Call(lambda client: client.reminders.feed(), 200, Feed(NOW, NOW)),
    "reminders.close_feed": Call(lambda client: client.reminders.close_feed(), 204, None),
    "profile.edit": Call(lambda client: client.profile.edit(first_name="Ada"), 200, account_of),
    "profile.settings": Call(lambda client: client.profile.settings(), 200, SETTINGS),
    "profile.change_settings": Call(lambda client: client.profile.change_settings(theme="dark"), 200, SETTINGS),
    "profile.change_email": Call(
        lambda client: client.profile.change_email(PASSWORD, EMAIL), 202, EmailChangeAccepted()
    ),
    "profile.deactivate": Call(lambda client: client.profile.deactivate(PASSWORD), 204, None),
    "profile.delete": Call(lambda client: client.profile.delete(PASSWORD), 202, DeletionScheduled(NOW)),
    "profile.reactivate": Call(lambda client: client.profile.reactivate(EMAIL, PASSWORD), 202, ReopenAccepted()),
    "profile.restore": Call(lambda client: client.profile.restore(EMAIL, PASSWORD), 202, ReopenAccepted()),
    "profile.give_consent": Call(lambda client: client.profile.give_consent("terms", "1"), 201, CONSENT),
    "profile.consents": Call(lambda client: few(client.profile.consents()), 200, ConsentList([CONSENT])),
    "profile.audit": Call(lambda client: few(client.profile.audit()), 200, AuditPage([AUDIT])),
}


def body_of(kind: str, value: Any) -> bytes:
    """Return a message, or anything in its place, as an answer of this kind carries it."""
    encoded = msgspec.json.encode(value)
    if kind == "text/event-stream":
        return b"id: 0123-1\nevent: reminder\ndata: " + encoded + b"\n\n"
    return encoded + b"\n" if kind == "application/x-ndjson" else encoded
