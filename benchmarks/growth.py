"""Does anything get slower as vaults and the number of people grow? Exponents, with their uncertainty.

Databases of 10, 10,000 and 1,000,000 people, each person with a session, a tag, a vault, a key and a budget (made by
SQL, `benchmarks.growth_rows`); vaults of 10, 1,000 and 100,000 objects in that of 10,000, where all have an object:
among many small vaults the planner does not expect a large one. Every round asks all of them the same, one after the
other: an unlock, a page of the listing somewhere in the middle, a put that replaces an object somewhere in the middle,
a get of one. What is timed is the answer as it comes back over a kept-alive connection; the server cannot tell the rows
from a client's, which are as long. The floor is the same request at the smallest size.

Of each round the exponent is the slope of a line through log(time) over log(size); the median of the rounds and its
standard error are what is told. Verifying a listing is the client's part and is linear: an exponent of 1.
"""

import json
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import msgspec
import psycopg
import uvloop

from benchmarks.figures import Figure, Measured, quartile_range
from benchmarks.growth_rows import fill_empty_vaults, fill_users, fill_vault, object_ids
from benchmarks.load import KeptAlive, Load, encode_request
from benchmarks.people import (
    Enrolled,
    Prover,
    ask,
    begin,
    enrol,
    give_budgets,
    locate_and_start,
    prover,
    put_request,
    vault_token,
)
from benchmarks.plain_stage import make_accounts
from benchmarks.processes import running_server, temporary_directory
from hushtag.head import VaultHead, set_element, set_hash
from hushtag.messages import ObjectEntry, Unlocked, decode_binary, encode_binary
from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.migrate import migrate

OBJECTS: Final = (10, 1_000, 100_000)
USERS: Final = (10, 10_000, 1_000_000)
QUICK_USERS: Final = (10, 1_000, 30_000)
VERIFIED: Final = (1_000, 10_000, 100_000)
LIMIT: Final = 0.1
ROUNDS: Final = 48
EACH: Final = 4
"""Pages, puts and gets of one place in one round; of unlocks there is one."""
PAGE: Final = 10
OPERATIONS: Final = ("unlock", "page", "put", "get")


class Place(NamedTuple):
    """A vault of some size in a database of some size, and a connection to its server."""

    connection: KeptAlive
    who: Enrolled
    objects: list[UUID]
    revisions: dict[UUID, int]

    @property
    def path(self) -> str:
        """Where the vault's objects are."""
        return f"/v1/vaults/{self.who.vault_id}/objects"


async def _timed(place: Place, request: bytes) -> float:
    clock = time.perf_counter()
    answer = await place.connection.ask(request)
    taken = time.perf_counter() - clock
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}: {answer.body[:500]!r}")
    return taken * 1e6


async def _unlock(place: Place, proving: Prover) -> tuple[float, str, int]:
    """Return the microseconds of an unlock, its token, and the vault's generation."""
    started = await locate_and_start(place.connection, begin(place.who))
    ((request, session_key),) = proving.prove([started])
    clock = time.perf_counter()
    unlocked = await ask(place.connection, request, Unlocked)
    taken = started.seconds + time.perf_counter() - clock
    return taken * 1e6, vault_token(place.who, session_key), unlocked.vaults[0].generation


async def visit(place: Place, proving: Prover, chance: random.Random) -> dict[str, float]:
    """Ask everything once and return the microseconds of each operation."""
    unlock, token, generation = await _unlock(place, proving)
    times: dict[str, list[float]] = {"unlock": [unlock], "page": [], "put": [], "get": []}
    for _ in range(EACH):
        chosen = chance.choice(place.objects)
        last = len(place.objects) - PAGE
        after = f"&after={place.objects[chance.randrange(last) - 1]}" if last > 1 else ""
        listing = encode_request("GET", f"{place.path}?limit={PAGE}{after}", token)
        times["page"].append(await _timed(place, listing))
        generation += 1
        times["put"].append(
            await _timed(place, put_request(place.path, token, chosen, place.revisions.get(chosen, 1) + 1, generation))
        )
        place.revisions[chosen] = place.revisions.get(chosen, 1) + 1
        times["get"].append(await _timed(place, encode_request("GET", f"{place.path}/{chosen}", token)))
    return {name: statistics.median(each) for name, each in times.items()}


class Fit(NamedTuple):
    """An exponent: the median of the rounds' slopes, its standard error, and what it was fitted to."""

    exponent: float
    error: float
    medians_us: dict[int, float]
    ratio: float
    spread: float


def fit(samples: Mapping[int, Sequence[float]]) -> Fit:
    """Fit a power of the size to the times of each round; `samples` holds the rounds' times by size."""
    sizes = sorted(samples)
    logs = [math.log(size) for size in sizes]
    rounds = list(zip(*(samples[size] for size in sizes), strict=True))
    slopes = [
        statistics.linear_regression(logs, [math.log(taken) for taken in taken_by_size]).slope
        for taken_by_size in rounds
    ]
    ratios = [taken[-1] / taken[0] for taken in rounds]
    # 1.2533: the standard error of a median over that of a mean, for errors that are normal.
    error = 1.2533 * statistics.stdev(slopes) / math.sqrt(len(slopes))
    return Fit(
        round(statistics.median(slopes), 4),
        round(error, 4),
        {size: round(statistics.median(samples[size]), 1) for size in sizes},
        round(statistics.median(ratios), 4),
        round(quartile_range(ratios), 4),
    )


