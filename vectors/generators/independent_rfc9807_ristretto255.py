"""RFC 9807 appendix C: every ristretto255 vector, and refusals that follow from the RFC's own figures."""

import json
from pathlib import Path
from typing import Any

from .independent_support.shape import document, vector

_FIGURES = Path(__file__).parent / "independent_support" / "rfc9807_figures.json"
_SOURCE = (
    "RFC 9807 appendix C, ristretto255-SHA512 with HKDF-SHA512, HMAC-SHA512 and the Identity KSF; "
    "refusals are those figures with one change, as sections 4.1.3, 5.2 and 6.4 demand"
)
_IDENTITY_ELEMENT = "00" * 32
_NEGATIVE_ELEMENT = "01" + "00" * 31
_DESCRIPTIONS = {
    "login_without_identities": "RFC 9807 appendix C.1: registration and login, identities default to public keys",
    "login_with_identities": "RFC 9807 appendix C.1: registration and login, identities alice and bob",
}


def _flip(figure: str, byte: int) -> str:
    """`figure` with the lowest bit of one byte inverted."""
    raw = bytearray.fromhex(figure)
    raw[byte] ^= 1
    return raw.hex()


def _settings(case: dict[str, Any]) -> dict[str, str]:
    return {"ksf": case["ksf"], "context": case["context"]}


def _logins(case: dict[str, Any]) -> list[dict[str, Any]]:
    expected = {**case["expected"], "intermediate": case["intermediate"]}
    return [
        vector(
            f"opaque_{case['name']}",
            _DESCRIPTIONS[case["name"]],
            "opaque_login",
            {**_settings(case), **case["given"]},
            expected,
        )
    ]


def _registration_responses(case: dict[str, Any]) -> list[dict[str, Any]]:
    server = ("oprf_seed", "server_private_key", "server_public_key", "credential_identifier")
    given = {name: case["given"][name] for name in server}
    request = case["expected"]["registration_request"]
    refused = [
        ("identity_element", "the blinded element is the identity (RFC 9497 section 4.1)", _IDENTITY_ELEMENT),
        ("negative_element", "the blinded element is not canonical (RFC 9496 section 4.3.1)", _NEGATIVE_ELEMENT),
        ("request_short", "the request is 31 bytes", request[:-2]),
    ]
    return [
        vector(
            "opaque_registration_response",
            "RFC 9807 appendix C.1: the server's half of a registration",
            "opaque_registration_response",
            {**given, "registration_request": request},
            {"registration_response": case["expected"]["registration_response"]},
        ),
        *(
            vector(
                f"opaque_registration_response_{name}",
                f"a registration request must be refused: {why}",
                "opaque_registration_response",
                {**given, "registration_request": bad},
                expect="malformed",
            )
            for name, why, bad in refused
        ),
    ]


def _client_finishes(case: dict[str, Any]) -> list[dict[str, Any]]:
    names = ("password", "blind_login", "client_nonce", "client_keyshare_seed")
    given = {**_settings(case), **{name: case["given"][name] for name in names}}
    ke2 = case["expected"]["KE2"]
    forged = [
        (
            "evaluated_element_replaced",
            "another valid element is evaluated",
            case["given"]["server_public_key"] + ke2[64:],
        ),
        ("masking_nonce_flipped", "one bit of the masking nonce", _flip(ke2, 32)),
        ("server_key_flipped", "one bit of the masked server public key", _flip(ke2, 64)),
        ("envelope_nonce_flipped", "one bit of the masked envelope nonce", _flip(ke2, 96)),
        ("envelope_tag_flipped", "one bit of the masked envelope tag", _flip(ke2, 191)),
        ("server_nonce_flipped", "one bit of the server nonce", _flip(ke2, 192)),
        ("server_mac_flipped", "one bit of the server MAC", _flip(ke2, 319)),
    ]
    malformed = [
        ("identity_element", "the evaluated element is the identity", _IDENTITY_ELEMENT + ke2[64:]),
        ("identity_keyshare", "the server key share is the identity", ke2[:448] + _IDENTITY_ELEMENT + ke2[512:]),
        ("ke2_short", "KE2 is 319 bytes", ke2[:-2]),
    ]
    return [
        vector(
            "opaque_client_finish",
            "RFC 9807 appendix C.1: the client's answer to KE2",
            "opaque_client_finish",
            {**given, "KE2": ke2},
            {name: case["expected"][name] for name in ("KE3", "session_key", "export_key")},
        ),
        vector(
            "opaque_client_finish_wrong_password",
            "the same login with one letter of the password changed",
            "opaque_client_finish",
            {**given, "password": _flip(given["password"], 0), "KE2": ke2},
            expect="authentication_failed",
        ),
        *(
            vector(
                f"opaque_client_finish_{name}",
                f"KE2 changed on its way: {why}",
                "opaque_client_finish",
                {**given, "KE2": bad},
                expect="authentication_failed",
            )
            for name, why, bad in forged
        ),
        *(
            vector(
                f"opaque_client_finish_{name}",
                f"KE2 must be refused: {why}",
                "opaque_client_finish",
                {**given, "KE2": bad},
                expect="malformed",
            )
            for name, why, bad in malformed
        ),
    ]


def _fake_record(case: dict[str, Any]) -> dict[str, Any]:
    # These two figures only serve to derive others; the server never holds a fake client's private key.
    unused = {"client_private_key", "client_keyshare_seed"}
    given = {name: figure for name, figure in case["given"].items() if name not in unused}
    return vector(
        "opaque_fake_record",
        "RFC 9807 appendix C.2: KE2 for a client that never registered; the envelope is 96 zero bytes",
        "opaque_fake_record",
        {"context": case["context"], **given},
        {"KE2": case["expected"]["KE2"]},
    )


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    cases = {case["name"]: case for case in json.loads(_FIGURES.read_text(encoding="utf-8"))["vectors"]}
    plain = cases["login_without_identities"]
    vectors = [
        *_logins(plain),
        *_logins(cases["login_with_identities"]),
        _fake_record(cases["fake_record"]),
        *_registration_responses(plain),
        *_client_finishes(plain),
    ]
    return document("rfc9807_ristretto255", _SOURCE, vectors)
