"""SQL of the ceremonies: one call per step, each a transaction of its own (migration 0003).

Each call authenticates and acts in the same statement, so nothing can happen in between, and a step costs one round
trip.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from hushtag.enrollment import AcceptedTag
from hushtag_server.auth import Caller
from hushtag_server.database import call
from hushtag_server.errors import UnauthenticatedError
from hushtag_server.pool import Pool
from hushtag_server.vault.schemas import Begun, Budget, OpenedTag, OpenedVault, Taken

__all__ = ["advance_ceremony", "begin_ceremony", "enrol_tag", "open_tag"]

_BEGIN = """
    SELECT account_session_id, retry_after, credential_id
    FROM hushtag_begin_ceremony($1, $2, $3, $4, $5::integer, $6, $7, $8, $9, $10, $11, $12)
"""
_ADVANCE = """
    SELECT account_session_id, session_data, credential_id, records
    FROM hushtag_advance_ceremony($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_OPEN = """
    SELECT suite, tag_id, salt, expires_at, vault_id, wrapped_key_id, wrapped_key, key_purpose, key_version,
           generation, head, ring, steps
    FROM hushtag_open_tag($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
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


async def advance_ceremony(
    pool: Pool,
    caller: Caller,
    *,
    session_id: str,
    phrase_hashes: Sequence[bytes],
    key_id: UUID,
    next_id: str,
    lifetime: timedelta,
) -> Taken:
    """Authenticate, take what locate kept, look up the records of the phrase hashes and begin the step `next_id`.

    What was kept must be of this account session and not late. Of concurrent takers one gets it.
    """
    values = (*caller, session_id, b"".join(phrase_hashes), key_id, next_id, lifetime)
    return Taken(*(await call(pool, _ADVANCE, values))[0])


async def open_tag(
    pool: Pool,
    caller: Caller,
    budget: Budget,
    *,
    step_id: str,
    session_id: str,
    phrase_hash: bytes | None,
    key_id: UUID,
    lifetime: timedelta,
    idle: timedelta,
) -> OpenedTag | None:
    """Authenticate, use the step up, begin the vault session, give one guess back and return the tag's vaults.

    None: no such step, no proof (`phrase_hash` is None), or the tag is gone.

    Raises:
        UnauthenticatedError: the token is unknown, expired or of an ended session; the step was not touched.
    """
    values = (*caller, step_id, session_id, phrase_hash, key_id, lifetime, idle, *budget)
    rows = await call(pool, _OPEN, values)
    if not rows:
        raise UnauthenticatedError("no such session")
    suite, tag_id, salt, expires_at = rows[0][:4]
    if tag_id is None:
        return None
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
