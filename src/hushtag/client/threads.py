"""Threads of the drivers, and when they are waited for.

What computes, or uses a file of ours, is waited for also when it is broken off: nothing that follows runs beside it.
What waits for somebody outside (a pipe that says nothing) cannot be ended, so it is left alone in a daemon thread: what
it still returns is nobody's, and it keeps no program from its end.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from os import getpid, register_at_fork
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from hushtag.client.order import StoppedError
from hushtag.errors import MisuseError

__all__ = ["Crew", "FewAtATime", "OneAtATime", "call_waiting", "in_thread", "pause", "stay_in", "wait_in_thread"]

T = TypeVar("T")

_STOP: Final[ContextVar[threading.Event | None]] = ContextVar(
    "whether the steps beside these have failed", default=None
)
LEAVE_SECONDS: Final = 2.0
"""How long workers are waited for after Ctrl-C; they end by themselves when their request does."""
_LOOK: Final = 0.005


class _Begun:
    """A call that either has begun, and will end, or never begins."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._given_up = False
        self._begun = False
        self.ended = False

    def run(self) -> Any:
        with self._lock:
            if self._given_up:
                return None
            self._begun = True
        try:
            return self._work()
        finally:
            self.ended = True

    def give_up(self) -> bool:
        """Let it not begin any more; tells whether it has."""
        with self._lock:
            self._given_up = True
            return self._begun


async def in_thread(work: Callable[[], T], limiter: anyio.CapacityLimiter) -> T:
    """Return what `work` returns in a worker thread, which is waited for also if this task is cancelled."""
    call = _Begun(work)
    try:
        result: T = await anyio.to_thread.run_sync(call.run, limiter=limiter)
    except anyio.get_cancelled_exc_class():
        # anyio waits when a scope of its own is cancelled, and does not when the task itself is.
        if call.give_up():
            with anyio.CancelScope(shield=True):
                while not call.ended:
                    await anyio.sleep(_LOOK)
        raise
    return result


async def wait_in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns in a thread that is left alone if this task is cancelled."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        elif isinstance(error, StopIteration):  # a future takes none, and whoever waits for it would wait for ever
            future.set_exception(MisuseError("a callback raises StopIteration"))
        else:
            future.set_exception(error)

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except BaseException as error:  # it comes out where it is awaited
            failed = error
        with suppress(RuntimeError):  # the loop is closed, and so nobody waits
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=run, name="hushtag-source", daemon=True).start()
    return await future


def call_waiting(work: Callable[[], T]) -> T:
    """Return what `work` returns; within a crew it is left alone as soon as that is stopped.

    Raises:
        StoppedError: it was.
    """
    stop = _STOP.get()
    if stop is None:
        return work()
    results: list[T] = []
    failures: list[BaseException] = []
    over = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # it comes out where it is waited for
            failures.append(error)
        over.set()

    threading.Thread(target=run, name="hushtag-source", daemon=True).start()
    while not over.wait(_LOOK * 10):
        if stop.is_set():
            raise StoppedError
    if failures:
        raise failures[0]
    return results[0]


def pause(seconds: float) -> None:
    """Let time pass, or as much of it as passes until the crew is stopped.

    Raises:
        StoppedError: it was.
    """
    stop = _STOP.get()
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise StoppedError


def stay_in(process: int) -> None:
    """Refuse to go on in a process that was forked from this one.

    Raises:
        MisuseError: it is another.
    """
    # Both have the same connections: each would read the answers of the other.
    if getpid() != process:
        raise MisuseError("a client belongs to the process it was made in; make another one after a fork")


class OneAtATime:
    """A lock that refuses, in the place of waiting for ever, who holds it already or was forked while it was held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._process = getpid()

    def __enter__(self) -> None:
        """Wait for the turn of this thread.

        Raises:
            MisuseError: it has its turn already, or is of another process, where nobody would end a turn.
        """
        stay_in(self._process)
        if self._owner == threading.get_ident():
            raise MisuseError("a callback cannot use the vault whose call it was called by")
        self._lock.acquire()
        self._owner = threading.get_ident()

    def locked(self) -> bool:
        """Tell whether anybody has its turn."""
        return self._lock.locked()

    def __exit__(self, *_: object) -> None:
        self._owner = None
        self._lock.release()


class FewAtATime:
    """Lets so many threads of this process in at a time; in one that is forked nobody is inside at first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._begin()
        register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._places = threading.Semaphore(self._most)

    def __enter__(self) -> None:
        self._places.acquire()

    def __exit__(self, *_: object) -> None:
        self._places.release()


class Crew:
    """Blocking calls side by side, each in a daemon thread; the first failure stops the others."""

    def __init__(self, calls: Iterable[Callable[[], Any]], limit: int, stop: Callable[[], None] | None) -> None:
        self._calls = list(enumerate(calls))[::-1]
        self._results: list[Any] = [None] * len(self._calls)
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._stop = stop
        self._stopped = threading.Event()
        self._over = threading.Semaphore(0)
        self._count = min(limit, len(self._calls))

    def run(self) -> list[Any]:
        """Return the results in order.

        Raises:
            The first failure, once the others have ended; after Ctrl-C they are given up soon.
        """
        threads = []
        try:
            for _ in range(self._count):
                context = copy_context()
                thread = threading.Thread(target=context.run, args=(self._work,), name="hushtag-worker", daemon=True)
                thread.start()
                threads.append(thread)
            for _ in threads:
                self._over.acquire()
        except BaseException:
            self._end()
            end = time.monotonic() + LEAVE_SECONDS
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
            raise
        if self._failure is not None:
            raise self._failure
        return self._results

    def _end(self) -> None:
        with self._lock:
            self._calls.clear()
        self._stopped.set()
        if self._stop is not None:
            self._stop()

    def _next(self) -> tuple[int, Callable[[], Any]] | None:
        with self._lock:
            return self._calls.pop() if self._calls else None

    def _work(self) -> None:
        _STOP.set(self._stopped)
        try:
            while (call := self._next()) is not None:
                self._results[call[0]] = call[1]()
        except BaseException as error:  # it comes out of `run`
            with self._lock:
                self._failure = self._failure or error
            self._end()
        finally:
            self._over.release()
