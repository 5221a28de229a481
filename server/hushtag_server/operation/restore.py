"""`hushtag-server restore`: the file is checked, then an empty database is filled, then every table is compared."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, NamedTuple

import psycopg

from hushtag_server.migrate import known_migrations, prepare_roles
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
from hushtag_server.settings import Settings

__all__ = ["Restored", "check_backup", "restore_backup"]

_OBJECTS: Final = """
    SELECT c.relkind::text, c.oid::regclass::text FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
      AND NOT c.relispartition
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('e', 'a', 'i'))
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
_DROP: Final = {
    "r": "TABLE",
    "p": "TABLE",
    "f": "FOREIGN TABLE",
    "v": "VIEW",
    "m": "MATERIALIZED VIEW",
    "S": "SEQUENCE",
}


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
    """Refuse a database that holds a table, view, sequence or function of its own.

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
    for kind, name in connection.execute(_OBJECTS).fetchall():
        if kind in _DROP:
            connection.execute(f"DROP {_DROP[kind]} IF EXISTS {name} CASCADE")  # names quoted by PostgreSQL
    for kind, name in connection.execute(_OBJECTS).fetchall():
        if kind == "function":
            connection.execute(f"DROP ROUTINE IF EXISTS {name} CASCADE")


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
    with subprocess.Popen(  # noqa: S603  (PostgreSQL's own program with arguments made here, no shell)
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as restore:
        assert restore.stdin is not None  # noqa: S101  (a pipe was asked for)
        assert restore.stderr is not None  # noqa: S101
        reader = collect_lines(restore.stderr, lines)
        try:
            _feed(restore.stdin, parts)
        except BaseException:
            restore.kill()  # before its input ends: it must not take a part for the whole
            raise
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
        except psycopg.Error as error:
            _empty_again(connection)
            raise RestoreFailedError(
                f"the database refused ({type(error).__name__}) and is empty again; look at its log, then try once more"
            ) from None
        except BaseException:
            _empty_again(connection)
            raise
        elsewhere = []
        if "vault_streams" in manifest.tables:
            with as_maintainer(connection):
                elsewhere = segments_elsewhere(connection)
        watcher.stage("gathering statistics")
        connection.execute("ANALYZE")
    return Restored(manifest, sum(table.rows for table in manifest.tables.values()), loaded, without, elsewhere)
