"""CPU that the server's worker spends per unlock, over the raw cost of the three binding calls of an unlock.

Run as `python -m benchmarks.server_unlock_cpu [UNLOCKS]`; prints JSON. Locate, start and finish of one candidate over
kept-alive HTTP connections, in three conditions:

- `alone`: one request at a time. The server falls asleep between any two events and pays for waking up.
- `shared`: sixteen people side by side; server, database and client push each other off the two cores.
- `full`: sixteen people side by side, the worker on a core of its own where two spinning processes leave it a third of
  the time, the database and the client on the others. Now the worker always has work waiting, as on a server at its
  limit: this is the cost that decides how many unlocks a core can serve, and the one that is judged.

Two floors are measured in the last condition: `full, nothing of ours`, a service that does no more than it must to make
the three calls over HTTP (`bare_unlock`), and `full, the steps alone`, this server with what the protocol wants of it
and nothing of edge, limits and security log (`steps_alone`).

PostgreSQL's CPU is not counted, nor is the client's. What the client computes (OPAQUE's Argon2id fills the caches with
19 MiB) it computes between the batches. The raw cost is measured in the same run and the same conditions: in this
process, between the requests, as CPU time, with the binding's own types and nothing around them.
"""

import asyncio
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import msgspec
import opaque_ke_py as binding
import psutil

from benchmarks.figures import Figure, Measured, quartile_range
from benchmarks.plain_stage import database
from benchmarks.processes import (
    cpu_us,
    free_port,
    running_program,
    running_server,
    temporary_directory,
    worker_of,
)
from hushtag import _labels
from hushtag._opaque import finish_login, start_login
from hushtag.duress import derive_release
from hushtag.enrollment import start_enrollment
from hushtag.messages import (
    Candidate,
    FinishUnlock,
    Locate,
    Located,
    RegistrationStarted,
    SessionOpened,
    StartUnlock,
    TagEnrolled,
    Unlocked,
    UnlockStarted,
    decode_binary,
    encode_binary,
)
from hushtag.types import KE1, KE2, LoginState, OpaquePassword

LIMIT = 3.0
UNLOCKS = 300
BATCH = 100
ACCOUNTS = 20
CONDITIONS = {"alone": 1, "shared": 16, "full": 16}
JUDGED = "full"
BARE = "full, nothing of ours"
STEPS = "full, the steps alone"
WHOSE = {BARE: "a bare service", STEPS: "a bare worker"}
NEIGHBOURS = 2
T = TypeVar("T")


class RawCalls:
    """The server's three binding calls, with the binding's own types and nothing around them."""

    def __init__(self) -> None:
        setup = binding.server_setup()
        identifier, password = _labels.CREDENTIAL + os.urandom(32), os.urandom(32).hex().encode()
        self.password = password
        registration = binding.client_registration_start(password)
        evaluated = binding.server_registration_start(setup, registration.get_message(), identifier)
        finished = binding.client_registration_finish(password, registration.get_state(), evaluated.get_message())
        record = bytes(binding.server_registration_finish(finished.get_message()).get_password_file())
        self._kept = {"setup": bytes(setup.to_bytes()), "record": record, "identifier": identifier}
        login = binding.client_login_start(password)
        ke1 = bytes(login.get_message())
        started = binding.server_login_start(setup, record, ke1, identifier)
        proof = binding.client_login_finish(password, login.get_state(), started.get_message())
        state, ke3 = bytes(started.get_state()), bytes(proof.get_message())
        self._calls: dict[str, Callable[[], object]] = {
            "locate": lambda: binding.server_registration_start(setup, ke1[:32], identifier),
            "start": lambda: binding.server_login_start(setup, record, ke1, identifier),
            "finish": lambda: binding.server_login_finish(state, ke3),
        }
        self._times: dict[str, list[int]] = {name: [] for name in self._calls}

    def sample(self) -> None:
        """Measure each call once: CPU time of this thread, which being put aside does not count to."""
        for name, call in self._calls.items():
            before = time.thread_time_ns()
            call()
            self._times[name].append(time.thread_time_ns() - before)

    def write(self, path: Path) -> None:
        """Write setup, record and credential identifier for `bare_unlock`."""
        path.write_text(json.dumps({name: value.hex() for name, value in self._kept.items()}))

    def medians_us(self) -> dict[str, float]:
        """Return the median microseconds of each call so far, less what reading the clock twice costs."""
        clock = []
        for _ in range(1000):
            before = time.thread_time_ns()
            clock.append(time.thread_time_ns() - before)
        nothing = statistics.median(clock)
        return {name: round((statistics.median(t) - nothing) / 1000, 1) for name, t in self._times.items()}


class Attempt(NamedTuple):
    """One unlock's client half up to KE1, made before the clock starts."""

    state: LoginState
    ke1: KE1
    locate: Locate


