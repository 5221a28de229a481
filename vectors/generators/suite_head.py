"""Set hash and vault head (SPEC.md section 10)."""

from typing import Any

from .suite_support import spec
from .suite_support.fixed import DATA_KEY, OTHER_DATA_KEY, OTHER_VAULT, VAULT, flipped, identifier, octets
from .suite_support.shape import Cases, Vector, accepted, document, forged, malformed

_IV = octets("head iv", 12)
_OBJECTS = [
    {"object_id": object_id, "revision": revision, "row_digest": octets(f"row digest {number}", 32)}
    for number, (object_id, revision) in enumerate(
        sorted((identifier(f"listed object {number}"), 3**number) for number in range(3))
    )
]
_SET = {"data_key": DATA_KEY, "vault_id": VAULT, "key_version": 1}
_KEY = spec.set_key(DATA_KEY, VAULT, 1)


def _elements(objects: list[dict[str, Any]], key: bytes = _KEY) -> list[bytes]:
    return [spec.set_element(key, row["object_id"], row["revision"], row["row_digest"]) for row in objects]


_ELEMENTS = _elements(_OBJECTS)
_SUMMARY = spec.set_hash(_ELEMENTS)
_PLAIN = {"generation": 4, "object_count": 3, "key_version": 1, "set_hash": _SUMMARY}
_SEALED = spec.seal_head(DATA_KEY, _IV, spec.head(4, 3, 1, _SUMMARY), VAULT, 1, 4)

_RESTORED = spec.seal_head(DATA_KEY, _IV, spec.head(4, 3, 1, _SUMMARY, 2), VAULT, 1, 4)


def _set_hashes() -> list[Vector]:
    cases = [("empty", "an empty vault", []), ("one", "one object", _OBJECTS[:1]), ("three", "three objects", _OBJECTS)]
    return [
        *(
            accepted(
                f"set_hash_{name}",
                why,
                "suite.set_hash",
                {**_SET, "objects": objects},
                {"set_key": _KEY, "elements": _elements(objects), "set_hash": spec.set_hash(_elements(objects))},
            )
            for name, why, objects in cases
        ),
        accepted(
            "set_hash_next_version",
            "each key version has its own set key",
            "suite.set_hash",
            {**_SET, "key_version": 2, "objects": _OBJECTS},
            {
                "set_key": spec.set_key(DATA_KEY, VAULT, 2),
                "elements": _elements(_OBJECTS, spec.set_key(DATA_KEY, VAULT, 2)),
                "set_hash": spec.set_hash(_elements(_OBJECTS, spec.set_key(DATA_KEY, VAULT, 2))),
            },
        ),
        malformed(
            "set_hash_data_key_short",
            "a data key has 32 bytes",
            "suite.set_hash",
            {**_SET, "data_key": DATA_KEY[:31], "objects": []},
        ),
    ]


def _listings() -> list[Vector]:
    def given(objects: list[dict[str, Any]], **change: object) -> dict[str, object]:
        return {**_SET, "objects": objects, "object_count": 3, "set_hash": _SUMMARY, **change}

    first, second, third = _OBJECTS
    rolled_back = {**second, "row_digest": octets("older row digest", 32)}
    replayed = {**second, "revision": second["revision"] + 1}
    swapped = [{**first, "object_id": second["object_id"]}, {**second, "object_id": first["object_id"]}, third]
    cases = [
        ("omitted", "one object is missing", given([first, third])),
        ("omitted_all", "nothing is listed", given([])),
        ("added", "one object too many", given([*_OBJECTS, {**first, "object_id": identifier("listed object 3")}])),
        ("rolled_back", "an older row under the same revision", given([first, rolled_back, third])),
        ("replayed", "the same row under another revision", given([first, replayed, third])),
        ("swapped", "two objects exchanged their ids", given(swapped)),
        ("repeated", "one object twice, another missing", given([first, first, third])),
        ("wrong_vault", "the listing of another vault", given(_OBJECTS, vault_id=OTHER_VAULT)),
        ("wrong_version", "elements of another key version", given(_OBJECTS, key_version=2)),
        ("count_wrong", "the right set under another count", given(_OBJECTS, object_count=2)),
    ]
    return [
        accepted("listing_current", "complete and current", "suite.verify_listing", given(_OBJECTS), {"listed": 3}),
        accepted(
            "listing_empty",
            "an empty vault",
            "suite.verify_listing",
            given([], object_count=0, set_hash=bytes(32)),
            {"listed": 0},
        ),
        *(forged(f"listing_{name}", why, "suite.verify_listing", case) for name, why, case in cases),
    ]


def _changes() -> list[Vector]:
    old, new = _ELEMENTS[0], octets("new element", 32)
    empty = {"generation": 1, "object_count": 0, "key_version": 1, "set_hash": bytes(32)}
    one = {"generation": 2, "object_count": 1, "key_version": 1, "set_hash": old}
    replaced = {"generation": 5, "object_count": 3, "key_version": 1, "set_hash": spec.set_hash([_SUMMARY, old, new])}
    less = {"generation": 5, "object_count": 2, "key_version": 1, "set_hash": spec.set_hash(_ELEMENTS[1:])}
    return [
        accepted("head_change_put", "the first object", "suite.next_head", {**empty, "added": old}, one),
        accepted(
            "head_change_replace",
            "a new revision",
            "suite.next_head",
            {**_PLAIN, "removed": old, "added": new},
            replaced,
        ),
        accepted("head_change_delete", "an object leaves", "suite.next_head", {**_PLAIN, "removed": old}, less),
        accepted(
            "head_change_restored",
            "a change leaves the restorations as they are",
            "suite.next_head",
            {**_PLAIN, "removed": old, "restorations": 2},
            {**less, "restorations": 2},
        ),
        malformed(
            "head_change_delete_empty", "an empty vault has none to lose", "suite.next_head", {**empty, "removed": old}
        ),
    ]


