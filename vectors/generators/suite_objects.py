"""Padding, small objects and their digests (SPEC.md sections 8 and 9)."""

from typing import Any

from .suite_support import spec
from .suite_support.fixed import (
    DATA_KEY,
    OBJECT,
    OTHER_DATA_KEY,
    OTHER_OBJECT,
    OTHER_VAULT,
    VAULT,
    flipped,
    octets,
)
from .suite_support.shape import Cases, Vector, accepted, document, forged, malformed

_IV = octets("object iv", 12)
_CREATED = 1_767_225_600
_BODY = "Gün doğmadan neler doğar.\n".encode()
_META: dict[str, str | int] = {"name": "dawn.txt", "content_type": "text/plain", "created_at": _CREATED}
_METADATA = spec.metadata("dawn.txt", "text/plain", _CREATED, len(_BODY))
_FRAME = spec.frame(_METADATA, _BODY)
_ROW = spec.seal_object(DATA_KEY, _IV, _FRAME, VAULT, OBJECT, 1, 1)
_SEALING = {"data_key": DATA_KEY, "vault_id": VAULT, "object_id": OBJECT, "key_version": 1, "revision": 1}
_OPENED = {**_META, "size": len(_BODY), "body": _BODY}
_LARGEST = {"key_version": 2**31 - 1, "revision": 2**63 - 1}
# Around every step of the padding below 2 KiB, then where a careless logarithm errs, then the limit.
_LENGTHS = (0, 1, 255, 256, 257, 271, 272, 273, 511, 512, 513, 543, 544, 545, 1023, 1024, 1025, 1055, 1056, 1057,
            65535, 65536, 65537, 1_000_000, 2**20, 2**24 - 1, 2**24)  # fmt: skip


def _paddings() -> list[Vector]:
    return [
        accepted(
            f"padding_{length}",
            "the padded length of a frame",
            "suite.padded_length",
            {"length": length},
            {"padded": spec.padded(length)},
        )
        for length in _LENGTHS
    ]


def _seals() -> list[Vector]:
    bodies = [
        ("small", "one short note", _META, _BODY, {}),
        ("empty", "an empty body without a name", {**_META, "name": ""}, b"", {}),
        ("binary", "a body over the smallest frame", {**_META, "name": "☕.png"}, octets("body", 64) * 5, {}),
        ("largest_numbers", "the largest key version and revision", _META, _BODY, _LARGEST),
    ]
    sealed = []
    for name, why, meta, body, numbers in bodies:
        given = {**_SEALING, **numbers, **meta, "body": body, "iv": _IV}
        encoded = spec.metadata(str(meta["name"]), str(meta["content_type"]), _CREATED, len(body))
        frame = spec.frame(encoded, body)
        version, revision = numbers.get("key_version", 1), numbers.get("revision", 1)
        row = spec.seal_object(DATA_KEY, _IV, frame, VAULT, OBJECT, version, revision)
        expected = {"content_size": len(frame), "row": row, "row_digest": spec.row_digest(row, version, revision)}
        sealed.append(accepted(f"object_seal_{name}", why, "suite.seal_object", given, expected))
    return sealed


def _refused_seals() -> list[Vector]:
    given = {**_SEALING, **_META, "body": _BODY, "iv": _IV}
    refused: Cases = [
        ("metadata_long", "metadata over 4096 bytes", {"name": "n" * 4096}),
        ("revision_zero", "revisions start at 1", {"revision": 0}),
        ("revision_large", "a revision fits in 63 bits", {"revision": 2**63}),
        ("created_early", "nothing was made before 1970", {"created_at": -1}),
        ("created_late", "nor after 9999", {"created_at": 253402300800}),
        ("version_zero", "key versions start at 1", {"key_version": 0}),
        ("version_large", "a key version fits in 31 bits", {"key_version": 2**31}),
        ("data_key_short", "a data key has 32 bytes", {"data_key": DATA_KEY[:31]}),
    ]
    return [
        malformed(f"object_seal_{name}", why, "suite.seal_object", {**given, **change}) for name, why, change in refused
    ]


def _opening(row: bytes, **change: object) -> dict[str, object]:
    return {**_SEALING, "row": row, **change}


