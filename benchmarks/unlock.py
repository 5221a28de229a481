"""Where the time of one unlock goes: the stretch, the client's OPAQUE steps, and everything else.

A real client unlocks on a real server over loopback. The wrapped functions are timed inside the unlock they are part
of; "rest" is what is left of the round trip: HTTP, the server (its own OPAQUE steps included, which makes the figure
stricter than its name), PostgreSQL, message encoding, key unwrapping.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks.figures import Measured, median_ratio, quartile_range
from benchmarks.processes import running_server
from hushtag import _opaque
from hushtag.client import Client, ceremony_steps
from hushtag.phrase import draw_phrase

LIMIT = 0.15
UNLOCKS = 40
WARM_UP = 5
EMAIL, PASSWORD = "bench@example.org", "correct horse battery"
WRAPPED: dict[str, list[tuple[Any, str]]] = {
    "argon2id": [(ceremony_steps, "stretch_phrase")],
    "opaque": [(_opaque, "start_login"), (_opaque, "locate_masking_key"), (_opaque, "finish_login")],
}
NAMES = {"argon2id": "stretch (Argon2id)", "opaque": "OPAQUE's steps", "rest": "outside Argon2id and OPAQUE"}


class Clock:
    """Seconds spent in the wrapped functions since the last reset, by part."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(WRAPPED, 0.0)
        self.calls = 0

    def reset(self) -> None:
        """Begin another unlock."""
        self.spent = dict.fromkeys(WRAPPED, 0.0)
        self.calls = 0

    def wrap(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time added to `part`."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent[part] += time.perf_counter() - begun
                self.calls += 1

        return timed


@contextmanager
def instrumented() -> Iterator[Clock]:
    """Time the stretch and the client's OPAQUE steps wherever an unlock calls them."""
    clock = Clock()
    with ExitStack() as stack:
        for part, places in WRAPPED.items():
            for module, name in places:
                stack.enter_context(patch.object(module, name, clock.wrap(part, getattr(module, name))))
        yield clock


def _one(client: Client, phrase: str, clock: Clock) -> dict[str, float]:
    clock.reset()
    begun = time.perf_counter()
    vault = client.unlock(phrase)
    total = time.perf_counter() - begun
    vault.lock()
    if clock.calls != sum(map(len, WRAPPED.values())):
        raise RuntimeError(f"an unlock made {clock.calls} of the wrapped calls; the split would be wrong")
    rest = total - sum(clock.spent.values())
    return {name: seconds * 1000 for name, seconds in {"total": total, **clock.spent, "rest": rest}.items()}


def run(unlocks: int = UNLOCKS) -> dict[str, list[float]]:
    """Return the milliseconds of each unlock by part: `total`, those of `WRAPPED`, and `rest`."""
    phrase = draw_phrase().text
    with running_server() as (url, _), Client(url) as client, instrumented() as clock:
        client.sign_up(EMAIL, PASSWORD)
        client.log_in(EMAIL, PASSWORD)
        client.enrol(phrase)
        samples = [_one(client, phrase, clock) for _ in range(WARM_UP + unlocks)][WARM_UP:]
    return {name: [sample[name] for sample in samples] for name in samples[0]}


def split(columns: dict[str, list[float]]) -> Measured:
    """Return the parts of unlocks, as `run` gives them, each over the whole of the same unlock."""
    figures = [
        median_ratio(
            f"unlock by the client: {name}",
            columns[part],
            "the whole unlock",
            columns["total"],
            unit="ms",
            limit=LIMIT if part == "rest" else None,
        )
        for part, name in NAMES.items()
    ]
    details = {
        "unlocks": len(columns["total"]),
        "median_ms": {name: round(statistics.median(values), 2) for name, values in columns.items()},
        "spread_ms": {name: round(quartile_range(values), 2) for name, values in columns.items()},
    }
    return Measured(figures, details)


def measured(quick: bool) -> Measured:
    """Return the parts of an unlock, each over the whole of it."""
    return split(run(8 if quick else UNLOCKS))
