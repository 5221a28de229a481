"""`python -m benchmarks [--only NAME] [--quick] [--json]`: our cost over a floor measured in the same run.

Every figure goes to `benchmarks/results/NAME.json` with the machine and the versions it was measured on; the table and
the plots are made of what was measured last. A limit that is not kept is called MISSED; the exit code stays 0, because
a benchmark is no test.
"""

import json
import sys
import time

import click
import msgspec

from benchmarks import plots
from benchmarks.processes import end_in_order
from benchmarks.registry import BENCHMARKS
from benchmarks.report import print_table, write_markdown
from benchmarks.results import Result, circumstances, read_results, write_result


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def measure(name: str, quick: bool) -> Result:
    """Run one benchmark and write its file."""
    _say(f"{name} …", end=" ")
    around, begun = circumstances(), time.monotonic()
    measured = BENCHMARKS[name](quick)
    result = write_result(name, around, time.monotonic() - begun, quick, measured)
    _say(f"{result.seconds:.0f} s, {'held' if result.held else 'MISSED'}")
    return result


def _in_order(results: dict[str, Result]) -> dict[str, Result]:
    return {name: results[name] for name in [*BENCHMARKS, *results] if name in results}


@click.command()
@click.option("--only", type=click.Choice(list(BENCHMARKS)), multiple=True, help="Run this one; may be repeated.")
@click.option("--quick", is_flag=True, help="Few repetitions, into results/quick/: to see that it works.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON; progress goes to standard error.")
def main(only: tuple[str, ...], quick: bool, as_json: bool) -> None:
    """Measure ratios against floors and write them to benchmarks/results."""
    end_in_order()
    begun = time.monotonic()
    results = [measure(name, quick) for name in only or BENCHMARKS]
    if not quick:
        everything = _in_order(read_results())
        plots.draw(everything)
        write_markdown(everything)
    _say(f"{time.monotonic() - begun:.0f} s in all")
    if as_json:
        print(json.dumps({each.name: msgspec.to_builtins(each) for each in results}, indent=2, ensure_ascii=False))
        return
    print_table(results)


if __name__ == "__main__":
    main()
