"""Where password hashes are computed: a few at once, and a bounded queue before them.

Each hash takes 64 MiB and a large part of a second. However many people log in at the same moment, memory is that of
`at_once` hashes; who would wait too long, or behind too many, is told to come back instead.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

import anyio
import anyio.to_thread

from hushtag_server.errors import UnavailableError

__all__ = ["HashQueue"]

Result = TypeVar("Result")


class HashQueue:
    """Runs functions in threads: `at_once` of them, with at most `waiting` callers in line for at most `wait`."""

    def __init__(self, at_once: int, waiting: int, wait: timedelta) -> None:
        self._turns = anyio.Semaphore(at_once)
        self._threads = anyio.CapacityLimiter(at_once)  # never waited for: whoever comes here has a turn
        self._waiting = waiting
        self._wait = wait.total_seconds()

    @property
    def in_line(self) -> int:
        """How many callers wait."""
        return self._turns.statistics().tasks_waiting

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Stand in line, and keep the turn until the block ends.

        Raises:
            UnavailableError: too many wait already, or the turn did not come in time.
        """
        if self.in_line >= self._waiting:
            raise UnavailableError("too many password hashes wait already")
        try:
            with anyio.fail_after(self._wait):
                await self._turns.acquire()
        except TimeoutError:
            raise UnavailableError("no turn to hash a password came in time") from None
        try:
            yield
        finally:
            self._turns.release()

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Run `work(*arguments)` when its turn comes, and return what it returns.

        Raises:
            UnavailableError: too many wait already, or the turn did not come in time; `work` was not run.
        """
        async with self.turn():
            # A cancelled caller still waits for the thread, so its memory counts until it is free.
            return await anyio.to_thread.run_sync(work, *arguments, limiter=self._threads)
