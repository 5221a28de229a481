"""Fixed inputs: every secret, id and nonce of the suite's vectors is SHA-512 of its own name.

Nothing is drawn by chance, and nobody can suspect a choice.
"""

import hashlib
from uuid import UUID

from tests.reference.oprf import KeyPair, derive_key_pair


def octets(name: str, length: int) -> bytes:
    """`length` bytes, at most 64."""
    return hashlib.sha512(b"hushtag vector: " + name.encode("ascii")).digest()[:length]


def identifier(name: str) -> UUID:
    """A version 4 UUID."""
    return UUID(bytes=octets(name, 16), version=4)


def key_pair(name: str) -> KeyPair:
    """A ristretto255 key pair; its private half serves as a blind as well."""
    return derive_key_pair(octets(name, 32), b"hushtag vector")


def flipped(value: bytes, position: int, bit: int = 0) -> bytes:
    """`value` with one bit inverted."""
    changed = bytearray(value)
    changed[position] ^= 1 << bit
    return bytes(changed)


IDENTITY_ELEMENT = bytes(32)
NEGATIVE_ELEMENT = b"\1" + bytes(31)
"""RFC 9496 section 4.3.1: not canonical, its lowest bit is set."""
VAULT, OTHER_VAULT = identifier("vault"), identifier("other vault")
TAG, OTHER_TAG = identifier("tag"), identifier("other tag")
OBJECT, OTHER_OBJECT = identifier("object"), identifier("other object")
STREAM, OTHER_STREAM = identifier("stream"), identifier("other stream")
DATA_KEY, OTHER_DATA_KEY = octets("data key", 32), octets("other data key", 32)
EXPORT_KEY = octets("export key", 64)
SESSION_KEY = octets("session key", 64)
TAG_SALT, PHRASE_SALT = octets("tag salt", 16), octets("phrase salt", 16)
CREDENTIAL_ID = octets("opaque_credential_id", 32)
DECOY_SEED = octets("decoy seed", 32)
OPRF_SEED = octets("oprf seed", 64)
SERVER, DECOY_CLIENT = key_pair("server"), key_pair("decoy client")
SETUP = OPRF_SEED + SERVER.private_key + DECOY_CLIENT.public_key
