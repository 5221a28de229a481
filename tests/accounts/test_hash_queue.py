"""Password hashes in a bounded pool: few at once, a bounded line before them, and nobody's attempt lost in it."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from argon2 import PasswordHasher

from hushtag_server.accounts import passwords
from hushtag_server.errors import UnavailableError
from hushtag_server.hash_queue import HashQueue
from tests.people import PASSWORD

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
HASH = 64 * MIB
LOGINS = 200
AT_ONCE = 40  # as many as a server without a queue would compute at once: one for each thread anyio allows


async def test_few_run_at_once_and_the_others_wait() -> None:
    queue = HashQueue(3, 50, timedelta(seconds=30))
    running, most = 0, 0
    gate = asyncio.Event()

    async def one() -> None:
        nonlocal running, most
        async with queue.turn():
            running += 1
            most = max(most, running)
            await gate.wait()
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
        await anyio.wait_all_tasks_blocked()  # whoever could run, runs
        assert (running, queue.in_line) == (3, 17)
        gate.set()
    assert most == 3


async def test_the_line_has_an_end() -> None:
    queue = HashQueue(1, 2, timedelta(seconds=30))
    gate = asyncio.Event()

    async def one() -> None:
        async with queue.turn():
            await gate.wait()

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        assert queue.in_line == 2
        with pytest.raises(UnavailableError):
            await queue.run(lambda: pytest.fail("it had no turn"))
        gate.set()
    assert await queue.run(lambda: "free again") == "free again"


async def test_a_turn_that_does_not_come_in_time_is_given_up() -> None:
    queue = HashQueue(1, 10, timedelta(milliseconds=20))
    async with queue.turn():
        with pytest.raises(UnavailableError):
            await queue.run(lambda: pytest.fail("it had no turn"))
        assert queue.in_line == 0
    assert await queue.run(lambda: "free again") == "free again"


async def test_a_caller_that_leaves_takes_no_turn_with_it() -> None:
    queue = HashQueue(1, 10, timedelta(seconds=30))
    async with queue.turn():
        waiting = asyncio.create_task(queue.run(lambda: None))
        await anyio.wait_all_tasks_blocked()
        assert queue.in_line == 1
        waiting.cancel()
        await asyncio.wait([waiting])
    assert await queue.run(lambda: "free again") == "free again"


async def test_a_login_that_finds_no_place_is_told_to_come_back_and_is_not_charged(
    settings: Any, keys: Any, serve_in_process: Callable[..., Any]
) -> None:
    tight = replace(settings, password_hashes_at_once=1, password_hashes_waiting=1, login_attempts_per_account=3)
    credentials = {"email": "ada@example.org", "password": PASSWORD}
    async with serve_in_process(tight, keys) as client:
        await client.post("/v1/accounts", json=credentials)
        queue = client.app.application.application.state["services"].passwords
        async with queue.turn():
            waiting = asyncio.create_task(queue.run(lambda: None))
            await anyio.wait_all_tasks_blocked()
            assert queue.in_line == 1
            for path in ("/v1/sessions", "/v1/accounts/reactivation"):
                for _ in range(5):  # more than the account has attempts
                    answer = await client.post(path, json=credentials)
                    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                    assert int(answer.headers["retry-after"]) >= 1
        await waiting
        assert (await client.post("/v1/sessions", json=credentials)).status_code == 201


async def test_a_sign_up_that_finds_no_place_is_not_charged(
    settings: Any, keys: Any, serve_in_process: Callable[..., Any]
) -> None:
    tight = replace(settings, password_hashes_at_once=1, password_hashes_waiting=1, login_attempts_per_address=2)
    credentials = {"email": "ada@example.org", "password": PASSWORD}
    async with serve_in_process(tight, keys, "192.0.2.1") as client:
        queue = client.app.application.application.state["services"].passwords
        async with queue.turn():
            waiting = asyncio.create_task(queue.run(lambda: None))
            while not queue.in_line:
                await anyio.sleep(0)
            answers = [await client.post("/v1/accounts", json=credentials) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [503] * 4  # more than the address has attempts
        await waiting
        statuses = [(await client.post("/v1/accounts", json=credentials)).status_code for _ in range(3)]
        assert statuses == [202, 202, 429]


KNOWN = {"email": "ada@example.org", "password": PASSWORD}
KINDS = [(KNOWN, 201), ({**KNOWN, "password": "wrong password"}, 401), ({**KNOWN, "email": "nobody@example.org"}, 401)]


async def _log_in_at_once(client: httpx.AsyncClient, count: int) -> None:
    """Log in with the right password, a wrong one and an unknown email in turn; each is answered as it ought to be."""
    asked = [KINDS[number % len(KINDS)] for number in range(count)]
    answers = await asyncio.gather(*(client.post("/v1/sessions", json=login) for login, _ in asked))
    assert [answer.status_code for answer in answers] == [expected for _, expected in asked]


class _Crowd(PasswordHasher):
    """Holds every verification until it may go on, and counts how many are under way."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.inside, self.most = 0, 0
        self.may_go_on = threading.Event()
        self._counting = threading.Lock()

    def _count(self, step: int) -> None:
        with self._counting:
            self.inside += step
            self.most = max(self.most, self.inside)

    def verify(self, *login: Any) -> Any:
        self._count(1)
        self.may_go_on.wait(300)
        try:
            return super().verify(*login)
        finally:
            self._count(-1)


