"""What a pairing derives of its SPAKE2 key, and the secret sealed under it (SPEC.md, "Pairing")."""

from typing import NamedTuple
from uuid import UUID

from hushtag import _labels
from hushtag._kdf import hkdf_sha512
from hushtag._sealing import check_length, open_sealed, seal
from hushtag.types import DeviceSecret

__all__ = ["PairingKeys", "open_secret", "pairing_keys", "seal_secret"]


class PairingKeys(NamedTuple):
    """What both devices derive: one proof for each, 32 bytes, and the key the secret is sealed under."""

    accepting: bytes
    offering: bytes
    sealing: bytes

    def __repr__(self) -> str:
        return "PairingKeys(<redacted>)"


def pairing_keys(shared: bytes, user_id: UUID, pairing_id: bytes) -> PairingKeys:
    """Derive the keys of the pairing with this id (16 bytes) from its SPAKE2 key (32 bytes)."""
    derived = hkdf_sha512(shared, b"", _labels.PAIRING + user_id.bytes + pairing_id, 96)
    return PairingKeys(derived[:32], derived[32:64], derived[64:])


def _info(user_id: UUID, pairing_id: bytes) -> bytes:
    return _labels.CARRIED_SECRET + user_id.bytes + pairing_id


def seal_secret(sealing: bytes, iv: bytes, secret: DeviceSecret, user_id: UUID, pairing_id: bytes) -> bytes:
    """Return the sealed device secret, 92 bytes."""
    return bytes(seal(sealing, iv, _info(user_id, pairing_id), [secret.expose()], b""))


def open_secret(sealing: bytes, sealed: bytes, user_id: UUID, pairing_id: bytes) -> DeviceSecret:
    """Return the device secret.

    Raises:
        MalformedError: not 92 bytes.
        AuthenticationError: not sealed under this key for this pairing.
    """
    check_length(sealed, DeviceSecret.LENGTH)
    return DeviceSecret(open_sealed(sealing, sealed, _info(user_id, pairing_id), b""))
