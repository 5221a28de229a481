"""The schema rules, each as a query of the catalogue that names what breaks it.

They ask the catalogue, so a table that is added later is judged as well. Where a table deviates for a reason, the
reason stands here; an exception that no table needs any more is itself reported.
"""

from collections.abc import Callable
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]

# Tables without the usual pair of timestamps, and what they have instead.
TIMESTAMPS_APART = {
    "audit_logs": "rows never change: created_at alone, which is its partition key",
    "login_attempts": "refilled_at is when it was made or changed; a full bucket is deleted",
    "security_audit_checkpoints": "rows never change: signed_at alone, which is signed",
    "security_audit_ends": "rows never change: created_at alone",
    "security_audit_links": "rows never change, and nothing stands in them that is not under their link",
    "security_audit_unsealed": "a queue: rows never change",
    "security_audit_logs": "rows never change: timestamp alone, as the reference schema names it",
    "server_keys": "counted_at and retired_at are the two ways in which a row changes",
}
# Columns of primary keys that are not UUIDs.
KEYS_APART = {
    "audit_logs.created_at": "a partitioned table's key must hold its partition key",
    "login_attempts.key_hash": "a keyed hash: the table must not know whose it is",
    "login_attempts.scope": "tells the two kinds of hashes apart",
    "opaque_sessions.session_id": "256 random bits in hex, from which tokens are derived",
    "reminder_deliveries.due_at": "a reminder that is put off is delivered again",
    "seal_copies.id": "there is one row",
    "security_audit_links.seq": "the place in the chain",
    "tag_orders.place": "one of the four places every tag has",
    "segment_parts.part": "the place in its segment",
    "transfers.kind": "one lease of each kind for a user",
}
# Times of the wall clock, whose zone stands beside them.
WALL_CLOCK = {
    "reminders.occurrence_time": "in reminders.time_zone: a repetition keeps its local time over changes of the offset",
    "reminders.series_start": "in reminders.time_zone, as occurrence_time",
}
# Tables of a user whose primary key does not begin with user_id.
UNKEYED = {
    "audit_logs": "rows of unknown emails have no user",
    "users": "its id is the user",
}
# Values whose length or range nothing limits.
UNLIMITED = {
    "security_audit_logs.event_data": "written by the server alone",
    "security_audit_logs.processing_time_ms": "measured by the server",
}
# Tables of a user whose changes are not in the audit trail.
UNAUDITED = {
    "audit_logs": "is the trail",
    "journal_words": "made of journals by a trigger, whose changes are",
    "opaque_sessions": "vault side: a plain row would tell that it is used",
    "reminder_deliveries": "what a session was told; written by the server on its own",
    "secret_tags": "vault side",
    "tag_seals": "vault side",
    "unlock_budget": "vault side",
    "user_sessions": "the application writes LOGIN and LOGOUT",
    "vault_blobs": "vault side",
    "vault_segments": "vault side",
    "vault_streams": "vault side",
    "segment_parts": "vault side",
    "vaults": "vault side",
    "wrapped_keys": "vault side",
    "key_rotations": "vault side",
    "sealed_keys": "vault side",
    "tag_orders": "vault side",
    "locked_tags": "vault side",
    "pairings": "messages that nobody here can read, gone after five minutes",
}
PUBLIC_FUNCTIONS = {
    "hushtag_current_user": "reads the caller's own setting",
    "hushtag_touch": "a trigger function",
}
# What names a thing for its user must be unique for that user.
NOT_UNIQUE = {
    "opaque_sessions.phrase_hash": "one tag may be unlocked in several sessions",
    "locked_tags.phrase_hash": "a phrase may be enrolled anew while it is locked",
    "tags.name": "its folded form is: names are unique whatever their case",
}
NAMES = ("name", "tag_name", "email", "token_hash", "phrase_hash")

_OURS = """
    SELECT c.oid, c.relname::text AS name, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relname NOT LIKE '%yoyo%'
"""
_COLUMNS = f"""
    SELECT t.oid, t.name, t.relrowsecurity, a.attname::text AS col, a.attnum, a.atttypid::regtype::text AS type,
        a.atttypmod, a.attnotnull, a.atthasdef, a.attgenerated
    FROM ({_OURS}) t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
"""
_OWNED = f"""SELECT t.* FROM ({_OURS}) t WHERE t.name = 'users' OR EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attname = 'user_id' AND NOT a.attisdropped)"""


def _names(connection: Connection, query: str) -> set[str]:
    return {row[0] for row in connection.execute(query)}


def _apart(found: set[str], exceptions: dict[str, str]) -> list[str]:
    return sorted(found - set(exceptions)) + [f"{name}: no exception is needed" for name in set(exceptions) - found]