def _opens() -> list[Vector]:
    reordered = b"\x84" + b"".join(
        spec.pack(key) + spec.pack(value) for key, value in sorted({**_META, "size": len(_BODY)}.items())
    )
    sizes = _METADATA[:-1]  # it ends in the size, one byte
    wide = b"\xde\x00\x04" + sizes[1:].replace(spec.pack("dawn.txt"), b"\xdb\x00\x00\x00\x08dawn.txt")
    times = [
        ("late", "after the year 9999 is its end", 253402300800, 253402300799),
        ("last", "the last second there is", 253402300799, 253402300799),
        ("very_late", "whatever was written", 2**64 - 1, 253402300799),
    ]
    early = _METADATA.replace(spec.pack(_CREATED), b"\xd3" + bytes(7 * [255]) + b"\xff")
    largest = spec.seal_object(DATA_KEY, _IV, _FRAME, VAULT, OBJECT, _LARGEST["key_version"], _LARGEST["revision"])
    cases = [
        ("small", "one short note", _opening(_ROW)),
        ("largest_numbers", "the largest key version and revision", _opening(largest, **_LARGEST)),
        (
            "metadata_reordered",
            "the order of the metadata's keys does not matter to who opens it",
            _opening(spec.seal_object(DATA_KEY, _IV, spec.frame(reordered, _BODY), VAULT, OBJECT, 1, 1)),
        ),
    ]
    cases += [
        (
            "metadata_wide",
            "lengths and numbers may have a longer form",
            _with_metadata(wide + _wide_number(len(_BODY))),
        ),
        ("metadata_signed", "and be signed", _with_metadata(sizes + b"\xd0" + _METADATA[-1:])),
    ]
    timed = [
        (f"created_{name}", why, spec.metadata("dawn.txt", "text/plain", written, len(_BODY)), read)
        for name, why, written, read in times
    ]
    timed.append(("created_early", "a second before 1970 is 1970", early, 0))
    return [
        *(accepted(f"object_open_{name}", why, "suite.open_object", given, _OPENED) for name, why, given in cases),
        *(
            accepted(
                f"object_open_{name}",
                f"when it was made: {why}",
                "suite.open_object",
                _with_metadata(encoded),
                {**_OPENED, "created_at": read},
            )
            for name, why, encoded, read in timed
        ),
    ]


def _wide_number(value: int) -> bytes:
    return b"\xcf" + value.to_bytes(8, "big")


def _forgeries() -> list[Vector]:
    other_suite = spec.seal_object(DATA_KEY, _IV, _FRAME, VAULT, OBJECT, 1, 1, suite=b"hushtag-v2")
    cases = [
        ("iv_flipped", "one bit of the nonce", _opening(flipped(_ROW, 0))),
        ("commitment_flipped", "one bit of the commitment; the ciphertext is authentic", _opening(flipped(_ROW, 12))),
        ("commitment_flipped_last", "the last bit of the commitment", _opening(flipped(_ROW, 43, 7))),
        ("ciphertext_flipped", "one bit of the ciphertext", _opening(flipped(_ROW, 44))),
        ("tag_flipped", "one bit of the tag", _opening(flipped(_ROW, len(_ROW) - 1))),
        ("truncated", "the last byte is missing", _opening(_ROW[:-1])),
        ("truncated_to_overhead", "nothing but nonce, commitment and tag", _opening(_ROW[:44] + _ROW[-16:])),
        ("extended", "a zero byte behind the row", _opening(_ROW + b"\0")),
        ("wrong_key", "another data key", _opening(_ROW, data_key=OTHER_DATA_KEY)),
        ("wrong_vault", "moved to another vault", _opening(_ROW, vault_id=OTHER_VAULT)),
        ("wrong_object", "moved to another object", _opening(_ROW, object_id=OTHER_OBJECT)),
        ("ids_swapped", "vault and object exchanged", _opening(_ROW, vault_id=OBJECT, object_id=VAULT)),
        ("wrong_revision", "replayed as the next revision", _opening(_ROW, revision=2)),
        ("wrong_version", "named with another key version", _opening(_ROW, key_version=2)),
        ("wrong_suite", "sealed under another suite id", _opening(other_suite)),
    ]
    return [forged(f"object_open_{name}", why, "suite.open_object", given) for name, why, given in cases]


def _sealed(frame: bytes) -> dict[str, object]:
    return _opening(spec.seal_object(DATA_KEY, _IV, frame, VAULT, OBJECT, 1, 1))


def _with_metadata(encoded: bytes, body: bytes = _BODY) -> dict[str, object]:
    return _sealed(spec.frame(encoded, body))


def _more(member: bytes) -> bytes:
    return b"\x85" + _METADATA[1:] + member


def _again(key: str, value: str | int) -> bytes:
    return _more(spec.pack(key) + spec.pack(value))


