"""Registration, locating, records, phrase hash and decoy (SPEC.md section 6)."""

from typing import Any

from .suite_support import opaque, spec
from .suite_support.fixed import (
    CREDENTIAL_ID,
    DECOY_CLIENT,
    DECOY_SEED,
    IDENTITY_ELEMENT,
    NEGATIVE_ELEMENT,
    SETUP,
    octets,
)
from .suite_support.shape import Vector, accepted, document, malformed

_PASSWORD = spec.opaque_password(octets("stretch", 32))
_OTHER_PASSWORD = spec.opaque_password(octets("other stretch", 32))
_SERVER = {"opaque_setup": SETUP, "opaque_credential_id": CREDENTIAL_ID}


def _identifiers() -> list[Vector]:
    operation = "suite.credential_identifier"
    expected = {"credential_identifier": spec.credential_identifier(CREDENTIAL_ID)}
    return [
        accepted("credential_identifier", "label and id", operation, {"opaque_credential_id": CREDENTIAL_ID}, expected),
        *(
            malformed(
                f"credential_identifier_{len(value)}_bytes",
                "an id has 32 bytes",
                operation,
                {"opaque_credential_id": value},
            )
            for value in (b"", CREDENTIAL_ID[:31], CREDENTIAL_ID + b"\0")
        ),
    ]


def _registrations(recorded: opaque.Recorded) -> list[Vector]:
    values = recorded.values
    request, response = values["registration_request"], values["registration_response"]
    blinding = {"password": _PASSWORD, "blind": opaque.BLIND_REGISTRATION}
    answered = {**_SERVER, "registration_request": request}
    finishing = {**blinding, "registration_response": response, "envelope_nonce": opaque.RANDOMNESS["envelope_nonce"]}
    other_user = {**answered, "opaque_credential_id": octets("other opaque_credential_id", 32)}
    other = opaque.answer_registration(request, other_user["opaque_credential_id"])
    return [
        accepted(
            "registration_request",
            "the blinded password",
            "opaque.registration_request",
            blinding,
            {"registration_request": request},
        ),
        accepted(
            "registration_response",
            "the evaluated element",
            "opaque.registration_response",
            answered,
            {"registration_response": response},
        ),
        accepted(
            "registration_response_other_user",
            "another user has another OPRF key",
            "opaque.registration_response",
            other_user,
            {"registration_response": other},
        ),
        *(
            malformed(
                f"registration_response_{name}",
                f"refused: {why}",
                "opaque.registration_response",
                {**answered, **change},
            )
            for name, why, change in (
                ("identity_element", "the identity element", {"registration_request": IDENTITY_ELEMENT}),
                ("negative_element", "a non-canonical element", {"registration_request": NEGATIVE_ELEMENT}),
                ("request_short", "a request of 31 bytes", {"registration_request": request[:31]}),
                ("request_long", "a request of 33 bytes", {"registration_request": request + b"\0"}),
                ("setup_short", "a setup of 127 bytes", {"opaque_setup": SETUP[:127]}),
            )
        ),
        accepted(
            "registration_finish",
            "the record to store",
            "opaque.finish_registration",
            finishing,
            {"record": recorded.record, "export_key": values["export_key"]},
        ),
    ]


def _locates(recorded: opaque.Recorded) -> list[Vector]:
    response, masking_key = opaque.locate(_PASSWORD)
    if masking_key != recorded.values["masking_key"]:
        raise ValueError("the masking key depends on the blind")
    given = {
        "password": _PASSWORD,
        "blind": opaque.BLIND_LOGIN,
        "registration_request": recorded.values["KE1"][:32],
        "registration_response": response,
    }
    found = {"masking_key": masking_key, "phrase_hash": spec.phrase_hash(masking_key)}
    other_response, other_key = opaque.locate(_OTHER_PASSWORD)
    other = {
        **given,
        "password": _OTHER_PASSWORD,
        "registration_request": opaque.start_login(_OTHER_PASSWORD).ke1[:32],
        "registration_response": other_response,
    }
    bad = {
        "identity_element": IDENTITY_ELEMENT + response[32:],
        "negative_element": NEGATIVE_ELEMENT + response[32:],
        "identity_server_key": response[:32] + IDENTITY_ELEMENT,
        "response_short": response[:63],
        "response_long": response + b"\0",
    }
    return [
        accepted(
            "locate_enrolled_phrase",
            "a registration that is never stored, from the blind of the login",
            "opaque.locate",
            given,
            found,
        ),
        accepted(
            "locate_other_phrase",
            "a phrase that nobody enrolled is located like one that somebody did",
            "opaque.locate",
            other,
            {"masking_key": other_key, "phrase_hash": spec.phrase_hash(other_key)},
        ),
        *(
            malformed(
                f"locate_{name}",
                "a response that is refused",
                "opaque.locate",
                {**given, "registration_response": value},
            )
            for name, value in bad.items()
        ),
    ]


def _records(recorded: opaque.Recorded) -> list[Vector]:
    record = recorded.record
    parts = {
        "verifier_kv": record[:32],
        "opaque_envelope": record[32:],
        "masking_key": record[32:96],
        "phrase_hash": spec.phrase_hash(record[32:96]),
    }
    bad = {
        "short": record[:191],
        "long": record + b"\0",
        "identity_key": IDENTITY_ELEMENT + record[32:],
        "negative_key": NEGATIVE_ELEMENT + record[32:],
    }
    masking_key = record[32:96]
    decoy = {**_SERVER, "decoy_seed": DECOY_SEED}
    return [
        accepted("record_parts", "a record in its two columns", "suite.record", {"record": record}, parts),
        *(
            malformed(f"record_{name}", "a record that is refused", "suite.record", {"record": value})
            for name, value in bad.items()
        ),
        accepted(
            "phrase_hash",
            "of the masking key",
            "suite.phrase_hash",
            {"masking_key": masking_key},
            {"phrase_hash": spec.phrase_hash(masking_key)},
        ),
        *(
            malformed(
                f"phrase_hash_{len(key)}_bytes", "a masking key has 64 bytes", "suite.phrase_hash", {"masking_key": key}
            )
            for key in (b"", masking_key[:63], masking_key + b"\0")
        ),
        accepted(
            "decoy_record",
            "the decoy of a user",
            "suite.decoy_record",
            decoy,
            {"record": spec.decoy_record(DECOY_CLIENT.public_key, DECOY_SEED, CREDENTIAL_ID)},
        ),
        malformed(
            "decoy_record_seed_short",
            "a decoy seed has 32 bytes",
            "suite.decoy_record",
            {**decoy, "decoy_seed": DECOY_SEED[:31]},
        ),
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    recorded = opaque.record(_PASSWORD)
    vectors = [*_identifiers(), *_registrations(recorded), *_locates(recorded), *_records(recorded)]
    return document("registration", "SPEC.md section 6, recorded by the reference in tests/reference", vectors)
