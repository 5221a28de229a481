"""SQL inside an open vault. Every statement names user and tag, and shows a vault only to a tag that has its key.

The calls authenticate in their own statement; the other queries run in a transaction of the user, after a guard.
"""

from collections.abc import Sequence
from uuid import UUID

from hushtag.objects import ObjectRow
from hushtag_server.database import AnyPool, Connection, call
from hushtag_server.errors import UnauthenticatedError
from hushtag_server.vault.schemas import (
    NO_STREAM,
    DeletedObject,
    FoundObject,
    ObjectChange,
    ObjectListing,
    ObjectsChange,
    ObjectsDeletion,
    ObjectSummary,
    StreamNamed,
    TagSummary,
    VaultCaller,
    VaultSummary,
)

__all__ = [
    "delete_object",
    "delete_objects",
    "end_vault_session",
    "find_vault",
    "get_object",
    "list_objects",
    "list_tags",
    "put_object",
    "put_objects",
    "tag_of",
]

_PUT = """
    SELECT hushtag_put_object($1, $2, $3, $4, $5, $6, $7::bigint, $8::integer, $9::bigint, $10, $11, $12, $13,
                              $14::integer, $15, $16::bigint, $17::uuid, $18::integer, $19::bigint)
"""
_PUT_TOGETHER = """
    SELECT hushtag_put_objects($1, $2, $3, $4, $5, $6::integer, $7::bigint, $8, $9, $10, $11::bigint[], $12, $13)
"""
_DELETE = """
    SELECT outcome, key_version, ring
    FROM hushtag_delete_object($1, $2, $3, $4, $5, $6, $7::bigint, $8::bigint, $9)
"""
_DELETE_TOGETHER = "SELECT hushtag_delete_objects($1, $2, $3, $4, $5, $6::bigint, $7, $8, $9::bigint[])"
_TAG_OF = "SELECT hushtag_vault_session($1, $2, $3, $4)"
_GET = "SELECT tag_id, revision, key_version, body, stream_id FROM hushtag_get_object($1, $2, $3, $4, $5, $6)"

_OPENS = """EXISTS (
    SELECT FROM wrapped_keys k WHERE k.user_id = %(user_id)s AND k.tag_id = %(tag_id)s AND k.vault_id = %(vault_id)s
)"""
_VAULT = f"""
    SELECT generation, key_version, head, ring FROM vaults
    WHERE user_id = %(user_id)s AND id = %(vault_id)s AND {_OPENS}
"""  # noqa: S608  (a constant)
_TAGS = f"""
    SELECT t.id, t.sealed_label, t.public_key, t.created_at FROM secret_tags t
    WHERE t.user_id = %(user_id)s AND (%(after)s::uuid IS NULL OR t.id > %(after)s) AND {_OPENS}
      AND EXISTS (SELECT FROM wrapped_keys w
                  WHERE w.user_id = t.user_id AND w.tag_id = t.id AND w.vault_id = %(vault_id)s)
    ORDER BY t.id LIMIT %(limit)s
"""  # noqa: S608  (a constant)
_LIST = """
    SELECT tag_id, generation, object_id, revision, key_version, content_size, row_digest, created_at, updated_at,
           stream_id, body
    FROM hushtag_list_objects($1, $2, $3, $4, $5, $6::uuid, $7::integer, $8::integer)
"""


async def put_object(
    pool: AnyPool,
    caller: VaultCaller,
    change: ObjectChange,
    row: ObjectRow,
    *,
    digest: bytes,
    most: int,
    stream: StreamNamed = NO_STREAM,
) -> str:
    """Authenticate and store one revision of an object with the vault's new head; `most` objects fit in a vault.

    Returns `created`, `replaced`, `replaced_stream` (the object had another stream, which ended),
    `revision_conflict`, `generation_conflict`, `limit_reached`, `stream_committed`,
    `stream_incomplete`, `not_found` or `unauthenticated`; only the first three wrote anything.
    """
    parts = (row.iv, row.ciphertext, row.auth_tag)
    place = (change.vault_id, change.object_id, row.revision, row.key_version, change.generation, change.head)
    outcome: str = (await call(pool, _PUT, (*caller, *place, *parts, row.content_size, digest, most, *stream)))[0][0]
    return outcome


