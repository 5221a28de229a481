"""Large objects: the published vectors of Cobblestone-256, segments bound to their place, and pages of uploads."""

import base64
import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import cryptography_vectors
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from hushtag.errors import AuthenticationError, LimitError, MalformedError, MisuseError
from hushtag.objects import ObjectMeta, open_object, padded_length, seal_object, shape_of
from hushtag.stream_index import GrowingIndex, StreamIndex, segment_digest
from hushtag.stream_messages import MAX_SEGMENTS, MAX_STREAM_BYTES
from hushtag.streams import (
    MAX_STREAM_SEGMENTS,
    MAX_STREAM_SIZE,
    SEGMENT_SIZE,
    SegmentKind,
    StreamInfo,
    StreamShape,
    new_stream,
    open_segment,
    seal_segment,
    sealed_length,
    segment_context,
)
from hushtag.types import DataKey, StreamKey
from hushtag.uploads import HEADER_BYTES, MARK_BYTES, MAX_MARKS, PAGE_BYTES, Upload, mark_place
from tests.reference.chunked_encryption import NotAuthenticError, open_chunks

VAULT, STREAM, OBJECT = (UUID(int=number) for number in (1, 2, 3))
KEY = StreamKey(bytes(range(32)))
CHUNK = 16 * 1024


def published() -> list[dict[str, Any]]:
    path = Path(cryptography_vectors.__file__).parent / "chunked-encryption" / "vectors.json"
    return [each for each in json.loads(path.read_text())["vectors"] if each["aead"] == "AEAD_AES_256_GCM"]


def ciphertext(vector: dict[str, Any]) -> bytes:
    raw = base64.b64decode(vector["ciphertext"] or "")
    return zlib.decompress(raw) if vector.get("compressed") else raw


def seal(plain: bytes, context: bytes, key: StreamKey = KEY) -> bytes:
    room = bytearray(sealed_length(len(plain)))
    length = seal_segment(key, context, memoryview(plain), room)
    assert length == len(room)
    return bytes(room)


def opened(sealed: bytes, context: bytes, key: StreamKey = KEY) -> bytes:
    room = bytearray(len(sealed))
    return bytes(room[: open_segment(key, context, memoryview(sealed), room)])


def test_a_segment_is_neither_sealed_nor_opened_into_its_own_memory() -> None:
    context = segment_context(VAULT, STREAM, 1, 0, SegmentKind.LAST)
    room = bytearray(sealed_length(3 * CHUNK))
    with pytest.raises(MisuseError, match="other memory"):
        seal_segment(KEY, context, memoryview(room)[: 3 * CHUNK], room)
    assert not any(room)
    room[:] = before = seal(os.urandom(3 * CHUNK), context)
    with pytest.raises(MisuseError, match="other memory"):
        open_segment(KEY, context, memoryview(room), room)
    assert room == before


def test_published_vectors_hold_for_the_construction_and_the_library_follows_it() -> None:
    """Cobblestone-256 is the published construction with SHA-512 in place of SHA-256: both through one reference."""
    for vector in published():
        key, context = vector["key"], vector.get("context", "")
        sealed = ciphertext(vector)
        if vector["expect"] == "success":
            plain = open_chunks(bytes.fromhex(key), context.encode(), sealed, "sha256")
            assert len(plain) == vector["payload_length"], vector["name"]
            assert hashlib.sha256(plain).hexdigest() == vector["payload_sha256"]
            assert open_chunks(KEY.expose(), context.encode(), seal(plain, context.encode()), "sha512") == plain
        else:
            with pytest.raises(NotAuthenticError):
                open_chunks(bytes.fromhex(key), context.encode(), sealed, "sha256")
            with pytest.raises((AuthenticationError, MalformedError)):
                opened(sealed, context.encode(), StreamKey(bytes.fromhex(key)))


def test_there_are_published_vectors_of_both_kinds() -> None:
    kinds = [each["expect"] for each in published()]
    assert kinds.count("success") >= 9
    assert kinds.count("failure") >= 25


@pytest.mark.parametrize("length", [0, 1, 256, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7])
def test_a_segment_opens_as_it_was_sealed(length: int) -> None:
    plain, context = os.urandom(length), segment_context(VAULT, STREAM, 1, 0, SegmentKind.LAST)
    assert opened(seal(plain, context), context) == plain


def test_the_same_segment_sealed_twice_is_two_ciphertexts() -> None:
    assert seal(b"a" * 300, b"context") != seal(b"a" * 300, b"context")


