"""Small objects: round trips, padding, and every way a row can be wrong.

Covered: every single bit of a row; swaps between objects, revisions, vaults, key versions and data keys; crafted
frames; a two-key GCM ciphertext. Deferred to the vault head: an authentic row that is old or missing.
"""

import contextlib
import mimetypes
import os
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from hushtag import _labels, objects
from hushtag._kdf import hkdf_sha512
from hushtag._padding import MIN_PADDED_BYTES
from hushtag._sealing import OVERHEAD, seal
from hushtag.errors import AuthenticationError, HushtagError, LimitError, MalformedError, MisuseError
from hushtag.objects import (
    MAX_FRAME_BYTES,
    MAX_ROW_BYTES,
    ObjectMeta,
    ObjectRow,
    encode_meta,
    open_object,
    padded_length,
    row_digest,
    seal_object,
)
from hushtag.types import DataKey


@dataclass(frozen=True)
class Place:
    """Where a row belongs."""

    data_key: DataKey
    vault_id: UUID
    object_id: UUID

    def seal(self, body: bytes, *, name: str = "note.txt", revision: int = 1, key_version: int = 1) -> ObjectRow:
        meta = ObjectMeta(name=name, content_type="text/plain", created_at=1_700_000_000, size=len(body))
        return seal_object(
            self.data_key,
            vault_id=self.vault_id,
            object_id=self.object_id,
            key_version=key_version,
            revision=revision,
            meta=meta,
            body=body,
        )

    def open(self, row: ObjectRow) -> objects.OpenedObject:
        return open_object(self.data_key, row, vault_id=self.vault_id, object_id=self.object_id)


@pytest.fixture
def place() -> Place:
    return Place(DataKey(os.urandom(32)), uuid4(), uuid4())


@given(body=st.binary(max_size=5000), name=st.text(max_size=200), revision=st.integers(1, 2**63 - 1))
def test_what_was_sealed_opens(body: bytes, name: str, revision: int) -> None:
    place = Place(DataKey(bytes(32)), UUID(int=1), UUID(int=2))
    opened = place.open(place.seal(body, name=name, revision=revision))
    assert (opened.body, opened.meta.name) == (body, name)


@pytest.mark.parametrize("size", [0, 1, 32 * 1024 - 60, 32 * 1024, 1 << 20, (15 << 20) + 7])
def test_every_size_opens_through_both_ways_of_encrypting(place: Place, size: int) -> None:
    body = os.urandom(size)
    row = place.seal(body)
    assert place.open(row).body == body
    assert place.open(ObjectRow.decode(bytes(row.encoded), key_version=1, revision=1)).body == body


def test_every_flipped_bit_of_a_row_is_refused(place: Place) -> None:
    row = place.seal(b"dear diary")
    encoded = bytes(row.encoded)
    for bit in range(len(encoded) * 8):
        flipped = bytearray(encoded)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            place.open(row._replace(encoded=bytes(flipped)))


def test_every_flipped_bit_of_the_numbers_of_a_row_is_refused(place: Place) -> None:
    row = place.seal(b"dear diary", revision=7, key_version=3)
    changed = [row._replace(revision=7 ^ (1 << bit)) for bit in range(64)]
    changed += [row._replace(key_version=3 ^ (1 << bit)) for bit in range(32)]
    for forged in changed:
        with pytest.raises(AuthenticationError):
            place.open(forged)


def test_a_row_opens_only_in_its_own_place(place: Place) -> None:
    row = place.seal(b"dear diary")
    elsewhere = [
        Place(place.data_key, place.vault_id, uuid4()),
        Place(place.data_key, uuid4(), place.object_id),
        Place(place.data_key, place.object_id, place.vault_id),
        Place(DataKey(os.urandom(32)), place.vault_id, place.object_id),
    ]
    for other in elsewhere:
        with pytest.raises(AuthenticationError):
            other.open(row)
        assert other.open(other.seal(b"mine")).body == b"mine"


def test_parts_of_two_revisions_do_not_mix(place: Place) -> None:
    old, new = place.seal(b"old text"), place.seal(b"new text", revision=2)
    splices = [
        bytes(old.iv) + bytes(new.ciphertext) + new.auth_tag,
        bytes(new.iv) + bytes(old.ciphertext) + new.auth_tag,
        bytes(new.iv) + bytes(new.ciphertext) + old.auth_tag,
        bytes(new.encoded[:44]) + bytes(old.encoded[44:]),
    ]
    for encoded in splices:
        for revision in (1, 2):
            with pytest.raises(AuthenticationError):
                place.open(ObjectRow(encoded, 1, revision))


@pytest.mark.parametrize("length", [0, OVERHEAD - 1, MAX_ROW_BYTES + 1])
def test_rows_of_impossible_length_are_malformed(place: Place, length: int) -> None:
    with pytest.raises(MalformedError):
        ObjectRow.decode(bytes(length), key_version=1, revision=1)
    with pytest.raises(MalformedError):
        place.open(ObjectRow(bytes(length), 1, 1))


@given(encoded=st.binary(min_size=0, max_size=400))
def test_nocrash_open_object(encoded: bytes) -> None:
    with pytest.raises((MalformedError, AuthenticationError)):
        Place(DataKey(bytes(32)), UUID(int=1), UUID(int=2)).open(ObjectRow(encoded, 1, 1))


