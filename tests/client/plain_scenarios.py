"""The plain side as a client uses it: journal, tags, reminders, profile. Run on the real server, with both clients."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

import httpx
import pytest

from hushtag.client import (
    ConflictError,
    LimitReachedError,
    LoginError,
    NotFoundError,
    NotLoggedInError,
    ServerError,
    SessionExpiredError,
    VersionConflictError,
)
from hushtag.errors import LimitError
from hushtag.journal_messages import MAX_BULK_JOURNALS, NewJournal
from tests.client.support import PASSWORD, Connect, new_account
from tests.coming import COMING, last_sunday

SOME_DAY = datetime(COMING, 3, 28, 9, 0, tzinfo=UTC)


def an_entry_is_written_edited_deleted_and_restored(connect: Connect) -> None:
    client, _ = new_account(connect)
    journal = client.journal
    entry = journal.create(
        "A walk",
        content="Along the river, twice around.",
        mood_rating=7,
        is_private=True,
        entry_date=date(2026, 3, 29),
        published_at=datetime(2026, 3, 30, 8, 0, tzinfo=UTC),
        tags=["walks", "River"],
    )
    assert (entry.version, entry.word_count, entry.mood_rating, entry.is_private) == (1, 5, 7, True)
    assert {tag.name for tag in entry.tags} == {"walks", "River"}
    assert journal.get(entry.id) == entry
    edited = journal.edit(entry, title="A long walk", mood_rating=None, tags=["walks"])
    assert (edited.title, edited.mood_rating, edited.content) == ("A long walk", None, entry.content)
    assert [tag.name for tag in edited.tags] == ["walks"]
    assert edited.version > entry.version
    with pytest.raises(VersionConflictError, match="read it again"):
        journal.edit(entry, title="lost?")
    with pytest.raises(VersionConflictError):
        journal.delete(entry)
    assert journal.get(entry.id).title == "A long walk"
    journal.delete(edited)
    assert list(journal.list()) == []
    with pytest.raises(NotFoundError):
        journal.edit(edited, title="gone")
    assert [found.id for found in journal.list(deleted=True)] == [entry.id]
    restored = journal.restore(entry.id)
    assert restored.deleted_at is None
    with pytest.raises(NotFoundError):
        journal.erase(restored)
    journal.delete(restored)
    journal.erase(restored)
    with pytest.raises(NotFoundError):
        journal.get(entry.id)


def two_clients_on_one_entry_lose_nothing(connect: Connect) -> None:
    client, email = new_account(connect)
    other = connect()
    other.log_in(email, PASSWORD)
    here = client.journal.create("Ours", content="first")
    there = other.journal.get(here.id)
    other.journal.edit(there, content="theirs")
    with pytest.raises(VersionConflictError):
        client.journal.edit(here, content="mine, unread")
    again = client.journal.get(here.id)
    merged = client.journal.edit(again, content=f"{again.content} and mine")
    assert merged.content == "theirs and mine"


def entries_are_listed_filtered_and_searched(connect: Connect) -> None:
    client, _ = new_account(connect)
    journal = client.journal
    entries = [
        NewJournal(
            f"Day {day:03}",
            content="quiet evening" if day % 2 else "a storm over the café",
            mood_rating=1 + day % 10,
            is_private=day % 3 == 0,
            entry_date=date(2026, 1, 1) + timedelta(days=day),
            tags=["odd" if day % 2 else "even"],
        )
        for day in range(120)
    ]
    ids = journal.create_many(entries)
    assert len(set(ids)) == 120
    listed = list(journal.list(sort="entry_date"))  # three pages
    assert [entry.id for entry in listed] == list(ids)
    assert [entry.title for entry in islice(journal.list(), 2)] == ["Day 119", "Day 118"]
    within = {"start": date(2026, 1, 10), "end": date(2026, 1, 12)}
    assert [entry.title for entry in journal.list(sort="title", **within)] == ["Day 009", "Day 010", "Day 011"]
    assert {entry.mood_rating for entry in journal.list(mood_min=9, mood_max=10)} == {9, 10}
    assert all(entry.is_private for entry in journal.list(is_private=True))
    assert len(list(journal.list(tags=["ODD"]))) == 60
    assert list(journal.list(tags=["odd", "even"])) == []
    found = list(journal.search("cafe -quiet", mood_max=4))
    assert found
    assert all("<mark>" in (match.content_snippet or "") for match in found)
    facets = journal.facets("storm OR quiet")
    assert {facet.name: facet.count for facet in facets.tags} == {"odd": 60, "even": 60}
    exported = list(journal.export(tags=["even"]))
    assert [entry.title for entry in exported] == [f"Day {day:03}" for day in range(0, 120, 2)]
    assert exported[0].content == "a storm over the café"


def what_is_beyond_the_limits_is_refused_here_or_named(connect: Connect) -> None:
    client, _ = new_account(connect)
    with pytest.raises(LimitError):
        client.journal.create("x" * 501)
    with pytest.raises(LimitError):
        client.journal.create_many([NewJournal("x")] * (MAX_BULK_JOURNALS + 1))
    assert client.journal.create_many([]) == ()
    known = client.journal.create("one")
    with pytest.raises(ConflictError):
        client.journal.create("two", journal_id=known.id)
    with pytest.raises(ConflictError):
        client.journal.create_many([NewJournal("three"), NewJournal("four", id=known.id)])
    assert [entry.title for entry in client.journal.list()] == ["one"]
    with pytest.raises(ServerError) as caught:
        client.reminders.create("x", datetime.now(UTC) + timedelta(days=1), repeat_pattern="FREQ=NEVER")
    assert caught.value.fields[0].field == "$.repeat_pattern"
    with pytest.raises(LimitError):
        client.reminders.create("x", datetime(COMING, 1, 1))  # noqa: DTZ001 - without a zone, which is the point
    with pytest.raises(ServerError) as caught:
        client.profile.change_settings(time_zone="Europe/Atlantis")
    assert "IANA" in caught.value.fields[0].rule
    tag = client.journal.tags.create("last")
    for number in range(50):
        client.journal.add_tag(known, client.journal.tags.create(str(number)))
    with pytest.raises(LimitReachedError):
        client.journal.add_tag(known, tag)


def tags_are_kept(connect: Connect) -> None:
    client, _ = new_account(connect)
    tags = client.journal.tags
    river = tags.create("River", color="#3366CC")
    with pytest.raises(ConflictError):
        tags.create("river")
    entry = client.journal.create("A walk", tags=["river", "walks"])
    assert {tag.name: tag.usage_count for tag in tags.list()} == {"River": 1, "walks": 1}
    walks = next(tag for tag in tags.list() if tag.name == "walks")
    assert tags.get(river.id).usage_count == 1
    assert tags.edit(river, name="Rivers", color=None).color is None
    assert [tag.name for tag in tags.suggest("riv")] == ["Rivers"]
    assert tags.merge(walks, into=river).usage_count == 1
    assert [tag.name for tag in client.journal.get(entry.id).tags] == ["Rivers"]
    client.journal.remove_tag(entry.id, river)
    with pytest.raises(NotFoundError):
        client.journal.remove_tag(entry.id, river)
    client.journal.add_tag(entry, river)
    assert next(iter(tags.list(sort="usage"))).usage_count == 1
    tags.delete(river)
    with pytest.raises(NotFoundError):
        tags.get(river.id)


def reminders_are_made_edited_completed_and_put_off(connect: Connect) -> None:
    client, _ = new_account(connect)
    reminders = client.reminders
    client.profile.change_settings(time_zone="Europe/Berlin")
    first = datetime.combine(last_sunday(3) - timedelta(days=2), time(9), UTC)
    plants = reminders.create("Plants", first, repeat_pattern="FREQ=DAILY", priority=4, description="all of them")
    assert (plants.time_zone, plants.status, plants.priority) == ("Europe/Berlin", "pending", 4)
    # The wall clock stays: on the third day summer time begins.
    days = reminders.occurrences(plants, limit=3)
    assert [moment.astimezone(UTC).hour for moment in days] == [9, 9, 8]
    edited = reminders.edit(plants, title="Water the plants", description=None)
    assert (edited.title, edited.description) == ("Water the plants", None)
    with pytest.raises(VersionConflictError):
        reminders.edit(plants, title="lost?")
    with pytest.raises(VersionConflictError):
        reminders.delete(plants)
    done = reminders.complete(edited)
    assert done.reminder.is_completed
    assert done.successor is not None
    assert reminders.complete(plants.id) == done
    assert [each.id for each in reminders.list(status="done")] == [plants.id]
    assert [each.id for each in reminders.list(status="pending")] == [done.successor.id]
    assert not reminders.reopen(plants.id).is_completed
    assert reminders.snooze(done.successor, minutes=5).snoozed_until is not None
    until = datetime(COMING + 1, 1, 1, tzinfo=UTC)
    assert reminders.snooze(done.successor, until=until).snoozed_until == until
    with pytest.raises(ServerError):
        reminders.snooze(done.successor)
    reminders.delete(reminders.get(plants.id))
    with pytest.raises(NotFoundError):
        reminders.get(plants.id)


def due_reminders_come_once_to_a_session(connect: Connect) -> None:
    client, _ = new_account(connect)
    soon = datetime.now(UTC) + timedelta(seconds=4)
    made = [client.reminders.create(f"number {number}", soon) for number in range(3)]
    arrived = list(islice(client.reminders.events(), 3))  # waits for them
    assert {reminder.id for reminder in arrived} == {reminder.id for reminder in made}
    assert {reminder.status for reminder in arrived} == {"due"}
    assert list(client.reminders.events(wait=0)) == []


def the_calendar_feed_is_opened_and_revoked(connect: Connect) -> None:
    client, _ = new_account(connect)
    with pytest.raises(NotFoundError):
        client.reminders.feed()
    client.reminders.create("Plants", SOME_DAY)
    address = client.reminders.open_feed()
    assert address.url not in repr(address)
    assert "SUMMARY:Plants" in httpx.get(address.url).text
    assert client.reminders.feed().created_at == address.created_at
    client.reminders.close_feed()
    assert httpx.get(address.url).status_code == 404
    with pytest.raises(NotFoundError):
        client.reminders.close_feed()


def the_profile_is_kept_and_what_happened_to_it(connect: Connect) -> None:
    client, email = new_account(connect)
    profile = client.profile
    assert profile.settings().time_zone == "UTC"
    assert profile.change_settings(language="german", theme="dark").language == "german"
    assert profile.edit(first_name="Ada", last_name="L").first_name == "Ada"
    assert profile.edit(last_name=None).last_name is None
    assert client.account().first_name == "Ada"
    consent = profile.give_consent("terms", "2026-01")
    assert list(profile.consents()) == [consent]
    for number in range(60):
        profile.edit(first_name=f"Ada {number}")
    trail = list(profile.audit(table="users", action="UPDATE"))  # two pages
    assert len(trail) >= 61
    assert trail[0].new_values == {"first_name": "Ada 59"}
    assert next(profile_audit(profile, action="LOGIN")).table_name
    other = connect()
    other.log_in(email, PASSWORD)
    with pytest.raises(LoginError):
        profile.change_email("not the password", f"new-{email}")
    profile.change_email(PASSWORD, f"new-{email}")
    with pytest.raises(SessionExpiredError):
        other.account()
    other.log_in(f"new-{email}", PASSWORD)
    assert client.account().email == f"new-{email}"


def profile_audit(profile: Any, **chosen: Any) -> Any:
    return iter(profile.audit(**chosen))


def a_closed_account_opens_again(connect: Connect) -> None:
    client, email = new_account(connect)
    client.journal.create("kept")
    client.profile.deactivate(PASSWORD)
    assert client.session is None
    with pytest.raises(NotLoggedInError):
        client.journal.list()
    with pytest.raises(LoginError):
        client.log_in(email, PASSWORD)
    client.profile.reactivate(email, PASSWORD)
    client.log_in(email, PASSWORD)
    scheduled = client.profile.delete(PASSWORD)
    assert scheduled.deletion_at > datetime.now(UTC)
    assert client.session is None
    client.profile.restore(email, PASSWORD)
    client.log_in(email, PASSWORD)
    assert [entry.title for entry in client.journal.list()] == ["kept"]


def another_account_sees_nothing_of_it(connect: Connect) -> None:
    client, _ = new_account(connect)
    stranger, _ = new_account(connect)
    entry = client.journal.create("mine", tags=["t"])
    reminder = client.reminders.create("mine", SOME_DAY)
    attempts: list[Callable[[], Any]] = [
        lambda: stranger.journal.get(entry.id),
        lambda: stranger.journal.edit(entry, title="yours"),
        lambda: stranger.journal.delete(entry),
        lambda: stranger.journal.tags.get(entry.tags[0].id),
        lambda: stranger.reminders.get(reminder.id),
        lambda: stranger.reminders.complete(reminder),
        lambda: stranger.journal.get(uuid4()),
    ]
    for attempt in attempts:
        with pytest.raises(NotFoundError):
            attempt()
    assert list(stranger.journal.list(deleted=None)) == []
    assert list(stranger.reminders.list()) == []


PLAIN_SCENARIOS: list[Callable[[Connect], None]] = [
    an_entry_is_written_edited_deleted_and_restored,
    two_clients_on_one_entry_lose_nothing,
    entries_are_listed_filtered_and_searched,
    what_is_beyond_the_limits_is_refused_here_or_named,
    tags_are_kept,
    reminders_are_made_edited_completed_and_put_off,
    due_reminders_come_once_to_a_session,
    the_calendar_feed_is_opened_and_revoked,
    the_profile_is_kept_and_what_happened_to_it,
    a_closed_account_opens_again,
    another_account_sees_nothing_of_it,
]
