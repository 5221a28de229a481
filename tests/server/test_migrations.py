"""Migrations: complete, reversible, safe to start twice; the roles they make; row-level security."""

import subprocess
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.migrate import MigrationError, migrate, prepare_roles, rollback, undoable
from hushtag_server.migration_names import MIGRATIONS, known_migrations
from hushtag_server.vault.seals import SEALED_ENVELOPE

TENANT = [
    "consents",
    "journal_tags",
    "journal_words",
    "journals",
    "opaque_sessions",
    "reminder_deliveries",
    "reminder_feeds",
    "reminders",
    "secret_tags",
    "tag_seals",
    "tags",
    "transfers",
    "unlock_budget",
    "user_sessions",
    "user_settings",
    "users",
    "vault_blobs",
    "vault_segments",
    "vaults",
    "wrapped_keys",
    "key_rotations",
    "sealed_keys",
    "tag_orders",
    "locked_tags",
    "pairings",
    "segment_parts",
    "vault_streams",
]
WITHOUT_USER = [
    "backups",
    "installations",
    "login_attempts",
    "seal_copies",
    "security_audit_checkpoints",
    "security_audit_ends",
    "security_audit_links",
    "security_audit_logs",
    "security_audit_unsealed",
    "segment_removals",
    "segment_stores",
    "server_keys",
]
TRAIL = "audit_logs"  # partitioned, and rows of unknown emails have no user


