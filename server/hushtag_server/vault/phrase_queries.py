"""SQL of several phrases for one vault: one call per step, each a transaction of its own (migration 0013).

Outcomes are one word each: `unauthenticated`, `not_found`, `generation_conflict` and so on; only the word that names
the deed itself says that something was written.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from hushtag.enrollment import JoinedTag
from hushtag.messages import MAX_KEY_STEPS, MAX_MEMBERS, decode_binary
from hushtag_server.database import AnyPool, Connection, Pool, call
from hushtag_server.vault.schemas import OldKeyRow, RingChange, Rotation, VaultCaller
from hushtag_server.vault.seals import new_seal, seal_envelope

__all__ = [
    "add_tag",
    "destroy_vault",
    "forget_old_keys",
    "list_old_keys",
    "put_orders",
    "remove_destroyed",
    "rewrap_key",
    "rotate_vault",
]

_ADD = """
    SELECT hushtag_keep_orders(
           hushtag_add_tag($1, $2, $3, $4, $5, $6::bigint, $7, $8, $9::integer, $10::integer, $11, $12::uuid[],
                           $13::bytea, $14::uuid, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24::uuid, $25),
                           $1, $14::uuid, $26) AS hushtag_add_tag
"""
_ROTATE = """
    SELECT hushtag_end_orders(hushtag_keep_orders(
           hushtag_rotate_vault($1, $2, $3, $4, $5, $6::bigint, $7, $8, $9::uuid, $10, $11, $12, $13::integer,
                                $14::integer, $15, $16::uuid[], $17::bytea, $18::uuid, $19::bytea, $20::bytea,
                                $21::bytea, $22::bytea, $23::bytea, $24, $25, $26::bytea, $27::bytea, $28::uuid,
                                $29::bytea), $1, $18::uuid, $30::bytea), $1, $5) AS hushtag_rotate_vault
"""
_REWRAP = "SELECT hushtag_rewrap_key($1, $2, $3, $4, $5, $6, $7::integer, $8)"
_FORGET = "SELECT hushtag_forget_old_keys($1, $2, $3, $4, $5)"
_DESTROY = "SELECT hushtag_destroy_vault($1, $2, $3, $4, $5, $6::bigint)"
_REMOVE = "SELECT hushtag_remove_destroyed($1)"
_PUT_ORDERS = "SELECT hushtag_put_orders($1, $2, $3, $4, $5, $6, $7::integer[], $8::bytea[])"
_OLD_KEYS = """
    SELECT r.key_version, r.old_key FROM key_rotations r
    WHERE r.user_id = %(user_id)s AND r.vault_id = %(vault_id)s AND r.old_key IS NOT NULL AND EXISTS (
        SELECT FROM wrapped_keys k
        WHERE k.user_id = %(user_id)s AND k.tag_id = %(tag_id)s AND k.vault_id = %(vault_id)s)
    ORDER BY r.key_version DESC LIMIT %(most)s
