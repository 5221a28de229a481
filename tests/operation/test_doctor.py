"""What doctor finds, made true one by one; and what monitors may read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hushtag_server.migrate import rollback
from hushtag_server.migration_names import known_migrations
from hushtag_server.operation import checks
from hushtag_server.operation.checks import Examined, Finding, examine
from hushtag_server.operation.reach import Reached, connect
from hushtag_server.operation.seals import copy_seals
from hushtag_server.settings import Settings
from tests.operation.conftest import PASSPHRASE


@pytest.fixture
def admin(database: Any) -> Any:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def examined(owner: Settings, reached: Reached, keys: Any) -> Any:
    with connect(reached.owner_url) as connection:
        yield Examined(connection, owner, reached)


def only(findings: list[Finding], check: str) -> Finding:
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def note_backup(admin: Any, age: str) -> None:
    admin.execute(
        "INSERT INTO backups (version, bytes, row_count, started_at, finished_at)"
        " VALUES ('1', 1, 1, now() - %s::interval, now() - %s::interval)",
        [age, age],
    )


def test_every_warning_has_a_next_step(examined: Examined) -> None:
    findings = examine(examined)
    assert len({finding.check for finding in findings}) == 14
    assert all(finding.next_step for finding in findings if finding.level == "warning")


def test_the_servers_role_is_told_what_it_may_not_look_at(examined: Examined, database: Any) -> None:
    with connect(database.app_url) as connection:
        findings = examine(Examined(connection, examined.settings, Reached(database.app_url)))
    for check in ("seals", "segments"):
        assert "hushtag_maintainer" in only(findings, check).says
        assert "owner of the tables" in (only(findings, check).next_step or "")
    assert only(findings, "clock").level == "fine"


@pytest.mark.parametrize(("age", "level"), [("24 hours 59 minutes", "fine"), ("25 hours 1 minute", "warning")])
def test_the_age_of_the_last_backup(examined: Examined, admin: Any, age: str, level: str) -> None:
    assert only(examine(examined), "backup").says == "there has never been one"
    note_backup(admin, "60 days")
    note_backup(admin, age)
    assert only(examine(examined), "backup").level == level


def test_what_a_clock_that_was_ahead_has_noted_is_not_taken_for_new(
    examined: Examined, reached: Reached, admin: Any, tmp_path: Path, watcher: Any
) -> None:
    note_backup(admin, "-300 days")
    copy_seals(reached, tmp_path / "seals", PASSPHRASE, watcher)
    admin.execute("UPDATE seal_copies SET taken_at = now() + interval '300 days'")
    for check in ("backup", "seals"):
        assert only(examine(examined), check).level == "warning"
    note_backup(admin, "1 hour")
    copy_seals(reached, tmp_path / "seals", PASSPHRASE, watcher)
    for check in ("backup", "seals"):
        assert only(examine(examined), check).level == "fine"


def _make_tag(admin: Any, envelope: int, *, sealed: bool) -> None:
    """A tag with an envelope of so many bytes, of a new user; `sealed`: its seal is there."""
    admin.execute(
        """
        WITH k AS (SELECT id FROM server_keys LIMIT 1), u AS (
            INSERT INTO users (id, email, password_hash, phrase_salt, opaque_credential_id)
            VALUES (gen_random_uuid(), gen_random_uuid() || '@example.org', 'x', decode(repeat('01', 16), 'hex'),
                decode(repeat('02', 32), 'hex')) RETURNING id),
        t AS (
            INSERT INTO secret_tags (user_id, id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,
                sealed_label, public_key, server_key_id)
            SELECT u.id, gen_random_uuid(), decode(repeat('03', 16), 'hex'), decode(repeat('04', 16), 'hex'),
                decode(repeat('05', 32), 'hex'), decode(repeat('06', %s), 'hex'), 'hushtag-v1', 'a name',
                decode(repeat('07', 316), 'hex'), decode(repeat('08', 32), 'hex'), k.id
            FROM u, k RETURNING user_id, id)
        INSERT INTO tag_seals (user_id, tag_id, seal)
        SELECT user_id, id, decode(repeat('09', 32), 'hex') FROM t WHERE %s
        """,
        [envelope, sealed],
    )


def test_tags_whose_seal_is_gone_or_was_never_made(examined: Examined, admin: Any) -> None:
    assert only(examine(examined), "seals") == (
        "seals",
        "fine",
        "there is no secret tag yet, and no copy of the seals",
        None,
    )
    for envelope, sealed in ((188, True), (188, True), (188, False), (160, False), (160, False)):
        _make_tag(admin, envelope, sealed=sealed)
    gone, unsealed, copy = [found for found in examine(examined) if found.check == "seals"]
    assert gone.says == "1 of 5 secret tags open nothing: their seal is not in this database"
    assert "restore-seals" in (gone.next_step or "")
    assert unsealed.says == "2 of 5 secret tags are of an earlier version and have no seal yet"
    assert copy.says == "no copy of the seals was ever made: a restored backup opens no tag"
    assert {found.level for found in (gone, unsealed, copy)} == {"warning"}


@pytest.mark.parametrize(("age", "level"), [("24 hours 59 minutes", "fine"), ("25 hours 1 minute", "warning")])
def test_the_age_of_the_copy_of_the_seals(
    examined: Examined, reached: Reached, admin: Any, tmp_path: Path, watcher: Any, age: str, level: str
) -> None:
    """Noted whenever the copy is replaced, and never by an older one that ends later."""
    for _ in range(2):
        _make_tag(admin, 188, sealed=True)
        copy_seals(reached, tmp_path / "seals", PASSPHRASE, watcher)
    assert only(examine(examined), "seals").says == "the copy of the seals is 0 min old"
    assert admin.execute("SELECT count(*), max(seals) FROM seal_copies").fetchone() == (1, 2)
    admin.execute("UPDATE seal_copies SET taken_at = now() - %s::interval", [age])
    found = only(examine(examined), "seals")
    assert (found.level, found.level == "warning") == (level, found.next_step is not None)


def test_a_foreign_key_without_an_index(examined: Examined, admin: Any) -> None:
    assert only(examine(examined), "foreign keys").level == "fine"
    admin.execute("DROP INDEX opaque_sessions_tag_idx")
    found = only(examine(examined), "foreign keys")
    assert (found.level, found.next_step) == (
        "warning",
        "CREATE INDEX CONCURRENTLY ON opaque_sessions (user_id, tag_id)",
    )


def test_missing_partitions_and_migrations(examined: Examined, database: Any, admin: Any) -> None:
    assert only(examine(examined), "audit partitions").level == "fine"
    months = "SELECT max(relname) FROM pg_class WHERE relkind = 'r' AND relispartition AND relname ~ '^audit_logs_2'"
    newest = admin.execute(months).fetchone()[0]
    admin.execute(f"DROP TABLE {newest}")
    assert only(examine(examined), "audit partitions").level == "warning"
    rollback(database.owner_url, len([name for name in known_migrations() if name >= "0009"]))
    findings = examine(examined)
    assert only(findings, "migrations").level == "warning"
    assert only(findings, "security log").next_step == "run `hushtag-server migrate`, then doctor again"
    assert only(findings, "backup age").next_step == "run `hushtag-server migrate`, then doctor again"


def test_keys_that_are_not_there_or_not_those(examined: Examined, tmp_path: Path, make_setup: Any) -> None:
    from hushtag_server.keyfile import encode_key_ring, new_keys

    assert only(examine(examined), "keys").level == "fine"
    (tmp_path / "keys.json").write_bytes(encode_key_ring(new_keys(make_setup)))
    (tmp_path / "keys.json").chmod(0o600)
    for directory, words in ((tmp_path, "does not hold the keys"), (tmp_path / "none", "is missing")):
        elsewhere = replace(examined, settings=replace(examined.settings, data=directory))
        found = only(examine(elsewhere), "keys")
        assert (found.level, words in found.says) == ("warning", True)
        assert "restore-keys" in (found.next_step or "")


def test_tags_under_keys_that_are_not_here(examined: Examined, admin: Any, make_setup: Any, keys: Any) -> None:
    from hushtag_server.operation.key_sets import retire_keys, rotate_keys

    for _ in range(2):
        _make_tag(admin, 160, sealed=False)
    rotate_keys(examined.settings, examined.reached, make_setup)
    assert only(examine(examined), "keys").level == "fine"
    retire_keys(examined.settings, examined.reached, keys.current.id, force=True)
    found = only(examine(examined), "keys")
    assert found.says == "2 secret tags are under 1 key sets that are not here, and open nothing"
    assert (found.level, "keys import" in (found.next_step or "")) == ("warning", True)


@pytest.mark.parametrize(
    ("check", "state"),
    [
        ("connections", {"connections": 81, "max_connections": 100}),
        ("replication", {"replication_lag": 301.0, "replicas": 1}),
        ("backup", {"backup_age": 25 * 3600 + 1.0}),
    ],
)
def test_thresholds_of_what_the_database_says(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, check: str, state: dict[str, float]
) -> None:
    fine = {"connections": 80, "max_connections": 100, "database_bytes": 1, "backup_age": 25 * 3600.0}
    fine |= {"replicas": 1, "replication_lag": 300.0}
    monkeypatch.setattr(Examined, "state", lambda _: fine)
    assert only(examine(examined), check).level == "fine"
    monkeypatch.setattr(Examined, "state", lambda _: fine | state)
    assert only(examine(examined), check).level == "warning"


def test_replicas_whose_lag_is_hidden_are_not_called_fine(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"connections": 1, "max_connections": 9, "database_bytes": 1, "backup_age": 1, "replicas": 2}
    monkeypatch.setattr(Examined, "state", lambda _: state | {"replication_lag": None})
    found = only(examine(examined), "replication")
    assert (found.level, "pg_monitor" in (found.next_step or "")) == ("unknown", True)


@pytest.mark.parametrize(("seconds", "level"), [(0, "fine"), (1.5, "fine"), (30, "warning"), (-30, "warning")])
def test_clocks_that_differ(examined: Examined, monkeypatch: pytest.MonkeyPatch, seconds: float, level: str) -> None:
    class Shifted(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) + timedelta(seconds=seconds)

    monkeypatch.setattr(checks, "datetime", Shifted)
    assert only(examine(examined), "clock").level == level


@pytest.mark.parametrize(("free", "level"), [(21, "fine"), (19, "warning")])
def test_a_full_disk(examined: Examined, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")(100 * 2**30, 0, free * 2**30)  # noqa: PYI024
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    assert only(examine(examined), "disk").level == level
    elsewhere = replace(examined, reached=Reached(examined.reached.owner_url))
    assert only(examine(elsewhere), "disk").level == "unknown"


def test_dead_rows(examined: Examined, admin: Any) -> None:
    assert only(examine(examined), "dead rows").level == "fine"
    admin.execute("ALTER TABLE security_audit_logs SET (autovacuum_enabled = off)")
    admin.execute(
        "INSERT INTO security_audit_logs (event_type, event_category, severity, event_message)"
        " SELECT 'a', 'b', 'c', 'd' FROM generate_series(1, 20000)"
    )
    admin.execute("DELETE FROM security_audit_logs")
    admin.execute("SELECT pg_stat_force_next_flush()")
    admin.execute("SELECT 1")
    found = only(examine(examined), "dead rows")
    assert (found.level, "security_audit_logs holds 20000 dead" in found.says) == ("warning", True)


# --- monitoring ----------------------------------------------------------------------------------------------


def test_a_monitor_reads_figures_and_no_row_of_anybody(admin: Any) -> None:
    admin.execute("SET ROLE hushtag_monitor")
    views = [row[0] for row in admin.execute("SELECT viewname FROM pg_views WHERE viewname LIKE 'monitoring%'")]
    assert len(views) == 6
    for view in views:
        admin.execute(f"SELECT * FROM {view}")
    tables = admin.execute("SELECT table_name FROM monitoring_sizes").fetchall()
    assert ("vault_blobs",) in tables
    readable = admin.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND has_any_column_privilege(oid, 'SELECT')"
    ).fetchall()
    assert readable == [("backups",), ("seal_copies",)]


def test_statements_are_counted_where_the_extension_is(admin: Any, examined: Examined, database: Any) -> None:
    """Made here without being loaded into the server, as one finds it after a careless set-up: nothing fails."""
    admin.execute("CREATE EXTENSION pg_stat_statements")
    assert admin.execute("SELECT * FROM hushtag_slow_statements(0, 5)").fetchall() == []
    assert admin.execute("SELECT statement_seconds FROM hushtag_database_state()").fetchone() == (None,)
    assert only(examine(examined), "slow statements").level == "fine"
