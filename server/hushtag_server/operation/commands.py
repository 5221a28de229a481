"""The commands of operation; each imports what it needs when it runs, so that help stays quick."""

import json
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from hushtag_server.command_line import EXIT_FAILED, explained, load

__all__ = ["OPERATION_COMMANDS", "backup_keys", "passphrase_options", "restore_keys", "stoppable"]

EXIT_FINDINGS: Final = 1

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


def stoppable(command: Callable[..., None]) -> Callable[..., None]:
    """Let SIGTERM, and the end of the terminal, end the command as Ctrl-C does: half a file is removed, and a database
    that it started is stopped.
    """

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, lambda number, _: sys.exit(128 + number))
        command(*arguments, **options)

    return run


def passphrase_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--passphrase-stdin", is_flag=True, help="The passphrase is the first line of standard input."),
        click.option("--passphrase-file", type=_FILE, help="The passphrase is the first line of this file."),
    ):
        command = option(command)
    return command


@click.command()
@click.option("--dry-run", is_flag=True, help="Only count what is due.")
@click.option("--wait", is_flag=True, help="Wait for another run that is under way, instead of leaving it the work.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what was done, by step, and what failed.")
@explained
@stoppable
def maintain(dry_run: bool, wait: bool, as_json: bool) -> None:
    """Remove what has ended and make what is needed next; run it every day.

    Sessions and ceremonies that expired, full login buckets, accounts whose grace has ended, purged journal entries,
    audit rows past their retention; audit partitions of the next months. All in short transactions, beside a running
    server: it can be stopped at any moment and goes on where it was. A second run at the same time does nothing and
    exits with 0. What fails, as an object store that does not answer, holds up nothing else; the exit code is 1 then.

    \b
    HUSHTAG_DATABASE_URL must name the owner of the tables, as for `migrate`. Without it, the embedded database.
    Every day at four, by cron:   0 4 * * *  hushtag-server maintain --json
    """
    from hushtag_server.operation import terminal
    from hushtag_server.operation.maintain import maintain as run
    from hushtag_server.operation.reach import reach_owner

    settings = load()
    with reach_owner(settings) as reached, terminal.steps() as watcher:
        report = run(settings, reached, watcher, dry_run=dry_run, wait=wait)
    if as_json:
        click.echo(json.dumps({**report._asdict(), "dry_run": dry_run}))
    elif not report.ran:
        click.echo("another run is under way; nothing to do (wait for it with --wait)")
    else:
        terminal.show_steps(report, dry_run)
    if report.failed:
        sys.exit(EXIT_FAILED)


_change_passphrase: Final = click.option(
    "--change-passphrase", "change", is_flag=True, help="Replace a copy of the seals that is under another passphrase."
)


@click.command()
@click.argument("file", type=_FILE)
@click.option("--seals", type=_FILE, help="The copy of the seals.  [backup-seals beside FILE]")
@_change_passphrase
@passphrase_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object: file, bytes, tables, rows, seals_file, …")
@explained
@stoppable
def backup(
    file: Path, seals: Path | None, change: bool, passphrase_file: Path | None, passphrase_stdin: bool, as_json: bool
) -> None:
    """Write the database to FILE, under a passphrase, and the seals of its secret tags to a copy beside it.

    A consistent dump of one moment, while the server runs: streamed, encrypted, of mode 0600, complete or absent, never
    over another file. A manifest inside holds rows and checksum of every table, which `restore` compares.

    The seals are one file for all backups, replaced as a whole each time: a secret tag that was deleted since opens
    from no backup. Never keep an earlier one; without any, no secret tag opens after a restoration.

    The key file is NOT in it: with both a thief could guess phrases. Keep it elsewhere, with `backup-keys`;
    without it no phrase opens anything.

    \b
    hushtag-server backup /backups/$(date +%F).hushtag --passphrase-file /etc/hushtag/passphrase
    An external PostgreSQL needs pg_dump of its version or a later one, on PATH or in HUSHTAG_PG_BIN.
    """
    from hushtag_server.operation import terminal
    from hushtag_server.operation.backup import take_backup
    from hushtag_server.operation.envelope import SEALS, check_passphrase, check_replaceable
    from hushtag_server.operation.passphrases import read_passphrase
    from hushtag_server.operation.reach import reach_owner
    from hushtag_server.operation.seals import beside, copy_seals

    settings = load()
    passphrase = read_passphrase(passphrase_file, passphrase_stdin, new=True)
    check_passphrase(passphrase)
    place = seals or beside(file)
    check_replaceable(SEALS, place, None if change else passphrase)  # the dump may take hours
    with reach_owner(settings) as reached, terminal.transfer(None) as watcher:
        done = take_backup(settings, reached, file, passphrase, watcher)
        # After the dump: a seal never changes while its tag lives, and what was deleted meanwhile is gone from both.
        copy = copy_seals(reached, place, passphrase, watcher, change=change)
    terminal.show_backup(file, done, place, copy, as_json)


