"""OPAQUE (RFC 9807): the only importer of the binding. Typed messages in, typed messages out.

The binding fixes OPAQUE-3DH on ristretto255-SHA512 with HKDF/HMAC-SHA512, the KSF Argon2id(19456 KiB, t=2, p=1,
16 zero bytes of salt), empty context and no identities. `ServerSetupData.get_public_key` returns the private key
too and is never called. Client steps with a KSF hold the GIL for tens of milliseconds: run them off an event loop.
"""

import hashlib
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

import opaque_ke_py as binding

from hushtag import _labels
from hushtag._kdf import hkdf_sha512
from hushtag.errors import AuthenticationError, HushtagError, MalformedError, MisuseError
from hushtag.types import (
    KE1,
    KE2,
    KE3,
    CredentialIdentifier,
    ExportKey,
    LoginState,
    MaskingKey,
    OpaquePassword,
    PhraseHash,
    Record,
    RegistrationRequest,
    RegistrationResponse,
    RegistrationState,
    ServerLoginState,
    ServerSeed,
    SessionKey,
)

SETUP_LENGTH: Final = 128
"""Bytes of a server setup: oprf_seed(64) || private key(32) || decoy public key(32)."""

_T = TypeVar("_T")


def _call(step: Callable[[], _T], failure: HushtagError) -> _T:
    """Run one binding call; whatever it raises becomes `failure`, so the binding's reasons never get out."""
    try:
        return step()
    except Exception:  # the binding raises bare ValueError; its text would be an oracle
        raise failure from None
    except BaseException as panic:
        # A Rust panic derives from BaseException; an interrupt must still get through.
        if type(panic).__name__ == "PanicException":
            raise failure from None
        raise


class ServerSetup:
    """The server's OPAQUE keys: 128 bytes, parsed once. Redacted, and refuses pickling."""

    __slots__ = ("_raw", "parsed")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != SETUP_LENGTH:
            raise MalformedError(f"opaque setup is {len(raw)} bytes, expected {SETUP_LENGTH}")
        self._raw = bytes(raw)
        self.parsed = _call(
            lambda: binding.ServerSetupData.from_bytes(self._raw),
            MalformedError("opaque setup does not parse"),
        )

    @classmethod
    def generate(cls) -> "ServerSetup":
        """Return a fresh setup from the operating system's randomness."""
        return cls(bytes(binding.server_setup().to_bytes()))

    def expose(self) -> bytes:
        """Return the 128 bytes, for the key file."""
        return self._raw

    @property
    def decoy_public_key(self) -> bytes:
        """A valid group element (32 bytes) whose private key nobody uses."""
        return self._raw[96:]

    def __repr__(self) -> str:
        return "ServerSetup(<redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise MisuseError("ServerSetup must not be pickled or copied")


def _identifier(credential_id: CredentialIdentifier) -> bytes:
    return _labels.CREDENTIAL + credential_id


def start_registration(password: OpaquePassword) -> tuple[RegistrationState, RegistrationRequest]:
    """Blind the password (RFC 9807, section 5.2.1)."""
    started = binding.client_registration_start(password.expose())
    return RegistrationState(bytes(started.get_state())), RegistrationRequest(bytes(started.get_message()))


def finish_registration(
    password: OpaquePassword, state: RegistrationState, response: RegistrationResponse
) -> tuple[Record, ExportKey]:
    """Return the record and the export key (RFC 9807, section 5.2.3); runs OPAQUE's Argon2id.

    Raises:
        MalformedError: the response holds no valid group elements.
    """
    finished = _call(
        lambda: binding.client_registration_finish(password.expose(), state.expose(), response),
        MalformedError("registration response does not parse"),
    )
    return Record(bytes(finished.get_message())), ExportKey(bytes(finished.get_export_key()))


def start_login(password: OpaquePassword) -> tuple[LoginState, KE1]:
    """Blind the password and make the client's key share (RFC 9807, section 6.2.1)."""
    started = binding.client_login_start(password.expose())
    return LoginState(bytes(started.get_state())), KE1(bytes(started.get_message()))


def locate_masking_key(password: OpaquePassword, state: LoginState, response: RegistrationResponse) -> MaskingKey:
    """Return the masking key that a record of this password has; runs OPAQUE's Argon2id.

    This is a registration (RFC 9807, section 5.2) that is never stored. It reuses the blind of the login: the
    state's first 64 bytes are blind || blinded element, which is what a registration's state is. The server thus
    sees one blinded element per candidate, evaluates and charges it once, and learns nothing from its reuse.

    Raises:
        MalformedError: the response holds no valid group elements.
    """
    record, export_key = register_located(password, state, response)
    export_key.forget()
    return record.masking_key


