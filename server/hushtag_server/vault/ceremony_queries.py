"""SQL of the ceremonies: one call per step, each a transaction of its own (migration 0003).

Each call authenticates and acts in the same statement, so nothing can happen in between, and a step costs one round
trip. Two of the five are the second half of a step whose first half has authenticated and consumed its state.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from hushtag.enrollment import AcceptedTag
from hushtag_server.database import Pool, call
from hushtag_server.vault.schemas import Begun, Budget, Caller, OpenedTag, OpenedVault, Taken

__all__ = ["begin_ceremony", "enrol_tag", "keep_ceremony", "open_tag", "take_ceremony"]

_BEGIN = """
    SELECT account_session_id, retry_after, credential_id
    FROM hushtag_begin_ceremony($1, $2, $3, $4, $5::integer, $6, $7, $8, $9, $10, $11, $12)
"""
_TAKE = """
    SELECT account_session_id, session_data, credential_id, records
    FROM hushtag_take_ceremony($1, $2, $3, $4, $5, $6, $7, $8)
"""
_KEEP = "SELECT hushtag_keep_ceremony($1, $2, $3, $4, $5, $6)"
_OPEN = """
    SELECT suite, tag_id, salt, expires_at, vault_id, wrapped_key_id, wrapped_key, key_purpose, key_version,
           generation, head
    FROM hushtag_open_tag($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_ENROL = """
    SELECT hushtag_enrol_tag($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                             $21::integer)
"""


async def begin_ceremony(
    pool: Pool,
    caller: Caller,
    budget: Budget,
    *,
    guesses: int,
    session_id: str,
    state: str,
    kept: bytes | None,
    lifetime: timedelta,
    vault_idle: timedelta,
) -> Begun:
    """Authenticate, charge `guesses` or nothing, keep the state and return the user's credential identifier."""
    values = (*caller, guesses, *budget, vault_idle, session_id, state, kept, lifetime)
    return Begun(*(await call(pool, _BEGIN, values))[0])


async def take_ceremony(
    pool: Pool, caller: Caller, *, session_id: str, state: str, phrase_hashes: Sequence[bytes], key_id: UUID
) -> Taken:
    """Authenticate, take the state away and look up the records of the phrase hashes under one server key.

    The state must be of this account session, of this step, and not late. Of concurrent takers one gets it.
    """
    return Taken(*(await call(pool, _TAKE, (*caller, session_id, state, b"".join(phrase_hashes), key_id)))[0])


async def keep_ceremony(
    pool: Pool,
    user_id: UUID,
    account_session_id: UUID,
    *,
    session_id: str,
    state: str,
    sealed: bytes,
    lifetime: timedelta,
) -> bool:
    """Keep the state of the next step; False if the account session ended meanwhile."""
    values = (user_id, account_session_id, session_id, state, sealed, lifetime)
    return bool((await call(pool, _KEEP, values))[0][0])


async def open_tag(
    pool: Pool,
    user_id: UUID,
    account_session_id: UUID,
    budget: Budget,
    *,
    session_id: str,
    phrase_hash: bytes,
    key_id: UUID,
    lifetime: timedelta,
    idle: timedelta,
) -> OpenedTag | None:
    """Begin the vault session, give one guess back and return every vault of the tag; None if it is gone."""
    values = (user_id, account_session_id, session_id, phrase_hash, key_id, lifetime, idle, *budget)
    rows = await call(pool, _OPEN, values)
    if not rows:
        return None
    suite, tag_id, salt, expires_at = rows[0][:4]
    return OpenedTag(suite, tag_id, salt, expires_at, [OpenedVault(*row[4:]) for row in rows])


async def enrol_tag(pool: Pool, caller: Caller, tag: AcceptedTag, *, key_id: UUID) -> str:
    """Authenticate, use the registration's state up and store tag, vault and wrapped key, all or nothing.

    Returns `enrolled`, `already_exists`, `ceremony_failed` or `unauthenticated`.
    """
    message = tag.message
    values = (
        *caller,
        message.session_id,
        key_id,
        message.tag_id,
        tag.phrase_hash,
        tag.salt,
        tag.record[:32],
        tag.record[32:],
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
    )
    outcome: str = (await call(pool, _ENROL, values))[0][0]
    return outcome