class Wire:
    """Kept-alive HTTP/1.1 connections with as little around them as possible, so that the server is what is busy."""

    def __init__(self, url: str) -> None:
        self._place = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.authorization = ""

    async def post(self, path: str, message: object, kind: type[T] | None = None) -> T:
        """Post a message and return the answer."""
        body = msgspec.json.encode(message)
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{self.authorization}"
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._place)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.split(b"content-length: ")[1].split(b"\r\n")[0])
        content = await reader.readexactly(length)
        self._idle.append((reader, writer))
        if not answer.startswith(b"http/1.1 2"):
            raise RuntimeError(f"{path}: {content.decode()}")
        return cast("T", msgspec.json.decode(content, type=kind or Any))

    def of_another(self) -> "Wire":
        """Return the same connections for somebody else, who authorises for themselves."""
        other = copy.copy(self)
        other.authorization = ""
        return other

    def close(self) -> None:
        """Close every connection."""
        for _, writer in self._idle:
            writer.close()


class Unlocking:
    """Somebody whose password has a record at a server, and the client half of their unlock."""

    def __init__(self, wire: Wire, password: bytes) -> None:
        self.wire = wire
        self.password = OpaquePassword(password)
        self.phrase_hash = encode_binary(os.urandom(16))

    def blind(self) -> Attempt:
        """Make the first message of an unlock."""
        state, ke1 = start_login(self.password)
        return Attempt(state, ke1, Locate(suite="hushtag-v1", elements=[encode_binary(ke1.blinded_element)]))

    async def locate_and_start(self, attempt: Attempt) -> UnlockStarted:
        """Send the first two messages."""
        located = await self.wire.post("/v1/unlock/locate", attempt.locate, Located)
        candidate = Candidate(phrase_hash=self.phrase_hash, ke1=encode_binary(attempt.ke1))
        message = StartUnlock(session_id=located.session_id, candidates=[candidate])
        return await self.wire.post("/v1/unlock/start", message, UnlockStarted)

    def prove(self, attempt: Attempt, started: UnlockStarted) -> FinishUnlock:
        """Make the last message; this runs OPAQUE's Argon2id."""
        ke3, _, export_key = finish_login(self.password, attempt.state, KE2(decode_binary(started.ke2[0])))
        return FinishUnlock(
            session_id=started.session_id,
            state=started.state,
            candidate=0,
            ke3=encode_binary(ke3),
            release=encode_binary(derive_release(export_key).expose()),
        )

    async def finish(self, message: FinishUnlock) -> None:
        """Send the last message."""
        await self.wire.post("/v1/unlock/finish", message, Unlocked)


class Account(Unlocking):
    """A signed-in account with one enrolled phrase, whose phrase hash the client knows from the enrolment."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, os.urandom(32).hex().encode())

    async def prepare(self) -> None:
        """Sign up, log in and enrol."""
        credentials = {"email": f"{os.urandom(8).hex()}@example.org", "password": "correct horse battery"}
        await self.wire.post("/v1/accounts", credentials)
        opened = await self.wire.post("/v1/sessions", credentials, SessionOpened)
        self.wire.authorization = f"Authorization: Bearer {opened.token}\r\n"
        awaiting = start_enrollment(self.password)
        answer = await self.wire.post("/v1/registrations", awaiting.message, RegistrationStarted)
        enrolled = awaiting.finish(answer, label="").message
        self.phrase_hash = enrolled.phrase_hash
        await self.wire.post("/v1/tags", enrolled, TagEnrolled)


async def side_by_side(jobs: Sequence[Callable[[], Awaitable[T]]], width: int) -> list[T]:
    """Run the jobs in order, `width` at a time, and return their results in order."""
    results: dict[int, T] = {}
    waiting = iter(enumerate(jobs))

    async def work() -> None:
        for place, job in waiting:
            results[place] = await job()

    await asyncio.gather(*(work() for _ in range(width)))
    return [results[place] for place in range(len(jobs))]


async def unlock_batch(
    accounts: Sequence[Unlocking], worker: psutil.Process, size: int, width: int, raw: RawCalls
) -> tuple[float, float]:
    """Return the worker's CPU in microseconds for `size` locates with starts, and for their finishes.

    Neighbours are of different accounts: the guesses of one account are counted one after the other, on purpose.
    """

    async def begin(account: Unlocking, attempt: Attempt) -> UnlockStarted:
        raw.sample()
        return await account.locate_and_start(attempt)

    people = [accounts[number % len(accounts)] for number in range(size)]
    attempts = [account.blind() for account in people]
    begun = cpu_us(worker)
    started = await side_by_side([partial(begin, *each) for each in zip(people, attempts, strict=True)], width)
    between = cpu_us(worker)
    begun_by = zip(people, attempts, started, strict=True)
    messages = [account.prove(attempt, answer) for account, attempt, answer in begun_by]
    resumed = cpu_us(worker)
    finishes = [partial(account.finish, message) for account, message in zip(people, messages, strict=True)]
    await side_by_side(finishes, width)
    return between - begun, cpu_us(worker) - resumed


def _summary(spent: list[tuple[float, float]], raw: dict[str, float]) -> dict[str, Any]:
    raw_us = sum(raw.values())
    first, last = (statistics.median(column) / BATCH for column in zip(*spent, strict=True))
    return {
        "locate_and_start_us": round(first, 1),
        "finish_us": round(last, 1),
        "unlock_us": round(first + last, 1),
        "raw_binding_us": raw | {"sum": round(raw_us, 1)},
        "ratio": round((first + last) / raw_us, 2),
        "ratio_spread": round(quartile_range([sum(batch) / BATCH / raw_us for batch in spent]), 3),
    }


def _pin(process: psutil.Process, cores: list[int]) -> None:
    for thread in process.threads():
        with suppress(psutil.NoSuchProcess):
            psutil.Process(thread.id).cpu_affinity(cores)


@contextmanager
def full_load(worker: psutil.Process, others: Sequence[psutil.Process]) -> Iterator[None]:
    """Give the worker a core that it shares with spinning processes alone, and the others and us the other cores."""
    cores = psutil.Process().cpu_affinity() or []
    if len(cores) < 2:
        raise RuntimeError("this benchmark needs two cores")
    others = [psutil.Process(), *others]
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(NEIGHBOURS)]
    try:
        for process in others:
            _pin(process, cores[1:])
        for process in [worker, *(psutil.Process(each.pid) for each in spinning)]:
            _pin(process, cores[:1])
        yield
    finally:
        for each in spinning:
            each.kill()
            each.wait()
        for process in [worker, *others]:
            _pin(process, cores)


class Served(NamedTuple):
    """A running server and those who unlock at it."""

    worker: psutil.Process
    others: list[psutil.Process]
    """Its main process and its database's."""
    people: Sequence[Unlocking]

    @classmethod
    def of(cls, processes: Sequence[psutil.Process], worker: psutil.Process, people: Sequence[Unlocking]) -> "Served":
        """Gather what belongs to a worker."""
        family = [each for process in processes for each in [process, *process.children(recursive=True)]]
        return cls(worker, [each for each in family if each != worker], people)

    async def batch(self, condition: str, raw: RawCalls) -> tuple[float, float]:
        """Unlock so often in this condition."""
        alone = full_load(self.worker, self.others) if condition == JUDGED else nullcontext()
        with alone:
            return await unlock_batch(self.people, self.worker, BATCH, CONDITIONS[condition], raw)


