"""What a person reads of the demonstration."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hushtag.cli.demo import Outcome

__all__ = ["Say", "as_json", "show", "silent", "spoken"]

Say = Callable[[str], None]


def silent(_: str) -> None:
    """Say nothing."""


def spoken(text: str) -> None:
    """Say what happens now."""
    Console().print(f"[dim]…[/] {text}", highlight=False)


def show(outcome: "Outcome") -> None:
    """Print what the server saw, what was searched, and the verdict."""
    console = Console()
    console.print(_seen(outcome))
    console.print(_searched(outcome))
    for text, held in outcome.checks:
        console.print(f"{'[green]held[/]  ' if held else '[red]BROKEN[/]'} {text}", highlight=False)
    for sighting in outcome.sightings:
        console.print(f"[red]FOUND[/]  {sighting.canary} in {sighting.place} ({sighting.spelling})", highlight=False)
    verdict = "[bold green]everything held[/]" if outcome.held else "[bold red]a promise was broken[/]"
    console.print(f"\n{verdict} in {outcome.seconds:.1f} s", highlight=False)


def _seen(outcome: "Outcome") -> Table:
    table = Table(title="What the server saw", title_justify="left")
    for name in ("step", "answer"):
        table.add_column(name)
    for name in ("bytes in", "bytes out", "ms"):
        table.add_column(name, justify="right")
    for exchange in outcome.exchanges:
        milliseconds = f"{exchange.seconds * 1000:.1f}"
        sizes = (f"{len(exchange.sent):,}", f"{len(exchange.received):,}")
        table.add_row(exchange.step, str(exchange.status), *sizes, milliseconds)
    return table


def _searched(outcome: "Outcome") -> Table:
    table = Table(title=f"Searched for {len(outcome.canaries)} secrets", title_justify="left")
    table.add_column("place")
    table.add_column("bytes", justify="right")
    table.add_column("found", justify="right")
    for place, size in outcome.places.items():
        found = sum(sighting.place.split(":")[0] == place for sighting in outcome.sightings)
        table.add_row(place, f"{size:,}", f"[red]{found}[/]" if found else "[green]nothing[/]")
    return table


def as_json(outcome: "Outcome") -> dict[str, Any]:
    """Return the outcome for a script."""
    return {
        "held": outcome.held,
        "seconds": round(outcome.seconds, 2),
        "checks": [{"check": text, "held": held} for text, held in outcome.checks],
        "seen": [
            {
                "step": exchange.step,
                "status": exchange.status,
                "bytes_in": len(exchange.sent),
                "bytes_out": len(exchange.received),
                "ms": round(exchange.seconds * 1000, 2),
            }
            for exchange in outcome.exchanges
        ],
        "searched": outcome.places,
        "secrets": [canary.name for canary in outcome.canaries],
        "found": [sighting._asdict() for sighting in outcome.sightings],
    }
