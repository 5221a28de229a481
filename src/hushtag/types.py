"""Distinct types for distinct values: secrets that cannot leak by accident, messages of one exact length.

A type checker refuses a swapped key; the constructors refuse a wrong length. Secrets compare in constant time,
print redacted and cannot be pickled or copied. Python cannot promise to wipe memory: `forget` overwrites this
object's own buffer, and copies the interpreter made live until it reuses them (SECURITY.md).
"""

import hmac
from collections.abc import Iterable
from typing import ClassVar, NoReturn, Self

from hushtag.errors import MalformedError, MisuseError, StateError

__all__ = [
    "KE1",
    "KE2",
    "KE3",
    "CredentialIdentifier",
    "DataKey",
    "DeviceSecret",
    "ExportKey",
    "KeyEncryptionKey",
    "LoginState",
    "MaskingKey",
    "OpaquePassword",
    "PhraseHash",
    "PinKey",
    "Record",
    "RegistrationRequest",
    "RegistrationResponse",
    "RegistrationState",
    "Release",
    "Secret",
    "ServerLoginState",
    "ServerSeed",
    "SessionKey",
    "StreamKey",
    "Stretch",
    "TagPrivateKey",
    "VaultToken",
    "WrappedKey",
    "forget_all",
]


class Secret:
    """A secret of exactly `LENGTH` bytes; read it with `expose`, end it with `forget`."""

    __slots__ = ("_buffer",)
    LENGTH: ClassVar[int] = 0
    __hash__ = None  # type: ignore[assignment]  # a hash of a secret is a test for the secret

    def __init__(self, value: bytes) -> None:
        if len(value) != self.LENGTH:
            raise MalformedError(f"{type(self).__name__} is {len(value)} bytes, expected {self.LENGTH}")
        self._buffer: bytearray | None = bytearray(value)

    def expose(self) -> bytes:
        """Return the bytes.

        Raises:
            StateError: the secret was forgotten.
        """
        buffer = self._buffer
        exposed = b"" if buffer is None else bytes(buffer)
        # Asked after the copy: what another thread forgets meanwhile may be zeros by then, and zeros are no key.
        if self._buffer is None:
            raise StateError(f"{type(self).__name__} was forgotten")
        return exposed

    def forget(self) -> None:
        """Overwrite this object's buffer and refuse every later use."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            buffer[:] = bytes(len(buffer))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self.expose(), other.expose())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<redacted>)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise MisuseError(f"{type(self).__name__} must not be pickled or copied")

    def __copy__(self) -> NoReturn:
        raise MisuseError(f"{type(self).__name__} must not be pickled or copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise MisuseError(f"{type(self).__name__} must not be pickled or copied")


def forget_all(secrets: Iterable[Secret | None]) -> None:
    """Forget every secret given; `None` is passed over."""
    for secret in secrets:
        if secret is not None:
            secret.forget()


class Stretch(Secret):
    """Argon2id of the canonical phrase: 32 bytes."""

    LENGTH = 32


class DeviceSecret(Secret):
    """32 random bytes that never leave the person's devices; optional."""

    LENGTH = 32


class OpaquePassword(Secret):
    """The phrase key as 64 lowercase hexadecimal ASCII bytes: what OPAQUE takes as its password."""

    LENGTH = 64


class ExportKey(Secret):
    """OPAQUE `export_key` (RFC 9807, section 3.2): 64 bytes that the server never learns."""

    LENGTH = 64


class SessionKey(Secret):
    """OPAQUE `session_key` (RFC 9807, section 6.4): 64 bytes that both sides share after a login."""

    LENGTH = 64


class MaskingKey(Secret):
    """OPAQUE `masking_key` (RFC 9807, section 5.2): 64 bytes, part of the record."""

    LENGTH = 64


class KeyEncryptionKey(Secret):
    """Wraps one data key for one tag, vault, version and purpose: 32 bytes."""

    LENGTH = 32


class DataKey(Secret):
    """The vault's data key (DEK): 32 random bytes."""

    LENGTH = 32


class StreamKey(Secret):
    """Input key of one large object: 32 bytes."""

    LENGTH = 32


class TagPrivateKey(Secret):
    """X25519 private key of a tag (RFC 7748): 32 bytes."""

    LENGTH = 32


class PinKey(Secret):
    """Seals and places what a device has pinned of one vault: 32 bytes."""

    LENGTH = 32


class Release(Secret):
    """What the finish of an unlock sends beside its proof (32 bytes); `hushtag.duress` says for what."""

    LENGTH = 32


class VaultToken(Secret):
    """Names an open vault to the server: 32 bytes, derived on both sides, sent only by the client."""

    LENGTH = 32


class RegistrationState(Secret):
    """Client state between RegistrationRequest and RegistrationResponse: blind(32) || request(32)."""

    LENGTH = 64


class LoginState(Secret):
    """Client state between KE1 and KE2: blind(32) || KE1(96) || key share secrets(64)."""

    LENGTH = 192


class ServerLoginState(Secret):
    """Server state between KE2 and KE3: 128 bytes."""

    LENGTH = 128


class ServerSeed(Secret):
    """A 32-byte key of the server's key file."""

    LENGTH = 32


class FixedBytes(bytes):
    """Public bytes of exactly `LENGTH`; a message or identifier from outside is one of these or an error."""

    LENGTH: ClassVar[int] = 0

    def __new__(cls, value: bytes) -> Self:
        if len(value) != cls.LENGTH:
            raise MalformedError(f"{cls.__name__} is {len(value)} bytes, expected {cls.LENGTH}")
        return super().__new__(cls, value)


class RegistrationRequest(FixedBytes):
    """RFC 9807, section 5.1: one blinded element."""

    LENGTH = 32


class RegistrationResponse(FixedBytes):
    """RFC 9807, section 5.1: evaluated element(32) || server public key(32)."""

    LENGTH = 64


class Record(FixedBytes):
    """RFC 9807, section 5.1 RegistrationRecord: client public key(32) || masking key(64) || envelope(96)."""

    LENGTH = 192

    @property
    def client_public_key(self) -> bytes:
        """The first 32 bytes (column `verifier_kv`)."""
        return self[:32]

    @property
    def masking_key(self) -> MaskingKey:
        """Bytes 32 to 96."""
        return MaskingKey(self[32:96])


class KE1(FixedBytes):
    """RFC 9807, section 6.1: blinded element(32) || client nonce(32) || client key share(32)."""

    LENGTH = 96

    @property
    def blinded_element(self) -> RegistrationRequest:
        """The first 32 bytes, which are also what a locate sends."""
        return RegistrationRequest(self[:32])


class KE2(FixedBytes):
    """RFC 9807, section 6.1: credential response(192) || server nonce, key share(64) || server MAC(64)."""

    LENGTH = 320


class KE3(FixedBytes):
    """RFC 9807, section 6.1: client MAC."""

    LENGTH = 64


class PhraseHash(FixedBytes):
    """BLAKE2s-128 of the masking key: finds a tag among one user's tags, and tells nothing else."""

    LENGTH = 16


class CredentialIdentifier(FixedBytes):
    """`users.opaque_credential_id`: 32 random bytes; deleting them shreds every record of the user."""

    LENGTH = 32


class WrappedKey(FixedBytes):
    """AES-KW of a data key: 40 bytes (RFC 3394)."""

    LENGTH = 40
