"""Large objects and pages of uploads, byte for byte and word for word as SPEC.md section 12 has them."""

import os
from uuid import UUID

import pytest
from blake3 import blake3

from hushtag._sealing import open_sealed, seal
from hushtag.errors import LimitError, MalformedError
from hushtag.stream_index import StreamIndex, content_of
from hushtag.streams import (
    MAX_STREAM_SIZE,
    SegmentKind,
    StreamInfo,
    StreamShape,
    new_stream,
    open_segment,
    segment_context,
)
from hushtag.types import DataKey, StreamKey
from hushtag.uploads import HEADER_BYTES, MARK_BYTES, Upload, mark_place
from tests.core.refusals import reject

VAULT, STREAM, OBJECT = (UUID(bytes=bytes([number]) * 16) for number in (1, 2, 3))
CHUNK = 16 * 1024
SUITE = b"\x00\x00\x00\x0ahushtag-v1"
KEY = DataKey(bytes(range(32)))
HEADER = b"\x01\x00\x00\x00\x03\x00\x00\x00\x00\x69\x55\xb9\x00" + b"".join(
    [b"\x02" * 16, b"k" * 32, b"c" * 32, b"p" * 32, b"s" * 32, b"\x03" * 16]
)
INFO, BOUND = b"hushtag-v1/upload" + b"\x01" * 16, SUITE + b"\x01" * 16


def upload() -> Upload:
    return Upload(3, 0x6955B900, STREAM, StreamKey(b"k" * 32), b"c" * 32, b"p" * 32, b"s" * 32, OBJECT)


@pytest.mark.parametrize("kind", SegmentKind)
def test_a_segments_context(kind: SegmentKind) -> None:
    ids = b"\x01" * 16 + b"\x02" * 16
    context = b"hushtag-v1/stream" + SUITE + ids + b"\x00\x00\x00\x07" + b"\x00\x00\x01\x02" + bytes([kind])
    assert segment_context(VAULT, STREAM, 7, 0x102, kind) == context
    info = StreamInfo(STREAM.bytes, bytes(32), 7, CHUNK, bytes(32))
    assert info.context(VAULT, 0x102, kind) == context


def test_the_kinds_and_contents_of_places() -> None:
    several, single = StreamShape(2 * CHUNK + 5, CHUNK), StreamShape(5, CHUNK)
    kinds = [SegmentKind.INNER, SegmentKind.INNER, SegmentKind.LAST, SegmentKind.INDEX]
    assert [several.kind(place) for place in range(4)] == kinds
    assert [several.content(place) for place in range(4)] == [CHUNK, CHUNK, 5, 0]
    assert [several.length(place) for place in range(4)] == [CHUNK, CHUNK, several.padded - 2 * CHUNK, 96]
    assert (single.kind(0), single.content(0), single.length(0), single.places) == (SegmentKind.LAST, 5, 256, 1)


def test_the_last_segment_may_be_padding_alone() -> None:
    shape = StreamShape(65 * CHUNK, CHUNK)
    assert (shape.padded, shape.segments) == (66 * CHUNK, 66)
    assert [shape.content(place) for place in (63, 64, 65, 66)] == [CHUNK, CHUNK, 0, 0]


def test_a_content_that_is_no_content_is_refused_in_these_words() -> None:
    reject("content is -1 bytes, at most 68719476736", LimitError, lambda: StreamShape(-1))
    reject("content is 68719476737 bytes, at most 68719476736", LimitError, lambda: StreamShape(MAX_STREAM_SIZE + 1))
    at_most = 65_535 * CHUNK
    reject("content has 65536 segments, at most 65535", LimitError, lambda: StreamShape(at_most + 1, CHUNK))


def test_behind_the_content_are_zeros() -> None:
    shape = StreamShape(5, CHUNK)
    plain = bytearray(b"hello" + bytes(251))
    assert bytes(content_of(shape, 0, memoryview(plain))) == b"hello"
    words = "segment has the wrong length or padding"
    for wrong in (plain + b"\0", plain[:-1], plain[:-1] + b"\1", plain[:5] + b"\1" + plain[6:]):
        reject(words, MalformedError, lambda w=wrong: content_of(shape, 0, memoryview(w)))  # type: ignore[misc]
    several = StreamShape(CHUNK + 5, CHUNK)
    inner = memoryview(b"x" * CHUNK)
    assert content_of(several, 0, inner) == inner


def test_an_index_of_another_length_is_refused_in_these_words() -> None:
    reject("index is 95 bytes, expected 96", MalformedError, lambda: StreamIndex.open(bytes(32), 3, bytes(95)))
    digests = b"a" * 32 + b"b" * 32
    index = StreamIndex.open(blake3(b"hushtag-v1/index" + digests).digest(), 2, digests)
    index.check(0, b"a" * 32)
    index.check(1, b"b" * 32)


def test_a_segment_has_a_least_length() -> None:
    reject(
        "segment is 71 bytes, expected at least 72",
        MalformedError,
        lambda: open_segment(StreamKey(bytes(32)), b"", memoryview(bytes(71)), bytearray(100)),
    )


def test_id_and_key_of_a_stream_are_random() -> None:
    asked: list[int] = []

    def entropy(length: int) -> bytes:
        asked.append(length)
        return b"\xff" * length

    stream_id, key = new_stream(_entropy=entropy)
    assert asked == [16, 32]
    assert stream_id == UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
    assert key.expose() == b"\xff" * 32


def test_a_pages_header() -> None:
    header = upload().seal(KEY, VAULT, _entropy=lambda length: bytes(length))
    assert header[:12] == bytes(12)
    assert open_sealed(KEY.expose(), header, INFO, BOUND) == HEADER
    assert len(header) == HEADER_BYTES == len(HEADER) + 60
    found = Upload.open(KEY, VAULT, header)
    assert found is not None
    assert found._replace(stream_key=None) == upload()._replace(stream_key=None)  # type: ignore[arg-type]  # keys do not compare
    assert found.stream_key.expose() == b"k" * 32
    assert upload().seal(KEY, VAULT)[:12] != upload().seal(KEY, VAULT)[:12]


@pytest.mark.parametrize("plain", [b"\x02" + HEADER[1:], HEADER[:-1], HEADER + b"\0", b""])
def test_another_header_is_none(plain: bytes) -> None:
    assert Upload.open(KEY, VAULT, bytes(seal(KEY.expose(), os.urandom(12), INFO, [plain], BOUND))) is None


def test_a_mark_and_its_place() -> None:
    root = bytes(range(32))
    seen = blake3(b"\x00\x00\x01\x02", key=b"c" * 32).digest()[:4]
    content = blake3(b"\x00\x00\x01\x02" + root, key=b"c" * 32).digest()[:12]
    mark = upload().mark(0x102, root)
    assert (mark.seen, mark.content, mark.encoded) == (seen, content, seen + content)
    assert len(mark.encoded) == MARK_BYTES
    assert [mark_place(seq) for seq in (0, 1, 2)] == [HEADER_BYTES, HEADER_BYTES + 16, HEADER_BYTES + 32]
    assert mark.was_set(seen + bytes(12))
    assert not mark.was_set(bytes(4) + content)