def test_a_segment_opens_in_its_own_place_only() -> None:
    inner = SegmentKind.INNER
    places: dict[str, Any] = {"vault_id": VAULT, "stream_id": STREAM, "key_version": 1, "seq": 4, "kind": inner}
    sealed = seal(bytes(CHUNK), segment_context(**places))
    others = {"vault_id": OBJECT, "stream_id": VAULT, "key_version": 2, "seq": 5, "kind": SegmentKind.LAST}
    for name, other in (*others.items(), ("kind", SegmentKind.INDEX)):
        with pytest.raises(AuthenticationError):
            opened(sealed, segment_context(**(places | {name: other})))
    with pytest.raises(AuthenticationError):
        opened(sealed, segment_context(**places), StreamKey(bytes(32)))


@pytest.mark.parametrize("cut", [1, 16, 17, CHUNK, CHUNK + 16])
def test_a_segment_that_was_cut_or_extended_is_refused(cut: int) -> None:
    context = segment_context(VAULT, STREAM, 1, 0, SegmentKind.LAST)
    sealed = seal(os.urandom(3 * CHUNK), context)
    for broken in (sealed[:-cut], sealed + bytes(cut)):
        with pytest.raises(AuthenticationError):
            opened(broken, context)


@given(
    st.sampled_from([CHUNK, 64 * 1024, SEGMENT_SIZE, 16 * 1024 * 1024]).flatmap(
        lambda length: st.tuples(st.integers(0, min(MAX_STREAM_SIZE, length * 60_000)), st.just(length))
    )
)
def test_the_segments_of_a_shape_are_the_padded_content(drawn: tuple[int, int]) -> None:
    size, segment_size = drawn
    shape = StreamShape(size, segment_size)
    last = shape.segments - 1
    assert shape.padded == padded_length(size) >= size
    assert last * segment_size + shape.length(last) == shape.padded
    assert 0 < shape.length(last) <= segment_size
    assert shape.kind(last) is SegmentKind.LAST
    assert last == 0 or shape.kind(last - 1) is SegmentKind.INNER
    assert sum(shape.content(seq) for seq in {0, last}) + max(0, last - 1) * segment_size >= size
    assert 0 <= shape.content(last) <= shape.length(last)
    sealed = last * sealed_length(segment_size) + sealed_length(shape.length(last))
    if last:
        assert shape.places == last + 2
        assert (shape.kind(last + 1), shape.content(last + 1)) == (SegmentKind.INDEX, 0)
        assert shape.length(last + 1) == 32 * (last + 1)
        sealed += sealed_length(32 * (last + 1))
    else:
        assert shape.places == 1
    assert shape.sealed_size == sealed
    assert shape.longest == max(shape.length(seq) for seq in (0, shape.places - 1))
    assert shape.places <= MAX_SEGMENTS
    assert shape.sealed_size <= MAX_STREAM_BYTES


def test_no_content_is_over_the_limit_or_under_nothing() -> None:
    assert StreamShape(MAX_STREAM_SIZE).places == MAX_MARKS
    most = MAX_STREAM_SEGMENTS * CHUNK
    with pytest.raises(LimitError, match="65536 segments"):
        StreamShape(most + 1, CHUNK)
    for size in (-1, MAX_STREAM_SIZE + 1):
        with pytest.raises(LimitError):
            StreamShape(size)


# --- descriptors ----------------------------------------------------------------------------------------------


def info(**change: Any) -> StreamInfo:
    known = {"stream_id": STREAM.bytes, "key": KEY.expose(), "key_version": 1, "segment_size": SEGMENT_SIZE}
    return StreamInfo(**(known | {"root": bytes(32)} | change))


def row_of(meta: ObjectMeta, body: bytes = b"") -> Any:
    key = DataKey(bytes(32))
    return seal_object(key, vault_id=VAULT, object_id=OBJECT, key_version=1, revision=1, meta=meta, body=body)


def test_a_descriptor_is_a_row_without_a_body() -> None:
    meta = ObjectMeta("film", "video/mp4", 0, 10_000_000_000, info())
    found = open_object(DataKey(bytes(32)), row_of(meta), vault_id=VAULT, object_id=OBJECT)
    assert found == (meta, b"")
    assert shape_of(found.meta) == StreamShape(10_000_000_000)
    with pytest.raises(LimitError):
        row_of(meta, b"a body")
    with pytest.raises(MalformedError, match="no stream"):
        shape_of(ObjectMeta("a", "b", 0, 1))


