"""How long each callback holds the event loop: asyncio's own handles, timed one by one.

While a callback runs, nothing else does: what it takes, every other request of the worker waits. CPU time of the
thread is what counts; being put aside by the scheduler does not. uvloop, which the server runs on, has no such handles:
the server that is watched runs on asyncio's loop instead, and its callbacks are the same.
"""

import asyncio
import time
from collections import defaultdict
from typing import Any, Final

__all__ = ["Watch", "watch_callbacks"]

LIMIT_US: Final = 1000.0
_original: Final = asyncio.events.Handle._run  # noqa: SLF001  (there is no public place to stand in)


class Watch:
    """Microseconds of CPU of every callback so far, by what was called."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = defaultdict(list)

    def note(self, name: str, microseconds: float) -> None:
        """Count one callback."""
        self.taken[name].append(microseconds)

    def forget(self) -> None:
        """Begin anew."""
        self.taken.clear()

    def summary(self) -> dict[str, Any]:
        """Return how many callbacks there were, the longest, its name, and how many held the loop over the limit."""
        everything = sorted(each for taken in self.taken.values() for each in taken)
        if not everything:
            return {"callbacks": 0}
        longest = max(self.taken, key=lambda name: max(self.taken[name]))
        return {
            "callbacks": len(everything),
            "p50_us": round(everything[len(everything) // 2], 1),
            "p99_us": round(everything[len(everything) * 99 // 100], 1),
            "p999_us": round(everything[len(everything) * 999 // 1000], 1),
            "longest_us": round(everything[-1], 1),
            "longest": longest,
            "over_limit": sum(each > LIMIT_US for each in everything),
        }


def _name(handle: Any) -> str:
    callback = handle._callback  # noqa: SLF001  (as above)
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        coroutine = task.get_coro()
        return f"task {getattr(coroutine, '__qualname__', coroutine)}"
    return str(getattr(callback, "__qualname__", callback))


def watch_callbacks() -> Watch:
    """Time every callback of this process from now on."""
    watch = Watch()

    def timed(handle: Any) -> None:
        before = time.thread_time_ns()
        _original(handle)
        taken = (time.thread_time_ns() - before) / 1000
        if handle._callback is not None:  # noqa: SLF001  (a cancelled one has none any more)
            watch.note(_name(handle), taken)

    asyncio.events.Handle._run = timed  # type: ignore[method-assign,assignment]  # noqa: SLF001  (as above)
    return watch
