"""`python -m benchmarks [--only NAME] [--json]`: our cost over a floor measured in the same run.

Every figure goes to `benchmarks/results/NAME.json` with the machine and the versions it was measured on. A limit that
is not kept is called MISSED; the exit code stays 0, because a benchmark is not a test.
"""

import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import absence, plain, plain_limits, primitives, security_log, server_unlock_cpu, unlock

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "hushtag",
    "opaque-ke-py",
    "argon2-cffi",
    "cryptography",
    "msgspec",
    "blake3",
    "httpx",
    "granian",
    "psycopg",
    "litestar",
    "fastapi",
    "sqlalchemy",
    "asyncpg",
    "pydantic",
    "uvicorn",
)
UNLOCKS_FOR_CPU = 300

Rows = list[dict[str, Any]]


def _primitives() -> tuple[Rows, Any]:
    rows = [ratio.as_json() for ratio in primitives.run()]
    return rows, rows


def _unlock() -> tuple[Rows, Any]:
    found = unlock.run()
    median = found["median_ms"]
    row = {
        "name": "unlock: share outside Argon2id and OPAQUE",
        "floor": "the whole unlock",
        "subject_us": median["rest"] * 1000,
        "floor_us": median["total"] * 1000,
        "ratio": found["share_outside"],
        "ratio_spread": found["share_spread"],
        "limit": found["limit"],
        "held": found["held"],
    }
    return [row], found


def _security_log() -> tuple[Rows, Any]:
    found = security_log.run()
    rows = [
        {
            "name": f"unlock with the security log, {what}",
            "floor": "the same without it",
            "subject_us": found[f"{what}_us"]["with"],
            "floor_us": found[f"{what}_us"]["without"],
            "ratio": found[f"{what}_ratio"],
            "ratio_spread": None,
            "limit": found["limit"] if what == "time" else None,
            "held": found["held"] if what == "time" else True,
        }
        for what in ("time", "cpu")
    ]
    return rows, found


def _absence() -> tuple[Rows, Any]:
    found = absence.run()
    rows: Rows = [
        {
            "name": f"telling {pair.replace('/', ' from ')}: AUC",
            "floor": "0.5: a coin",
            "subject_us": None,
            "floor_us": None,
            "ratio": each["classifier"],
            "ratio_spread": None,
            "limit": 0.5 + found["limit"],
            "held": abs(each["classifier"] - 0.5) <= found["limit"] and found["shapes"] == 1,
        }
        for pair, each in found["auc"].items()
    ]
    return rows, found


def _server_unlock_cpu() -> tuple[Rows, Any]:
    found: Any = asyncio.run(server_unlock_cpu.measure(UNLOCKS_FOR_CPU))
    rows = [
        {
            "name": f"server CPU of an unlock, {condition}",
            "floor": "its three binding calls",
            "subject_us": summary["unlock_us"],
            "floor_us": summary["raw_binding_us"]["sum"],
            "ratio": summary["ratio"],
            "ratio_spread": None,
            "limit": found["limit"] if condition == found["judged"] else None,
            "held": found["held"] if condition == found["judged"] else True,
        }
        for condition, summary in found["worker_cpu"].items()
    ]
    return rows, found


def _plain() -> tuple[Rows, Any]:
    found = plain.run()
    rows: Rows = []
    for name, each in found["endpoints"].items():
        mine, theirs = each["hushtag"], each["peer"]
        shared = {"name": f"journals, {name}: requests/s × the peer's", "floor": "FastAPI + SQLAlchemy + uvicorn"}
        rows += [
            shared
            | {
                "subject_us": 1e6 / mine["rate"],
                "floor_us": 1e6 / theirs["rate"],
                "ratio": each["rate_ratio"],
                "ratio_spread": each["rate_ratio_spread"],
                "limit": each["limit"],
                "at_least": True,
                "held": each["rate_held"],
            },
            shared
            | {
                "name": f"journals, {name}: p99 of the latency",
                "subject_us": mine["p99_us"],
                "floor_us": theirs["p99_us"],
                "ratio": round(mine["p99_us"] / theirs["p99_us"], 3),
                "ratio_spread": None,
                "limit": 1.0,
                "held": each["p99_held"],
            },
            shared
            | {
                "name": f"journals, {name}: CPU of the worker",
                "subject_us": mine["worker_us"],
                "floor_us": theirs["worker_us"],
                "ratio": round(mine["worker_us"] / theirs["worker_us"], 3),
                "ratio_spread": None,
                "limit": None,
                "held": True,
            },
        ]
    return rows, found


