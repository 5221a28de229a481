"""The reminders of the blocking client."""

from collections.abc import Generator
from datetime import datetime
from uuid import UUID

from msgspec import UNSET, UnsetType

from hushtag.client.batches import each
from hushtag.client.contents import FeedAddress
from hushtag.client.drivers import SyncDriver
from hushtag.client.ids import id_of
from hushtag.client.reminder_steps import ReminderSteps
from hushtag.reminder_messages import Feed, NewReminder, Reminder, ReminderChange, ReminderCompleted, Snooze

__all__ = ["Reminders"]


class Reminders:
    """The reminders of an account: `client.reminders`.

        client.reminders.create("Water the plants", tomorrow, repeat_pattern="FREQ=WEEKLY;BYDAY=SA")
        for reminder in client.reminders.events():
            print(reminder.title)
            client.reminders.complete(reminder)

    Reminders are immutable. An edit takes the reminder as it was read and is refused with `VersionConflictError` if
    somebody else has changed it since. The calls raise what every call of `Client` may.
    """

    def __init__(self, driver: SyncDriver, steps: ReminderSteps) -> None:
        self._driver = driver
        self._steps = steps

    def create(
        self,
        title: str,
        reminder_time: datetime,
        *,
        description: str | None = None,
        priority: int = 2,
        repeat_pattern: str | None = None,
        time_zone: str | None = None,
        reminder_id: UUID | None = None,
    ) -> Reminder:
        """Make a reminder for a time with its zone, which lies in the future. Priority 1 to 5.

        `repeat_pattern` is an RRULE (RFC 5545, section 3.3.10) such as `FREQ=WEEKLY;BYDAY=MO`. It follows the wall
        clock of `time_zone` (IANA name; by default that of the settings). It is made once even if an answer is lost.

        Raises:
            LimitError: a field is outside its limits, or the time has no zone; nothing was sent.
            ServerError: the time is past, or the rule is none; `fields` says which and why.
            ConflictError: a reminder has that id already.
        """
        new = NewReminder(title, reminder_time, reminder_id, description, priority, repeat_pattern, time_zone)
        return self._driver.run(self._steps.create(new))

    def get(self, reminder_id: UUID) -> Reminder:
        """Read a reminder.

        Raises:
            NotFoundError: the account has no such reminder.
        """
        return self._driver.run(self._steps.get(reminder_id))

    def edit(
        self,
        reminder: Reminder,
        *,
        title: str | UnsetType = UNSET,
        reminder_time: datetime | UnsetType = UNSET,
        description: str | UnsetType | None = UNSET,
        priority: int | UnsetType = UNSET,
        repeat_pattern: str | UnsetType | None = UNSET,
        time_zone: str | UnsetType = UNSET,
    ) -> Reminder:
        """Change what is named and return the reminder as it is then. A new time, zone or rule begins the series anew.

        Raises:
            VersionConflictError: it was changed since it was read; nothing was changed now.
            NotFoundError: there is no such reminder any more.
            OutcomeUnknownError: the connection is gone and what became of the change is not known.
        """
        wanted = ReminderChange(title, reminder_time, description, priority, repeat_pattern, time_zone)
        return self._driver.run(self._steps.edit(reminder, wanted))

    def list(self, *, status: str = "all", sort: str = "time") -> Generator[Reminder, None, None]:
        """List reminders: `status` pending, due (since a day at most), overdue, done or all; `sort` time, -time or
        priority."""
        return each(self._driver, self._steps.list(status, sort))

    def complete(self, reminder: Reminder | UUID) -> ReminderCompleted:
        """Complete a reminder; the answer holds the next of its series, if there is one. Twice is as once.

        Raises:
            NotFoundError: the account has no such reminder.
        """
        return self._driver.run(self._steps.complete(id_of(reminder)))

    def reopen(self, reminder: Reminder | UUID) -> Reminder:
        """Make a completed reminder one that is still to be done; its successor stays.

        Raises:
            NotFoundError: the account has no such reminder.
        """
        return self._driver.run(self._steps.reopen(id_of(reminder)))

    def snooze(
        self, reminder: Reminder | UUID, *, until: datetime | None = None, minutes: int | None = None
    ) -> Reminder:
        """Let a reminder become due later, this once: at a time, or in some minutes (at most 40,320).

        Raises:
            NotFoundError: the account has no such reminder.
            ServerError: neither or both are given, the time is past, or the reminder is completed.
        """
        return self._driver.run(self._steps.snooze(id_of(reminder), Snooze(until, minutes)))

    def delete(self, reminder: Reminder) -> None:
        """Delete a reminder for good; no successor is made.

        Raises:
            VersionConflictError, NotFoundError, OutcomeUnknownError: as for `edit`.
        """
        self._driver.run(self._steps.delete(reminder))

    def occurrences(self, reminder: Reminder | UUID, *, limit: int = 10) -> tuple[datetime, ...]:
        """Return its own time and those that follow in its series, at most 100.

        Raises:
            NotFoundError: the account has no such reminder.
        """
        return self._driver.run(self._steps.occurrences(id_of(reminder), limit))

    def events(self, *, wait: int | None = None) -> Generator[Reminder, None, None]:
        """Wait for reminders and yield each as it becomes due, once per account session.

        A broken connection is opened again where it broke, with growing pauses of at most 30 s; nothing is lost and
        nothing comes twice. `wait`: end after so many seconds (at most 3,600); 0 yields what is due now. By default
        it goes on until the session ends or the iterator is closed. Whoever leaves it early is given the rest by the
        next one of this client.

        Raises:
            SessionExpiredError: the session has ended.
            BudgetError: the account has too many streams open.
            TransportError, UnavailableError: the server could not be reached, or stayed away for good.
            TimedOutError: it does not end the stream, a minute after `wait`.
        """
        return each(self._driver, self._steps.events(wait))

    def open_feed(self) -> FeedAddress:
        """Make a secret address at which calendar programs read the reminders; an earlier one stops working."""
        return self._driver.run(self._steps.open_feed())

    def feed(self) -> Feed:
        """Tell since when there is an address and when it was last read; never the address.

        Raises:
            NotFoundError: there is none.
        """
        return self._driver.run(self._steps.feed())

    def close_feed(self) -> None:
        """Revoke the address.

        Raises:
            NotFoundError: there is none.
        """
        self._driver.run(self._steps.close_feed())
