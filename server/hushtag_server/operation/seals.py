"""The copy of the tags' seals: one file, always of now, replaced as a whole, and never a second one beside it.

Backups of the database leave the seals out (`LEFT_OUT`), because a backup keeps what was deleted since: a tag that is
gone from this one copy opens from none of them. Content: a line of JSON, then user id(16) || tag id(16) || seal(32)
for each.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from hushtag_server.operation.backup import Watcher
from hushtag_server.operation.envelope import SEALS, check_passphrase, open_parts, replace_sealed_file
from hushtag_server.operation.failures import BackupDamagedError, OperationError
from hushtag_server.operation.reach import Connection, Reached, as_maintainer, check_migrated, connect
from hushtag_server.vault.seals import SEALED_ENVELOPE

__all__ = [
    "DEFAULT_NAME",
    "LoadedSeals",
    "SealCounts",
    "SealsCopy",
    "beside",
    "copy_seals",
    "count_seals",
    "count_without",
    "has_seals",
    "load_seals",
    "read_seals",
    "restore_seals",
]

DEFAULT_NAME: Final = "backup-seals"
_LOCK_KEY: Final = int.from_bytes(b"hushcopy", "big")
_SEAL: Final = 64
_BATCH: Final = 4096
_NOTE: Final = (
    "INSERT INTO seal_copies (seals, taken_at) VALUES (%s, %s)"
    " ON CONFLICT (id) DO UPDATE SET seals = excluded.seals, taken_at = excluded.taken_at"
)
_SELECT: Final = "SELECT uuid_send(s.user_id) || uuid_send(s.tag_id) || s.seal FROM tag_seals s"


class SealsCopy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the copy says of itself."""

    format: int
    taken_at: datetime
    seals: int


class LoadedSeals(NamedTuple):
    """How many seals were taken over, and how many tags here open nothing because theirs is in no copy at hand."""

    loaded: int
    without: int


def beside(backup: Path) -> Path:
    """Return where the copy of the seals lies unless it is named: one for all backups of a directory."""
    return backup.parent / DEFAULT_NAME


def copy_seals(reached: Reached, path: Path, passphrase: str, watcher: Watcher, *, change: bool = False) -> SealsCopy:
    """Write the seals of all tags that are there now, in place of the copy that was there before.

    With `change` that copy may be under another passphrase.

    Raises:
        NotABackupError: something else has this name; it stays. WrongPassphraseError: the copy is under another one.
        OperationError: it cannot be read or written.
    """
    check_passphrase(passphrase)
    with connect(reached.owner_url) as connection:
        check_migrated(connection)
        # One at a time: what another run read before this one would bring back what was deleted in between.
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK_KEY])
        with as_maintainer(connection):
            watcher.stage("writing the seals")
            row = connection.execute("SELECT now()").fetchone()
            assert row is not None  # noqa: S101  (one row always; for the type checker)
            connection.execute("SET LOCAL statement_timeout = 0")
            written: list[int] = []

            def parts() -> Iterator[bytes]:
                with connection.cursor(name="seals", withhold=False) as cursor:
                    cursor.itersize = _BATCH
                    found = b"".join(bytes(value) for (value,) in cursor.execute(_SELECT))
                written.append(len(found) // _SEAL)
                yield msgspec.json.encode(SealsCopy(1, row[0], written[0])) + b"\n" + found

            replace_sealed_file(SEALS, path, passphrase, parts(), watcher.bytes, change=change)
        connection.execute(_NOTE, [written[0], row[0]])
    return SealsCopy(1, row[0], written[0])


def read_seals(path: Path, passphrase: str, watcher: Watcher) -> tuple[SealsCopy, bytes]:
    """Return what a copy says of itself, and the seals.

    Raises:
        NotABackupError, WrongPassphraseError, BackupDamagedError: as they say.
        OperationError: it cannot be read.
    """
    watcher.stage("checking the seals")
    content = b"".join(open_parts(SEALS, path, passphrase, watcher.bytes))
    head, _, seals = content.partition(b"\n")
    try:
        copy = msgspec.json.decode(head, type=SealsCopy)
    except msgspec.DecodeError:
        raise BackupDamagedError(f"{path} is of another version; update Hushtag, then restore") from None
    if copy.format != 1 or len(seals) != copy.seals * _SEAL:
        raise BackupDamagedError(f"{path} is of another version; update Hushtag, then restore")
    return copy, seals


def load_seals(connection: Connection, seals: bytes, watcher: Watcher) -> LoadedSeals:
    """Give every tag that is there and has none its seal back."""
    watcher.stage("restoring the seals")
    if not has_seals(connection):
        return LoadedSeals(0, 0)
    loaded = 0
    for start in range(0, len(seals), _SEAL * _BATCH):
        row = connection.execute("SELECT hushtag_load_seals(%b)", [seals[start : start + _SEAL * _BATCH]]).fetchone()
        loaded += row[0] if row else 0
    return LoadedSeals(loaded, count_without(connection))


def has_seals(connection: Connection) -> bool:
    """Tell whether the database is of a version that has seals; a backup of an earlier one restores as it was."""
    row = connection.execute("SELECT to_regclass('tag_seals') IS NOT NULL").fetchone()
    return row is not None and bool(row[0])


class SealCounts(NamedTuple):
    """How many tags there are, how many open nothing because their seal is gone, and how many never had one."""

    tags: int
    without: int
    unsealed: int


_COUNTS: Final = """
    SELECT count(*), count(*) FILTER (WHERE octet_length(t.opaque_envelope) = %(sealed)s AND s.tag_id IS NULL),
        count(*) FILTER (WHERE octet_length(t.opaque_envelope) <> %(sealed)s)
    FROM secret_tags t LEFT JOIN tag_seals s ON s.user_id = t.user_id AND s.tag_id = t.id
"""


def count_seals(connection: Connection) -> SealCounts:
    """Count the tags of everybody, and those whose seal is not there."""
    with as_maintainer(connection):
        row = connection.execute(_COUNTS, {"sealed": SEALED_ENVELOPE}).fetchone()
    return SealCounts(*(row or (0, 0, 0)))


def count_without(connection: Connection) -> int:
    """Return how many tags open nothing because their seal is not there."""
    return count_seals(connection).without


def restore_seals(reached: Reached, path: Path, passphrase: str, watcher: Watcher) -> LoadedSeals:
    """Take the seals of a copy over into a database that was restored without it; seals that are there stay.

    Raises:
        NotABackupError, WrongPassphraseError, BackupDamagedError: as they say, before anything is written.
        OperationError: the database is not of this version.
    """
    _, seals = read_seals(path, passphrase, watcher)
    with contextlib.closing(connect(reached.owner_url)) as connection:
        check_migrated(connection)
        if not seals:
            raise OperationError(f"{path} holds no seal; no tag opens by it")
        return load_seals(connection, seals, watcher)
