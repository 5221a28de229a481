"""Large objects: segments in Cobblestone-256, and descriptors (SPEC.md section 12, c2sp.org/chunked-encryption)."""

from typing import Any
from uuid import UUID

from tests.reference.blake3 import blake3

from .suite_support import spec
from .suite_support.cobblestone import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES, encrypt
from .suite_support.fixed import (
    DATA_KEY,
    OBJECT,
    OTHER_DATA_KEY,
    OTHER_STREAM,
    OTHER_VAULT,
    STREAM,
    VAULT,
    flipped,
    octets,
)
from .suite_support.shape import Cases, Vector, accepted, document, forged, malformed

_SALT = octets("stream salt", 24)
_IV = octets("descriptor iv", 12)
_KEY = octets("stream key", 32)
_PLACE = {"vault_id": VAULT, "stream_id": STREAM, "key_version": 1, "seq": 0, "last": 1}
_OPEN = {"stream_key": _KEY, **_PLACE}
_SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES
_CREATED = 1_767_225_600
_SEALING = {"data_key": DATA_KEY, "vault_id": VAULT, "object_id": OBJECT, "key_version": 2, "revision": 3}
_MIB = 1024 * 1024
# Around the floor and the steps of the padding, where segments end, and the limit.
_SHAPES = [(0, 4 * _MIB), (1, 4 * _MIB), (256, 16_384), (257, 16_384), (16_384, 16_384), (16_385, 16_384),
           (100_000, 16_384), (4 * _MIB, 4 * _MIB), (4 * _MIB + 1, 4 * _MIB), (10**9, 4 * _MIB),
           (2**36 - 1, 4 * _MIB), (2**36, 4 * _MIB), (2**36, 16 * _MIB)]  # fmt: skip


def _context(vault: UUID = VAULT, stream: UUID = STREAM, key_version: int = 1, seq: int = 0, last: int = 1) -> bytes:
    ids = vault.bytes + stream.bytes + spec.u32(key_version) + spec.u32(seq) + bytes([last])
    return b"hushtag-v1/stream" + spec.lp(b"hushtag-v1") + ids


