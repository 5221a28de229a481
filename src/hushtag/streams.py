"""Large objects: segments of C2SP chunked encryption, Cobblestone-256 (SPEC.md, "Large objects").

A large object is a stream, its padded content cut into segments of one size. Each segment is one Cobblestone-256
message of its own (16 KiB chunks of AES-256-GCM, key-committing) under the stream's random key, in a context that
names the stream, the segment's place and its kind. So segments can be sent and read in any order, and one
that was moved, left out, cut off or added opens nowhere or is missed. The stream's key lies in the object's row, sealed
under the vault's data key (`StreamInfo`), and beside it the stream's root, which sums up what each segment holds: who
knows the key and not the data key cannot put another in its place (`hushtag.stream_index`).
"""

import enum
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from hushtag import _labels
from hushtag._kdf import lp, u32
from hushtag._padding import padded_length
from hushtag.errors import AuthenticationError, LimitError, MalformedError, MisuseError
from hushtag.messages import KeyVersion
from hushtag.suites import HUSHTAG_V1, Suite
from hushtag.types import StreamKey

__all__ = [
    "DIGEST_BYTES",
    "MAX_SEGMENT_SIZE",
    "MAX_STREAM_SEGMENTS",
    "MAX_STREAM_SIZE",
    "SEGMENT_OVERHEAD",
    "SEGMENT_SIZE",
    "SegmentKind",
    "StreamInfo",
    "StreamShape",
    "new_stream",
    "open_segment",
    "seal_segment",
    "sealed_length",
    "segment_context",
]

CHUNK_BYTES: Final = 16 * 1024
TAG_BYTES: Final = 16
SEGMENT_OVERHEAD: Final = 24 + 32
"""Salt and commitment before the chunks of a segment."""
SEGMENT_SIZE: Final = 4 * 1024 * 1024
"""Plaintext bytes of a segment as this library writes them; the last one of a stream may be shorter."""
MAX_SEGMENT_SIZE: Final = 16 * 1024 * 1024
MAX_STREAM_SEGMENTS: Final = 65_535
"""Segments of one stream, at most, its index not counted."""
DIGEST_BYTES: Final = 32
"""BLAKE3-256 of a segment's plaintext, as it stands in the index."""
MAX_STREAM_SIZE: Final = 64 * 1024 * 1024 * 1024
"""Content of one large object, at most; Padmé maps this limit to itself."""


class SegmentKind(enum.IntEnum):
    """What a segment holds: a part of the content with more behind it, the end of it, or the digests of all of them."""

    INNER = 0
    LAST = 1
    INDEX = 2


class StreamInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What opens a stream; part of the sealed metadata of its object. Prints without the key.

    `key_version` is that of the data key when the stream was begun, and stays; `segment_size` counts plaintext bytes;
    `root` sums up the digests of all segments, in order.
    """

    stream_id: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    key: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    key_version: KeyVersion
    segment_size: Annotated[int, msgspec.Meta(ge=CHUNK_BYTES, le=MAX_SEGMENT_SIZE, multiple_of=CHUNK_BYTES)]
    root: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what may be shown; msgspec's own would tell the key to who prints with rich."""
        return [("stream_id", self.id)]

    def __repr__(self) -> str:
        return f"StreamInfo(stream_id={self.id}, key=<redacted>)"

    @property
    def id(self) -> UUID:
        """The stream's id."""
        return UUID(bytes=self.stream_id)

    def context(self, vault_id: UUID, seq: int, kind: SegmentKind) -> bytes:
        """Return the context of one of its segments."""
        return segment_context(vault_id, self.id, self.key_version, seq, kind)


