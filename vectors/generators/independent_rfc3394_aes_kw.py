"""AES Key Wrap with a 256-bit key: RFC 3394 section 4 and a part of NIST's KW_AE and KW_AD files."""

from collections import Counter
from typing import Any

from .independent_support.published import Case, read
from .independent_support.shape import document, vector

_KEK = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
_KEY = "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"
_RFC_3394 = {
    "4.3": (16, "64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7"),
    "4.5": (24, "a8f9bc1612c68b3ff6e6f4fbe30e71e4769c8b80a32cb8958cd5d17d6b254da1"),
    "4.6": (32, "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"),
}
_PER_LENGTH = 3
_SOURCE = (
    "RFC 3394 sections 4.3, 4.5, 4.6; NIST CAVP KW_AE_256 and KW_AD_256 (SP 800-38F) as shipped by "
    "cryptography_vectors, the first three of each length and outcome; refusals by length follow RFC 3394 section 2"
)


def _rfc_3394() -> list[dict[str, Any]]:
    return [
        shape
        for section, (size, wrapped) in _RFC_3394.items()
        for shape in _both_ways(f"rfc3394_{size * 8}", f"RFC 3394 section {section}", _KEY[: 2 * size], wrapped)
    ]


def _both_ways(name: str, description: str, key: str, wrapped: str) -> list[dict[str, Any]]:
    given = {"kek": _KEK}
    return [
        vector(
            f"aes_kw_wrap_{name}",
            f"{description}: wrap",
            "aes_kw_wrap",
            {**given, "key": key},
            {"wrapped_key": wrapped},
        ),
        vector(
            f"aes_kw_unwrap_{name}",
            f"{description}: unwrap",
            "aes_kw_unwrap",
            {**given, "wrapped_key": wrapped},
            {"key": key},
        ),
    ]


def _refused() -> list[dict[str, Any]]:
    wrapped = _RFC_3394["4.6"][1]
    given = {"kek": _KEK}
    tampered = [
        ("first_bit", "first bit inverted", f"{int(wrapped[0], 16) ^ 8:x}" + wrapped[1:]),
        ("last_bit", "last bit inverted", wrapped[:-1] + f"{int(wrapped[-1], 16) ^ 1:x}"),
        ("blocks_swapped", "two blocks swapped", wrapped[:16] + wrapped[32:48] + wrapped[16:32] + wrapped[48:]),
        ("truncated", "last block cut off", wrapped[:-16]),
    ]
    malformed = [
        ("not_blocks", "not a multiple of 8 bytes", wrapped[:-2]),
        ("one_block", "no room for two blocks of key", wrapped[:32]),
        ("empty", "empty", ""),
    ]
    return [
        vector(
            f"aes_kw_unwrap_{name}",
            f"the wrapped key of RFC 3394 section 4.6, {why}",
            "aes_kw_unwrap",
            {**given, "wrapped_key": bad},
            expect="authentication_failed",
        )
        for name, why, bad in tampered
    ] + [
        vector(
            f"aes_kw_unwrap_{name}",
            f"a wrapped key of a length that does not exist: {why}",
            "aes_kw_unwrap",
            {**given, "wrapped_key": bad},
            expect="malformed",
        )
        for name, why, bad in malformed
    ]


def _nist_case(case: Case, number: int) -> dict[str, Any]:
    bits = case.section["plaintext length"]
    fields = case.fields
    if case.fails:
        return vector(
            f"aes_kw_nist_refused_{bits}_{number}",
            f"NIST KW_AD_256, {bits} bits, case {fields['count']}: must be refused",
            "aes_kw_unwrap",
            {"kek": fields["k"], "wrapped_key": fields["c"]},
            expect="authentication_failed",
        )
    return vector(
        f"aes_kw_nist_unwrap_{bits}_{number}",
        f"NIST KW_AD_256, {bits} bits, case {fields['count']}",
        "aes_kw_unwrap",
        {"kek": fields["k"], "wrapped_key": fields["c"]},
        {"key": fields["p"]},
    )


def _nist() -> list[dict[str, Any]]:
    shapes: list[dict[str, Any]] = []
    seen: Counter[tuple[str, int, bool]] = Counter()
    for name in ("KW_AE_256", "KW_AD_256"):
        for case in read(f"keywrap/kwtestvectors/{name}.txt"):
            bits = case.section["plaintext length"]
            seen[name, bits, case.fails] += 1
            number = seen[name, bits, case.fails]
            if number > _PER_LENGTH or bits > 320:
                continue
            shapes.append(_nist_wrap(case, number) if name == "KW_AE_256" else _nist_case(case, number))
    return shapes


def _nist_wrap(case: Case, number: int) -> dict[str, Any]:
    bits = case.section["plaintext length"]
    return vector(
        f"aes_kw_nist_wrap_{bits}_{number}",
        f"NIST KW_AE_256, {bits} bits, case {case.fields['count']}",
        "aes_kw_wrap",
        {"kek": case.fields["k"], "key": case.fields["p"]},
        {"wrapped_key": case.fields["c"]},
    )


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    return document("rfc3394_aes_kw", _SOURCE, [*_rfc_3394(), *_refused(), *_nist()])
