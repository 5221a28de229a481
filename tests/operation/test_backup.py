"""Backup and restore: every row comes back or nothing does, and the keys are never in it."""

import json
import os
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from hushtag_server.keyfile import KeyRing, encode_key_ring, load_keys
from hushtag_server.operation import backup as backing
from hushtag_server.operation import restore as restoring
from hushtag_server.operation.backup import take_backup
from hushtag_server.operation.envelope import BACKUP, open_parts, sealed_file
from hushtag_server.operation.failures import (
    BackupDamagedError,
    OperationError,
    ProgramsMissingError,
    RestoreFailedError,
    TargetNotEmptyError,
    WrongPassphraseError,
)
from hushtag_server.operation.key_copies import check_copy, copy_keys, restore_keys, tell_keys_apart
from hushtag_server.operation.manifest import Manifest, read_manifest, write_manifest
from hushtag_server.operation.programs import find_program
from hushtag_server.operation.reach import Reached, connect
from hushtag_server.operation.restore import Restored, check_backup, restore_backup
from hushtag_server.operation.terminal import show_restored
from hushtag_server.settings import Settings
from tests.coming import COMING
from tests.operation.conftest import PASSPHRASE, Silent
from tests.server.test_migrations import _as_user, _fill


def restored(
    settings: Settings, target: Reached, file: Path, passphrase: str, watcher: Silent, *, seals: bytes | None = None
) -> Restored:
    """Check a backup and restore it."""
    manifest = check_backup(file, passphrase, watcher)
    return restore_backup(settings, target, file, passphrase, watcher, manifest, seals)


@pytest.fixture
def filled(database: Any, keys: KeyRing) -> dict[UUID, str]:
    """Two users with a row in every table, and audit rows in a partition and in the default one."""
    users = {UUID(int=number): f"u{number}@example.org" for number in (1, 2)}
    for user, email in users.items():
        with psycopg.connect(database.app_url) as connection:
            _as_user(connection, user)
            _fill(connection, user, email)
            connection.execute("INSERT INTO audit_logs (user_id, action, table_name, created_at)"
                " VALUES (%s, 'UPDATE', 't', %s)", [user, f"{COMING}-05-01"])  # fmt: skip
    return users


@pytest.fixture
def file(owner: Settings, reached: Reached, filled: Any, tmp_path: Path) -> Path:
    take_backup(owner, reached, tmp_path / "file", PASSPHRASE, Silent())
    return tmp_path / "file"


@pytest.fixture
def target(empty_database: Any, postgres: Any) -> Reached:
    return Reached(empty_database.owner_url, postgres.bin_dir)


def content(url: str) -> dict[str, list[str]]:
    """Every row of every table, as a superuser sees them."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        ).fetchall()
        return {name: sorted(r[0] for r in connection.execute(f'SELECT t::text FROM "{name}" t')) for (name,) in names}


def schema(postgres: Any, url: str) -> str:
    command = [postgres.bin_dir / "pg_dump", "--schema-only", "--restrict-key=fixed", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # PostgreSQL writes IN (…) over varchar in two ways, before and after a dump.
    return re.sub(r"::character varying|::text(?:\[\])?|[()]", "", text)


def is_empty(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return not connection.execute(restoring._OBJECTS).rowcount


def test_everything_comes_back(
    file: Path, filled: Any, owner: Settings, target: Reached, database: Any, empty_database: Any, postgres: Any,
    watcher: Silent,
) -> None:  # fmt: skip
    assert file.stat().st_mode & 0o777 == 0o600
    done = restored(owner, target, file, PASSPHRASE, watcher)
    before, after = content(database.admin_url), content(empty_database.admin_url)
    assert len(before.pop("backups")) == 1  # noted after the snapshot
    assert after.pop("backups") == []
    assert before.pop("tag_seals") != []  # they go with the copy of the seals
    assert after.pop("tag_seals") == []
    assert after == before
    kept = [rows for name, rows in before.items() if not name.startswith(("audit_logs_", "segment_parts_"))]
    assert done.rows == sum(len(rows) for rows in kept)
    assert schema(postgres, empty_database.admin_url) == schema(postgres, database.admin_url)
    assert watcher.seen == file.stat().st_size
    # and the server's role is bound there as it was here
    with psycopg.connect(empty_database.app_url) as connection:
        assert connection.execute("SELECT FROM users").rowcount == 0
        _as_user(connection, UUID(int=1))
        assert connection.execute("SELECT email FROM users").fetchall() == [("u1@example.org",)]


def test_what_lies_elsewhere_is_told_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    manifest = Manifest(1, "0.1.0", datetime.now(UTC), 18, [], {}, {})
    done = Restored(manifest, 0, None, 0, [("file:///store", 2, 2048)])
    show_restored(Path("f"), done, None, as_json=False)
    assert "2 segments of large objects, 2.0 KiB, lie in file:///store" in capsys.readouterr().out
    show_restored(Path("f"), done, None, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["elsewhere"] == [{"store": "file:///store", "segments": 2, "bytes": 2048}]


def test_manifest_and_dump_are_of_one_moment(
    owner: Settings, reached: Reached, filled: Any, tmp_path: Path, target: Reached, database: Any, watcher: Silent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A row written between the two is in neither; if it were in one, the comparison would fail."""
    real = backing._dump_command

    def late(*arguments: Any) -> Any:
        with psycopg.connect(database.admin_url) as connection:
            connection.execute("UPDATE users SET first_name = 'late'")
            connection.execute("INSERT INTO audit_logs (action, table_name) VALUES ('LOGIN', 'late')")
        return real(*arguments)

    monkeypatch.setattr(backing, "_dump_command", late)
    take_backup(owner, reached, tmp_path / "f", PASSPHRASE, watcher)
    restored(owner, target, tmp_path / "f", PASSPHRASE, watcher)
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("SELECT count(*) FROM users WHERE first_name = 'late'").fetchone() == (2,)