@dataclass(frozen=True, slots=True)
class StreamShape:
    """How a content of `size` bytes lies in segments of `segment_size`: padded with zeros, the last one the rest.

    Several segments have an index behind them, one more segment; a single one needs none.

    Raises:
        LimitError: more than 64 GiB, or less than nothing, or more than 65,535 segments.
    """

    size: int
    segment_size: int = SEGMENT_SIZE

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_STREAM_SIZE:
            raise LimitError(f"content is {self.size} bytes, at most {MAX_STREAM_SIZE}")
        if self.segments > MAX_STREAM_SEGMENTS:
            raise LimitError(f"content has {self.segments} segments, at most {MAX_STREAM_SEGMENTS}")

    @property
    def padded(self) -> int:
        """Bytes with the padding: the Padmé length, at least 256."""
        return padded_length(self.size)

    @property
    def segments(self) -> int:
        """How many segments the content has, at least 1."""
        return -(-self.padded // self.segment_size)

    @property
    def places(self) -> int:
        """How many segments are stored, the index among them: it has the place behind the last."""
        return self.segments + (self.segments > 1)

    def length(self, seq: int) -> int:
        """Return the plaintext bytes of a segment: of the content with its padding, or of the index."""
        if seq == self.segments:
            return DIGEST_BYTES * self.segments
        return min(self.segment_size, self.padded - seq * self.segment_size)

    def content(self, seq: int) -> int:
        """Return how many of a segment's bytes are content, before its padding; none in the index."""
        return max(0, min(self.segment_size, self.size - seq * self.segment_size))

    def kind(self, seq: int) -> SegmentKind:
        """Return what a segment holds."""
        if seq == self.segments:
            return SegmentKind.INDEX
        return SegmentKind.LAST if seq == self.segments - 1 else SegmentKind.INNER

    @property
    def longest(self) -> int:
        """Plaintext bytes of the longest segment."""
        return max(self.length(0), self.length(self.places - 1))

    @property
    def sealed_size(self) -> int:
        """Bytes of all sealed segments together, the index among them."""
        full = self.segments - 1
        ends = sum(sealed_length(self.length(seq)) for seq in range(full, self.places))
        return full * sealed_length(self.segment_size) + ends


def sealed_length(length: int) -> int:
    """Return the bytes of a sealed segment: salt, commitment, and a tag for each chunk, of which the last is short."""
    return SEGMENT_OVERHEAD + length + TAG_BYTES * (length // CHUNK_BYTES + 1)


def segment_context(
    vault_id: UUID, stream_id: UUID, key_version: int, seq: int, kind: SegmentKind, *, suite: Suite = HUSHTAG_V1
) -> bytes:
    """Return label || lp(suite) || vault_id || stream_id || u32(key_version) || u32(seq) || u8(kind)."""
    ids = vault_id.bytes + stream_id.bytes
    return _labels.STREAM + lp(suite.id.encode("ascii")) + ids + u32(key_version) + u32(seq) + bytes([kind])


def new_stream(*, _entropy: Callable[[int], bytes] = os.urandom) -> tuple[UUID, StreamKey]:
    """Return id and key of a new stream, both random."""
    return UUID(bytes=_entropy(16), version=4), StreamKey(_entropy(StreamKey.LENGTH))


def _check_apart(source: memoryview, room: bytearray) -> None:
    # Output over what is still to be read: releases of `cryptography` seal the wrong bytes then, under a valid tag.
    if source.obj is room:
        raise MisuseError("a segment is sealed and opened into other memory than it lies in")


def seal_segment(key: StreamKey, context: bytes, plain: memoryview, room: bytearray) -> int:
    """Seal one segment into `room`, of `sealed_length` bytes or more, and return how many bytes it takes.

    Cobblestone draws a salt for each message, so the same segment sealed twice are two ciphertexts.

    Raises:
        MisuseError: `plain` lies in `room`.
    """
    _check_apart(plain, room)
    encryptor = Cobblestone256Encryptor(key.expose(), context)
    length = encryptor.update_into(plain, room)
    rest = encryptor.finalize()
    end = length + len(rest)
    room[length:end] = rest
    return end


def open_segment(key: StreamKey, context: bytes, sealed: memoryview, room: bytearray) -> int:
    """Open one segment into `room`, at least as long as `sealed`, and return how many bytes it holds.

    Raises:
        MalformedError: too short to be a segment.
        AuthenticationError: altered, cut, extended, or another segment than the context names. What `room` holds then
            must not be used.
        MisuseError: `sealed` lies in `room`.
    """
    _check_apart(sealed, room)
    if len(sealed) < SEGMENT_OVERHEAD + TAG_BYTES:
        raise MalformedError(f"segment is {len(sealed)} bytes, expected at least {SEGMENT_OVERHEAD + TAG_BYTES}")
    try:
        decryptor = Cobblestone256Decryptor(key.expose(), context)
        length = decryptor.update_into(sealed, room)
        rest = decryptor.finalize()
    except (InvalidTag, ValueError):
        raise AuthenticationError from None
    end = length + len(rest)
    room[length:end] = rest
    return end
