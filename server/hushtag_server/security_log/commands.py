"""`hushtag-server audit`: verify the security log, and read it."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

import click

from hushtag_server.command_line import explained, load
from hushtag_server.operation.commands import stoppable

if TYPE_CHECKING:
    from hushtag_server.security_log.rows import EventRow
    from hushtag_server.security_log.verify import Verified

__all__ = ["audit"]

EXIT_TAMPERED: Final = 1
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_MOMENT: Final = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@click.group()
def audit() -> None:
    """Verify the security log, and read it.

    Needs the key file, and HUSHTAG_DATABASE_URL as the owner of the tables. Without it, the embedded database.
    """


def _show_verified(done: "Verified", as_json: bool) -> None:
    if as_json:
        found = [each._asdict() for each in done.tampering]
        click.echo(json.dumps({**done._asdict(), "tampering": found, "whole": not found}))
        return
    what = f"{done.rows} rows, {done.kept_from} to {done.head}" if done.rows else "no rows"
    waiting = f", {done.waiting} wait for their seal" if done.waiting else ""
    if not done.tampering:
        click.echo(f"whole: {what}{waiting}; {done.checkpoints} checkpoints compared")
        return
    click.echo(f"TAMPERED WITH: {what}{waiting}")
    for each in done.tampering:
        place = "" if each.seq is None else f" row {each.seq}"
        click.echo(f"  {each.kind}:{place}{'' if each.row is None else f' ({each.row})'}: {each.says}")
    click.echo("keep the database as it is, and compare with a backup of before", err=True)


@audit.command()
@click.option("--checkpoint", "file", type=_FILE, help="Checkpoints that were kept elsewhere, or a log of the server.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: rows, head, whole, and every finding.")
@explained
@stoppable
def verify(file: Path | None, as_json: bool) -> None:
    """Verify every row, its signature, its place in the chain, and every checkpoint.

    \b
    Exit code 0: whole.  1: somebody tampered with it, or it cannot be read.  2: settings are wrong.
    What came after the last checkpoint kept elsewhere can be cut off without a trace, so ship
    HUSHTAG_AUDIT_CHECKPOINTS or the server's log to another host, and name it with --checkpoint.
    """
    from hushtag_server.operation.reach import check_migrated, connect, reach_owner
    from hushtag_server.operation.security_log import load_ring
    from hushtag_server.operation.terminal import counting
    from hushtag_server.security_log.audit_keys import ring_keys
    from hushtag_server.security_log.checkpoint_file import read_checkpoints
    from hushtag_server.security_log.verify import verify as run

    settings = load()
    given = [] if file is None else read_checkpoints(file)
    keys = ring_keys(load_ring(settings, "verifying the security log"))
    with reach_owner(settings) as reached, connect(reached.owner_url) as connection, counting("verifying") as watcher:
        check_migrated(connection)
        done = run(connection, keys, given, begin=watcher.begin, done=watcher.done)
    _show_verified(done, as_json)
    if done.tampering:
        sys.exit(EXIT_TAMPERED)


def _line(row: "EventRow", signed: bool) -> str:
    ended = "done" if row.success else row.error_code or "?"
    who = (row.user_id_hash or "-")[:12]
    mark = "" if signed else "  NOT AS SIGNED"
    what = f"{row.timestamp}  {row.severity:<7}  {row.event_type:<19}  {ended:<19}"
    return f"{what}  user {who}  {row.event_data or ''}{mark}"


def _as_recorded(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    # An address has many spellings, and a row the hash of one of them.
    from hushtag_server.peer import parsed_address

    if given is None:
        return None
    if (address := parsed_address(given)) is None:
        raise click.BadParameter(f"{given!r} is no IP address")
    return str(address)


@audit.command()
@click.option("--user", type=click.UUID, help="Only events of this user.")
@click.option("--request", type=click.UUID, help="Only events of this request, by its id in the access log.")
@click.option("--address", callback=_as_recorded, help="Only events from this client address.")
@click.option("--since", type=_MOMENT, help="Only events from then on, UTC.")
@click.option("--failed", is_flag=True, help="Only what failed.")
@click.option("--most", type=click.IntRange(1, 100_000), default=100, show_default=True, help="So many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: every column, and whether it is signed.")
@explained
@stoppable
def show(
    user: UUID | None,
    request: UUID | None,
    address: str | None,
    since: datetime | None,
    failed: bool,
    most: int,
    as_json: bool,
) -> None:
    """List events, the newest first. Who and what they are about stands there as keyed hashes."""
    from datetime import UTC

    import msgspec

    from hushtag_server.operation.reach import check_migrated, connect, reach_owner
    from hushtag_server.operation.security_log import load_ring
    from hushtag_server.security_log.audit_keys import ring_keys
    from hushtag_server.security_log.listing import Sought, list_events

    settings = load()
    keys = ring_keys(load_ring(settings, "reading the security log"))
    sought = Sought(user, request, address, since and since.replace(tzinfo=UTC), failed, most)
    with reach_owner(settings) as reached, connect(reached.owner_url) as connection:
        check_migrated(connection)
        for row, signed in list_events(connection, keys, sought):
            if as_json:
                click.echo(json.dumps({**msgspec.to_builtins(row), "signed": signed}))
            else:
                click.echo(_line(row, signed))
