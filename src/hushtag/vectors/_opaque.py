"""The operations on OPAQUE messages and records, through the facade."""

from typing import Final

from hushtag import _labels, _opaque
from hushtag._opaque import ServerSetup
from hushtag.types import (
    KE1,
    KE2,
    KE3,
    CredentialIdentifier,
    LoginState,
    MaskingKey,
    OpaquePassword,
    Record,
    RegistrationRequest,
    RegistrationResponse,
    ServerLoginState,
    ServerSeed,
)
from hushtag.vectors._operation import Implementation, Octets

_Result = dict[str, object]

REFERENCE_ONLY: Final = frozenset(
    {
        "opaque.registration_request",
        "opaque.finish_registration",
        "opaque.start_login",
        "opaque.answer_login",
    }
)
"""Steps in which the binding draws blinds, nonces or key shares itself; `tests/reference` runs them."""


def _credential_identifier(opaque_credential_id: Octets) -> _Result:
    return {"credential_identifier": _labels.CREDENTIAL + CredentialIdentifier(opaque_credential_id)}


def _record(record: Octets) -> _Result:
    whole = Record(record)
    _opaque.check_record(whole)
    return {
        "verifier_kv": whole.client_public_key,
        "opaque_envelope": whole[32:],
        "masking_key": whole.masking_key.expose(),
        "phrase_hash": _opaque.phrase_hash(whole.masking_key),
    }


def _phrase_hash(masking_key: Octets) -> _Result:
    return {"phrase_hash": _opaque.phrase_hash(MaskingKey(masking_key))}


def _decoy_record(opaque_setup: Octets, opaque_credential_id: Octets, decoy_seed: Octets) -> _Result:
    setup, identifier = ServerSetup(opaque_setup), CredentialIdentifier(opaque_credential_id)
    return {"record": _opaque.decoy_record(setup, ServerSeed(decoy_seed), identifier)}


def _registration_response(opaque_setup: Octets, opaque_credential_id: Octets, registration_request: Octets) -> _Result:
    request = RegistrationRequest(registration_request)
    answer = _opaque.answer_registration(ServerSetup(opaque_setup), CredentialIdentifier(opaque_credential_id), request)
    return {"registration_response": answer}


def _locate(password: Octets, blind: Octets, registration_request: Octets, registration_response: Octets) -> _Result:
    # Locating reads only the state's first 64 bytes, blind || blinded element.
    state = LoginState((blind + RegistrationRequest(registration_request)).ljust(LoginState.LENGTH, b"\0"))
    response = RegistrationResponse(registration_response)
    masking_key = _opaque.locate_masking_key(OpaquePassword(password), state, response)
    return {"masking_key": masking_key.expose(), "phrase_hash": _opaque.phrase_hash(masking_key)}


def _evaluate_login(opaque_setup: Octets, opaque_credential_id: Octets, record: Octets, ke1: Octets) -> _Result:
    setup, identifier = ServerSetup(opaque_setup), CredentialIdentifier(opaque_credential_id)
    _, ke2 = _opaque.start_server_login(setup, identifier, Record(record), KE1(ke1))
    return {"evaluated_element": ke2[:32]}


def login_state(blind: bytes, ke1: bytes, keyshare_private_key: bytes) -> LoginState:
    """Return what the binding remembers between KE1 and KE2: blind || KE1 || key share || client nonce."""
    return LoginState(blind + KE1(ke1) + keyshare_private_key + ke1[32:64])


def _finish_login(
    password: Octets, blind: Octets, client_keyshare_private_key: Octets, ke1: Octets, ke2: Octets
) -> _Result:
    state = login_state(blind, ke1, client_keyshare_private_key)
    ke3, session_key, export_key = _opaque.finish_login(OpaquePassword(password), state, KE2(ke2))
    return {"ke3": ke3, "session_key": session_key.expose(), "export_key": export_key.expose()}


def _finish_server_login(session_key: Octets, expected_ke3: Octets, ke3: Octets) -> _Result:
    # What the binding remembers between KE2 and KE3: session key || expected KE3.
    state = ServerLoginState(session_key + expected_ke3)
    return {"session_key": _opaque.finish_server_login(state, KE3(ke3)).expose()}


OPERATIONS: Final[dict[str, Implementation]] = {
    "suite.credential_identifier": _credential_identifier,
    "suite.record": _record,
    "suite.phrase_hash": _phrase_hash,
    "suite.decoy_record": _decoy_record,
    "opaque.registration_response": _registration_response,
    "opaque.locate": _locate,
    "opaque.evaluate_login": _evaluate_login,
    "opaque.finish_login": _finish_login,
    "opaque.finish_server_login": _finish_server_login,
}