async def test_200_logins_at_once_wait_for_their_turn_and_are_all_answered(
    settings: Any, keys: Any, serve_in_process: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(
        settings,
        password_hashes_at_once=4,
        login_attempts_per_account=10_000,
        login_attempts_per_address=10_000,
        password_wait=timedelta(minutes=5),  # however slow this machine is today
        pool_wait=timedelta(minutes=5),
        request_timeout=timedelta(minutes=5),
    )
    async with serve_in_process(few, keys) as client:
        await client.post("/v1/accounts", json=KNOWN)
        crowd = _Crowd()
        monkeypatch.setattr(passwords, "_HASHER", crowd)
        queue = client.app.application.application.state["services"].passwords
        async with anyio.create_task_group() as group:
            group.start_soon(_log_in_at_once, client, LOGINS)
            while queue.in_line + crowd.inside < LOGINS:
                await anyio.sleep(0.01)
            crowd.may_go_on.set()
    assert crowd.most == 4


# --- a real server ------------------------------------------------------------------------------------------


def _children(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _children(int(child))


def _peak(pid: int) -> int:
    """The most resident memory the processes of the server ever had, each at its own moment; PostgreSQL's not."""
    total = 0
    for process in _children(pid):
        if os.path.basename(os.readlink(f"/proc/{process}/exe")) == "postgres":
            continue
        status = Path(f"/proc/{process}/status").read_text()
        (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        total += int(peak.split()[1]) * 1024
    return total


async def test_logins_at_once_are_all_answered_within_the_memory_of_a_few(
    data_directory: Path, run_server: Callable[..., Any]
) -> None:
    limits = {
        "HUSHTAG_LOGIN_ATTEMPTS_PER_ACCOUNT": "100000",
        "HUSHTAG_LOGIN_ATTEMPTS_PER_ADDRESS": "100000",
        "HUSHTAG_PASSWORD_HASHES_AT_ONCE": "4",
        # However slow this machine is today, nobody is to be sent away: what is measured is memory.
        "HUSHTAG_PASSWORD_WAIT": "10m",
        "HUSHTAG_REQUEST_TIMEOUT": "10m",
        "HUSHTAG_LOG_LEVEL": "warning",
    }
    with run_server(data_directory, real_hashes=True, **limits) as server:
        async with httpx.AsyncClient(
            base_url=server.url, timeout=250, limits=httpx.Limits(max_connections=AT_ONCE)
        ) as client:
            assert (await client.post("/v1/accounts", json=KNOWN)).status_code == 202
            before = _peak(server.process.pid)
            await _log_in_at_once(client, AT_ONCE)
            grown = _peak(server.process.pid) - before
    # One hash was counted before. Three more at once, and 64 MiB for connections and requests; unbounded it would be
    # gigabytes.
    assert grown <= 3 * HASH + 64 * MIB, grown // MIB


async def test_two_workers_count_attempts_together(database: Any, data_directory: Path, tmp_path: Path) -> None:
    from tests.live_server import start_server, temporary_directory

    variables = {
        "HUSHTAG_DATABASE_URL": database.app_url,
        "HUSHTAG_KEY_FILE": str(data_directory / "keys.json"),
        "HUSHTAG_LOGIN_ATTEMPTS_PER_ACCOUNT": "5",
        "HUSHTAG_LOGIN_ATTEMPTS_PER_ADDRESS": "17",
    }
    with temporary_directory() as other:
        first = start_server(data_directory, **variables)
        try:
            second = start_server(other, **variables)
        except BaseException:
            first.end()
            raise
        try:
            async with httpx.AsyncClient(timeout=100) as client:

                async def attempts(email: str, count: int) -> list[int]:
                    wrong = {"email": email, "password": "wrong password"}
                    answers = await asyncio.gather(
                        *(client.post(f"{server.url}/v1/sessions", json=wrong)
                          for server in (first, second) for _ in range(count))
                    )  # fmt: skip
                    return [answer.status_code for answer in answers]

                by_account = await attempts("nobody@example.org", 8)
                assert sorted(by_account) == [401] * 5 + [429] * 11
                # What one of them refuses now, the other has counted.
                assert await attempts("nobody@example.org", 1) == [429, 429]
                by_address = [await attempts(f"nobody{number}@example.org", 4) for number in range(5)]
                assert sum(statuses.count(401) for statuses in by_address) == 17 - 5
        finally:
            first.end()
            second.end()