def _bad_frames() -> list[Vector]:
    unpadded = spec.lp(_METADATA) + _BODY
    short = spec.metadata("dawn.txt", "text/plain", _CREATED, len(_BODY) - 1)
    long = spec.metadata("dawn.txt", "text/plain", _CREATED, 257)
    key = spec.pack("size")
    cases = [
        ("padding_not_zero", "a byte of the padding is 1", _sealed(_FRAME[:-1] + b"\1")),
        ("padding_missing", "the frame is not padded", _sealed(unpadded)),
        ("padding_long", "padded to the next step", _sealed(_FRAME + bytes(16))),
        ("size_short", "the metadata says one byte less than there is", _with_metadata(short)),
        ("size_long", "the metadata says more than the frame holds", _with_metadata(long)),
        ("size_negative", "a body of -1 bytes", _with_metadata(_METADATA[:-1] + b"\xff")),
        ("frame_empty", "no metadata at all", _sealed(b"")),
        ("frame_three_bytes", "shorter than the length of the metadata", _sealed(bytes(3))),
        ("metadata_beyond_frame", "metadata longer than the frame", _sealed(spec.u32(253) + _FRAME[4:])),
        ("metadata_empty", "metadata of 0 bytes", _with_metadata(b"")),
        ("metadata_no_map", "metadata that is a number", _with_metadata(b"\x01")),
        ("metadata_truncated", "the map ends in the middle", _with_metadata(_METADATA[:-1])),
        ("metadata_trailing", "a byte behind the map", _with_metadata(_METADATA + b"\0")),
        ("metadata_key_missing", "no size", _with_metadata(b"\x83" + _METADATA[1 : _METADATA.index(key)], b"")),
        (
            "metadata_key_unknown",
            "a fifth key",
            _with_metadata(b"\x85" + _METADATA[1:] + spec.pack("colour") + spec.pack("red")),
        ),
        (
            "metadata_wrong_type",
            "a name that is a number",
            _with_metadata(_METADATA.replace(spec.pack("dawn.txt"), b"\7")),
        ),
        ("metadata_key_twice", "the name twice", _with_metadata(_again("name", "dawn.txt"))),
        ("metadata_size_twice", "two sizes, the last one right", _with_metadata(_again("size", len(_BODY)))),
        ("metadata_stream_nil", "a stream that is none", _with_metadata(_more(spec.pack("stream") + b"\xc0"))),
        ("metadata_float", "a size in floating point", _with_metadata(_METADATA[:-1] + b"\xca\x41\xf8\x00\x00")),
        ("metadata_extension", "a size of an extension", _with_metadata(_METADATA[:-1] + b"\xd4\x01\x1f")),
        (
            "metadata_binary_name",
            "a name that is bytes",
            _with_metadata(_METADATA.replace(b"\xa8dawn", b"\xc4\x08dawn")),
        ),
        ("metadata_not_utf8", "a name that is not UTF-8", _with_metadata(_METADATA.replace(b"dawn", b"da\xffn"))),
        (
            "metadata_too_long",
            "metadata of 4097 bytes",
            _with_metadata(spec.metadata("n" * 200, "t" * 200, 0, 0).ljust(4097, b"\0"), b""),
        ),
    ]
    return [
        malformed(f"object_open_{name}", f"authentic, but {why}", "suite.open_object", given)
        for name, why, given in cases
    ]


def _bad_rows() -> list[Vector]:
    cases = [
        ("short", "a row has at least 60 bytes", _opening(_ROW[:59])),
        ("empty", "a row has at least 60 bytes", _opening(b"")),
        ("revision_zero", "revisions start at 1", _opening(_ROW, revision=0)),
        ("version_zero", "key versions start at 1", _opening(_ROW, key_version=0)),
    ]
    return [malformed(f"object_open_row_{name}", why, "suite.open_object", given) for name, why, given in cases]


def _digests() -> list[Vector]:
    given = {"row": _ROW, "key_version": 1, "revision": 1}
    changed = [("first", {}), ("next_revision", {"revision": 2}), ("next_version", {"key_version": 2})]
    return [
        *(
            accepted(
                f"row_digest_{name}",
                "BLAKE3 of numbers and row",
                "suite.row_digest",
                {**given, **change},
                {"row_digest": spec.row_digest(_ROW, change.get("key_version", 1), change.get("revision", 1))},
            )
            for name, change in changed
        ),
        malformed(
            "row_digest_row_short", "a row has at least 60 bytes", "suite.row_digest", {**given, "row": _ROW[:59]}
        ),
        malformed("row_digest_revision_zero", "revisions start at 1", "suite.row_digest", {**given, "revision": 0}),
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    opened = [*_opens(), *_forgeries(), *_bad_frames(), *_bad_rows()]
    vectors = [*_paddings(), *_seals(), *_refused_seals(), *opened, *_digests()]
    return document("objects", "SPEC.md sections 8 and 9, implemented apart from the library", vectors)
