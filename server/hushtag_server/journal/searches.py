"""The searches under way in this worker: each may take half a second of the database, so few are at once, and two of
one user. The others wait in line without a connection, for as long as any request may take.
"""

from asyncio import Semaphore
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

__all__ = ["MAX_SEARCHES_PER_USER", "Searches"]

MAX_SEARCHES_PER_USER: Final = 2
"""Of one worker: a person types one query after another, and does not wait for the results of the first."""


class _Line:
    """One user's searches."""

    __slots__ = ("length", "turn")

    def __init__(self) -> None:
        self.turn = Semaphore(MAX_SEARCHES_PER_USER)
        self.length = 0


class Searches:
    """How many searches run; half of the worker's connections are left to everything else."""

    def __init__(self, connections: int) -> None:
        self._turn = Semaphore(max(1, connections // 2))
        self._lines: dict[UUID, _Line] = {}

    @asynccontextmanager
    async def turn(self, user_id: UUID) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the end.

        The user is who a token names, whether or not it is theirs: a search with an invalid one is over at once.
        """
        line = self._lines.setdefault(user_id, _Line())
        line.length += 1
        try:
            async with line.turn, self._turn:
                yield
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[user_id]
