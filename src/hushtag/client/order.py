"""Workers that fetch side by side and hand over one after the other."""

import threading

import anyio

__all__ = ["Order", "StoppedError"]


class StoppedError(Exception):
    """Another worker has failed; its error is the one that counts."""


class Order:
    """Lets whoever has number 0 go first, then 1, and so on.

    `wait` blocks its thread; `wait_async` awaits. `advance` and `stop` are called where the steps run: in one of the
    threads, or in the event loop.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._next = 0
        self._stopped = False
        self._events: dict[int, anyio.Event] = {}

    def wait(self, number: int) -> None:
        """Wait for the turn of `number`.

        Raises:
            StoppedError: it will never come.
        """
        with self._turn:
            self._turn.wait_for(lambda: self._stopped or self._next >= number)
            self._check()

    async def wait_async(self, number: int) -> None:
        """As `wait`, awaited."""
        if not self._stopped and self._next < number:
            event = self._events[number] = anyio.Event()
            await event.wait()
        self._check()

    def _check(self) -> None:
        if self._stopped:
            raise StoppedError

    def advance(self) -> None:
        """Let the next one go on."""
        with self._turn:
            self._next += 1
            self._turn.notify_all()
        event = self._events.pop(self._next, None)
        if event is not None:
            event.set()

    def stop(self) -> None:
        """Let nobody wait any longer."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()
        for event in self._events.values():
            event.set()
