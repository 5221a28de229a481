"""`hushtag-server segments`: where the bytes of large objects lie, and moving them."""

import json
import sys

import click

from hushtag_server.command_line import explained, load
from hushtag_server.operation.commands import EXIT_FINDINGS, stoppable

__all__ = ["segments"]

_BY_PLACE = """
    SELECT coalesce(s.url, 'postgres'), count(*), sum(g.byte_count)::bigint FROM vault_segments g
    LEFT JOIN segment_stores s ON s.id = g.store_id GROUP BY 1 ORDER BY 1
"""


@click.group()
def segments() -> None:
    """Show where the segments of large objects lie, and move them."""


@segments.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@explained
@stoppable
def status(as_json: bool) -> None:
    """Show how many segments, of how many bytes, lie where."""
    from hushtag_server.operation.checks import size_text
    from hushtag_server.operation.reach import as_maintainer, check_migrated, connect, reach_owner

    settings = load()
    with reach_owner(settings) as reached, connect(reached.owner_url) as connection:
        check_migrated(connection)
        with as_maintainer(connection):
            rows = connection.execute(_BY_PLACE).fetchall()
    places = [{"place": place, "segments": count, "bytes": size} for place, count, size in rows]
    if as_json:
        click.echo(json.dumps({"new": settings.segment_store, "places": places}))
        return
    for place, count, size in rows:
        click.echo(f"{place}: {count} segments, {size_text(size)}")
    click.echo(f"new ones go to {settings.segment_store}")


@segments.command()
@click.option("--to", "to", help="postgres, file:///DIRECTORY, s3://BUCKET/PREFIX, …  [HUSHTAG_SEGMENT_STORE]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: segments, bytes, damaged.")
@explained
@stoppable
def move(to: str | None, as_json: bool) -> None:
    """Move the bytes of all large objects, segment by segment, while the server runs.

    Each is compared with its digest, written to the new place, named there, and only then removed from the old one. It
    can be stopped at any moment; run it again and it goes on. New segments go where HUSHTAG_SEGMENT_STORE says: set
    that first, restart the servers, then move.

    \b
    Exit code 0: all is there.  1: segments are damaged and stay where they are, or a store refused.
    HUSHTAG_DATABASE_URL must name the owner of the tables. Without it, the embedded database.
    """
    from hushtag_server.operation import terminal
    from hushtag_server.operation.checks import size_text
    from hushtag_server.operation.reach import check_migrated, connect, reach_owner
    from hushtag_server.operation.segment_moves import move_segments

    settings = load(segment_store=to)
    with (
        reach_owner(settings) as reached,
        connect(reached.owner_url) as connection,
        terminal.counting("moving segments") as watcher,
    ):
        check_migrated(connection)
        done = move_segments(connection, settings, settings.segment_store, watcher)
    if as_json:
        click.echo(json.dumps(done._asdict()))
    else:
        click.echo(f"moved {done.segments} segments, {size_text(done.bytes)}, to {settings.segment_store}")
        if done.damaged:
            click.echo(
                f"{done.damaged} are not as they were stored and stay where they are; restore them from a backup, "
                "then run this again",
                err=True,
            )
    if done.damaged:
        sys.exit(EXIT_FINDINGS)
