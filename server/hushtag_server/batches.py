"""Steps of several accounts in one statement, where many people ask at once.

What comes within one turn of the event loop, or while earlier batches are on their way, leaves as one. On a quiet
server nothing waits and every batch has one step; on a full one each statement, commit and wake-up serves many. A
batch never holds two steps of one account, and is in the order of the accounts: no two batches wait for each other. One
that the database refuses as a whole, for one of its steps, left nothing behind: each of its steps is made alone, and as
long as it is, no other step of that account goes along with anybody.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, NamedTuple, TypeVar
from uuid import UUID

from hushtag_server.errors import UnavailableError

__all__ = ["AT_ONCE", "MOST_OF_ONE", "MOST_STEPS", "MOST_WAITING", "WORTH_IT", "Batches", "Step"]

AT_ONCE: Final = 2
"""Batches of one kind that are on their way; the worker answers the steps of one while the database makes the other."""
WORTH_IT: Final = 4
"""Steps that a batch beside another has at least; fewer wait until that one has arrived, for what comes meanwhile."""
MOST_STEPS: Final = 32
"""Steps in one batch."""
MOST_WAITING: Final = 500
"""Steps that wait; more would only wait to fail."""
MOST_OF_ONE: Final = 100
"""Steps of one account that wait, so that nobody takes the places of everybody."""

_Result = TypeVar("_Result")
_Content = TypeVar("_Content")


class Step(NamedTuple, Generic[_Content, _Result]):
    """One step: whose, what of, and where its result is waited for; None is the result of one to be made alone."""

    user_id: UUID
    content: _Content
    result: "asyncio.Future[_Result | None]"


class Batches(Generic[_Content, _Result]):
    """Gathers steps of one kind and runs them together."""

    def __init__(
        self, run: Callable[[Sequence[_Content]], Awaitable[Sequence[_Result] | None]], longest: float
    ) -> None:
        """`run` returns the result of each content, or None if each is to be made alone, and has `longest` seconds."""
        self._run, self._longest = run, longest
        self._waiting: dict[UUID, deque[Step[_Content, _Result]]] = {}
        self._count = 0
        self._called = False
        self._away: Counter[UUID] = Counter()
        self._on_their_way: set[asyncio.Task[None]] = set()

    def make(self, user_id: UUID, content: _Content) -> "asyncio.Future[_Result | None]":
        """Return what becomes of a step of this account; None: it is to be made alone, and `apart`.

        Raises:
            UnavailableError: too many wait already, in all or of this account.
        """
        queue = self._waiting.get(user_id)
        if self._count >= MOST_WAITING or (queue is not None and len(queue) >= MOST_OF_ONE):
            raise UnavailableError("too many steps wait already")
        loop = asyncio.get_running_loop()
        step: Step[_Content, _Result] = Step(user_id, content, loop.create_future())
        if queue is None:
            self._waiting[user_id] = deque((step,))
        else:
            queue.append(step)
        self._count += 1
        self._call()
        return step.result

    @contextmanager
    def apart(self, user_id: UUID) -> Iterator[None]:
        """Keep this account out of batches meanwhile: it may be what one was refused for."""
        self._away[user_id] += 1
        try:
            yield
        finally:
            self._back(user_id)
            self._call()

    def _back(self, user_id: UUID) -> None:
        self._away[user_id] -= 1
        if not self._away[user_id]:
            del self._away[user_id]

    def _call(self) -> None:
        # Not at once: what else this turn of the event loop brings goes along.
        least = WORTH_IT if self._on_their_way else 1
        if not self._called and len(self._waiting) >= least and len(self._on_their_way) < AT_ONCE:
            self._called = True
            asyncio.get_running_loop().call_soon(self._depart)

    def _depart(self) -> None:
        self._called = False
        steps: list[Step[_Content, _Result]] = []
        for user_id in list(self._waiting):
            if user_id in self._away:
                continue
            step = self._next_of(user_id)
            if step is not None:
                steps.append(step)
                if len(steps) == MOST_STEPS:
                    break
        if not steps:
            return
        steps.sort(key=_order)
        self._away.update(step.user_id for step in steps)
        task = asyncio.get_running_loop().create_task(self._go(steps))
        self._on_their_way.add(task)  # the event loop itself holds tasks only weakly
        task.add_done_callback(self._arrived)
        self._call()

    def _next_of(self, user_id: UUID) -> Step[_Content, _Result] | None:
        # Whoever has more waiting goes behind everybody else.
        queue = self._waiting.pop(user_id)
        found = None
        while queue and found is None:
            step = queue.popleft()
            self._count -= 1
            if not step.result.done():  # nobody waits for it any more
                found = step
        if queue:
            self._waiting[user_id] = queue
        return found

    async def _go(self, steps: list[Step[_Content, _Result]]) -> None:
        found: Sequence[_Result | None] | None = None
        error: Exception | None = None
        try:
            async with asyncio.timeout(self._longest):
                found = await self._run([step.content for step in steps])
        except TimeoutError:
            error = UnavailableError("the database did not answer in time")
        except Exception as raised:  # each of those who wait hears of it
            error = raised
        finally:
            for place, step in enumerate(steps):
                self._back(step.user_id)
                if step.result.done():
                    continue
                if error is not None:
                    step.result.set_exception(error)
                else:
                    step.result.set_result(None if found is None else found[place])

    def _arrived(self, task: "asyncio.Task[None]") -> None:
        self._on_their_way.discard(task)
        self._call()

    async def close(self) -> None:
        """Wait for what is on its way; nothing new is taken along."""
        while self._on_their_way:
            await asyncio.wait(self._on_their_way)


def _order(step: Step[Any, Any]) -> int:
    return step.user_id.int
