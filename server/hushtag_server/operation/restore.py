"""`hushtag-server restore`: the file is checked, then an empty database is filled, then every table is compared."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

import psycopg

from hushtag_server.migrate import prepare_roles
from hushtag_server.migration_names import known_migrations
from hushtag_server.operation.backup import Watcher, collect_lines
from hushtag_server.operation.envelope import BACKUP, open_parts
from hushtag_server.operation.failures import (
    BackupDamagedError,
    OperationError,
    RestoreFailedError,
    TargetNotEmptyError,
)
from hushtag_server.operation.manifest import Manifest, TableSum, read_manifest, sum_tables
from hushtag_server.operation.programs import find_program, last_words, service
from hushtag_server.operation.reach import Connection, Reached, as_maintainer, connect
from hushtag_server.operation.seals import LoadedSeals, count_without, has_seals, load_seals
from hushtag_server.operation.segments import segments_elsewhere
from hushtag_server.processes import running_program
from hushtag_server.settings import Settings

__all__ = ["Restored", "check_backup", "restore_backup"]

# All that lies in the schema by itself, of whatever kind: not what belongs to another object of it (a partition, the
# sequence of a column), nor to an extension. A partitioned table belongs, among others, to itself.
_OBJECTS: Final = """
    SELECT i.type, i.identity
    FROM pg_depend d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = current_schema()::regnamespace AND d.deptype = 'n'
      AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid AND o.objsubid = 0
        AND o.deptype IN ('e', 'a', 'i') AND (o.refclassid, o.refobjid) <> (d.classid, d.objid))
    ORDER BY i.type <> 'table', i.type, i.identity
"""
_DROP: Final = {
    "function": "ROUTINE",
    "procedure": "ROUTINE",
    "aggregate": "ROUTINE",
    "statistics object": "STATISTICS",
}
_SESSION: Final = "hushtag-restore"
# A `pg_restore` that was stopped may have asked for its transaction's end already; its session is waited for.
_END: Final = """
    SELECT pg_terminate_backend(a.pid, 60000) FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.usename = current_user AND a.application_name = %s
