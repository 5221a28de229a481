"""The calendars a worker writes: one at a time, for each takes up to seconds of its CPU, and one of a user."""

from collections.abc import Sequence
from uuid import UUID

import anyio

from hushtag_server.errors import UnavailableError
from hushtag_server.reminders.schemas import ReminderRow

__all__ = ["Calendars"]


class Calendars:
    """Calendars being written."""

    def __init__(self) -> None:
        self._turn = anyio.CapacityLimiter(1)
        self._users: set[UUID] = set()

    async def write(self, user_id: UUID, rows: Sequence[ReminderRow]) -> bytes:
        """Write a user's calendar in a thread.

        Raises:
            UnavailableError: one of theirs is being written already.
        """
        if user_id in self._users:
            raise UnavailableError("a calendar of this user is being written")
        self._users.add(user_id)
        try:
            return await anyio.to_thread.run_sync(_written, rows, limiter=self._turn)
        finally:
            self._users.remove(user_id)


def _written(rows: Sequence[ReminderRow]) -> bytes:
    # In the thread of the first: to import the library takes a tenth of a second, and most workers serve none.
    from hushtag_server.reminders.calendar import write_calendar

    return write_calendar(rows)
