"""Every table obeys the schema rules, and every rule notices what breaks it."""

import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from hushtag_server.migration_names import MIGRATIONS
from tests.schema import rules

GOOD = """
    CREATE TABLE shelves (
        user_id uuid NOT NULL,
        id uuid NOT NULL DEFAULT gen_random_uuid(),
        name varchar(100) NOT NULL,
        place integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT shelves_pkey PRIMARY KEY (user_id, id),
        CONSTRAINT shelves_name_key UNIQUE (user_id, name),
        CONSTRAINT shelves_place_range CHECK (place >= 0)
    );
    ALTER TABLE shelves ADD CONSTRAINT shelves_user_fkey
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
    CREATE TRIGGER shelves_touch BEFORE UPDATE ON shelves FOR EACH ROW EXECUTE FUNCTION hushtag_touch();
    CREATE TRIGGER shelves_audit AFTER INSERT OR UPDATE OR DELETE ON shelves
        FOR EACH ROW EXECUTE FUNCTION hushtag_audit();
    ALTER TABLE shelves ENABLE ROW LEVEL SECURITY;
    ALTER TABLE shelves FORCE ROW LEVEL SECURITY;
    CREATE POLICY shelves_own ON shelves USING (user_id = hushtag_current_user());
    SELECT hushtag_admit_maintainer();
"""
BREAKS = [
    (rules.foreign_keys_are_indexed, "ALTER TABLE shelves DROP CONSTRAINT shelves_name_key, DROP CONSTRAINT "
     "shelves_pkey"),
    (
        rules.foreign_keys_say_what_deletion_does_and_stay_within_a_user,
        "ALTER TABLE shelves ADD CONSTRAINT shelves_again_fkey FOREIGN KEY (user_id) REFERENCES users (id)",
    ),
    (
        rules.foreign_keys_say_what_deletion_does_and_stay_within_a_user,
        "ALTER TABLE shelves ADD CONSTRAINT shelves_id_fkey FOREIGN KEY (id) REFERENCES users (id) ON DELETE CASCADE",
    ),
    (rules.timestamps_are_kept_by_the_database, "DROP TRIGGER shelves_touch ON shelves"),
    (rules.timestamps_are_kept_by_the_database, "ALTER TABLE shelves ALTER updated_at DROP NOT NULL"),
    (rules.timestamps_are_kept_by_the_database, "ALTER TABLE server_keys ADD updated_at timestamptz; "
     "ALTER TABLE shelves DROP COLUMN created_at"),
    (rules.times_have_a_zone, "ALTER TABLE shelves ADD due timestamp"),
    (rules.primary_keys_are_uuids, "ALTER TABLE shelves DROP CONSTRAINT shelves_pkey"),
    (rules.primary_keys_are_uuids, "ALTER TABLE shelves ALTER id DROP DEFAULT, ALTER id TYPE text USING id::text"),
    (
        rules.tables_of_a_user_are_keyed_by_the_user,
        "ALTER TABLE shelves DROP CONSTRAINT shelves_pkey, ADD CONSTRAINT shelves_pkey PRIMARY KEY (id, user_id)",
    ),
    (rules.tables_of_a_user_are_guarded, "ALTER TABLE shelves NO FORCE ROW LEVEL SECURITY"),
    (rules.tables_of_a_user_are_guarded, "ALTER TABLE shelves DISABLE ROW LEVEL SECURITY"),
    (rules.tables_of_a_user_are_guarded, "DROP POLICY shelves_own ON shelves"),
    (rules.maintenance_sees_every_table, "DROP POLICY shelves_maintained ON shelves"),
    (rules.maintenance_sees_every_table, "REVOKE SELECT ON shelves FROM hushtag_maintainer"),
    (rules.values_have_limits, "ALTER TABLE shelves DROP CONSTRAINT shelves_place_range"),
    (rules.values_have_limits, "ALTER TABLE shelves ALTER name TYPE text"),
    (rules.names_are_unique, "ALTER TABLE shelves DROP CONSTRAINT shelves_name_key"),
    (rules.unique_keys_of_a_user_include_the_user, "CREATE UNIQUE INDEX shelves_place_key ON shelves (place)"),
    (rules.names_follow_the_house, "CREATE INDEX by_place ON shelves (place)"),
    (rules.names_follow_the_house, "ALTER TABLE shelves RENAME CONSTRAINT shelves_name_key TO shelves_name_unique"),
    (rules.changes_of_plain_tables_are_audited, "DROP TRIGGER shelves_audit ON shelves"),
    (rules.functions_are_not_for_everybody, "CREATE FUNCTION shelf() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    (
        rules.partitions_are_reached_through_their_table_alone,
        "GRANT SELECT ON audit_logs_default TO hushtag_server",
    ),
]  # fmt: skip


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_schema_obeys(catalogue: psycopg.Connection[Any], rule: Callable[..., list[str]]) -> None:
    assert rule(catalogue) == []


