"""The wire of reminders (SPEC.md, section 21): strict msgspec Structs shared by client and server.

A field that is absent from a change stays as it is (`msgspec.UNSET`); null empties it.
"""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from hushtag.messages import END, Message

MAX_REMINDER_TITLE: Final = 255
MAX_REMINDER_DESCRIPTION: Final = 10_000
MAX_REMINDER_BYTES: Final = 128 * 1024
"""Bytes of the message that makes or edits a reminder: every character may be two escapes, as an emoji is."""
MAX_REPEAT_PATTERN: Final = 500
"""Characters of an RRULE."""
MAX_REPEAT_COUNT: Final = 1000
"""Occurrences of a repetition that says how many it has."""
MAX_REPEAT_INTERVAL: Final = 400
MAX_REPEAT_YEARS: Final = 40
"""Years within which a repetition must occur again: 29 February on one day of the week can take that long."""
MAX_OCCURRENCES: Final = 100
"""Occurrences in one answer."""
MAX_TIME_ZONE: Final = 64
MIN_PRIORITY: Final = 1
MAX_PRIORITY: Final = 5
MIN_REMINDER_YEAR: Final = 1970
MAX_REMINDER_YEAR: Final = 2199
MAX_SNOOZE_MINUTES: Final = 40_320
"""Four weeks."""
MAX_FEED_REMINDERS: Final = 1000
"""Reminders in the calendar feed."""
MAX_STREAM_SECONDS: Final = 3600
MAX_STREAMS_PER_USER: Final = 8
"""Streams of events that one user may hold open at one worker."""
MAX_STREAMS_PER_WORKER: Final = 500

Title = Annotated[str, Meta(min_length=1, max_length=MAX_REMINDER_TITLE, pattern="^[^\\x00]*$")]
Description = Annotated[str, Meta(max_length=MAX_REMINDER_DESCRIPTION, pattern="^[^\\x00]*$")]
Moment = Annotated[datetime, Meta(tz=True)]
Priority = Annotated[int, Meta(ge=MIN_PRIORITY, le=MAX_PRIORITY)]
RepeatPattern = Annotated[str, Meta(min_length=1, max_length=MAX_REPEAT_PATTERN, pattern="^[A-Za-z0-9=;,+:-]*" + END)]
"""An RRULE (RFC 5545, section 3.3.10) without its name, such as `FREQ=WEEKLY;BYDAY=MO`."""
TimeZone = Annotated[str, Meta(min_length=1, max_length=MAX_TIME_ZONE, pattern="^[A-Za-z0-9_+/-]*" + END)]
"""An IANA name, such as `Europe/Berlin`."""
ReminderStatus = Literal["pending", "due", "overdue", "done"]


class NewReminder(Message, frozen=True):
    """`POST /v1/reminders`. The time lies in the future; the zone is that of the settings unless it is given."""

    title: Title
    reminder_time: Moment
    id: UUID | None = None
    description: Description | None = None
    priority: Priority = 2
    repeat_pattern: RepeatPattern | None = None
    time_zone: TimeZone | None = None


class ReminderChange(Message, frozen=True):
    """`PATCH /v1/reminders/{reminder_id}`."""

    title: Title | UnsetType = UNSET
    reminder_time: Moment | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    priority: Priority | UnsetType = UNSET
    repeat_pattern: RepeatPattern | UnsetType | None = UNSET
    time_zone: TimeZone | UnsetType = UNSET


class Reminder(Message, frozen=True, kw_only=True):
    """One reminder; a repeating one is one occurrence of its series."""

    id: UUID
    title: str
    description: str | None = None
    reminder_time: datetime
    is_completed: bool
    completed_at: datetime | None = None
    priority: int
    repeat_pattern: str | None = None
    time_zone: str
    series_id: UUID
    snoozed_until: datetime | None = None
    status: ReminderStatus
    version: int
    created_at: datetime
    updated_at: datetime


class ReminderList(Message, frozen=True):
    """`GET /v1/reminders`."""

    reminders: list[Reminder]
    next: str | None = None


class ReminderCompleted(Message, frozen=True):
    """Answer to a completion: the reminder, and the next one of its series if there is one."""

    reminder: Reminder
    successor: Reminder | None = None


class Snooze(Message, frozen=True):
    """`POST /v1/reminders/{reminder_id}/snooze`: either a time or minutes from now."""

    until: Moment | None = None
    minutes: Annotated[int, Meta(ge=1, le=MAX_SNOOZE_MINUTES)] | None = None


class OccurrenceList(Message, frozen=True):
    """`GET /v1/reminders/{reminder_id}/occurrences`: when it happens next, itself first."""

    occurrences: list[datetime]


class FeedOpened(Message, frozen=True):
    """Answer to `POST /v1/reminders/feed`. The path is a secret that is shown once."""

    url_path: str
    created_at: datetime


class Feed(Message, frozen=True):
    """`GET /v1/reminders/feed`."""

    created_at: datetime
    last_used: datetime | None = None
