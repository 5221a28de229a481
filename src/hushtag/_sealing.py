"""Committing authenticated encryption: AES-256-GCM under a key used once, with a commitment to that key.

GCM alone does not commit to its key: one ciphertext can be crafted to open under two keys. HKDF therefore yields
AES key(32) || commitment(32) and the commitment is stored before the ciphertext and compared first; two keys with
the same commitment would be a collision in HMAC-SHA512. The nonce is also the HKDF salt, so a repeated nonce under
the same data key still needs the same `info` to repeat a key, and every `info` names one revision of one thing.

A sealed value is one buffer: iv(12) || commitment(32) || AES-256-GCM output || tag(16).
"""

import hmac
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushtag._kdf import hkdf_sha512
from hushtag.errors import AuthenticationError, MalformedError

IV_LENGTH: Final = 12
COMMITMENT_LENGTH: Final = 32
TAG_LENGTH: Final = 16
_START: Final = IV_LENGTH + COMMITMENT_LENGTH
OVERHEAD: Final = _START + TAG_LENGTH
_ONE_SHOT_BYTES: Final = 32 * 1024


def seal(key: bytes, iv: bytes, info: bytes, parts: Sequence[bytes], aad: bytes) -> bytes | bytearray:
    """Seal the concatenation of `parts` under a key derived from `key`, `iv` (12 bytes) and `info`."""
    derived = hkdf_sha512(key, iv, info, 64)
    if sum(map(len, parts)) <= _ONE_SHOT_BYTES:
        output = AESGCM(derived[:32]).encrypt(iv, b"".join(parts), aad)
        return b"".join((iv, derived[32:], output))
    return _seal_in_place(derived, iv, parts, aad)


def _seal_in_place(derived: bytes, iv: bytes, parts: Sequence[bytes], aad: bytes) -> bytearray:
    # Same bytes as the one-shot call, without its copies: for a megabyte those cost as much as the encryption.
    sealed = bytearray(sum(map(len, parts)) + OVERHEAD)
    sealed[:_START] = iv + derived[32:]
    view = memoryview(sealed)
    encryptor = Cipher(algorithms.AES(derived[:32]), modes.GCM(iv)).encryptor()
    encryptor.authenticate_additional_data(aad)
    position = _START
    for part in parts:
        position += encryptor.update_into(part, view[position:])
    encryptor.finalize()
    view[position:] = encryptor.tag
    return sealed


def open_sealed(key: bytes, sealed: bytes | bytearray, info: bytes, aad: bytes) -> bytes:
    """Return the plaintext.

    Raises:
        MalformedError: too short to be a sealed value.
        AuthenticationError: commitment or tag did not verify.
    """
    if len(sealed) < OVERHEAD:
        raise MalformedError(f"sealed value is {len(sealed)} bytes, expected at least {OVERHEAD}")
    iv = bytes(sealed[:IV_LENGTH])
    derived = hkdf_sha512(key, iv, info, 64)
    if not hmac.compare_digest(derived[32:], sealed[IV_LENGTH:_START]):
        raise AuthenticationError
    try:
        return AESGCM(derived[:32]).decrypt(iv, memoryview(sealed)[_START:], aad)
    except InvalidTag:
        raise AuthenticationError from None


def check_length(sealed: bytes, plaintext_length: int) -> bytes:
    """Return `sealed` if it seals exactly `plaintext_length` bytes.

    Raises:
        MalformedError: it has another length.
    """
    if len(sealed) != plaintext_length + OVERHEAD:
        raise MalformedError(f"sealed value is {len(sealed)} bytes, expected {plaintext_length + OVERHEAD}")
    return sealed
