"""The plain side against a FastAPI + SQLAlchemy (async) + uvicorn service of the same endpoints on the same database.

Get one entry, list the newest 20, create one; 32 kept-alive connections of as many accounts, one worker each. The two
services take turns in short windows, so that a noisy moment of the machine hits both, and the order of the two changes
with every turn. What is judged: the median ratio of requests a second of neighbouring windows, and the median of the
windows' 99th percentiles of latency.

The database keeps every default of durability and lies in memory: a commit that waits for a disk waits as long for one
service as for the other, and the slower the disk, the more alike any two services look. What creating is like on this
machine's disk stands beside it and is not judged.

Server, PostgreSQL and load generator share the machine's cores, so requests a second say less than they seem to: what
PostgreSQL and the generator spend is the same for both and hides the difference. Hence the CPU time per request beside
them: of the worker, of PostgreSQL and of the generator, and `cpu_bound_ratio`, the ratio these would allow on the same
cores with nobody else on them.
"""

import itertools
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psutil
import uvloop

from benchmarks.figures import Figure, Measured, quartile_range
from benchmarks.load import Load, encode_request
from benchmarks.plain_stage import POOL_SIZE, Account, Side, Writer, ask_json, database, fill, hushtag, make_accounts
from benchmarks.processes import cpu_by_process, cpu_since, cpu_us, free_port, machine_us, running_program
from hushtag_server.embedded import EmbeddedPostgres

CONNECTIONS = 32
ENTRIES = 200
WARM_UP = 1.5
SECONDS = 2.0
ROUNDS = 5
LIMITS = {"get": 5.0, "list": 5.0, "create": 4.0}
"""How many times the peer's requests a second."""
EXPECTED = {"get": 200, "list": 200, "create": 201}
PEER = "benchmarks.peers.fastapi_service:create_app"
OWN_FIELDS = {"created_at", "updated_at"}
"""Moments may be spelled with Z or with +00:00."""


class Sample(NamedTuple):
    """One window: requests a second, latencies, and microseconds of CPU per request by whom they were spent.

    `strangers` is how many of the machine's cores were busy with something else altogether: with much of it the figures
    say how well a service stands up to its neighbours rather than how fast it is.
    """

    rate: float
    p50_us: float
    p99_us: float
    worker_us: float
    postgres_us: float
    generator_us: float
    strangers: float


