"""Argon2id: RFC 9106 section 5.3 and the further cases that `cryptography_vectors` ships."""

from typing import Any

from .independent_support.published import Case, read
from .independent_support.shape import document, vector

_SOURCE = (
    "RFC 9106 section 5.3 (first vector); OpenSSL's and the argon2 command's figures as shipped by "
    "cryptography_vectors; refusals follow RFC 9106 section 3.1"
)
_RFC_9106 = {
    "password": "01" * 32,
    "salt": "02" * 16,
    "secret": "03" * 8,
    "associated_data": "04" * 12,
    "memory_kib": 32,
    "iterations": 3,
    "lanes": 4,
    "length": 32,
}
_REFUSED = {
    "length_short": ("a tag of 3 bytes", {"length": 3}),
    "memory_small": ("less than 8 KiB for each lane", {"memory_kib": 31}),
    "no_iterations": ("no pass over the memory", {"iterations": 0}),
    "no_lanes": ("no lane", {"lanes": 0}),
}


def _case(number: int, case: Case) -> dict[str, Any]:
    fields = case.fields
    name, description = (
        ("argon2id_rfc9106", "RFC 9106 section 5.3, with secret and associated data")
        if fields.get("secret")
        else (f"argon2id_shipped_{number}", "password and salt alone")
    )
    return vector(
        name,
        description,
        "argon2id",
        {
            "password": fields["pass"],
            "salt": fields["salt"],
            "secret": fields.get("secret", ""),
            "associated_data": fields.get("ad", ""),
            "memory_kib": int(fields["memcost"]),
            "iterations": int(fields["iter"]),
            "lanes": int(fields["lanes"]),
            "length": int(fields["length"]),
        },
        {"tag": fields["output"]},
    )


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    shipped = [_case(number, case) for number, case in enumerate(read("KDF/argon2id.txt"))]
    refused = [
        vector(
            f"argon2id_{name}",
            f"parameters that RFC 9106 section 3.1 forbids: {why}",
            "argon2id",
            {**_RFC_9106, **change},
            expect="malformed",
        )
        for name, (why, change) in _REFUSED.items()
    ]
    return document("rfc9106_argon2id", _SOURCE, [*shipped, *refused])
