"""Plots of the results, as SVG beside them: drawn by matplotlib without a display, the same for the same results."""

import os
from collections.abc import Callable
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet

from benchmarks.figures import Figure
from benchmarks.results import RESULTS, Result

__all__ = ["draw"]

WIDTH: Final = 9.0
HELD, MISSED, OURS, FLOOR = "#2a7f62", "#c0392b", "#2b6cb0", "#a0aec0"
# Text stays text, so a file is small, and nothing in it depends on when it was drawn.
mpl.rcParams.update(
    {"svg.fonttype": "none", "svg.hashsalt": "hushtag", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
)


def _sheet(height: float, columns: int = 1) -> tuple[Sheet, list[Axes]]:
    sheet = Sheet(figsize=(WIDTH, height), layout="constrained")
    axes: Any = sheet.subplots(1, columns, squeeze=False)
    return sheet, list(axes[0])


def _save(sheet: Sheet, name: str) -> None:
    sheet.savefig(RESULTS / f"{name}.svg", metadata={"Date": None, "Creator": "hushtag benchmarks"})


def _limits(results: dict[str, Result]) -> None:
    """How much of each limit is used: below 1 it is held."""
    judged = [figure for result in results.values() for figure in result.figures if figure.limit]
    if not judged:
        return

    def used(figure: Figure) -> float:
        limit = figure.limit or 1.0
        return limit / max(figure.ratio, 1e-9) if figure.at_least else figure.ratio / limit

    sheet, (axes,) = _sheet(0.24 * len(judged) + 1)
    colours = [HELD if figure.held else MISSED for figure in judged]
    axes.barh([figure.name for figure in judged], [used(figure) for figure in judged], color=colours)
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("share of the limit that is used (1: the limit)")
    _save(sheet, "limits")


def _throughput(result: Result) -> None:
    windows = result.details["windows"].values()
    sheet, (rates, latencies) = _sheet(3.6, 2)
    for workers, style in ((1, "-"), (2, "--")):
        mine = [each for each in windows if each["workers"] == workers]
        at = [each["connections"] for each in mine]
        rates.plot(at, [each["rate"] for each in mine], style, marker="o", color=OURS, label=f"{workers} worker(s)")
        for quantile, colour in (("p50_us", HELD), ("p99_us", MISSED)):
            label = f"{quantile[:3]}, {workers} worker(s)"
            values = [each[quantile] / 1000 for each in mine]
            latencies.plot(at, values, style, marker="o", color=colour, label=label)
    floor = [1e6 / each["raw_us"] for each in windows if each["workers"] == 1]
    rates.axhline(sum(floor) / len(floor), color=FLOOR, label="1 ÷ the three binding calls")
    for axes, what in ((rates, "unlocks a second"), (latencies, "ms an unlock")):
        axes.set(xscale="log", xlabel="connections", ylabel=what)
        axes.legend(fontsize=7)
    latencies.set_yscale("log")
    _save(sheet, "throughput")


def _objects(result: Result) -> None:
    medians = result.details["median_mb_per_second"]
    sheet, pair = _sheet(3.6, 2)
    for axes, direction in zip(pair, ("up", "down"), strict=True):
        where = [name for name in medians if name.endswith(f" {direction}")]
        for place, (way, colour) in enumerate(
            zip(("ours", "plain", "psycopg", "gcm"), (OURS, FLOOR, "#718096", "#d69e2e"), strict=True)
        ):
            positions = [number + place * 0.2 for number in range(len(where))]
            axes.bar(positions, [medians[name][way] for name in where], 0.2, color=colour, label=way)
        axes.set_xticks([number + 0.3 for number in range(len(where))], [name.rsplit(" ", 1)[0] for name in where])
        axes.set(yscale="log", ylabel=f"MB/s {direction}")
        axes.legend(fontsize=7)
    _save(sheet, "objects")


def _growth(result: Result) -> None:
    sheet, pair = _sheet(3.6, 2)
    for axes, series in zip(pair, ("users", "objects"), strict=True):
        for name, found in result.details[series].items():
            sizes = sorted(found["medians_us"], key=int)
            label = f"{name}: n^{found['exponent']:.3f} ± {found['error']:.3f}"
            axes.plot(
                [int(size) for size in sizes],
                [found["medians_us"][size] / 1000 for size in sizes],
                marker="o",
                label=label,
            )
        axes.set(xscale="log", yscale="log", xlabel=series, ylabel="ms")
        axes.legend(fontsize=7)
    _save(sheet, "growth")


def _unlock(result: Result) -> None:
    median = result.details["median_ms"]
    sheet, (axes,) = _sheet(1.4)
    begin = 0.0
    for part, colour in (("argon2id", FLOOR), ("opaque", OURS), ("rest", MISSED)):
        axes.barh(["an unlock"], [median[part]], left=begin, color=colour, label=f"{part} {median[part]} ms")
        begin += median[part]
    axes.set_xlabel("ms")
    axes.legend(fontsize=7, ncols=3)
    _save(sheet, "unlock")


_DRAWN: Final[dict[str, Callable[[Result], None]]] = {
    "unlock": _unlock,
    "throughput": _throughput,
    "objects": _objects,
    "growth": _growth,
}


def draw(results: dict[str, Result]) -> None:
    """Draw every plot whose benchmark was measured."""
    os.makedirs(RESULTS, exist_ok=True)
    for name, make in _DRAWN.items():
        if name in results:
            make(results[name])
    _limits(results)
