"""Ring and rotation (SPEC.md section 22)."""

from typing import Any

from .suite_support import curve, hpke, spec
from .suite_support.fixed import (
    DATA_KEY,
    EXPORT_KEY,
    OTHER_DATA_KEY,
    OTHER_TAG,
    OTHER_VAULT,
    TAG,
    VAULT,
    flipped,
    identifier,
    octets,
)
from .suite_support.shape import Cases, Vector, accepted, document, forged, malformed

_IV = octets("rotation iv", 12)
_PRIVATE_KEY = spec.tag_private_key(EXPORT_KEY, TAG)
_PUBLIC_KEY = curve.public_key(_PRIVATE_KEY)
_OTHER_PUBLIC_KEY = curve.public_key(octets("other tag private key", 32))
_OWN = {"tag_id": TAG, "public_key": _PUBLIC_KEY}
_OTHER = {"tag_id": OTHER_TAG, "public_key": _OTHER_PUBLIC_KEY}
_THIRD = {"tag_id": identifier("third tag"), "public_key": curve.public_key(octets("third tag private key", 32))}
_RING = spec.ring(VAULT, [_OWN, _OTHER])
_NEXT_KEY = octets("third data key", 32)


def _sealed(key: bytes, version: int, name: str = "ephemeral") -> bytes:
    return hpke.seal(octets(name, 32), _PUBLIC_KEY, spec.sealed_key_info(VAULT, TAG, version), key)


_SEALED = _sealed(OTHER_DATA_KEY, 2)
_PROOF = spec.succession(DATA_KEY, OTHER_DATA_KEY, VAULT, 2)
_STEPS = [
    {"sealed_key": _SEALED, "proof": _PROOF},
    {
        "sealed_key": _sealed(_NEXT_KEY, 3, "second ephemeral"),
        "proof": spec.succession(OTHER_DATA_KEY, _NEXT_KEY, VAULT, 3),
    },
]


def _rings() -> list[Vector]:
    given = {"vault_id": VAULT, "members": [_OWN, _OTHER]}
    one = spec.ring(VAULT, [_OWN])
    many = [{"tag_id": identifier(f"tag {number}"), "public_key": _PUBLIC_KEY} for number in range(51)]
    checking = {**given, "ring": _RING, "own": _OWN}
    cases: Cases = [
        ("hidden", "a phrase is left out", {"members": [_OWN]}),
        ("invented", "a phrase nobody added", {"members": [_OWN, _OTHER, _THIRD]}),
        ("key", "another public key", {"members": [_OWN, {**_OTHER, "public_key": _THIRD["public_key"]}]}),
        ("id", "another tag", {"members": [_OWN, {**_OTHER, "tag_id": _THIRD["tag_id"]}]}),
        ("own_hidden", "the phrase that is open is left out", {"members": [_OTHER]}),
        ("own_key", "another public key of the phrase that is open", {"own": {**_OWN, "public_key": bytes(32)}}),
        ("vault", "the ring of another vault", {"vault_id": OTHER_VAULT}),
        ("none", "two phrases, where there never was a second", {"ring": None}),
    ]
    return [
        accepted("ring_two", "two phrases", "suite.ring_digest", given, {"ring": _RING}),
        accepted(
            "ring_order",
            "members in another order",
            "suite.ring_digest",
            {**given, "members": [_OTHER, _OWN]},
            {"ring": _RING},
        ),
        accepted("ring_one", "one phrase", "suite.ring_digest", {**given, "members": [_OWN]}, {"ring": one}),
        malformed("ring_empty", "somebody must open the vault", "suite.ring_digest", {**given, "members": []}),
        malformed("ring_51", "at most 50 phrases", "suite.ring_digest", {**given, "members": many}),
        malformed("ring_twice", "one tag twice", "suite.ring_digest", {**given, "members": [_OWN, _OWN]}),
        malformed(
            "ring_key_short",
            "a public key has 32 bytes",
            "suite.ring_digest",
            {**given, "members": [{**_OWN, "public_key": _PUBLIC_KEY[:31]}]},
        ),
        accepted("ring_checked", "exactly the head's", "suite.check_ring", checking, {"phrases": 2}),
        accepted(
            "ring_checked_none",
            "there never was a second phrase",
            "suite.check_ring",
            {**checking, "members": [_OWN], "ring": None},
            {"phrases": 1},
        ),
        *(forged(f"ring_{name}", why, "suite.check_ring", {**checking, **change}) for name, why, change in cases),
    ]


def _heads() -> list[Vector]:
    plain = {"generation": 5, "object_count": 0, "key_version": 2, "set_hash": bytes(32)}
    sealed = spec.seal_head(DATA_KEY, _IV, spec.head(5, 0, 2, bytes(32)), VAULT, 2, 5, ring=_RING)
    opening = {"data_key": DATA_KEY, "vault_id": VAULT, "generation": 5, "key_version": 2, "sealed_head": sealed}
    return [
        accepted(
            "ring_head_seal",
            "a head that vouches for two phrases",
            "suite.seal_head",
            {"data_key": DATA_KEY, "vault_id": VAULT, "iv": _IV, **plain, "ring": _RING},
            {"sealed_head": sealed},
        ),
        accepted("ring_head_open", "the same", "suite.open_head", {**opening, "ring": _RING}, plain),
        forged("ring_head_hidden", "the ring is kept back", "suite.open_head", opening),
        forged("ring_head_other", "another ring", "suite.open_head", {**opening, "ring": flipped(_RING, 0)}),
        malformed("ring_head_short", "a ring has 32 bytes", "suite.open_head", {**opening, "ring": _RING[:31]}),
    ]


