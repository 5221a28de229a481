"""What the commands of operation show: progress on standard error if it is a terminal, results on standard output."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from hushtag_server.operation.backup import Backup
from hushtag_server.operation.checks import Finding, size_text
from hushtag_server.operation.maintain import Report
from hushtag_server.operation.restore import Restored
from hushtag_server.operation.seals import SealsCopy
from hushtag_server.operation.steps import STEPS, Step

__all__ = ["counting", "show_backup", "show_findings", "show_restored", "show_steps", "steps", "transfer"]

_MARKS: Final = {"fine": "[green]fine[/]", "warning": "[bold red]warning[/]", "unknown": "[yellow]unknown[/]"}


def _messages() -> Console:
    return Console(stderr=True)


class StepProgress:
    """Shows maintenance, step by step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=0)

    def step(self, step: Step, due: int) -> None:
        """Begin a step of which so much is due."""
        self._progress.reset(self._task, description=step.about, total=due)

    def done(self, count: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, count)


@contextmanager
def steps() -> Iterator[StepProgress]:
    """Yield a watcher of maintenance; it shows something on a terminal only, and leaves nothing there."""
    console = _messages()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield StepProgress(progress)


class CountProgress:
    """Shows how many of how many are through."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None)

    def begin(self, total: int) -> None:
        """Begin with so many to do."""
        self._progress.update(self._task, total=total)

    def done(self, count: int) -> None:
        """So many more are done."""
        self._progress.advance(self._task, count)


@contextmanager
def counting(what: str) -> Iterator[CountProgress]:
    """Yield a watcher of something that goes row by row; it shows something on a terminal only."""
    console = _messages()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield CountProgress(progress, what)


class TransferProgress:
    """Shows bytes."""

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress = progress
        self._total = total
        self._task = progress.add_task("", total=total)

    def stage(self, what: str) -> None:
        """Begin something."""
        self._progress.reset(self._task, description=escape(what), total=self._total)

    def bytes(self, count: int) -> None:
        """So many bytes are through."""
        self._progress.update(self._task, completed=count)


@contextmanager
def transfer(file: Path | None) -> Iterator[TransferProgress]:
    """Yield a watcher of a backup, or with `file` of its restoration; it shows something on a terminal only."""
    console = _messages()
    total = file.stat().st_size if file is not None and file.is_file() else None
    columns = (
        *(SpinnerColumn(), TextColumn("{task.description}"), BarColumn()),
        *(DownloadColumn(binary_units=True), TransferSpeedColumn()),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield TransferProgress(progress, total)


def show_steps(done: Report, dry_run: bool) -> None:
    """Print what maintenance did, or would do; what failed goes to standard error."""
    about = {step.name: step.about for step in STEPS}
    width = max(len(str(count)) for count in done.steps.values())
    click.echo("due:" if dry_run else "done:")
    for name, count in done.steps.items():
        click.echo(f"  {count:>{width}}  {about[name]}")
    for name, reason in done.failed.items():
        click.echo(f"failed: {about[name]}: {reason}", err=True)


def _tell_elsewhere(elsewhere: list[tuple[str, int, int]], what: str) -> None:
    for url, count, size in elsewhere:
        click.echo(f"{count} segments of large objects, {size_text(size)}, lie in {url} and are not in it: {what}")


def _elsewhere_as_json(elsewhere: list[tuple[str, int, int]]) -> list[dict[str, object]]:
    return [{"store": url, "segments": count, "bytes": size} for url, count, size in elsewhere]


def show_backup(file: Path, done: Backup, seals: Path, copy: SealsCopy, as_json: bool) -> None:
    """Print what was backed up, where its seals lie, and what was not."""
    rows = sum(table.rows for table in done.manifest.tables.values())
    tables = len(done.manifest.tables)
    if as_json:
        content = {"file": str(file), "bytes": done.bytes, "tables": tables, "rows": rows, "keys_included": False}
        content["elsewhere"] = _elsewhere_as_json(done.elsewhere)
        content |= {"seals": copy.seals, "seals_file": str(seals), "taken_at": done.manifest.taken_at.isoformat()}
        click.echo(json.dumps(content))
        return
    click.echo(f"wrote {file}: {tables} tables, {rows} rows, {size_text(done.bytes)}")
    click.echo(f"wrote the {copy.seals} seals of now to {seals}, in place of those that were there; keep no others")
    _tell_elsewhere(done.elsewhere, "back that store up as well, after this")
    click.echo("the key file is not in it: keep that elsewhere with `hushtag-server backup-keys FILE`")


def show_restored(file: Path, done: Restored, warning: str | None, as_json: bool) -> None:
    """Print what was restored and compared; a warning goes to standard error."""
    manifest = done.manifest
    if as_json:
        content = {"file": str(file), "tables": len(manifest.tables), "rows": done.rows, "verified": True}
        content |= {"seals": 0 if done.seals is None else done.seals.loaded, "tags_without_seal": done.without}
        content["elsewhere"] = _elsewhere_as_json(done.elsewhere)
        click.echo(json.dumps({**content, "taken_at": manifest.taken_at.isoformat(), "warning": warning}))
        return
    click.echo(
        f"restored {file} of {manifest.taken_at:%Y-%m-%d %H:%M} UTC: {len(manifest.tables)} tables, {done.rows} rows; "
        "row counts and checksums of every table are those of the backup"
    )
    _tell_elsewhere(done.elsewhere, "`hushtag-server doctor` says what the store lacks")
    if done.seals is not None:
        click.echo(f"{done.seals.loaded} secret tags have their seal again")
    if done.without:
        reason = "no copy of the seals was at hand: bring it with `hushtag-server restore-seals FILE`"
        if done.seals is not None:
            reason = "the copy of the seals has none of theirs: they were deleted after the backup"
        click.echo(f"warning: {done.without} secret tags open nothing; {reason}", err=True)
    if warning is not None:
        click.echo(f"warning: {warning}", err=True)


def show_findings(findings: list[Finding], as_json: bool) -> None:
    """Print every finding with its next step, what is wrong first."""
    warnings = sum(finding.level == "warning" for finding in findings)
    if as_json:
        rows = [dict(zip(Finding._fields, finding, strict=True)) for finding in findings]
        click.echo(json.dumps({"fine": warnings == 0, "findings": rows}))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "check", "finding", "next step"):
        table.add_column(heading, overflow="fold")
    for finding in sorted(findings, key=lambda finding: ("warning", "unknown", "fine").index(finding.level)):
        step = escape(finding.next_step or "") if finding.level != "fine" else ""
        table.add_row(_MARKS[finding.level], finding.check, escape(finding.says), step)
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table)
    console.print(f"\n{warnings} of {len(findings)} findings need you" if warnings else "\nall is fine")