@pytest.fixture
def catalogue(postgres: EmbeddedPostgres, empty_database: Any) -> Callable[[], str]:
    """Everything the database is made of: tables, functions, constraints, policies, triggers, indexes, grants."""

    def dump() -> str:
        command = [postgres.bin_dir / "pg_dump", "--schema-only", "--restrict-key=fixed", empty_database.admin_url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return dump


def test_a_complete_rollback_leaves_nothing_of_ours(empty_database: Any, catalogue: Callable[[], str]) -> None:
    migrate(empty_database.owner_url)
    rollback(empty_database.owner_url, 99)
    left = catalogue()
    assert not [name for name in (*TENANT, *WITHOUT_USER, "hushtag_touch") if f"public.{name}" in left]


def test_two_servers_may_migrate_at_once(empty_database: Any) -> None:
    done: list[list[str]] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            done.append(migrate(empty_database.owner_url))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(done) == [[], [], [], [], known_migrations()]


def test_a_failed_migration_leaves_nothing_and_can_be_repeated(empty_database: Any) -> None:
    with psycopg.connect(empty_database.owner_url) as connection:
        connection.execute("CREATE TABLE vault_segments (x int)")  # in the way of the first migration
    with pytest.raises(psycopg.errors.DuplicateTable):
        migrate(empty_database.owner_url)
    with psycopg.connect(empty_database.owner_url) as connection:
        assert connection.execute("SELECT to_regclass('users')").fetchone() == (None,)
        connection.execute("DROP TABLE vault_segments")
    assert migrate(empty_database.owner_url) == known_migrations()


def test_app_role_must_exist(empty_database: Any, catalogue: Callable[[], str]) -> None:
    before = catalogue()
    with pytest.raises(MigrationError, match=r"'nobody_here' does not exist.*nothing was changed"):
        migrate(empty_database.owner_url, app_role="nobody_here")
    assert catalogue() == before


@pytest.mark.parametrize("begin", [migrate, prepare_roles])
def test_a_database_that_is_not_utf8_is_refused_as_it_is(
    postgres: EmbeddedPostgres, begin: Callable[[str], object]
) -> None:
    make = (
        "CREATE DATABASE latin OWNER hushtag_owner ENCODING latin1 LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    )
    url = postgres.url("hushtag_owner", "latin")
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as admin:
        admin.execute(make)
        try:
            with pytest.raises(MigrationError, match=r"the encoding LATIN1, and must have UTF8.*nothing was changed"):
                begin(url)
            with psycopg.connect(url) as connection:
                assert (
                    connection.execute("SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace").rowcount == 0
                )
        finally:
            admin.execute("DROP DATABASE latin WITH (FORCE)")


def test_another_role_than_the_owners_is_told_so(empty_database: Any) -> None:
    with pytest.raises(MigrationError, match="this role may not make tables here"):
        migrate(empty_database.app_url)
    migrate(empty_database.owner_url)
    for change in (migrate, lambda url: rollback(url, 1)):
        with pytest.raises(MigrationError, match="the tables belong to 'hushtag_owner', and HUSHTAG_DATABASE_URL"):
            change(empty_database.app_url)


def test_a_migration_that_cannot_be_undone_is_named_and_those_before_it_stay(
    database: Any, two_users: tuple[UUID, UUID]
) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(
            "UPDATE secret_tags SET opaque_envelope = decode(repeat('00', %s), 'hex')", [SEALED_ENVELOPE]
        )
    undone: list[str] = []
    with pytest.raises(MigrationError, match=r"^0011_\w+ cannot be undone: check constraint .*; it stays"):
        rollback(database.owner_url, 99, undone.append)
    assert undone == [name for name in known_migrations() if name >= "0012"][::-1]
    assert list(undoable(database.owner_url, 99)) == [name for name in known_migrations() if name < "0012"][::-1]


def test_what_would_be_lost_is_told(database: Any) -> None:
    found = undoable(database.owner_url, 99)
    assert list(found) == known_migrations()[::-1]
    streams = next(name for name in found if name.startswith("0017"))
    assert "vault_streams" in found[streams]
    assert "users" in found[known_migrations()[0]]


def test_an_owner_that_may_not_grant_is_told_what_to_run(empty_database: Any) -> None:
    with psycopg.connect(empty_database.admin_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS another_app")
        connection.execute("CREATE ROLE another_app LOGIN")
    with pytest.raises(MigrationError, match="GRANT hushtag_server TO another_app"):
        migrate(empty_database.owner_url, app_role="another_app")


def test_an_owner_that_may_not_make_extensions_is_told_what_to_run(empty_database: Any) -> None:
    with psycopg.connect(empty_database.admin_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {empty_database.name} OWNER TO postgres")
        connection.execute("GRANT CREATE ON SCHEMA public TO hushtag_owner")
    with pytest.raises(MigrationError, match="CREATE EXTENSION unaccent; CREATE EXTENSION pg_trgm;"):
        migrate(empty_database.owner_url)
    with psycopg.connect(empty_database.admin_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION unaccent")
        connection.execute("CREATE EXTENSION pg_trgm")
    assert "0007_journals" in migrate(empty_database.owner_url)


def test_every_migration_has_a_rollback_and_a_number() -> None:
    names = known_migrations()
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert all((MIGRATIONS / f"{name}.rollback.sql").stat().st_size for name in names)


def test_every_table_of_a_user_is_keyed_by_the_user_and_guarded(database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        rows = connection.execute(
            "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity, (SELECT a.attname FROM pg_index i"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
            " WHERE i.indrelid = c.oid AND i.indisprimary)"
            " FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
            " AND NOT c.relispartition AND c.relname NOT LIKE '\\_yoyo%' ORDER BY 1"
        ).fetchall()
    assert [row[0] for row in rows] == sorted([*TENANT, *WITHOUT_USER, TRAIL])
    for name, enabled, forced, first in rows:
        if name in {*TENANT, TRAIL}:
            assert (name, enabled, forced) == (name, True, True)
        if name in TENANT:
            assert first == ("id" if name == "users" else "user_id"), name


def test_every_foreign_key_is_indexed(database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        missing = connection.execute(
            "SELECT c.conname FROM pg_constraint c WHERE c.contype = 'f' AND NOT EXISTS (SELECT FROM pg_index i"
            " WHERE i.indrelid = c.conrelid AND (i.indkey::smallint[])[0:cardinality(c.conkey)-1] @> c.conkey"
            " AND i.indpred IS NULL)"
        ).fetchall()
    assert missing == []


def test_every_unique_key_of_a_user_includes_the_user(database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        rows = connection.execute(
            "SELECT c.conrelid::regclass::text, array_agg(a.attname::text) FROM pg_constraint c"
            " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)"
            " WHERE c.contype = 'u' AND c.connamespace = 'public'::regnamespace GROUP BY c.oid, c.conrelid"
        ).fetchall()
    assert rows
    assert all("user_id" in columns for table, columns in rows if table not in WITHOUT_USER)


def test_what_only_maintenance_and_monitors_call_is_not_the_servers(database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        rows = connection.execute(
            "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
            " AND NOT has_function_privilege('hushtag_server', p.oid, 'EXECUTE')"
        ).fetchall()
    assert {name for (name,) in rows} >= {
        "hushtag_admit_maintainer",
        "hushtag_drain_account",
        "hushtag_end_locks",
        "hushtag_erase_account",
        "hushtag_open_audit_month",
        "hushtag_purge_journals",
        "hushtag_reindex_journals",
        "hushtag_slow_statements",
    }


def test_grants_are_exact(database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        rows = connection.execute(
            "SELECT table_name, string_agg(privilege_type, ' ' ORDER BY privilege_type)"
            " FROM information_schema.role_table_grants WHERE grantee = 'hushtag_server' GROUP BY 1"
        ).fetchall()
        columns = connection.execute(
            "SELECT table_name || '.' || column_name FROM information_schema.role_column_grants c"
            " WHERE grantee = 'hushtag_server' AND privilege_type = 'UPDATE' AND NOT EXISTS (SELECT FROM"
            " information_schema.role_table_grants t WHERE t.grantee = c.grantee AND t.table_name = c.table_name"
            " AND t.privilege_type = 'UPDATE') ORDER BY 1"
        ).fetchall()
    everything = "DELETE INSERT SELECT UPDATE"
    assert dict(rows) == {
        "_yoyo_migration": "SELECT",
        "audit_logs": "INSERT SELECT",
        "consents": "INSERT SELECT",
        "journal_tags": "DELETE INSERT SELECT",
        "journal_words": "INSERT SELECT UPDATE",
        "journals": everything,
        "backups": "SELECT",
        "seal_copies": "SELECT",
        "installations": "SELECT",
        "login_attempts": everything,
        "opaque_sessions": everything,
        "reminder_deliveries": "INSERT SELECT",
        "reminder_feeds": everything,
        "reminders": everything,
        "secret_tags": everything,
        "security_audit_checkpoints": "INSERT SELECT",
        "security_audit_ends": "DELETE INSERT SELECT",
        "security_audit_links": "INSERT SELECT",
        "security_audit_logs": "INSERT SELECT",
        "security_audit_unsealed": "DELETE INSERT SELECT",
        "server_keys": "INSERT SELECT",
        "tag_seals": "DELETE INSERT SELECT",
        "tags": everything,
        "transfers": everything,
        "unlock_budget": "INSERT SELECT UPDATE",
        "user_sessions": "DELETE INSERT SELECT",
        "user_settings": "INSERT SELECT UPDATE",
        "users": "INSERT SELECT",
        "vault_blobs": everything,
        "vault_segments": "DELETE INSERT SELECT",
        "segment_parts": "DELETE INSERT SELECT",
        "segment_removals": everything,
        "segment_stores": "INSERT SELECT",
        "vault_streams": everything,
        "vaults": everything,
        "wrapped_keys": everything,
        "key_rotations": everything,
        "sealed_keys": "DELETE INSERT SELECT",
        "tag_orders": everything,
        "locked_tags": everything,
        "pairings": everything,
    }
    assert [row[0] for row in columns] == [
        "segment_stores.marked_at",
        "tag_seals.seal",
        "user_sessions.guesses_at",
        "user_sessions.guesses_locked_until",
        "user_sessions.guesses_refused",
        "user_sessions.guesses_refused_until",
        "user_sessions.guesses_reserved",
        "user_sessions.guesses_unproven",
        "user_sessions.last_activity",
        "users.deleted_at",
        "users.deletion_at",
        "users.email",
        "users.first_name",
        "users.is_active",
        "users.last_login",
        "users.last_name",
        "users.opaque_credential_id",
        "users.password_hash",
    ]


# --- rows ---------------------------------------------------------------------------------------------------


def _as_user(connection: psycopg.Connection[Any], user: UUID | None) -> None:
    connection.execute("SELECT set_config('app.user_id', %s, true)", [str(user) if user else ""])


def _fill(connection: psycopg.Connection[Any], user: UUID, email: str) -> dict[str, UUID]:
    """Give a user one row in every table; inside a transaction of that user."""
    ids = {name: uuid4() for name in ("session", "tag", "vault", "key", "blob", "server_key", "reminder")}
    values: dict[str, Any] = {"user": user, "email": email, **ids}
    for statement in (
        "INSERT INTO server_keys (id, fingerprint) VALUES (%(server_key)s, decode(repeat('00', 32), 'hex'))",
        "INSERT INTO users (id, email, password_hash, phrase_salt, opaque_credential_id) VALUES (%(user)s, %(email)s,"
        " 'x', decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'))",
        "INSERT INTO unlock_budget (user_id, tokens) VALUES (%(user)s, 20)",
        "INSERT INTO user_settings (user_id) VALUES (%(user)s)",
        "INSERT INTO transfers (user_id, kind, lease_id, until) VALUES (%(user)s, 'export', %(tag)s, now())",
        "INSERT INTO consents (user_id, document, version) VALUES (%(user)s, 'terms', '1')",
        "INSERT INTO user_sessions (user_id, id, token_hash, expires_at) VALUES (%(user)s, %(session)s,"
        " decode(repeat('00', 32), 'hex'), now() + interval '1 day')",
        "INSERT INTO pairings (user_id, place, offering_session_id, expires_at) VALUES (%(user)s, 1, %(session)s,"
        " now())",
        "INSERT INTO secret_tags (user_id, id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,"
        " sealed_label, public_key, server_key_id) VALUES (%(user)s, %(tag)s, decode(repeat('00', 16), 'hex'),"
        " decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), decode(repeat('00', 160), 'hex'),"
        " 'hushtag-v1', 'name', decode(repeat('00', 316), 'hex'), decode(repeat('00', 32), 'hex'), %(server_key)s)",
        "INSERT INTO tag_seals (user_id, tag_id, seal) VALUES (%(user)s, %(tag)s, decode(repeat('00', 32), 'hex'))",
        "INSERT INTO tag_orders (user_id, tag_id, place, ticket) VALUES (%(user)s, %(tag)s, 1,"
        " decode(repeat('00', 16), 'hex'))",
        "INSERT INTO locked_tags (user_id, tag_id, phrase_hash, locked_until) VALUES (%(user)s, %(tag)s,"
        " decode(repeat('00', 16), 'hex'), now())",
        "INSERT INTO vaults (user_id, id, head) VALUES (%(user)s, %(vault)s, decode(repeat('00', 112), 'hex'))",
        "INSERT INTO wrapped_keys (user_id, id, tag_id, vault_id, wrapped_key) VALUES (%(user)s, %(key)s, %(tag)s,"
        " %(vault)s, decode(repeat('00', 40), 'hex'))",
        "INSERT INTO key_rotations (user_id, vault_id, key_version, proof) VALUES (%(user)s, %(vault)s, 2,"
        " decode(repeat('00', 32), 'hex'))",
        "INSERT INTO sealed_keys (user_id, tag_id, vault_id, key_version, sealed_key) VALUES (%(user)s, %(tag)s,"
        " %(vault)s, 2, decode(repeat('00', 80), 'hex'))",
        "INSERT INTO vault_blobs (user_id, id, vault_id, object_id, wrapped_key_id, iv, ciphertext, auth_tag,"
        " content_size, key_version, revision, row_digest) VALUES (%(user)s, %(blob)s, %(vault)s, %(blob)s, %(key)s,"
        " decode(repeat('00', 12), 'hex'), decode(repeat('00', 42), 'hex'), decode(repeat('00', 16), 'hex'), 10, 1, 1,"
        " decode(repeat('00', 32), 'hex'))",
        "INSERT INTO vault_streams (user_id, vault_id, id) VALUES (%(user)s, %(vault)s, %(blob)s)",
        "INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes) VALUES (%(user)s, %(vault)s,"
        " %(blob)s, %(key)s, 0, 'x')",
        "INSERT INTO vault_segments (user_id, vault_id, stream_id, id, seq, byte_count, digest) VALUES (%(user)s,"
        " %(vault)s, %(blob)s, %(key)s, 0, 1, decode(repeat('00', 32), 'hex'))",
        "INSERT INTO opaque_sessions (user_id, session_id, user_session_id, tag_id, session_state, expires_at) VALUES"
        " (%(user)s, repeat('0', 64), %(session)s, %(tag)s, 'unlocked', now() + interval '1 day')",
        "INSERT INTO journals (user_id, id, title, entry_date) VALUES (%(user)s, %(blob)s, 'title', now())",
        "INSERT INTO tags (user_id, id, name) VALUES (%(user)s, %(tag)s, 'name')",
        "INSERT INTO journal_tags (user_id, journal_id, tag_id) VALUES (%(user)s, %(blob)s, %(tag)s)",
        "INSERT INTO reminders (user_id, id, title, reminder_time, time_zone, series_id, series_start, occurrence_time)"
        " VALUES (%(user)s, %(reminder)s, 'title', now(), 'UTC', %(reminder)s, localtimestamp, localtimestamp)",
        "INSERT INTO reminder_deliveries (user_id, session_id, reminder_id, due_at, position) VALUES (%(user)s,"
        " %(session)s, %(reminder)s, now(), 1)",
        "INSERT INTO reminder_feeds (user_id, secret_hash) VALUES (%(user)s, decode(repeat('00', 32), 'hex'))",
    ):
        connection.execute(statement, values)
    return ids


@pytest.fixture
def two_users(database: Any) -> tuple[UUID, UUID]:
    """Two users with one row each in every table, written by the server's role."""
    users = uuid4(), uuid4()
    for number, user in enumerate(users):
        with psycopg.connect(database.app_url) as connection:
            _as_user(connection, user)
            _fill(connection, user, f"user{number}@example.org")
    return users


@pytest.mark.parametrize("table", TENANT)
def test_a_user_sees_and_changes_only_own_rows(database: Any, two_users: tuple[UUID, UUID], table: str) -> None:
    column = "id" if table == "users" else "user_id"
    for url in (database.app_url, database.owner_url):
        with psycopg.connect(url) as connection:
            for user in two_users:
                _as_user(connection, user)
                assert connection.execute(f"SELECT {column} FROM {table}").fetchall() == [(user,)]
            _as_user(connection, None)
            assert connection.execute(f"SELECT FROM {table}").rowcount == 0
            connection.rollback()
    with psycopg.connect(database.app_url) as connection:
        _as_user(connection, two_users[0])
        if table not in {"users", "user_settings", "unlock_budget", "consents", "journal_words", "reminder_deliveries"}:
            assert connection.execute(f"DELETE FROM {table} WHERE user_id = %s", [two_users[1]]).rowcount == 0
        if table not in {
            "journal_tags",
            "vault_segments",
            "segment_parts",
            "sealed_keys",
            "users",
            "user_sessions",
            "consents",
            "reminder_deliveries",
            "tag_seals",
        }:
            done = connection.execute(f"UPDATE {table} SET created_at = now() WHERE user_id = %s", [two_users[1]])
            assert done.rowcount == 0


def test_a_row_cannot_be_written_for_another_user(database: Any, two_users: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.app_url) as connection:
        _as_user(connection, two_users[0])
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute(
                "INSERT INTO vaults (user_id, head) VALUES (%s, decode(repeat('00', 112), 'hex'))", [two_users[1]]
            )


def test_the_user_does_not_outlast_the_transaction(database: Any, two_users: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.app_url) as connection:
        _as_user(connection, two_users[0])
        assert connection.execute("SELECT FROM vaults").rowcount == 1
        connection.commit()
        assert connection.execute("SELECT FROM vaults").rowcount == 0


def test_login_sees_one_account_and_changes_none(database: Any, two_users: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.app_url) as connection:
        connection.execute("SELECT set_config('app.login_email', 'user1@example.org', true)")
        assert connection.execute("SELECT id FROM users").fetchall() == [(two_users[1],)]
        assert connection.execute("UPDATE users SET password_hash = 'y'").rowcount == 0
        for table in TENANT:
            if table != "users":
                assert connection.execute(sql.SQL("SELECT FROM {}").format(sql.Identifier(table))).rowcount == 0


def test_login_finds_the_account_by_index(database: Any, two_users: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.app_url) as connection:
        connection.execute("SELECT set_config('app.login_email', 'user1@example.org', true)")
        connection.execute("SET LOCAL enable_seqscan = off")
        plan = connection.execute("EXPLAIN SELECT id FROM users WHERE lower(email) = 'user1@example.org'").fetchall()
    assert "users_email_key" in str(plan)
    assert "Seq Scan" not in str(plan)


def test_a_start_has_one_plan_which_looks_every_hash_up_alike(database: Any) -> None:
    with psycopg.connect(database.app_url) as connection:
        of_start = "SELECT proconfig FROM pg_proc WHERE proname = 'hushtag_advance_ceremony'"
        found = connection.execute(of_start).fetchall()
    assert found == [(["plan_cache_mode=force_generic_plan", "enable_memoize=off"],)]


@pytest.mark.parametrize("table", ["links", "checkpoints"])
def test_the_chain_of_the_audit_log_only_grows(database: Any, table: str) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        for statement in (f"UPDATE security_audit_{table} SET link = link", f"DELETE FROM security_audit_{table}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_audit_log_only_grows(database: Any) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO security_audit_logs (event_type, event_category, severity, event_message)"
            " VALUES ('a', 'b', 'c', 'd')"
        )
        for statement in ("UPDATE security_audit_logs SET severity = 'x'", "DELETE FROM security_audit_logs"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("TRUNCATE security_audit_logs")


def test_a_tag_that_objects_depend_on_cannot_be_deleted(database: Any, two_users: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.app_url) as connection:
        _as_user(connection, two_users[0])
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="vault_blobs_wrapped_key_fkey"):
            connection.execute("DELETE FROM secret_tags WHERE user_id = %s", [two_users[0]])


def test_deleting_a_tag_keeps_objects_a_sibling_opens(database: Any, two_users: tuple[UUID, UUID]) -> None:
    user = two_users[0]
    with psycopg.connect(database.app_url) as connection:
        _as_user(connection, user)
        connection.execute(
            "INSERT INTO secret_tags SELECT user_id, gen_random_uuid(), decode(repeat('01', 16), 'hex'), salt,"
            " verifier_kv, opaque_envelope, suite, 'sibling', color_code, sealed_label, public_key, server_key_id"
            " FROM secret_tags"
        )
        connection.execute(
            "INSERT INTO wrapped_keys (user_id, tag_id, vault_id, wrapped_key) SELECT t.user_id, t.id, v.id,"
            " decode(repeat('01', 40), 'hex') FROM secret_tags t, vaults v WHERE t.tag_name = 'sibling'"
        )
        connection.execute(
            "UPDATE vault_blobs SET wrapped_key_id = w.id FROM wrapped_keys w JOIN secret_tags t ON t.id = w.tag_id"
            " WHERE t.tag_name = 'sibling'"
        )
        assert connection.execute("DELETE FROM secret_tags WHERE tag_name = 'name'").rowcount == 1
        assert connection.execute("SELECT FROM vault_blobs").rowcount == 1
        assert connection.execute("SELECT FROM wrapped_keys").rowcount == 1
        assert connection.execute("SELECT FROM opaque_sessions").rowcount == 0


def test_deleting_a_user_deletes_everything_of_that_user_alone(database: Any, two_users: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("DELETE FROM users WHERE id = %s", [two_users[0]])
        for table in TENANT:
            column = "id" if table == "users" else "user_id"
            assert connection.execute(f"SELECT {column} FROM {table}").fetchall() == [(two_users[1],)], table


def test_a_row_cannot_refer_to_another_users_row(database: Any, two_users: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.admin_url) as connection, pytest.raises(psycopg.errors.ForeignKeyViolation):
        connection.execute(
            "INSERT INTO wrapped_keys (user_id, tag_id, vault_id, wrapped_key) SELECT %s, t.id, v.id,"
            " decode(repeat('00', 40), 'hex') FROM secret_tags t, vaults v WHERE t.user_id = %s AND v.user_id = %s",
            [two_users[0], two_users[1], two_users[0]],
        )


@pytest.mark.parametrize(
    ("table", "change", "constraint"),
    [
        ("vaults", "head = head || '\\x00'", "vaults_head_length"),
        ("vaults", "generation = 0", "vaults_generation_range"),
        ("secret_tags", "phrase_hash = '\\x00'", "secret_tags_phrase_hash_length"),
        ("secret_tags", "salt = '\\x00'", "secret_tags_salt_length"),
        ("secret_tags", "verifier_kv = '\\x00'", "secret_tags_verifier_kv_length"),
        ("secret_tags", "opaque_envelope = '\\x00'", "secret_tags_opaque_envelope_length"),
        ("secret_tags", "sealed_label = '\\x00'", "secret_tags_sealed_label_length"),
        ("secret_tags", "public_key = '\\x00'", "secret_tags_public_key_length"),
        ("secret_tags", "color_code = 'red'", "secret_tags_color_code_form"),
        ("wrapped_keys", "wrapped_key = '\\x00'", "wrapped_keys_wrapped_key_length"),
        ("vault_blobs", "iv = '\\x00'", "vault_blobs_iv_length"),
        ("vault_blobs", "auth_tag = '\\x00'", "vault_blobs_auth_tag_length"),
        ("vault_blobs", "row_digest = '\\x00'", "vault_blobs_row_digest_length"),
        ("vault_blobs", "content_size = 11", "vault_blobs_content_size_exact"),
        ("vault_blobs", "content_type = 'image/png'", "vault_blobs_content_type_opaque"),
        ("vault_blobs", "revision = 0", "vault_blobs_revision_range"),
        ("vault_streams", "state = 'open'", "vault_streams_state_known"),
        ("vault_streams", "state = 'committed'", "vault_streams_object_named"),
        ("vault_segments", "seq = 65536", "vault_segments_seq_range"),
        ("vault_segments", "byte_count = 0", "vault_segments_byte_count_range"),
        ("vault_segments", "digest = '\\x00'", "vault_segments_digest_length"),
        ("segment_parts", "bytes = ''", "segment_parts_bytes_length"),
        ("opaque_sessions", "session_state = 'open'", "opaque_sessions_state_known"),
        ("opaque_sessions", "tag_id = NULL", "opaque_sessions_unlocked_names_tag"),
        ("opaque_sessions", "session_id = 'x'", "opaque_sessions_session_id_hex"),
        ("unlock_budget", "tokens = -1", "unlock_budget_tokens_range"),
        ("users", "email = 'nobody'", "users_email_format"),
        ("users", "phrase_salt = '\\x00'", "users_phrase_salt_length"),
        ("users", "opaque_credential_id = '\\x00'", "users_opaque_credential_id_length"),
        ("user_sessions", "token_hash = '\\x00'", "user_sessions_token_hash_length"),
        ("journals", "title = ''", "journals_title_length"),
        ("journals", "content = repeat('x', 100001)", "journals_content_length"),
        ("journals", "mood_rating = 11", "journals_mood_rating_range"),
        ("journals", "version = 0", "journals_version_range"),
        ("tags", "name = ''", "tags_name_length"),
        ("tags", "color = '#ABCDEF'", "tags_color_form"),
    ],
)
def test_lengths_and_ranges_are_checked(
    database: Any, two_users: tuple[UUID, UUID], table: str, change: str, constraint: str
) -> None:
    with psycopg.connect(database.admin_url) as connection, pytest.raises(psycopg.errors.CheckViolation) as caught:
        connection.execute(f"UPDATE {table} SET {change}")
    assert caught.value.diag.constraint_name == constraint


def test_timestamps_are_kept_by_the_database(database: Any, two_users: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.app_url) as connection:
        _as_user(connection, two_users[0])
        before = connection.execute("SELECT created_at, updated_at FROM vaults").fetchone()
        connection.execute("UPDATE vaults SET generation = 2, created_at = '2000-01-01', updated_at = '2000-01-01'")
        after = connection.execute("SELECT created_at, updated_at FROM vaults").fetchone()
    assert before is not None
    assert after is not None
    assert after[0] == before[0]
    assert after[1] > before[1]


def test_emails_are_unique_whatever_their_case(database: Any, two_users: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.admin_url) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("UPDATE users SET email = 'USER0@example.org' WHERE email = 'user1@example.org'")
