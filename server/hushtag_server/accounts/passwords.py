"""Account passwords: Argon2id (RFC 9106, low-memory parameters: 64 MiB, t=3, p=4), always the same work.

Every sign-up hashes and every login verifies, whether or not the account exists, so neither answer nor time tells.
"""

import secrets
import unicodedata
from typing import Final

import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hushtag_server.errors import LoginFailedError, MalformedRequestError
from hushtag_server.hash_queue import HashQueue

__all__ = ["dummy_hash", "hash_password", "needs_rehash", "prepare_dummy", "verify_password"]

_HASHER: Final = PasswordHasher()
_dummy: list[str] = []


def _prepare(password: str) -> bytes:
    # NFC: the same password typed on another keyboard may arrive decomposed (RFC 8265, OpaqueString).
    try:
        return unicodedata.normalize("NFC", password).encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedRequestError from None


async def prepare_dummy() -> None:
    """Make the hash that stands in for accounts that do not exist; nobody knows its password."""
    if not _dummy:
        _dummy.append(await anyio.to_thread.run_sync(_HASHER.hash, secrets.token_bytes(32)))


def dummy_hash() -> str:
    """Return the stand-in hash."""
    return _dummy[0]


async def hash_password(password: str, queue: HashQueue) -> str:
    """Return the encoded Argon2id hash; `queue` bounds the memory all requests take together.

    Raises:
        UnavailableError: the queue is too long.
    """
    return await queue.run(_HASHER.hash, _prepare(password))


async def verify_password(encoded: str, password: str, queue: HashQueue) -> None:
    """Return if the password is that of the hash.

    Raises:
        LoginFailedError: it is not.
        UnavailableError: the queue is too long; the password was not looked at.
    """
    try:
        await queue.run(_HASHER.verify, encoded, _prepare(password))
    except (VerificationError, InvalidHashError):
        raise LoginFailedError("password does not match") from None


def needs_rehash(encoded: str) -> bool:
    """Tell whether a hash was made under other parameters than today's."""
    return _HASHER.check_needs_rehash(encoded)
