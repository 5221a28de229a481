"""The index of a large object: what its segments hold, bound by the object's row (SPEC.md, "Large objects").

The digest of each segment's plaintext, in order, and the root that sums them up and lies in the sealed row. A stream's
key survives the rotation of the data key, and so somebody who was revoked may know it and seal other segments for the
same places; the row they cannot seal. So a reader believes a segment that opens only when its digest is in the index,
and the index only when the root is its. No input or output happens here.
"""

from typing import Self

from blake3 import blake3

from hushtag import _labels
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.streams import DIGEST_BYTES, StreamShape

__all__ = ["GrowingIndex", "StreamIndex", "content_of", "segment_digest"]


def segment_digest(plain: bytes | bytearray | memoryview) -> bytes:
    """Return BLAKE3-256 of a segment's plaintext, padding included."""
    return blake3(plain).digest()


def content_of(shape: StreamShape, seq: int, plain: memoryview) -> memoryview:
    """Return the content in a segment that the index vouches for, without the zeros behind it.

    Raises:
        MalformedError: it has another length, or something else is behind the content.
    """
    content = shape.content(seq)
    padding = bytes(plain[content:])
    if len(plain) != shape.length(seq) or padding.count(0) != len(padding):
        raise MalformedError("segment has the wrong length or padding")
    return plain[:content]


class GrowingIndex:
    """The index of a stream on its way: each segment is added once, in order, and so each byte is summed up once."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._hasher = blake3(_labels.INDEX)

    def add(self, plain: bytes | bytearray | memoryview) -> None:
        """Add the next segment's plaintext, padding included."""
        digest = segment_digest(plain)
        self._digests += digest
        self._hasher.update(digest)

    @property
    def root(self) -> bytes:
        """BLAKE3-256 of label || the digests so far (32 bytes): of all of them, the stream's root."""
        return self._hasher.digest()

    @property
    def encoded(self) -> bytes:
        """The digests one after another, 32 bytes each: the plaintext of the index."""
        return bytes(self._digests)


class StreamIndex:
    """The digests of a stream's segments, as its root vouches for them."""

    def __init__(self, digests: bytes) -> None:
        self._digests = digests

    @classmethod
    def open(cls, root: bytes, segments: int, encoded: bytes | bytearray | memoryview) -> Self:
        """Return the index of a stream of so many segments; of a single one it is that segment's digest.

        Raises:
            MalformedError: it has another length.
            AuthenticationError: the root is of other digests.
        """
        if len(encoded) != segments * DIGEST_BYTES:
            raise MalformedError(f"index is {len(encoded)} bytes, expected {segments * DIGEST_BYTES}")
        digests = bytes(encoded)
        if blake3(_labels.INDEX + digests).digest() != root:
            raise AuthenticationError
        return cls(digests)

    def check(self, seq: int, digest: bytes) -> None:
        """Refuse a segment of another digest.

        Raises:
            AuthenticationError: it holds something else than was put in its place, or has no place.
        """
        start = seq * DIGEST_BYTES
        if self._digests[start : start + DIGEST_BYTES] != digest:
            raise AuthenticationError