@contextmanager
def peer(postgres: EmbeddedPostgres) -> Iterator[Side]:
    """Run the peer with one worker on the same database, under a role that row-level security does not bind."""
    port = free_port()
    arguments = [PEER, "--factory", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--port", str(port)]
    arguments += ["--timeout-keep-alive", "75"]  # its connections lie idle during the other's windows; default: 5 s
    variables = {"DATABASE_URL": postgres.admin_url, "POOL_SIZE": str(POOL_SIZE)}
    with running_program("uvicorn", [*arguments, "--log-level", "warning"], port, **variables) as process:
        yield Side("peer", ("127.0.0.1", port), process)


@contextmanager
def floor(size: int) -> Iterator[Side]:
    """Run the least server there is, answering with `size` bytes."""
    port = free_port()
    with running_program("benchmarks.floor_server", [str(port), str(size)], port) as process:
        yield Side("floor", ("127.0.0.1", port), process)


def _own_cpu_us() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


async def sample(load: Load, side: Side, backends: Callable[[], list[psutil.Process]], seconds: float) -> Sample:
    """Measure one window."""
    database_before, own, worker = cpu_by_process(backends()), _own_cpu_us(), cpu_us(side.worker)
    machine, begun = machine_us(), time.monotonic()
    window = await load.window(seconds)
    spent = (cpu_us(side.worker) - worker, cpu_since(database_before, backends()), _own_cpu_us() - own)
    strangers = (machine_us() - machine - sum(spent)) / (time.monotonic() - begun) / 1e6
    worker_us, postgres_us, generator_us = (each / window.requests for each in spent)
    return Sample(
        window.rate,
        window.quantile_us(50),
        window.quantile_us(99),
        worker_us,
        postgres_us,
        generator_us,
        max(0.0, strangers),
    )


def _medians(samples: Sequence[Sample]) -> dict[str, float]:
    columns = zip(*samples, strict=True)
    return {name: round(statistics.median(column), 2) for name, column in zip(Sample._fields, columns, strict=True)}


def _cpu_bound_rate(each: Sample) -> float:
    """Return the rate at which CPU runs out on a machine nobody else uses: one worker's one thread, or all cores."""
    everything = each.worker_us + each.postgres_us + each.generator_us
    return min(1e6 / each.worker_us, (os.cpu_count() or 1) * 1e6 / everything)


def _summary(mine: list[Sample], theirs: list[Sample], limit: float) -> dict[str, Any]:
    ratios = [ours.rate / other.rate for ours, other in zip(mine, theirs, strict=True)]
    cpu = [other.worker_us / ours.worker_us for ours, other in zip(mine, theirs, strict=True)]
    bound = [_cpu_bound_rate(ours) / _cpu_bound_rate(other) for ours, other in zip(mine, theirs, strict=True)]
    p99 = [ours.p99_us / other.p99_us for ours, other in zip(mine, theirs, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "rate_ratio": round(ratio, 2),
        "rate_ratio_spread": round(quartile_range(ratios), 2),
        "worker_cpu_ratio": round(statistics.median(cpu), 2),
        "worker_cpu_ratio_spread": round(quartile_range(cpu), 2),
        "p99_ratio": round(statistics.median(p99), 3),
        "p99_ratio_spread": round(quartile_range(p99), 3),
        "cpu_bound_ratio": round(statistics.median(bound), 2),
        "limit": limit,
        "rate_held": ratio >= limit,
        "p99_held": statistics.median(p99) <= 1,
        "hushtag": _medians(mine),
        "peer": _medians(theirs),
    }


async def compare(
    series: Sequence[Sequence[bytes]],
    expected: int,
    sides: tuple[Side, Side],
    backends: Callable[[], list[psutil.Process]],
    rounds: int = ROUNDS,
) -> tuple[list[Sample], list[Sample]]:
    """Measure two services in turns with the same requests, one series for each connection."""
    loads = [
        await Load.connect(side.place, [itertools.cycle(each) for each in series], expected=expected) for side in sides
    ]
    for load in loads:
        await load.window(WARM_UP)
    samples: tuple[list[Sample], list[Sample]] = ([], [])
    for turn in range(rounds):
        for place in (0, 1) if turn % 2 == 0 else (1, 0):
            samples[place].append(await sample(loads[place], sides[place], backends, SECONDS))
    for load in loads:
        load.close()
    return samples


async def _requests(side: Side, accounts: Sequence[Account]) -> dict[str, list[list[bytes]]]:
    writer = Writer(seed=11)
    made: dict[str, list[list[bytes]]] = {name: [] for name in LIMITS}
    for account in accounts:
        listing = encode_request("GET", "/v1/journals?limit=100", account.token)
        page = await ask_json(side.place, listing, 200)
        ids = [journal["id"] for journal in page["journals"]]
        made["get"].append([encode_request("GET", f"/v1/journals/{each}", account.token) for each in ids])
        made["list"].append([encode_request("GET", "/v1/journals?limit=20", account.token)])
        bodies = [json.dumps(writer.journal()).encode() for _ in range(20)]
        made["create"].append([encode_request("POST", "/v1/journals", account.token, body) for body in bodies])
    return made


def _shared(journal: dict[str, Any], *without: str) -> dict[str, Any]:
    if not journal.keys() >= OWN_FIELDS:
        raise RuntimeError("an entry without its moments")
    return {name: value for name, value in journal.items() if name not in OWN_FIELDS and name not in without}


async def check_same_answers(sides: tuple[Side, Side], requests: dict[str, list[list[bytes]]]) -> None:
    """Make sure that both services answer the same to the same requests.

    Raises:
        RuntimeError: they do not, and would be measured at different work.
    """
    listed = [(await ask_json(side.place, requests["list"][0][0], 200))["journals"] for side in sides]
    got = [[await ask_json(side.place, requests["get"][0][0], 200)] for side in sides]
    for first, second in (listed, got):
        if [_shared(each) for each in first] != [_shared(each) for each in second]:
            raise RuntimeError("the two services answer differently to the same question")
    made = [await ask_json(side.place, requests["create"][0][0], 201) for side in sides]
    if _shared(made[0], "id") != _shared(made[1], "id"):
        raise RuntimeError("the two services made different entries of the same request")


async def _measure_floor(request: bytes, size: int) -> dict[str, float]:
    with floor(size) as side:
        load = await Load.connect(side.place, [itertools.repeat(request)] * CONNECTIONS)
        await load.window(WARM_UP)
        samples = [await sample(load, side, list, SECONDS) for _ in range(3)]
        load.close()
    return _medians(samples)


async def _endpoints(postgres: EmbeddedPostgres, names: Collection[str], rounds: int) -> dict[str, dict[str, Any]]:
    """Compare the two services at these endpoints, on one database."""
    with hushtag(postgres) as ours, peer(postgres) as theirs:
        accounts = make_accounts(postgres.admin_url, CONNECTIONS)
        await fill(ours, accounts, ENTRIES)
        sides = (ours, theirs)
        requests = await _requests(ours, accounts)
        await check_same_answers(sides, requests)

        def backends() -> list[psutil.Process]:
            children: list[psutil.Process] = psutil.Process(postgres.pid).children()
            return children

        found = {}
        for name in names:
            mine, others = await compare(requests[name], EXPECTED[name], sides, backends, rounds)
            found[name] = _summary(mine, others, LIMITS[name])
    return found


def _a_request() -> bytes:
    return encode_request("GET", "/v1/journals/00000000-0000-4000-8000-000000000000", "h" * 90)


async def measure(rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the figures of the three endpoints, of creating on this machine's disk, and of the load generator."""
    with database(in_memory=True) as postgres:
        found = await _endpoints(postgres, LIMITS, rounds)
    with database() as postgres:
        on_disk = await _endpoints(postgres, ["create"], max(2, rounds // 2))
    return {
        "connections": CONNECTIONS,
        "workers": 1,
        "rounds": rounds,
        "window_seconds": SECONDS,
        "cores": os.cpu_count(),
        "endpoints": found,
        "create_on_disk": on_disk["create"],
        "floor": await _measure_floor(_a_request(), 1500),
        "held": all(each["rate_held"] and each["p99_held"] for each in found.values()),
    }


def _figures(name: str, each: dict[str, Any], *, judged: bool = True) -> list[Figure]:
    mine, theirs = each["hushtag"], each["peer"]
    peer_name = "FastAPI + SQLAlchemy + uvicorn"
    return [
        Figure(
            name=f"journals, {name}: requests a second",
            floor=peer_name,
            unit="/s",
            subject=mine["rate"],
            base=theirs["rate"],
            ratio=each["rate_ratio"],
            spread=each["rate_ratio_spread"],
            limit=each["limit"] if judged else None,
            at_least=True,
        ),
        Figure(
            name=f"journals, {name}: p99 of the latency",
            floor=peer_name,
            unit="µs",
            subject=mine["p99_us"],
            base=theirs["p99_us"],
            ratio=each["p99_ratio"],
            spread=each["p99_ratio_spread"],
            limit=1.0 if judged else None,
        ),
        Figure(
            name=f"journals, {name}: the worker's CPU",
            floor=peer_name,
            unit="µs",
            subject=mine["worker_us"],
            base=theirs["worker_us"],
            ratio=round(1 / each["worker_cpu_ratio"], 4),
            spread=round(each["worker_cpu_ratio_spread"] / each["worker_cpu_ratio"] ** 2, 4),
        ),
    ]


def measured(quick: bool) -> Measured:
    """Return the three endpoints beside those of the peer; on uvloop, so that the generator costs little."""
    found = uvloop.run(measure(2 if quick else ROUNDS))
    figures = [row for name, each in found["endpoints"].items() for row in _figures(name, each)]
    return Measured([*figures, *_figures("create on this disk", found["create_on_disk"], judged=False)], found)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)), indent=2))
