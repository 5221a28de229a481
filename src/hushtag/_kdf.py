"""HKDF-SHA512 (RFC 5869), the only key derivation of the suite after the stretch."""

import struct

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SHA512 = SHA512()


def hkdf_sha512(key_material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Return `length` bytes of HKDF-SHA512; an empty salt is 64 zero bytes (RFC 5869, section 2.2)."""
    return HKDF(_SHA512, length, salt, info).derive(key_material)


def u32(value: int) -> bytes:
    """Return 4 big-endian bytes."""
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    """Return 8 big-endian bytes."""
    return struct.pack(">Q", value)


def lp(value: bytes) -> bytes:
    """Return `value` behind its length as `u32`."""
    return struct.pack(">I", len(value)) + value
