"""The wire of large objects: streams and their segments (SPEC.md, section "Large objects").

A stream's ciphertext is stored in segments, numbered from 0, each stored once and never overwritten. An object's put
commits it: with three more headers it names the stream, how many segments it has and how many bytes they are.
"""

from typing import Annotated, Final

from msgspec import Meta

from hushtag.messages import B32, MAX_PAGE, Message

MAX_SEGMENT_PLAINTEXT: Final = 16 * 1024 * 1024
"""Plaintext bytes of one segment."""
MAX_SEGMENT_BYTES: Final = MAX_SEGMENT_PLAINTEXT + 64 * 1024
"""Bytes of one segment: its plaintext, and room for headers and tags of Cobblestone-256."""
MAX_SEGMENTS: Final = 65_536
"""Segments of one stream, its index among them, which a server cannot tell from the others."""
MAX_STREAM_PLAINTEXT: Final = 64 * 1024 * 1024 * 1024
"""Plaintext bytes of one stream."""
MAX_STREAM_BYTES: Final = MAX_STREAM_PLAINTEXT + 128 * 1024 * 1024
"""Bytes of all segments of one stream together."""
MAX_SEGMENT_PAGE: Final = MAX_PAGE
"""Entries in one page of a listing of segments."""

STREAM_HEADER: Final = "Hushtag-Stream"
"""Of an object's put and of the answer to its get: the id of its stream."""
STREAM_SEGMENTS_HEADER: Final = "Hushtag-Stream-Segments"
"""Of an object's put: how many segments the stream has, in decimal."""
STREAM_SIZE_HEADER: Final = "Hushtag-Stream-Size"
"""Of an object's put: how many bytes the stream's segments are together, in decimal."""
SEGMENT_DIGEST_HEADER: Final = "Hushtag-Segment-Digest"
"""Of a segment's put: BLAKE3-256 of its bytes, base64url; bytes of another digest are not stored."""

SegmentNumber = Annotated[int, Meta(ge=0, lt=MAX_SEGMENTS)]
SegmentSize = Annotated[int, Meta(ge=1, le=MAX_SEGMENT_BYTES)]


class SegmentEntry(Message, frozen=True):
    """One stored segment; `digest` is BLAKE3-256 of its bytes."""

    seq: SegmentNumber
    size: SegmentSize
    digest: B32


class SegmentStored(Message, frozen=True):
    """Answer to `PUT /v1/vaults/{vault_id}/streams/{stream_id}/segments/{seq}`, also when it was there already."""

    seq: SegmentNumber
    size: SegmentSize
    digest: B32


class SegmentList(Message, frozen=True):
    """`GET /v1/vaults/{vault_id}/streams/{stream_id}/segments`: a page in ascending order of `seq`.

    `next` is the `after` of the next page, absent on the last; `committed` tells whether an object has the stream.
    """

    committed: bool
    segments: Annotated[list[SegmentEntry], Meta(max_length=MAX_SEGMENT_PAGE)]
    next: SegmentNumber | None = None
