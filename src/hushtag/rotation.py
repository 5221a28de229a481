"""Rotation of a vault's data key (SPEC.md, "Rotation"): the new key on its way to each tag, and what vouches for it.

A tag's public key is no secret, so anybody can seal a key to it (RFC 9180 in base mode authenticates no sender). The
proof of succession says who may: only a holder of the old data key can make it, and it is good for one new key alone.
"""

import hmac
import os
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM
from cryptography.hazmat.primitives.hpke import Suite as Hpke

from hushtag import _labels
from hushtag._kdf import hkdf_sha512, lp, u32
from hushtag._sealing import IV_LENGTH, OVERHEAD, check_length, open_sealed, seal
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.suites import HUSHTAG_V1, Suite
from hushtag.types import DataKey, TagPrivateKey

__all__ = [
    "OLD_KEY_LENGTH",
    "PROOF_LENGTH",
    "SEALED_KEY_LENGTH",
    "KeyStep",
    "follow",
    "open_old_key",
    "open_to_tag",
    "prove_succession",
    "seal_old_key",
    "seal_to_tag",
]

_HPKE: Final = Hpke(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
SEALED_KEY_LENGTH: Final = 32 + DataKey.LENGTH + 16
"""A data key sealed to a tag: enc(32) || ciphertext(32) || tag(16)."""
OLD_KEY_LENGTH: Final = DataKey.LENGTH + OVERHEAD
"""A data key sealed under the one after it: 92."""
PROOF_LENGTH: Final = 32


class KeyStep(NamedTuple):
    """One rotation as one tag finds it: the new key sealed to it (80 bytes), and the proof of succession (32)."""

    sealed_key: bytes
    proof: bytes


def _hpke_info(vault_id: UUID, tag_id: UUID, key_version: int) -> bytes:
    return _labels.SEALED_KEY + vault_id.bytes + tag_id.bytes + u32(key_version)


def seal_to_tag(data_key: DataKey, public_key: bytes, *, vault_id: UUID, tag_id: UUID, key_version: int) -> bytes:
    """Return the data key sealed to a tag's public key (RFC 9180, section 5.1.1): 80 bytes.

    Raises:
        MalformedError: not a public key of X25519 that can be agreed with.
    """
    try:
        to = X25519PublicKey.from_public_bytes(public_key)
        return _HPKE.encrypt(data_key.expose(), to, info=_hpke_info(vault_id, tag_id, key_version))
    except ValueError:  # another length, or a point of small order
        raise MalformedError("public key of a tag is none") from None


def open_to_tag(
    private_key: TagPrivateKey, sealed: bytes, *, vault_id: UUID, tag_id: UUID, key_version: int
) -> DataKey:
    """Return the data key; that it is the vault's is for the proof of succession to say.

    Raises:
        MalformedError: not 80 bytes.
        AuthenticationError: not sealed to this tag, for this vault and version.
    """
    if len(sealed) != SEALED_KEY_LENGTH:
        raise MalformedError(f"sealed data key is {len(sealed)} bytes, expected {SEALED_KEY_LENGTH}")
    own = X25519PrivateKey.from_private_bytes(private_key.expose())
    try:
        return DataKey(_HPKE.decrypt(sealed, own, info=_hpke_info(vault_id, tag_id, key_version)))
    except (InvalidTag, ValueError, MalformedError):
        raise AuthenticationError("sealed data key does not open") from None


def prove_succession(old: DataKey, new: DataKey, *, vault_id: UUID, key_version: int) -> bytes:
    """Return the 32-byte proof that `new` follows `old` under `key_version`, the new one.

    A pseudo-random function of the old key over a name of the new one: neither can be had from it, and it does not
    hold for another key.
    """
    name = hkdf_sha512(new.expose(), b"", _labels.KEY_NAME + vault_id.bytes + u32(key_version), PROOF_LENGTH)
    return hkdf_sha512(old.expose(), b"", _labels.SUCCESSION + vault_id.bytes + u32(key_version) + name, PROOF_LENGTH)


def follow(
    data_key: DataKey,
    private_key: TagPrivateKey,
    steps: Sequence[KeyStep],
    *,
    vault_id: UUID,
    tag_id: UUID,
    key_version: int,
) -> DataKey:
    """Return the data key that the steps lead to from `data_key`, the tag's own of `key_version`; forgets it.

    Raises:
        MalformedError: a step has another length.
        AuthenticationError: a key does not open, or does not follow the one before it.
    """
    known = data_key
    for version, step in enumerate(steps, key_version + 1):
        try:
            new = open_to_tag(private_key, step.sealed_key, vault_id=vault_id, tag_id=tag_id, key_version=version)
            proof = prove_succession(known, new, vault_id=vault_id, key_version=version)
        finally:
            known.forget()
        if not hmac.compare_digest(proof, step.proof):
            new.forget()
            raise AuthenticationError("data key does not follow the one before it")
        known = new
    return known


def _old_key_context(suite: Suite, vault_id: UUID, key_version: int) -> tuple[bytes, bytes]:
    info = _labels.OLD_KEY + vault_id.bytes + u32(key_version)
    return info, lp(suite.id.encode("ascii")) + vault_id.bytes + u32(key_version)


def seal_old_key(
    new: DataKey,
    old: DataKey,
    *,
    vault_id: UUID,
    key_version: int,
    suite: Suite = HUSHTAG_V1,
    _entropy: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Return the old data key sealed under the new one, whose version is `key_version`: 92 bytes.

    Whoever has the new key reads what is not re-sealed yet; who has only the old one learns nothing by it.
    """
    info, aad = _old_key_context(suite, vault_id, key_version)
    return bytes(seal(new.expose(), _entropy(IV_LENGTH), info, [old.expose()], aad))


def open_old_key(
    new: DataKey, sealed: bytes, *, vault_id: UUID, key_version: int, suite: Suite = HUSHTAG_V1
) -> DataKey:
    """Return the data key of version `key_version` - 1.

    Raises:
        MalformedError: not 92 bytes.
        AuthenticationError: not authentic, or of another vault or version.
    """
    info, aad = _old_key_context(suite, vault_id, key_version)
    return DataKey(open_sealed(new.expose(), check_length(sealed, DataKey.LENGTH), info, aad))