def test_the_backup_is_noted(file: Path, database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        rows = connection.execute("SELECT bytes, row_count > 20, finished_at >= started_at FROM backups").fetchall()
    assert rows == [(file.stat().st_size, True, True)]


def test_no_key_and_no_password_is_in_it(file: Path, keys: KeyRing) -> None:
    plain = b"".join(open_parts(BACKUP, file, PASSPHRASE, lambda _: None))
    found = read_manifest(plain)
    assert found is not None
    assert found[0].server_keys[keys.current.id] == keys.current.fingerprint.hex()
    for secret in (
        keys.current.sealing_key,
        keys.current.audit_key,
        keys.current.decoy_seed,
        keys.current.opaque_setup,
    ):
        assert secret not in plain
        assert secret.hex().encode() not in plain


@pytest.mark.parametrize("damage", ["passphrase", "bit", "end"])
def test_nothing_is_written_from_a_damaged_file(
    file: Path, owner: Settings, target: Reached, empty_database: Any, watcher: Silent, damage: str
) -> None:
    sealed = bytearray(file.read_bytes())
    sealed[-20] ^= damage == "bit"
    file.write_bytes(sealed[:-5] if damage == "end" else sealed)
    expected = WrongPassphraseError if damage == "passphrase" else BackupDamagedError
    with pytest.raises(expected):
        restored(owner, target, file, PASSPHRASE + "x" * (damage == "passphrase"), watcher)
    assert is_empty(empty_database.admin_url)
    assert "restoring" not in watcher.stages


def _altered(file: Path, change: Any, dump: Any = lambda dump: dump) -> None:
    plain = b"".join(open_parts(BACKUP, file, PASSPHRASE, lambda _: None))
    found = read_manifest(plain)
    assert found is not None
    file.unlink()
    parts = [write_manifest(change(found[0])), dump(plain[found[1] :])]
    sealed_file(BACKUP, file, PASSPHRASE, parts, lambda _: None)


@pytest.mark.parametrize("table", ["vault_blobs", "audit_logs", "backups"])
def test_rows_that_differ_leave_an_empty_database(
    file: Path, owner: Settings, target: Reached, empty_database: Any, watcher: Silent, table: str
) -> None:
    def change(manifest: Manifest) -> Manifest:
        tables = {**manifest.tables, table: msgspec.structs.replace(manifest.tables[table], checksum="1")}
        return msgspec.structs.replace(manifest, tables=tables)

    _altered(file, change)
    with pytest.raises(RestoreFailedError, match=table):
        restored(owner, target, file, PASSPHRASE, watcher)
    assert is_empty(empty_database.admin_url)


class Interrupted(Silent):
    """Ctrl-C at the beginning of a stage."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def stage(self, what: str) -> None:
        super().stage(what)
        if what.startswith(self.at):
            raise KeyboardInterrupt


_LEFT = """
    SELECT 'class', relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'configuration', cfgname FROM pg_ts_config WHERE cfgnamespace = 'public'::regnamespace
    UNION ALL SELECT 'type', typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typname !~ '^_?gtrgm$'
    UNION ALL SELECT 'function', p.proname FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


@pytest.mark.parametrize(
    "at", ["checking", "restoring", "", "comparing audit_logs", "comparing vaults", "restoring the seals", "gathering"]
)
def test_an_interrupted_restoration_leaves_an_empty_database_that_takes_the_next_one(
    file: Path, owner: Settings, target: Reached, empty_database: Any, watcher: Silent, monkeypatch: Any, at: str
) -> None:
    feed = restoring._feed

    def last_word(*arguments: Any) -> None:
        feed(*arguments)
        raise KeyboardInterrupt  # `pg_restore` has all, and is about to end its transaction

    with monkeypatch.context() as patched:
        if not at:
            patched.setattr(restoring, "_feed", last_word)
        stopped = Interrupted(at) if at else watcher
        with pytest.raises(KeyboardInterrupt):
            restored(owner, target, file, PASSPHRASE, stopped, seals=b"")
    with psycopg.connect(empty_database.admin_url) as connection:
        assert connection.execute(_LEFT).fetchall() == []
    restored(owner, target, file, PASSPHRASE, watcher)


@pytest.mark.parametrize(
    "holding",
    [
        "CREATE TABLE audit_logs (id integer) PARTITION BY HASH (id)",
        "CREATE TEXT SEARCH CONFIGURATION hushtag_german (COPY = simple)",
        "CREATE TYPE mood AS ENUM ('good')",
    ],
)
def test_whatever_a_database_holds_it_is_refused(
    file: Path, owner: Settings, target: Reached, empty_database: Any, watcher: Silent, holding: str
) -> None:
    with psycopg.connect(empty_database.owner_url) as connection:
        connection.execute(holding)
    with pytest.raises(TargetNotEmptyError, match="holds 1 objects already"):
        restored(owner, target, file, PASSPHRASE, watcher)


def test_a_dump_that_breaks_off_leaves_an_empty_database(
    file: Path, owner: Settings, target: Reached, empty_database: Any, watcher: Silent
) -> None:
    _altered(file, lambda manifest: manifest, lambda dump: dump[:-2000])
    with pytest.raises(RestoreFailedError, match="empty as before"):
        restored(owner, target, file, PASSPHRASE, watcher)
    assert is_empty(empty_database.admin_url)


def test_a_backup_of_a_later_version_is_told(file: Path, owner: Settings, target: Reached, watcher: Silent) -> None:
    _altered(file, lambda manifest: msgspec.structs.replace(manifest, migrations=[*manifest.migrations, "9999_x"]))
    with pytest.raises(OperationError, match=r"9999_x.*update Hushtag"):
        restored(owner, target, file, PASSPHRASE, watcher)


def test_a_database_that_holds_anything_is_refused(
    file: Path, owner: Settings, reached: Reached, target: Reached, database: Any, empty_database: Any, watcher: Silent
) -> None:
    before = content(database.admin_url)
    with pytest.raises(TargetNotEmptyError, match="objects already"):
        restored(owner, reached, file, PASSPHRASE, watcher)
    assert content(database.admin_url) == before
    with psycopg.connect(empty_database.owner_url) as connection:
        connection.execute("CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    with pytest.raises(TargetNotEmptyError):
        restored(owner, target, file, PASSPHRASE, watcher)


def test_a_table_that_would_hide_rows_stops_the_backup(
    owner: Settings, reached: Reached, database: Any, tmp_path: Path, watcher: Silent
) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("DROP POLICY vaults_maintained ON vaults")
    with pytest.raises(OperationError, match="vaults does not admit"):
        take_backup(owner, reached, tmp_path / "f", PASSPHRASE, watcher)
    assert list(tmp_path.iterdir()) == []
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("SELECT FROM backups").rowcount == 0


def test_a_dump_that_fails_leaves_no_file(
    owner: Settings, reached: Reached, database: Any, tmp_path: Path, watcher: Silent
) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("REVOKE SELECT ON audit_logs_default FROM hushtag_maintainer")
    with pytest.raises(OperationError, match=r"pg_dump failed.*audit_logs_default"):
        take_backup(owner, reached, tmp_path / "f", PASSPHRASE, watcher)
    assert list(tmp_path.iterdir()) == []


# --- programs ------------------------------------------------------------------------------------------------


def _program(directory: Path, version: int) -> Path:
    directory.mkdir()
    path = directory / "pg_dump"
    path.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}.1'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with no programs but those the test makes."""
    from hushtag_server.operation import programs

    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}")
    monkeypatch.setattr(programs, "find_spec", lambda _: None)
    monkeypatch.setattr(programs.Path, "glob", lambda *_: [])
    return tmp_path


