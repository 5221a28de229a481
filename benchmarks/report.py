"""The one table of all results: as Markdown in `results/RESULTS.md`, and on the terminal."""

from collections.abc import Iterable
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.results import RESULTS, Result

__all__ = ["amount", "markdown", "precise", "print_table", "verdict", "write_markdown"]

HEADINGS: Final = ("what", "floor or peer", "ours", "floor takes", "ratio", "spread", "limit", "")
NOTE: Final = (
    "Every ratio is ours divided by a floor or a peer that was measured in the same run, in turns; medians, and as the"
    " spread the interquartile range of the ratio. `make bench` writes this file; README.md says what is measured how."
)


def amount(value: float | None, unit: str) -> str:
    """Return a number with its unit, readable."""
    if value is None:
        return "-"
    if unit == "µs" and value >= 1000:
        return f"{value / 1000:,.2f} ms"
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2
    return f"{value:,.{digits}f} {unit}".strip()


def precise(ratio: float) -> str:
    """Return a ratio with three decimals, or two digits where it is small."""
    return f"{ratio:.3f}" if ratio >= 0.05 or ratio == 0 else f"{ratio:.2g}"


def verdict(figure: Figure) -> str:
    """Return `held`, `MISSED`, or a dash where there is no limit."""
    if figure.limit is None and figure.held:
        return "-"
    return "held" if figure.held else "MISSED"


def _cells(figure: Figure) -> tuple[str, ...]:
    limit = "-" if figure.limit is None else f"{'≥' if figure.at_least else '≤'} {figure.limit:g}"
    spread = "-" if figure.spread is None else f"± {precise(figure.spread)}"
    return (
        figure.name,
        figure.floor,
        amount(figure.subject, figure.unit),
        amount(figure.base, figure.unit),
        precise(figure.ratio),
        spread,
        limit,
        ", ".join(part for part in (verdict(figure), figure.note) if part),
    )


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _circumstances(result: Result) -> str:
    machine = result.machine
    revision = f", revision {result.revision}" if result.revision else ""
    return (
        f"{result.measured_at}{revision}; {machine['cpus']} × {machine['processor']}, {machine['memory_mib']} MiB,"
        f" {machine['system']}, Python {result.versions.get('python')}; load before {machine['load_before'][0]},"
        f" niceness {machine.get('niceness', 0)}; {result.seconds:.0f} s"
    )


def markdown(results: dict[str, Result]) -> str:
    """Return the document."""
    parts = ["# What was measured", "", NOTE, ""]
    parts += [_line(HEADINGS), _line(["---", "---", "--:", "--:", "--:", "--:", "--:", "---"])]
    for result in results.values():
        parts.append(_line([f"**{result.name}**", *[""] * 7]))
        parts += [_line(_cells(figure)) for figure in result.figures]
    missed = [figure.name for result in results.values() for figure in result.figures if not figure.held]
    parts += ["", f"MISSED: {'; '.join(missed)}." if missed else "Every limit was held.", ""]
    parts += ["## When and where", ""]
    parts += [f"- {result.name}: {_circumstances(result)}" for result in results.values()]
    plots = sorted(path.name for path in RESULTS.glob("*.svg") if not path.name.startswith("flame-"))
    if plots:
        parts += ["", "## Plots", "", *(f"![{name.removesuffix('.svg')}]({name})\n" for name in plots)]
    return "\n".join(parts).rstrip() + "\n"


def write_markdown(results: dict[str, Result]) -> None:
    """Write `results/RESULTS.md`."""
    (RESULTS / "RESULTS.md").write_text(markdown(results), encoding="utf-8")


def print_table(results: Iterable[Result]) -> None:
    """Print the figures of these results."""
    console = Console()
    if not console.is_terminal:
        console.width = 160
    table = Table(title="Hushtag over its floors (medians; spread: interquartile range of the ratio)")
    for place, heading in enumerate(HEADINGS):
        options: Any = {"justify": "right", "no_wrap": True} if place > 1 else {}
        table.add_column(heading, **options)
    missed = []
    for result in results:
        for figure in result.figures:
            table.add_row(*_cells(figure), style=None if figure.held else "bold red")
            missed += [] if figure.held else [figure.name]
    console.print(table)
    console.print(f"MISSED: {'; '.join(missed)}" if missed else "Every limit held.")
