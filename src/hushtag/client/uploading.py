"""Long bodies, piece by piece. There is no limit of time for the whole: each piece must be taken in time, and the
answer as a whole must be there in time once the last was, whatever comes before it.
"""

import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx

from hushtag.client.deadlines import deadline, put_off
from hushtag.client.effects import Response, Upload
from hushtag.client.policy import Timeouts
from hushtag.client.threads import in_thread
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
            put_off(timeouts.read + effect.patience)  # the answer is read after the last piece, or after one not taken
            yield piece
        put_off(effect.patience)

    options = _upload_options(url, effect, timeouts) | {"content": pieces()}
    with deadline(timeouts.overall), typed_failures(http), http.stream(**options) as answer:
        reading = Reading(answer, effect.request.max_answer)
        for piece in answer.iter_raw():
            reading.take(piece)
        return reading.complete()


async def upload_async(
    url: httpx.URL, http: httpx.AsyncClient, effect: Upload, timeouts: Timeouts, threads: anyio.CapacityLimiter
) -> Response:
    """Perform an upload by awaiting."""

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await read():
            scope.deadline = anyio.current_time() + timeouts.read + effect.patience
            yield piece
        scope.deadline = anyio.current_time() + effect.patience

    async def read() -> bytes:
        scope.deadline = math.inf
        return await in_thread(effect.read, threads)

    options = _upload_options(url, effect, timeouts) | {"content": pieces()}
    with typed_failures(http), anyio.fail_after(timeouts.overall) as scope:
        async with http.stream(**options) as answer:
            reading = Reading(answer, effect.request.max_answer)
            async for piece in answer.aiter_raw():
                reading.take(piece)
            return reading.complete()
