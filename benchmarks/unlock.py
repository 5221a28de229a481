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

import msgspec

from benchmarks.figures import Figure, Measured
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
    return {"total": total, **clock.spent, "rest": rest, "share": rest / total}


def _spread(values: list[float]) -> float:
    low, _, high = statistics.quantiles(values, n=4)
    return high - low


def run(unlocks: int = UNLOCKS) -> dict[str, Any]:
    """Return the medians of the split in milliseconds, and the share outside Argon2id and OPAQUE."""
    phrase = draw_phrase().text
    with running_server() as (url, _), Client(url) as client, instrumented() as clock:
        client.sign_up(EMAIL, PASSWORD)
        client.log_in(EMAIL, PASSWORD)
        client.enrol(phrase)
        samples = [_one(client, phrase, clock) for _ in range(WARM_UP + unlocks)][WARM_UP:]
    columns = {name: [sample[name] for sample in samples] for name in samples[0]}
    shares = columns.pop("share")
    share = statistics.median(shares)
    return {
        "unlocks": unlocks,
        "median_ms": {name: round(statistics.median(values) * 1000, 2) for name, values in columns.items()},
        "spread_ms": {name: round(_spread(values) * 1000, 2) for name, values in columns.items()},
        "share_outside": round(share, 4),
        "share_spread": round(_spread(shares), 4),
        "limit": LIMIT,
        "held": share < LIMIT,
    }


def measured(quick: bool) -> Measured:
    """Return the parts of an unlock, each over the whole of it."""
    found = run(8 if quick else UNLOCKS)
    median = found["median_ms"]

    def part(name: str, value: float, spread: float, limit: float | None = None) -> Figure:
        whole = median["total"]
        return Figure(
            name=f"unlock by the client: {name}",
            floor="the whole unlock",
            unit="ms",
            subject=value,
            base=whole,
            ratio=round(value / whole, 4),
            spread=round(spread / whole, 4),
            limit=limit,
        )

    spread = found["spread_ms"]
    outside = part("outside Argon2id and OPAQUE", median["rest"], spread["rest"], LIMIT)
    return Measured(
        [
            part("stretch (Argon2id)", median["argon2id"], spread["argon2id"]),
            part("OPAQUE's steps", median["opaque"], spread["opaque"]),
            msgspec.structs.replace(outside, ratio=found["share_outside"], spread=found["share_spread"]),
        ],
        found,
    )
