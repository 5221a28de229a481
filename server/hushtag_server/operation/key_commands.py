"""`hushtag-server keys`: what key sets there are, and changing them."""

import json
from pathlib import Path
from uuid import UUID

import click

from hushtag_server.command_line import explained, load
from hushtag_server.errors import StartError
from hushtag_server.operation.commands import backup_keys, passphrase_options, restore_keys, stoppable

__all__ = ["keys"]

_RELOAD = (
    "send this host's server SIGHUP at once, or restart it: it is not ready before; every other host needs these keys "
    "too (`keys export`, `keys import`), then the same"
)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
@explained
def keys(context: click.Context, as_json: bool) -> None:
    """Show the ids of the server's keys, never the keys; rotate, retire, export and import them.

    \b
    hushtag-server keys rotate       new tags are made under a new set, old ones move when they are next unlocked
    hushtag-server keys status       how many tags are still under which set
    hushtag-server keys retire ID    the end of an old set
    """
    from hushtag_server.key_stores import absent
    from hushtag_server.keyfile import load_keys

    if context.invoked_subcommand is not None:
        return
    found = load()
    ring = load_keys(found)
    if ring is None:
        raise StartError(
            f"{absent(found)}; the first start of `hushtag-server serve` on a new database makes them, and "
            "`hushtag-server restore-keys FILE` brings back those that were there"
        )
    rows = [
        {"id": str(item.id), "created_at": item.created_at.isoformat(), "current": item.id == ring.current.id}
        for item in ring.by_id.values()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['id']}  {row['created_at']}{'  current' if row['current'] else ''}")


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@explained
@stoppable
def status(as_json: bool) -> None:
    """Show how many secret tags are under each key set; `/metrics` shows the same as of the last maintenance.

    HUSHTAG_DATABASE_URL must name the owner of the tables. Without it, the embedded database.
    """
    from hushtag_server.operation.key_sets import key_status
    from hushtag_server.operation.reach import reach_owner

    settings = load()
    with reach_owner(settings) as reached:
        rows = key_status(settings, reached)
    if as_json:
        shown = [
            {
                "id": str(row.id),
                "created_at": row.created_at.isoformat(),
                "current": row.current,
                "here": row.here,
                "retired_at": row.retired_at.isoformat() if row.retired_at else None,
                "tags": row.tags,
            }
            for row in rows
        ]
        click.echo(json.dumps(shown, indent=2))
        return
    for row in rows:
        state = "current" if row.current else "in use" if row.here else "retired" if row.retired_at else "MISSING HERE"
        click.echo(f"{row.id}  {row.created_at:%Y-%m-%d}  {state:<12}  {row.tags} tags")


@keys.command()
@click.option("--prepare", is_flag=True, help="Only add the new set; the next `keys rotate` makes it current.")
@click.option("--json", "as_json", is_flag=True, help='As JSON: {"id": …, "current": …, "sets": …}.')
@explained
@stoppable
def rotate(prepare: bool, as_json: bool) -> None:
    """Make a new set of keys the current one: OPAQUE setup, sealing key, audit key and decoy seed.

    Nobody is logged out, and no vault is locked. Each secret tag moves when it is next unlocked; until the old set is
    retired every unlock evaluates its candidates under both. With several hosts: `--prepare`, bring the keys to all of
    them, then `rotate`, and bring them to all again.
    """
    from hushtag._opaque import ServerSetup
    from hushtag_server.operation.key_sets import rotate_keys
    from hushtag_server.operation.reach import reach_owner

    settings = load()
    with reach_owner(settings) as reached:
        done = rotate_keys(settings, reached, lambda: ServerSetup.generate().expose(), prepare=prepare)
    if as_json:
        content = {"id": str(done.keys.id), "current": done.current, "sets": len(done.ring.by_id)}
        click.echo(json.dumps(content))
        return
    click.echo(f"the key set {done.keys.id} is {'current' if done.current else 'prepared'}; {_RELOAD}")
    click.echo("back the keys up now: without this set the tags that are made under it open nothing")


@keys.command()
@click.argument("key_set", type=click.UUID)
@click.option("--force", is_flag=True, help="Also while tags are under it; they open nothing for ever.")
@explained
@stoppable
def retire(key_set: UUID, force: bool) -> None:
    """Take an old key set out of use. Refused, with their number, while secret tags are under it.

    Restart or send SIGHUP to every server afterwards. A copy made by `keys export` before still holds the set. Its
    audit key stays, so that what it signed in the security log goes on verifying: export the keys once more.
    """
    from hushtag_server.operation.key_sets import retire_keys
    from hushtag_server.operation.reach import reach_owner

    settings = load()
    with reach_owner(settings) as reached:
        done = retire_keys(settings, reached, key_set, force=force)
    lost = f"; {done.lost} secret tags open nothing any more" if done.lost else ""
    click.echo(f"retired the key set {done.keys.id}{lost}; send each server SIGHUP, or restart it")


# The names of before stay beside them.
keys.add_command(backup_keys, "export")
keys.add_command(restore_keys, "import")


@keys.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@passphrase_options
@explained
def check(file: Path, passphrase_file: Path | None, passphrase_stdin: bool) -> None:
    """Tell whether FILE, which `keys export` made, opens and holds every key set that is in use here."""
    from hushtag_server.operation.key_copies import check_copy
    from hushtag_server.operation.passphrases import read_passphrase

    settings = load()
    count = check_copy(settings, file, read_passphrase(passphrase_file, passphrase_stdin, new=False))
    click.echo(f"{file} holds all {count} key sets that are in use here")
