"""What every benchmark returns: figures, each a ratio to a named floor or peer of the same run, and the details."""

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

__all__ = ["Figure", "Measured", "fraction_of_limit", "median_ratio", "quantile", "quartile_range"]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    `subject` and `base` are medians in `unit` (base is what the floor or peer took); `ratio` is the median of the
    ratios of neighbours in time, `spread` its interquartile range. A p99 of short windows is of all of them together,
    its spread that of the windows' own. Figures with `at_least` want to be high.
    """

    name: str
    floor: str
    unit: str
    subject: float | None
    base: float | None
    ratio: float
    spread: float | None
    limit: float | None = None
    at_least: bool = False
    held_besides: bool = True
    """False where something else than the ratio is judged as well and was not kept; the details say what."""
    note: str = ""

    @property
    def held(self) -> bool:
        """Whether the limit, if there is one, was kept."""
        if self.limit is None:
            return self.held_besides
        return self.held_besides and (self.ratio >= self.limit if self.at_least else self.ratio <= self.limit)


class Measured(NamedTuple):
    """The figures of one benchmark, and everything it knows besides, for the JSON and the plots."""

    figures: list[Figure]
    details: Any


def quantile(values: Sequence[float], per_cent: int) -> float:
    """Return the smallest value that at least `per_cent` of 100 values do not exceed: one of them, never beyond all.

    Of fewer than a hundred values the 99th is the largest; they cannot tell more.
    """
    return sorted(values)[math.ceil(len(values) * per_cent / 100) - 1]


def quartile_range(values: Sequence[float]) -> float:
    """Return the interquartile range; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    return high - low


def median_ratio(
    name: str,
    subject: Sequence[float],
    floor: str,
    base: Sequence[float],
    *,
    unit: str,
    limit: float | None = None,
    at_least: bool = False,
) -> Figure:
    """Return the figure of samples that were taken in turns: the n-th of both at nearly the same time."""
    ratios = [mine / other for mine, other in zip(subject, base, strict=True)]
    return Figure(
        name=name,
        floor=floor,
        unit=unit,
        subject=round(statistics.median(subject), 3),
        base=round(statistics.median(base), 3),
        ratio=round(statistics.median(ratios), 4),
        spread=round(quartile_range(ratios), 4),
        limit=limit,
        at_least=at_least,
    )


def fraction_of_limit(
    name: str, measured: float, limit: float, unit: str, *, at_least: bool = False, spread: float | None = None
) -> Figure:
    """Return the figure of something that is measured against a fixed number: the limit is the floor, and 1 is kept."""
    return Figure(
        name=name,
        floor=f"the limit of {limit:g} {unit}",
        unit=unit,
        subject=measured,
        base=limit,
        ratio=round(measured / limit, 4),
        spread=None if spread is None else round(spread / limit, 4),
        limit=1.0,
        at_least=at_least,
    )