@contextmanager
def _databases(users: Sequence[int]) -> Iterator[dict[int, tuple[str, str]]]:
    """Yield the server's URL and the superuser's of a database for each number of people."""
    with temporary_directory() as directory, EmbeddedPostgres(directory, max_connections=100) as postgres:
        with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET max_wal_size = '8GB'")  # no checkpoint in the middle of filling
            connection.execute("SELECT pg_reload_conf()")
            for count in users:
                connection.execute(f"CREATE DATABASE people_{count} OWNER hushtag_owner".encode())
        urls = {}
        for count in users:
            name = f"people_{count}"
            migrate(postgres.url("hushtag_owner", name))
            urls[count] = (postgres.url("hushtag_app", name), postgres.url("postgres", name))
        yield urls


async def _place(connection: KeptAlive, admin_url: str, objects: int) -> Place:
    """Make somebody with a vault of so many objects."""
    (account,) = make_accounts(admin_url, 1)
    give_budgets(admin_url, [account])
    who = await enrol(connection, account)
    fill_vault(admin_url, account.user_id, who.vault_id, objects)
    return Place(connection, who, object_ids(admin_url, account.user_id, who.vault_id), {})


async def measure(rounds: int = ROUNDS, users: Sequence[int] = USERS) -> dict[str, Any]:
    """Return the exponents of every operation in objects and in users."""
    with _databases(users) as urls, ExitStack() as stack:
        by_users: dict[int, Place] = {}
        by_objects: dict[int, Place] = {}
        for count, (url, admin_url) in urls.items():
            server = stack.enter_context(running_server(HUSHTAG_DATABASE_URL=url))
            address = urlsplit(server[0])
            place = (address.hostname or "", address.port or 80)
            load = await Load.connect(place, [[]])
            by_users[count] = await _place(load.connections[0], admin_url, OBJECTS[0])
            fill_users(admin_url, count - 1)
            if count == users[1]:
                fill_empty_vaults(admin_url)
                made = [await _place(load.connections[0], admin_url, size) for size in OBJECTS[1:]]
                by_objects = dict(zip(OBJECTS, [by_users[count], *made], strict=True))
        times: dict[str, dict[int, dict[str, list[float]]]] = {
            "users": {count: {name: [] for name in OPERATIONS} for count in by_users},
            "objects": {count: {name: [] for name in OPERATIONS} for count in by_objects},
        }
        chance = random.Random(5)
        with prover() as proving:
            for turn in range(rounds + 3):
                for series, places in (("users", by_users), ("objects", by_objects)):
                    for count, one in sorted(places.items(), key=lambda _: chance.random()):
                        for name, taken in (await visit(one, proving, chance)).items():
                            if turn >= 3:  # statements are prepared by then, caches filled
                                times[series][count][name].append(taken)
    return {
        series: {name: fit({count: each[name] for count, each in by_count.items()})._asdict() for name in OPERATIONS}
        for series, by_count in times.items()
    }


def _listing(count: int) -> tuple[bytes, bytes, VaultHead]:
    key, now = os.urandom(32), "2026-01-01T00:00:00Z"
    rows = [(uuid4(), os.urandom(32)) for _ in range(count)]
    entries = [
        {
            "object_id": str(row),
            "revision": 1,
            "key_version": 1,
            "content_size": 256,
            "digest": encode_binary(digest),
            "created_at": now,
            "updated_at": now,
        }
        for row, digest in rows
    ]
    summary = set_hash(set_element(key, row, 1, digest) for row, digest in rows)
    return key, msgspec.json.encode(entries), VaultHead(2, count, 1, summary)


def verify_times(rounds: int) -> dict[int, list[float]]:
    """Return the microseconds, in rounds, that a client takes to read and verify a listing of each length."""
    listings = {count: _listing(count) for count in VERIFIED}
    taken: dict[int, list[float]] = {count: [] for count in VERIFIED}
    for _ in range(rounds):
        for count, (key, encoded, head) in listings.items():
            clock = time.perf_counter()
            entries = msgspec.json.decode(encoded, type=list[ObjectEntry])
            head.verify(set_element(key, e.object_id, e.revision, decode_binary(e.digest)) for e in entries)
            taken[count].append((time.perf_counter() - clock) * 1e6)
    return taken


def _figure(what: str, series: str, found: dict[str, Any], limit: float) -> Figure:
    sizes = sorted(found["medians_us"])
    return Figure(
        name=f"{what}: {sizes[-1]:,} {series}",
        floor=f"the same with {sizes[0]:,}",
        unit="µs",
        subject=found["medians_us"][sizes[-1]],
        base=found["medians_us"][sizes[0]],
        ratio=found["ratio"],
        spread=found["spread"],
        limit=round((sizes[-1] / sizes[0]) ** limit, 3),
        held_besides=bool(found["exponent"] <= limit),
        note=f"exponent {found['exponent']:+.3f} ± {found['error']:.3f}",
    )


def measured(quick: bool) -> Measured:
    """Return every operation at its largest over its smallest size, with the fitted exponent."""
    rounds = 8 if quick else ROUNDS
    found = uvloop.run(measure(rounds, QUICK_USERS if quick else USERS))
    found["verified"] = {"listing": fit(verify_times(max(5, rounds // 6)))._asdict()}
    figures = [
        _figure({"page": f"a page of {PAGE} of the listing"}.get(name, name), series, found[series][name], LIMIT)
        for series in ("users", "objects")
        for name in OPERATIONS
    ]
    figures.append(_figure("a listing verified by the client", "objects", found["verified"]["listing"], 1 + LIMIT))
    return Measured(figures, found)


if __name__ == "__main__":
    print(json.dumps(msgspec.to_builtins(measured(len(sys.argv) > 1)), indent=2))
