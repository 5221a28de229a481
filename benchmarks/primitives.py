"""Our call over the raw library call of the same size."""

import os
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from benchmarks.figures import Figure, Measured
from benchmarks.measure import ROUNDS, Ratio, compare
from hushtag._stretch import stretch_phrase
from hushtag.keys import wrap_key
from hushtag.objects import ObjectMeta, ObjectRow, open_object, seal_object
from hushtag.suites import HUSHTAG_V1
from hushtag.types import DataKey, KeyEncryptionKey

KIB = 1024
SEAL_LIMITS = {KIB: 6.0, 64 * KIB: None, KIB * KIB: 1.5, 15 * KIB * KIB: None}


def _sizes() -> Iterator[tuple[int, str, int, float | None]]:
    for size, limit in SEAL_LIMITS.items():
        name = f"{size // KIB} KiB" if size < KIB * KIB else f"{size // KIB // KIB} MiB"
        yield size, name, max(3, min(2000, 50_000_000 // size // 10)), limit


def _decrypt(key: bytes, sealed: bytes) -> bytes:
    return AESGCM(key).decrypt(bytes(12), sealed, b"")


def _objects(rounds: int) -> Iterator[Ratio]:
    key, vault_id, object_id = DataKey(os.urandom(32)), uuid4(), uuid4()
    raw_key = os.urandom(32)
    for size, name, calls, limit in _sizes():
        body = os.urandom(size)
        meta = ObjectMeta(name="note.txt", content_type="text/plain", created_at=1, size=size)

        def seal(body: bytes = body, meta: ObjectMeta = meta) -> ObjectRow:
            return seal_object(
                key, vault_id=vault_id, object_id=object_id, key_version=1, revision=1, meta=meta, body=body
            )

        def floor(body: bytes = body) -> object:
            return AESGCM(raw_key).encrypt(os.urandom(12), body, b"")

        row = seal()
        sealed = AESGCM(raw_key).encrypt(bytes(12), body, b"")
        yield compare(
            f"seal {name}", seal, "AES-256-GCM with a fresh nonce", floor, calls=calls, rounds=rounds, limit=limit
        )
        yield compare(
            f"open {name}",
            partial(open_object, key, row, vault_id=vault_id, object_id=object_id),
            "AES-256-GCM",
            partial(_decrypt, raw_key, sealed),
            calls=calls,
            rounds=rounds,
        )


def run(rounds: int = ROUNDS) -> list[Ratio]:
    """Return every primitive's ratio."""
    kek, data_key, raw = KeyEncryptionKey(bytes(32)), DataKey(bytes(32)), bytes(32)
    wrap = compare(
        "wrap a key",
        lambda: wrap_key(kek, data_key),
        "AES-KW",
        lambda: aes_key_wrap(raw, raw),
        calls=2000,
        rounds=rounds,
    )
    stretch = compare(
        "stretch",
        lambda: stretch_phrase("one two three", bytes(16), HUSHTAG_V1),
        "Argon2id",
        lambda: hash_secret_raw(b"one two three", bytes(16), 3, 65536, 4, 32, Type.ID),
        calls=1,
        rounds=min(rounds, 9),
    )
    return [*_objects(rounds), wrap, stretch]


def _figure(found: Ratio) -> Figure:
    return Figure(
        name=found.name,
        floor=found.floor,
        unit="µs",
        subject=found.subject_us,
        base=found.floor_us,
        ratio=found.ratio,
        spread=found.ratio_spread,
        limit=found.limit,
    )


def measured(quick: bool) -> Measured:
    """Return every primitive over its raw call."""
    found = run(4 if quick else ROUNDS)
    return Measured([_figure(each) for each in found], [each.as_json() for each in found])