def test_programs_of_the_servers_version_come_first_then_later_ones(alone: Path) -> None:
    old, new = _program(alone / "a", 18), _program(alone / "b", 16)
    settings = Settings()
    assert find_program("pg_dump", 16, settings, Reached("")) == new
    assert find_program("pg_dump", 17, settings, Reached("")) == old
    with pytest.raises(ProgramsMissingError, match=r"PostgreSQL 19 is needed; here is only that of 16, 18.*client-19"):
        find_program("pg_dump", 19, settings, Reached(""))


def test_no_programs_and_programs_that_are_too_old_say_what_to_do(alone: Path) -> None:
    with pytest.raises(ProgramsMissingError, match="install postgresql-client-16, or set HUSHTAG_PG_BIN"):
        find_program("pg_dump", 16, Settings(), Reached(""))
    _program(alone / "c", 14)
    with pytest.raises(ProgramsMissingError, match="is of PostgreSQL 14, the server of 16"):
        find_program("pg_dump", 16, Settings(pg_bin=alone / "c"), Reached(""))


# --- keys ----------------------------------------------------------------------------------------------------


def test_keys_come_back_from_their_own_copy(settings: Settings, keys: KeyRing, tmp_path: Path) -> None:
    copy = tmp_path / "keys"
    copy_keys(settings, copy, PASSPHRASE)
    assert copy.stat().st_mode & 0o777 == 0o600
    original = settings.key_path.read_bytes()
    assert keys.current.sealing_key not in copy.read_bytes()
    assert restore_keys(settings, copy, PASSPHRASE)[1] is False
    elsewhere = replace(settings, data=tmp_path / "new")
    ring, written = restore_keys(elsewhere, copy, PASSPHRASE)
    assert written
    assert ring == keys
    assert elsewhere.key_path.read_bytes() == original
    assert elsewhere.key_path.stat().st_mode & 0o777 == 0o600


