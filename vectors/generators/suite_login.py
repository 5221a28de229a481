"""Recorded OPAQUE logins: enrolled, decoy, wrong password, each message tampered with (SPEC.md section 6)."""

from typing import Any

from .suite_support import opaque, spec
from .suite_support.fixed import (
    CREDENTIAL_ID,
    DECOY_CLIENT,
    DECOY_SEED,
    IDENTITY_ELEMENT,
    NEGATIVE_ELEMENT,
    SETUP,
    flipped,
    key_pair,
    octets,
)
from .suite_support.shape import Vector, accepted, document, forged, malformed

_PASSWORD = spec.opaque_password(octets("stretch", 32))
_OTHER_PASSWORD = spec.opaque_password(octets("other stretch", 32))
_SERVER = {"opaque_setup": SETUP, "opaque_credential_id": CREDENTIAL_ID}
_DECOY = spec.decoy_record(DECOY_CLIENT.public_key, DECOY_SEED, CREDENTIAL_ID)


def _server_logins(recorded: opaque.Recorded) -> list[Vector]:
    ke1 = recorded.values["KE1"]
    given = {**_SERVER, "record": recorded.record, "ke1": ke1}
    names = ("masking_nonce", "server_nonce", "server_keyshare_seed")
    chance = {name: opaque.RANDOMNESS[name] for name in names}
    vectors = [
        accepted(
            "login_request",
            "KE1",
            "opaque.start_login",
            {
                "password": _PASSWORD,
                "blind": opaque.BLIND_LOGIN,
                "client_nonce": opaque.RANDOMNESS["client_nonce"],
                "client_keyshare_seed": opaque.RANDOMNESS["client_keyshare_seed"],
            },
            {"ke1": ke1, "client_keyshare_private_key": recorded.client_keyshare.private_key},
        )
    ]
    for name, stored in (("login", recorded.record), ("decoy", _DECOY)):
        answer = opaque.answer_login(stored, ke1)
        answered = {**given, "record": stored}
        evaluated = {"evaluated_element": answer.ke2[:32]}
        held = {"ke2": answer.ke2, "ke3": answer.keys.client_mac, "session_key": answer.keys.session_key}
        vectors += [
            accepted(
                f"{name}_response",
                "KE2 and what the server waits for",
                "opaque.answer_login",
                {**answered, **chance},
                held,
            ),
            accepted(f"{name}_evaluated", "what of KE2 is not chance", "opaque.evaluate_login", answered, evaluated),
        ]
    bad = {
        "identity_element": IDENTITY_ELEMENT + ke1[32:],
        "negative_element": NEGATIVE_ELEMENT + ke1[32:],
        "identity_keyshare": ke1[:64] + IDENTITY_ELEMENT,
        "negative_keyshare": ke1[:64] + NEGATIVE_ELEMENT,
        "short": ke1[:95],
        "long": ke1 + b"\0",
    }
    refused = [
        malformed(f"login_evaluated_{name}", "a KE1 that is refused", "opaque.evaluate_login", {**given, "ke1": value})
        for name, value in bad.items()
    ]
    return [*vectors, *refused]


def _client_logins(recorded: opaque.Recorded) -> list[Vector]:
    ke2 = recorded.values["KE2"]
    given = {**recorded.client_state, "ke2": ke2}
    other = opaque.start_login(_OTHER_PASSWORD)
    wrong = {
        **given,
        "password": _OTHER_PASSWORD,
        "ke1": other.ke1,
        "ke2": opaque.answer_login(recorded.record, other.ke1).ke2,
    }
    element = key_pair("another element").public_key
    forgeries = [
        ("wrong_password", "another phrase against the record", wrong),
        (
            "decoy",
            "the right phrase against the decoy record",
            {**given, "ke2": opaque.answer_login(_DECOY, given["ke1"]).ke2},
        ),
        ("evaluated_element_replaced", "another element is evaluated", {**given, "ke2": element + ke2[32:]}),
        ("evaluated_element_identity", "the identity is evaluated", {**given, "ke2": IDENTITY_ELEMENT + ke2[32:]}),
        *(
            (f"{name}_flipped", f"one bit of the {name.replace('_', ' ')}", {**given, "ke2": flipped(ke2, position)})
            for name, position in (
                ("masking_nonce", 32),
                ("masked_server_key", 64),
                ("masked_envelope_nonce", 96),
                ("masked_envelope_tag", 191),
                ("server_nonce", 192),
                ("server_mac", 319),
            )
        ),
        ("server_keyshare_replaced", "another key share", {**given, "ke2": ke2[:224] + element + ke2[256:]}),
        (
            "server_keyshare_identity",
            "the identity as key share",
            {**given, "ke2": ke2[:224] + IDENTITY_ELEMENT + ke2[256:]},
        ),
        (
            "ke1_nonce_flipped",
            "the server saw another client nonce",
            {**given, "ke1": flipped(recorded.values["KE1"], 32)},
        ),
    ]
    kept = {"ke3": recorded.values["KE3"], **{name: recorded.values[name] for name in ("session_key", "export_key")}}
    return [
        accepted("login_finish", "the client's proof and both keys", "opaque.finish_login", given, kept),
        *(forged(f"login_finish_{name}", why, "opaque.finish_login", case) for name, why, case in forgeries),
        *(
            malformed(
                f"login_finish_ke2_{len(value)}_bytes",
                "KE2 has 320 bytes",
                "opaque.finish_login",
                {**given, "ke2": value},
            )
            for value in (b"", ke2[:319], ke2 + b"\0")
        ),
    ]


def _server_finishes(recorded: opaque.Recorded) -> list[Vector]:
    ke3, session_key = recorded.values["KE3"], recorded.values["session_key"]
    decoy = opaque.answer_login(_DECOY, recorded.values["KE1"])
    given = {"session_key": session_key, "expected_ke3": ke3, "ke3": ke3}
    cases = [
        ("first_bit", "the lowest bit of the first byte", flipped(ke3, 0)),
        ("last_bit", "the highest bit of the last byte", flipped(ke3, 63, 7)),
        ("zeros", "64 zero bytes", bytes(64)),
        ("of_the_decoy", "the proof that the decoy's state waits for", decoy.keys.client_mac),
    ]
    operation = "opaque.finish_server_login"
    return [
        accepted("login_verify", "the session key, once KE3 is right", operation, given, {"session_key": session_key}),
        *(forged(f"login_verify_{name}", why, operation, {**given, "ke3": value}) for name, why, value in cases),
        *(
            malformed(f"login_verify_{len(value)}_bytes", "KE3 has 64 bytes", operation, {**given, "ke3": value})
            for value in (b"", ke3[:63], ke3 + b"\0")
        ),
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    recorded = opaque.record(_PASSWORD)
    vectors = [*_server_logins(recorded), *_client_logins(recorded), *_server_finishes(recorded)]
    return document("login", "SPEC.md section 6, recorded by the reference in tests/reference", vectors)
