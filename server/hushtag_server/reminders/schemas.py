"""Rows of reminders, deliveries and feeds."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from hushtag.reminder_messages import Reminder, ReminderStatus
from hushtag_server.reminders.repetition import Occurrence
from hushtag_server.reminders.zones import stored_zone

__all__ = ["DueReminder", "FeedRow", "ReminderRow", "ReminderValues", "Telling"]


@dataclass(frozen=True, slots=True)
class ReminderRow:
    """A reminder as it is stored, with the status it has now."""

    id: UUID
    title: str
    description: str | None
    reminder_time: datetime
    snoozed_until: datetime | None
    due_at: datetime
    is_completed: bool
    completed_at: datetime | None
    priority: int
    repeat_pattern: str | None
    time_zone: str
    series_id: UUID
    series_start: datetime
    occurrence_time: datetime
    occurrence_number: int
    version: int
    created_at: datetime
    updated_at: datetime
    status: ReminderStatus

    @property
    def zone(self) -> ZoneInfo:
        """The zone whose wall clock the repetition follows."""
        return stored_zone(self.time_zone)

    @property
    def occurrence(self) -> Occurrence:
        """Where in its series it stands."""
        return Occurrence(self.occurrence_time, self.reminder_time, self.occurrence_number)

    def to_message(self) -> Reminder:
        """Return what a client is shown."""
        return Reminder(**{name: getattr(self, name) for name in Reminder.__struct_fields__})


@dataclass(frozen=True, slots=True)
class DueReminder(ReminderRow):
    """A reminder that is delivered to a session, and where in the session's deliveries it stands."""

    position: int


@dataclass(frozen=True, slots=True)
class ReminderValues:
    """What a reminder is made of, or becomes by an edit."""

    id: UUID
    title: str
    description: str | None
    reminder_time: datetime
    snoozed_until: datetime | None
    priority: int
    repeat_pattern: str | None
    time_zone: str
    series_id: UUID
    series_start: datetime
    occurrence_time: datetime
    occurrence_number: int = 1
    follows: UUID | None = None


class Telling(NamedTuple):
    """What a session is to be told now, and in how many seconds there will be more (None: nothing is to come)."""

    events: list[DueReminder]
    more_in: float | None


@dataclass(frozen=True, slots=True)
class FeedRow:
    """When the feed was opened and last read."""

    created_at: datetime
    last_used: datetime | None
