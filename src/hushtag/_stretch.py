"""From canonical phrase to OPAQUE password: the full price of one guess, paid on the client (SPEC.md, "Stretch")."""

from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw

from hushtag import _labels
from hushtag._kdf import hkdf_sha512
from hushtag.errors import MalformedError
from hushtag.suites import Suite
from hushtag.types import DeviceSecret, OpaquePassword, Stretch

__all__ = ["opaque_password", "stretch_phrase"]


def stretch_phrase(canonical: str, salt: bytes, suite: Suite) -> Stretch:
    """Return Argon2id v1.3 of the phrase's UTF-8 bytes (RFC 9106); about 64 MiB and a tenth of a second.

    `salt` is the account's phrase salt, 16 bytes. The caller has canonicalised the phrase.

    Raises:
        MalformedError: the salt is not 16 bytes.
    """
    if len(salt) != suite.salt_length:
        raise MalformedError(f"phrase salt is {len(salt)} bytes, expected {suite.salt_length}")
    return Stretch(
        hash_secret_raw(
            secret=canonical.encode("utf-8"),
            salt=bytes(salt),
            time_cost=suite.stretch_passes,
            memory_cost=suite.stretch_memory,
            parallelism=suite.stretch_lanes,
            hash_len=suite.stretch_length,
            type=Type.ID,
            version=ARGON2_VERSION,
        )
    )


def opaque_password(stretch: Stretch, device_secret: DeviceSecret | None) -> OpaquePassword:
    """Return the phrase key as 64 hexadecimal ASCII bytes.

    Both inputs have fixed length (32, and 32 or 0), so the concatenation is unambiguous.
    """
    secret = b"" if device_secret is None else device_secret.expose()
    key = hkdf_sha512(stretch.expose() + secret, b"", _labels.PHRASE_KEY, 32)
    return OpaquePassword(key.hex().encode("ascii"))
