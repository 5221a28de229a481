"""Does a worker under hostile connections still let people unlock? The p99 of its requests, quiet and under load.

One worker, in one run, in windows that alternate: quiet, and with 500 idle and 50 hostile connections. The hostile ones
go on as fast as they are let, each with its own way of being a nuisance: heads that drip, bodies that drip or stop,
garbage, huge heads, half-closed connections, floods of requests that are refused, floods of unlocks with a wrong token.
They come from addresses of their own, as a trusted proxy names them. What is measured is what the server takes for the
three requests of an unlock, sent over kept-alive connections one after the other; the client's own cryptography is done
beforehand or between.

`python -m benchmarks.hostile [windows]` prints the figures; the limit is a p99 of twice the quiet one. `ONLY=flood` has
only those nuisances whose names hold the word.
"""

import asyncio
import json
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from multiprocessing.synchronize import Event
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.figures import Figure, Measured, quantile, quartile_range
from benchmarks.processes import cpu_us, running_server, worker_of
from benchmarks.server_unlock_cpu import Account, Wire

LIMIT = 2.0
IDLE, HOSTILE = 500, 50
WINDOWS, UNLOCKS = 6, 60
PAUSE = 0.02
"""Seconds between two unlocks: a person's server is not saturated, or its own queue would be what is measured."""
TOKEN = "hta_" + "A" * 64
Place = tuple[str, int]


def _head(path: str, *lines: str) -> bytes:
    # Of ten addresses, so that no limit of one address alone would do.
    address = f"X-Forwarded-For: 203.0.113.{random.randint(1, 10)}"
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: bench", address, *lines, "", ""]).encode()


async def _drip(writer: asyncio.StreamWriter, pieces: int) -> None:
    for _ in range(pieces):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.2)


async def _slow_head(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST /v1/sessions HTTP/1.1\r\nHost: bench\r\nX-Slow: ")
    await _drip(writer, 200)


async def _slow_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_head("/v1/sessions", "Content-Type: application/json", "Content-Length: 60000"))
    await _drip(writer, 200)


async def _stopped_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_head("/v1/sessions", "Content-Type: application/json", "Content-Length: 60000") + b"{")
    await reader.read()


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(os.urandom(4096))
    await reader.read()


async def _huge_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\n" + b"X-Huge: " + b"x" * 500_000)
    await reader.read()


async def _half_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_head("/v1/sessions", "Content-Length: 100"))
    writer.write_eof()
    await reader.read()


async def _flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes, *lines: str) -> None:
    # The next request as soon as the answer begins to arrive, and a new connection when this one ends.
    while True:
        length = f"Content-Length: {len(body)}"
        writer.write(_head("/v1/unlock/locate", "Content-Type: application/json", length, *lines) + body)
        if not await reader.read(65536):
            return


async def _malformed_flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _flood(reader, writer, b"[" * 1000)


async def _refused_flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    element = "4vKuCmq8TnGohKlhxQBRX1jjC2qlgt2NtqZZReCNLXY"
    body = json.dumps({"suite": "hushtag-v1", "elements": [element] * 5}).encode()
    await _flood(reader, writer, body, f"Authorization: Bearer {TOKEN}")


NUISANCES: tuple[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], ...] = (
    _slow_head,
    _slow_body,
    _stopped_body,
    _garbage,
    _huge_head,
    _half_closed,
    _malformed_flood,
    _refused_flood,
)