def foreign_keys_are_indexed(connection: Connection) -> list[str]:
    return sorted(
        _names(
            connection,
            "SELECT conrelid::regclass || '.' || conname FROM pg_constraint c WHERE contype = 'f' AND NOT EXISTS"
            " (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL"
            " AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey)",
        )
    )


def foreign_keys_say_what_deletion_does_and_stay_within_a_user(connection: Connection) -> list[str]:
    # 'r' and 'c' aside, NO ACTION must be meant: only towards what outlives users, or where a comment argues it.
    meant = {"secret_tags_server_key_fkey", "vault_blobs_wrapped_key_fkey", "vault_blobs_stream_fkey"}
    silent = _names(
        connection,
        "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND confdeltype = 'a' AND conparentid = 0",
    )
    abroad = _names(
        connection,
        f"SELECT c.conname::text FROM pg_constraint c JOIN ({_OWNED}) o ON o.oid = c.conrelid"
        f" JOIN ({_OWNED}) r ON r.oid = c.confrelid JOIN pg_attribute a ON a.attrelid = c.conrelid"
        " AND a.attname = 'user_id' WHERE c.contype = 'f' AND NOT c.conkey @> ARRAY[a.attnum]",
    )
    return sorted(silent - meant) + sorted(abroad)


def timestamps_are_kept_by_the_database(connection: Connection) -> list[str]:
    whole = _names(
        connection,
        f"SELECT name FROM ({_COLUMNS}) x WHERE col IN ('created_at', 'updated_at') AND attnotnull AND atthasdef"
        " AND type = 'timestamp with time zone' AND EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = x.oid"
        " AND g.tgfoid = 'hushtag_touch'::regproc AND g.tgenabled = 'O' AND g.tgtype = 19)"  # 19: row, before, update
        " GROUP BY 1 HAVING count(*) = 2",
    )
    return _apart(_names(connection, f"SELECT name FROM ({_OURS}) t") - whole, TIMESTAMPS_APART)


def times_have_a_zone(connection: Connection) -> list[str]:
    found = _names(
        connection,
        f"SELECT name || '.' || col FROM ({_COLUMNS}) x WHERE type IN ('timestamp without time zone',"
        " 'time without time zone', 'time with time zone')",
    )
    return _apart(found, WALL_CLOCK)


def primary_keys_are_uuids(connection: Connection) -> list[str]:
    keyless = _names(
        connection,
        f"SELECT name || ' has no primary key' FROM ({_OURS}) t WHERE NOT EXISTS (SELECT FROM pg_constraint c"
        " WHERE c.conrelid = t.oid AND c.contype = 'p')",
    )
    other = _names(
        connection,
        f"SELECT name || '.' || col FROM ({_COLUMNS}) x JOIN pg_constraint c ON c.conrelid = x.oid AND c.contype = 'p'"
        " AND x.attnum = ANY (c.conkey) WHERE type <> 'uuid'",
    )
    return sorted(keyless) + _apart(other, KEYS_APART)


def tables_of_a_user_are_keyed_by_the_user(connection: Connection) -> list[str]:
    keyed = _names(
        connection,
        f"SELECT o.name FROM ({_OWNED}) o JOIN pg_constraint c ON c.conrelid = o.oid AND c.contype = 'p'"
        " JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = c.conkey[1] WHERE a.attname = 'user_id'",
    )
    return _apart(_names(connection, f"SELECT name FROM ({_OWNED}) o") - keyed, UNKEYED)


def tables_of_a_user_are_guarded(connection: Connection) -> list[str]:
    return sorted(
        _names(
            connection,
            f"SELECT name FROM ({_OWNED}) o WHERE NOT (relrowsecurity AND relforcerowsecurity AND EXISTS (SELECT FROM"
            " pg_policy p WHERE p.polrelid = o.oid AND pg_get_expr(p.polqual, p.polrelid) ~ 'hushtag_current_user'))",
        )
    )


def maintenance_sees_every_table(connection: Connection) -> list[str]:
    """A later migration that makes a table calls hushtag_admit_maintainer() at its end."""
    return sorted(
        _names(
            connection,
            "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace"
            " AND c.relkind IN ('r', 'p') AND NOT (has_table_privilege('hushtag_maintainer', c.oid, 'SELECT')"
            " AND (NOT c.relrowsecurity OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid"
            " AND p.polname = c.relname || '_maintained')))",
        )
    )


