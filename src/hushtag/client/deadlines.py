"""The time of a whole exchange, for the blocking client: no single read may wait beyond its end.

httpx bounds each read, not their sum. A server that sends one byte of its head now and then, or interim answers (1xx)
without end, would keep a blocking client for ever: httpcore reads on without ever coming back to its caller. So the
deadline is held where the bytes come in.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import httpcore
import httpx

__all__ = ["deadline", "keep_deadlines", "put_off"]

_END: Final[ContextVar[float | None]] = ContextVar("end of the exchange", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[Callable[[], bool]]:
    """Bound every read of this thread in this context; yields whether the time is over."""
    end = time.monotonic() + seconds
    token = _END.set(end)
    try:
        yield lambda: time.monotonic() > end
    finally:
        _END.reset(token)


def put_off(seconds: float) -> None:
    """Let the deadline of this thread's context be so long from now, instead of when it was."""
    if _END.get() is not None:
        _END.set(time.monotonic() + seconds)


class _Stream(httpcore.NetworkStream):
    """A stream that reads no longer than its exchange may last."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        end = _END.get()
        if end is None:
            return self._stream.read(max_bytes, timeout)
        left = end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return self._stream.read(max_bytes, left if timeout is None else min(timeout, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """A network whose streams keep the deadline."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return _Stream(self._backend.connect_tcp(*args, **kwargs))

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        return _Stream(self._backend.connect_unix_socket(*args, **kwargs))

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


def keep_deadlines(http: httpx.Client) -> None:
    """Make every connection of this client keep the deadline of the exchange that reads from it."""
    # httpx hands no network backend on to httpcore, whose pools take one; tests/evil fails if these names change.
    transports: Iterable[Any] = (http._transport, *http._mounts.values())  # noqa: SLF001
    for pool in (getattr(transport, "_pool", None) for transport in transports):
        if isinstance(pool, httpcore.ConnectionPool):
            pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001
