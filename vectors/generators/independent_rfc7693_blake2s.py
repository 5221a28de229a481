"""BLAKE2s: RFC 7693 appendices B and E, shipped figures, and personalised hashes of the suite's shape."""

import hashlib
from typing import Any

from .independent_support.published import read
from .independent_support.shape import document, vector

_SELF_TEST = {"digest_sizes": [16, 20, 28, 32], "input_lengths": [0, 3, 64, 65, 255, 1024]}
_SELF_TEST_DIGEST = "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe"
# No publication has figures with a person: hashlib makes these, tests/reference/blake2s.py confirms them.
_PERSONALISED = {
    "phrase_hash": (16, b"hushtag1", bytes(range(64))),
    "self_check": (32, b"hushchk1", b"twenty one pelicans"),
    "empty": (16, b"hushtag1", b""),
    "short_person": (16, b"hush", bytes(range(64))),
}
_SOURCE = (
    "RFC 7693 appendix B (abc) and appendix E (self-test); unkeyed figures shipped by cryptography_vectors; "
    "personalised ones computed by two independent implementations, no publication has any"
)


def _given(data: str, digest_size: int = 32, person: str = "") -> dict[str, Any]:
    return {"data": data, "key": "", "person": person, "digest_size": digest_size}


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    shipped = [
        vector(
            f"blake2s_{case.fields['len']}_bits",
            "RFC 7693 appendix B" if case.fields["len"] == "24" else "unkeyed, 32 bytes",
            "blake2s",
            # A response file writes an empty message as one zero byte of length 0.
            _given(case.fields["msg"][: int(case.fields["len"]) // 4]),
            {"digest": case.fields["md"]},
        )
        for case in read("hashes/blake2/blake2s.txt")
    ]
    self_test = vector(
        "blake2s_self_test",
        "RFC 7693 appendix E: every digest size and length, unkeyed and keyed, hashed together",
        "blake2s_self_test",
        _SELF_TEST,
        {"digest": _SELF_TEST_DIGEST},
    )
    personalised = [
        vector(
            f"blake2s_person_{name}",
            "with a person (RFC 7693 section 2.5 reserves the parameter, the BLAKE2 paper defines it)",
            "blake2s",
            _given(data.hex(), size, person.hex()),
            {"digest": hashlib.blake2s(data, digest_size=size, person=person).hexdigest()},
        )
        for name, (size, person, data) in _PERSONALISED.items()
    ]
    refused = [
        vector(
            f"blake2s_{name}",
            f"a parameter outside RFC 7693 section 2.1: {why}",
            "blake2s",
            given,
            expect="malformed",
        )
        for name, why, given in (
            ("digest_long", "a digest of 33 bytes", _given("616263", 33)),
            ("digest_empty", "a digest of 0 bytes", _given("616263", 0)),
            ("key_long", "a key of 33 bytes", {**_given("616263"), "key": "00" * 33}),
            ("person_long", "a person of 9 bytes", _given("616263", 32, "00" * 9)),
        )
    ]
    return document("rfc7693_blake2s", _SOURCE, [*shipped, self_test, *personalised, *refused])