def _plaintext(length: int) -> bytes:
    return (octets("stream", 64) * (length // 64 + 1))[:length]


def _seal(plaintext: bytes, **place: int) -> bytes:
    return encrypt(_KEY, _SALT, _context(**place), plaintext)


def _sealed_length(length: int) -> int:
    return HEADER_BYTES + length + TAG_BYTES * (length // CHUNK_BYTES + 1)


def _shapes() -> list[Vector]:
    found = []
    for size, segment_size in _SHAPES:
        padded = spec.padded(size)
        segments = -(-padded // segment_size)
        rest = padded - (segments - 1) * segment_size
        found.append(
            accepted(
                f"stream_shape_{size}_{segment_size}",
                f"{size} bytes in segments of {segment_size}",
                "suite.stream_shape",
                {"size": size, "segment_size": segment_size},
                {
                    "padded": padded,
                    "segments": segments,
                    "last_length": rest,
                    "sealed_size": (segments - 1) * _sealed_length(segment_size) + _sealed_length(rest),
                },
            )
        )
    given = {"size": 2**36 + 1, "segment_size": 4 * _MIB}
    return [*found, malformed("stream_shape_too_large", "more than 64 GiB", "suite.stream_shape", given)]


def _contexts() -> list[Vector]:
    cases: list[tuple[str, str, dict[str, int]]] = [
        ("only", "the only segment of a stream", {}),
        ("first", "the first of several", {"last": 0}),
        ("second", "the second, and the last", {"seq": 1}),
        ("largest", "the largest numbers", {"seq": 65_535, "key_version": 2**31 - 1}),
    ]
    return [
        accepted(
            f"segment_context_{name}", why, "suite.segment_context", {**_PLACE, **place}, {"context": _context(**place)}
        )
        for name, why, place in cases
    ]


def _opens() -> list[Vector]:
    cases: list[tuple[str, str, int, dict[str, int]]] = [
        ("smallest", "256 bytes, the shortest there is", 256, {}),
        ("two_chunks", "a full chunk and a short one", CHUNK_BYTES + 1, {}),
        ("full_chunk", "a full chunk and an empty one", CHUNK_BYTES, {}),
        ("inner", "one that is not the last", CHUNK_BYTES, {"seq": 3, "last": 0}),
        ("nothing", "no byte, which no writer seals", 0, {}),
    ]
    return [
        accepted(
            f"segment_open_{name}",
            why,
            "suite.open_segment",
            {**_OPEN, **place, "segment": _seal(_plaintext(length), **place)},
            {"length": length, "plaintext_blake3": blake3(_plaintext(length))},
        )
        for name, why, length, place in cases
    ]


def _forgeries() -> list[Vector]:
    short, two = _seal(_plaintext(256)), _seal(_plaintext(CHUNK_BYTES + 1))
    three = _seal(_plaintext(2 * CHUNK_BYTES))
    first, second = HEADER_BYTES, HEADER_BYTES + _SEALED_CHUNK
    end = second + _SEALED_CHUNK
    swapped = three[:first] + three[second:end] + three[first:second] + three[end:]
    cases: Cases = [
        ("salt_flipped", "one bit of the salt", {"segment": flipped(short, 0)}),
        ("commitment_flipped", "one bit of the commitment", {"segment": flipped(short, 24)}),
        ("chunk_flipped", "one bit of a chunk", {"segment": flipped(short, HEADER_BYTES)}),
        ("tag_flipped", "one bit of the last tag", {"segment": flipped(short, len(short) - 1)}),
        ("cut_at_chunk", "cut where a chunk ends", {"segment": two[:second]}),
        ("cut_in_chunk", "cut inside the last chunk", {"segment": short[:-1]}),
        ("extended", "a zero byte behind the end", {"segment": short + b"\0"}),
        ("chunks_swapped", "two full chunks exchanged", {"segment": swapped}),
        ("wrong_key", "the key of another stream", {"segment": short, "stream_key": OTHER_DATA_KEY}),
        ("wrong_vault", "moved to another vault", {"segment": short, "vault_id": OTHER_VAULT}),
        ("wrong_stream", "moved to another stream", {"segment": short, "stream_id": OTHER_STREAM}),
        ("wrong_version", "named with another key version", {"segment": short, "key_version": 2}),
        ("wrong_place", "the segment of another place", {"segment": short, "seq": 1}),
        ("not_the_last", "the last segment, as if more came", {"segment": short, "last": 0}),
        ("made_the_last", "an inner segment, as if none came", {"segment": _seal(_plaintext(CHUNK_BYTES), last=0)}),
    ]
    refused = [
        forged(f"segment_open_{name}", why, "suite.open_segment", {**_OPEN, **change}) for name, why, change in cases
    ]
    shapes: Cases = [
        ("cut_in_header", "cut inside the commitment", {"segment": short[:40]}),
        ("no_chunk", "nothing but salt and commitment", {"segment": short[:HEADER_BYTES]}),
        ("empty", "no byte at all", {"segment": b""}),
        ("key_short", "the key of a stream has 32 bytes", {"segment": short, "stream_key": _KEY[:31]}),
    ]
    for name, why, change in shapes:
        given = {**_OPEN, **change}
        refused.append(malformed(f"segment_open_{name}", why, "suite.open_segment", given))
    return refused


def _descriptor(size: int, **stream: bytes | int) -> tuple[dict[str, Any], bytes]:
    known = {
        "stream_id": STREAM.bytes,
        "key": _KEY,
        "key_version": 1,
        "segment_size": 4 * _MIB,
        "digest": octets("digest", 32),
        **stream,
    }
    encoded = spec.descriptor("film.mp4", "video/mp4", _CREATED, size, known)
    row = spec.seal_object(DATA_KEY, _IV, spec.frame(encoded, b""), VAULT, OBJECT, 2, 3)
    meta = {"name": "film.mp4", "content_type": "video/mp4", "created_at": _CREATED, "size": size}
    said = {
        "stream_id": STREAM,
        "stream_key": known["key"],
        "stream_key_version": known["key_version"],
        "segment_size": known["segment_size"],
        "digest": known["digest"],
    }
    return {**meta, **said}, row


def _descriptors() -> list[Vector]:
    cases: list[tuple[str, str, int, dict[str, bytes | int]]] = [
        ("film", "an ordinary large object", 123_456_789, {}),
        ("largest", "the largest numbers", 2**36, {"key_version": 2**31 - 1, "segment_size": 16 * _MIB}),
        ("empty", "no content", 0, {"segment_size": 16_384}),
    ]
    found = []
    for name, why, size, stream in cases:
        said, row = _descriptor(size, **stream)
        sealed = {"content_size": len(row) - 60, "row": row, "row_digest": spec.row_digest(row, 2, 3)}
        given = {**_SEALING, **said, "iv": _IV}
        found.append(accepted(f"descriptor_seal_{name}", why, "suite.seal_descriptor", given, sealed))
        found.append(accepted(f"descriptor_open_{name}", why, "suite.open_descriptor", {**_SEALING, "row": row}, said))
    given = {**_SEALING, **_descriptor(2**36 + 1)[0], "iv": _IV}
    found.append(malformed("descriptor_seal_too_large", "more than 64 GiB", "suite.seal_descriptor", given))
    broken: list[tuple[str, str, int, dict[str, bytes | int]]] = [
        ("too_large", "more than 64 GiB", 2**36 + 1, {}),
        ("id_short", "a stream id has 16 bytes", 1, {"stream_id": STREAM.bytes[:15]}),
        ("key_short", "the key of a stream has 32 bytes", 1, {"key": _KEY[:31]}),
        ("digest_short", "a digest has 32 bytes", 1, {"digest": bytes(31)}),
        ("version_zero", "key versions begin at 1", 1, {"key_version": 0}),
        ("segment_odd", "segments are whole chunks", 1, {"segment_size": 16_385}),
        ("segment_zero", "segments have a length", 1, {"segment_size": 0}),
        ("segment_large", "segments are at most 16 MiB", 1, {"segment_size": 16 * _MIB + 16_384}),
        ("more", "an unknown member", 1, {"more": 1}),
    ]
    for name, why, size, stream in broken:
        row = _descriptor(size, **stream)[1]
        given = {**_SEALING, "row": row}
        found.append(malformed(f"descriptor_open_{name}", why, "suite.open_descriptor", given))
    return found


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    source = "SPEC.md section 12 and c2sp.org/chunked-encryption, implemented apart from the library"
    return document("streams", source, [*_shapes(), *_contexts(), *_opens(), *_forgeries(), *_descriptors()])
