"""OPAQUE-3DH, client and server (RFC 9807 sections 5 and 6), over ristretto255 and SHA-512.

Every message is bytes, every random value a parameter. Registration uploads and records are
`client_public_key(32) || masking_key(64) || envelope(96)`; KE1 is 96 bytes, KE2 320, KE3 64.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from . import envelope, key_schedule, oprf
from .key_schedule import SessionKeys
from .oprf import KeyPair
from .ristretto import decode_scalar

REGISTRATION_REQUEST_BYTES, REGISTRATION_RESPONSE_BYTES, RECORD_BYTES = 32, 64, 192
KE1_BYTES, KE2_BYTES, KE3_BYTES = 96, 320, 64
_KE2_WITHOUT_MAC = KE2_BYTES - key_schedule.HASH_BYTES


class MessageError(ValueError):
    """A message does not have the length RFC 9807 fixes."""


class ServerAuthenticationError(Exception):
    """RFC 9807 section 6.4.3: the MAC of KE2 does not verify."""


class ClientAuthenticationError(Exception):
    """RFC 9807 section 6.4.4: the MAC of KE3 does not verify."""


@dataclass(frozen=True)
class Configuration:
    """What both sides must agree on beyond the group and the hash (RFC 9807 section 7)."""

    ksf: Callable[[bytes], bytes] = key_schedule.suite_ksf
    context: bytes = b""
    client_identity: bytes | None = None
    server_identity: bytes | None = None


@dataclass(frozen=True)
class ServerSetup:
    """The server's long-lived secrets: a 64-byte seed of all OPRF keys, and its key pair."""

    oprf_seed: bytes
    key_pair: KeyPair


@dataclass(frozen=True)
class Registration:
    """The client's end of a registration: the upload for the server, the keys, and what led to them."""

    upload: bytes
    export_key: bytes
    randomized_password: bytes
    auth_key: bytes


@dataclass(frozen=True)
class ClientLoginState:
    """What the client remembers between KE1 and KE2."""

    password: bytes
    blind: bytes
    ke1: bytes
    keyshare_private_key: bytes


@dataclass(frozen=True)
class ServerLogin:
    """The server's end of KE2; `keys.client_mac` is the only KE3 that `server_finish` accepts."""

    ke2: bytes
    keys: SessionKeys


@dataclass(frozen=True)
class ClientLogin:
    """The client's end of a login."""

    ke3: bytes
    export_key: bytes
    keys: SessionKeys


def _check(name: str, message: bytes, length: int) -> None:
    if len(message) != length:
        raise MessageError(f"{name} is {len(message)} bytes, expected {length}")


def _diffie_hellman(private_key: bytes, public_key: bytes) -> bytes:
    """RFC 9807 section 6.4.1, DiffieHellman, on encodings."""
    return (decode_scalar(private_key) * oprf.deserialize_element(public_key)).encode()


def derive_oprf_key(oprf_seed: bytes, credential_identifier: bytes) -> KeyPair:
    """RFC 9807 section 5.2.2: the OPRF key of one credential identifier."""
    seed = key_schedule.expand(oprf_seed, credential_identifier + b"OprfKey", key_schedule.SEED_BYTES)
    return oprf.derive_key_pair(seed, b"OPAQUE-DeriveKeyPair")


def create_registration_request(password: bytes, blind: bytes) -> bytes:
    """RFC 9807 section 5.2.1."""
    return oprf.blind(password, blind)


def create_registration_response(
    setup: ServerSetup, registration_request: bytes, credential_identifier: bytes
) -> bytes:
    """RFC 9807 section 5.2.2: `evaluated element || server public key`."""
    _check("registration request", registration_request, REGISTRATION_REQUEST_BYTES)
    oprf_key = derive_oprf_key(setup.oprf_seed, credential_identifier)
    return oprf.blind_evaluate(oprf_key.private_key, registration_request) + setup.key_pair.public_key


def finalize_registration_request(
    config: Configuration, password: bytes, blind: bytes, registration_response: bytes, envelope_nonce: bytes
) -> Registration:
    """RFC 9807 section 5.2.3."""
    _check("registration response", registration_response, REGISTRATION_RESPONSE_BYTES)
    evaluated, server_public_key = registration_response[:32], registration_response[32:]
    stretched = key_schedule.randomized_password(oprf.finalize(password, blind, evaluated), config.ksf)
    sealed, credentials = envelope.store(
        stretched, server_public_key, config.server_identity, config.client_identity, envelope_nonce
    )
    return Registration(
        upload=credentials.client.public_key + envelope.masking_key(stretched) + sealed,
        export_key=credentials.export_key,
        randomized_password=stretched,
        auth_key=credentials.auth_key,
    )


