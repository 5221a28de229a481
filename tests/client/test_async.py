"""What only an event loop can show: the same surface, a loop that stays responsive, cancellation, many tasks."""

import asyncio
import functools
import inspect
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest

from hushtag import _opaque, _stretch
from hushtag.client import (
    AsyncClient,
    AsyncDevice,
    AsyncJournals,
    AsyncJournalTags,
    AsyncProfile,
    AsyncReminders,
    AsyncVault,
    Client,
    Device,
    IntegrityError,
    Journals,
    JournalTags,
    NotLoggedInError,
    Profile,
    Reminders,
    TimedOutError,
    Timeouts,
    Vault,
    VaultLockedError,
    ceremony_steps,
)
from hushtag.client.threads import FewAtATime
from hushtag.errors import MisuseError
from hushtag.phrase import draw_phrase
from hushtag.streams import SEGMENT_SIZE
from tests.client.fake_server import URL, FakeServer
from tests.client.support import EMAIL, NO_PAUSE, PASSWORD, PHRASE

pytestmark = pytest.mark.anyio


@pytest.fixture
async def async_client(server: FakeServer) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(URL, transport=server.transport(), retry=NO_PAUSE) as client:
        await client.log_in(EMAIL, PASSWORD)
        yield client


def surface(kind: type) -> dict[str, Any]:
    return {name: value for name, value in vars(kind).items() if not name.startswith("_")}


def normalised(annotation: object) -> str:
    text = str(annotation)
    # An iterator that is awaited takes nothing in and returns nothing, so its type has one parameter less.
    text = re.sub(r"collections\.abc\.AsyncGenerator\[(.*), None\]", r"collections.abc.Generator[\1, None, None]", text)
    return text.replace("async_", "").replace("Async", "")


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize(
    ("blocking", "awaited"),
    [
        (Client, AsyncClient),
        (Vault, AsyncVault),
        (Journals, AsyncJournals),
        (JournalTags, AsyncJournalTags),
        (Reminders, AsyncReminders),
        (Profile, AsyncProfile),
        (Device, AsyncDevice),
    ],
)
def test_both_clients_have_the_same_surface(blocking: type, awaited: type) -> None:
    assert list(surface(blocking)) == list(surface(awaited))
    pairs = [(blocking.__init__, awaited.__init__)]
    for name, method in surface(blocking).items():
        other = surface(awaited)[name]
        assert type(method) is type(other), name
        if isinstance(method, property):
            assert not inspect.iscoroutinefunction(other.fget)
            pairs.append((method.fget, other.fget))
        else:
            iterates = "Generator" in str(inspect.get_annotations(method)["return"])
            assert inspect.iscoroutinefunction(other) != iterates, name
            pairs.append((method, other))
    for one, two in pairs:
        if "driver" in inspect.signature(one).parameters:
            continue  # made by `unlock` alone
        mine = {key: normalised(value) for key, value in inspect.get_annotations(one).items()}
        theirs = {key: normalised(value) for key, value in inspect.get_annotations(two).items()}
        assert mine == theirs
        defaults = [
            [
                (parameter.name, parameter.kind, parameter.default)
                for parameter in inspect.signature(each).parameters.values()
            ]
            for each in (one, two)
        ]
        assert defaults[0] == defaults[1]