def test_a_descriptor_of_too_many_segments_is_none() -> None:
    """A reader would have to hold their index in memory."""
    for size, stream in ((10**9, info(segment_size=CHUNK)), (2**30, info(segment_size=2 * CHUNK))):
        meta = ObjectMeta("film", "video/mp4", 0, size, stream)
        assert open_object(DataKey(bytes(32)), row_of(meta), vault_id=VAULT, object_id=OBJECT).meta == meta
    with pytest.raises(LimitError, match="65536 segments"):
        row_of(ObjectMeta("film", "video/mp4", 0, 2**30, info(segment_size=CHUNK)))


# --- the index ------------------------------------------------------------------------------------------------


def index_of(segments: list[bytes]) -> GrowingIndex:
    growing = GrowingIndex()
    for each in segments:
        growing.add(each)
    return growing


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=20))
def test_an_index_knows_each_segment_in_its_place_alone(segments: list[bytes]) -> None:
    growing = index_of(segments)
    index = StreamIndex.open(growing.root, len(segments), growing.encoded)
    for place in range(len(segments) + 1):
        for segment in segments:
            if place < len(segments) and segments[place] == segment:
                index.check(place, segment_digest(segment))
            else:
                with pytest.raises(AuthenticationError):
                    index.check(place, segment_digest(segment))


def test_an_index_is_what_its_root_says() -> None:
    segments = [b"first", b"second", b"third"]
    growing = index_of(segments)
    encoded = growing.encoded
    for place in range(0, len(encoded), 5):
        flipped = bytearray(encoded)
        flipped[place] ^= 1
        with pytest.raises(AuthenticationError):
            StreamIndex.open(growing.root, 3, flipped)
    for number, broken in ((3, encoded[:-1]), (3, encoded + bytes(32)), (2, encoded), (3, b"")):
        with pytest.raises(MalformedError):
            StreamIndex.open(growing.root, number, broken)
    for others in (segments[::-1], segments[:2], [*segments, b""], [b"first", b"third", b"second"]):
        other = index_of(others)
        assert other.root != growing.root
        with pytest.raises((AuthenticationError, MalformedError)):
            StreamIndex.open(growing.root, 3, other.encoded)


def test_a_root_is_no_digest_of_the_index() -> None:
    """Another hash would take a root for the digest of a segment that holds an index."""
    growing = index_of([b"first", b"second"])
    assert growing.root != segment_digest(growing.encoded)
    assert growing.root == blake3(b"hushtag-v1/index" + blake3(b"first").digest() + blake3(b"second").digest()).digest()


def test_a_descriptor_prints_without_its_key() -> None:
    text = f"{ObjectMeta('film', 'video/mp4', 0, 1, info(key=b'k' * 32))!r}"
    assert str(STREAM) in text
    assert "kkkk" not in text


def test_a_new_stream_is_like_no_other() -> None:
    (first, one), (second, other) = new_stream(), new_stream()
    assert first != second
    assert one.expose() != other.expose()


# --- pages of uploads -----------------------------------------------------------------------------------------


def upload(**change: Any) -> Upload:
    known: dict[str, Any] = {
        "key_version": 3,
        "begun_at": 1_767_225_600,
        "stream_id": STREAM,
        "stream_key": KEY,
        "check_key": b"c" * 32,
        "place": b"p" * 32,
        "state": b"s" * 32,
        "object_id": OBJECT,
    }
    return Upload(**(known | change))


def test_a_page_tells_its_upload_to_the_vaults_key_alone() -> None:
    key, mine = DataKey(os.urandom(32)), upload()
    header = mine.seal(key, VAULT)
    assert len(header) == HEADER_BYTES
    found = Upload.open(key, VAULT, header)
    assert found is not None
    assert found._replace(stream_key=KEY) == mine
    assert found.stream_key.expose() == KEY.expose()
    assert Upload.open(DataKey(os.urandom(32)), VAULT, header) is None
    assert Upload.open(key, uuid4(), header) is None
    for place in range(0, HEADER_BYTES, 7):
        flipped = bytearray(header)
        flipped[place] ^= 1
        assert Upload.open(key, VAULT, bytes(flipped)) is None
    assert Upload.open(key, VAULT, os.urandom(HEADER_BYTES)) is None


def test_a_mark_tells_whether_it_was_set_and_of_which_content() -> None:
    mark, other = upload().mark(7, bytes(32)), upload().mark(7, b"\1" + bytes(31))
    assert len(mark.encoded) == MARK_BYTES
    assert mark.was_set(mark.encoded)
    assert mark.was_set(other.encoded)
    assert mark.encoded != other.encoded
    assert not mark.was_set(upload().mark(8, bytes(32)).encoded)
    assert not mark.was_set(upload(check_key=b"d" * 32).mark(7, bytes(32)).encoded)
    assert mark_place(MAX_MARKS) == PAGE_BYTES
