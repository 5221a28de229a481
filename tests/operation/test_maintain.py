"""Maintenance: what has ended goes, what lives stays, one run at a time, row-level security stays whole."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from hushtag_server.operation import maintain as maintaining
from hushtag_server.operation import steps
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.maintain import maintain
from hushtag_server.operation.partitions import missing_months
from hushtag_server.operation.reach import Reached, as_maintainer, connect
from hushtag_server.settings import Settings
from tests.coming import COMING
from tests.operation.conftest import Silent

MAY = f"audit_logs_{COMING}_05"
"""The partition of a month for which none is made ahead yet."""


def add_user(connection: psycopg.Connection[Any], email: str = "ada@example.org") -> UUID:
    user = uuid4()
    connection.execute(
        "INSERT INTO users (id, email, password_hash, phrase_salt, opaque_credential_id) VALUES"
        " (%s, %s, 'x', decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'))",
        [user, email],
    )
    return user


def add_session(connection: psycopg.Connection[Any], user: UUID, expires: str, active: str = "0") -> UUID:
    """Add a session made long ago; `expires` and `active` are intervals from now."""
    session = uuid4()
    connection.execute(
        "INSERT INTO user_sessions (user_id, id, token_hash, created_at, expires_at, last_activity) VALUES"
        " (%s, %s, sha256(%s), now() - interval '400 days', now() + %s::interval, now() + %s::interval)",
        [user, session, session.bytes, expires, active],
    )
    return session


def add_ceremony(connection: psycopg.Connection[Any], user: UUID, session: UUID, expires: str) -> str:
    name = uuid4().hex * 2
    connection.execute(
        "INSERT INTO opaque_sessions (user_id, session_id, user_session_id, session_state, expires_at)"
        " VALUES (%s, %s, %s, 'located', now() + %s::interval)",
        [user, name, session, expires],
    )
    return name


@pytest.fixture
def admin(database: Any) -> Any:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        yield connection


def test_what_has_ended_goes_and_what_lives_stays(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent
) -> None:
    user = add_user(admin)
    living = add_session(admin, user, "1 day", "-6 days")
    for expires, active in (("-1 second", "0"), ("1 day", "-8 days")):
        add_session(admin, user, expires, active)
    kept = add_ceremony(admin, user, living, "1 minute")
    add_ceremony(admin, user, living, "-1 second")
    for scope, age in (("account", "3 hours"), ("address", "59 minutes")):
        admin.execute(
            "INSERT INTO login_attempts (scope, key_hash, tokens, refilled_at)"
            " VALUES (%s, sha256('x'), 0, now() - %s::interval)",
            [scope, age],
        )
    due = maintain(owner, reached, watcher, dry_run=True)
    assert admin.execute("SELECT count(*) FROM user_sessions").fetchone() == (3,)
    done = maintain(owner, reached, watcher)
    assert done == due
    assert {name: count for name, count in done.steps.items() if count and name != "audit_partitions"} == {
        "opaque_sessions": 1,
        "user_sessions": 2,
        "login_attempts": 1,
    }
    assert admin.execute("SELECT id FROM user_sessions").fetchall() == [(living,)]
    assert admin.execute("SELECT session_id FROM opaque_sessions").fetchall() == [(kept,)]
    assert admin.execute("SELECT scope FROM login_attempts").fetchall() == [("address",)]
    assert set(maintain(owner, reached, watcher).steps.values()) == {0}


def test_many_rows_go_in_short_transactions(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = add_user(admin)
    admin.execute(
        "INSERT INTO user_sessions (user_id, token_hash, created_at, expires_at) SELECT %s, sha256(n::text::bytea),"
        " now() - interval '2 days', now() - interval '1 day' FROM generate_series(1, 2500) n",
        [user],
    )
    step = next(step for step in steps.STEPS if step.name == "user_sessions")
    with connect(reached.owner_url) as connection:
        batches = step.batches(steps.Work(connection, owner))
        assert next(batches) == 1000
        batches.close()  # an interruption: what was done stays done, the rest is still there
        assert admin.execute("SELECT count(*) FROM user_sessions").fetchone() == (1500,)
        assert list(step.batches(steps.Work(connection, owner))) == [1000, 500]


def test_a_session_used_meanwhile_has_not_ended(admin: Any, database: Any, owner: Settings, reached: Reached) -> None:
    session = add_session(admin, add_user(admin), "1 day", "-8 days")
    with psycopg.connect(database.admin_url) as using:
        using.execute("UPDATE user_sessions SET last_activity = now() WHERE id = %s", [session])
        done: list[int] = []

        def delete() -> None:
            with connect(reached.owner_url) as connection:
                step = next(step for step in steps.STEPS if step.name == "user_sessions")
                done.extend(step.batches(steps.Work(connection, owner)))

        thread = threading.Thread(target=delete)
        thread.start()
        while not admin.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount:
            pass  # until the deletion waits for the row
        using.commit()
        thread.join()
    assert done == []
    assert admin.execute("SELECT count(*) FROM user_sessions").fetchone() == (1,)


# --- audit partitions ------------------------------------------------------------------------------------------


def _partitions(admin: Any) -> set[str]:
    return {row[0] for row in admin.execute("SELECT inhrelid::regclass::text FROM pg_inherits i JOIN pg_class c"
            " ON c.oid = i.inhparent WHERE c.relname = 'audit_logs'")}  # fmt: skip


def _add_audit(admin: Any, user: UUID | None, at: str) -> None:
    admin.execute(
        "INSERT INTO audit_logs (user_id, action, table_name, created_at) VALUES (%s, 'UPDATE', 't', %s)", [user, at]
    )


SHAPES = """
    SELECT c.relname,
        (SELECT array_agg(d ORDER BY d) FROM pg_constraint k, pg_get_constraintdef(k.oid) d
         WHERE k.conrelid = c.oid AND k.contype IN ('p', 'f', 'c')),
        (SELECT count(*) FROM pg_index x WHERE x.indrelid = c.oid),
        (SELECT array_agg(a.attname || a.atthasdef || a.attnotnull ORDER BY attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND attnum > 0)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'audit_logs'::regclass
"""


def test_partitions_are_made_ahead_and_rows_that_came_too_early_moved(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent
) -> None:
    maintain(owner, reached, watcher)  # the month may have turned since the database was made
    user = add_user(admin)
    for at in ("05-01 00:00+00", "05-31 23:59:59+00", "06-01 00:00+00"):
        _add_audit(admin, user, f"{COMING}-{at}")
    assert admin.execute("SELECT count(*) FROM audit_logs_default").fetchone() == (3,)
    before = admin.execute("SELECT * FROM audit_logs ORDER BY id").fetchall()
    assert maintain(owner, reached, watcher).steps["audit_partitions"] == 2
    assert {MAY, f"audit_logs_{COMING}_06"} <= _partitions(admin)
    assert admin.execute(f"SELECT count(*) FROM {MAY}").fetchone() == (2,)
    assert admin.execute("SELECT count(*) FROM audit_logs_default").fetchone() == (0,)
    assert admin.execute("SELECT * FROM audit_logs ORDER BY id").fetchall() == before
    with connect(reached.owner_url) as connection:
        assert missing_months(connection) == []
    # A partition that was filled first is as good as one that was made empty.
    shapes = admin.execute(SHAPES).fetchall()
    assert len({str(shape[1:]) for shape in shapes}) == 1, shapes
    # The user's rows still go with the user.
    admin.execute("DELETE FROM users")
    assert admin.execute("SELECT count(*) FROM audit_logs WHERE user_id = %s", [user]).fetchone() == (0,)


def test_the_server_writes_into_a_partition_made_later_and_reads_its_own_alone(
    admin: Any, database: Any, owner: Settings, reached: Reached, watcher: Silent
) -> None:
    user = add_user(admin)
    _add_audit(admin, user, f"{COMING}-05-01")
    maintain(owner, reached, watcher)
    with psycopg.connect(database.app_url) as connection:
        connection.execute("SELECT set_config('app.user_id', %s, true)", [str(user)])
        connection.execute(
            "INSERT INTO audit_logs (user_id, action, table_name, created_at) VALUES (%s, 'UPDATE', 't', %s)",
            [user, f"{COMING}-05-02"],
        )
        seen = f"SELECT count(*) FROM audit_logs WHERE created_at >= '{COMING}-05-01'"
        assert connection.execute(seen).fetchone() == (2,)
        connection.execute("SELECT set_config('app.user_id', %s, true)", [str(uuid4())])
        assert connection.execute(seen).fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT FROM {MAY}")


def test_whole_months_go_when_their_retention_has_ended(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent
) -> None:
    for at in ("2020-01-01", "2020-01-31", "2020-02-01"):
        _add_audit(admin, None, at)
    with connect(reached.owner_url) as connection:  # January gets a partition, February stays in the default one
        assert connection.execute("SELECT hushtag_open_audit_month('2020-01-15')").fetchone() == (True,)
        assert connection.execute("SELECT hushtag_open_audit_month('2020-01-15')").fetchone() == (False,)
    kept = replace(owner, audit_retention=timedelta(days=36500))
    assert maintain(kept, reached, watcher).steps["audit_logs"] == 0
    assert maintain(owner, reached, watcher).steps["audit_logs"] == 3
    assert not {name for name in _partitions(admin) if "2020" in name}
    assert admin.execute("SELECT count(*) FROM audit_logs WHERE created_at < '2021-01-01'").fetchone() == (0,)


@pytest.mark.parametrize(("days", "rows"), [(1, 0), (-1, 1)])
def test_the_end_of_a_month_decides_for_the_whole_of_it(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent, days: int, rows: int
) -> None:
    _add_audit(admin, None, "2020-01-01")
    with connect(reached.owner_url) as connection:
        connection.execute("SELECT hushtag_open_audit_month('2020-01-15')")
    age = datetime.now(UTC) - datetime(2020, 2, 1, tzinfo=UTC) + timedelta(days=days)
    assert maintain(replace(owner, audit_retention=age), reached, watcher).steps["audit_logs"] == rows


def test_a_long_transaction_does_not_block_writers_behind_maintenance(
    admin: Any, database: Any, owner: Settings, reached: Reached, watcher: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hushtag_server.operation import partitions

    monkeypatch.setattr(partitions, "_ATTEMPTS", 2)
    monkeypatch.setattr(partitions, "_LOCK_WAIT", 50)
    _add_audit(admin, None, f"{COMING}-05-01")
    with psycopg.connect(database.admin_url) as holder:
        holder.execute("SELECT FROM audit_logs_default")
        done = maintain(owner, reached, watcher)
        holder.rollback()
    assert "for too long" in done.failed.pop("audit_partitions")
    assert (done.failed, watcher.stages[-1]) == ({}, steps.STEPS[-1].name)
    assert MAY not in _partitions(admin)
    assert maintain(owner, reached, watcher).steps["audit_partitions"] >= 1


# --- steps that other domains do ---------------------------------------------------------------------------------


STAND_INS = """
    DROP TABLE IF EXISTS journals CASCADE;
    DROP FUNCTION IF EXISTS hushtag_purge_journals, hushtag_erase_account;
    ALTER TABLE users DROP COLUMN IF EXISTS deletion_at CASCADE;
    SET ROLE hushtag_owner;
    CREATE TABLE journals (user_id uuid, id uuid DEFAULT gen_random_uuid(), deleted_at timestamptz);
    ALTER TABLE journals ENABLE ROW LEVEL SECURITY;
    ALTER TABLE journals FORCE ROW LEVEL SECURITY;
    CREATE POLICY journals_own ON journals USING (user_id = hushtag_current_user());
    CREATE FUNCTION hushtag_purge_journals(p_user uuid, p_before timestamptz, p_most integer) RETURNS integer
        LANGUAGE sql AS $$
            WITH gone AS (DELETE FROM journals WHERE deleted_at < p_before AND id IN (
                SELECT id FROM journals WHERE deleted_at < p_before LIMIT p_most) RETURNING 1)
            SELECT count(*)::integer FROM gone $$;
    ALTER TABLE users ADD deletion_at timestamptz;
    CREATE FUNCTION hushtag_erase_account(p_user uuid) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN DELETE FROM users WHERE id = p_user; RETURN FOUND; END $$;
    SELECT hushtag_admit_maintainer();
    RESET ROLE;
"""


def test_functions_of_other_domains_are_called_as_their_user(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent
) -> None:
    """Stand-ins for those functions: each sees one user's rows, in batches, until none is due."""
    users = [add_user(admin, f"u{number}@example.org") for number in range(2)]
    admin.execute(STAND_INS)
    admin.execute(
        "INSERT INTO journals (user_id, deleted_at) SELECT u, now() - interval '31 days' FROM unnest(%s::uuid[]) u,"
        " generate_series(1, 1200)",
        [users],
    )
    admin.execute(
        "INSERT INTO journals (user_id, deleted_at) VALUES (%s, now() - interval '29 days'), (%s, NULL)", users
    )
    admin.execute("UPDATE users SET deletion_at = now() - interval '1 second' WHERE id = %s", [users[0]])
    done = maintain(owner, reached, watcher)
    assert (done.steps["journals"], done.steps["accounts"]) == (2400, 1)
    assert admin.execute("SELECT count(*) FROM journals").fetchone() == (2,)
    assert admin.execute("SELECT id FROM users").fetchall() == [(users[1],)]


def test_a_step_that_the_database_refuses_stops_no_other(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent
) -> None:
    admin.execute("INSERT INTO login_attempts VALUES ('account', sha256('x'), 0, now() - interval '3 hours')")
    admin.execute(
        "INSERT INTO backups (version, bytes, row_count, started_at, finished_at) SELECT '1', 1, 1, t, t FROM"
        " (SELECT now() - interval '500 days' AS t) long_ago"
    )
    admin.execute("REVOKE DELETE ON login_attempts FROM hushtag_maintainer")
    done = maintain(owner, reached, watcher)
    assert done.failed == {"login_attempts": "the database refused: permission denied for table login_attempts"}
    assert (done.steps["login_attempts"], done.steps["backup_notes"]) == (0, 1)
    admin.execute("GRANT DELETE ON login_attempts TO hushtag_maintainer")
    assert maintain(owner, reached, watcher).steps["login_attempts"] == 1


def test_a_batch_that_is_given_up_to_a_transaction_of_the_server_is_done_again(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent
) -> None:
    user = add_user(admin)
    add_session(admin, user, "-1 second")
    admin.execute(
        "INSERT INTO journals (user_id, title, entry_date, deleted_at)"
        " VALUES (%s, 'x', now(), now() - interval '1 year')",
        [user],
    )
    admin.execute("CREATE SEQUENCE turns")
    admin.execute(
        "CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        " IF nextval('turns') % 2 = 1 THEN RAISE 'given up' USING ERRCODE = 'deadlock_detected'; END IF;"
        " RETURN OLD; END $$"
    )
    for table in ("user_sessions", "journals"):
        admin.execute(f"CREATE TRIGGER give_up BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION give_up()")
    done = maintain(owner, reached, watcher)
    assert done.failed == {}
    assert (done.steps["user_sessions"], done.steps["journals"]) == (1, 1)


def test_a_database_that_goes_away_ends_the_run(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(work: steps.Work) -> int:
        admin.execute("SELECT pg_terminate_backend(%s)", [work.connection.info.backend_pid])
        work.connection.execute("SELECT 1")
        raise AssertionError("it answers")

    begun = []
    later = steps.STEPS[1]._replace(due=lambda _: begun.append(1) or 0)
    monkeypatch.setattr(maintaining, "STEPS", (steps.STEPS[0]._replace(due=away), later))
    with pytest.raises(psycopg.OperationalError):
        maintain(owner, reached, watcher)
    assert begun == []


# --- one at a time, as whom -----------------------------------------------------------------------------------------


def test_a_second_run_leaves_the_first_the_work_or_waits(
    admin: Any, owner: Settings, reached: Reached, watcher: Silent
) -> None:
    with connect(reached.owner_url) as first:
        first.execute("SELECT pg_advisory_lock(%s)", [maintaining._LOCK_KEY])
        assert maintain(owner, reached, watcher) == (False, {}, {})
        waiting = threading.Thread(target=maintain, args=(owner, reached, Silent()), kwargs={"wait": True})
        waiting.start()
        while not admin.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").rowcount:
            assert waiting.is_alive()
    waiting.join()
    assert maintain(owner, reached, watcher).ran


def test_only_the_owner_maintains(database: Any, owner: Settings, watcher: Silent) -> None:
    with pytest.raises(OperationError, match="owner of the tables"):
        maintain(owner, Reached(database.app_url), watcher)


def test_a_database_of_another_version_is_not_touched(empty_database: Any, owner: Settings, watcher: Silent) -> None:
    with pytest.raises(OperationError, match="hushtag-server migrate"):
        maintain(owner, Reached(empty_database.owner_url), watcher)


def test_the_owner_sees_rows_only_while_it_is_the_maintainer(admin: Any, reached: Reached) -> None:
    add_user(admin)
    with connect(reached.owner_url) as connection:
        assert connection.execute("SELECT FROM users").rowcount == 0
        with as_maintainer(connection):
            assert connection.execute("SELECT FROM users").rowcount == 1
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("UPDATE users SET email = 'x@example.org'")
        assert connection.execute("SELECT FROM users").rowcount == 0


def test_the_servers_role_cannot_become_the_maintainer(database: Any) -> None:
    with psycopg.connect(database.app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SET ROLE hushtag_maintainer")
