"""Sealed state between two steps of a ceremony: AES-256-GCM under a key of this step alone.

The client carries it, and can neither read it nor move it to another user, step or purpose.
"""

import hmac
from functools import lru_cache
from secrets import token_bytes
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushtag._labels import SERVER_STATE
from hushtag_server.errors import CeremonyFailedError
from hushtag_server.keyfile import KeyRing, ServerKeys

__all__ = ["SEALING_OVERHEAD", "open_state", "seal_state"]

_NONCE: Final = 12
_TAG: Final = 16
_KEY_ID: Final = 16
SEALING_OVERHEAD: Final = _KEY_ID + _NONCE + _TAG
"""Bytes a sealed state is longer than the state: key id(16) || nonce(12) || ciphertext || tag(16)."""


@lru_cache(maxsize=16)
def _keyed(keys: ServerKeys) -> hmac.HMAC:
    return hmac.new(keys.sealing_key, digestmod="sha512")


@lru_cache(maxsize=1024)
def _cipher(keys: ServerKeys, session_id: str) -> AESGCM:
    # Remembered for the step that opens what this one sealed: it tells no more than the sealing key beside it.
    # Every field is of fixed width: 16 bytes of key id, 32 bytes of session id. One block of HKDF-Expand (RFC 5869,
    # 2.3): the sealing key is random already, so there is nothing to extract (3.3).
    block = _keyed(keys).copy()  # keyed once: half the price of looking up hash and key anew
    block.update(SERVER_STATE + keys.id.bytes + bytes.fromhex(session_id) + b"\x01")
    return AESGCM(block.digest()[:32])


def _bound(user_id: UUID, session_id: str, state_name: str) -> bytes:
    return user_id.bytes + bytes.fromhex(session_id) + state_name.encode("ascii")


def seal_state(keys: ServerKeys, user_id: UUID, session_id: str, state_name: str, state: bytes) -> bytes:
    """Seal a state for the client to carry; `session_id` is the step's, 64 hex characters."""
    nonce = token_bytes(_NONCE)
    sealed = _cipher(keys, session_id).encrypt(nonce, state, _bound(user_id, session_id, state_name))
    return keys.id.bytes + nonce + sealed


def open_state(ring: KeyRing, user_id: UUID, session_id: str, state_name: str, sealed: bytes) -> bytes:
    """Open a sealed state; inverse of `seal_state` for the same user, session and state name only.

    Raises:
        CeremonyFailedError: sealed by other keys or for something else, or altered.
    """
    keys = ring.by_key_id.get(sealed[:_KEY_ID]) if len(sealed) >= SEALING_OVERHEAD else None
    if keys is None:
        raise CeremonyFailedError("sealed under unknown keys")
    nonce, body = sealed[_KEY_ID : _KEY_ID + _NONCE], sealed[_KEY_ID + _NONCE :]
    try:
        return _cipher(keys, session_id).decrypt(nonce, body, _bound(user_id, session_id, state_name))
    except InvalidTag:
        raise CeremonyFailedError("sealed state does not open") from None
