"""P7: exactly k guesses per budget, on a real server with two workers that is being killed.

A hundred locates at once, on four sessions of one account, in three rounds: while the database holds them back, a
worker and some of PostgreSQL's backends are killed; while they run, the other worker and more backends are, at random
moments; then the whole server is killed and started again. What was answered never exceeds what was charged, what was
charged never exceeds the budget, and charge and ceremony state are stored together or not at all.

`HUSHTAG_KILL_SEED=N` draws the same moments again.
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from hushtag.messages import encode_binary
from hushtag_server.embedded.files import load_passwords
from tests.live_server import RunningServer, start_server, workers_of
from tests.people import PASSWORD

pytestmark = pytest.mark.anyio

BUDGET = 150
SETTINGS = {
    "HUSHTAG_GUESS_CAPACITY": str(BUDGET),
    "HUSHTAG_GUESS_REFILL_PER_DAY": "0",
    "HUSHTAG_GUESS_LOCKOUT": "0",
    "HUSHTAG_CEREMONY_LIFETIME": "600",  # so that every state is still there to be counted
    "HUSHTAG_POOL_WAIT": "20",
}
SESSIONS, AT_ONCE = 4, 100
ELEMENT = encode_binary(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))
WAIT = 30.0


class Place:
    """A data directory, the server on it, and the account that is guessed at."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.server: RunningServer = start_server(data, "--workers", "2", **SETTINGS)
        with httpx.Client(base_url=self.server.url, timeout=WAIT) as client:
            login = {"email": "ada@example.org", "password": PASSWORD}
            assert client.post("/v1/accounts", json=login).status_code == 202
            self.tokens = [client.post("/v1/sessions", json=login).json()["token"] for _ in range(SESSIONS)]

    def workers(self) -> list[psutil.Process]:
        return workers_of(self.server.process.pid)

    def connect(self) -> "psycopg.Connection[Any]":
        password = load_passwords(self.data).admin
        return psycopg.connect(
            host=str(self.data / "socket"), user="postgres", password=password, dbname="hushtag", autocommit=True
        )

    def kill_and_restart(self) -> None:
        everything = [psutil.Process(self.server.process.pid), *self.workers()]
        for process in everything:
            process.kill()
        self.server.process.wait(WAIT)
        self.server.end()
        self.server = start_server(self.data, "--workers", "2", **SETTINGS)


@pytest.fixture
def place(data_directory: Path) -> Iterator[Place]:
    made = Place(data_directory)
    try:
        yield made
    finally:
        made.server.end()


async def _locate(client: httpx.AsyncClient, token: str, count: int) -> tuple[int, int]:
    """Return (guesses answered, status); 0 for whatever did not come to an answer."""
    try:
        answer = await client.post(
            "/v1/unlock/locate",
            json={"suite": "hushtag-v1", "elements": [ELEMENT] * count},
            headers={"Authorization": f"Bearer {token}"},
        )
    except httpx.TransportError:
        return 0, 0
    assert answer.status_code in {200, 429, 500, 503}, answer.text
    return (len(answer.json()["responses"]) if answer.status_code == 200 else 0), answer.status_code


def _terminate_some(watch: "psycopg.Connection[Any]", chance: random.Random, most: int) -> None:
    found = watch.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'hushtag-server'").fetchall()
    for (pid,) in chance.sample(found, min(most, len(found))):
        watch.execute("SELECT pg_terminate_backend(%s)", [pid])


async def _round(place: Place, chance: random.Random, disturb: Any, largest: int) -> tuple[int, list[int]]:
    """Send the locates all at once, disturb them, and return how many guesses were answered, and every status."""
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=place.server.url, limits=limits, timeout=WAIT) as client:
        sent = [
            asyncio.create_task(_locate(client, place.tokens[number % SESSIONS], chance.randint(1, largest)))
            for number in range(AT_ONCE)
        ]
        await disturb()
        answers = await asyncio.gather(*sent)
    return sum(count for count, _ in answers), [status for _, status in answers]


def _state(watch: "psycopg.Connection[Any]") -> tuple[float, int]:
    # No charge may still be under way: a killed worker's backends finish what they were told.
    deadline = time.monotonic() + WAIT
    active = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hushtag-server' AND state = 'active'"
    while watch.execute(active).fetchone() != (0,):
        assert time.monotonic() < deadline
    found = watch.execute(
        "SELECT (SELECT tokens FROM unlock_budget),"
        " (SELECT coalesce(sum(octet_length(session_data) / 32), 0) FROM opaque_sessions)"
    ).fetchone()
    assert found is not None
    return found[0], int(found[1])


async def test_a_hundred_parallel_guesses_on_dying_workers_never_exceed_the_budget(place: Place) -> None:
    seed = int(os.environ.get("HUSHTAG_KILL_SEED", random.randrange(2**32)))
    print(f"HUSHTAG_KILL_SEED={seed}")
    chance, answered = random.Random(seed), 0

    with place.connect() as watch, place.connect() as grip:

        async def while_held() -> None:
            grip.execute("BEGIN")
            grip.execute("SELECT FROM unlock_budget FOR UPDATE")
            held = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            deadline = time.monotonic() + WAIT
            # One of each session at any worker that got some of them.
            while (watch.execute(held).fetchone() or (0,))[0] < SESSIONS:
                assert time.monotonic() < deadline, "the locates did not come to the lock"
                await asyncio.sleep(0.01)
            max(place.workers(), key=lambda worker: len(worker.net_connections("tcp"))).kill()
            _terminate_some(watch, chance, 4)
            grip.execute("ROLLBACK")

        count, statuses = await _round(place, chance, while_held, 1)
        answered += count
        tokens, states = _state(watch)
        assert 0 in statuses  # the kill was felt
        assert answered <= states == BUDGET - tokens <= BUDGET

        async def while_running() -> None:
            for victims in (2, 0, 3):
                await asyncio.sleep(chance.uniform(0, 0.05))
                if victims:
                    _terminate_some(watch, chance, victims)
                else:
                    # The other was started again just now, and whoever dies that young ends the server.
                    min(place.workers(), key=psutil.Process.create_time).kill()

        count, _ = await _round(place, chance, while_running, 2)
        answered += count
        tokens, states = _state(watch)
        assert answered <= states == BUDGET - tokens <= BUDGET

    place.kill_and_restart()

    async def not_at_all() -> None: ...

    with place.connect() as watch:
        before, _ = _state(watch)
        assert before == tokens  # a restart gives nothing back
        statuses = []
        while sum(status == 429 for status in statuses[-AT_ONCE:]) < AT_ONCE:
            count, latest = await _round(place, chance, not_at_all, 1)
            answered += count
            statuses += latest
        tokens, states = _state(watch)
    assert (tokens, states) == (0, BUDGET)
    assert answered <= BUDGET
    with contextlib.closing(httpx.Client(base_url=place.server.url, timeout=WAIT)) as client:
        again = client.post("/v1/sessions", json={"email": "ada@example.org", "password": PASSWORD}).json()["token"]
        headers = {"Authorization": f"Bearer {again}"}
        message = {"suite": "hushtag-v1", "elements": [ELEMENT]}
        assert client.post("/v1/unlock/locate", json=message, headers=headers).status_code == 429
        enrolment = {"suite": "hushtag-v1", "registration_request": ELEMENT}
        assert client.post("/v1/registrations", json=enrolment, headers=headers).status_code == 429
