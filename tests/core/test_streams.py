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
from hypothesis import given
from hypothesis import strategies as st

from hushtag.errors import AuthenticationError, LimitError, MalformedError
from hushtag.objects import ObjectMeta, open_object, padded_length, seal_object, shape_of
from hushtag.streams import (
    MAX_STREAM_SIZE,
    SEGMENT_SIZE,
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
    plain, context = os.urandom(length), segment_context(VAULT, STREAM, 1, 0, last=True)
    assert opened(seal(plain, context), context) == plain


def test_the_same_segment_sealed_twice_is_two_ciphertexts() -> None:
    assert seal(b"a" * 300, b"context") != seal(b"a" * 300, b"context")


def test_a_segment_opens_in_its_own_place_only() -> None:
    places: dict[str, Any] = {"vault_id": VAULT, "stream_id": STREAM, "key_version": 1, "seq": 4, "last": False}
    sealed = seal(bytes(CHUNK), segment_context(**places))
    others = {"vault_id": OBJECT, "stream_id": VAULT, "key_version": 2, "seq": 5, "last": True}
    for name, other in others.items():
        with pytest.raises(AuthenticationError):
            opened(sealed, segment_context(**(places | {name: other})))
    with pytest.raises(AuthenticationError):
        opened(sealed, segment_context(**places), StreamKey(bytes(32)))


@pytest.mark.parametrize("cut", [1, 16, 17, CHUNK, CHUNK + 16])
def test_a_segment_that_was_cut_or_extended_is_refused(cut: int) -> None:
    context = segment_context(VAULT, STREAM, 1, 0, last=True)
    sealed = seal(os.urandom(3 * CHUNK), context)
    for broken in (sealed[:-cut], sealed + bytes(cut)):
        with pytest.raises(AuthenticationError):
            opened(broken, context)


@given(st.integers(0, MAX_STREAM_SIZE), st.sampled_from([CHUNK, 64 * 1024, SEGMENT_SIZE, 16 * 1024 * 1024]))
def test_the_segments_of_a_shape_are_the_padded_content(size: int, segment_size: int) -> None:
    shape = StreamShape(size, segment_size)
    last = shape.segments - 1
    assert shape.padded == padded_length(size) >= size
    assert last * segment_size + shape.length(last) == shape.padded
    assert 0 < shape.length(last) <= segment_size
    assert shape.is_last(last)
    assert last == 0 or not shape.is_last(last - 1)
    sealed = last * sealed_length(segment_size) + sealed_length(shape.length(last))
    assert shape.sealed_size == sealed
    assert shape.segments <= 65_536 * (SEGMENT_SIZE // min(segment_size, 1024 * 1024))


def test_no_content_is_over_the_limit_or_under_nothing() -> None:
    assert StreamShape(MAX_STREAM_SIZE).segments == MAX_MARKS
    for size in (-1, MAX_STREAM_SIZE + 1):
        with pytest.raises(LimitError):
            StreamShape(size)


# --- descriptors ----------------------------------------------------------------------------------------------


def info(**change: Any) -> StreamInfo:
    known = {"stream_id": STREAM.bytes, "key": KEY.expose(), "key_version": 1, "segment_size": SEGMENT_SIZE}
    return StreamInfo(**(known | {"digest": bytes(32)} | change))


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
