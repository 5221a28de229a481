"""The symmetric half of OPAQUE-3DH with SHA-512: HKDF, HMAC, KSF, transcript and keys.

Sources: RFC 5869 (HKDF), RFC 9807 sections 2 (KDF, MAC, KSF) and 6.4.2 (3DH key schedule).
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import argon2.low_level

from .oprf import with_length

HASH_BYTES = 64
NONCE_BYTES = 32
SEED_BYTES = 32


def identity_ksf(message: bytes) -> bytes:
    """RFC 9807 section 7: the Identity key stretching function of the test vectors."""
    return message


def suite_ksf(message: bytes) -> bytes:
    """Argon2id (RFC 9106): m = 19456 KiB, t = 2, p = 1, salt = 16 zero bytes, 64 bytes out."""
    return argon2.low_level.hash_secret_raw(
        secret=message,
        salt=bytes(16),
        time_cost=2,
        memory_cost=19456,
        parallelism=1,
        hash_len=HASH_BYTES,
        type=argon2.low_level.Type.ID,
    )


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA512."""
    return hmac.digest(key, message, "sha512")


def extract(salt: bytes, ikm: bytes, hash_name: str = "sha512") -> bytes:
    """RFC 5869 section 2.2. HMAC pads its key with zeros, so no salt and an all-zero salt agree."""
    return hmac.digest(salt, ikm, hash_name)


def expand(prk: bytes, info: bytes, length: int, hash_name: str = "sha512") -> bytes:
    """RFC 5869 section 2.3; at most 255 blocks."""
    block, output = b"", b""
    for index in range(1, -(-length // hashlib.new(hash_name).digest_size) + 1):
        block = hmac.digest(prk, block + info + bytes([index]), hash_name)
        output += block
    return output[:length]


def expand_label(secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """RFC 9807 section 6.4.2.1, Expand-Label: the label is prefixed `OPAQUE-`, as in TLS 1.3."""
    full_label = b"OPAQUE-" + label
    custom_label = length.to_bytes(2, "big") + bytes([len(full_label)]) + full_label + bytes([len(context)]) + context
    return expand(secret, custom_label, length)


def derive_secret(secret: bytes, label: bytes, transcript_hash: bytes) -> bytes:
    """RFC 9807 section 6.4.2.1, Derive-Secret."""
    return expand_label(secret, label, transcript_hash, HASH_BYTES)


def randomized_password(oprf_output: bytes, ksf: Callable[[bytes], bytes]) -> bytes:
    """RFC 9807 section 5.2.3: `Extract("", oprf_output || Stretch(oprf_output))`, 64 bytes."""
    return extract(b"", oprf_output + ksf(oprf_output))


def preamble(
    context: bytes,
    client_identity: bytes,
    ke1: bytes,
    server_identity: bytes,
    ke2_without_mac: bytes,
) -> bytes:
    """RFC 9807 section 6.4.2.1, Preamble; the last part is KE2 up to the server's key share."""
    return (
        b"OPAQUEv1-"
        + with_length(context)
        + with_length(client_identity)
        + ke1
        + with_length(server_identity)
        + ke2_without_mac
    )


@dataclass(frozen=True)
class SessionKeys:
    """What one transcript yields: the key of the session, both MAC keys, and both expected MACs."""

    handshake_secret: bytes
    server_mac_key: bytes
    client_mac_key: bytes
    session_key: bytes
    server_mac: bytes
    client_mac: bytes


def derive_keys(ikm: bytes, transcript: bytes) -> SessionKeys:
    """RFC 9807 sections 6.4.2.2 (DeriveKeys), 6.4.3 and 6.4.4 (the two MACs)."""
    prk = extract(b"", ikm)
    transcript_hash = hashlib.sha512(transcript).digest()
    handshake_secret = derive_secret(prk, b"HandshakeSecret", transcript_hash)
    server_mac_key = derive_secret(handshake_secret, b"ServerMAC", b"")
    client_mac_key = derive_secret(handshake_secret, b"ClientMAC", b"")
    server_mac = mac(server_mac_key, transcript_hash)
    return SessionKeys(
        handshake_secret=handshake_secret,
        server_mac_key=server_mac_key,
        client_mac_key=client_mac_key,
        session_key=derive_secret(prk, b"SessionKey", transcript_hash),
        server_mac=server_mac,
        client_mac=mac(client_mac_key, hashlib.sha512(transcript + server_mac).digest()),
    )
