"""SQL of an export inside an open vault: rows as they are stored, and what the one tag keeps to open them.

What OPAQUE keeps of a tag (phrase hash, public key, envelope, masking key) is never read here.
"""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from psycopg.rows import class_row

from hushtag_server.database import Connection

__all__ = ["KeyRow", "StoredRow", "TagRow", "VaultRow", "find_tag", "list_keys", "list_rows", "list_vaults"]


class TagRow(NamedTuple):
    """What the export tells of the tag that was unlocked."""

    suite: str
    salt: bytes
    sealed_label: bytes


class VaultRow(NamedTuple):
    """A vault as it stands."""

    id: UUID
    generation: int
    key_version: int
    head: bytes
    object_count: int
    ring: bytes | None


class KeyRow(NamedTuple):
    """A wrapped data key."""

    id: UUID
    wrapped_key: bytes
    key_purpose: str
    key_version: int
    created_at: datetime


class StoredRow(NamedTuple):
    """An object's row: `body` is iv(12) || ciphertext || auth_tag(16)."""

    object_id: UUID
    revision: int
    key_version: int
    content_size: int
    digest: bytes
    created_at: datetime
    updated_at: datetime
    stream_id: UUID | None
    body: bytes


_TAG: Final = "SELECT suite, salt, sealed_label FROM secret_tags WHERE user_id = %(user_id)s AND id = %(tag_id)s"
_VAULTS: Final = """
    SELECT v.id, v.generation, v.key_version, v.head, v.object_count, v.ring FROM vaults v
    WHERE v.user_id = %(user_id)s AND EXISTS (
        SELECT FROM wrapped_keys k WHERE k.user_id = v.user_id AND k.tag_id = %(tag_id)s AND k.vault_id = v.id)
    ORDER BY v.id
"""
_KEYS: Final = """
    SELECT id, wrapped_key, key_purpose, key_version, created_at FROM wrapped_keys
    WHERE user_id = %(user_id)s AND tag_id = %(tag_id)s AND vault_id = %(vault_id)s ORDER BY key_version, id
"""
_ROWS: Final = """
    WITH near AS (
        SELECT b.object_id, b.content_size, sum(b.content_size) OVER (ORDER BY b.object_id) AS upto
        FROM (SELECT object_id, content_size FROM vault_blobs
              WHERE user_id = %(user_id)s AND vault_id = %(vault_id)s
                AND (%(after)s::uuid IS NULL OR object_id > %(after)s)
                AND EXISTS (SELECT FROM wrapped_keys k WHERE k.user_id = %(user_id)s AND k.tag_id = %(tag_id)s
                            AND k.vault_id = %(vault_id)s)
              ORDER BY object_id LIMIT %(rows)s) b
    )
    SELECT b.object_id, b.revision, b.key_version, b.content_size, b.row_digest AS digest, b.created_at, b.updated_at,
        b.stream_id, b.iv || b.ciphertext || b.auth_tag AS body
    FROM near n JOIN vault_blobs b
        ON b.user_id = %(user_id)s AND b.vault_id = %(vault_id)s AND b.object_id = n.object_id
    WHERE n.upto - n.content_size < %(most)s
    ORDER BY b.object_id
"""


async def find_tag(connection: Connection, user_id: UUID, tag_id: UUID) -> TagRow | None:
    """Return what a client keeps of a tag besides its phrase."""
    async with connection.cursor(row_factory=class_row(TagRow)) as cursor:
        await cursor.execute(_TAG, {"user_id": user_id, "tag_id": tag_id})
        return await cursor.fetchone()


async def list_vaults(connection: Connection, user_id: UUID, tag_id: UUID) -> list[VaultRow]:
    """Return the vaults that the tag opens, by id."""
    async with connection.cursor(row_factory=class_row(VaultRow)) as cursor:
        await cursor.execute(_VAULTS, {"user_id": user_id, "tag_id": tag_id})
        return await cursor.fetchall()


async def list_keys(connection: Connection, user_id: UUID, tag_id: UUID, vault_id: UUID) -> list[KeyRow]:
    """Return the data keys of a vault as they are wrapped for the tag."""
    async with connection.cursor(row_factory=class_row(KeyRow)) as cursor:
        await cursor.execute(_KEYS, {"user_id": user_id, "tag_id": tag_id, "vault_id": vault_id})
        return await cursor.fetchall()


async def list_rows(
    connection: Connection, user_id: UUID, tag_id: UUID, vault_id: UUID, *, after: UUID | None, rows: int, most: int
) -> list[StoredRow]:
    """Return the next objects by id of a vault that the tag opens: one at least, or until there are `most` bytes."""
    values = {"user_id": user_id, "tag_id": tag_id, "vault_id": vault_id, "after": after, "rows": rows, "most": most}
    async with connection.cursor(row_factory=class_row(StoredRow), binary=True) as cursor:
        await cursor.execute(_ROWS, values)
        return await cursor.fetchall()
