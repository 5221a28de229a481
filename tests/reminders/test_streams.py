"""Event streams over real HTTP: from any worker, once per session, resumable, and gone when they should be."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil
import pytest

from tests.live_server import run_server, temporary_directory
from tests.people import PASSWORD, SignedIn
from tests.reminders.listener import TooManyStreamsError, due_in, listen, remind, told

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def busy() -> Iterator[Any]:
    """Two workers with two database connections each, and a deadline that is shorter than any stream here."""
    variables = {"HUSHTAG_POOL_SIZE": "2", "HUSHTAG_REQUEST_TIMEOUT": "6s", "HUSHTAG_LOGIN_ATTEMPTS_PER_ACCOUNT": "999"}
    with temporary_directory() as directory, run_server(directory, "--workers", "2", **variables) as server:
        yield server
        assert "internal error" not in server.log.read_text()


async def enter(url: str, email: str) -> SignedIn:
    credentials = {"email": email, "password": PASSWORD}
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        await client.post("/v1/accounts", json=credentials)
        answer = await client.post("/v1/sessions", json=credentials)
        assert answer.status_code == 201, answer.text
        body = answer.json()
        return SignedIn(email, body["user_id"], body["session_id"], body["token"])


def streams_by_worker(server: Any) -> list[int]:
    port = int(server.url.rsplit(":", 1)[1])
    main = psutil.Process(server.process.pid)
    connections = [
        [each for each in child.net_connections("tcp4") if each.status == "ESTABLISHED" and each.laddr.port == port]
        for child in main.children()
        if child.name() != "postgres"
    ]
    return [len(each) for each in connections if each]


async def test_a_reminder_reaches_every_session_at_every_worker(busy: Any) -> None:
    sessions = [await enter(busy.url, "every@example.org") for _ in range(8)]
    async with AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(listen(busy.url, session.token)) for session in sessions[:-1]]
        for _ in range(30):  # until both workers hold some
            async with AsyncExitStack() as last:
                listener = await last.enter_async_context(listen(busy.url, sessions[-1].token))
                if len(streams_by_worker(busy)) == 2:
                    stack.push_async_exit(last.pop_all().__aexit__)
                    break
        assert len(streams_by_worker(busy)) == 2
        listeners.append(listener)
        # It did not exist when the streams began, so only the bell can tell the other worker before its heartbeat.
        made = await remind(busy.url, sessions[0].token, "tea", 3.0)
        for listener in listeners:
            event = await listener.next(10)
            assert event is not None
            assert event["id"] == made["id"]
            assert event["status"] == "due"
            assert event["title"] == "tea"
    for session, listener in zip(sessions, listeners, strict=True):
        assert await told(busy.url, session.token, listener.last_id) == []


async def test_streams_of_one_session_share_the_events_and_a_resumed_one_repeats_what_was_lost(busy: Any) -> None:
    ada = await enter(busy.url, "share@example.org")
    titles = sorted(f"reminder {number}" for number in range(12))
    async with AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(listen(busy.url, ada.token, wait=12)) for _ in range(4)]
        beginning = listeners[0].last_id
        for title in titles:
            await remind(busy.url, ada.token, title, 2.0)
        for listener in listeners:
            while await listener.next(30) is not None:
                pass
    heard = [event["title"] for listener in listeners for event in listener.seen]
    assert sorted(heard) == titles  # each once, at whichever stream
    assert await told(busy.url, ada.token) == []
    again = await told(busy.url, ada.token, beginning)
    assert sorted(again) == titles  # the first event never arrived
    async with listen(busy.url, ada.token, beginning, wait=0) as resumed:
        for _ in range(5):
            await resumed.next()
        position = resumed.last_id
    assert await told(busy.url, ada.token, position) == again[5:]
    assert await told(busy.url, ada.token, "0123456789ab-3") == []  # an id of another session
    assert await told(busy.url, ada.token, "not an id") == []


async def test_another_session_hears_it_again_and_another_user_never(busy: Any) -> None:
    ada, eve = await enter(busy.url, "two@example.org"), await enter(busy.url, "eve@example.org")
    async with listen(busy.url, ada.token) as listener:
        await remind(busy.url, ada.token, "mine", 0.5)
        assert (await listener.next() or {})["title"] == "mine"
    assert await told(busy.url, (await enter(busy.url, "two@example.org")).token) == ["mine"]
    assert await told(busy.url, eve.token) == []


async def test_a_snoozed_reminder_is_told_again_and_a_completed_one_is_not(busy: Any) -> None:
    ada = await enter(busy.url, "snooze@example.org")
    async with listen(busy.url, ada.token) as listener, httpx.AsyncClient(base_url=busy.url, timeout=20) as client:
        made = await remind(busy.url, ada.token, "tea", 0.5)
        assert (await listener.next() or {})["title"] == "tea"
        path = f"/v1/reminders/{made['id']}"
        later = await client.post(f"{path}/snooze", json={"until": due_in(3.0)}, headers=ada.headers)
        assert later.json()["status"] == "pending"
        assert (await listener.next() or {})["snoozed_until"] is not None
        other = await remind(busy.url, ada.token, "done before it is due", 4.0)
        await client.post(f"/v1/reminders/{other['id']}/complete", headers=ada.headers)
        await remind(busy.url, ada.token, "last", 6.0)
        assert (await listener.next() or {})["title"] == "last"


async def test_open_streams_hold_no_connection_and_outlive_the_deadline_of_requests(busy: Any) -> None:
    ada = await enter(busy.url, "idle@example.org")
    async with AsyncExitStack() as stack:
        listeners = [
            await stack.enter_async_context(listen(busy.url, ada.token)) for _ in range(6)
        ]  # more than connections
        made = await remind(busy.url, ada.token, "after the deadline", 8.0)
        async with httpx.AsyncClient(base_url=busy.url) as client:
            got = await client.get(f"/v1/reminders/{made['id']}", headers=ada.headers)
            assert got.json()["status"] == "pending"
        heard: list[str] = []
        async with anyio.create_task_group() as group:

            async def hear(listener: Any) -> None:
                event = await listener.next(15)
                heard.append(event["title"])
                group.cancel_scope.cancel()

            for listener in listeners:
                group.start_soon(hear, listener)
        assert heard == ["after the deadline"]


async def test_a_stream_ends_with_its_session(busy: Any) -> None:
    ada, phone = await enter(busy.url, "ends@example.org"), await enter(busy.url, "ends@example.org")
    async with listen(busy.url, phone.token) as listener, httpx.AsyncClient(base_url=busy.url) as client:
        await client.delete(f"/v1/sessions/{phone.session_id}", headers=ada.headers)
        await remind(busy.url, ada.token, "not for the phone", 0.5)
        assert await listener.next(10) is None
        assert listener.seen == []
        answer = await client.get("/v1/reminders/events", headers=phone.headers)
        assert answer.status_code == 401


async def test_streams_that_clients_leave_make_room_for_others(busy: Any) -> None:
    ada = await enter(busy.url, "leaves@example.org")
    for _ in range(24):  # more than a user may hold at both workers together
        with anyio.fail_after(20):
            while True:
                try:
                    async with listen(busy.url, ada.token):
                        break
                except TooManyStreamsError:
                    await anyio.sleep(0.1)  # the server has yet to notice that the last ones are gone


async def test_a_stop_ends_the_streams_at_once(data_directory: Path, run_server: Any) -> None:
    with run_server(data_directory, "--workers", "2") as server:
        sessions = [await enter(server.url, "stop@example.org") for _ in range(4)]
        async with AsyncExitStack() as stack:
            listeners = [await stack.enter_async_context(listen(server.url, each.token)) for each in sessions]
            server.process.terminate()
            for listener in listeners:
                assert await listener.next(10) is None
                assert not listener.broken
        assert await anyio.to_thread.run_sync(server.process.wait, 20) == 0


async def test_what_was_told_before_a_kill_is_not_told_again(data_directory: Path, run_server: Any) -> None:
    with run_server(data_directory) as server:
        ada = await enter(server.url, "kill@example.org")
        async with listen(server.url, ada.token) as listener:
            await remind(server.url, ada.token, "before", 0.5)
            assert (await listener.next() or {})["title"] == "before"
            await remind(server.url, ada.token, "during", 6.0)
            server.process.kill()
            server.process.wait()
            assert await listener.next(10) is None
        last = listener.last_id
    with run_server(data_directory) as server:
        async with listen(server.url, ada.token, last) as listener:
            assert (await listener.next() or {})["title"] == "during"
        assert await told(server.url, ada.token, last) == ["during"]
        assert await told(server.url, ada.token, listener.last_id) == []
