"""Commands inside a vault: put, get, ls, rm, lock. Each unlocks for itself, or works on the open vault of a shell."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.files import write_file
from hushtag.cli.here import Here
from hushtag.cli.options import command_options, phrase_options
from hushtag.cli.text import human_size, local_time, safe_file_name, safe_text

if TYPE_CHECKING:
    from hushtag.client import StoredObject, Vault, VaultEntry

__all__ = ["get", "lock", "ls", "put", "rm"]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Name in the vault, for a single file; by default the file's own.")
@click.option("--content-type", metavar="TYPE", help="Media type; guessed from the name by default.")
@click.option("--replace", is_flag=True, help="Replace the object of the same name, if there is one.")
@command_options
@phrase_options
def put(here: Here, files: tuple[Path, ...], name: str | None, content_type: str | None, replace: bool) -> None:
    """Store FILES, at most 16 MiB each. Names, types and sizes are sealed with the content.

    \b
    Examples:
      hushtag put letter.pdf photo.png
      hushtag put --replace --name diary.txt notes-of-today.txt
    """
    if name is not None and len(files) > 1:
        raise UsageError("--name is for a single file")
    total = sum(path.stat().st_size for path in files)
    stored: list[StoredObject] = []
    with here.open_vault() as vault, here.progress("storing", total) as advance:
        known = {entry.name: entry.object_id for entry in vault.list()} if replace else {}
        for path in files:
            kept_as = path.name if name is None else name
            stored.append(vault.put(path, name=kept_as, content_type=content_type, replace=known.get(kept_as)))
            advance(stored[-1].size)
    lines = [f"{each.object_id}  {human_size(each.size):>10}  {safe_text(each.name)}" for each in stored]
    here.say("\n".join(lines), stored=[each._asdict() for each in stored])


@click.command()
@click.argument("object_", metavar="NAME|ID")
@click.option("-o", "--output", metavar="FILE", help="Where to; - for standard output. By default the object's name.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@command_options
@phrase_options
def get(here: Here, object_: str, output: str | None, force: bool) -> None:
    """Fetch an object by its name or id.

    Without -o it is written into the present directory under its own name, made harmless: the last part of a path,
    without control characters, not hidden.

    \b
    Examples:
      hushtag get letter.pdf
      hushtag get diary.txt -o - | less
    """
    if output == "-" and here.as_json:
        raise UsageError("-o - and --json exclude each other")
    with here.open_vault() as vault:
        found = vault.get(_object_id(vault, object_))
    if output == "-":
        sys.stdout.buffer.write(found.body)
        sys.stdout.buffer.flush()
        return
    path = Path(safe_file_name(found.name) if output is None else output)
    write_file(path, found.body, force=force)
    fields = {**found._asdict(), "size": len(found.body), "path": path}
    del fields["body"]
    here.say(f"{safe_text(str(path))}  {human_size(len(found.body))}", **fields)


def _object_id(vault: "Vault", name_or_id: str) -> UUID:
    try:
        return UUID(name_or_id)
    except ValueError:
        return vault.find(name_or_id).object_id


@click.command()
@command_options
@phrase_options
def ls(here: Here) -> None:
    """List the objects: id, size, date, name.

    Names are sealed inside the objects, so every object that was not read before is fetched.
    """
    with here.open_vault() as vault, here.working("reading the vault"):
        entries = sorted(vault.list(), key=lambda entry: (entry.name, entry.object_id))
    if not here.as_json and sys.stdout.isatty():
        _print_table(entries)
        return
    lines = [
        f"{entry.object_id}\t{entry.size}\t{entry.created_at.isoformat()}\t{safe_text(entry.name)}" for entry in entries
    ]
    if lines or here.as_json:
        here.say("\n".join(lines), objects=[entry._asdict() for entry in entries])


def _print_table(entries: "list[VaultEntry]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "size", "created", "id"):
        table.add_column(heading, justify="right" if heading == "size" else "left", overflow="fold")
    for entry in entries:
        cells = (safe_text(entry.name), human_size(entry.size), local_time(entry.created_at), str(entry.object_id))
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)


@click.command()
@click.argument("objects", nargs=-1, required=True, metavar="NAME|ID...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
@phrase_options
def rm(here: Here, objects: tuple[str, ...], yes: bool) -> None:
    """Delete objects by name or id, for good.

    \b
    Examples:
      hushtag rm letter.pdf
      hushtag rm --yes 3f0c2a9e-5d0f-4b7e-9b1c-0d9a6a4f0b11
    """
    if not yes and (here.as_json or not sys.stdin.isatty()):
        raise UsageError("nobody to ask; use --yes")
    with here.open_vault() as vault:
        ids = [_object_id(vault, each) for each in objects]
        if not yes:
            click.confirm(f"Delete {', '.join(map(safe_text, objects))} for good?", abort=True, err=True)
        for object_id in ids:
            vault.delete(object_id)
    here.say("\n".join(f"deleted {object_id}" for object_id in ids), deleted=ids)


@click.command()
@command_options
def lock(here: Here) -> None:
    """Lock the vault of this shell.

    Outside of `hushtag unlock --shell` no vault stays open: every command locks the one it opened. A vault session
    that a killed command left behind on the server ends by itself, or at once with `hushtag logout`.
    """
    fields: dict[str, Any] = {"locked": True}
    if here.opened is None:
        here.say("No vault is open: every command locks the one it opened.", **fields)
        return
    here.opened.lock()
    here.say("Locked.", **fields)
