"""The reminders of the client for an event loop."""

from collections.abc import AsyncGenerator
from datetime import datetime
from uuid import UUID

from msgspec import UNSET, UnsetType

from hushtag.client.batches import each_awaited
from hushtag.client.contents import FeedAddress
from hushtag.client.drivers import AsyncDriver
from hushtag.client.ids import id_of
from hushtag.client.reminder_steps import ReminderSteps
from hushtag.reminder_messages import Feed, NewReminder, Reminder, ReminderChange, ReminderCompleted, Snooze

__all__ = ["AsyncReminders"]


class AsyncReminders:
    """`Reminders` for an event loop: the same calls, arguments and errors, awaited; listings with `async for`."""

    def __init__(self, driver: AsyncDriver, steps: ReminderSteps) -> None:
        self._driver = driver
        self._steps = steps

    async def create(
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
        """As `Reminders.create`."""
        new = NewReminder(title, reminder_time, reminder_id, description, priority, repeat_pattern, time_zone)
        return await self._driver.run(self._steps.create(new))

    async def get(self, reminder_id: UUID) -> Reminder:
        """As `Reminders.get`."""
        return await self._driver.run(self._steps.get(reminder_id))

    async def edit(
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
        """As `Reminders.edit`."""
        wanted = ReminderChange(title, reminder_time, description, priority, repeat_pattern, time_zone)
        return await self._driver.run(self._steps.edit(reminder, wanted))

    def list(self, *, status: str = "all", sort: str = "time") -> AsyncGenerator[Reminder, None]:
        """As `Reminders.list`."""
        return each_awaited(self._driver, self._steps.list(status, sort))

    async def complete(self, reminder: Reminder | UUID) -> ReminderCompleted:
        """As `Reminders.complete`."""
        return await self._driver.run(self._steps.complete(id_of(reminder)))

    async def reopen(self, reminder: Reminder | UUID) -> Reminder:
        """As `Reminders.reopen`."""
        return await self._driver.run(self._steps.reopen(id_of(reminder)))

    async def snooze(
        self, reminder: Reminder | UUID, *, until: datetime | None = None, minutes: int | None = None
    ) -> Reminder:
        """As `Reminders.snooze`."""
        return await self._driver.run(self._steps.snooze(id_of(reminder), Snooze(until, minutes)))

    async def delete(self, reminder: Reminder) -> None:
        """As `Reminders.delete`."""
        await self._driver.run(self._steps.delete(reminder))

    async def occurrences(self, reminder: Reminder | UUID, *, limit: int = 10) -> tuple[datetime, ...]:
        """As `Reminders.occurrences`."""
        return await self._driver.run(self._steps.occurrences(id_of(reminder), limit))

    def events(self, *, wait: int | None = None) -> AsyncGenerator[Reminder, None]:
        """As `Reminders.events`."""
        return each_awaited(self._driver, self._steps.events(wait))

    async def open_feed(self) -> FeedAddress:
        """As `Reminders.open_feed`."""
        return await self._driver.run(self._steps.open_feed())

    async def feed(self) -> Feed:
        """As `Reminders.feed`."""
        return await self._driver.run(self._steps.feed())

    async def close_feed(self) -> None:
        """As `Reminders.close_feed`."""
        await self._driver.run(self._steps.close_feed())
