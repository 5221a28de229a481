"""SQL of the ceremonies: one call per step, each a transaction of its own (migration 0003).

Each call authenticates and acts in the same statement, so nothing can happen in between, and a step costs one round
trip. The steps of an unlock share it with those of others who ask at the same moment (migration 0028, `batches`).
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec

from hushtag.duress import Released, expand_release
from hushtag.enrollment import AcceptedTag
from hushtag.messages import decode_binary
from hushtag.moving import AcceptedMove
from hushtag.types import Release
from hushtag_server.auth import Caller
from hushtag_server.database import AnyPool, Together, call, call_together
from hushtag_server.errors import UnauthenticatedError
from hushtag_server.vault.schemas import (
    Begun,
    Budget,
    MoveOffer,
    OpenedTag,
    OpenedVault,
    RegistrationCheck,
    Taken,
    VaultCaller,
)
from hushtag_server.vault.seals import new_seal, seal_envelope

__all__ = [
    "advance_ceremony",
    "begin_ceremony",
    "check_registration",
    "enrol_tag",
    "move_tag",
    "open_tag",
    "seal_of",
]

_BEGIN: Final = Together.of(
    "account_session_id, retry_after, credential_id",
    "hushtag_begin_ceremony($1, $2, $3, $4, $5::integer, $6, $7, $8, $9, $10, $11, $12)",
    "hushtag_begin_ceremonies($1::json, $2, $3, $4, $5, $6, $7, $8)",
)
_ADVANCE: Final = Together.of(
    "account_session_id, session_data, credential_id, records",
    "hushtag_advance_ceremony($1, $2, $3, $4, $5, $6, $7, $8)",
    "hushtag_advance_ceremonies($1::json, $2, $3, $4)",
)
_OPEN: Final = Together.of(
    "suite, tag_id, salt, expires_at, vault_id, wrapped_key_id, wrapped_key, key_purpose, key_version, generation,"
    " head, ring, steps, failed_guesses, last_failed_at",
    "hushtag_open_tag($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::integer, $13, $14)",
    "hushtag_open_tags($1::json, $2, $3, $4, $5, $6, $7)",
    bulk=True,
)


class _Beginning(msgspec.Struct, gc=False):
    user_id: UUID
    token_hash: str
    guesses: int
    session_id: str
    kept: str | None


class _Advancing(msgspec.Struct, gc=False):
    user_id: UUID
    token_hash: str
    session_id: str
    hashes: str
    next_id: str


class _Opening(msgspec.Struct, gc=False):
    user_id: UUID
    token_hash: str
    step_id: str
    session_id: str
    phrase_hash: str | None
    key_id: UUID
    guesses: int
    release_check: str


def _session(caller: Caller) -> bytes:
    return caller.user_id.bytes + caller.token_hash


def _hex(value: bytes) -> str:
    return "\\x" + value.hex()  # as PostgreSQL reads bytea


_ENROL = """
    SELECT hushtag_keep_orders(hushtag_keep_seal(
        hushtag_enrol_tag($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                          $21::integer), $1, $7, $22), $1, $7, $23) AS outcome
"""


async def begin_ceremony(
    pool: AnyPool,
    caller: Caller,
    budget: Budget,
    *,
    guesses: int,
    session_id: str,
    state: str,
    kept: bytes | None,
    lifetime: timedelta,
) -> Begun:
    """Authenticate, charge `guesses` or nothing, keep the state and return the user's credential identifier."""
    values = (*caller, guesses, *budget, session_id, state, kept, lifetime)
    step = _Beginning(
        caller.user_id, _hex(caller.token_hash), guesses, session_id, None if kept is None else _hex(kept)
    )
    shared = (caller.idle, caller.touch, *budget, state, lifetime)
    return Begun(*(await call_together(pool, _BEGIN, _session(caller), step, shared, values))[0])


async def advance_ceremony(
    pool: AnyPool,
    caller: Caller,
    *,
    session_id: str,
    phrase_hashes: Sequence[bytes],
    next_id: str,
    lifetime: timedelta,
) -> Taken:
    """Authenticate, take what locate kept, look up the records of the phrase hashes and begin the step `next_id`.

    What was kept must be of this account session and not late. Of concurrent takers one gets it.
    """
    hashes = b"".join(phrase_hashes)
    values = (*caller, session_id, hashes, next_id, lifetime)
    step = _Advancing(caller.user_id, _hex(caller.token_hash), session_id, _hex(hashes), next_id)
    shared = (caller.idle, caller.touch, lifetime)
    return Taken(*(await call_together(pool, _ADVANCE, _session(caller), step, shared, values))[0])