"""


class Restored(NamedTuple):
    """What was restored and compared; of the seals, None if no copy of them was at hand.

    `elsewhere` are address, segments and bytes of object stores that the rows name: they are not in the backup.
    """

    manifest: Manifest
    rows: int
    seals: LoadedSeals | None
    without: int
    elsewhere: list[tuple[str, int, int]]


def check_backup(path: Path, passphrase: str, watcher: Watcher) -> Manifest:
    """Read the whole file and return its manifest: from here on the passphrase is right and no bit is changed.

    Raises:
        NotABackupError, WrongPassphraseError, BackupDamagedError: as they say.
        OperationError: it cannot be read, or a later version of Hushtag made it.
    """
    watcher.stage("checking the file")
    begin, found = b"", None
    for part in open_parts(BACKUP, path, passphrase, watcher.bytes):
        if found is None:
            begin += part
            found = read_manifest(begin)
    if found is None:
        raise BackupDamagedError(f"{path} holds no manifest; take another backup")
    manifest = found[0]
    if unknown := [name for name in manifest.migrations if name not in known_migrations()]:
        raise OperationError(
            f"the backup is of Hushtag {manifest.version} with {', '.join(unknown)}, which this version does not know; "
            "update Hushtag, then restore"
        )
    return manifest


def _dump_parts(path: Path, passphrase: str, watcher: Watcher) -> Iterator[bytes]:
    begin, found = b"", None
    for part in open_parts(BACKUP, path, passphrase, watcher.bytes):
        if found is not None:
            yield part
            continue
        begin += part
        found = read_manifest(begin)
        if found is not None:
            yield begin[found[1] :]


def check_empty(connection: Connection) -> None:
    """Refuse a database whose schema holds anything of its own: tables, functions, text search configurations, …

    Raises:
        TargetNotEmptyError: it does.
    """
    found = connection.execute(_OBJECTS).fetchall()
    if found:
        raise TargetNotEmptyError(
            f"the database holds {len(found)} objects already ({found[0][1]}, …) and stays as it is; restore into a "
            "new database, or with HUSHTAG_DATA set to a new directory"
        )


def _empty_again(connection: Connection) -> None:
    """Drop all that lies in the schema; only ever called on what was empty before this command."""
    connection.execute(_END, [_SESSION])
    for kind, name in connection.execute(_OBJECTS).fetchall():
        # The kind is PostgreSQL's own word, and it has quoted the name.
        connection.execute(f"DROP {_DROP.get(kind, kind.upper())} IF EXISTS {name} CASCADE")


def _feed(stream: IO[bytes], parts: Iterator[bytes]) -> None:
    try:
        for part in parts:
            stream.write(part)
        stream.close()
    except BrokenPipeError:
        pass  # it gave up; its message and exit code say why


def _fill(program: Path, environment: dict[str, str], parts: Iterator[bytes]) -> None:
    """Let `pg_restore` run the dump in one transaction: a failure, or its death, leaves nothing."""
    command = [
        *(str(program), "--format=custom", "--no-owner", "--single-transaction", "--exit-on-error"),
        *("--no-password", "--dbname=service=hushtag"),
    ]
    lines: list[str] = []
    with running_program(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**environment, "PGAPPNAME": _SESSION},
    ) as restore:
        assert restore.stdin is not None  # noqa: S101  (a pipe was asked for)
        assert restore.stderr is not None  # noqa: S101
        reader = collect_lines(restore.stderr, lines)
        _feed(restore.stdin, parts)
        code = restore.wait()
        reader.join()
    if code != 0:
        raise RestoreFailedError(f"pg_restore failed, and the database is empty as before: {last_words(lines)}")


def _compare(connection: Connection, expected: dict[str, TableSum], watcher: Watcher) -> None:
    with as_maintainer(connection):
        found = sum_tables(connection, lambda name: watcher.stage(f"comparing {name}"))
    differing = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    if differing:
        raise RestoreFailedError(
            f"rows of {', '.join(differing)} are not those of the backup; the database is empty again: try once more, "
            "with the PostgreSQL version of the backup if it was another"
        )


def restore_backup(
    settings: Settings,
    reached: Reached,
    path: Path,
    passphrase: str,
    watcher: Watcher,
    manifest: Manifest,
    seals: bytes | None = None,
) -> Restored:
    """Fill the empty database of `reached` from a backup and compare rows and checksum of every table.

    `manifest` is what `check_backup` returned; `seals` what `read_seals` returned of the copy that belongs to it.
    Without seals no secret tag opens.

    Raises:
        NotABackupError, WrongPassphraseError, BackupDamagedError: found before anything is written.
        TargetNotEmptyError: the database holds something. RestoreFailedError: it is empty again.
        ProgramsMissingError: no fitting `pg_restore`.
    """
    with connect(reached.owner_url) as connection:
        check_empty(connection)
        server = connection.info.server_version // 10000
        if server < manifest.postgres:
            raise OperationError(
                f"the backup is of PostgreSQL {manifest.postgres}, this server of {server}; restore into one "
                "at least as new"
            )
        program = find_program("pg_restore", server, settings, reached)
        prepare_roles(reached.owner_url)
        watcher.stage("restoring")
        try:
            with service(reached.owner_url) as environment:
                _fill(program, environment, _dump_parts(path, passphrase, watcher))
            _compare(connection, manifest.tables, watcher)
            loaded = None if seals is None else load_seals(connection, seals, watcher)
            without = count_without(connection) if has_seals(connection) else 0
            elsewhere = []
            if "vault_streams" in manifest.tables:
                with as_maintainer(connection):
                    elsewhere = segments_elsewhere(connection)
            watcher.stage("gathering statistics")
            connection.execute("ANALYZE")
        except psycopg.Error as error:
            _empty_again(connection)
            raise RestoreFailedError(
                f"the database refused ({type(error).__name__}) and is empty again; look at its log, then try once more"
            ) from None
        except BaseException:
            _empty_again(connection)
            raise
    return Restored(manifest, sum(table.rows for table in manifest.tables.values()), loaded, without, elsewhere)
