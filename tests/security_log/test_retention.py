"""Retention: what is old goes, a signed statement stays, verification goes on; tampered rows are never removed."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from hushtag_server.keyfile import KeyRing
from hushtag_server.operation import security_log
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.maintain import maintain
from hushtag_server.operation.reach import Reached, connect
from hushtag_server.security_log import recording, retention
from hushtag_server.security_log.checkpoint_file import read_checkpoints
from hushtag_server.settings import Settings
from tests.operation.conftest import Silent
from tests.security_log.support import kinds, log_id, seal, sign, verified, write

RETENTION = timedelta(days=400)


@pytest.fixture
def owner(database: Any, settings: Settings) -> Settings:
    return replace(settings, database_url=database.owner_url)


@pytest.fixture
def aged(database: Any, keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Six events of 401 days ago, four of now, all sealed."""

    def time_ns() -> int:
        return time.time_ns() - 401 * 86_400 * 10**9

    with monkeypatch.context() as then:
        then.setattr(recording, "time", SimpleNamespace(time_ns=time_ns, perf_counter=time.perf_counter))
        write(database.app_url, keys, 6)
    write(database.app_url, keys, 4)
    seal(database.app_url, keys)
    return database


def remove(database: Any, owner: Settings) -> list[int]:
    with connect(database.owner_url) as connection:
        return list(security_log.remove_due(connection, owner))


def test_what_is_old_goes_and_the_rest_is_still_verified(aged: Any, keys: KeyRing, owner: Settings, admin: Any) -> None:
    before = sign(aged.app_url, keys)
    with connect(aged.owner_url) as connection:
        assert security_log.count_due(connection, owner) == 6
    assert remove(aged, owner) == [6]
    assert admin.execute("SELECT count(*) FROM security_audit_logs").fetchone() == (4,)
    done = verified(aged, keys, before)
    assert (done.tampering, done.rows, done.kept_from, done.head) == ([], 4, 7, 10)
    assert remove(aged, owner) == []
    write(aged.app_url, keys, 2)
    after = sign(aged.app_url, keys)
    assert (after.last_seq, kinds(aged, keys, before, after)) == (12, [])


def test_a_log_of_which_nothing_is_left_goes_on_where_it_was(
    aged: Any, keys: KeyRing, owner: Settings, admin: Any
) -> None:
    sign(aged.app_url, keys)
    short = replace(owner, security_audit_retention=timedelta(0))
    assert sum(remove(aged, short)) == 10
    assert verified(aged, keys) == (0, 11, 10, 0, 2, [])
    write(aged.app_url, keys, 1)
    seal(aged.app_url, keys)
    done = verified(aged, keys)
    assert (done.tampering, done.kept_from, done.head) == ([], 11, 11)
    admin.execute("DELETE FROM security_audit_links")
    assert ("inserted", None) in kinds(aged, keys)


def test_a_removed_row_that_is_put_back_is_found(aged: Any, keys: KeyRing, owner: Settings, admin: Any) -> None:
    old = log_id(admin, 2)
    names = "l.*"
    admin.execute(f"CREATE TABLE kept AS SELECT {names} FROM security_audit_logs l WHERE id = %s", [old])
    sign(aged.app_url, keys)
    remove(aged, replace(owner, security_audit_retention=timedelta(0)))
    admin.execute("INSERT INTO security_audit_logs SELECT * FROM kept")
    admin.execute("INSERT INTO security_audit_unsealed VALUES (%s)", [old])
    seal(aged.app_url, keys)
    assert kinds(aged, keys) == [("replayed", 11)]