"""


def _tag(user_id: UUID, tag: JoinedTag, keys: Sequence[UUID]) -> tuple[object, ...]:
    message, seal = tag.message, new_seal()
    return (
        message.session_id,
        list(keys),
        b"".join(decode_binary(text) for text in message.earlier_hashes),
        message.tag_id,
        tag.phrase_hash,
        tag.salt,
        tag.record[:32],
        seal_envelope(seal, user_id, tag.phrase_hash, tag.record),
        seal,
        message.suite,
        message.tag_name,
        tag.sealed_label,
        tag.public_key,
        message.wrapped_key.wrapped_key_id,
        tag.wrapped_key,
        decode_binary(message.release_check),
    )


_NO_TAG: Final = (None,) * 16


async def add_tag(
    pool: AnyPool, caller: VaultCaller, change: RingChange, tag: JoinedTag, *, keys: Sequence[UUID]
) -> str:
    """Authenticate, use the registration up and store the tag with the vault's new head.

    `keys` are the key sets in use. Returns `added`, `unauthenticated`, `not_found`, `generation_conflict` (the
    registration is still good), `limit_reached`, `ceremony_failed` or `already_exists`.
    """
    version = tag.message.wrapped_key.key_version
    values = (*caller, *change, MAX_MEMBERS, version, *_tag(caller.user_id, tag, keys))
    outcome: str = (await call(pool, _ADD, values))[0][0]
    return outcome


async def rotate_vault(
    pool: AnyPool,
    caller: VaultCaller,
    change: RingChange,
    rotation: Rotation,
    tag: JoinedTag | None,
    *,
    keys: Sequence[UUID],
) -> str:
    """Authenticate, revoke a tag, replace the data key, and store the tag that takes its place, if any.

    No tag of the vault bears an order afterwards.

    Returns `rotated`, `malformed` (not exactly the tags that stay), or one of `add_tag`.
    """
    joined = _NO_TAG if tag is None else _tag(caller.user_id, tag, keys)
    fixed = (rotation.revoked, rotation.proof, rotation.old_key, rotation.members, MAX_KEY_STEPS)
    values = (*caller, *change, *fixed, rotation.key_version, *joined)
    outcome: str = (await call(pool, _ROTATE, values))[0][0]
    return outcome


async def rewrap_key(
    pool: AnyPool, caller: VaultCaller, vault_id: UUID, wrapped_key_id: UUID, key_version: int, wrapped_key: bytes
) -> str:
    """Authenticate and replace the tag's own wrapped key (40 bytes); what was sealed to it is forgotten.

    Returns `rewrapped`, `unauthenticated`, `not_found` or `generation_conflict`.
    """
    outcome: str = (await call(pool, _REWRAP, (*caller, vault_id, wrapped_key_id, key_version, wrapped_key)))[0][0]
    return outcome


async def forget_old_keys(pool: AnyPool, caller: VaultCaller, vault_id: UUID) -> str:
    """Authenticate and forget every old data key, if no object needs one.

    Returns `forgotten`, `unauthenticated`, `not_found` or `reseal_unfinished`.
    """
    outcome: str = (await call(pool, _FORGET, (*caller, vault_id)))[0][0]
    return outcome


async def put_orders(
    pool: AnyPool, caller: VaultCaller, vault_id: UUID, tag_id: UUID, orders: Sequence[tuple[int, bytes]]
) -> str:
    """Authenticate and replace the tickets (16 bytes) in these places (1 to 4) of a tag of the vault.

    Returns `put`, `unauthenticated` or `not_found`. Whether the ticket stands anywhere else, nobody learns.
    """
    places, tickets = [place for place, _ in orders], [ticket for _, ticket in orders]
    outcome: str = (await call(pool, _PUT_ORDERS, (*caller, vault_id, tag_id, places, tickets)))[0][0]
    return outcome


async def destroy_vault(pool: AnyPool, caller: VaultCaller, vault_id: UUID, generation: int) -> str:
    """Authenticate and destroy the keys of a vault that only this tag opens.

    Returns `destroyed`, `unauthenticated`, `not_found`, `phrases_remain` or `generation_conflict`.
    """
    outcome: str = (await call(pool, _DESTROY, (*caller, vault_id, generation)))[0][0]
    return outcome


async def remove_destroyed(pool: Pool, user_id: UUID) -> int:
    """Remove the rows of a user's vaults whose keys are destroyed; returns how many vaults went."""
    removed: int = (await call(pool, _REMOVE, (user_id,)))[0][0]
    return removed


async def list_old_keys(connection: Connection, user_id: UUID, tag_id: UUID, vault_id: UUID) -> list[OldKeyRow]:
    """Return the sealed old data keys of a vault that the tag opens, newest first."""
    values = {"user_id": user_id, "tag_id": tag_id, "vault_id": vault_id, "most": MAX_KEY_STEPS}
    return [OldKeyRow(*row) for row in await (await connection.execute(_OLD_KEYS, values)).fetchall()]
