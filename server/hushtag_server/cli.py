"""The command `hushtag-server`."""

import json
from typing import Any

import click

from hushtag import __version__
from hushtag_server.command_line import explained, load, stand_in_for_closed_streams
from hushtag_server.operation.commands import OPERATION_COMMANDS, stoppable
from hushtag_server.operation.key_commands import keys
from hushtag_server.operation.segment_commands import segments
from hushtag_server.security_log.commands import audit
from hushtag_server.settings import Settings, describe_settings

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """The Hushtag server: ciphertext in, ciphertext out.

    \b
    Try it:            hushtag-server serve
    Your PostgreSQL:   HUSHTAG_DATABASE_URL=postgresql://owner:…@host/db hushtag-server migrate --app-role hushtag_app
                       HUSHTAG_DATABASE_URL=postgresql://hushtag_app:…@host/db hushtag-server serve --workers 4
    Every day:         hushtag-server maintain; hushtag-server backup FILE; hushtag-server doctor
                       hushtag-server audit verify --checkpoint FILE

    Everything is set by HUSHTAG_* variables; `hushtag-server settings` lists them with their present values.
    """
    stand_in_for_closed_streams()


@main.command()
@click.option("--workers", type=int, help="Worker processes.  [HUSHTAG_WORKERS]")
@click.option("--host", help="Address to listen on.  [HUSHTAG_HOST]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [HUSHTAG_PORT]")
@click.option("--data", help="Directory of the embedded database and the key file.  [HUSHTAG_DATA]")
@click.option("--json", "as_json", is_flag=True, help='Announce as JSON: {"url": …, "pid": …, "data": …}.')
@explained
def serve(workers: int | None, host: str | None, port: int | None, data: str | None, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT.

    Without HUSHTAG_DATABASE_URL an embedded PostgreSQL runs under the data directory, is migrated by itself and is
    stopped clean at the end. The key file is made on the first start: back it up, for without it no phrase opens
    anything. The line with the address appears once the server answers; logs are JSON on standard error.
    """
    from hushtag_server.serve import serve as run

    run(load(workers=workers, host=host, port=port, data=data), as_json=as_json)


@main.command()
@click.option("--app-role", help="Login role the server will use; it becomes a member of hushtag_server.")
@click.option("--rollback", "count", type=click.IntRange(1), help="Undo the last N migrations; their data is lost.")
@click.option("--yes", is_flag=True, help="Do not ask before migrations are undone.")
@explained
@stoppable
def migrate(app_role: str | None, count: int | None, yes: bool) -> None:
    """Bring the database to this version; several at once are safe.

    HUSHTAG_DATABASE_URL must name the owner of the tables. Without it the embedded database is migrated.
    """
    from hushtag_server import migrate as migrations

    settings = load()
    with _owner_url(settings) as url:
        if not count:
            done = migrations.migrate(url, app_role=app_role)
            click.echo("\n".join(f"applied {name}" for name in done) or "nothing to do")
            return
        found = migrations.undoable(url, count)
        if not found:
            click.echo("nothing to do")
            return
        if not yes:
            for name, tables in found.items():
                lost = f", and with it all rows of {', '.join(tables)}" if tables else ""
                click.echo(f"undoes {name}{lost}", err=True)
            click.confirm("No backup is taken. Undo them?", abort=True, err=True)
        migrations.rollback(url, len(found), lambda name: click.echo(f"undone {name}"))


def _owner_url(settings: Settings) -> Any:
    from contextlib import contextmanager, nullcontext

    if settings.database_url is not None:
        return nullcontext(settings.database_url)
    from hushtag_server.embedded import EmbeddedPostgres

    @contextmanager
    def embedded() -> Any:
        with EmbeddedPostgres(settings.data, ready_wait=settings.ready_wait) as postgres:
            yield postgres.owner_url

    return embedded()


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@explained
def settings(as_json: bool) -> None:
    """Show every setting, its present value and its meaning; secrets are not shown."""
    rows = describe_settings(load())
    if as_json:
        click.echo(json.dumps({name: value for name, value, _ in rows}, indent=2))
        return
    width = max(len(name) for name, _, _ in rows)
    for name, value, about in rows:
        click.echo(f"{name:<{width}}  {value}\n{'':<{width}}    {about}")


@main.command()
@explained
def version() -> None:
    """Show the version."""
    click.echo(__version__)


for _command in (*OPERATION_COMMANDS, keys, audit, segments):
    main.add_command(_command)


if __name__ == "__main__":
    main()
