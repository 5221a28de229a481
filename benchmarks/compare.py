"""`python -m benchmarks.compare`: what a change did, as ratios now beside those of the baseline.

Ratios to a floor of the same run are compared, never times: another day on the same machine has another clock. A change
is called outside the noise when it is larger than what both spreads together explain (the root of the sum of their
squares; a spread is the interquartile range of single ratios, which is wide for a median and so errs towards silence)
and larger than 3 %. `--keep` makes the present results the baseline.
"""

import json
import math
import sys
from typing import Any, Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.results import BASELINE, Result, keep_baseline, read_baseline, read_results

SMALLEST: Final = 0.03
"""Changes up to this share are never told: floors themselves come out that different from run to run."""


class Change(NamedTuple):
    """One figure then and now."""

    benchmark: str
    name: str
    before: Figure
    now: Figure

    @property
    def share(self) -> float:
        """How much the ratio grew: 0.1 is a tenth more."""
        return self.now.ratio / self.before.ratio - 1 if self.before.ratio else 0.0

    @property
    def noise(self) -> float:
        """The share that both spreads together explain; infinite where one of them is not known."""
        if self.before.spread is None or self.now.spread is None or not self.before.ratio:
            return math.inf
        return math.hypot(self.before.spread, self.now.spread) / abs(self.before.ratio)

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `noise`; `unknown` where there is no spread to judge by."""
        if math.isinf(self.noise):
            return "unknown"
        if abs(self.share) <= max(self.noise, SMALLEST):
            return "noise"
        return "better" if (self.share > 0) == self.now.at_least else "worse"


def changes(before: dict[str, Result], now: dict[str, Result]) -> list[Change]:
    """Return the figures that both have."""
    found = []
    for name in now.keys() & before.keys():
        then = {figure.name: figure for figure in before[name].figures}
        found += [Change(name, each.name, then[each.name], each) for each in now[name].figures if each.name in then]
    return sorted(found, key=lambda change: (change.benchmark, change.name))


def _ratio(figure: Figure) -> str:
    return f"{figure.ratio:.3f}" + ("" if figure.spread is None else f" ± {figure.spread:.3f}")


def _as_json(change: Change) -> dict[str, Any]:
    return {
        "benchmark": change.benchmark,
        "name": change.name,
        "before": {"ratio": change.before.ratio, "spread": change.before.spread, "held": change.before.held},
        "now": {"ratio": change.now.ratio, "spread": change.now.spread, "held": change.now.held},
        "change": round(change.share, 4),
        "verdict": change.verdict,
    }


def _print(found: list[Change], everything: bool) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 160
    table = Table(title="Ratio to the floor: baseline and now")
    for place, heading in enumerate(("benchmark", "what", "baseline", "now", "change", "outside the noise?", "limit")):
        table.add_column(heading, justify="right" if 1 < place < 5 else "left")
    colours = {"better": "green", "worse": "bold red"}
    for change in found:
        if everything or change.verdict != "noise" or change.now.held != change.before.held:
            limit = "-" if change.now.limit is None else "held" if change.now.held else "MISSED"
            cells = (change.benchmark, change.name, _ratio(change.before), _ratio(change.now))
            style = colours.get(change.verdict)
            table.add_row(*cells, f"{change.share:+.1%}", change.verdict, limit, style=style)
    console.print(table)
    told = {verdict: sum(change.verdict == verdict for change in found) for verdict in ("better", "worse", "noise")}
    console.print(f"{len(found)} figures: " + ", ".join(f"{count} {verdict}" for verdict, count in told.items()))


@click.command()
@click.option("--keep", is_flag=True, help="Make the present results the baseline.")
@click.option("--quick", is_flag=True, help="Compare what `--quick` measured last.")
@click.option("--all", "everything", is_flag=True, help="Show also what did not change.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def main(keep: bool, quick: bool, everything: bool, as_json: bool) -> None:
    """Compare the results with the baseline. The exit code is 0 whatever is found: a benchmark is no test."""
    now = read_results(quick)
    if not now:
        sys.exit("there are no results; run `make bench` first")
    if keep:
        keep_baseline(now)
        print(f"the baseline is now what was measured last, in {BASELINE}", file=sys.stderr)
        return
    try:
        before = read_baseline()
    except FileNotFoundError:
        sys.exit("there is no baseline; keep the present results as one with `make bench-baseline`")
    found = changes(before, now)
    if as_json:
        print(json.dumps([_as_json(change) for change in found], indent=2))
        return
    for name, result in now.items():
        if name in before and result.machine["processor"] != before[name].machine["processor"]:
            print(f"{name}: the baseline is of another machine; ratios of unlike work differ there", file=sys.stderr)
    _print(found, everything)


if __name__ == "__main__":
    main()