def test_a_table_after_the_house_obeys(catalogue: psycopg.Connection[Any]) -> None:
    catalogue.execute(GOOD)
    assert {rule.__name__: rule(catalogue) for rule in rules.RULES} == {rule.__name__: [] for rule in rules.RULES}


@pytest.mark.parametrize(("rule", "change"), BREAKS, ids=[f"{rule.__name__}-{n}" for n, (rule, _) in enumerate(BREAKS)])
def test_the_rule_notices(catalogue: psycopg.Connection[Any], rule: Callable[..., list[str]], change: str) -> None:
    catalogue.execute(GOOD)
    catalogue.execute(change)
    assert rule(catalogue) != []


def test_every_rule_is_shown_to_notice_something() -> None:
    assert {rule for rule, _ in BREAKS} == set(rules.RULES)


# What PostgreSQL 14 refuses or does not know, though later versions take it.
TOO_NEW = re.compile(
    r"NULLS\s+NOT\s+DISTINCT|\bMERGE\s+INTO\b|security_invoker|ON\s+DELETE\s+SET\s+(?:NULL|DEFAULT)\s*\(|"
    r"\bANY_VALUE\s*\(|\bJSON_TABLE\s*\(|\bJSON_(?:ARRAY|OBJECT)(?:AGG)?\s*\(|\bIS\s+JSON\b|regexp_(?:count|instr|like|substr)|"
    r"WITHOUT\s+OVERLAPS|\bVIRTUAL\b|uuidv7|WITH\s+(?:INHERIT|SET|ADMIN)\s+(?:TRUE|FALSE)|STORAGE\s+\w+\s+(?:NOT|NULL|,)|"
    r"\bRETURNING\s+(?:OLD|NEW)\.|\brandom\s*\(\s*\d|\bpg_(?:maintain|create_subscription)\b|\bto_bin\s*\(|\bNOT\s+ENFORCED\b",
    re.IGNORECASE,
)


def _statements(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


def test_migrations_hold_nothing_that_postgresql_14_refuses() -> None:
    found = {path.name: TOO_NEW.findall(_statements(path.read_text("utf-8"))) for path in MIGRATIONS.glob("*.sql")}
    assert found
    assert {name: matches for name, matches in found.items() if matches} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE UNIQUE INDEX x ON t (a) NULLS NOT DISTINCT",
        "CREATE VIEW v WITH (security_invoker = true) AS SELECT 1",
        "GRANT a TO b WITH INHERIT FALSE",
        "FOREIGN KEY (a, b) REFERENCES t ON DELETE SET NULL (b)",
    ],
)
def test_what_is_too_new_is_noticed(statement: str) -> None:
    assert TOO_NEW.search(statement)


def test_indexes_compute_with_immutable_functions_alone(catalogue: psycopg.Connection[Any]) -> None:
    # PostgreSQL asks when an index is made; a function may be replaced by a less faithful one afterwards.
    found = catalogue.execute(
        "SELECT i.indexrelid::regclass::text, p.proname FROM pg_index i JOIN pg_depend d ON d.objid = i.indexrelid"
        " AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_proc'::regclass"
        " JOIN pg_proc p ON p.oid = d.refobjid WHERE p.provolatile <> 'i'"
    ).fetchall()
    assert found == []
