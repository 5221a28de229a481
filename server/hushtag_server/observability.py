"""Logs and metrics. A log line holds method, route template, status, time and request id; never what was sent.

Formatting is closed: only the named extras reach a line, and exceptions appear as types and places, because a message
of a driver may quote the value it choked on.
"""

import asyncio
import contextlib
import logging
import os
import sys
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)

from hushtag_server.spelling import spelt_second

__all__ = [
    "AccessLog",
    "Ended",
    "Metrics",
    "RequestRecords",
    "configure_logging",
    "describe_exception",
    "log_config",
]

_EXTRAS: Final = ("request_id", "method", "route", "status", "ms", "error", "code", "worker", "checkpoint")
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client is untyped there
TOGETHER: Final = 0.05
"""Seconds for which requests that ended are logged and counted together."""
_LOOK_AT_POOL: Final = 1.0  # seconds: how old the figures of a pool may be where another worker answers `/metrics`
_WORKERS: Final = "PROMETHEUS_MULTIPROC_DIR"  # the directory in which several workers count; without it there is one
_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)


def describe_exception(error: BaseException) -> Iterator[str]:
    """Yield the types of an exception and its causes with their frames; no message, no local variable, no value."""
    cause: BaseException | None = error
    while cause is not None:
        yield f"{type(cause).__module__}.{type(cause).__qualname__}"
        yield from (
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)
        )
        cause = cause.__cause__ or cause.__context__


class JsonFormatter(logging.Formatter):
    """One JSON object a line. Foreign loggers contribute the first line of their message template, never its arguments.

    Granian puts a traceback below that line, whose last one may have what was sent in it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of one record."""
        ours = record.name.startswith("hushtag")
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if ours else str(record.msg).partition("\n")[0],
        }
        line |= {name: getattr(record, name) for name in _EXTRAS if getattr(record, name, None) is not None}
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = list(describe_exception(record.exc_info[1]))
        return msgspec.json.encode(line).decode("utf-8")


class AccessLine(msgspec.Struct):
    """The line of one request."""

    time: str
    level: str
    logger: str
    event: str
    request_id: str
    method: str
    route: str
    status: int
    ms: float


class Ended(NamedTuple):
    """A request that ended: when (seconds of the epoch), which, and how. No word of it is of the request itself."""

    moment: float
    request_id: str
    method: str
    route: str
    status: int
    seconds: float


class AccessLog:
    """Writes one line a request, as the logger `hushtag.access` would, for a fifth of its price."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("hushtag.access")
        self._encoder = msgspec.json.Encoder()

    def _line(self, ended: Ended) -> str:
        second, rest = divmod(int(ended.moment * 1000), 1000)
        stamp = f"{spelt_second(second)}.{rest:03d}+00:00"
        ms = round(ended.seconds * 1000, 2)
        named = (ended.request_id, ended.method, ended.route, ended.status)
        line = AccessLine(stamp, "info", "hushtag.access", "request", *named, ms)
        return self._encoder.encode(line).decode("ascii") + "\n"

    def write(self, requests: Iterable[Ended]) -> None:
        """Write their lines in one piece if the logger's level lets them through."""
        if self._logger.isEnabledFor(logging.INFO):
            # A full disk or a closed pipe must not fail the request.
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write("".join(map(self._line, requests)))


class RequestRecords:
    """Logs and counts every request that ended.

    The first after a pause at once; those of the next 50 ms together, which costs each a third of what it costs alone,
    between two requests. So a worker that is killed may take the lines of its last 50 ms with it.
    """

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics
        self._log = AccessLog()
        self._ended: list[Ended] = []
        self._timer: asyncio.TimerHandle | None = None
        metrics.before_render.append(self.flush)

    def add(self, ended: Ended) -> None:
        """Take a request; inside an event loop."""
        self._ended.append(ended)
        if self._timer is None:
            self._turn()

    def flush(self) -> None:
        """Write and count what has come."""
        ended, self._ended = self._ended, []
        if ended:
            self._log.write(ended)
            self._metrics.observe_requests(ended)

    def _turn(self) -> None:
        # While nothing comes no timer runs: the loop of an idle server sleeps.
        again = bool(self._ended)
        self.flush()
        self._timer = asyncio.get_running_loop().call_later(TOGETHER, self._turn) if again else None


