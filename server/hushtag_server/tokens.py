"""Bearer tokens: prefix, user id (16 bytes) and secret (32 bytes); only the BLAKE2s-256 of the secret is stored.

The secret has 256 random bits, so a plain hash is enough: there is nothing to guess, and whoever reads the database
cannot turn the hash back. The user id rides along because every look-up names its user.
"""

import hashlib
import secrets
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from hushtag.errors import MalformedError
from hushtag.messages import decode_binary, encode_binary
from hushtag_server.errors import UnauthenticatedError

__all__ = ["ACCOUNT", "VAULT", "BearerToken", "new_account_token", "parse_bearer", "token_hash"]

ACCOUNT: Final = "hta_"
VAULT: Final = "htv_"
_SECRET: Final = 32
_LENGTH: Final = 16 + _SECRET


class BearerToken(NamedTuple):
    """What a token says: whose it is, and the hash under which its secret is stored (32 bytes)."""

    user_id: UUID
    secret_hash: bytes


def token_hash(secret: bytes) -> bytes:
    """Return the BLAKE2s-256 of a token's secret: what the database keeps."""
    return hashlib.blake2s(secret).digest()


def new_account_token(user_id: UUID) -> tuple[str, bytes]:
    """Return a fresh account token and the hash to store."""
    secret = secrets.token_bytes(_SECRET)
    return ACCOUNT + encode_binary(user_id.bytes + secret), token_hash(secret)


@lru_cache(maxsize=4096)
def _user_id(encoded: bytes) -> UUID:
    return UUID(bytes=encoded)  # of whoever asks, again and again


def parse_bearer(header: str | None, prefix: str) -> BearerToken:
    """Read an `Authorization` header.

    Raises:
        UnauthenticatedError: absent, another scheme, another kind of token, or not a token at all.
    """
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.startswith(prefix):
        raise UnauthenticatedError("no such token")
    try:
        raw = decode_binary(token.removeprefix(prefix), _LENGTH)
    except (MalformedError, UnicodeError):
        raise UnauthenticatedError("not a token") from None
    return BearerToken(_user_id(raw[:16]), token_hash(raw[16:]))
