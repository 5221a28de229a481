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
_PLACE = {"vault_id": VAULT, "stream_id": STREAM, "key_version": 1, "seq": 0, "kind": 1}
_OPEN = {"stream_key": _KEY, **_PLACE}
_SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES
_CREATED = 1_767_225_600
_SEALING = {"data_key": DATA_KEY, "vault_id": VAULT, "object_id": OBJECT, "key_version": 2, "revision": 3}
_MIB = 1024 * 1024
# Around the floor and the steps of the padding, where segments end, and the limit.
_SHAPES = [(0, 4 * _MIB), (1, 4 * _MIB), (256, 16_384), (257, 16_384), (16_384, 16_384), (16_385, 16_384),
           (100_000, 16_384), (4 * _MIB, 4 * _MIB), (4 * _MIB + 1, 4 * _MIB), (10**9, 4 * _MIB),
           (2**36 - 1, 4 * _MIB), (2**36, 4 * _MIB), (2**36, 16 * _MIB)]  # fmt: skip


def _context(vault: UUID = VAULT, stream: UUID = STREAM, key_version: int = 1, seq: int = 0, kind: int = 1) -> bytes:
    ids = vault.bytes + stream.bytes + spec.u32(key_version) + spec.u32(seq) + bytes([kind])
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
        index = _sealed_length(32 * segments) if segments > 1 else 0
        found.append(
            accepted(
                f"stream_shape_{size}_{segment_size}",
                f"{size} bytes in segments of {segment_size}",
                "suite.stream_shape",
                {"size": size, "segment_size": segment_size},
                {
                    "padded": padded,
                    "segments": segments,
                    "places": segments + (segments > 1),
                    "last_length": rest,
                    "sealed_size": (segments - 1) * _sealed_length(segment_size) + _sealed_length(rest) + index,
                },
            )
        )
    given = {"size": 2**36 + 1, "segment_size": 4 * _MIB}
    found.append(malformed("stream_shape_too_large", "more than 64 GiB", "suite.stream_shape", given))
    given = {"size": 2**30, "segment_size": 16_384}
    found.append(malformed("stream_shape_too_many", "65,536 segments, one too many", "suite.stream_shape", given))
    return found