def log_config(level: str) -> dict[str, Any]:
    """Return the `logging.config` of a process; granian takes it for its own loggers and for ours."""
    handler = {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}
    own = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    quiet = {"handlers": ["stderr"], "level": "WARNING", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "hushtag_server.observability.JsonFormatter"}},
        "handlers": {"stderr": handler, "console": handler, "access": handler},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "hushtag": own,
            "_granian": dict(quiet),
            "granian.access": dict(quiet),
            "psycopg.pool": dict(quiet),
        },
    }


def configure_logging(level: str) -> None:
    """Configure this process; granian does so itself, but later."""
    from logging.config import dictConfig

    sys.stderr.flush()
    dictConfig(log_config(level))


def _forget_the_dead() -> None:
    """Remove the gauges of workers that are gone: what they had is gone too. What they counted stays."""
    for path in Path(os.environ[_WORKERS]).glob("gauge_live*_*.db"):
        try:
            os.kill(int(path.stem.rpartition("_")[2]), 0)
        except (ProcessLookupError, PermissionError):  # nobody, or somebody else's who came to its number
            path.unlink(missing_ok=True)


class Metrics:
    """The worker's metrics; `render` returns those of all workers when `PROMETHEUS_MULTIPROC_DIR` is set."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "hushtag_http_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "hushtag_http_request_seconds",
            "Time to the end of the answer",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.problems = Counter(
            "hushtag_problems", "Problems answered, such as spent guess budgets", ["code"], registry=self._registry
        )
        self.pool = Gauge(
            "hushtag_pool_connections",
            "Database connections by state, and requests waiting for one",
            ["state"],
            registry=self._registry,
            multiprocess_mode="livesum",
        )

        self.segment_bytes = Counter(
            "hushtag_segment_bytes",
            "Bytes of large objects that were moved, in or out",
            ["way"],
            registry=self._registry,
        )

        self.batches = Counter(
            "hushtag_batches",
            "Steps of unlocks that went to the database together: batches made, and refused to be made step by step",
            ["end"],
            registry=self._registry,
        )
        self.batched_steps = Counter(
            "hushtag_batched_steps", "Steps of unlocks in those batches", registry=self._registry
        )
        self._counted: dict[str, int] = {}

        self._children: dict[tuple[str, str, int], tuple[Any, Any]] = {}
        self.before_render: list[Callable[[], None]] = []

    def observe_requests(self, ended: Iterable[Ended]) -> None:
        """Count requests. All three labels come from small closed sets, so the kept children stay few."""
        alike: defaultdict[tuple[str, str, int], list[float]] = defaultdict(list)
        for each in ended:
            alike[each.method, each.route, each.status].append(each.seconds)
        for key, durations in alike.items():
            found = self._children.get(key)
            if found is None:
                method, route, status = key
                found = (self.requests.labels(method, route, str(status)), self.seconds.labels(method, route))
                self._children[key] = found
            found[0].inc(len(durations))
            for seconds in durations:
                found[1].observe(seconds)

    def observe_pool(self, stats: dict[str, int]) -> None:
        """Take over the pool's figures."""
        for state, key in (("open", "pool_size"), ("idle", "pool_available"), ("waiting", "requests_waiting")):
            self.pool.labels(state).set(stats.get(key, 0))
        for counter, key in (
            (self.batches.labels("made"), "batches_made"),
            (self.batches.labels("refused"), "batches_refused"),
            (self.batched_steps, "batches_steps"),
        ):
            now = stats.get(key, 0)
            counter.inc(now - self._counted.get(key, 0))  # never less than nothing: they only grow
            self._counted[key] = now

    @asynccontextmanager
    async def watching(self, pool_stats: Callable[[], dict[str, int]]) -> AsyncIterator[None]:
        """Keep the pool's figures while the context lasts, for whichever worker is asked."""

        def observe() -> None:
            self.observe_pool(pool_stats())

        async def observe_often() -> None:
            while True:
                observe()
                await asyncio.sleep(_LOOK_AT_POOL)

        self.before_render.append(observe)
        if _WORKERS not in os.environ:  # nobody else is asked, so the loop of an idle server sleeps
            yield
            return
        _forget_the_dead()
        often = asyncio.create_task(observe_often())
        try:
            yield
        finally:
            often.cancel()

    def render(self) -> bytes:
        """Return the Prometheus text format."""
        for bring_up_to_date in self.before_render:
            bring_up_to_date()
        if _WORKERS not in os.environ:
            return generate_latest(self._registry)
        _forget_the_dead()
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client is untyped there
        return generate_latest(registry)
