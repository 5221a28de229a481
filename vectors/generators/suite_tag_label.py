"""The sealed label of a tag (SPEC.md section 11)."""

from typing import Any

from .suite_support import curve, spec
from .suite_support.fixed import (
    DATA_KEY,
    EXPORT_KEY,
    OTHER_DATA_KEY,
    OTHER_TAG,
    OTHER_VAULT,
    TAG,
    VAULT,
    flipped,
    octets,
)
from .suite_support.shape import Cases, Vector, accepted, document, forged, malformed

_IV = octets("label iv", 12)
_PUBLIC_KEY = curve.public_key(spec.tag_private_key(EXPORT_KEY, TAG))
_SEALING = {"data_key": DATA_KEY, "vault_id": VAULT, "tag_id": TAG, "key_version": 1, "public_key": _PUBLIC_KEY}


def _seal(frame: bytes) -> bytes:
    return spec.seal_label(DATA_KEY, _IV, frame, VAULT, TAG, 1, _PUBLIC_KEY)


def _frame(label: bytes) -> bytes:
    return spec.lp(label).ljust(256, b"\0")


def _seals() -> list[Vector]:
    labels = {"short": "for the diary", "not_ascii": "günlük için ☕", "empty": "", "longest": "l" * 252}
    vectors = []
    for name, label in labels.items():
        sealed = _seal(_frame(label.encode()))
        given = {**_SEALING, "label": label, "iv": _IV}
        vectors.append(
            accepted(f"label_seal_{name}", "to 316 bytes", "suite.seal_label", given, {"sealed_label": sealed})
        )
        opening = {**_SEALING, "sealed_label": sealed}
        vectors.append(accepted(f"label_open_{name}", "the label", "suite.open_label", opening, {"label": label}))
    too_long = {**_SEALING, "label": "ü" * 126 + "l", "iv": _IV}
    return [*vectors, malformed("label_seal_long", "253 bytes of UTF-8", "suite.seal_label", too_long)]


def _refusals() -> list[Vector]:
    sealed = _seal(_frame(b"for the diary"))
    given = {**_SEALING, "sealed_label": sealed}
    forgeries: Cases = [
        ("iv_flipped", "one bit of the nonce", {"sealed_label": flipped(sealed, 0)}),
        ("commitment_flipped", "one bit of the commitment", {"sealed_label": flipped(sealed, 12)}),
        ("ciphertext_flipped", "one bit of the ciphertext", {"sealed_label": flipped(sealed, 44)}),
        ("tag_flipped", "one bit of the tag", {"sealed_label": flipped(sealed, 315)}),
        ("wrong_key", "another data key", {"data_key": OTHER_DATA_KEY}),
        ("wrong_vault", "the label of another vault", {"vault_id": OTHER_VAULT}),
        ("wrong_tag", "the label of another tag", {"tag_id": OTHER_TAG}),
        ("wrong_version", "named with another key version", {"key_version": 2}),
        ("wrong_public_key", "beside a key put in its place", {"public_key": flipped(_PUBLIC_KEY, 31)}),
    ]
    bad = [
        ("padding_not_zero", "a byte of the padding is 1", _seal(_frame(b"for the diary")[:-1] + b"\1")),
        ("length_long", "a length of 253", _seal(spec.u32(253).ljust(256, b"\0"))),
        ("length_huge", "a length of 2^32 - 1", _seal(b"\xff" * 4 + bytes(252))),
        ("not_utf8", "a label that is not UTF-8", _seal(_frame(b"\xff"))),
    ]
    return [
        *(
            forged(f"label_open_{name}", why, "suite.open_label", {**given, **change})
            for name, why, change in forgeries
        ),
        *(
            malformed(
                f"label_open_{name}", f"authentic, but {why}", "suite.open_label", {**given, "sealed_label": value}
            )
            for name, why, value in bad
        ),
        *(
            malformed(
                f"label_open_{len(value)}_bytes",
                "a sealed label has 316 bytes",
                "suite.open_label",
                {**given, "sealed_label": value},
            )
            for value in (b"", sealed[:315], sealed + b"\0")
        ),
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    return document("tag_label", "SPEC.md section 11, implemented apart from the library", [*_seals(), *_refusals()])