@pytest.mark.parametrize("stopped", [1, 2])
def test_a_removal_that_is_stopped_goes_on(
    aged: Any, keys: KeyRing, owner: Settings, monkeypatch: pytest.MonkeyPatch, stopped: int
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    with connect(aged.owner_url) as connection:
        removing = security_log.remove_due(connection, owner)
        assert [next(removing) for _ in range(stopped)] == [2] * stopped
        removing.close()
    assert kinds(aged, keys) == []
    assert sum(remove(aged, owner)) == 6 - 2 * stopped
    assert kinds(aged, keys) == []


def test_tampered_rows_are_not_removed(aged: Any, keys: KeyRing, owner: Settings, admin: Any) -> None:
    """Else whoever makes rows look old would have maintenance sign that they are gone."""
    admin.execute("UPDATE security_audit_logs SET timestamp = timestamp - interval '500 days'")
    with pytest.raises(OperationError, match="audit verify"):
        remove(aged, owner)
    assert admin.execute("SELECT count(*) FROM security_audit_logs").fetchone() == (10,)
    assert admin.execute("SELECT FROM security_audit_checkpoints").rowcount == 0


@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET last_seq = 7", "UPDATE {} SET first_seq = 2"])
def test_a_statement_of_removal_cannot_be_taken_away_or_changed(
    aged: Any, keys: KeyRing, owner: Settings, admin: Any, change: str
) -> None:
    remove(aged, owner)
    admin.execute(change.format("security_audit_checkpoints"))
    found = kinds(aged, keys)
    assert found[0] == ("deleted", 1)
    assert ("forged_checkpoint" in {kind for kind, _ in found}) is change.startswith("UPDATE")


def test_a_statement_of_removal_cannot_be_invented(aged: Any, keys: KeyRing, admin: Any) -> None:
    columns = "kind, first_seq, last_seq, link, key_id, signed_at, signature"
    invented = "SELECT 'cut', 1, 6, link, key_id, now(), sha512('x') FROM security_audit_links WHERE seq = 6"
    admin.execute(f"INSERT INTO security_audit_checkpoints ({columns}) {invented}")
    admin.execute("DELETE FROM security_audit_logs WHERE id IN (SELECT log_id FROM security_audit_links WHERE seq < 7)")
    admin.execute("DELETE FROM security_audit_links WHERE seq < 7")
    assert kinds(aged, keys) == [("deleted", 1), ("forged_checkpoint", 6)]


def test_checkpoints_of_the_database_are_thinned(
    aged: Any, keys: KeyRing, owner: Settings, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "KEPT_HEADS", 2)
    for _ in range(4):
        sign(aged.app_url, keys)
    remove(aged, owner)
    kept = admin.execute("SELECT kind FROM security_audit_checkpoints ORDER BY kind").fetchall()
    assert kept == [("cut",), ("head",), ("head",)]


def test_maintenance_seals_signs_and_removes(
    aged: Any, keys: KeyRing, owner: Settings, postgres: Any, admin: Any
) -> None:
    write(aged.app_url, keys, 3)
    noted = replace(owner, audit_checkpoints=owner.data / "checkpoints")
    reached = Reached(aged.owner_url, postgres.bin_dir, postgres.data)
    due = maintain(noted, reached, Silent(), dry_run=True)
    done = maintain(noted, reached, Silent())
    assert {name: due.steps[name] for name in ("security_audit_seal", "security_audit_logs")} == {
        "security_audit_seal": 3,
        "security_audit_logs": 6,
    }
    assert (done.steps["security_audit_seal"], done.steps["security_audit_logs"]) == (3, 6)
    (noted_checkpoint,) = read_checkpoints(owner.data / "checkpoints")
    assert (noted_checkpoint.last_seq, kinds(aged, keys, noted_checkpoint)) == (13, [])
    assert noted_checkpoint.signed_at <= datetime.now(UTC)


def test_maintenance_without_the_key_file_leaves_the_log_to_the_servers(
    aged: Any, keys: KeyRing, owner: Settings, postgres: Any
) -> None:
    owner.key_path.rename(owner.data / "elsewhere")
    write(aged.app_url, keys, 3)
    done = maintain(owner, Reached(aged.owner_url, postgres.bin_dir, postgres.data), Silent())
    assert "needs the server's keys" in done.failed.pop("security_audit_logs")
    assert done.failed == {}
    (owner.data / "elsewhere").rename(owner.key_path)
    assert (verified(aged, keys).rows, verified(aged, keys).waiting) == (10, 3)
