"""Keys of a vault: the data key, the keys that wrap it, the tag's key pair, the vault token (SPEC.md, "Keys")."""

import os
from collections.abc import Callable
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from hushtag import _labels
from hushtag._kdf import hkdf_sha512, lp, u32
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.types import DataKey, ExportKey, KeyEncryptionKey, SessionKey, TagPrivateKey, VaultToken, WrappedKey

__all__ = [
    "PURPOSE_VAULT_DATA",
    "SALT_LENGTH",
    "check_tag_public_key",
    "derive_kek",
    "derive_tag_key_pair",
    "derive_vault_token",
    "generate_data_key",
    "unwrap_key",
    "wrap_key",
]

PURPOSE_VAULT_DATA: Final = "vault_data"
"""The purpose of the key that seals a vault's objects, head and labels."""
SALT_LENGTH: Final = 16
_ANY_PRIVATE_KEY: Final = X25519PrivateKey.from_private_bytes(bytes(32))


def generate_data_key(*, _entropy: Callable[[int], bytes] = os.urandom) -> DataKey:
    """Return a fresh 32-byte data key."""
    return DataKey(_entropy(DataKey.LENGTH))


def derive_kek(
    export_key: ExportKey,
    *,
    salt: bytes,
    tag_id: UUID,
    vault_id: UUID,
    key_version: int,
    purpose: str = PURPOSE_VAULT_DATA,
) -> KeyEncryptionKey:
    """Return the key that wraps one data key for one tag, vault, version and purpose.

    Every identifier is in `info`, so a wrapped key moved to another row unwraps to nothing. `salt` is the tag's
    own 16 bytes.

    Raises:
        MalformedError: the salt is not 16 bytes.
    """
    if len(salt) != SALT_LENGTH:
        raise MalformedError(f"tag salt is {len(salt)} bytes, expected {SALT_LENGTH}")
    info = _labels.KEK + tag_id.bytes + vault_id.bytes + u32(key_version) + lp(purpose.encode("ascii"))
    return KeyEncryptionKey(hkdf_sha512(export_key.expose(), salt, info, KeyEncryptionKey.LENGTH))


def wrap_key(kek: KeyEncryptionKey, data_key: DataKey) -> WrappedKey:
    """Return AES-256 Key Wrap of the data key (RFC 3394): 40 bytes.

    AES-KW is deterministic; that is safe here because a KEK wraps exactly one data key.
    """
    return WrappedKey(aes_key_wrap(kek.expose(), data_key.expose()))


def unwrap_key(kek: KeyEncryptionKey, wrapped: WrappedKey) -> DataKey:
    """Return the data key.

    Raises:
        AuthenticationError: the integrity check of RFC 3394, section 2.2.3 failed.
    """
    try:
        return DataKey(aes_key_unwrap(kek.expose(), wrapped))
    except InvalidUnwrap:
        raise AuthenticationError("wrapped key does not open") from None


def derive_tag_key_pair(export_key: ExportKey, tag_id: UUID) -> tuple[TagPrivateKey, bytes]:
    """Return the tag's X25519 private key and its 32-byte public key (RFC 7748, section 5)."""
    seed = hkdf_sha512(export_key.expose(), b"", _labels.TAG_KEY_PAIR + tag_id.bytes, TagPrivateKey.LENGTH)
    public = X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return TagPrivateKey(seed), public


def check_tag_public_key(public_key: bytes) -> None:
    """Refuse a public key that no data key can be sealed to: stored, it would keep every other phrase from rotating.

    With a point of small order any agreement is all zeros (RFC 7748, section 6.1), so one private key tells it, which
    need be no secret.

    Raises:
        MalformedError: not 32 bytes, or a point of small order.
    """
    try:
        _ANY_PRIVATE_KEY.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:
        raise MalformedError("public key of a tag is none") from None


def derive_vault_token(session_key: SessionKey) -> VaultToken:
    """Return the token both sides derive from one login; it is never sent in a response."""
    return VaultToken(hkdf_sha512(session_key.expose(), b"", _labels.VAULT_TOKEN, VaultToken.LENGTH))