def test_what_is_left_of_retired_keys_stays_when_older_keys_come_back(
    settings: Settings, keys: KeyRing, tmp_path: Path
) -> None:
    copy, gone = tmp_path / "copy", {uuid4(): bytes(range(32))}
    copy_keys(settings, copy, PASSPHRASE)
    settings.key_path.write_bytes(encode_key_ring(KeyRing(keys.current, keys.by_id, gone)))
    with pytest.raises(OperationError, match="lacks 1 key sets"):
        check_copy(settings, copy, PASSPHRASE)
    ring, _written = restore_keys(settings, copy, PASSPHRASE)
    assert load_keys(settings) == ring == KeyRing(keys.current, keys.by_id, gone)
    copy_keys(settings, tmp_path / "newer", PASSPHRASE)
    assert check_copy(settings, tmp_path / "newer", PASSPHRASE) == 1


def test_other_keys_are_never_replaced(settings: Settings, keys: KeyRing, tmp_path: Path, make_setup: Any) -> None:
    from hushtag_server.keyfile import encode_key_ring, new_keys

    copy_keys(settings, tmp_path / "copy", PASSPHRASE)
    other = encode_key_ring(new_keys(make_setup))
    settings.key_path.write_bytes(other)
    with pytest.raises(OperationError, match="holds other keys and is kept"):
        restore_keys(settings, tmp_path / "copy", PASSPHRASE)
    assert settings.key_path.read_bytes() == other
    with pytest.raises(WrongPassphraseError):
        restore_keys(replace(settings, data=tmp_path / "new"), tmp_path / "copy", "another passphrase")
    assert not (tmp_path / "new").exists()
    expected = {keys.current.id: keys.current.fingerprint.hex()}
    assert "does not hold the keys" in (tell_keys_apart(settings, expected) or "")
    assert "is missing" in (tell_keys_apart(replace(settings, data=tmp_path / "new"), expected) or "")


def test_the_keys_at_hand_fit_the_database_they_were_made_under(
    settings: Settings, keys: KeyRing, database: Any
) -> None:
    with connect(database.app_url) as connection:
        known = dict(connection.execute("SELECT id, encode(fingerprint, 'hex') FROM server_keys").fetchall())
    assert tell_keys_apart(settings, known) is None
