"""Rows for the measurement of growth, made by SQL: people who exist, and objects that fill a vault.

They are made without triggers and checks of references, which would take longer than everything that is measured, and
in the order of their keys, which are random all the same: an index comes out as it would have in years.
"""

from typing import Final
from uuid import UUID

import psycopg

__all__ = ["fill_empty_vaults", "fill_users", "fill_vault", "object_ids"]

_QUICKLY: Final = (
    "SET session_replication_role = replica",
    "SET synchronous_commit = off",
    "SET maintenance_work_mem = '256MB'",
    "SET work_mem = '256MB'",
)
_SOMEBODY: Final = """
    CREATE TEMPORARY TABLE somebody AS
    SELECT gen_random_uuid() AS id, gen_random_uuid() AS tag, gen_random_uuid() AS vault
    FROM generate_series(1, %(count)s) ORDER BY 1
"""
_H: Final = "decode(md5({0}::text), 'hex')"
_TABLES: Final = (
    "INSERT INTO users (id, email, password_hash, phrase_salt, opaque_credential_id) SELECT id,"
    f" id || '@example.org', 'none', {_H.format('id')}, {_H.format('id')} || {_H.format('tag')} FROM somebody",
    "INSERT INTO user_sessions (user_id, token_hash, expires_at) SELECT id,"
    f" {_H.format('id')} || {_H.format('tag')}, now() + interval '1 day' FROM somebody",
    "INSERT INTO secret_tags (user_id, id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,"
    " sealed_label, public_key, server_key_id)"
    f" SELECT id, tag, {_H.format('tag')}, {_H.format('id')}, {_H.format('id')} || {_H.format('tag')},"
    " decode(repeat('5a', 160), 'hex'), 'hushtag-v1', tag::text, decode(repeat('5a', 316), 'hex'),"
    f" {_H.format('tag')} || {_H.format('id')}, k.key FROM somebody, (SELECT id AS key FROM server_keys LIMIT 1) k",
    "INSERT INTO vaults (user_id, id, head) SELECT id, vault, decode(repeat('5a', 112), 'hex') FROM somebody",
    "INSERT INTO wrapped_keys (user_id, tag_id, vault_id, wrapped_key)"
    " SELECT id, tag, vault, decode(repeat('5a', 40), 'hex') FROM somebody",
    "INSERT INTO unlock_budget (user_id, tokens) SELECT id, 20 FROM somebody",
)
_ROWS: Final = f"""
    INSERT INTO vault_blobs (user_id, vault_id, object_id, wrapped_key_id, iv, ciphertext, auth_tag, content_size,
                             key_version, revision, row_digest)
    SELECT k.user_id, k.vault_id, o.id, k.id, decode(repeat('5a', 12), 'hex'), decode(repeat('5a', 288), 'hex'),
           decode(repeat('5a', 16), 'hex'), 256, 1, 1, {_H.format("o.id")} || {_H.format("o.id")}
"""
_OBJECTS: Final = f"""{_ROWS}
    FROM wrapped_keys k, (SELECT gen_random_uuid() AS id FROM generate_series(1, %(count)s) ORDER BY 1) o
    WHERE k.user_id = %(user)s AND k.vault_id = %(vault)s
"""
_FIRST_OBJECTS: Final = f"""{_ROWS}
    FROM wrapped_keys k CROSS JOIN LATERAL (SELECT gen_random_uuid() AS id WHERE k.id IS NOT NULL) o
    WHERE NOT EXISTS (SELECT FROM vault_blobs b WHERE b.user_id = k.user_id)
"""
_COUNT: Final = "UPDATE vaults SET object_count = object_count + %(count)s WHERE user_id = %(user)s AND id = %(vault)s"


def fill_users(url: str, count: int) -> None:
    """Make so many people, each with a session, a tag, a vault, its key and a budget (`url`: the superuser's)."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in _QUICKLY:
            connection.execute(statement)
        connection.execute(_SOMEBODY.replace("%(count)s", str(count)).encode())
        for statement in _TABLES:
            connection.execute(statement.encode())
        connection.execute("DROP TABLE somebody")
        connection.execute("VACUUM ANALYZE")  # what autovacuum does by itself before long


def fill_vault(url: str, user_id: UUID, vault_id: UUID, count: int) -> None:
    """Make so many objects of 256 bytes in a vault."""
    values = {"user": user_id, "vault": vault_id, "count": count}
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in _QUICKLY:
            connection.execute(statement)
        connection.execute(_OBJECTS.encode(), values)
        connection.execute(_COUNT, values)
        connection.execute("VACUUM ANALYZE vault_blobs")


def fill_empty_vaults(url: str) -> None:
    """Make an object in the vault of everybody who has none: the planner then knows of many small vaults."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in _QUICKLY:
            connection.execute(statement)
        connection.execute(_FIRST_OBJECTS.encode())
        connection.execute("UPDATE vaults SET object_count = 1 WHERE object_count = 0")
        connection.execute("VACUUM ANALYZE")


def object_ids(url: str, user_id: UUID, vault_id: UUID) -> list[UUID]:
    """Return the ids of a vault's objects in order."""
    with psycopg.connect(url) as connection:
        statement = "SELECT object_id FROM vault_blobs WHERE user_id = %s AND vault_id = %s ORDER BY object_id"
        return [row[0] for row in connection.execute(statement, [user_id, vault_id])]
