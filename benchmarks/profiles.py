"""`python -m benchmarks.profiles`: where the server's time goes, and which settings serve best; for PROFILES.md.

For every path of the server: a real server with one worker under that path alone, four connections keeping it busy, and
py-spy looking at the worker a few hundred times a second. What it saw becomes a flame graph in `results/flame-NAME.svg`
and a table of the functions where the time itself was spent. Then every callback of the event loop is timed on the same
paths, and unlocks and reads a second are measured for sizes of the pool and for settings of granian. Everything goes to
`results/profiles.json` and, as Markdown, to `results/PROFILES-tables.md`.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click
import psutil
import uvloop

from benchmarks.flames import draw_flames, hottest, read_stacks
from benchmarks.paths import LONG_PATHS, PATHS, Stage, keep_busy, running_stage
from benchmarks.results import RESULTS, circumstances
from benchmarks.sweeps import CHOICES, sweep

SECONDS: Final = 8.0
RATE: Final = 250
"""Looks a second."""
CONNECTIONS: Final = 4


def _spy(worker: psutil.Process, output: Path) -> "subprocess.Popen[bytes]":
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--format", "raw"]
    command += ["--rate", str(RATE), "--duration", "86400", "--output", str(output), "--pid", str(worker.pid)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def profile(stage: Stage, name: str, seconds: float) -> dict[str, Any]:
    """Look at the worker while it serves one path; write the flame graph and return what took most."""
    raw = RESULTS / f"{name}.stacks"
    path = PATHS[name]
    await keep_busy(stage, path, CONNECTIONS, 1.0)  # statements are prepared, caches filled
    spying = _spy(stage.worker, raw)
    try:
        await keep_busy(stage, path, CONNECTIONS, 0.5)  # it takes a moment to attach
        answers = await keep_busy(stage, path, CONNECTIONS, seconds)
    finally:
        spying.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            spying.wait(20)
        spying.kill()
    stacks = read_stacks(raw.read_text(encoding="utf-8", errors="replace"))
    raw.unlink()
    shown = draw_flames(stacks, RESULTS / f"flame-{name}.svg", f"{name}: where the worker's time goes")
    return {"answers": answers, "looks": sum(stacks.values()), "shown": shown, "hottest": hottest(stacks)}


async def _profiles(seconds: float) -> dict[str, Any]:
    async with running_stage() as stage:
        found = {}
        for name in PATHS:
            _say(f"flame-{name} …")
            found[name] = await profile(stage, name, seconds)
    return found


async def _callbacks(seconds: float) -> dict[str, Any]:
    async with running_stage(BENCH_CALLBACKS="1", BENCH_GRANIAN='{"loop": "asyncio"}') as stage:
        found = {}
        for name, path in (PATHS | LONG_PATHS).items():
            await keep_busy(stage, path, CONNECTIONS, 1.0)
            await stage.ask("DELETE", "/plain/callbacks")
            await keep_busy(stage, path, CONNECTIONS, seconds)
            found[name] = json.loads((await stage.ask("GET", "/plain/callbacks")).body)
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _table(headings: list[str], rows: list[list[Any]]) -> str:
    lines = [headings, ["---"] + ["--:"] * (len(headings) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def as_markdown(found: dict[str, Any]) -> str:
    """Return the tables."""
    parts = ["# Profiles: the tables", "", f"Measured {found['measured_at']}; PROFILES.md says what they mean.", ""]
    for name, each in found["paths"].items():
        rows = [[f"`{function}`", f"{share:.1%}"] for function, share in each["hottest"]]
        parts += [f"## {name}", "", _table(["time itself spent in", "share"], rows), ""]
    parts += ["## What holds the event loop", ""]
    keys = ("callbacks", "p50_us", "p99_us", "p999_us", "longest_us", "longest", "over_limit")
    rows = [[name, *(each.get(key, "-") for key in keys)] for name, each in found["callbacks"].items()]
    headings = ["path", "callbacks", "p50 µs", "p99 µs", "p99.9 µs", "longest µs", "which", "over 1 ms"]
    parts += [_table(headings, rows), ""]
    for title, choices in found["sweeps"].items():
        rows = [
            [name, *(f"{each[key]:.0f}" for key in ("begun", "get", "put", "journal_get"))]
            for name, each in choices.items()
        ]
        parts += [
            f"## {title}",
            "",
            _table(["choice", "unlocks begun /s", "objects got /s", "objects put /s", "entries got /s"], rows),
            "",
        ]
    return "\n".join(parts)


def _measure(what: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        return await what()

    return uvloop.run(run())


@click.command()
@click.option("--quick", is_flag=True, help="Look for a second only, to see that it works.")
@click.option("--only", type=click.Choice(["paths", "callbacks", "sweeps"]), multiple=True, help="Only this part.")
def main(quick: bool, only: tuple[str, ...]) -> None:
    """Profile every path of the server and measure settings."""
    RESULTS.mkdir(exist_ok=True)
    target, begun = RESULTS / "profiles.json", time.monotonic()
    found: dict[str, Any] = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    found |= circumstances()
    seconds = 1.5 if quick else SECONDS
    parts: dict[str, Callable[[], Awaitable[Any]]] = {
        "paths": lambda: _profiles(seconds),
        "callbacks": lambda: _callbacks(seconds / 2),
        "sweeps": lambda: sweep(CHOICES, seconds / 4, rounds=1 if quick else 3),
    }
    for name in only or parts:
        _say(f"{name} …")
        found[name] = _measure(parts[name])
        target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if parts.keys() <= found.keys():
        (RESULTS / "PROFILES-tables.md").write_text(as_markdown(found), encoding="utf-8")
    _say(f"{time.monotonic() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
