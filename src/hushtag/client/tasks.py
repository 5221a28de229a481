"""Tasks of the asynchronous driver: what is awaited so that a cancellation breaks off nothing that it must not."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ["in_task"]

T = TypeVar("T")


async def in_task(work: Callable[[], Awaitable[T]], undo: Callable[[T], Awaitable[object]] | None = None) -> T:
    """Return what `work` returns, awaited in a task of its own; `undo` gets a result that nobody takes any more.

    asyncio cancels a task wherever it waits, also where httpcore gives a connection back under a shield of anyio, and
    then that connection is never free again. A task group makes of it the cancellation of a scope, which such shields
    hold off.
    """
    results: list[T] = []
    failures: list[Exception] = []

    async def run() -> None:
        try:
            results.append(await work())
        except Exception as error:  # kept, and raised below without an exception group around it
            failures.append(error)

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(run)
    except BaseException:
        if results and undo is not None:  # it was there already when the cancellation came
            with anyio.CancelScope(shield=True):
                await in_task(lambda: undo(results.pop()))
        raise
    if failures:
        raise failures.pop()
    return results.pop()