def values_have_limits(connection: Connection) -> list[str]:
    found = _names(
        connection,
        # What the database computes from other columns is as limited as they are.
        f"SELECT name || '.' || col FROM ({_COLUMNS}) x WHERE attgenerated = '' AND"
        " NOT (type = 'character varying' AND atttypmod > 0)"
        " AND type IN ('text', 'character varying', 'bytea', 'smallint', 'integer', 'bigint', 'double precision',"
        " 'numeric', 'real') AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = x.oid AND c.contype = 'c'"
        " AND c.conkey @> ARRAY[x.attnum])",
    )
    return _apart(found, UNLIMITED)


def names_are_unique(connection: Connection) -> list[str]:
    return _apart(
        _names(
            connection,
            f"SELECT name || '.' || col FROM ({_COLUMNS}) x WHERE col = ANY (ARRAY[{', '.join(map(repr, NAMES))}])"
            " AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = x.oid AND i.indisunique"
            " AND pg_get_indexdef(i.indexrelid) ~ ('\\m' || x.col || '\\M'))",
        ),
        NOT_UNIQUE,
    )


def unique_keys_of_a_user_include_the_user(connection: Connection) -> list[str]:
    return sorted(
        _names(
            connection,
            f"SELECT i.indexrelid::regclass::text FROM ({_OWNED}) o JOIN pg_index i ON i.indrelid = o.oid"
            " WHERE i.indisunique AND o.name NOT IN ('users', 'audit_logs')"
            " AND pg_get_indexdef(i.indexrelid) !~ '\\muser_id\\M'",
        )
    )


_ENDINGS = {"p": "_pkey$", "u": "_key$", "f": "_fkey$"}


def names_follow_the_house(connection: Connection) -> list[str]:
    """Everything that belongs to a table begins with its name; its kind ends it."""
    wrong = []
    for kind, table, name in connection.execute(
        f"SELECT contype::text, t.name, conname::text FROM pg_constraint c JOIN ({_OURS}) t ON t.oid = c.conrelid"
        " WHERE contype IN ('p', 'u', 'f', 'c')"
        f" UNION ALL SELECT CASE WHEN i.indisunique THEN 'u' ELSE 'i' END, t.name, c.relname::text FROM pg_index i"
        f" JOIN pg_class c ON c.oid = i.indexrelid JOIN ({_OURS}) t ON t.oid = i.indrelid WHERE NOT EXISTS"
        " (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)"
        f" UNION ALL SELECT 'g', t.name, tgname::text FROM pg_trigger g JOIN ({_OURS}) t ON t.oid = g.tgrelid"
        " WHERE NOT tgisinternal"
        f" UNION ALL SELECT 'y', t.name, polname::text FROM pg_policy y JOIN ({_OURS}) t ON t.oid = y.polrelid"
    ):
        ending = _ENDINGS.get(kind, "_idx$" if kind == "i" else "")
        if not name.startswith(f"{table}_") or (ending and not name.endswith(ending[:-1])):
            wrong.append(f"{table}: {name}")
    return sorted(wrong)


def changes_of_plain_tables_are_audited(connection: Connection) -> list[str]:
    found = _names(
        connection,
        # tgtype: 1 each row (or the statement), 4 after insert, 8 delete, 16 update
        f"SELECT name FROM ({_OWNED}) o WHERE (SELECT coalesce(bit_or(g.tgtype & 28), 0) FROM pg_trigger g"
        " WHERE g.tgrelid = o.oid AND (g.tgfoid = 'hushtag_audit'::regproc AND g.tgtype & 3 = 1"
        " OR g.tgfoid = 'hushtag_audit_created'::regproc AND g.tgtype = 4)) <> 28",
    )
    return _apart(found, UNAUDITED)


def functions_are_not_for_everybody(connection: Connection) -> list[str]:
    found = _names(
        connection,
        "SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
        " AND has_function_privilege('public', p.oid, 'EXECUTE')",
    )
    return _apart(found, PUBLIC_FUNCTIONS)


def partitions_are_reached_through_their_table_alone(connection: Connection) -> list[str]:
    """Row-level security is the parent's: the server's role must have no right to a partition itself."""
    return sorted(
        _names(
            connection,
            "SELECT c.relname::text FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'"
            " AND has_table_privilege('hushtag_server', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')",
        )
    )


RULES: list[Callable[[Connection], list[str]]] = [
    foreign_keys_are_indexed,
    foreign_keys_say_what_deletion_does_and_stay_within_a_user,
    timestamps_are_kept_by_the_database,
    times_have_a_zone,
    primary_keys_are_uuids,
    tables_of_a_user_are_keyed_by_the_user,
    tables_of_a_user_are_guarded,
    maintenance_sees_every_table,
    values_have_limits,
    names_are_unique,
    unique_keys_of_a_user_include_the_user,
    names_follow_the_house,
    changes_of_plain_tables_are_audited,
    functions_are_not_for_everybody,
    partitions_are_reached_through_their_table_alone,
]
