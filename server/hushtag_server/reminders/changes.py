"""What a request makes of a reminder: validated values, written inside the caller's transaction."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from msgspec import UNSET

from hushtag.messages import FieldProblem
from hushtag.reminder_messages import MAX_REMINDER_YEAR, MIN_REMINDER_YEAR, NewReminder, ReminderChange, Snooze
from hushtag_server.database import Connection
from hushtag_server.errors import AlreadyExistsError, MalformedRequestError, NotFoundError
from hushtag_server.reminders import queries
from hushtag_server.reminders.expansions import Expansions, expanded
from hushtag_server.reminders.repetition import check_repetition, list_occurrences, next_occurrence
from hushtag_server.reminders.schemas import ReminderRow, ReminderValues
from hushtag_server.reminders.zones import DEFAULT_ZONE, given_zone, stored_zone, wall_clock
from hushtag_server.services import Services
from hushtag_server.versions import expected_version, version_conflict

__all__ = ["complete", "create", "edit", "find_for_change", "occurrences_of", "reopen", "snooze"]

_TAKEN: Final = [FieldProblem(field="$.id", rule="must be an id that none of your reminders has")]


def _refuse(field: str, rule: str) -> MalformedRequestError:
    return MalformedRequestError([FieldProblem(field=field, rule=rule)])


def _check_time(field: str, moment: datetime) -> None:
    if not MIN_REMINDER_YEAR <= moment.year <= MAX_REMINDER_YEAR:
        raise _refuse(field, f"must lie in the years {MIN_REMINDER_YEAR} to {MAX_REMINDER_YEAR}")


def _series_begins(rules: Expansions, pattern: str | None, zone: ZoneInfo, first: datetime) -> dict[str, Any]:
    """Return the columns of a series that begins at `first`, after a look at its rule."""
    if pattern is not None:
        rules.find(check_repetition, pattern, zone, first)
    local = wall_clock(first, zone)
    return {
        "reminder_time": first,
        "repeat_pattern": None if pattern is None else pattern.upper(),
        "time_zone": zone.key,
        "series_start": local,
        "occurrence_time": local,
        "occurrence_number": 1,
    }


async def create(connection: Connection, rules: Expansions, user_id: UUID, new: NewReminder) -> ReminderRow:
    """Make a reminder.

    Raises:
        MalformedRequestError: its time is past, its zone unknown, its rule none.
        AlreadyExistsError: the user has a reminder of this id.
    """
    _check_time("$.reminder_time", new.reminder_time)
    if new.time_zone is not None:
        zone = given_zone(new.time_zone)
    else:
        zone = stored_zone(await queries.find_time_zone(connection, user_id) or DEFAULT_ZONE)
    series = _series_begins(rules, new.repeat_pattern, zone, new.reminder_time)
    if new.reminder_time <= await queries.find_clock(connection):
        raise _refuse("$.reminder_time", "must lie in the future")
    reminder_id = new.id or uuid4()
    values = ReminderValues(
        id=reminder_id,
        title=new.title,
        description=new.description,
        snoozed_until=None,
        priority=new.priority,
        series_id=reminder_id,
        **series,
    )
    row = await queries.insert_reminder(connection, user_id, values)
    if row is None:
        raise AlreadyExistsError("an id twice", _TAKEN)
    return row


async def find_for_change(
    connection: Connection, user_id: UUID, reminder_id: UUID, if_match: str | None, *, required: bool
) -> ReminderRow:
    """Return a reminder that nobody else changes until this transaction ends, at the version `If-Match` names.

    Raises:
        PreconditionRequiredError: there is no `If-Match` where one is required.
        PreconditionFailedError: the reminder has another version.
        NotFoundError: the user has no such reminder.
    """
    version = expected_version(if_match) if required or if_match is not None else None
    row = await queries.find_reminder(connection, user_id, reminder_id, lock=True)
    if row is None:
        raise NotFoundError("no such reminder")
    if version is not None and version != row.version:
        raise version_conflict(row.version)
    return row


def _kept(row: ReminderRow) -> ReminderValues:
    names = set(ReminderValues.__slots__) - {"follows"}
    return ReminderValues(**{name: getattr(row, name) for name in names})


def _written(row: ReminderRow | None) -> ReminderRow:
    if row is None:
        raise NotFoundError("the reminder vanished")  # it is locked; only its account can have gone
    return row


async def edit(
    connection: Connection, rules: Expansions, user_id: UUID, row: ReminderRow, change: ReminderChange
) -> ReminderRow:
    """Change what the request names. A new time, zone or rule begins the series anew; a new time ends a snooze.

    Raises:
        MalformedRequestError: the zone is unknown or the rule none.
    """
    names = ("title", "description", "priority")
    given = {name: getattr(change, name) for name in names if getattr(change, name) is not UNSET}
    values = replace(_kept(row), **given)
    moved = {change.reminder_time, change.repeat_pattern, change.time_zone} != {UNSET}
    if moved:
        first = row.reminder_time if change.reminder_time is UNSET else change.reminder_time
        _check_time("$.reminder_time", first)
        pattern = row.repeat_pattern if change.repeat_pattern is UNSET else change.repeat_pattern
        zone = row.zone if change.time_zone is UNSET else given_zone(change.time_zone)
        values = replace(values, **_series_begins(rules, pattern, zone, first))
        if first != row.reminder_time:
            values = replace(values, snoozed_until=None)
    return _written(await queries.update_reminder(connection, user_id, values))


async def _make_successor(
    connection: Connection, rules: Expansions, user_id: UUID, row: ReminderRow
) -> ReminderRow | None:
    if row.repeat_pattern is None:
        return None
    now = await queries.find_clock(connection)
    following = rules.find(next_occurrence, row.repeat_pattern, row.zone, row.series_start, row.occurrence, now=(now,))
    if following is None or following.instant.year > MAX_REMINDER_YEAR:
        return None  # a series ends where nobody could make a reminder, or it would go where no calendar follows
    values = replace(
        _kept(row),
        id=uuid4(),
        reminder_time=following.instant,
        snoozed_until=None,
        occurrence_time=following.local,
        occurrence_number=following.number,
        follows=row.id,
    )
    return await queries.insert_reminder(connection, user_id, values)


async def complete(
    connection: Connection, rules: Expansions, user_id: UUID, row: ReminderRow
) -> tuple[ReminderRow, ReminderRow | None]:
    """Complete a reminder and make the next of its series; once more changes nothing and answers the same."""
    successor = await queries.find_successor(connection, user_id, row.id)
    if row.is_completed:
        return row, successor
    if successor is None:
        successor = await _make_successor(connection, rules, user_id, row)
    return _written(await queries.complete_reminder(connection, user_id, row.id)), successor


async def reopen(connection: Connection, user_id: UUID, row: ReminderRow) -> ReminderRow:
    """Make a completed reminder one that is still to be done; its successor stays."""
    return _written(await queries.reopen_reminder(connection, user_id, row.id)) if row.is_completed else row


async def snooze(connection: Connection, user_id: UUID, row: ReminderRow, wish: Snooze) -> ReminderRow:
    """Let a reminder become due later, this once.

    Raises:
        MalformedRequestError: neither or both of time and minutes, a time that is past, a reminder that is completed.
    """
    if (wish.until is None) == (wish.minutes is None):
        raise _refuse("$", "must name either `until` or `minutes`")
    if row.is_completed:
        raise _refuse("path", "must name a reminder that is not completed; reopen it first")
    now = await queries.find_clock(connection)
    until = wish.until or now + timedelta(minutes=wish.minutes or 0)
    _check_time("$.until", until)
    if until <= now:
        raise _refuse("$.until", "must lie in the future")
    return _written(await queries.snooze_reminder(connection, user_id, row.id, until))


async def occurrences_of(services: Services, row: ReminderRow, limit: int) -> list[datetime]:
    """Return when the reminder happens next, itself first."""
    return await expanded(
        services, list_occurrences, row.repeat_pattern, row.zone, row.series_start, row.occurrence, limit
    )
