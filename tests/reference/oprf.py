"""OPRF(ristretto255, SHA-512) in mode OPRF (RFC 9497 sections 3 and 4.1), hashing per RFC 9380.

Messages are encodings (bytes); blinds and private keys are encoded scalars. Every blind is a parameter,
so that a transcript can be reproduced.
"""

import hashlib
from typing import NamedTuple

from .ristretto import GENERATOR, IDENTITY, ORDER, DecodeError, Element, decode_scalar, encode_scalar

MODE_OPRF = 0
# RFC 9497 section 3.1, CreateContextString.
CONTEXT_STRING = b"OPRFV1-" + bytes([MODE_OPRF]) + b"-ristretto255-SHA512"

_HASH_BYTES = 64
_BLOCK_BYTES = 128
_EXPAND_BYTES = 64


class InvalidInputError(ValueError):
    """RFC 9497 section 3.3.1: the input hashes to the identity element."""


class DeriveKeyPairError(ValueError):
    """RFC 9497 section 3.2.1: no counter gave a non-zero key."""


class KeyPair(NamedTuple):
    """An encoded scalar and the encoded element `scalar * generator`; 32 bytes each."""

    private_key: bytes
    public_key: bytes


def with_length(value: bytes) -> bytes:
    """`I2OSP(len(value), 2) || value`, the length prefix of RFC 9497 and RFC 9807."""
    return len(value).to_bytes(2, "big") + value


def expand_message_xmd(message: bytes, dst: bytes, length: int) -> bytes:
    """RFC 9380 section 5.3.1 with SHA-512; `dst` is 1 to 255 bytes, `length` at most 65,535."""
    blocks = -(-length // _HASH_BYTES)
    if not 0 < len(dst) <= 255 or blocks > 255 or length > 65_535:
        raise ValueError("outside the limits of expand_message_xmd")
    dst_prime = dst + bytes([len(dst)])
    b_0 = hashlib.sha512(bytes(_BLOCK_BYTES) + message + length.to_bytes(2, "big") + b"\0" + dst_prime).digest()
    block = hashlib.sha512(b_0 + b"\1" + dst_prime).digest()
    uniform = block
    for index in range(2, blocks + 1):
        mixed = bytes(left ^ right for left, right in zip(b_0, block, strict=True))
        block = hashlib.sha512(mixed + bytes([index]) + dst_prime).digest()
        uniform += block
    return uniform[:length]


def hash_to_group(message: bytes) -> Element:
    """RFC 9497 section 4.1, HashToGroup: hash_to_ristretto255 of RFC 9380 appendix B."""
    return Element.from_uniform_bytes(expand_message_xmd(message, b"HashToGroup-" + CONTEXT_STRING, _EXPAND_BYTES))


def hash_to_scalar(message: bytes, dst: bytes = b"HashToScalar-" + CONTEXT_STRING) -> int:
    """RFC 9497 section 4.1, HashToScalar: 64 expanded bytes, little-endian, modulo the order."""
    return int.from_bytes(expand_message_xmd(message, dst, _EXPAND_BYTES), "little") % ORDER


def deserialize_element(encoding: bytes) -> Element:
    """RFC 9497 section 4.1, DeserializeElement: also refuses the identity. Raises `DecodeError`."""
    element = Element.decode(encoding)
    if element == IDENTITY:
        raise DecodeError("the identity is not a valid element")
    return element


def public_key_of(private_key: bytes) -> bytes:
    """The encoded public key of an encoded private key."""
    return (decode_scalar(private_key) * GENERATOR).encode()


def derive_key_pair(seed: bytes, info: bytes) -> KeyPair:
    """RFC 9497 section 3.2.1, DeriveKeyPair, from a 32-byte seed."""
    derive_input = seed + with_length(info)
    for counter in range(256):
        scalar = hash_to_scalar(derive_input + bytes([counter]), b"DeriveKeyPair" + CONTEXT_STRING)
        if scalar:
            return KeyPair(encode_scalar(scalar), (scalar * GENERATOR).encode())
    raise DeriveKeyPairError


def blind(private_input: bytes, blinding_scalar: bytes) -> bytes:
    """RFC 9497 section 3.3.1, Blind: the blinded element for the server."""
    element = hash_to_group(private_input)
    if element == IDENTITY:
        raise InvalidInputError
    return (decode_scalar(blinding_scalar) * element).encode()


def blind_evaluate(private_key: bytes, blinded_element: bytes) -> bytes:
    """RFC 9497 section 3.3.1, BlindEvaluate. Raises `DecodeError` for a bad or identity element."""
    return (decode_scalar(private_key) * deserialize_element(blinded_element)).encode()


def finalize(private_input: bytes, blinding_scalar: bytes, evaluated_element: bytes) -> bytes:
    """RFC 9497 section 3.3.1, Finalize: the 64-byte output. Raises `DecodeError`."""
    inverse = pow(decode_scalar(blinding_scalar), -1, ORDER)
    unblinded = (inverse * deserialize_element(evaluated_element)).encode()
    return hashlib.sha512(with_length(private_input) + with_length(unblinded) + b"Finalize").digest()