def _changes_of_several() -> list[Vector]:
    news = [octets(f"new element {number}", 32) for number in range(3)]
    several = "suite.next_head_of_several"
    empty = {"generation": 1, "object_count": 0, "key_version": 1, "set_hash": bytes(32)}
    puts = {"generation": 2, "object_count": 3, "key_version": 1, "set_hash": spec.set_hash(news)}
    left = [*_ELEMENTS[2:], *news]
    mixed = {"generation": 5, "object_count": len(left), "key_version": 1, "set_hash": spec.set_hash(left)}
    return [
        accepted("head_several_put", "three objects at once", several, {**empty, "removed": [], "added": news}, puts),
        accepted(
            "head_several_mixed",
            "two are replaced and one is new",
            several,
            {**_PLAIN, "removed": _ELEMENTS[:2], "added": news},
            mixed,
        ),
        accepted(
            "head_several_deleted",
            "two of three are deleted",
            several,
            {**_PLAIN, "removed": _ELEMENTS[:2], "added": []},
            {"generation": 5, "object_count": 1, "key_version": 1, "set_hash": spec.set_hash(_ELEMENTS[2:])},
        ),
        accepted(
            "head_several_all_deleted",
            "all are deleted: the set hash is that of an empty vault",
            several,
            {**_PLAIN, "removed": _ELEMENTS, "added": []},
            {"generation": 5, "object_count": 0, "key_version": 1, "set_hash": bytes(32)},
        ),
        malformed(
            "head_several_more_than_there_are",
            "four leave a vault of three",
            several,
            {**_PLAIN, "removed": [*_ELEMENTS, news[0]], "added": []},
        ),
    ]


def _heads() -> list[Vector]:
    opening = {**_SET, "generation": 4, "sealed_head": _SEALED}
    first = {"generation": 1, "object_count": 0, "key_version": 1, "set_hash": bytes(32)}
    inner = {
        "generation": spec.head(3, 3, 1, _SUMMARY),
        "version": spec.head(4, 3, 2, _SUMMARY),
    }
    other_suite = spec.seal_head(DATA_KEY, _IV, spec.head(4, 3, 1, _SUMMARY), VAULT, 1, 4, suite=b"hushtag-v2")
    forgeries: Cases = [
        ("iv_flipped", "one bit of the nonce", {"sealed_head": flipped(_SEALED, 0)}),
        ("commitment_flipped", "one bit of the commitment", {"sealed_head": flipped(_SEALED, 12)}),
        ("ciphertext_flipped", "one bit of the ciphertext", {"sealed_head": flipped(_SEALED, 44)}),
        ("tag_flipped", "one bit of the tag", {"sealed_head": flipped(_SEALED, 111)}),
        ("wrong_key", "another data key", {"data_key": OTHER_DATA_KEY}),
        ("wrong_vault", "the head of another vault", {"vault_id": OTHER_VAULT}),
        ("wrong_generation", "an older head under a newer generation", {"generation": 5}),
        ("wrong_version", "named with another key version", {"key_version": 2}),
        ("wrong_suite", "sealed under another suite id", {"sealed_head": other_suite}),
        *(
            (
                f"inner_{name}",
                f"authentic, but it names another {name} inside",
                {"sealed_head": spec.seal_head(DATA_KEY, _IV, plain, VAULT, 1, 4)},
            )
            for name, plain in inner.items()
        ),
    ]
    sealing = {"data_key": DATA_KEY, "vault_id": VAULT, "iv": _IV}
    return [
        accepted(
            "head_seal", "a vault of three objects", "suite.seal_head", {**sealing, **_PLAIN}, {"sealed_head": _SEALED}
        ),
        accepted(
            "head_seal_first",
            "the head of a new vault",
            "suite.seal_head",
            {**sealing, **first},
            {"sealed_head": spec.seal_head(DATA_KEY, _IV, spec.head(1, 0, 1, bytes(32)), VAULT, 1, 1)},
        ),
        accepted(
            "head_seal_restored",
            "a vault that was accepted twice after a restore",
            "suite.seal_head",
            {**sealing, **_PLAIN, "restorations": 2},
            {"sealed_head": _RESTORED},
        ),
        malformed(
            "head_seal_too_many_restorations",
            "restorations are counted in 16 bits",
            "suite.seal_head",
            {**sealing, **_PLAIN, "restorations": 2**16},
        ),
        malformed(
            "head_seal_data_key_short",
            "a data key has 32 bytes",
            "suite.seal_head",
            {**sealing, **_PLAIN, "data_key": DATA_KEY[:31]},
        ),
        accepted("head_open", "a vault of three objects", "suite.open_head", opening, _PLAIN),
        accepted(
            "head_open_restored",
            "a vault that was accepted twice after a restore",
            "suite.open_head",
            {**opening, "sealed_head": _RESTORED},
            {**_PLAIN, "restorations": 2},
        ),
        *(
            forged(f"head_open_{name}", why, "suite.open_head", {**opening, **change})
            for name, why, change in forgeries
        ),
        *(
            malformed(
                f"head_open_{len(sealed)}_bytes",
                "a sealed head has 112 bytes",
                "suite.open_head",
                {**opening, "sealed_head": sealed},
            )
            for sealed in (b"", _SEALED[:111], _SEALED + b"\0")
        ),
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    vectors = [*_set_hashes(), *_listings(), *_changes(), *_changes_of_several(), *_heads()]
    return document("head", "SPEC.md section 10, implemented apart from the library", vectors)