def _keys() -> list[Vector]:
    opening = {
        "tag_private_key": _PRIVATE_KEY,
        "sealed_key": _SEALED,
        "vault_id": VAULT,
        "tag_id": TAG,
        "key_version": 2,
    }
    cases: Cases = [
        ("enc", "one bit of the encapsulated key", {"sealed_key": flipped(_SEALED, 0)}),
        ("ciphertext", "one bit of the ciphertext", {"sealed_key": flipped(_SEALED, 32)}),
        ("tag", "one bit of the tag", {"sealed_key": flipped(_SEALED, 79)}),
        ("zero", "an encapsulated key of small order", {"sealed_key": bytes(80)}),
        ("vault", "sealed for another vault", {"vault_id": OTHER_VAULT}),
        ("tag_id", "sealed for another tag", {"tag_id": OTHER_TAG}),
        ("version", "sealed for another version", {"key_version": 3}),
        ("private_key", "somebody else's", {"tag_private_key": octets("other tag private key", 32)}),
    ]
    old = spec.seal_old_key(OTHER_DATA_KEY, _IV, DATA_KEY, VAULT, 2)
    old_given = {"data_key": OTHER_DATA_KEY, "old_key": old, "vault_id": VAULT, "key_version": 2}
    old_cases: Cases = [
        ("bit", "one bit", {"old_key": flipped(old, 50)}),
        ("key", "another data key", {"data_key": _NEXT_KEY}),
        ("vault", "another vault", {"vault_id": OTHER_VAULT}),
        ("version", "another version", {"key_version": 3}),
    ]
    return [
        accepted(
            "sealed_key_open",
            "the data key of version 2",
            "suite.open_sealed_key",
            opening,
            {"data_key": OTHER_DATA_KEY},
        ),
        *(forged(f"sealed_key_{n}", why, "suite.open_sealed_key", {**opening, **c}) for n, why, c in cases),
        malformed("sealed_key_79", "80 bytes", "suite.open_sealed_key", {**opening, "sealed_key": _SEALED[:79]}),
        accepted(
            "old_key_seal",
            "the first data key under the second",
            "suite.seal_old_key",
            {"data_key": OTHER_DATA_KEY, "old_data_key": DATA_KEY, "vault_id": VAULT, "key_version": 2, "iv": _IV},
            {"old_key": old},
        ),
        malformed(
            "old_key_seal_short",
            "a data key has 32 bytes",
            "suite.seal_old_key",
            {"data_key": DATA_KEY, "old_data_key": DATA_KEY[:31], "vault_id": VAULT, "key_version": 2, "iv": _IV},
        ),
        accepted("old_key_open", "the same", "suite.open_old_key", old_given, {"old_data_key": DATA_KEY}),
        *(forged(f"old_key_{n}", why, "suite.open_old_key", {**old_given, **c}) for n, why, c in old_cases),
        malformed("old_key_91", "92 bytes", "suite.open_old_key", {**old_given, "old_key": old[:91]}),
    ]


def _successions() -> list[Vector]:
    proving = {"old_data_key": DATA_KEY, "data_key": OTHER_DATA_KEY, "vault_id": VAULT, "key_version": 2}
    following = {
        "data_key": DATA_KEY,
        "tag_private_key": _PRIVATE_KEY,
        "vault_id": VAULT,
        "tag_id": TAG,
        "key_version": 1,
        "steps": _STEPS,
    }
    own_choice = octets("a key of the server's choice", 32)
    imposed = {"sealed_key": _sealed(own_choice, 2), "proof": _PROOF}
    by_new = {"sealed_key": _SEALED, "proof": spec.succession(OTHER_DATA_KEY, OTHER_DATA_KEY, VAULT, 2)}
    cases: Cases = [
        ("imposed", "a key that no holder of the old one chose", {"steps": [imposed]}),
        ("unproven", "proved with the new key itself", {"steps": [by_new]}),
        ("skipped", "the first step is left out", {"steps": _STEPS[1:]}),
        ("backwards", "the steps in another order", {"steps": _STEPS[::-1]}),
        ("twice", "the first step twice", {"steps": [_STEPS[0], _STEPS[0]]}),
        ("elsewhere", "from a key that is not the tag's", {"data_key": _NEXT_KEY}),
        ("version", "from another version", {"key_version": 2}),
    ]
    return [
        accepted("succession_prove", "the second key", "suite.prove_succession", proving, {"proof": _PROOF}),
        malformed(
            "succession_key_short",
            "a data key has 32 bytes",
            "suite.prove_succession",
            {**proving, "data_key": OTHER_DATA_KEY[:31]},
        ),
        accepted("follow_two", "two rotations", "suite.follow", following, {"data_key": _NEXT_KEY, "key_version": 3}),
        accepted(
            "follow_none", "none", "suite.follow", {**following, "steps": []}, {"data_key": DATA_KEY, "key_version": 1}
        ),
        *(forged(f"follow_{name}", why, "suite.follow", {**following, **change}) for name, why, change in cases),
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    vectors = [*_rings(), *_heads(), *_keys(), *_successions()]
    return document("rotation", "SPEC.md section 22 and RFC 9180, implemented apart from the library", vectors)