def register_located(
    password: OpaquePassword, state: LoginState, response: RegistrationResponse
) -> tuple[Record, ExportKey]:
    """Return record and export key of a registration from the blind of a login; runs OPAQUE's Argon2id.

    Raises:
        MalformedError: the response holds no valid group elements.
    """
    registration = RegistrationState(state.expose()[: RegistrationState.LENGTH])
    try:
        return finish_registration(password, registration, response)
    finally:
        registration.forget()


def finish_login(password: OpaquePassword, state: LoginState, ke2: KE2) -> tuple[KE3, SessionKey, ExportKey]:
    """Open the envelope and prove the password (RFC 9807, section 6.2.3); runs OPAQUE's Argon2id.

    Raises:
        AuthenticationError: wrong password, decoy record or forged answer; which of them is not told.
    """
    finished = _call(lambda: binding.client_login_finish(password.expose(), state.expose(), ke2), AuthenticationError())
    return (
        KE3(bytes(finished.get_message())),
        SessionKey(bytes(finished.get_session_key())),
        ExportKey(bytes(finished.get_export_key())),
    )


def phrase_hash(masking_key: MaskingKey) -> PhraseHash:
    """Return BLAKE2s-128 with person "hushtag1" (RFC 7693) of the masking key.

    Safe to store: the masking key stands in the record beside it, and deriving it from a guess takes the
    server's OPRF key and both stretches.
    """
    digest = hashlib.blake2s(masking_key.expose(), digest_size=PhraseHash.LENGTH, person=_labels.PHRASE_HASH_PERSON)
    return PhraseHash(digest.digest())


def answer_registration(
    setup: ServerSetup, credential_id: CredentialIdentifier, request: RegistrationRequest
) -> RegistrationResponse:
    """Evaluate one blinded element (RFC 9807, section 5.2.2): one guess, so charge for it first.

    Raises:
        MalformedError: the request is not a valid, non-identity group element.
    """
    started = _call(
        lambda: binding.server_registration_start(setup.parsed, request, _identifier(credential_id)),
        MalformedError("blinded element is not a group element"),
    )
    return RegistrationResponse(bytes(started.get_message()))


def check_record(record: Record) -> None:
    """Refuse a record that a later login could not use.

    Raises:
        MalformedError: its public key is not a group element.
    """
    stored = _call(
        lambda: binding.server_registration_finish(record).get_password_file(),
        MalformedError("registration record does not parse"),
    )
    if bytes(stored) != record:
        raise MalformedError("registration record is not in canonical form")


def start_server_login(
    setup: ServerSetup, credential_id: CredentialIdentifier, record: Record, ke1: KE1
) -> tuple[ServerLoginState, KE2]:
    """Answer KE1 from a record, real or decoy (RFC 9807, section 6.2.2).

    Raises:
        MalformedError: KE1 holds no valid group elements.
    """
    started = _call(
        lambda: binding.server_login_start(setup.parsed, record, ke1, _identifier(credential_id)),
        MalformedError("ke1 does not parse"),
    )
    return ServerLoginState(bytes(started.get_state())), KE2(bytes(started.get_message()))


def finish_server_login(state: ServerLoginState, ke3: KE3) -> SessionKey:
    """Verify KE3 (RFC 9807, section 6.2.4).

    Raises:
        AuthenticationError: the client did not prove the password.
    """
    finished = _call(lambda: binding.server_login_finish(state.expose(), ke3), AuthenticationError())
    return SessionKey(bytes(finished.get_session_key()))


def decoy_record(setup: ServerSetup, seed: ServerSeed, credential_id: CredentialIdentifier) -> Record:
    """Return the record that answers for a phrase hash nobody enrolled (RFC 9807, section 10.9).

    A valid public key, a masking key nobody knows and an envelope of zeros: the answer made from it is
    distributed like a real one for whoever does not hold the phrase, and no phrase opens it.
    """
    masking_key = hkdf_sha512(seed.expose(), b"", _labels.DECOY + credential_id, MaskingKey.LENGTH)
    return Record(setup.decoy_public_key + masking_key + bytes(96))
