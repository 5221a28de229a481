"""What rules give, found out while a request holds nothing: no connection of the pool, and no row.

A dear rule takes a quarter of a second of a thread, and may wait for one. So a transaction that needs what it has not
been given is rolled back, the rule is expanded, and the transaction runs once more.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import anyio

from hushtag_server.database import retry_conflicts
from hushtag_server.errors import UnavailableError
from hushtag_server.services import Services

__all__ = ["Expansions", "expanded"]

Result = TypeVar("Result")
_MOST: Final = 4
"""Rules expanded for one request: a second one only where somebody else changed the reminder meanwhile."""


class _MissingError(Exception):
    """The transaction needs what a rule gives."""

    def __init__(self, asked: tuple[Any, ...], now: tuple[Any, ...]) -> None:
        super().__init__("a rule is not expanded yet")
        self.asked, self.now = asked, now


async def expanded(services: Services, work: Callable[..., Result], *given: Any) -> Result:
    """Run `work`, which expands a rule, in one of the threads for rules."""
    return await anyio.to_thread.run_sync(work, *given, limiter=services.rules)


class Expansions:
    """What rules gave for one request."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._found: dict[tuple[Any, ...], Any] = {}

    async def around(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Run `attempt`, one whole transaction, until it has what it asks `find` for; see also `retry_conflicts`.

        Raises:
            UnavailableError: the reminder changed each time before it could be written.
        """
        for _ in range(_MOST):
            try:
                return await retry_conflicts(attempt)
            except _MissingError as missing:
                self._found[missing.asked] = await expanded(self._services, *missing.asked, *missing.now)
        raise UnavailableError("a reminder changed faster than its rules were expanded")

    def find(self, work: Callable[..., Result], *given: Any, now: tuple[Any, ...] = ()) -> Result:
        """Return `work(*given, *now)`; inside `attempt` alone. Once it is found, `now` no longer matters."""
        asked = (work, *given)
        if asked not in self._found:
            raise _MissingError(asked, now)
        found: Result = self._found[asked]
        return found
