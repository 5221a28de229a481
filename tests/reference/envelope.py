"""The envelope and the masking of credentials (RFC 9807 sections 4 and 6.3.2)."""

import hmac
from dataclasses import dataclass

from .key_schedule import HASH_BYTES, NONCE_BYTES, SEED_BYTES, expand, mac
from .oprf import KeyPair, derive_key_pair, with_length

PUBLIC_KEY_BYTES = 32
ENVELOPE_BYTES = NONCE_BYTES + HASH_BYTES
MASKED_RESPONSE_BYTES = PUBLIC_KEY_BYTES + ENVELOPE_BYTES


class EnvelopeRecoveryError(Exception):
    """RFC 9807 section 4.1.3: wrong password, wrong identities, or not the envelope of this password."""


@dataclass(frozen=True)
class Credentials:
    """What an envelope holds for who knows the randomized password."""

    client: KeyPair
    export_key: bytes
    auth_key: bytes


def derive_diffie_hellman_key_pair(seed: bytes) -> KeyPair:
    """RFC 9807 section 6.4.1, DeriveDiffieHellmanKeyPair, from a 32-byte seed."""
    return derive_key_pair(seed, b"OPAQUE-DeriveDiffieHellmanKeyPair")


def masking_key(randomized_password: bytes) -> bytes:
    """RFC 9807 section 4.1.2: 64 bytes, the same for every registration of one password."""
    return expand(randomized_password, b"MaskingKey", HASH_BYTES)


def cleartext_credentials(
    server_public_key: bytes,
    client_public_key: bytes,
    server_identity: bytes | None,
    client_identity: bytes | None,
) -> bytes:
    """RFC 9807 section 4, CreateCleartextCredentials; an absent identity is the public key, an empty one is refused."""
    if server_identity == b"" or client_identity == b"":
        raise ValueError("an identity is absent or not empty")
    return (
        server_public_key
        + with_length(server_identity or server_public_key)
        + with_length(client_identity or client_public_key)
    )


def _credentials(randomized_password: bytes, nonce: bytes) -> Credentials:
    return Credentials(
        client=derive_diffie_hellman_key_pair(expand(randomized_password, nonce + b"PrivateKey", SEED_BYTES)),
        export_key=expand(randomized_password, nonce + b"ExportKey", HASH_BYTES),
        auth_key=expand(randomized_password, nonce + b"AuthKey", HASH_BYTES),
    )


def store(
    randomized_password: bytes,
    server_public_key: bytes,
    server_identity: bytes | None,
    client_identity: bytes | None,
    envelope_nonce: bytes,
) -> tuple[bytes, Credentials]:
    """RFC 9807 section 4.1.2, Store: the 96-byte envelope `nonce || auth_tag` and what it stands for."""
    credentials = _credentials(randomized_password, envelope_nonce)
    cleartext = cleartext_credentials(
        server_public_key, credentials.client.public_key, server_identity, client_identity
    )
    return envelope_nonce + mac(credentials.auth_key, envelope_nonce + cleartext), credentials


def recover(
    randomized_password: bytes,
    server_public_key: bytes,
    envelope: bytes,
    server_identity: bytes | None,
    client_identity: bytes | None,
) -> Credentials:
    """RFC 9807 section 4.1.3, Recover. Raises `EnvelopeRecoveryError`."""
    nonce, tag = envelope[:NONCE_BYTES], envelope[NONCE_BYTES:]
    credentials = _credentials(randomized_password, nonce)
    cleartext = cleartext_credentials(
        server_public_key, credentials.client.public_key, server_identity, client_identity
    )
    if not hmac.compare_digest(tag, mac(credentials.auth_key, nonce + cleartext)):
        raise EnvelopeRecoveryError
    return credentials


def mask(key: bytes, masking_nonce: bytes, credential_response: bytes) -> bytes:
    """RFC 9807 section 6.3.2.2: XOR with the CredentialResponsePad; its own inverse."""
    pad = expand(key, masking_nonce + b"CredentialResponsePad", MASKED_RESPONSE_BYTES)
    return bytes(left ^ right for left, right in zip(pad, credential_response, strict=True))
