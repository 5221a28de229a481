"""Commands inside a vault: put, get, ls, rm, lock. Each unlocks for itself, or works on the open vault of a shell."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.fetch_tree import counter, fetch_tree
from hushtag.cli.here import Here
from hushtag.cli.options import command_options, phrase_options
from hushtag.cli.store_tree import Storing
from hushtag.cli.tables import print_table
from hushtag.cli.text import human_size, local_time, safe_file_name, safe_text
from hushtag.cli.trees import (
    PutItem,
    PutPlan,
    is_below,
    nothing_below,
    plan_put,
    tree_lines,
)

if TYPE_CHECKING:
    from hushtag.client import Vault, VaultEntry

__all__ = ["get", "lock", "ls", "put", "rm"]

_STDIN = "-"
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True))
@click.option("-r", "--recursive", is_flag=True, help="Store directories with everything in them.")
@click.option("--name", help="Name in the vault, for a single file; by default the file's own.")
@click.option("--content-type", metavar="TYPE", help="Media type; guessed from the name by default.")
@click.option("--replace", is_flag=True, help="Replace the object of the same name, if there is one.")
@click.option("--skip", is_flag=True, help="Leave out what has an object of the same name and size already.")
@command_options
@phrase_options
def put(
    here: Here,
    files: tuple[str, ...],
    recursive: bool,
    name: str | None,
    content_type: str | None,
    replace: bool,
    skip: bool,
) -> None:
    """Store FILES, up to 64 GiB each; - is standard input. Names, types and sizes are sealed with the content.

    A put that was broken off goes on where it was when the same file is put again. With -r an object is named by its
    path, as DIR/sub/file; links, special files and what cannot be read are left out, and what is there already is not
    stored twice.

    \b
    Examples:
      hushtag put letter.pdf photo.png
      hushtag put --replace --name diary.txt notes-of-today.txt
      hushtag put -r --skip Photos
      tar c Letters | cat phrase.txt - | hushtag put - --name letters.tar --phrase-stdin
    """
    if name is not None and (len(files) > 1 or recursive):
        raise UsageError("--name is for a single file")
    if name is not None and name.endswith("/"):
        raise UsageError("a name that ends in / is a directory's; put -r makes them")
    if replace and skip:
        raise UsageError("--replace and --skip exclude each other")
    if _STDIN in files:
        _check_stdin(here, name, alone=len(files) == 1 and not recursive and not skip)
        found = PutPlan([PutItem(Path(_STDIN), name or "", 0, stream=here.secrets.stdin)])
    else:
        found = plan_put([Path(file) for file in files], recursive=recursive, replace=replace, name=name)
    for path, why in found.left_out:
        here.note(f"left out: {safe_text(str(path))} ({why})")
    left_out = [str(path) for path, _ in found.left_out]
    stored: list[dict[str, Any]] = []
    fields = {"stored": stored, "left_out": left_out} if recursive else {"stored": stored}
    with here.telling(**fields) as lines, here.open_vault() as vault:
        known = _known(vault, found.items) if replace or skip or recursive else {}
        items = [item for item in found.items if not (skip and item.size in known.get(item.name, {}).values())]
        if recursive and not replace and (taken := [item.name for item in items if item.name in known]):
            raise UsageError(f"{safe_text(taken[0])} is there already ({len(taken)} in all); use --replace or --skip")
        if replace:
            _check_one_each(known)
        replaced = {name: next(iter(ids)) for name, ids in known.items()} if replace else {}
        with here.progress("storing", sum(item.size for item in items)) as advance:
            Storing(
                here,
                vault,
                found,
                content_type=content_type,
                replaced=replaced,
                stored=stored,
                left_out=left_out,
                lines=lines,
                advance=advance,
            ).store(items)
        if not items:
            lines.append("Nothing to store: everything is there already, or was left out.")
        if found.missing:
            raise click.ClickException(
                f"left out what could not be put: {found.missing}; put -r --skip tries them again"
            )


def _check_stdin(here: Here, name: str | None, *, alone: bool) -> None:
    if here.opened is not None or here.secrets.candidate_stdin:
        raise UsageError("standard input is read for something else already")
    if not alone or not name:
        raise UsageError("what comes on standard input is stored by itself and needs a --name; it is no directory")


def _known(vault: "Vault", items: "list[PutItem]") -> dict[str, dict[UUID, int]]:
    """Return ids and sizes of the objects that have the names of what is to be put."""
    names = {item.name for item in items}
    known: dict[str, dict[UUID, int]] = {}
    for entry in vault.list():
        if entry.readable and entry.name in names:
            known.setdefault(entry.name, {})[entry.object_id] = entry.size
    return known


def _check_one_each(known: dict[str, dict[UUID, int]]) -> None:
    """Refuse to replace one of several objects of a name: the others would stay under it."""
    for name, ids in known.items():
        if len(ids) > 1:
            listed = ", ".join(map(str, ids))
            raise UsageError(f"{len(ids)} objects are called {safe_text(name)} ({listed}); first rm all but one by id")


@click.command()
@click.argument("object_", metavar="NAME|ID")
@click.option(
    "-r", "--recursive", is_flag=True, help="Everything whose name begins with NAME/; of all objects for `.`."
)
@click.option("-o", "--output", metavar="FILE", help="Where to; - for standard output. By default the object's name.")
@click.option("--force", is_flag=True, help="Replace existing files.")
@command_options
@phrase_options
def get(here: Here, object_: str, recursive: bool, output: str | None, force: bool) -> None:
    """Fetch an object by its name or id.

    Without -o it is written into the present directory under its own name, made harmless: the last part of a path,
    without control characters, not hidden. With -r whole directories are written into the present one, or into the one
    that -o names, and never outside of it; nothing is fetched if anything is there already.

    \b
    Examples:
      hushtag get letter.pdf
      hushtag get diary.txt -o - | less
      hushtag get -r Photos -o /media/backup
    """
    if output == "-" and (here.as_json or recursive):
        raise UsageError(f"-o - and {'-r' if recursive else '--json'} exclude each other")
    if output is not None and output.endswith(os.sep) and not recursive:
        raise UsageError(f"{output} is a directory; name a file in it")  # also one that is not there
    with here.open_vault() as vault:
        if recursive:
            fetch_tree(here, vault, object_, Path(output or "."), force=force)
            return
        if output == "-":
            vault.get_to(_object_id(vault, object_), sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        opened = vault.open(_object_id(vault, object_))
        path = Path(safe_file_name(opened.name) if output is None else output)
        if (path.is_file() or path.is_symlink()) and not force:  # of anything else more is said when it is opened
            raise UsageError(f"{path} exists; use --force to replace it")
        with here.progress("fetching", opened.size) as advance:
            found = vault.get_to(opened.object_id, path, on_progress=counter(advance), force=force)
    here.say(f"{safe_text(str(path))}  {human_size(found.size)}", **found._asdict(), path=path)


def _object_id(vault: "Vault", name_or_id: str) -> UUID:
    # An id in its one spelling, as `ls` shows it: 32 digits alone are more likely somebody's file name.
    if _ID.fullmatch(name_or_id):
        return UUID(name_or_id)
    from hushtag.client import NotFoundError

    try:
        return vault.find(name_or_id).object_id
    except NotFoundError as error:  # does not say which: the library keeps names out of its messages
        text = f"no object is called {safe_text(name_or_id)}; hushtag ls shows what there is"
        raise NotFoundError(text, code=error.code) from None


@click.command()
@click.argument("prefix", required=False, metavar="[DIR]")
@click.option("-l", "--long", "long_", is_flag=True, help="Also type, revision, last change and size on the server.")
@click.option("--tree", is_flag=True, help="As a tree of directories.")
@command_options
@phrase_options
def ls(here: Here, prefix: str | None, long_: bool, tree: bool) -> None:
    """List the objects, or those in DIR: id, size, date, name.

    Names are sealed inside the objects, so every object that was not read before is fetched; large ones are not, only
    what describes them.

    \b
    Examples:
      hushtag ls
      hushtag ls --tree Photos
    """
    if tree and (long_ or here.as_json):
        raise UsageError("--tree is for people, and excludes -l and --json")
    with here.open_vault() as vault, here.working("reading the vault"):
        entries = sorted(vault.list(), key=lambda entry: (entry.name, entry.object_id))
    for entry in entries:
        if not entry.readable:
            here.note(
                f"{entry.object_id} was sealed by a client that broke the rules: it can only be deleted, by its id"
            )
    if prefix is not None:
        entries = [entry for entry in entries if is_below(entry.name, prefix)]
    if tree:
        here.say("\n".join(tree_lines(entries)))
        return
    if not here.as_json and sys.stdout.isatty():
        _print_table(entries, long_=long_)
        return
    lines = ["\t".join(_columns(entry, long_=long_)) for entry in entries]
    if lines or here.as_json:
        here.say("\n".join(lines), objects=[entry._asdict() for entry in entries])


def _columns(entry: "VaultEntry", *, long_: bool) -> list[str]:
    more = [entry.content_type, str(entry.revision), entry.updated_at.isoformat(), str(entry.stored_size)]
    plain = [str(entry.object_id), str(entry.size), entry.created_at.isoformat()]
    return [*plain, *(map(safe_text, more) if long_ else ()), safe_text(entry.name)]


def _print_table(entries: "list[VaultEntry]", *, long_: bool) -> None:
    more = ("type", "revision", "changed", "stored") if long_ else ()
    rows = []
    for entry in entries:
        changed = (entry.content_type, str(entry.revision), local_time(entry.updated_at), human_size(entry.stored_size))
        cells = (entry.name, human_size(entry.size), local_time(entry.created_at), *(changed if long_ else ()))
        rows.append((*cells, str(entry.object_id)))
    print_table(("name", "size", "created", *more, "id"), rows)


@click.command()
@click.argument("objects", nargs=-1, required=True, metavar="NAME|ID...")
@click.option(
    "-r", "--recursive", is_flag=True, help="Everything whose name begins with NAME/; of all objects for `.`."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
@phrase_options
def rm(here: Here, objects: tuple[str, ...], recursive: bool, yes: bool) -> None:
    """Delete objects by name or id, or whole directories, for good.

    \b
    Examples:
      hushtag rm letter.pdf
      hushtag rm --yes 3f0c2a9e-5d0f-4b7e-9b1c-0d9a6a4f0b11
      hushtag rm -r Photos
    """
    if not yes and (here.as_json or not sys.stdin.isatty()):
        raise UsageError("nobody to ask; use --yes")
    if recursive and any(not each.strip("/") for each in objects):
        raise UsageError("a name is empty; name a directory, or . for everything in the vault")
    deleted: list[UUID] = []
    with here.telling(deleted=deleted) as lines, here.open_vault() as vault:
        # What is named twice is deleted once.
        ids = dict.fromkeys(_below(vault, objects) if recursive else (_object_id(vault, each) for each in objects))
        if not yes:
            what = ", ".join(map(safe_text, objects))
            click.confirm(
                f"Delete {what}{f' ({len(ids)} in all)' if recursive else ''} for good?", abort=True, err=True
            )
        with here.counting("deleting") as tell:

            def note(object_id: UUID) -> None:
                deleted.append(object_id)
                lines.append(f"deleted {object_id}")
                tell(len(deleted), len(ids))

            vault.delete_many(ids, on_deleted=note)  # what somebody else has deleted since is passed over


def _below(vault: "Vault", names: tuple[str, ...]) -> Iterator[UUID]:
    """Yield the ids of what lies in each of these directories, or is called so.

    Raises:
        NotFoundError: nothing is, of one of them.
    """
    entries = sorted(vault.list(), key=lambda entry: (entry.name, entry.object_id))
    for name in names:
        found = [entry.object_id for entry in entries if is_below(entry.name, name)]  # one without a name is below `.`
        if not found:
            raise nothing_below(name)
        yield from found


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
