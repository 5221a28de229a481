"""Device secrets and the keys of a pairing (SPEC.md section 5)."""

import base64
from typing import Any

from hushtag._words import WORDS
from tests.reference.blake2s import blake2s

from .suite_support import spake2, spec
from .suite_support.fixed import flipped, identifier, octets
from .suite_support.shape import Vector, accepted, document, forged, malformed

_USER, _OTHER_USER = identifier("user"), identifier("other user")
_SECRET = octets("device secret", 32)
_PAIRING, _OTHER_PAIRING = octets("pairing id", 16), octets("other pairing id", 16)
_SHARED = octets("spake2 key", 32)
_IV = octets("carried secret iv", 12)
_DERIVED = spec.hkdf(_SHARED, b"", b"hushtag-v1/pairing" + _USER.bytes + _PAIRING, 96)
_SEALED = spec.seal(_DERIVED[64:], _IV, b"hushtag-v1/carried-secret" + _USER.bytes + _PAIRING, _SECRET, b"")


def _name(secret: bytes) -> str:
    digest = blake2s(secret, 32, person=b"hushdev1")
    return " ".join(WORDS[int.from_bytes(digest[at : at + 8], "big") % 1000] for at in (0, 8, 16, 24))


def _text(secret: bytes, user: bytes) -> str:
    content = user + secret
    check = blake2s(content, 4, person=b"hushdtx1")
    return "HUSHTAG1:" + base64.b32encode(content + check).decode().rstrip("=")


def _texts() -> list[Vector]:
    text = _text(_SECRET, _USER.bytes)
    operation, given = "suite.read_device_text", {"user_id": _USER, "text": text}
    bad = {"short": text[:-1], "long": text + "A", "other_prefix": "HUSHTAG2" + text[8:], "none": ""}
    bad["misread"] = text[:20] + ("A" if text[20] != "A" else "B") + text[21:]
    return [
        accepted(
            "device_name", "four words", "suite.device_name", {"device_secret": _SECRET}, {"name": _name(_SECRET)}
        ),
        accepted(
            "device_text",
            "93 characters",
            "suite.write_device_text",
            {"device_secret": _SECRET, "user_id": _USER},
            {"text": text},
        ),
        accepted("device_text_read", "back again", operation, given, {"device_secret": _SECRET}),
        accepted(
            "device_text_lower",
            "case is nothing",
            operation,
            {**given, "text": text.lower()},
            {"device_secret": _SECRET},
        ),
        forged("device_text_other_user", "of another account", operation, {**given, "user_id": _OTHER_USER}),
        *(
            malformed(f"device_text_{name}", "no such text", operation, {**given, "text": value})
            for name, value in bad.items()
        ),
    ]


def _pairing() -> list[Vector]:
    given = {"spake2_key": _SHARED, "user_id": _USER, "pairing_id": _PAIRING}
    keys = {"accepting": _DERIVED[:32], "offering": _DERIVED[32:64], "sealing": _DERIVED[64:]}
    sealing = {"sealing": keys["sealing"], "user_id": _USER, "pairing_id": _PAIRING}
    opening = {**sealing, "sealed": _SEALED}
    operation = "suite.open_carried_secret"
    forgeries: list[tuple[str, str, dict[str, object]]] = [
        ("wrong_key", "another key", {"sealing": _DERIVED[:32]}),
        ("wrong_user", "of another account", {"user_id": _OTHER_USER}),
        ("wrong_pairing", "of another pairing", {"pairing_id": _OTHER_PAIRING}),
        *(
            (f"{part}_flipped", f"one bit of the {part}", {"sealed": flipped(_SEALED, at)})
            for part, at in (("iv", 0), ("commitment", 12), ("ciphertext", 44), ("tag", 91))
        ),
    ]
    return [
        accepted("pairing_keys", "two proofs and a key", "suite.pairing_keys", given, keys),
        accepted(
            "carried_secret_seal",
            "to 92 bytes",
            "suite.seal_carried_secret",
            {**sealing, "iv": _IV, "device_secret": _SECRET},
            {"sealed": _SEALED},
        ),
        accepted("carried_secret_open", "the secret", operation, opening, {"device_secret": _SECRET}),
        *(forged(f"carried_secret_{name}", why, operation, {**opening, **change}) for name, why, change in forgeries),
        *(
            malformed(f"carried_secret_{len(value)}_bytes", "92 bytes", operation, {**opening, "sealed": value})
            for value in (b"", _SEALED[:91], _SEALED + b"\0")
        ),
    ]


_CODE = "umbrella tangerine acrobat"
_ENDS = b"offering" + _USER.bytes + _PAIRING, b"accepting" + _USER.bytes + _PAIRING
_X, _Y = (int.from_bytes(octets(f"spake2 {name}", 64), "big") % spake2.ORDER for name in ("x", "y"))


def _exchange() -> list[Vector]:
    code = _CODE.encode()
    offer, answer = spake2.message(b"A", code, _X), spake2.message(b"B", code, _Y)
    wrong = spake2.message(b"B", b"umbrella tangerine acrobats", _Y)
    shared = spake2.key(b"A", code, _X, answer, *_ENDS)
    known = {"code": _CODE, "user_id": _USER, "pairing_id": _PAIRING}
    offering = {**known, "side": "A", "scalar": _scalar(_X), "inbound": answer}
    accepting = {**known, "side": "B", "scalar": _scalar(_Y), "inbound": offer}
    operation = "suite.spake2"
    order_two = ((-1) % (2**255 - 19)).to_bytes(32, "little")
    mixed = spake2.encode(spake2.add(spake2.decode(answer[1:]), (0, -1 % (2**255 - 19))))
    broken = [
        ("own_side", "a message of the side that reads it", offer),
        ("no_side", "a side that there is not", b"S" + answer[1:]),
        ("neutral", "the neutral element", b"B" + (1).to_bytes(32, "little")),
        ("order_two", "an element of order 2", b"B" + order_two),
        ("mixed_order", "an element of the group and one of order 2, added", b"B" + mixed),
        ("no_point", "no point of the curve", b"B" + (2).to_bytes(32, "little")),
        ("reflected", "its own element, under the other's side", b"B" + offer[1:]),
    ]
    other_key = spake2.key(b"A", code, _X, wrong, *_ENDS)
    if shared != spake2.key(b"B", code, _Y, offer, *_ENDS) or other_key == shared:
        raise ValueError("two sides of one exchange have one key, and nobody else")
    return [
        accepted("spake2_offering", "the side that shows the code", operation, offering, _made(offer, shared)),
        accepted("spake2_accepting", "the side it is typed at", operation, accepting, _made(answer, shared)),
        accepted(
            "spake2_other_code",
            "another code is another key, and no error here",
            operation,
            {**offering, "inbound": wrong},
            _made(offer, other_key),
        ),
        *(malformed(f"spake2_{name}", why, operation, {**offering, "inbound": value}) for name, why, value in broken),
    ]


def _scalar(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _made(message: bytes, key: bytes) -> dict[str, bytes]:
    return {"message": message, "spake2_key": key}


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    return document(
        "device", "SPEC.md section 5, implemented apart from the library", [*_texts(), *_exchange(), *_pairing()]
    )
