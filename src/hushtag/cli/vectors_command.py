"""`hushtag vectors`: run the published test vectors against this installation."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click

from hushtag.cli.text import safe_text
from hushtag.errors import MisuseError
from hushtag.vectors import GroupResult, find_directory, list_groups, verify

__all__ = ["vectors"]

_SHOWN: Final = 20
"""Mismatches of one group that are printed; the JSON has them all."""


@click.group()
def vectors() -> None:
    """Test vectors: check this installation against published figures."""


def _directory(named: Path | None) -> Path:
    try:
        return find_directory() if named is None else named
    except MisuseError as error:
        raise click.ClickException(str(error)) from None


_DIRECTORY = click.argument(
    "directory", metavar="[DIR]", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@vectors.command("list")
@_JSON
@_DIRECTORY
def list_command(directory: Path | None, as_json: bool) -> None:
    """Print the groups in DIR, by default those of this installation."""
    folder = _directory(directory)
    groups = list_groups(folder)
    click.echo(json.dumps({"directory": str(folder), "groups": groups}) if as_json else "\n".join(groups))


@vectors.command("verify")
@_JSON
@_DIRECTORY
@click.pass_context
def verify_command(context: click.Context, directory: Path | None, as_json: bool) -> None:
    """Run every vector in DIR, by default those of this installation; exit 1 unless all groups pass.

    A group of which vectors are missing, that this version was published with, has not passed.

    Vectors marked "reference only" need the group under OPAQUE or fixed randomness, which the OPAQUE library does not
    give. They are not run here and not counted as passed; the reference in the project's tests runs them.
    """
    folder = _directory(directory)
    results = verify(folder)
    ok = all(result.ok for result in results)
    click.echo(_document(folder, results, ok=ok) if as_json else _lines(results, ok=ok))
    context.exit(0 if ok else 1)


def _document(folder: Path, results: list[GroupResult], *, ok: bool) -> str:
    groups = [{**asdict(result), "passed": result.passed, "ok": result.ok} for result in results]
    return json.dumps({"directory": str(folder), "ok": ok, "groups": groups}, indent=2)


def _lines(results: list[GroupResult], *, ok: bool) -> str:
    width = max(len(result.group) for result in results)
    lines: list[str] = []
    for result in results:
        lines.append(f"{result.group:{width}}  {_counts(result)}")
        lines += [f"    {safe_text(f'{each.vector}: {each.reason}')}" for each in result.mismatches[:_SHOWN]]
        if len(result.mismatches) > _SHOWN:
            lines.append(f"    and {len(result.mismatches) - _SHOWN} more")
    passed, left = (sum(counts) for counts in zip(*((r.passed, r.reference_only) for r in results), strict=True))
    failed = sum(len(result.mismatches) for result in results)
    summary = f"{passed} passed, {failed} failed, {left} reference only, in {len(results)} groups"
    return "\n".join([*lines, f"{'ok' if ok else 'FAILED'}: {summary}"])


def _counts(result: GroupResult) -> str:
    parts = [f"{result.succeeded:4} succeed", f"{result.refused:4} refused as they must"]
    if result.reference_only:
        parts.append(f"{result.reference_only:4} reference only")
    if result.mismatches:
        parts.append(f"{len(result.mismatches):4} FAILED")
    return "  ".join(parts)
