"""Interleaved timing: floor and subject take turns, so a noisy moment hits both."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

ROUNDS = 15


@dataclass(frozen=True)
class Ratio:
    """A subject over its floor; times in microseconds per call, medians of the rounds, spread = interquartile range."""

    name: str
    floor: str
    subject_us: float
    floor_us: float
    ratio: float
    ratio_spread: float
    limit: float | None

    @property
    def held(self) -> bool:
        """Whether the limit, if there is one, was kept."""
        return self.limit is None or self.ratio <= self.limit

    def as_json(self) -> dict[str, object]:
        """Return what is written to the results."""
        return asdict(self) | {"held": self.held}


def per_call(action: Callable[[], object], calls: int) -> float:
    """Return microseconds per call over `calls` calls."""
    started = time.perf_counter()
    for _ in range(calls):
        action()
    return (time.perf_counter() - started) / calls * 1e6


def compare(
    name: str,
    subject: Callable[[], object],
    floor_name: str,
    floor: Callable[[], object],
    *,
    calls: int,
    rounds: int = ROUNDS,
    limit: float | None = None,
) -> Ratio:
    """Measure `subject` and `floor` in turns and return the median ratio."""
    subject()
    floor()
    pairs = [(per_call(subject, calls), per_call(floor, calls)) for _ in range(rounds)]
    ratios = [mine / theirs for mine, theirs in pairs]
    quartiles = statistics.quantiles(ratios, n=4)
    return Ratio(
        name=name,
        floor=floor_name,
        subject_us=round(statistics.median(mine for mine, _ in pairs), 2),
        floor_us=round(statistics.median(theirs for _, theirs in pairs), 2),
        ratio=round(statistics.median(ratios), 3),
        ratio_spread=round(quartiles[2] - quartiles[0], 3),
        limit=limit,
    )
