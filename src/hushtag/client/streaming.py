"""Long answers and long bodies, piece by piece. No limit of time for the whole: each piece must come in time."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread
import httpx

from hushtag.client.effects import Download, Response, Upload
from hushtag.client.policy import Timeouts
from hushtag.client.transport import Reading, request_options, typed_failures
from hushtag.errors import MalformedError

__all__ = ["download", "download_async", "upload", "upload_async"]

_PIECE = 64 * 1024
_MAX_PROBLEM = 64 * 1024


class _Arriving:
    """A long answer while it arrives; `None` for one that is no 200 and is read like any other."""

    def __init__(self, answer: httpx.Response, effect: Download) -> None:
        self.short = Reading(answer, _MAX_PROBLEM)
        self.long = answer.status_code == 200
        self._left = effect.request.max_answer
        self._take = effect.take
        if self.long:
            effect.started({name.lower(): value for name, value in answer.headers.items()})

    def take(self, piece: bytes) -> None:
        """Hand a piece on.

        Raises:
            MalformedError: the answer grows beyond its limit.
        """
        if not self.long:
            self.short.take(piece)
            return
        self._left -= len(piece)
        if self._left < 0:
            raise MalformedError("answer is longer than it may be")
        self._take(piece)

    def complete(self) -> Response:
        """Return the answer."""
        return self.short.complete()


def download(url: httpx.URL, http: httpx.Client, effect: Download) -> Response:
    """Perform a download by blocking."""
    with typed_failures(), http.stream(**request_options(url, effect.request)) as answer:
        arriving = _Arriving(answer, effect)
        for piece in answer.iter_raw(_PIECE):
            arriving.take(piece)
        return arriving.complete()


async def download_async(
    url: httpx.URL, http: httpx.AsyncClient, effect: Download, threads: anyio.CapacityLimiter
) -> Response:
    """Perform a download by awaiting."""
    with typed_failures():
        async with http.stream(**request_options(url, effect.request)) as answer:
            arriving = _Arriving(answer, effect)
            async for piece in answer.aiter_raw(_PIECE):
                await anyio.to_thread.run_sync(arriving.take, piece, limiter=threads)
            return arriving.complete()


def _upload_options(url: httpx.URL, effect: Upload, timeouts: Timeouts) -> dict[str, Any]:
    options = request_options(url, effect.request)
    # The length is known, so the server can refuse what is too long before it is sent.
    options["headers"] |= {"Content-Length": str(effect.length)}
    return options | {"timeout": httpx.Timeout(timeouts.read, connect=timeouts.connect, read=effect.patience)}


def upload(url: httpx.URL, http: httpx.Client, effect: Upload, timeouts: Timeouts) -> Response:
    """Perform an upload by blocking."""

    def pieces() -> Iterator[bytes]:
        while piece := effect.read():
            yield piece

    options = _upload_options(url, effect, timeouts) | {"content": pieces()}
    with typed_failures(), http.stream(**options) as answer:
        reading = Reading(answer, effect.request.max_answer)
        for piece in answer.iter_raw():
            reading.take(piece)
        return reading.complete()


async def upload_async(
    url: httpx.URL, http: httpx.AsyncClient, effect: Upload, timeouts: Timeouts, threads: anyio.CapacityLimiter
) -> Response:
    """Perform an upload by awaiting."""

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await anyio.to_thread.run_sync(effect.read, limiter=threads):
            yield piece

    options = _upload_options(url, effect, timeouts) | {"content": pieces()}
    with typed_failures():
        async with http.stream(**options) as answer:
            reading = Reading(answer, effect.request.max_answer)
            async for piece in answer.aiter_raw():
                reading.take(piece)
            return reading.complete()
