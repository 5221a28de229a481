"""Unlocks a second, and how long one takes, with one and two workers at 1, 8, 32 and 100 connections.

One hundred accounts unlock, each over and over. The floor is what the server's three OPAQUE calls cost by themselves,
sampled in this process between the windows: one worker could do no more than 1 ÷ their sum a second, and with `c`
connections on `w` workers nobody could wait less than c ÷ w times that sum. Servers of both sizes run on one database
and take turns. A window has three parts: locate and start of so many unlocks; their proofs (a client's work, off the
clock, in other processes); their finishes. The p99 is that of all windows together: one alone has too few unlocks.
Server, PostgreSQL and generator share the machine's cores, so what the worker and PostgreSQL spend stands beside it.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import psutil
import uvloop

from benchmarks.figures import Figure, Measured, quantile, quartile_range
from benchmarks.load import KeptAlive, Load
from benchmarks.people import Enrolled, Prover, begin, enrol, give_budgets, locate_and_start, prover, side_by_side
from benchmarks.plain_stage import database, make_accounts
from benchmarks.processes import cpu_by_process, cpu_since, running_server, temporary_directory, workers_of
from benchmarks.server_unlock_cpu import RawCalls

WORKERS: Final = (1, 2)
CONNECTIONS: Final = (1, 8, 32, 100)
JUDGED: Final = (1, 32)
"""One worker, at 32 connections."""
LIMIT: Final = 0.25
ROUNDS: Final = 4
UNLOCKS: Final = {1: 60, 8: 120, 32: 120, 100: 200}
"""In one window, by connections."""
ACCOUNTS: Final = 100
RAW: Final = 60


class Window(NamedTuple):
    """One window of unlocks."""

    rate: float
    latencies_us: list[float]
    worker_us: float
    postgres_us: float
    raw_us: float


class Server(NamedTuple):
    """A running server of so many workers."""

    place: tuple[str, int]
    workers: list[psutil.Process]
    postgres: psutil.Process

    def cpu(self) -> dict[int, float]:
        """Return the microseconds its workers have used."""
        return dict(cpu_by_process(self.workers))


async def _finish(request: bytes, connection: KeptAlive) -> float:
    clock = time.perf_counter()
    answer = await connection.ask(request)
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}: {answer.body[:500]!r}")
    return time.perf_counter() - clock


def raw_sum_us() -> float:
    """Return what the three binding calls take now, in microseconds."""
    raw = RawCalls()
    for _ in range(RAW):
        raw.sample()
    return sum(raw.medians_us().values())


async def window(
    server: Server, connections: Sequence[KeptAlive], people: Sequence[Enrolled], unlocks: int, proving: Prover
) -> Window:
    """Make so many unlocks over these connections."""
    attempts = [begin(people[number % len(people)]) for number in range(unlocks)]
    raw = raw_sum_us()
    used = (server.cpu(), cpu_by_process(server.postgres.children()))
    clock = time.perf_counter()
    started = await side_by_side(connections, [partial(locate_and_start, begun=attempt) for attempt in attempts])
    seconds = time.perf_counter() - clock
    spent = [cpu_since(used[0], server.workers), cpu_since(used[1], server.postgres.children())]
    finishes = [request for request, _ in proving.prove(started)]
    used = (server.cpu(), cpu_by_process(server.postgres.children()))
    clock = time.perf_counter()
    finished = await side_by_side(connections, [partial(_finish, request) for request in finishes])
    seconds += time.perf_counter() - clock
    spent[0] += cpu_since(used[0], server.workers)
    spent[1] += cpu_since(used[1], server.postgres.children())
    latencies = [(first.seconds + last) * 1e6 for first, last in zip(started, finished, strict=True)]
    return Window(unlocks / seconds, latencies, spent[0] / unlocks, spent[1] / unlocks, raw)


def summary(windows: Sequence[Window], workers: int, connections: int) -> dict[str, Any]:
    """Return medians, quantiles and ratios of windows of so many workers and connections."""
    latencies = [each for window in windows for each in window.latencies_us]
    queue = max(1.0, connections / workers)
    ratios = [[each / window.raw_us / queue for each in window.latencies_us] for window in windows]
    together = [each for window in ratios for each in window]
    return {
        "rate": round(statistics.median(each.rate for each in windows), 1),
        "rate_ratio": [each.rate * each.raw_us / 1e6 for each in windows],
        "p50_us": round(quantile(latencies, 50), 1),
        "p99_us": round(quantile(latencies, 99), 1),
        "p50_ratio": round(quantile(together, 50), 3),
        "p99_ratio": round(quantile(together, 99), 3),
        "p50_spread": round(quartile_range([quantile(each, 50) for each in ratios]), 3),
        "p99_spread": round(quartile_range([quantile(each, 99) for each in ratios]), 3),
        "queue": queue,
        "raw_us": round(statistics.median(each.raw_us for each in windows), 1),
        "worker_us": round(statistics.median(each.worker_us for each in windows), 1),
        "postgres_us": round(statistics.median(each.postgres_us for each in windows), 1),
    }


async def _measure_on(
    servers: dict[int, Server], people: Sequence[Enrolled], rounds: int, share: float
) -> dict[str, Any]:
    found: dict[tuple[int, int], list[Window]] = {}
    with prover() as proving:
        for connections in CONNECTIONS:
            loads = {number: await Load.connect(each.place, [[]] * connections) for number, each in servers.items()}
            for turn in range(rounds + 1):  # the first prepares statements and fills caches
                for workers, server in servers.items():
                    unlocks = max(connections, int(UNLOCKS[connections] * share))
                    one = await window(server, loads[workers].connections, people, unlocks, proving)
                    if turn:
                        found.setdefault((workers, connections), []).append(one)
            for load in loads.values():
                load.close()
    return {f"{w} × {c}": {"workers": w, "connections": c} | summary(each, w, c) for (w, c), each in found.items()}


async def measure(rounds: int = ROUNDS, share: float = 1.0) -> dict[str, Any]:
    """Return rates and latencies by workers and connections."""
    with database(connections=200) as postgres, temporary_directory() as shared, ExitStack() as stack:
        accounts = make_accounts(postgres.admin_url, max(4, int(ACCOUNTS * share)))
        give_budgets(postgres.admin_url, accounts)
        # One data directory: the servers must have the same keys.
        settings = {"HUSHTAG_DATABASE_URL": postgres.app_url, "HUSHTAG_DATA": str(shared), "HUSHTAG_POOL_SIZE": "10"}
        servers = {}
        for count in WORKERS:
            url, server = stack.enter_context(running_server(count, **settings))
            place = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
            servers[count] = Server(place, workers_of(server, count), psutil.Process(postgres.pid))
        load = await Load.connect(servers[1].place, [[]] * 2)
        people = await side_by_side(load.connections, [partial(enrol, account=account) for account in accounts])
        load.close()
        return {"rounds": rounds, "windows": await _measure_on(servers, people, rounds, share)}


def _figures(each: dict[str, Any]) -> list[Figure]:
    workers, connections = each["workers"], each["connections"]
    where = f"{workers} worker{'s' if workers > 1 else ''}, {connections} connection{'s' if connections > 1 else ''}"
    rates = each["rate_ratio"]
    judged = (workers, connections) == JUDGED
    queue = "" if each["queue"] == 1 else f" × {each['queue']:g} in line"
    return [
        Figure(
            name=f"unlocks a second, {where}",
            floor="1 ÷ the three binding calls",
            unit="/s",
            subject=each["rate"],
            base=round(1e6 / each["raw_us"], 1),
            ratio=round(statistics.median(rates), 4),
            spread=round(quartile_range(rates), 4),
            limit=LIMIT if judged else None,
            at_least=True,
        ),
        *(
            Figure(
                name=f"unlock, {name}, {where}",
                floor=f"the three binding calls{queue}",
                unit="µs",
                subject=each[f"{name}_us"],
                base=round(each["raw_us"] * each["queue"], 1),
                ratio=each[f"{name}_ratio"],
                spread=each[f"{name}_spread"],
            )
            for name in ("p50", "p99")
        ),
    ]


def measured(quick: bool) -> Measured:
    """Return rates and latencies over what the binding calls alone would allow."""
    found = uvloop.run(measure(2, 0.05) if quick else measure())
    return Measured([figure for each in found["windows"].values() for figure in _figures(each)], found)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)), indent=2))