@click.command("backup-seals")
@click.argument("file", type=_FILE)
@_change_passphrase
@passphrase_options
@explained
@stoppable
def backup_seals(file: Path, change: bool, passphrase_file: Path | None, passphrase_stdin: bool) -> None:
    """Replace the copy of the seals by those of now; quick, and as often as deletions should reach the backups.

    \b
    Every quarter of an hour, by cron:   */15 * * * *  hushtag-server backup-seals /backups/backup-seals …
    """
    from hushtag_server.operation import terminal
    from hushtag_server.operation.passphrases import read_passphrase
    from hushtag_server.operation.reach import reach_owner
    from hushtag_server.operation.seals import copy_seals

    settings = load()
    passphrase = read_passphrase(passphrase_file, passphrase_stdin, new=True)
    with reach_owner(settings) as reached, terminal.transfer(None) as watcher:
        copy = copy_seals(reached, file, passphrase, watcher, change=change)
    click.echo(f"wrote {copy.seals} seals to {file}, in place of those that were there")


@click.command("restore-seals")
@click.argument("file", type=_FILE)
@passphrase_options
@explained
@stoppable
def restore_seals(file: Path, passphrase_file: Path | None, passphrase_stdin: bool) -> None:
    """Give the secret tags of a restored database their seals, where `restore` had no copy at hand."""
    from hushtag_server.operation import terminal
    from hushtag_server.operation.passphrases import read_passphrase
    from hushtag_server.operation.reach import reach_owner
    from hushtag_server.operation.seals import restore_seals as run

    settings = load()
    passphrase = read_passphrase(passphrase_file, passphrase_stdin, new=False)
    with reach_owner(settings) as reached, terminal.transfer(file) as watcher:
        done = run(reached, file, passphrase, watcher)
    click.echo(f"{done.loaded} secret tags have their seal again; {done.without} have none and open nothing")


@click.command()
@click.argument("file", type=_FILE)
@click.option("--seals", type=_FILE, help="The copy of the seals.  [backup-seals beside FILE, if it is there]")
@click.option("--without-seals", is_flag=True, help="Leave the seals for `restore-seals`; no secret tag opens before.")
@passphrase_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object: what was restored and compared, and warnings.")
@explained
@stoppable
def restore(
    file: Path,
    seals: Path | None,
    without_seals: bool,
    passphrase_file: Path | None,
    passphrase_stdin: bool,
    as_json: bool,
) -> None:
    """Fill an empty database from FILE and compare every table with the backup.

    The whole file is checked first: a wrong passphrase, a changed bit or a missing end is found before anything is
    written. A database that holds anything is refused; one whose restore fails is empty again.

    \b
    HUSHTAG_DATA=/new/directory hushtag-server restore FILE        into an embedded database
    HUSHTAG_DATABASE_URL=postgresql://owner:…@host/new …           into yours, as the owner of the tables
    Then `restore-keys FILE`, and with a database of yours `migrate --app-role NAME`; then `serve`.
    """
    from hushtag_server.operation import terminal
    from hushtag_server.operation.failures import OperationError, WrongPassphraseError
    from hushtag_server.operation.key_copies import tell_keys_apart
    from hushtag_server.operation.passphrases import read_passphrase
    from hushtag_server.operation.reach import reach_owner
    from hushtag_server.operation.restore import check_backup, restore_backup
    from hushtag_server.operation.seals import beside, read_seals

    settings = load()
    if seals is not None and without_seals:
        raise OperationError("--seals and --without-seals exclude each other")
    passphrase = read_passphrase(passphrase_file, passphrase_stdin, new=False)
    with terminal.transfer(file) as watcher:
        manifest = check_backup(file, passphrase, watcher)  # before a data directory is even made
        copy = None if without_seals else seals or (beside(file) if beside(file).exists() else None)
        try:
            kept = None if copy is None else read_seals(copy, passphrase, watcher)[1]
        except WrongPassphraseError:
            raise WrongPassphraseError(
                f"the seals in {copy} are under another passphrase than the backup; restore with --without-seals, then "
                f"bring them by `restore-seals {copy}`"
            ) from None
        with reach_owner(settings, make=True) as reached:
            done = restore_backup(settings, reached, file, passphrase, watcher, manifest, kept)
    warning = tell_keys_apart(settings, done.manifest.server_keys)
    terminal.show_restored(file, done, warning, as_json)


