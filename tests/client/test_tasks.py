"""Tasks that asyncio cancels at any step of a request: no connection is lost, and failures come out as they are."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from hushtag.client.drivers import AsyncDriver
from hushtag.client.effects import Opened, Request, Steps, Upload, close_answer, exchange, open_answer, read_piece
from hushtag.client.errors import TransportError
from hushtag.client.policy import Timeouts
from hushtag.client.tasks import in_task

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
BODY = b"x" * 200_000
ROUNDS = 120
"""Turns of the event loop after which a task is cancelled, at most: by then the longest of these exchanges is over."""


@asynccontextmanager
async def answering() -> AsyncIterator[httpx.URL]:
    """Serve connections that stay open, and answer every request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
                writer.write(HEAD % len(BODY) + BODY)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield httpx.URL(f"http://127.0.0.1:{port}")


def read_whole() -> Steps[None]:
    opened = yield from open_answer(Request("GET", "/"))
    assert isinstance(opened, Opened)
    try:
        while (yield from read_piece(opened)):
            pass
    finally:
        yield from close_answer(opened)


def sent() -> Steps[None]:
    pieces = [b"", b"y" * 100]
    yield Upload(Request("POST", "/", content_type="text/plain", max_answer=len(BODY)), pieces.pop, 100, 5.0)


def asked() -> Steps[None]:
    yield from exchange(Request("GET", "/", max_answer=len(BODY)))


@pytest.mark.parametrize("steps", [asked, read_whole, sent])
def test_cancelled_tasks_leave_no_connection_behind(steps: Callable[[], Steps[None]]) -> None:
    async def main() -> None:
        async with answering() as url, httpx.AsyncClient(trust_env=False) as http:
            driver = AsyncDriver(url, http, Timeouts())
            pool: Any = http._transport
            broken = 0
            for turns in range(ROUNDS):
                task = asyncio.create_task(driver.run(steps()))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                broken += isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
                busy = [each for each in pool._pool.connections if not each.is_idle() and not each.is_closed()]
                assert busy == [], f"cancelled after {turns} turns"
            assert broken > 10
            await driver.run(steps())

    asyncio.run(main())


def test_a_result_that_nobody_takes_is_undone() -> None:
    """The cancellation comes when the work is done, and before who waits for it has heard of that."""
    undone: list[str] = []

    async def undo(result: str) -> None:
        await asyncio.sleep(0)
        undone.append(result)

    async def main() -> None:
        async def work() -> str:
            asyncio.get_running_loop().call_soon(task.cancel)
            return "opened"

        task = asyncio.create_task(in_task(work, undo))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert undone == ["opened"]


def test_failures_and_time_outs_of_tasks_come_out_as_they_are() -> None:
    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            with pytest.raises(TransportError):
                await AsyncDriver(httpx.URL("http://127.0.0.1:1"), http, Timeouts()).run(asked())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(in_task(anyio.sleep_forever), 0.01)
        with anyio.move_on_after(0.01) as waiting:
            await in_task(anyio.sleep_forever)
        assert waiting.cancelled_caught

    asyncio.run(main())
