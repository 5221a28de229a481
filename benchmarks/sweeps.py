"""Which size of the pool and which settings of granian serve best: requests a second on four paths, in turns.

Each choice has a server of its own on a database of its own, and all run at once: in every round each has its turn on
each path, so that a noisy moment hits all alike. Sixteen connections keep one worker busy.
"""

import json
import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from benchmarks.paths import Stage, Visitor, keep_busy, running_stage

__all__ = ["CHOICES", "sweep"]

CONNECTIONS: Final = 16
MEASURED: Final[dict[str, Callable[[Visitor], Awaitable[None]]]] = {
    "begun": Visitor.begin_unlock,
    "get": Visitor.get,
    "put": Visitor.put,
    "journal_get": Visitor.journal_get,
}
Choice = Mapping[str, Any]


def _granian(**arguments: Any) -> Choice:
    return {"BENCH_GRANIAN": json.dumps(arguments)}


CHOICES: Final[dict[str, dict[str, Choice]]] = {
    "Connections to the database per worker": {
        str(size): {"HUSHTAG_POOL_SIZE": str(size)} for size in (1, 2, 4, 10, 20)
    },
    "Granian: event loop and threads": {
        "as served": {},
        "asyncio's loop": _granian(loop="asyncio"),
        "2 runtime threads": _granian(runtime_threads=2),
        "runtime mode st": _granian(runtime_mode="st"),
        "runtime mode mt": _granian(runtime_mode="mt"),
    },
}


async def _round(stages: Mapping[str, Stage], seconds: float, rates: dict[str, dict[str, list[float]]]) -> None:
    for name, path in MEASURED.items():
        for choice, stage in stages.items():
            rates[choice][name].append(await keep_busy(stage, path, CONNECTIONS, seconds))


async def sweep(choices: dict[str, dict[str, Choice]], seconds: float, rounds: int) -> dict[str, Any]:
    """Return the median rates of each choice by title."""
    found: dict[str, Any] = {}
    for title, each in choices.items():
        async with AsyncExitStack() as stack:
            stages = {
                name: await stack.enter_async_context(running_stage(1, CONNECTIONS, **choice))
                for name, choice in each.items()
            }
            rates: dict[str, dict[str, list[float]]] = {name: {what: [] for what in MEASURED} for name in stages}
            for turn in range(rounds + 1):
                await _round(stages, seconds if turn else 0.3, rates)
        found[title] = {
            name: {what: round(statistics.median(taken[1:]), 1) for what, taken in by_path.items()}
            for name, by_path in rates.items()
        }
    return found