@click.command("backup-keys")
@click.argument("file", type=_FILE)
@passphrase_options
@explained
@stoppable
def backup_keys(file: Path, passphrase_file: Path | None, passphrase_stdin: bool) -> None:
    """Write the server's keys to FILE, under a passphrase of their own.

    Keep it apart from the backups of the database, and give it another passphrase: whoever has both can guess phrases.
    """
    from hushtag_server.operation.key_copies import copy_keys
    from hushtag_server.operation.passphrases import read_passphrase

    settings = load()
    ring = copy_keys(settings, file, read_passphrase(passphrase_file, passphrase_stdin, new=True))
    click.echo(f"wrote {len(ring.by_id)} key sets to {file}; keep it apart from the backups of the database")


@click.command("restore-keys")
@click.argument("file", type=_FILE)
@passphrase_options
@explained
@stoppable
def restore_keys(file: Path, passphrase_file: Path | None, passphrase_stdin: bool) -> None:
    """Write the key file from FILE, which `backup-keys` made.

    A key file with other keys is never replaced: vaults made under it open with nothing else.
    """
    from hushtag_server.key_stores import key_store
    from hushtag_server.operation.key_copies import restore_keys as run
    from hushtag_server.operation.passphrases import read_passphrase

    settings = load()
    ring, written = run(settings, file, read_passphrase(passphrase_file, passphrase_stdin, new=False))
    what = "wrote" if written else "kept, for it holds these keys already,"
    click.echo(f"{what} {key_store(settings).name} ({len(ring.by_id)} key sets)")


@click.command()
@click.option("--repair", is_flag=True, help="First remove what is left of large objects, and count anew.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: all findings.")
@explained
@stoppable
def doctor(repair: bool, as_json: bool) -> None:
    """Examine database, keys, backups and clock; say what to do about each finding.

    \b
    Exit code 0: all is fine.  1: there are findings, or the database cannot be reached.  2: settings are wrong.
    Warns of: more than 80 % of the connections or the disk in use, a backup older than 25 h, a replica more than 5 min
    behind, clocks more than 2 s apart, statements above 100 ms in the mean, foreign keys without an index, missing
    migrations or audit partitions, many dead rows, a key file that does not fit the database, and large objects: what
    ended and is still there, counts that are wrong, bytes that are missing, objects of a store that nothing names.
    """
    from hushtag_server.operation import terminal
    from hushtag_server.operation.checks import Examined, examine
    from hushtag_server.operation.reach import check_migrated, connect, reach_owner
    from hushtag_server.operation.segment_checks import repair_segments

    settings = load()
    with reach_owner(settings) as reached, connect(reached.owner_url) as connection:
        if repair:
            check_migrated(connection)
            repair_segments(connection, settings)
        findings = examine(Examined(connection, settings, reached))
    terminal.show_findings(findings, as_json)
    if any(finding.level == "warning" for finding in findings):
        sys.exit(EXIT_FINDINGS)


OPERATION_COMMANDS: Final[tuple[Any, ...]] = (
    maintain,
    backup,
    restore,
    backup_seals,
    restore_seals,
    backup_keys,
    restore_keys,
    doctor,
)
