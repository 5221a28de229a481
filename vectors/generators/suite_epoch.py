"""Epoch codes and the keys of pins (SPEC.md section 22)."""

from pathlib import Path
from typing import Any

from .suite_support import spec
from .suite_support.fixed import (
    DATA_KEY,
    EXPORT_KEY,
    OTHER_DATA_KEY,
    OTHER_TAG,
    OTHER_VAULT,
    TAG,
    VAULT,
    octets,
)
from .suite_support.shape import Vector, accepted, document, malformed

_LIST = Path(__file__).parent / "phrase_support" / "words-v1.tsv"
_WORDS = [line.partition("\t")[0] for line in _LIST.read_text(encoding="utf-8").splitlines()]
_SUMMARY, _OTHER_SUMMARY = octets("epoch set hash", 32), octets("other epoch set hash", 32)
_RING = octets("epoch ring", 32)
_NUMBERS = {"generation": 41, "object_count": 3, "key_version": 1, "set_hash": _SUMMARY}
_KEYS = {"data_key": DATA_KEY, "vault_id": VAULT}


def _plain(given: dict[str, Any]) -> bytes:
    counts = (given["object_count"], given["key_version"], given["set_hash"], given.get("restorations", 0))
    return spec.head(given["generation"], *counts) + given.get("ring", b"")


def _code(given: dict[str, Any]) -> str:
    key = spec.epoch_key(given["data_key"], given["vault_id"], given["key_version"])
    return spec.epoch_code(key, given["generation"], _plain(given), _WORDS)


def _codes() -> list[Vector]:
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("state", "a vault of three objects", {}),
        ("empty", "a new vault", {"generation": 1, "object_count": 0, "set_hash": bytes(32)}),
        ("next_version", "each key version has its own codes", {"key_version": 2}),
        ("restored", "accepted once after a restore from a backup", {"restorations": 1}),
        ("ring", "a second phrase opens the vault", {"ring": _RING}),
        ("other_vault", "another vault", {"vault_id": OTHER_VAULT}),
        ("million", "the generation is taken modulo 1,000,000", {"generation": 1_000_041}),
        ("last", "the largest generation and counts", {"generation": 2**63 - 1, "object_count": 2**48 - 1}),
    ]
    found = []
    for name, why, change in cases:
        given: dict[str, Any] = {**_KEYS, **_NUMBERS, **change}
        key = spec.epoch_key(given["data_key"], given["vault_id"], given["key_version"])
        expected = {"fingerprint": spec.fingerprint(key, _plain(given)), "code": _code(given)}
        found.append(accepted(f"epoch_code_{name}", why, "suite.epoch_code", given, expected))
    too_many = {**_KEYS, **_NUMBERS, "object_count": 2**48}
    return [*found, malformed("epoch_code_too_many", "objects are counted in 48 bits", "suite.epoch_code", too_many)]


def _verdicts() -> list[Vector]:
    now: dict[str, Any] = {**_KEYS, **_NUMBERS}
    code = _code(now)
    first, *others = code.split()
    mistyped = " ".join([*code.split()[:2], _WORDS[(_WORDS.index(others[1]) + 1) % 1000], *code.split()[3:]])
    cases: list[tuple[str, str, str, dict[str, Any], str]] = [
        ("same", "the very state", "same", {}, code),
        ("spelled", "case, hyphens and commas do not matter", "same", {}, f" {code.upper().replace(' ', '-')}, "),
        ("newer", "the vault has moved on", "newer", {"generation": 44}, code),
        ("newer_most", "the latest state that counts as newer", "newer", {"generation": 41 + 499_999}, code),
        ("older", "the vault went back", "older", {"generation": 40}, code),
        ("older_most", "half of a million generations count as back", "older", {"generation": 41 + 500_000}, code),
        ("forked", "the same generation with other content", "forked", {"set_hash": _OTHER_SUMMARY}, code),
        ("restored", "the same generation after a restore", "forked", {"restorations": 1}, code),
        ("ring", "the same generation with other phrases", "forked", {"ring": _RING}, code),
        ("other_vault", "the code of another vault", "unknown", {"vault_id": OTHER_VAULT}, code),
        ("rotated", "the code of an earlier key", "unknown", {"data_key": OTHER_DATA_KEY, "key_version": 2}, code),
        ("mistyped", "the check word is another one", "unknown", {}, mistyped),
    ]
    found = [
        accepted(f"judge_code_{name}", why, "suite.judge_code", {**now, **change, "code": text}, {"verdict": verdict})
        for name, why, verdict, change, text in cases
    ]
    refused = [("four", " ".join(others)), ("six", f"{code} {first}"), ("unlisted", f"hushtag {' '.join(others)}")]
    refused += [("empty", ""), ("long", "a" * 513)]
    return found + [
        malformed(f"judge_code_{name}", "no epoch code", "suite.judge_code", {**now, "code": text})
        for name, text in refused
    ]


def _pins() -> list[Vector]:
    found = []
    for name, why, tag, vault in (
        ("vault", "the two keys of a vault's pins and their slots", TAG, VAULT),
        ("other_tag", "another phrase of the vault", OTHER_TAG, VAULT),
        ("other_vault", "another vault of the phrase", TAG, OTHER_VAULT),
    ):
        keys = {"vault": spec.vault_pin_key(DATA_KEY, vault), "tag": spec.tag_pin_key(EXPORT_KEY, tag, vault)}
        expected: dict[str, object] = {}
        for kind, key in keys.items():
            expected[f"{kind}_pin_key"] = key
            expected[f"{kind}_head_slots"] = spec.pin_slots(key, b"H", 1024, 8)
            expected[f"{kind}_object_slots"] = spec.pin_slots(key, b"O", 128, 2)
        given = {"data_key": DATA_KEY, "export_key": EXPORT_KEY, "tag_id": tag, "vault_id": vault}
        found.append(accepted(f"pin_keys_{name}", why, "suite.pin_keys", given, expected))
    return found


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    source = "SPEC.md section 22, implemented apart from the library"
    return document("epoch", source, [*_codes(), *_verdicts(), *_pins()])