async def test_the_loop_ticks_while_a_phrase_is_stretched(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks are counted from inside the worker thread: on the event loop there could be none between the two looks."""
    ticks = 0
    seen: list[int] = []

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await anyio.lowlevel.checkpoint()

    stretch = _stretch.stretch_phrase

    def counting(*arguments: Any) -> Any:
        before = ticks
        stretched = stretch(*arguments)
        seen.append(ticks - before)
        return stretched

    monkeypatch.setattr(ceremony_steps, "stretch_phrase", counting)
    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        vault = await async_client.unlock([PHRASE, "something misheard", "something else misheard"])
        await vault.lock()
        group.cancel_scope.cancel()
    assert len(seen) == 3
    assert min(seen) >= 5


async def test_few_phrases_are_stretched_at_a_time_however_many_clients_there_are(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes 64 MiB: a hundred users of one process who unlocked together took gigabytes."""
    inside, go = threading.Semaphore(0), threading.Event()
    stretch = ceremony_steps.stretch_phrase

    def held(*arguments: Any) -> Any:
        inside.release()
        assert go.wait(30)
        return stretch(*arguments)

    monkeypatch.setattr(ceremony_steps, "STRETCHES", FewAtATime(2))
    monkeypatch.setattr(ceremony_steps, "stretch_phrase", held)
    async with AsyncClient(URL, transport=server.transport(), retry=NO_PAUSE) as client:
        session = await client.log_in(EMAIL, PASSWORD)
    unlocked: list[AsyncVault] = []

    async def unlock() -> None:
        async with AsyncClient(URL, transport=server.transport(), retry=NO_PAUSE, session=session) as client:
            unlocked.append(await client.unlock(PHRASE))

    def enter(seconds: float) -> bool:
        return inside.acquire(timeout=seconds)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(unlock)
        assert [await anyio.to_thread.run_sync(enter, 30.0) for _ in range(2)] == [True, True]
        assert not await anyio.to_thread.run_sync(enter, 0.3)
        go.set()
    assert len(unlocked) == 4


async def test_the_opaque_steps_run_off_the_loop(async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    loop_thread = threading.current_thread()
    threads: dict[str, threading.Thread] = {}

    def watch(name: str) -> None:
        step = getattr(_opaque, name)

        def watched(*arguments: Any) -> Any:
            threads[name] = threading.current_thread()
            return step(*arguments)

        monkeypatch.setattr(_opaque, name, watched)

    for name in ("finish_registration", "finish_login", "locate_masking_key"):
        watch(name)
    await async_client.enrol(draw_phrase())
    async with await async_client.unlock(PHRASE):
        pass
    assert len(threads) == 3
    assert loop_thread not in threads.values()


def yielding(server: FakeServer) -> httpx.MockTransport:
    """The server in memory behind a transport that lets other tasks run, as a network would."""

    async def serve(request: httpx.Request) -> httpx.Response:
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        made = server.serve(request)
        return httpx.Response(made.status_code, headers=made.headers, stream=httpx.ByteStream(made.content))

    return httpx.MockTransport(serve)


async def test_many_tasks_of_one_vault_take_turns_and_lose_nothing(server: FakeServer) -> None:
    async with AsyncClient(URL, transport=yielding(server), retry=NO_PAUSE) as client:
        await client.log_in(EMAIL, PASSWORD)
        async with await client.unlock(PHRASE) as vault:
            async with anyio.create_task_group() as group:
                for number in range(30):
                    group.start_soon(functools.partial(vault.put, b"x", name=str(number)))
            assert {entry.name for entry in await vault.list()} == {str(number) for number in range(30)}
    assert sum(line.startswith("PUT") for line in server.log) == 30  # none collided with another


async def test_a_listing_reads_at_most_eight_rows_at_once(server: FakeServer) -> None:
    under_way = most = 0

    async def serve(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        row = request.method == "GET" and "/objects/" in request.url.path
        under_way += row
        most = max(most, under_way)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        under_way -= row
        made = server._respond(request)
        return httpx.Response(made.status_code, headers=made.headers, stream=httpx.ByteStream(made.content))

    async with AsyncClient(URL, transport=httpx.MockTransport(serve)) as client:
        await client.log_in(EMAIL, PASSWORD)
        async with await client.unlock(PHRASE) as vault:
            for number in range(20):
                await vault.put(bytes(5000), name=str(number))  # too long to come with the listing
            vault._steps._metas.clear()
            assert len(await vault.list()) == 20
    assert most == 8


async def test_one_failing_row_of_many_is_the_error_of_the_listing(
    async_client: AsyncClient, server: FakeServer
) -> None:
    async with await async_client.unlock(PHRASE) as vault:
        for number in range(10):
            await vault.put(bytes(5000), name=str(number))  # too long to come with the listing
        vault._steps._metas.clear()
        server.rewrite = spoil_rows
        with pytest.raises(IntegrityError, match="object row"):
            await vault.list()


def spoil_rows(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    if request.method != "GET" or "/objects/" not in request.url.path:
        return response
    return httpx.Response(200, headers=response.headers, content=bytes(len(response.content)))


async def test_a_cancelled_put_frees_what_was_sent(async_client: AsyncClient, server: FakeServer) -> None:
    held = next(iter(server.users[EMAIL].vaults.values()))
    async with await async_client.unlock(PHRASE) as vault:
        putting = asyncio.create_task(vault.put(bytes(5 * SEGMENT_SIZE), name="film"))

        def cancel(_: httpx.Request) -> None:
            if sum(len(stream.segments) for stream in held.streams.values()) >= 2:
                server.on_request = None
                putting.cancel()

        server.on_request = cancel
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert server.on_request is None
        assert held.streams == {}


async def test_a_cancelled_task_locks_and_forgets(server: FakeServer) -> None:
    opened: list[AsyncVault] = []
    inside = anyio.Event()
    client = AsyncClient(URL, transport=yielding(server), retry=NO_PAUSE)
    await client.log_in(EMAIL, PASSWORD)

    async def work() -> None:
        async with await client.unlock(PHRASE) as vault:
            opened.append(vault)
            inside.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await inside.wait()
        group.cancel_scope.cancel()
    assert opened[0].locked
    assert server.vault_tokens == {}
    with pytest.raises(VaultLockedError):
        await opened[0].list()
    await client.close()


async def test_a_server_that_never_answers_times_out() -> None:
    async def never(_request: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    timeouts = Timeouts(overall=0.01)
    async with AsyncClient(URL, transport=httpx.MockTransport(never), timeouts=timeouts) as client:
        with pytest.raises(TimedOutError):
            await client.sign_up(EMAIL, PASSWORD)


async def test_files_are_read_off_the_loop_and_stored(async_client: AsyncClient, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG" + bytes(1000))
    async with await async_client.unlock(PHRASE) as vault:
        kept = await vault.put(path)
        found = await vault.get_by_name("photo.png")
    assert (kept.content_type, found.body) == ("image/png", path.read_bytes())


def test_a_client_belongs_to_one_event_loop(server: FakeServer, tmp_path: Path) -> None:
    """In the next one a connection that was kept raised a bare RuntimeError: the loop it belongs to is closed."""
    client = AsyncClient(URL, transport=server.transport(), retry=NO_PAUSE)

    async def first() -> AsyncVault:
        await client.log_in(EMAIL, PASSWORD)
        vault = await client.unlock(PHRASE)
        await vault.put(b"one", name="a")
        return vault

    async def second(vault: AsyncVault) -> None:
        for call in (
            client.account,
            lambda: anext(client.journal.list()),
            lambda: client.unlock(PHRASE),
            lambda: client.export_data(tmp_path / "archive"),
            vault.list,
            lambda: vault.put(b"two", name="b"),
        ):
            with pytest.raises(MisuseError, match="event loop it was first used in"):
                await call()
        async with vault:
            pass
        assert vault.locked
        with pytest.raises(MisuseError, match="event loop it was first used in"):
            await client.close()

    opened = asyncio.run(first())
    server.log.clear()
    asyncio.run(second(opened))
    assert server.log == []


def test_what_is_of_no_loop_yet_is_of_the_first(server: FakeServer) -> None:
    client = AsyncClient(URL, transport=server.transport(), retry=NO_PAUSE)

    async def refused() -> None:
        with pytest.raises(NotLoggedInError):
            await client.account()

    async def taken() -> None:
        async with client:
            await client.log_in(EMAIL, PASSWORD)

    asyncio.run(refused())
    asyncio.run(taken())


def test_without_an_event_loop_of_asyncio_a_client_says_what_it_needs(server: FakeServer) -> None:
    """As under trio."""
    client = AsyncClient(URL, transport=server.transport(), retry=NO_PAUSE)
    for call in (client.sign_up(EMAIL, PASSWORD), client.log_in(EMAIL, PASSWORD)):
        with pytest.raises(MisuseError, match="needs an event loop of asyncio"):
            call.send(None)
