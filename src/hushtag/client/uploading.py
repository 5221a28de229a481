"""Long bodies, piece by piece. There is no limit of time for the whole: each piece must be taken in time."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import anyio.to_thread
import httpx

from hushtag.client.effects import Response, Upload
from hushtag.client.policy import Timeouts
from hushtag.client.transport import Reading, request_options, typed_failures

__all__ = ["upload", "upload_async"]


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
