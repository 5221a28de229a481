"""CPU that the security log costs the server per unlock, over what the same unlock costs without it.

Run as `python -m benchmarks.security_log [BATCHES]`; prints JSON. One application in this process on a real PostgreSQL;
batches of unlocks with and without their events take turns, also at going first, so that what else the machine does
meets both alike. Judged is the time a client waits for the three answers. Told as well is the CPU of the thread that
serves, sealing included: with the log, a batch ends when its last event is in the chain. PostgreSQL's own CPU and the
client's are not counted.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

from benchmarks.figures import Figure, Measured, quartile_range
from benchmarks.server_unlock_cpu import Account, Attempt
from hushtag._opaque import ServerSetup
from hushtag.messages import UnlockStarted
from hushtag_server.app import create_app
from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.keyfile import ensure_keys
from hushtag_server.migrate import migrate
from hushtag_server.security_log import recording
from hushtag_server.settings import Settings

LIMIT = 1.10
BATCH = 100
BATCHES = 12  # pairs; the disk's flushes vary more than the limit


class InProcess:
    """Posts to the application itself, in the place of a connection."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.authorization = ""

    async def post(self, path: str, message: object, kind: Any = None) -> Any:
        """Post a message and return the answer."""
        body, sent = msgspec.json.encode(message), []
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if self.authorization:
            headers.append((b"authorization", self.authorization.strip().split(": ")[1].encode()))
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "http_version": "1.1",
            "root_path": "",
            "asgi": {"version": "3.0"},
            "state": {},
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(part: Any) -> None:
            sent.append(part)

        await self._application(scope, receive, send)
        content = b"".join(part.get("body", b"") for part in sent)
        if sent[0]["status"] >= 300:
            raise RuntimeError(f"{path}: {content.decode()}")
        return msgspec.json.decode(content, type=kind or Any)


@contextmanager
def without_events() -> Any:
    """Let calls go through without an event, and without what is hashed for its particulars."""
    with (
        patch.object(recording.EventSource, "through", lambda _, pool, *__: pool),
        patch.object(recording.EventSource, "hashed", lambda *_: ""),
        patch.object(recording.EventSource, "named_ceremony", lambda *_: ""),
    ):
        yield


async def _sealed(pool: Any) -> None:
    async with pool.connection() as connection:
        while (await connection.execute("SELECT FROM security_audit_unsealed LIMIT 1")).rowcount:
            await asyncio.sleep(1.0)


async def _batch(account: Account, pool: Any) -> tuple[float, float]:
    """Return microseconds of CPU and of time per unlock."""
    attempts: list[Attempt] = [account.blind() for _ in range(BATCH)]
    cpu, clock = time.thread_time_ns(), time.perf_counter_ns()
    started: list[UnlockStarted] = [await account.locate_and_start(attempt) for attempt in attempts]
    cpu, clock = time.thread_time_ns() - cpu, time.perf_counter_ns() - clock
    messages = [account.prove(attempt, answer) for attempt, answer in zip(attempts, started, strict=True)]
    begun, resumed = time.thread_time_ns(), time.perf_counter_ns()
    for message in messages:
        await account.finish(message)
    clock += time.perf_counter_ns() - resumed
    await _sealed(pool)
    return (cpu + time.thread_time_ns() - begun) / BATCH / 1000, clock / BATCH / 1000


async def measure(settings: Settings, batches: int) -> dict[str, Any]:
    """Return medians of batches with and without events, in turns."""
    keys = ensure_keys(settings.database_url or "", settings, lambda: ServerSetup.generate().expose())
    application: Any = create_app(settings, keys)
    inner = application.application.application
    found: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    async with inner.lifespan():
        pool = inner.state["services"].pool
        account = Account(InProcess(application))  # type: ignore[arg-type]  # posts alike
        await account.prepare()
        await _batch(account, pool)
        for turn in range(batches):
            # Now this goes first and now that: whatever comes second finds caches and table as the first left them.
            for name in ("with", "without") if turn % 2 == 0 else ("without", "with"):
                with nullcontext() if name == "with" else without_events():
                    found[name].append(await _batch(account, pool))
    # Ratios of neighbours: what the machine did meanwhile was the same for both.
    cpu = [one[0] / other[0] for one, other in zip(found["with"], found["without"], strict=True)]
    waited = [one[1] / other[1] for one, other in zip(found["with"], found["without"], strict=True)]
    told = {
        name: [round(statistics.median(column), 1) for column in zip(*rows, strict=True)]
        for name, rows in found.items()
    }
    return {
        "unlocks": 2 * batches * BATCH,
        "cpu_us": {name: row[0] for name, row in told.items()},
        "time_us": {name: row[1] for name, row in told.items()},
        "cpu_ratio": round(statistics.median(cpu), 3),
        "cpu_spread": round(quartile_range(cpu), 3),
        "time_ratio": round(statistics.median(waited), 3),
        "time_spread": round(quartile_range(waited), 3),
        "limit": LIMIT,
        "held": statistics.median(waited) <= LIMIT,
    }


def run(batches: int = BATCHES) -> dict[str, Any]:
    """Measure on an embedded PostgreSQL of its own."""
    with tempfile.TemporaryDirectory(prefix="hushtag-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        with EmbeddedPostgres(Path(name) / "data") as postgres:
            migrate(postgres.owner_url, app_role="hushtag_app")
            settings = Settings(
                database_url=postgres.app_url, data=Path(name), guess_capacity=10_000, log_level="warning"
            )
            return asyncio.run(measure(settings, batches))


def measured(quick: bool) -> Measured:
    """Return an unlock with the log over one without it."""
    found = run(2 if quick else BATCHES)
    figures = [
        Figure(
            name=f"unlock with the security log: {what}",
            floor="the same without it",
            unit="µs",
            subject=found[f"{key}_us"]["with"],
            base=found[f"{key}_us"]["without"],
            ratio=found[f"{key}_ratio"],
            spread=found[f"{key}_spread"],
            limit=limit,
        )
        for what, key, limit in (("time", "time", LIMIT), ("the server's CPU", "cpu", None))
    ]
    return Measured(figures, found)


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else BATCHES), indent=2))