async def open_tag(
    pool: AnyPool,
    caller: Caller,
    budget: Budget,
    *,
    step_id: str,
    session_id: str,
    phrase_hash: bytes | None,
    guesses: int,
    released: Released,
    key_id: UUID,
    lifetime: timedelta,
) -> OpenedTag | None:
    """Authenticate, use the step up, begin the vault session, give one guess back and return the tag's vaults.

    `guesses` is how many candidates this unlock was charged for. What the release orders is carried out. None: no such
    step, no proof (`phrase_hash` is None), another release than the tag's, or the tag is gone.

    Raises:
        UnauthenticatedError: the token is unknown, expired or of an ended session; the step was not touched.
    """
    counted = (budget.capacity, budget.rate, guesses)
    values = (*caller, step_id, session_id, phrase_hash, key_id, lifetime, *counted, *released)
    step = _Opening(
        caller.user_id,
        _hex(caller.token_hash),
        step_id,
        session_id,
        None if phrase_hash is None else _hex(phrase_hash),
        key_id,
        guesses,
        _hex(released.check),
    )
    shared = (caller.idle, caller.touch, lifetime, budget.capacity, budget.rate)
    rows = await call_together(pool, _OPEN, _session(caller), step, shared, values, released.joined)
    if not rows:
        raise UnauthenticatedError("no such session")
    suite, tag_id, salt, expires_at = rows[0][:4]
    if tag_id is None:
        return None
    vaults = [OpenedVault(*row[4:13]) for row in rows]
    return OpenedTag(suite, tag_id, salt, expires_at, vaults, *rows[0][13:15])


_CHECK: Final = """
    SELECT account_session_id, key_ids, enrolled FROM hushtag_check_registration($1, $2, $3, $4, $5, $6)
"""
_SEAL_OF: Final = "SELECT tag_id, seal FROM hushtag_seal_of($1, $2, $3, $4)"
_MOVE: Final = """
    SELECT hushtag_follow_orders(
           hushtag_move_tag($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::uuid[], $16::uuid[],
                            $17::bytea[], $18::integer[], $19::bigint[], $20::bytea[], $21::bytea[]),
                            $1, $22, $23, $24::bytea[], $25::bytea[]) AS hushtag_move_tag
"""


async def check_registration(
    pool: AnyPool, caller: Caller, *, session_id: str, earlier: Sequence[bytes]
) -> RegistrationCheck:
    """Authenticate, and return what the step was evaluated under, and whether the phrase is enrolled there already."""
    values = (*caller, session_id, b"".join(earlier))
    return RegistrationCheck(*(await call(pool, _CHECK, values))[0])


async def seal_of(pool: AnyPool, caller: VaultCaller) -> tuple[UUID, bytes | None]:
    """Return the tag this vault session opened and its seal; None for a tag of an earlier version.

    Raises:
        UnauthenticatedError: the token is unknown, locked or expired.
    """
    tag_id, seal = (await call(pool, _SEAL_OF, caller))[0]
    if tag_id is None:
        raise UnauthenticatedError("no such vault session")
    return tag_id, seal


async def move_tag(
    pool: AnyPool, caller: VaultCaller, move: AcceptedMove, offer: MoveOffer, tag_id: UUID, seal: bytes
) -> str:
    """Authenticate and store the tag under its new key set, with what it orders, all or nothing.

    Returns `moved`, `generation_conflict`, `already_exists`, `ceremony_failed` or `unauthenticated`.
    """
    message = move.message
    before, after = expand_release(offer.release), expand_release(Release(decode_binary(message.release)))
    values = (
        *caller,
        offer.source,
        offer.target,
        offer.phrase_hash,
        move.phrase_hash,
        decode_binary(message.salt),
        move.record[:32],
        seal_envelope(seal, caller.user_id, move.phrase_hash, move.record),
        seal,
        decode_binary(message.sealed_label),
        decode_binary(message.public_key),
        [key.vault_id for key in message.vaults],
        [key.wrapped_key_id for key in message.vaults],
        [decode_binary(key.wrapped_key) for key in message.vaults],
        [key.key_version for key in message.vaults],
        [key.generation for key in message.vaults],
        [decode_binary(key.head) for key in message.vaults],
        [None if key.ring is None else decode_binary(key.ring) for key in message.vaults],
        tag_id,
        after.check,
        list(before.tickets),
        list(after.tickets),
    )
    outcome: str = (await call(pool, _MOVE, values))[0][0]
    return outcome


async def enrol_tag(pool: AnyPool, caller: Caller, tag: AcceptedTag, *, key_id: UUID) -> str:
    """Authenticate, use the registration's state up and store tag, seal, vault and wrapped key, all or nothing.

    Returns `enrolled`, `already_exists`, `ceremony_failed` or `unauthenticated`.
    """
    message, seal = tag.message, new_seal()
    values = (
        *caller,
        message.session_id,
        key_id,
        message.tag_id,
        tag.phrase_hash,
        tag.salt,
        tag.record[:32],
        seal_envelope(seal, caller.user_id, tag.phrase_hash, tag.record),
        message.suite,
        message.tag_name,
        tag.sealed_label,
        tag.public_key,
        message.vault.vault_id,
        tag.head,
        message.wrapped_key.wrapped_key_id,
        tag.wrapped_key,
        message.wrapped_key.key_purpose,
        message.wrapped_key.key_version,
        seal,
        decode_binary(message.release_check),
    )
    outcome: str = (await call(pool, _ENROL, values))[0][0]
    return outcome