def _seal_frame(place: Place, frame: bytes) -> ObjectRow:
    row_ids = objects._ROW_IDS.pack(1, 1)
    aad = objects._aad(objects.HUSHTAG_V1, place.vault_id, place.object_id, row_ids, len(frame))
    info = _labels.OBJECT + place.vault_id.bytes + place.object_id.bytes + row_ids
    return ObjectRow(seal(place.data_key.expose(), os.urandom(12), info, [frame], aad), 1, 1)


@given(frame=st.binary(max_size=600))
def test_nocrash_unframe_of_an_authentic_but_crafted_frame(frame: bytes) -> None:
    place = Place(DataKey(bytes(32)), UUID(int=1), UUID(int=2))
    with contextlib.suppress(HushtagError):
        place.open(_seal_frame(place, frame))


def test_frames_with_wrong_padding_or_size_are_malformed(place: Place) -> None:
    meta = msgspec.msgpack.encode(ObjectMeta("n", "t", 1, 4))
    good = len(meta).to_bytes(4) + meta + b"body"
    whole = good.ljust(MIN_PADDED_BYTES, b"\0")
    assert place.open(_seal_frame(place, whole)).body == b"body"
    long = msgspec.msgpack.encode(ObjectMeta("n", "t", 1, 10**9))
    negative = msgspec.msgpack.encode(ObjectMeta("n", "t", 1, -1))
    crafted = [
        whole[:-1] + b"\1",
        whole + b"\0",
        good,
        b"\xff\xff\xff\xff" + whole[4:],
        (len(long).to_bytes(4) + long).ljust(MIN_PADDED_BYTES, b"\0"),
        (len(negative).to_bytes(4) + negative).ljust(MIN_PADDED_BYTES, b"\0"),
        bytes(MIN_PADDED_BYTES),
        b"",
    ]
    for frame in crafted:
        with pytest.raises(MalformedError):
            place.open(_seal_frame(place, frame))


def test_a_gcm_text_that_is_valid_under_another_key_is_refused_by_the_commitment(place: Place) -> None:
    """GCM does not commit to its key, so its tag alone would not tell the two keys apart."""
    other = DataKey(os.urandom(32))
    row = place.seal(b"dear diary")
    info = _labels.OBJECT + place.vault_id.bytes + place.object_id.bytes + objects._ROW_IDS.pack(1, 1)
    aad = objects._aad(
        objects.HUSHTAG_V1, place.vault_id, place.object_id, objects._ROW_IDS.pack(1, 1), MIN_PADDED_BYTES
    )
    derived = hkdf_sha512(other.expose(), row.iv, info, 64)
    # The other key's own valid GCM text behind this key's commitment: without the check it would open.
    sealed = AESGCM(derived[:32]).encrypt(row.iv, bytes(MIN_PADDED_BYTES), aad)
    crafted = ObjectRow(bytes(row.encoded[:44]) + sealed, 1, 1)
    for key in (place.data_key, other):
        with pytest.raises(AuthenticationError):
            open_object(key, crafted, vault_id=place.vault_id, object_id=place.object_id)


def test_two_seals_of_one_revision_share_neither_nonce_nor_key(place: Place) -> None:
    first, second = place.seal(b"same"), place.seal(b"same")
    assert first.iv != second.iv
    assert bytes(first.ciphertext[:32]) != bytes(second.ciphertext[:32])
    assert row_digest(first) != row_digest(second)


def test_name_and_type_are_only_inside(place: Place) -> None:
    row = place.seal(b"x" * 300, name="my secret file name.txt")
    assert b"secret" not in bytes(row.encoded)
    assert row.content_size == padded_length(row.content_size)


@given(length=st.integers(0, MAX_FRAME_BYTES))
def test_padding_is_monotone_bounded_and_idempotent(length: int) -> None:
    padded = padded_length(length)
    assert length <= padded <= max(MIN_PADDED_BYTES, length + length * 12 // 100)
    assert padded_length(padded) == padded
    assert padded_length(length + 1) >= padded


def test_padding_leaves_few_lengths() -> None:
    lengths = {padded_length(length) for length in range(1 << 20)}
    assert len(lengths) < 400
    assert padded_length(MAX_FRAME_BYTES) == MAX_FRAME_BYTES


def test_what_nobody_could_read_afterwards_is_not_sealed() -> None:
    guessed: Any = mimetypes.guess_type("letter.pdf")  # a pair, easily taken for a type
    for meta in (ObjectMeta("a", guessed, 1, 0), ObjectMeta(cast("Any", 5), "text/plain", 1, 0)):
        with pytest.raises(MisuseError, match="are text"):
            encode_meta(meta)


def test_limits_are_refused_before_anything_is_sealed(place: Place) -> None:
    with pytest.raises(LimitError, match="shorten the name"):
        place.seal(b"", name="n" * 5000)
    with pytest.raises(LimitError, match="limit is"):
        place.seal(bytes(MAX_FRAME_BYTES))
    with pytest.raises(LimitError, match="not valid Unicode"):
        place.seal(b"", name="\udc80")
    for numbers in ({"revision": 0}, {"revision": 2**63}, {"key_version": 0}, {"key_version": 2**31}):
        with pytest.raises(LimitError, match="out of range"):
            place.seal(b"", **numbers)
    with pytest.raises(LimitError):
        seal_object(
            place.data_key,
            vault_id=place.vault_id,
            object_id=place.object_id,
            key_version=1,
            revision=1,
            meta=ObjectMeta("n", "t", 1, 5),
            body=b"four",
        )
