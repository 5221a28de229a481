"""The plain side against fixed limits: time in the database, bulk creation, connections held, memory.

What the database spends on a request is what PostgreSQL itself says (`log_min_duration_statement = 0`: the sum of the
durations it logs while one request at a time is under way), so it holds parsing, planning and every function and
trigger, and nothing of the network or of Python. A commit's write to disk is not in it; reads have none.
"""

import asyncio
import itertools
import json
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode

import psycopg
import uvloop

from benchmarks.figures import Measured, fraction_of_limit, quantile, quartile_range
from benchmarks.load import KeptAlive, Load, encode_request
from benchmarks.plain_stage import Account, Side, Writer, ask_json, database, encode_bulk, fill, hushtag, make_accounts
from benchmarks.plain_text import fill_searched, searches
from benchmarks.processes import resident_mib
from hushtag_server.embedded import EmbeddedPostgres

READS: Final = 1000
SEARCHES: Final = 200
BULK_SIZE: Final = 500
BULKS: Final = 10
HELD: Final = 100
REQUESTS: Final = 100_000
READ_LIMIT_MS: Final = 5.0
SEARCH_LIMIT_MS: Final = 50.0
BULK_LIMIT: Final = 1000.0
"""Entries a second."""
MEMORY_LIMIT_MIB: Final = 256.0
GROWTH_LIMIT_MIB: Final = 1.0
"""Of the last tenth over the sixth one: what an allocator's arenas may differ by without anything being kept."""

_DURATION = re.compile(rb"\bduration: ([0-9]+\.[0-9]+) ms")


def _configure(postgres: EmbeddedPostgres, *statements: str) -> None:
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


class DatabaseClock:
    """Milliseconds PostgreSQL has spent on statements since it was last asked, by its own log."""

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._log = (postgres.data / "postgres.log").open("rb")
        self.spent_ms()

    def spent_ms(self) -> float:
        """Return the sum of what was logged since the last call."""
        return sum(float(duration) for duration in _DURATION.findall(self._log.read()))

    def close(self) -> None:
        """Close the log."""
        self._log.close()


