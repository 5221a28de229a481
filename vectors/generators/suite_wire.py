"""Binary fields of messages: base64url without padding, one spelling (SPEC.md section 15)."""

import base64
from typing import Any

from .suite_support.fixed import octets
from .suite_support.shape import Vector, accepted, document, malformed

_LENGTHS = (0, 1, 2, 3, 16, 32, 40, 64, 96, 112, 192, 316, 320)


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode("ascii").rstrip("=")


def _fields() -> list[Vector]:
    values = [(f"{length}_bytes", f"{length} bytes", (octets("wire", 64) * 5)[:length]) for length in _LENGTHS]
    values += [("last_letters", "the letters that base64url has of its own", b"\xfb\xff\xbf\xfb\xef\xbe")]
    return [
        accepted(
            f"wire_{name}",
            why,
            "wire.decode_binary",
            {"text": _encode(value), "length": len(value)},
            {"value": value, "text": _encode(value)},
        )
        for name, why, value in values
    ]


def _refusals() -> list[Vector]:
    text = _encode(octets("wire", 16))
    standard = base64.b64encode(b"\xfb\xff\xbf").decode("ascii")
    cases = [
        ("padded", "padding", text + "==", 16),
        ("unused_bits", "the unused bits of the last character are not zero", "AB", 1),
        ("unused_bits_two_bytes", "the unused bits of the last character are not zero", "AAB", 2),
        ("one_character", "no byte has one character", "A", 0),
        ("standard_alphabet", "the letters of plain base64", standard, 3),
        ("line_feed", "a line feed at the end", text + "\n", 16),
        ("space", "a space inside", text[:4] + " " + text[4:], 16),
        ("not_ascii", "a letter outside ASCII", "é" + text[1:], 16),
        ("short", "one byte less than the field has", _encode(octets("wire", 15)), 16),
        ("long", "one byte more than the field has", _encode(octets("wire", 17)), 16),
        ("empty", "nothing, where 16 bytes are due", "", 16),
    ]
    return [
        malformed(f"wire_{name}", f"refused: {why}", "wire.decode_binary", {"text": value, "length": length})
        for name, why, value, length in cases
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    return document("wire", "SPEC.md section 15 and RFC 4648 section 5", [*_fields(), *_refusals()])