def generate_ke1(password: bytes, blind: bytes, client_nonce: bytes, keyshare: KeyPair) -> ClientLoginState:
    """RFC 9807 section 6.2.1: KE1 is `blinded element || nonce || key share`."""
    ke1 = oprf.blind(password, blind) + client_nonce + keyshare.public_key
    return ClientLoginState(password, blind, ke1, keyshare.private_key)


def generate_ke2(
    config: Configuration,
    setup: ServerSetup,
    record: bytes,
    ke1: bytes,
    credential_identifier: bytes,
    masking_nonce: bytes,
    server_nonce: bytes,
    keyshare: KeyPair,
) -> ServerLogin:
    """RFC 9807 sections 6.2.2, 6.3.2.2 and 6.4.4; a fake record (section 6.3.2.2) is a record like any other."""
    _check("record", record, RECORD_BYTES)
    _check("KE1", ke1, KE1_BYTES)
    client_public_key, masking_key, sealed = record[:32], record[32:96], record[96:]
    blinded, client_keyshare = ke1[:32], ke1[64:]
    oprf_key = derive_oprf_key(setup.oprf_seed, credential_identifier)
    masked = envelope.mask(masking_key, masking_nonce, setup.key_pair.public_key + sealed)
    evaluated = oprf.blind_evaluate(oprf_key.private_key, blinded)
    ke2 = evaluated + masking_nonce + masked + server_nonce + keyshare.public_key
    keys = key_schedule.derive_keys(
        _diffie_hellman(keyshare.private_key, client_keyshare)
        + _diffie_hellman(setup.key_pair.private_key, client_keyshare)
        + _diffie_hellman(keyshare.private_key, client_public_key),
        _transcript(config, client_public_key, setup.key_pair.public_key, ke1, ke2),
    )
    return ServerLogin(ke2 + keys.server_mac, keys)


def generate_ke3(config: Configuration, state: ClientLoginState, ke2: bytes) -> ClientLogin:
    """RFC 9807 sections 6.2.3, 6.3.2.3 and 6.4.3.

    Raises `EnvelopeRecoveryError`, `ServerAuthenticationError`, `DecodeError` or `MessageError`.
    """
    _check("KE2", ke2, KE2_BYTES)
    evaluated, masking_nonce, masked = ke2[:32], ke2[32:64], ke2[64:192]
    server_keyshare = ke2[_KE2_WITHOUT_MAC - 32 : _KE2_WITHOUT_MAC]
    oprf_output = oprf.finalize(state.password, state.blind, evaluated)
    stretched = key_schedule.randomized_password(oprf_output, config.ksf)
    response = envelope.mask(envelope.masking_key(stretched), masking_nonce, masked)
    server_public_key, sealed = response[:32], response[32:]
    credentials = envelope.recover(stretched, server_public_key, sealed, config.server_identity, config.client_identity)
    keys = key_schedule.derive_keys(
        _diffie_hellman(state.keyshare_private_key, server_keyshare)
        + _diffie_hellman(state.keyshare_private_key, server_public_key)
        + _diffie_hellman(credentials.client.private_key, server_keyshare),
        _transcript(config, credentials.client.public_key, server_public_key, state.ke1, ke2[:_KE2_WITHOUT_MAC]),
    )
    if not hmac.compare_digest(ke2[_KE2_WITHOUT_MAC:], keys.server_mac):
        raise ServerAuthenticationError
    return ClientLogin(keys.client_mac, credentials.export_key, keys)


def server_finish(login: ServerLogin, ke3: bytes) -> bytes:
    """RFC 9807 section 6.2.4: the session key. Raises `ClientAuthenticationError`."""
    _check("KE3", ke3, KE3_BYTES)
    if not hmac.compare_digest(ke3, login.keys.client_mac):
        raise ClientAuthenticationError
    return login.keys.session_key


def _transcript(
    config: Configuration, client_public_key: bytes, server_public_key: bytes, ke1: bytes, ke2_without_mac: bytes
) -> bytes:
    return key_schedule.preamble(
        config.context,
        config.client_identity or client_public_key,
        ke1,
        config.server_identity or server_public_key,
        ke2_without_mac,
    )
