"""Rows for whoever reads them: a table on a terminal, tab-separated lines in a pipe, one JSON object for a program."""

import sys
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from uuid import UUID

import click

from hushtag.cli.here import Here
from hushtag.cli.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SHORT_ID", "find_by_id", "plain", "print_table", "safe_lines", "say_rows", "short_id"]

SHORT_ID: Final = 8
"""Digits of an id in a table; a command takes any number of them that is enough."""
MOST_LOOKED_AT: Final = 1000
_FOLDED_TO: Final = {
    **dict.fromkeys(("name", "title", "where", "tag", "tags", "values", "program", "type", "repeats", "status"), 12),
    "when": 16,
}
"""Columns that are folded where there is little room, and to how many signs at the least."""
_NUMBERS: Final = ("size", "revision", "stored")
_GAP: Final = 2


class Identified(Protocol):
    """Something with an id."""

    @property
    def id(self) -> UUID:
        """Its id."""


I = TypeVar("I", bound=Identified)  # noqa: E741 - a type variable


def plain(message: Any) -> Any:
    """Return a message as what JSON can hold."""
    import msgspec

    return msgspec.to_builtins(message)


def short_id(whole: UUID) -> str:
    """Return the digits of an id that a person copies."""
    return str(whole)[:SHORT_ID]


def safe_lines(text: str) -> str:
    """Return a text of several lines, each harmless on a terminal."""
    return "\n".join(safe_text(line.replace("\t", "    ")) for line in text.splitlines())


def say_rows(here: Here, headings: Sequence[str], rows: Sequence[Sequence[str]], **fields: Any) -> None:
    """Write rows whose texts may come from anywhere."""
    if here.as_json:
        here.say("", **fields)
    elif sys.stdout.isatty():
        print_table(headings, rows)
    else:
        for row in rows:
            click.echo("\t".join(safe_text(cell) for cell in row))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows to a terminal: as a table, or one cell a line where it is too narrow for one.

    Only the columns of texts are folded; ids, dates and numbers are to be copied and compared.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    safe = [[safe_text(cell) for cell in row] for row in rows]
    console = Console()
    widths = [max(map(cell_len, column)) for column in zip(headings, *safe, strict=True)]
    least = [min(width, _FOLDED_TO.get(heading, width)) for heading, width in zip(headings, widths, strict=True)]
    if sum(least) + _GAP * (len(least) - 1) > console.width:
        click.echo("\n\n".join(_listed(headings, row) for row in safe))
        return
    table = Table(box=None, pad_edge=False)
    for heading, width in zip(headings, least, strict=True):
        table.add_column(
            heading,
            justify="right" if heading in _NUMBERS else "left",
            overflow="fold",
            no_wrap=heading not in _FOLDED_TO,
            min_width=width,
        )
    for row in safe:
        table.add_row(*map(Text, row))
    console.print(table)


def _listed(headings: Sequence[str], row: Sequence[str]) -> str:
    wide = max(map(len, headings))
    return "\n".join(f"{heading:<{wide}}  {cell}" for heading, cell in zip(headings, row, strict=True) if cell)


def find_by_id(text: str, among: "Iterable[I]", what: str) -> UUID:
    """Return a whole id, or the one of `among` (the first 1,000 are looked at) that begins like this.

    Raises:
        NotFoundError: none does.
        AmbiguousNameError: several do.
    """
    from hushtag.client import AmbiguousNameError, NotFoundError

    try:
        return UUID(text)
    except ValueError:
        begun = text.strip().lower()
    looked_at = islice(among, MOST_LOOKED_AT) if begun else ()
    found = tuple({each.id: None for each in looked_at if str(each.id).startswith(begun)})
    if len(found) > 1:
        raise AmbiguousNameError(found)
    if not found:
        text = f"no {what} has an id that begins with {begun[:40]!r}; the first {MOST_LOOKED_AT:,} were looked at"
        raise NotFoundError(text, code="not_found")
    return found[0]