@contextmanager
def _logged(postgres: EmbeddedPostgres) -> Iterator[None]:
    _configure(postgres, "ALTER SYSTEM SET log_min_duration_statement = 0", "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        _configure(postgres, "ALTER SYSTEM RESET log_min_duration_statement", "SELECT pg_reload_conf()")


async def database_times(postgres: EmbeddedPostgres, side: Side, requests: Sequence[bytes]) -> dict[str, float]:
    """Send the requests one after the other; return the p50, p99 and most milliseconds that one took in the database.

    Raises:
        RuntimeError: an answer was not 200, or PostgreSQL logged nothing.
    """
    with _logged(postgres):
        load = await Load.connect(side.place, [[]])
        connection = load.connections[0]
        for request in requests[: len(requests) // 5]:
            await connection.ask(request)
        clock, times = DatabaseClock(postgres), []
        for request in requests:
            answer = await connection.ask(request)
            if answer.status != 200:
                raise RuntimeError(f"status {answer.status}: {answer.body[:500]!r}")
            times.append(clock.spent_ms())
        load.close()
        clock.close()
    if statistics.median(times) <= 0:
        raise RuntimeError("PostgreSQL did not log what its statements took")
    fifth = len(times) // 5
    parts = [quantile(times[begin : begin + fifth], 99) for begin in range(0, fifth * 5, fifth)]
    return {
        "p50_ms": round(quantile(times, 50), 3),
        "p99_ms": round(quantile(times, 99), 3),
        "spread_ms": round(quartile_range(parts), 3),
        "most_ms": round(max(times), 3),
    }


async def read_time(postgres: EmbeddedPostgres, side: Side, account: Account) -> dict[str, float]:
    """Return the time in the database of a read by primary key."""
    page = await ask_json(side.place, encode_request("GET", "/v1/journals?limit=100", account.token), 200)
    requests = [
        encode_request("GET", f"/v1/journals/{journal['id']}", account.token)
        for journal in itertools.islice(itertools.cycle(page["journals"]), READS)
    ]
    return await database_times(postgres, side, requests)


async def search_times(postgres: EmbeddedPostgres, side: Side, account: Account) -> dict[str, dict[str, float]]:
    """Return the time in the database of searches over 100,000 entries of one account, by kind of search."""
    # Nothing searches the audit trail, and writing it would take longer than all the rest.
    audited = [
        (table, f"{table}_{name}") for table in ("journals", "journal_tags") for name in ("audit", "audit_created")
    ]
    _configure(postgres, *(f"ALTER TABLE {table} DISABLE TRIGGER {name}" for table, name in audited))
    fill_searched(postgres.admin_url, account)
    _configure(postgres, *(f"ALTER TABLE {table} ENABLE TRIGGER {name}" for table, name in audited))
    _configure(postgres, "VACUUM ANALYZE")  # what autovacuum does by itself within a minute
    found = {}
    for kind, asked in searches(SEARCHES).items():
        paths = (f"/v1/journals/search?{urlencode(each, doseq=True)}" for each in asked)
        requests = [encode_request("GET", path, account.token) for path in paths]
        found[kind] = await database_times(postgres, side, requests)
    return found


async def bulk_rate(side: Side, account: Account) -> float:
    """Return how many entries a second one client can make in bulks of 500."""
    writer = Writer(seed=13)
    requests = [encode_bulk(account, writer, BULK_SIZE) for _ in range(BULKS)]
    load = await Load.connect(side.place, [[]])
    begun = time.monotonic()
    for request in requests:
        answer = await load.connections[0].ask(request)
        if answer.status != 201:
            raise RuntimeError(f"status {answer.status}: {answer.body[:500]!r}")
    load.close()
    return BULK_SIZE * BULKS / (time.monotonic() - begun)


async def held_connections(side: Side, account: Account) -> int:
    """Open 100 connections, use all of them at once, leave them idle, use them again; return how many never failed."""
    request = encode_request("GET", "/v1/journals?limit=20", account.token)
    load = await Load.connect(side.place, [[]] * HELD)
    good = set(range(HELD))
    for pause in (0.0, 5.0, 0.0):
        await asyncio.sleep(pause)
        answers = await asyncio.gather(*(each.ask(request) for each in load.connections), return_exceptions=True)
        good &= {place for place, answer in enumerate(answers) if getattr(answer, "status", 0) == 200}
    load.close()
    return len(good)


async def memory(side: Side, accounts: Sequence[Account], requests: int) -> dict[str, Any]:
    """Return the worker's resident memory over `requests` reads, listings, searches and creations in turn."""
    writer = Writer(seed=17)

    def kinds(account: Account, first: str) -> list[bytes]:
        body = json.dumps(writer.journal()).encode()
        return [
            encode_request("GET", f"/v1/journals/{first}", account.token),
            encode_request("GET", "/v1/journals?limit=20", account.token),
            encode_request("GET", f"/v1/journals/search?q={writer.word(300)}", account.token),
            encode_request("PUT", "/v1/journals", account.token),  # 405: errors must not pile up either
            encode_request("POST", "/v1/journals", account.token, body),
        ]

    asked = []
    for account in accounts:
        page = await ask_json(side.place, encode_request("GET", "/v1/journals?limit=1", account.token), 200)
        asked.append(kinds(account, page["journals"][0]["id"]))
    load = await Load.connect(side.place, [[]] * len(accounts))
    samples = [resident_mib(side.worker)]
    tenth = requests // 10 // len(accounts)

    async def ask_all(connection: KeptAlive, mine: list[bytes]) -> None:
        for request in itertools.islice(itertools.cycle(mine), tenth):
            answer = await connection.ask(request)
            if answer.status >= 500:
                raise RuntimeError(f"status {answer.status}: {answer.body[:500]!r}")

    for _ in range(10):
        await asyncio.gather(*(ask_all(each, mine) for each, mine in zip(load.connections, asked, strict=True)))
        samples.append(resident_mib(side.worker))
    load.close()
    return {
        "requests": tenth * 10 * len(accounts),
        "resident_mib": [round(each, 1) for each in samples],
        "most_mib": round(max(samples), 1),
        "growth_mib": round(samples[-1] - samples[5], 1),
    }


async def measure(requests: int = REQUESTS) -> dict[str, Any]:
    """Return every figure with its limit."""
    with database() as postgres, hushtag(postgres) as side:
        accounts = make_accounts(postgres.admin_url, 9)
        await fill(side, accounts[:8], 200)
        bulk = await bulk_rate(side, accounts[0])
        held = await held_connections(side, accounts[0])
        read = await read_time(postgres, side, accounts[0])
        used = await memory(side, accounts[:8], requests)
        found = await search_times(postgres, side, accounts[8])
    filtered = {kind: each["p99_ms"] for kind, each in found.items()}
    return {
        "read": read | {"limit_p99_ms": READ_LIMIT_MS, "held": read["p99_ms"] < READ_LIMIT_MS},
        "search": {"kinds": found, "limit_p99_ms": SEARCH_LIMIT_MS, "held": max(filtered.values()) < SEARCH_LIMIT_MS},
        "bulk": {"entries_per_second": round(bulk), "limit": BULK_LIMIT, "held": bulk >= BULK_LIMIT},
        "connections": {"held_open": held, "limit": HELD, "held": held == HELD},
        "memory": used
        | {
            "limit_mib": MEMORY_LIMIT_MIB,
            "growth_limit_mib": GROWTH_LIMIT_MIB,
            "held": used["most_mib"] < MEMORY_LIMIT_MIB and used["growth_mib"] < GROWTH_LIMIT_MIB,
        },
    }


def measured(quick: bool) -> Measured:
    """Return the plain side against its fixed limits; on uvloop, so that the generator costs little."""
    found = uvloop.run(measure(REQUESTS // 20 if quick else REQUESTS))
    read, search, bulk, held, memory = (found[name] for name in ("read", "search", "bulk", "connections", "memory"))
    figures = [
        fraction_of_limit("read in the database, p99", read["p99_ms"], READ_LIMIT_MS, "ms", spread=read["spread_ms"]),
        *(
            fraction_of_limit(
                f"search ({kind}) in the database, p99", each["p99_ms"], SEARCH_LIMIT_MS, "ms", spread=each["spread_ms"]
            )
            for kind, each in search["kinds"].items()
        ),
        fraction_of_limit(
            "entries made in bulk, a second", bulk["entries_per_second"], BULK_LIMIT, "/s", at_least=True
        ),
        fraction_of_limit("connections held", held["held_open"], HELD, "connections", at_least=True),
        fraction_of_limit("the worker's memory", memory["most_mib"], MEMORY_LIMIT_MIB, "MiB"),
        fraction_of_limit("its growth in the last half", memory["growth_mib"], GROWTH_LIMIT_MIB, "MiB"),
    ]
    return Measured(figures, found)


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure()), indent=2))