def _against_limit(name: str, measured: float, limit: float, held: bool, *, at_least: bool = False) -> dict[str, Any]:
    """Return a row of a figure that is measured against a fixed number in the same unit; the unit is in its name."""
    ratio = round(measured / limit, 3)
    row = {"name": name, "floor": f"{limit:g}", "subject_us": None, "floor_us": None, "ratio": ratio}
    return row | {"ratio_spread": None, "limit": 1.0, "at_least": at_least, "held": held}


def _plain_limits() -> tuple[Rows, Any]:
    found = plain_limits.run()
    read, search, bulk, held, memory = (found[name] for name in ("read", "search", "bulk", "connections", "memory"))
    rows = [
        _against_limit("read in the database, p99 ms", read["p99_ms"], read["limit_p99_ms"], read["held"]),
        *(
            _against_limit(
                f"search ({kind}) in the database, p99 ms",
                each["p99_ms"],
                search["limit_p99_ms"],
                each["p99_ms"] < search["limit_p99_ms"],
            )
            for kind, each in search["kinds"].items()
        ),
        _against_limit("bulk, entries/s", bulk["entries_per_second"], bulk["limit"], bulk["held"], at_least=True),
        _against_limit("connections held", held["held_open"], held["limit"], held["held"], at_least=True),
        _against_limit("resident memory, MiB", memory["most_mib"], memory["limit_mib"], memory["held"]),
        _against_limit(
            "its growth in the last half, MiB", memory["growth_mib"], memory["growth_limit_mib"], memory["held"]
        ),
    ]
    return rows, found


BENCHMARKS: dict[str, Callable[[], tuple[Rows, Any]]] = {
    "primitives": _primitives,
    "unlock": _unlock,
    "server_unlock_cpu": _server_unlock_cpu,
    "security_log": _security_log,
    "absence": _absence,
    "plain": _plain,
    "plain_limits": _plain_limits,
}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def circumstances() -> dict[str, Any]:
    """Return what a figure depends on: machine, load, versions, time."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cpus": os.cpu_count(),
            "memory_mib": psutil.virtual_memory().total // 2**20,
            "system": platform.platform(),
            "load_before": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def _time(microseconds: float | None) -> str:
    if microseconds is None:
        return "-"
    return f"{microseconds / 1000:.2f} ms" if microseconds >= 1000 else f"{microseconds:.1f} µs"


def _verdict(row: dict[str, Any]) -> str:
    if row["limit"] is None:
        return "-"
    return "[green]held[/green]" if row["held"] else "[bold red]MISSED[/bold red]"


def _table(rows: Rows) -> Table:
    table = Table(title="Hushtag over its floors (medians; spread = interquartile range of the ratio)")
    table.add_column("what")
    table.add_column("floor")
    for heading in ("ours", "floor takes", "ratio", "spread", "limit", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        spread, limit = (("-" if row[key] is None else f"{row[key]:g}") for key in ("ratio_spread", "limit"))
        limit = f"≥ {limit}" if row.get("at_least") else limit
        times = (_time(row["subject_us"]), _time(row["floor_us"]))
        table.add_row(row["name"], row["floor"], *times, f"{row['ratio']:.3f}", spread, limit, _verdict(row))
    return table


@click.command()
@click.option("--only", type=click.Choice(list(BENCHMARKS)), multiple=True, help="Run this one; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON; progress goes to standard error.")
def main(only: tuple[str, ...], as_json: bool) -> None:
    """Measure ratios against floors and write them to benchmarks/results."""
    RESULTS.mkdir(exist_ok=True)
    rows: Rows = []
    results: dict[str, Any] = {}
    for name in only or BENCHMARKS:
        print(f"{name} …", end=" ", file=sys.stderr, flush=True)
        around, begun = circumstances(), time.monotonic()
        measured, details = BENCHMARKS[name]()
        held = all(row["held"] for row in measured)
        results[name] = {"name": name, **around, "held": held, "rows": measured, "details": details}
        (RESULTS / f"{name}.json").write_text(json.dumps(results[name], indent=2) + "\n", encoding="utf-8")
        print(f"{time.monotonic() - begun:.0f} s, {'held' if held else 'MISSED'}", file=sys.stderr, flush=True)
        rows += measured
    if as_json:
        print(json.dumps(results, indent=2))
        return
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(_table(rows))
    if "unlock" in results:
        details = results["unlock"]["details"]
        median = details["median_ms"]
        console.print(
            f"unlock: {median['total']} ms = Argon2id {median['argon2id']} + OPAQUE {median['opaque']} + rest "
            f"{median['rest']} (medians); {details['share_outside']:.1%} outside Argon2id and OPAQUE, "
            f"limit {details['limit']:.0%}"
        )
    missed = [row["name"] for row in rows if not row["held"]]
    console.print(f"MISSED: {', '.join(missed)}" if missed else "Every limit held.")


if __name__ == "__main__":
    main()
