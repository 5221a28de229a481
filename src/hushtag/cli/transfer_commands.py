"""Commands of the account's own data: export, import."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.options import command_options, phrase_options
from hushtag.cli.text import human_size, safe_text

if TYPE_CHECKING:
    from hushtag.transfer_messages import ImportDone

__all__ = ["export", "import_"]

_KINDS = ("tags", "journals", "reminders", "profile", "settings", "consents", "audit", "vault_objects")


@contextmanager
def _bar(here: Here, what: str, afterwards: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows how much is done of how much, if somebody is watching; then `afterwards`."""
    if here.as_json or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

    counted = DownloadColumn(binary_units=True) if unit == "bytes" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), counted)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            if total and done >= total:
                progress.update(task, description=afterwards, completed=done, total=None)
            else:
                progress.update(task, completed=done, total=total or None)

        yield show


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--with-vault", is_flag=True, help="Add the ciphertext of the vault a phrase opens; asks for the phrase.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@command_options
@phrase_options
def export(here: Here, file: str, with_vault: bool, force: bool) -> None:
    """Take everything along: write the account's plain data into the ZIP archive FILE (- for standard output).

    It holds journals as JSON and Markdown, tags, reminders, profile, settings, consents and the audit trail, and says
    nothing of vaults. With --with-vault the ciphertext of one opened vault is added. A file is verified before it gets
    its name.

    \b
    Examples:
      hushtag export diary.zip
      hushtag export --with-vault everything.zip
    """
    if file == "-" and here.as_json:
        raise UsageError("- and --json exclude each other")
    with ExitStack() as stack:
        vault = stack.enter_context(here.open_vault()) if with_vault else None
        client = stack.enter_context(here.logged_in())
        show = stack.enter_context(_bar(here, "exporting", "verifying", "members"))
        target: Any = sys.stdout.buffer if file == "-" else file
        done = client.export_data(target, vault=vault, on_progress=show, force=force)
    if done.manifest is None:
        sys.stdout.buffer.flush()
        return
    counts = {name: getattr(done.manifest.counts, name) for name in done.manifest.counts.__struct_fields__}
    text = f"{safe_text(file)}  {human_size(done.size)}  {counts['journals']} entries, {counts['reminders']} reminders"
    here.say(text, path=file, size=done.size, counts=counts)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@command_options
def import_(here: Here, file: Any) -> None:
    """Bring in everything from the ZIP archive FILE of an export (- for standard input).

    What is missing is made; what is there stays as it is. To import the same archive again does no harm.

    \b
    Examples:
      hushtag import diary.zip
    """
    with here.logged_in() as client, _bar(here, "sending", "checking and writing", "bytes") as show:
        done = client.import_data(file, on_progress=show)
    rows = {kind: _counts(done, kind) for kind in _KINDS}
    here.say("\n".join(_line(kind, counts) for kind, counts in rows.items() if any(counts.values())), **rows)


def _counts(done: "ImportDone", kind: str) -> dict[str, int]:
    imported = getattr(done, kind)
    return {name: getattr(imported, name) for name in imported.__struct_fields__}


def _line(kind: str, counts: dict[str, int]) -> str:
    words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    return f"{kind.replace('_', ' '):<14} {words}"