def _contexts() -> list[Vector]:
    cases: list[tuple[str, str, dict[str, int]]] = [
        ("only", "the only segment of a stream", {}),
        ("first", "the first of several", {"kind": 0}),
        ("second", "the second, and the last", {"seq": 1}),
        ("index", "the index of two", {"seq": 2, "kind": 2}),
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
        ("inner", "one that is not the last", CHUNK_BYTES, {"seq": 3, "kind": 0}),
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
        ("not_the_last", "the last segment, as if more came", {"segment": short, "kind": 0}),
        ("made_the_index", "the last segment, as if it were the index", {"segment": short, "kind": 2}),
        ("made_the_last", "an inner segment, as if none came", {"segment": _seal(_plaintext(CHUNK_BYTES), kind=0)}),
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


def _root(segments: list[bytes]) -> tuple[bytes, bytes]:
    index = b"".join(blake3(each) for each in segments)
    return index, blake3(b"hushtag-v1/index" + index)


def _roots() -> list[Vector]:
    cases = [
        ("one", "one segment, which has no index beside it", [_plaintext(256)]),
        ("two", "a full segment and a short one", [_plaintext(CHUNK_BYTES), _plaintext(256)]),
        ("alike", "three that hold the same", [bytes(300)] * 3),
    ]
    return [
        accepted(
            f"stream_root_{name}",
            why,
            "suite.stream_root",
            {"segments": segments},
            dict(zip(("index", "root"), _root(segments), strict=True)),
        )
        for name, why, segments in cases
    ]


_CONTENT = CHUNK_BYTES + 250
"""In segments of one chunk: two, the second with 774 bytes of padding behind its content."""


def _two(content: bytes) -> list[bytes]:
    whole = content.ljust(spec.padded(_CONTENT), b"\0")
    return [whole[:CHUNK_BYTES], whole[CHUNK_BYTES:]]


def _read(segments: list[bytes], seq: int = 1, *, index_of: list[bytes] | None = None) -> dict[str, Any]:
    """Segments that were put, what a reader asks for, and the index that the server shows, sealed under the key."""
    index = _root(segments if index_of is None else index_of)[0]
    known = {"stream_key": _KEY, "vault_id": VAULT, "stream_id": STREAM, "key_version": 1}
    said = {"segment_size": CHUNK_BYTES, "size": _CONTENT, "root": _root(segments)[1]}
    shown = {"index": _seal(index, seq=2, kind=2), "seq": seq, "segment": _seal(segments[seq], seq=seq, kind=seq)}
    return {**known, **said, **shown}


def _reads() -> list[Vector]:
    content = _plaintext(_CONTENT)
    true, other = _two(content), _two((octets("other", 64) * 300)[:_CONTENT])
    alone = _plaintext(200).ljust(256, b"\0")
    single = {**_read(true), "size": 200, "root": _root([alone])[1], "index": None, "seq": 0, "segment": _seal(alone)}
    found = [
        accepted(
            f"segment_read_{name}", why, "suite.read_segment", given, {"length": len(c), "content_blake3": blake3(c)}
        )
        for name, why, given, c in (
            ("only", "the only segment", single, alone[:200]),
            ("first", "the first of two", _read(true, 0), true[0]),
            ("second", "the second, and the last", _read(true), content[CHUNK_BYTES:]),
        )
    ]
    forged_short = _seal(other[1], seq=1)
    index = _read(true)["index"]
    cases: Cases = [
        ("replaced", "another segment, sealed under the stream's key", {"segment": forged_short}),
        ("replaced_agreed", "another segment and an index that agrees, both sealed under the stream's key",
         {**_read(other), "root": _root(true)[1]}),
        ("index_replaced", "the index of another content, sealed under the stream's key",
         _read(true, index_of=other)),
        ("index_swapped", "an index whose digests have changed places, sealed under the stream's key",
         _read(true, index_of=true[::-1])),
        ("index_flipped", "one bit of the sealed index", {"index": flipped(index, len(index) - 20)}),
        ("index_in_a_segments_place", "the index, sealed as the last segment", {"index": _seal(_root(true)[0], seq=2)}),
        ("root_mismatch", "the root of another content", {"root": _root(other)[1]}),
        ("root_without_label", "a root that leaves out the label", {"root": blake3(_root(true)[0])}),
        ("only_replaced", "another only segment, sealed under the stream's key",
         {**single, "segment": _seal(alone[::-1])}),
    ]  # fmt: skip
    found += [
        forged(f"segment_read_{name}", why, "suite.read_segment", {**_read(true), **change})
        for name, why, change in cases
    ]
    swapped = _read([true[1].ljust(CHUNK_BYTES, b"\0"), true[1]], 0)
    found.append(
        forged(
            "segment_read_swapped",
            "a segment of the same stream in another place, sealed for it under the stream's key",
            "suite.read_segment",
            {**_read(true, 0), "segment": swapped["segment"]},
        )
    )
    padding = [true[0], true[1][:-1] + b"\1"]
    broken: Cases = [
        ("padding", "something behind the content, as it was put", _read(padding)),
        ("index_cut", "an index of one digest too few", _read(true, index_of=true[:1])),
        ("no_index", "several segments without an index", {"index": None}),
    ]
    for name, why, change in broken:
        given = {**_read(true), **change}
        found.append(malformed(f"segment_read_{name}", why, "suite.read_segment", given))
    return found


def _stream() -> dict[str, bytes | int]:
    return {
        "stream_id": STREAM.bytes,
        "key": _KEY,
        "key_version": 1,
        "segment_size": 4 * _MIB,
        "root": octets("root", 32),
    }


def _descriptor(size: int, **stream: bytes | int) -> tuple[dict[str, Any], bytes]:
    known = {**_stream(), **stream}
    encoded = spec.descriptor("film.mp4", "video/mp4", _CREATED, size, known)
    row = spec.seal_object(DATA_KEY, _IV, spec.frame(encoded, b""), VAULT, OBJECT, 2, 3)
    meta = {"name": "film.mp4", "content_type": "video/mp4", "created_at": _CREATED, "size": size}
    said = {
        "stream_id": STREAM,
        "stream_key": known["key"],
        "stream_key_version": known["key_version"],
        "segment_size": known["segment_size"],
        "root": known["root"],
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
        ("too_many", "65,536 segments, one too many", 2**30, {"segment_size": 16_384}),
        ("id_short", "a stream id has 16 bytes", 1, {"stream_id": STREAM.bytes[:15]}),
        ("key_short", "the key of a stream has 32 bytes", 1, {"key": _KEY[:31]}),
        ("root_short", "a root has 32 bytes", 1, {"root": bytes(31)}),
        ("version_zero", "key versions begin at 1", 1, {"key_version": 0}),
        ("segment_odd", "segments are whole chunks", 1, {"segment_size": 16_385}),
        ("segment_zero", "segments have a length", 1, {"segment_size": 0}),
        ("segment_large", "segments are at most 16 MiB", 1, {"segment_size": 16 * _MIB + 16_384}),
        ("more", "an unknown member", 1, {"more": 1}),
    ]
    whole = spec.descriptor("film.mp4", "video/mp4", _CREATED, 1, _stream())
    again = spec.pack("key_version") + spec.pack(1)
    for name, why, encoded in (
        ("key_twice", "a key of the stream twice", whole.replace(b"\x85\xa9stream_id", b"\x86\xa9stream_id") + again),
        ("stream_twice", "two streams", b"\x86" + whole[1:] + whole[whole.index(spec.pack("stream")) :]),
    ):
        row = spec.seal_object(DATA_KEY, _IV, spec.frame(encoded, b""), VAULT, OBJECT, 2, 3)
        found.append(malformed(f"descriptor_open_{name}", why, "suite.open_descriptor", {**_SEALING, "row": row}))
    for name, why, size, stream in broken:
        row = _descriptor(size, **stream)[1]
        given = {**_SEALING, "row": row}
        found.append(malformed(f"descriptor_open_{name}", why, "suite.open_descriptor", given))
    return found


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    source = "SPEC.md section 12 and c2sp.org/chunked-encryption, implemented apart from the library"
    return document(
        "streams", source, [*_shapes(), *_contexts(), *_opens(), *_forgeries(), *_roots(), *_reads(), *_descriptors()]
    )
