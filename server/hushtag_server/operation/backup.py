"""`hushtag-server backup`: manifest and dump of one snapshot, under a passphrase, in constant memory."""

import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, NamedTuple, Protocol

from psycopg import IsolationLevel

from hushtag import __version__
from hushtag_server.operation.envelope import BACKUP, check_passphrase, sealed_file
from hushtag_server.operation.failures import OperationError, TargetNotEmptyError
from hushtag_server.operation.manifest import LEFT_OUT, Manifest, take_manifest, write_manifest
from hushtag_server.operation.programs import find_program, last_words, service
from hushtag_server.operation.reach import MAINTAINER, Connection, Reached, as_maintainer, check_migrated, connect
from hushtag_server.operation.segments import segments_elsewhere
from hushtag_server.processes import running_program
from hushtag_server.settings import Settings

__all__ = ["Backup", "Watcher", "take_backup"]

_PART: Final = 1024 * 1024


class Watcher(Protocol):
    """Who is told how far it is."""

    def stage(self, what: str) -> None:
        """Begin something."""

    def bytes(self, count: int) -> None:
        """So many bytes are through."""


class Backup(NamedTuple):
    """What was written; `elsewhere` are address, segments and bytes of object stores, which no backup holds."""

    bytes: int
    manifest: Manifest
    elsewhere: list[tuple[str, int, int]]


# Extensions that only a superuser can make (pg_stat_statements) belong to the cluster: their absence loses no row, and
# their presence would stop an owner's restore.
_EXTENSIONS: Final = """
    SELECT e.extname FROM pg_extension e JOIN pg_available_extension_versions v
      ON v.name = e.extname AND v.version = e.extversion WHERE v.trusted OR e.extname = 'plpgsql'
"""


def _dump_command(connection: Connection, program: Path, snapshot: str) -> list[str]:
    extensions = [f"--extension={row[0]}" for row in connection.execute(_EXTENSIONS)]
    return [
        # Nearly all of it is ciphertext, which dumps as hexadecimal digits: the least effort halves those nearly as
        # well as the most, three times as fast.
        *(str(program), "--format=custom", "--compress=1", "--no-owner", f"--snapshot={snapshot}"),
        # The maintainer's policies show every row; taking the manifest has checked that each table has one.
        *(f"--role={MAINTAINER}", "--enable-row-security"),
        f"--exclude-table-data={LEFT_OUT}",
        *(*extensions, "--no-password", "--dbname=service=hushtag"),
    ]


def collect_lines(stream: IO[bytes], lines: list[str]) -> threading.Thread:
    """Read a program's messages while it writes elsewhere: a full pipe would stop it. Keeps the last hundred."""

    def read() -> None:
        for line in stream:
            lines.append(line.decode("utf-8", "replace").strip())
            del lines[:-100]

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _dumped(command: list[str], environment: dict[str, str]) -> Iterator[bytes]:
    lines: list[str] = []
    with running_program(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as dump:
        assert dump.stdout is not None  # noqa: S101  (a pipe was asked for)
        assert dump.stderr is not None  # noqa: S101
        reader = collect_lines(dump.stderr, lines)
        while part := dump.stdout.read(_PART):
            yield part
        reader.join()
        if dump.wait() != 0:
            raise OperationError(f"pg_dump failed, and no backup was written: {last_words(lines)}")


def _note(connection: Connection, started: datetime, written: int, manifest: Manifest) -> None:
    rows = sum(table.rows for table in manifest.tables.values())
    connection.execute(
        "INSERT INTO backups (version, bytes, row_count, started_at, finished_at)"
        " VALUES (%s, %s, %s, least(%s, clock_timestamp()), clock_timestamp())",
        [__version__, written, rows, started],
    )


def take_backup(settings: Settings, reached: Reached, path: Path, passphrase: str, watcher: Watcher) -> Backup:
    """Write a backup of the database without the seals to a new file of mode 0600, complete or absent; note it there.

    Manifest and dump see the same snapshot: what is written meanwhile is in neither.

    Raises:
        TargetNotEmptyError: the file is there. ProgramsMissingError: no fitting `pg_dump`.
        OperationError: the database is not of this version, or could not be read.
    """
    check_passphrase(passphrase)
    if path.exists():
        raise TargetNotEmptyError(f"{path} is there already and is kept; name another file")
    started = datetime.now(UTC)
    with connect(reached.owner_url) as connection, service(reached.owner_url) as environment:
        check_migrated(connection)
        program = find_program("pg_dump", connection.info.server_version // 10000, settings, reached)
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with as_maintainer(connection):
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None  # noqa: S101  (one row always; for the type checker)
            manifest = take_manifest(connection, __version__, lambda name: watcher.stage(f"reading {name}"))
            elsewhere = segments_elsewhere(connection)
            watcher.stage("writing the dump")

            def parts() -> Iterator[bytes]:
                yield write_manifest(manifest)
                yield from _dumped(_dump_command(connection, program, row[0]), environment)

            written = sealed_file(BACKUP, path, passphrase, parts(), watcher.bytes)
        connection.read_only = False
        _note(connection, started, written, manifest)
    return Backup(written, manifest, elsewhere)