async def put_objects(
    pool: AnyPool,
    caller: VaultCaller,
    change: ObjectsChange,
    rows: Sequence[tuple[UUID, ObjectRow, bytes]],
    *,
    most: int,
) -> str:
    """Authenticate and store these objects' rows (each with its digest) with the vault's new head, all or none.

    Returns `stored`, `stored_streams` (some of the objects had streams, which ended), `revision_conflict`,
    `generation_conflict`, `limit_reached`, `not_found` or `unauthenticated`; only the first two wrote anything.
    """
    ids = [object_id for object_id, _, _ in rows]
    revisions = [row.revision for _, row, _ in rows]
    encoded, digests = [row.encoded for _, row, _ in rows], [digest for _, _, digest in rows]
    values = (*caller, *change, most, ids, revisions, encoded, digests)
    outcome: str = (await call(pool, _PUT_TOGETHER, values))[0][0]
    return outcome


async def delete_object(pool: AnyPool, caller: VaultCaller, change: ObjectChange) -> DeletedObject:
    """Authenticate and delete that revision of an object; the outcomes are those of `put_object`, or `deleted`.

    `deleted_stream`: the object had a stream, which ended with it.
    """
    return DeletedObject(*(await call(pool, _DELETE, (*caller, *change)))[0])


async def delete_objects(
    pool: AnyPool, caller: VaultCaller, change: ObjectsDeletion, objects: Sequence[tuple[UUID, int]]
) -> str:
    """Authenticate and delete these revisions of objects with the vault's new head, all or none.

    Returns `deleted`, `deleted_streams` (some of the objects had streams, which ended), `not_found`,
    `revision_conflict`, `generation_conflict` or `unauthenticated`; only the first two wrote anything.
    """
    ids, revisions = [object_id for object_id, _ in objects], [revision for _, revision in objects]
    outcome: str = (await call(pool, _DELETE_TOGETHER, (*caller, *change, ids, revisions)))[0][0]
    return outcome


async def tag_of(pool: AnyPool, caller: VaultCaller) -> UUID | None:
    """Authenticate a vault token and return the tag it opened; None if it is unknown, locked or expired."""
    tag_id: UUID | None = (await call(pool, _TAG_OF, caller))[0][0]
    return tag_id


async def get_object(pool: AnyPool, caller: VaultCaller, vault_id: UUID, object_id: UUID) -> FoundObject:
    """Authenticate and return the row of an object."""
    return FoundObject(*(await call(pool, _GET, (*caller, vault_id, object_id)))[0])


async def list_objects(
    pool: AnyPool, caller: VaultCaller, vault_id: UUID, *, after: UUID | None, limit: int, rows_up_to: int | None = None
) -> ObjectListing | None:
    """Authenticate and return up to `limit` objects by id of a vault that the tag opens.

    With `rows_up_to` those of at most so many bytes of content have their rows.

    Raises:
        UnauthenticatedError: the token is unknown, locked or expired.
    """
    rows = await call(pool, _LIST, (*caller, vault_id, after, limit, rows_up_to))
    tag_id, generation = rows[0][:2]
    if tag_id is None:
        raise UnauthenticatedError("no such vault session")
    if generation is None:
        return None
    return ObjectListing(generation, [ObjectSummary(*row[2:]) for row in rows if row[2] is not None])


async def end_vault_session(connection: Connection, user_id: UUID, session_id: str) -> bool:
    """End a vault session (64 hex characters) and tell whether there was one."""
    done = await connection.execute(
        "DELETE FROM opaque_sessions WHERE user_id = %s AND session_id = %s AND session_state = 'unlocked'",
        [user_id, session_id],
    )
    return done.rowcount == 1


async def find_vault(connection: Connection, user_id: UUID, tag_id: UUID, vault_id: UUID) -> VaultSummary | None:
    """Return a vault that the tag opens."""
    values = {"user_id": user_id, "tag_id": tag_id, "vault_id": vault_id}
    row = await (await connection.execute(_VAULT, values)).fetchone()
    return None if row is None else VaultSummary(*row)


async def list_tags(
    connection: Connection, user_id: UUID, tag_id: UUID, vault_id: UUID, *, after: UUID | None, limit: int
) -> list[TagSummary]:
    """Return up to `limit` tags by id that open a vault; none if `tag_id` does not open it."""
    values = {"user_id": user_id, "tag_id": tag_id, "vault_id": vault_id, "after": after, "limit": limit}
    return [TagSummary(*row) for row in await (await connection.execute(_TAGS, values)).fetchall()]