async def _keep_on(
    place: Place, nuisance: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> None:
    while True:
        writer = None
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(*place)
            await nuisance(reader, writer)
        if writer is not None:
            writer.transport.abort()
        await asyncio.sleep(0.01)  # a connection is not made faster than a network would let it


async def _idle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _annoy(place: Place, go: Event, end: Event) -> None:
    chosen = [way for way in NUISANCES if os.environ.get("ONLY", "") in way.__name__]
    ways = [_idle] * IDLE + [chosen[number % len(chosen)] for number in range(HOSTILE)]
    while not end.is_set():
        if not go.is_set():
            await asyncio.sleep(0.02)
            continue
        tasks = [asyncio.create_task(_keep_on(place, way)) for way in ways]
        while go.is_set() and not end.is_set():
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _enemy(place: Place, go: Event, end: Event) -> None:
    asyncio.run(_annoy(place, go, end))


@asynccontextmanager
async def _under_load(go: Event) -> AsyncIterator[None]:
    go.set()
    await asyncio.sleep(1.5)  # until all connections are made
    try:
        yield
    finally:
        go.clear()
        await asyncio.sleep(0.5)


async def _unlocks(account: Account, times: list[float]) -> None:
    """Make the unlocks of one window; of each, note the milliseconds of its three requests together."""
    for _ in range(UNLOCKS):
        attempt = account.blind()
        began = time.perf_counter()
        started = await account.locate_and_start(attempt)
        taken = time.perf_counter() - began
        message = account.prove(attempt, started)
        began = time.perf_counter()
        await account.finish(message)
        times.append((taken + time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE)


async def _measured(account: Account, worker: psutil.Process, times: list[float]) -> float:
    """Make the unlocks of one window, and return what share of a core the worker used meanwhile."""
    spent, began = cpu_us(worker), time.perf_counter()
    await _unlocks(account, times)
    return (cpu_us(worker) - spent) / 1e6 / (time.perf_counter() - began)


def _summary(times: list[float]) -> dict[str, float]:
    cuts = {f"p{per_cent}_ms": round(quantile(times, per_cent), 2) for per_cent in (50, 99)}
    return cuts | {"largest_ms": round(max(times), 2)}


def _spread(times: dict[str, list[float]], per_cent: int) -> float:
    """Return the interquartile range, over the windows, of the ratio of this quantile."""
    ratios = []
    for begin in range(0, len(times["quiet"]), UNLOCKS):
        cuts = {name: quantile(each[begin : begin + UNLOCKS], per_cent) for name, each in times.items()}
        ratios.append(cuts["hostile"] / cuts["quiet"])
    return round(quartile_range(ratios), 3)


async def measure(windows: int) -> dict[str, Any]:
    """Return the figures of both conditions, `windows` windows each, in turns."""
    times: dict[str, list[float]] = {"quiet": [], "hostile": []}
    shares: dict[str, list[float]] = {"quiet": [], "hostile": []}
    spawn = multiprocessing.get_context("spawn")
    go, end = spawn.Event(), spawn.Event()
    with running_server(HUSHTAG_TRUSTED_PROXIES="127.0.0.1") as (url, server), closing(Wire(url)) as wire:
        place = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
        enemy = spawn.Process(target=_enemy, args=(place, go, end), daemon=True)
        enemy.start()
        try:
            account = Account(wire)
            await account.prepare()
            await _unlocks(account, [])  # statements get prepared, caches fill
            worker = worker_of(server)
            connections = 0
            for _ in range(windows):
                shares["quiet"].append(await _measured(account, worker, times["quiet"]))
                async with _under_load(go):
                    connections = max(connections, len(worker.net_connections("tcp")))
                    shares["hostile"].append(await _measured(account, worker, times["hostile"]))
        finally:
            end.set()
            enemy.join(10)
    quiet, hostile = _summary(times["quiet"]), _summary(times["hostile"])
    ratio = hostile["p99_ms"] / quiet["p99_ms"]
    return {
        "unlocks": windows * UNLOCKS,
        "connections": connections,
        "worker_core_share": {name: round(statistics.median(each), 3) for name, each in shares.items()},
        "quiet": quiet,
        "hostile": hostile,
        "ratio_p99": round(ratio, 2),
        "ratio_p50": round(hostile["p50_ms"] / quiet["p50_ms"], 2),
        "spread_p99": _spread(times, 99),
        "spread_p50": _spread(times, 50),
        "limit": LIMIT,
        "held": ratio <= LIMIT,
    }


def measured(quick: bool) -> Measured:
    """Return the latencies of an unlock among nuisances over those of a quiet server."""
    found = asyncio.run(measure(2 if quick else WINDOWS))
    figures = [
        Figure(
            name=f"unlock among {IDLE} idle and {HOSTILE} hostile connections: {name}",
            floor="the same on a quiet server",
            unit="ms",
            subject=found["hostile"][f"{name}_ms"],
            base=found["quiet"][f"{name}_ms"],
            ratio=found[f"ratio_{name}"],
            spread=found[f"spread_{name}"],
            limit=LIMIT if name == "p99" else None,
        )
        for name in ("p50", "p99")
    ]
    return Measured(figures, found)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else WINDOWS)), indent=2))
