"""AES Key Wrap (RFC 3394), the index-based description, over single AES blocks."""

import hmac

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

# RFC 3394 section 2.2.3.1: the initial value whose return proves integrity.
_INITIAL_VALUE = bytes.fromhex("a6a6a6a6a6a6a6a6")
_HALF_BYTES = 8


class UnwrapError(Exception):
    """RFC 3394 section 2.2.2: the initial value did not come back."""


def _halves(data: bytes, least: int) -> list[bytes]:
    if len(data) % _HALF_BYTES or len(data) < least * _HALF_BYTES:
        raise ValueError(f"{len(data)} bytes are not {least} or more blocks of {_HALF_BYTES}")
    return [data[i : i + _HALF_BYTES] for i in range(0, len(data), _HALF_BYTES)]


def _exclusive_or(half: bytes, step: int) -> bytes:
    return (int.from_bytes(half, "big") ^ step).to_bytes(_HALF_BYTES, "big")


def wrap(kek: bytes, key: bytes) -> bytes:
    """RFC 3394 section 2.2.1: `key` of at least 16 bytes under a 32-byte `kek`, 8 bytes longer."""
    # ECB is AES itself, one block at a time: RFC 3394 is defined over the bare cipher.
    encryptor = Cipher(AES256(kek), ECB()).encryptor()
    a, r = _INITIAL_VALUE, _halves(key, 2)
    for step in range(6 * len(r)):
        index = step % len(r)
        block = encryptor.update(a + r[index])
        a, r[index] = _exclusive_or(block[:8], step + 1), block[8:]
    return a + b"".join(r)


def unwrap(kek: bytes, wrapped_key: bytes) -> bytes:
    """RFC 3394 section 2.2.2. Raises `UnwrapError`, or `ValueError` for a length that cannot be."""
    decryptor = Cipher(AES256(kek), ECB()).decryptor()
    a, *r = _halves(wrapped_key, 3)
    for step in reversed(range(6 * len(r))):
        index = step % len(r)
        block = decryptor.update(_exclusive_or(a, step + 1) + r[index])
        a, r[index] = block[:8], block[8:]
    if not hmac.compare_digest(a, _INITIAL_VALUE):
        raise UnwrapError
    return b"".join(r)