@asynccontextmanager
async def _ours(program: str = "hushtag_server.cli", **variables: str) -> AsyncIterator[Served]:
    with running_server(1, program, **variables) as (url, server), closing(Wire(url)) as wire:
        accounts = [Account(wire.of_another()) for _ in range(ACCOUNTS)]
        for account in accounts:
            await account.prepare()
        yield Served.of([server], worker_of(server), accounts)


@asynccontextmanager
async def _bare() -> AsyncIterator[Served]:
    raw, port = RawCalls(), free_port()
    with database() as postgres, temporary_directory() as directory:
        raw.write(directory / "opaque")
        variables = {"BARE_DATABASE_URL": postgres.app_url, "BARE_OPAQUE": str(directory / "opaque")}
        with (
            running_program("benchmarks.bare_unlock", [str(port)], port, **variables) as server,
            closing(Wire(f"http://127.0.0.1:{port}")) as wire,
        ):
            people = [Unlocking(wire, raw.password) for _ in range(ACCOUNTS)]
            yield Served.of([server, psutil.Process(postgres.pid)], worker_of(server), people)


async def measure(unlocks: int) -> dict[str, Any]:
    """Return the measured figures: medians of batches, the conditions in turns."""
    raws = {name: RawCalls() for name in [*CONDITIONS, STEPS, BARE]}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in raws}
    async with _ours() as ours, _ours("benchmarks.bench_server", BENCH_STEPS="alone") as steps, _bare() as bare:
        for served in (ours, steps, bare):
            await unlock_batch(served.people, served.worker, BATCH, 16, RawCalls())  # statements prepared, caches full
        for _ in range(max(3, unlocks // BATCH)):
            for name in CONDITIONS:
                spent[name].append(await ours.batch(name, raws[name]))
            for name, floor in ((STEPS, steps), (BARE, bare)):
                spent[name].append(await floor.batch(JUDGED, raws[name]))
    summaries = {name: _summary(figures, raws[name].medians_us()) for name, figures in spent.items()}
    return {
        "unlocks": len(spent[JUDGED]) * BATCH,
        "worker_cpu": summaries,
        "judged": JUDGED,
        "limit": LIMIT,
        "held": summaries[JUDGED]["ratio"] <= LIMIT,
    }


def measured(quick: bool) -> Measured:
    """Return the worker's CPU per unlock over the raw calls, in each condition."""
    found = asyncio.run(measure(BATCH if quick else UNLOCKS))
    figures = [
        Figure(
            name=f"{WHOSE.get(condition, 'the worker')}'s CPU of an unlock, {condition}",
            floor="its three binding calls",
            unit="µs",
            subject=summary["unlock_us"],
            base=summary["raw_binding_us"]["sum"],
            ratio=summary["ratio"],
            spread=summary["ratio_spread"],
            limit=LIMIT if condition == JUDGED else None,
        )
        for condition, summary in found["worker_cpu"].items()
    ]
    return Measured(figures, found)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 300)), indent=2))
