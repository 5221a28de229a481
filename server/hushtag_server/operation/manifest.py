"""What a backup says of itself: versions, migrations, keys, and rows and checksum of every table."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from hushtag_server.migration_names import STATE_TABLE
from hushtag_server.operation.failures import BackupDamagedError, OperationError
from hushtag_server.operation.reach import Connection

__all__ = [
    "KEY_SETS",
    "LEFT_OUT",
    "Manifest",
    "TableSum",
    "read_manifest",
    "sum_tables",
    "table_names",
    "take_manifest",
    "write_manifest",
]

LEFT_OUT: Final = "tag_seals"
"""The table whose rows no backup holds: what is deleted from it is to be gone from every backup too."""
KEY_SETS: Final = "SELECT k.id, encode(k.fingerprint, 'hex') FROM server_keys k WHERE k.retired_at IS NULL"
"""The key sets a server must have, each with its fingerprint in hex."""
MAX_MANIFEST: Final = 16 * 1024 * 1024
_LENGTH: Final = 4


class TableSum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of a table and their checksum: the sum of 64 bits of the SHA-256 of each row's text, in any order."""

    rows: int
    checksum: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first part of a backup. `server_keys` maps the id of each key set to its fingerprint in hex, never a key."""

    format: int
    version: str
    taken_at: datetime
    postgres: int
    migrations: list[str]
    server_keys: dict[UUID, str]
    tables: dict[str, TableSum]


# What turns a row into text must say the same in both databases.
_PLAIN_TEXT: Final[tuple[LiteralString, ...]] = (
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO'",
    "SET LOCAL intervalstyle = 'postgres'",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
)
_SUM: Final = sql.SQL(
    "SELECT count(*), coalesce(sum(('x' || encode(substr(sha256(convert_to(t::text, 'UTF8')), 1, 8), 'hex'))"
    "::bit(64)::bigint::numeric), 0)::text FROM {} t"
)
_TABLES: Final = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY 1
"""
_HIDDEN: Final = """
    SELECT c.relname FROM pg_class c WHERE c.relrowsecurity AND c.relnamespace = current_schema()::regnamespace
      AND NOT EXISTS (SELECT FROM pg_policy p
                      WHERE p.polrelid = c.oid AND p.polroles = ARRAY['hushtag_maintainer'::regrole::oid])
"""


def table_names(connection: Connection) -> list[str]:
    """Return the tables of the schema whose rows a backup holds, a partitioned one once."""
    return [row[0] for row in connection.execute(_TABLES) if row[0] != LEFT_OUT]


def sum_tables(connection: Connection, done: Callable[[str], None]) -> dict[str, TableSum]:
    """Return rows and checksum of every table, as this transaction, which must be the maintainer's, sees them.

    Raises:
        OperationError: a table would hide rows from the maintainer.
    """
    if hidden := [row[0] for row in connection.execute(_HIDDEN)]:
        raise OperationError(
            f"row-level security of {', '.join(hidden)} does not admit the maintainer, so rows would be missing; "
            "as the owner run: SELECT hushtag_admit_maintainer()"
        )
    for statement in _PLAIN_TEXT:
        connection.execute(statement)
    sums = {}
    for name in table_names(connection):
        done(name)
        row = connection.execute(_SUM.format(sql.Identifier(name))).fetchone()
        assert row is not None  # noqa: S101  (an aggregate always has one row; for the type checker)
        sums[name] = TableSum(row[0], row[1])
    return sums


def take_manifest(connection: Connection, version: str, done: Callable[[str], None]) -> Manifest:
    """Return the manifest of the database as this maintainer's transaction sees it."""
    taken = connection.execute("SELECT now(), current_setting('server_version_num')::integer / 10000").fetchone()
    assert taken is not None  # noqa: S101  (one row always; for the type checker)
    applied = connection.execute(f"SELECT migration_id FROM {STATE_TABLE} ORDER BY 1").fetchall()  # noqa: S608
    keys = connection.execute(KEY_SETS).fetchall()
    return Manifest(
        format=1,
        version=version,
        taken_at=taken[0],
        postgres=taken[1],
        migrations=[row[0] for row in applied],
        server_keys={row[0]: row[1] for row in keys},
        tables=sum_tables(connection, done),
    )


def write_manifest(manifest: Manifest) -> bytes:
    """Return the bytes a backup begins with: length (4 bytes, big-endian) and JSON."""
    content = msgspec.json.encode(manifest)
    return len(content).to_bytes(_LENGTH, "big") + content


def read_manifest(begin: bytes) -> tuple[Manifest, int] | None:
    """Return the manifest and the number of bytes it takes, or None if `begin` is not long enough yet.

    Raises:
        BackupDamagedError: authentic bytes that are no manifest: a later version made them.
    """
    if len(begin) < _LENGTH:
        return None
    length = int.from_bytes(begin[:_LENGTH], "big")
    if length > MAX_MANIFEST:
        raise BackupDamagedError("the backup's manifest is too long; another version of Hushtag made it")
    if len(begin) < _LENGTH + length:
        return None
    try:
        manifest = msgspec.json.decode(begin[_LENGTH : _LENGTH + length], type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BackupDamagedError("the backup's manifest is not of this version; update Hushtag, then restore") from None
    return manifest, _LENGTH + length
