"""What is waited for and what is left alone: servers that never end, sources that say nothing, cancelled tasks."""

import asyncio
import io
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from hushtag.client.drivers import AsyncDriver, SyncDriver
from hushtag.client.effects import Request, Response, Steps, Upload, compute, gather, open_answer, read_piece
from hushtag.client.errors import TimedOutError
from hushtag.client.policy import Timeouts
from hushtag.client.sending_steps import Sending
from hushtag.client.stream_files import ContentSource, ContentTarget
from hushtag.client.threads import FewAtATime, wait_in_thread
from hushtag.errors import MisuseError
from hushtag.objects import CONTENT_TYPE

QUICK = Timeouts(connect=1, read=0.4, overall=0.8)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def endless(first: bytes, then: bytes) -> Iterator[httpx.URL]:
    """Serve one connection: something, and then something for ever."""
    ended = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                try:
                    connection.sendall(first)
                    while not ended.wait(0.1):
                        connection.sendall(then)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield httpx.URL(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            ended.set()
            thread.join()


def run_sync(url: httpx.URL, steps: Steps[Any]) -> Any:
    with httpx.Client(trust_env=False) as http:
        return SyncDriver(url, http, QUICK).run(steps)


def run_async(url: httpx.URL, steps: Steps[Any]) -> Any:
    async def main() -> Any:
        async with httpx.AsyncClient(trust_env=False) as http:
            return await AsyncDriver(url, http, QUICK).run(steps)

    return asyncio.run(main())


RUNS = pytest.mark.parametrize("run", [run_sync, run_async])


@RUNS
def test_a_server_that_never_answers_a_put_is_left(run: Callable[..., Any]) -> None:
    pieces = iter([b"x" * 100, b""])

    def steps() -> Steps[Response]:
        request = Request("PUT", "/x", content_type=CONTENT_TYPE)
        return (yield Upload(request, lambda: next(pieces), 100, 0.5))

    with endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n") as url:
        began = time.monotonic()
        with pytest.raises(TimedOutError):
            run(url, steps())
    assert time.monotonic() - began < 5


@RUNS
def test_a_server_that_never_ends_a_piece_is_left(run: Callable[..., Any]) -> None:
    def steps() -> Steps[bytes]:
        opened = yield from open_answer(Request("GET", "/x"))
        assert not isinstance(opened, Response)
        return (yield from read_piece(opened))

    with endless(HEAD + b"5;", b"a") as url:
        began = time.monotonic()
        with pytest.raises(TimedOutError):
            run(url, steps())
    assert time.monotonic() - began < 5


@contextmanager
def silent_source() -> Iterator[ContentSource]:
    """A pipe that has something, and then says nothing."""
    read, write = os.pipe()
    os.write(write, b"x" * 1000)
    file = os.fdopen(read, "rb", buffering=0)
    source = ContentSource(file)
    source.open()
    try:
        yield source
    finally:
        os.close(write)
        with source._turn:  # whoever was left alone
            file.close()


def takers(source: ContentSource, reading: threading.Event) -> list[Steps[Any]]:
    sending = Sending(source, None, {}, 65_536)

    def take() -> Any:
        reading.set()
        return sending.take(bytearray(65_536))

    return [compute(take, waits=sending.waits) for _ in range(3)]


def test_a_silent_source_starves_nobody_and_is_left_when_cancelled() -> None:
    async def main() -> None:
        reading = threading.Event()
        driver = AsyncDriver(httpx.URL("http://127.0.0.1"), httpx.AsyncClient(), QUICK)
        async with anyio.create_task_group() as group:
            for steps in takers(source, reading):
                group.start_soon(driver.run, steps)
            await anyio.to_thread.run_sync(reading.wait)
            with anyio.fail_after(5):
                assert await driver.run(compute(lambda: "done")) == "done"
            group.cancel_scope.cancel()
        await driver.close()

    with silent_source() as source:
        asyncio.run(asyncio.wait_for(main(), 10))
        source.close()


def test_ctrl_c_leaves_a_silent_source(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = threading.Event()
    driver = SyncDriver(httpx.URL("http://127.0.0.1"), httpx.Client(), QUICK)
    acquire = threading.Semaphore.acquire

    def interrupted(*args: Any, **kwargs: Any) -> bool:
        if threading.current_thread() is threading.main_thread():
            assert reading.wait(10)
            raise KeyboardInterrupt
        return acquire(*args, **kwargs)

    monkeypatch.setattr(threading.Semaphore, "acquire", interrupted)
    with silent_source() as source:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            driver.run(gather(takers(source, reading), 3))
    assert time.monotonic() - began < 5
    driver.close()


def test_a_failure_beside_a_silent_source_comes_out_at_once() -> None:
    reading = threading.Event()

    def fail() -> None:
        assert reading.wait(10)
        raise LookupError

    driver = SyncDriver(httpx.URL("http://127.0.0.1"), httpx.Client(), QUICK)
    with silent_source() as source, pytest.raises(LookupError):
        driver.run(gather([*takers(source, reading), compute(fail)], 4))
    driver.close()


def test_a_task_that_is_cancelled_waits_for_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Natively: by asyncio and not by a scope of anyio."""
    opening, goes_on, real = threading.Event(), threading.Event(), os.open

    def slow(*args: Any, **kwargs: Any) -> int:
        opening.set()
        assert goes_on.wait(10)
        return real(*args, **kwargs)

    async def main() -> None:
        driver = AsyncDriver(httpx.URL("http://127.0.0.1"), httpx.AsyncClient(), QUICK)
        target = ContentTarget(tmp_path / "out", force=False)

        def steps() -> Steps[None]:
            try:
                yield from compute(target.open)
            finally:
                target.close()

        task = asyncio.create_task(driver.run(steps()))
        assert await asyncio.to_thread(opening.wait, 10)
        task.cancel()
        asyncio.get_running_loop().call_later(0.1, goes_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        await driver.close()

    monkeypatch.setattr("hushtag.client.stream_files.os.open", slow)
    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


def test_a_thread_that_raises_stop_iteration_is_heard_of() -> None:
    """A future takes no StopIteration, and whoever awaited it waited for ever."""

    def work() -> None:
        raise StopIteration

    async def main() -> None:
        with anyio.fail_after(10), pytest.raises(MisuseError):
            await wait_in_thread(work)

    asyncio.run(main())


def test_a_source_is_closed_by_whoever_uses_it_last(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    source = ContentSource(path)
    assert source.waits
    writer = threading.Thread(target=lambda: path.write_bytes(b"x" * 10))
    writer.start()
    source.open()
    writer.join()
    assert source.read_into(memoryview(bytearray(5))) == 5
    with source._turn:
        source.close()
        assert source._file is not None
        assert not source._file.closed  # somebody reads
    source.read_into(memoryview(bytearray(5)))
    assert source._file.closed
    assert not ContentSource(io.BytesIO(b"").getvalue()).waits


def test_a_forked_process_waits_for_no_thread_that_it_has_not() -> None:
    few = FewAtATime(1)
    with few:
        child = os.fork()
        if not child:
            signal.alarm(20)
            with few:
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
