"""Steps of several sessions in one statement, where many people ask at once.

What comes within one turn of the event loop, or while earlier batches are on their way, leaves as one. On a quiet
server nothing waits and every batch has one step; on a full one each statement, commit and wake-up serves many. A
batch never holds two steps of one session, and is in the order of the sessions: two batches could wait for each other
only where two sessions are of one account. One that the database refuses as a whole, for one of its steps or a lock,
left nothing behind: each of its steps is made alone, and as long as it is, no other step of that session goes along
with anybody.

Whose a step is, is not proved yet when it comes here: a session is the account and the hash of the token together, so
that whoever knows an account's id alone stands in nobody's line.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic, NamedTuple, TypeVar

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
"""Steps of one session that wait, so that nobody takes the places of everybody."""

_Result = TypeVar("_Result")
_Content = TypeVar("_Content")


class Step(NamedTuple, Generic[_Content, _Result]):
    """One step: whose, what of, since when it waits, and where for; None is the result of one to be made alone."""

    session: bytes
    content: _Content
    since: float
    result: "asyncio.Future[_Result | None]"


class Batches(Generic[_Content, _Result]):
    """Gathers steps of one kind and runs them together."""

    def __init__(
        self,
        run: Callable[[Sequence[_Content]], Awaitable[Sequence[_Result] | None]],
        *,
        longest_wait: float,
        longest_run: float,
    ) -> None:
        """`run` returns the result of each content, or None if each is to be made alone; both times in seconds."""
        self._run, self._longest_wait, self._longest_run = run, longest_wait, longest_run
        self._waiting: dict[bytes, deque[Step[_Content, _Result]]] = {}
        self._count = 0
        self._called = False
        self._closed = False
        self._away: Counter[bytes] = Counter()
        self._on_their_way: dict[asyncio.Task[Sequence[_Result | None]], list[Step[_Content, _Result]]] = {}
        self.made = self.refused = self.steps = 0
        """Batches that were made and that were refused as a whole, and how many steps left in either."""

    def make(self, session: bytes, content: _Content) -> "asyncio.Future[_Result | None]":
        """Return what becomes of a step of this session; None: it is to be made alone, and `apart`.

        Raises:
            UnavailableError: too many wait already, in all or of this session, or the pool is closed.
        """
        if self._is_full(session):
            self._forget_given_up()
            if self._is_full(session):
                raise UnavailableError("too many steps wait already")
        if self._closed:
            raise UnavailableError("the pool is closed")
        loop = asyncio.get_running_loop()
        step: Step[_Content, _Result] = Step(session, content, loop.time(), loop.create_future())
        self._waiting.setdefault(session, deque()).append(step)
        self._count += 1
        self._call()
        return step.result

    def _is_full(self, session: bytes) -> bool:
        return self._count >= MOST_WAITING or len(self._waiting.get(session, ())) >= MOST_OF_ONE

    def _forget_given_up(self) -> None:
        for session, queue in list(self._waiting.items()):
            left = deque(step for step in queue if not step.result.done())
            self._count -= len(queue) - len(left)
            if left:
                self._waiting[session] = left
            else:
                del self._waiting[session]

    @contextmanager
    def apart(self, session: bytes) -> Iterator[None]:
        """Keep this session out of batches meanwhile: it may be what one was refused for."""
        self._away[session] += 1
        try:
            yield
        finally:
            self._back(session)
            self._call()

    def _back(self, session: bytes) -> None:
        self._away[session] -= 1
        if not self._away[session]:
            del self._away[session]

    def _call(self) -> None:
        # Not at once: what else this turn of the event loop brings goes along.
        least = WORTH_IT if self._on_their_way else 1
        if not self._called and len(self._waiting) >= least and len(self._on_their_way) < AT_ONCE:
            self._called = True
            asyncio.get_running_loop().call_soon(self._depart)

    def _depart(self) -> None:
        self._called = False
        loop = asyncio.get_running_loop()
        since = loop.time() - self._longest_wait
        steps: list[Step[_Content, _Result]] = []
        for session in list(self._waiting):
            if session in self._away:
                continue
            step = self._next_of(session, since)
            if step is not None:
                steps.append(step)
                if len(steps) == MOST_STEPS:
                    break
        if not steps:
            return
        steps.sort(key=_order)
        for step in steps:
            self._away[step.session] += 1
        task = loop.create_task(self._go(steps))
        self._on_their_way[task] = steps  # the event loop itself holds tasks only weakly
        task.add_done_callback(self._arrived)
        self._call()

    def _next_of(self, session: bytes, since: float) -> Step[_Content, _Result] | None:
        # Whoever has more waiting goes behind everybody else.
        queue = self._waiting.pop(session)
        found = None
        while queue and found is None:
            step = queue.popleft()
            self._count -= 1
            if step.result.done():  # nobody waits for it any more
                continue
            if step.since < since:
                step.result.set_exception(UnavailableError("no batch left in time"))
            else:
                found = step
        if queue:
            self._waiting[session] = queue
        return found

    async def _go(self, steps: list[Step[_Content, _Result]]) -> Sequence[_Result | None]:
        try:
            async with asyncio.timeout(self._longest_run):
                found = await self._run([step.content for step in steps])
        except TimeoutError:
            raise UnavailableError("the database did not answer in time") from None
        if found is None:
            return [None] * len(steps)
        if len(found) != len(steps):
            raise RuntimeError("a batch came back with another number of results")
        return found

    def _arrived(self, task: "asyncio.Task[Sequence[_Result | None]]") -> None:
        steps = self._on_their_way.pop(task)
        # What became of a batch that was given up nobody knows.
        error = UnavailableError("the batch was given up") if task.cancelled() else task.exception()
        self.steps += len(steps)
        if error is None and task.result()[0] is None:
            self.refused += 1
        elif error is None:
            self.made += 1
        for place, step in enumerate(steps):
            self._back(step.session)
            if step.result.done():
                continue
            if error is None:
                step.result.set_result(task.result()[place])
            else:
                step.result.set_exception(error)
        self._call()

    async def close(self) -> None:
        """Wait for what is on its way; nothing new is taken along."""
        self._closed = True
        while self._on_their_way:
            await asyncio.wait(self._on_their_way)


def _order(step: Step[Any, Any]) -> bytes:
    return step.session
