"""What a device remembers of an unfinished upload, so that a killed client goes on where it was (SPEC.md section 12).

A page is random bytes at first: a sealed header, and a table of marks, one for each segment that may have been sent.
Who does not hold the vault's data key cannot tell a page in use from one that never was. A mark is written before its
segment is sent and sums up the digests of all segments up to it, so a content that has changed since is noticed
before a second segment is sealed for the same place: in one stream each place has one plaintext, for ever. The index
has a mark too, which then sums up all of the content.
No input or output happens here.
"""

import os
import struct
from collections.abc import Callable
from typing import Final, NamedTuple, Self
from uuid import UUID

from blake3 import blake3

from hushtag import _labels
from hushtag._kdf import lp, u32
from hushtag._sealing import IV_LENGTH, OVERHEAD, open_sealed, seal
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.streams import MAX_STREAM_SIZE, SEGMENT_SIZE, StreamShape
from hushtag.suites import HUSHTAG_V1
from hushtag.types import DataKey, StreamKey

__all__ = ["HEADER_BYTES", "MARK_BYTES", "MAX_MARKS", "PAGE_BYTES", "UPLOAD_PAGES", "Mark", "Upload", "mark_place"]

_HEADER = struct.Struct(">BIQ16s32s32s32s32s16s")
_VERSION: Final = 1
HEADER_BYTES: Final = _HEADER.size + OVERHEAD
"""Bytes of the sealed header."""
MARK_BYTES: Final = 16
_SEEN_BYTES: Final = 4
MAX_MARKS: Final = StreamShape(MAX_STREAM_SIZE, SEGMENT_SIZE).places
"""Marks of a page: 16,385, for 64 GiB in segments of 4 MiB and their index."""
PAGE_BYTES: Final = HEADER_BYTES + MAX_MARKS * MARK_BYTES
UPLOAD_PAGES: Final = 4
"""Pages of a device: so many unfinished uploads are remembered."""


def mark_place(seq: int) -> int:
    """Return where the mark of a segment begins in the page."""
    return HEADER_BYTES + seq * MARK_BYTES


class Mark(NamedTuple):
    """A mark as it must be: `seen` tells that the segment may have been sent, `content` of which content."""

    seen: bytes
    content: bytes

    @property
    def encoded(self) -> bytes:
        """The 16 bytes on the page."""
        return self.seen + self.content

    def was_set(self, found: bytes) -> bool:
        """Tell whether `found` marks this segment, of whatever content; wrongly once in 2^32, which does no harm."""
        return found.startswith(self.seen)


class Upload(NamedTuple):
    """One unfinished upload.

    `place` (32 bytes) stands for where its content comes from and what it becomes, `state` for what it looked like,
    `begun_at` counts Unix seconds; `check_key` is the random key of its marks.
    """

    key_version: int
    begun_at: int
    stream_id: UUID
    stream_key: StreamKey
    check_key: bytes
    place: bytes
    state: bytes
    object_id: UUID

    def __repr__(self) -> str:
        return f"Upload({self.stream_id}, keys not shown)"

    def mark(self, seq: int, root: bytes) -> Mark:
        """Return the mark of a segment; `root` is that of the segments up to it, of the index that of all."""
        seen = blake3(u32(seq), key=self.check_key).digest(_SEEN_BYTES)
        content = blake3(u32(seq) + root, key=self.check_key).digest(MARK_BYTES - _SEEN_BYTES)
        return Mark(seen, content)

    def seal(self, data_key: DataKey, vault_id: UUID, *, _entropy: Callable[[int], bytes] = os.urandom) -> bytes:
        """Return the header of its page."""
        plain = _HEADER.pack(
            _VERSION,
            self.key_version,
            self.begun_at,
            self.stream_id.bytes,
            self.stream_key.expose(),
            self.check_key,
            self.place,
            self.state,
            self.object_id.bytes,
        )
        sealed = seal(data_key.expose(), _entropy(IV_LENGTH), _info(vault_id), [plain], _aad(vault_id))
        return bytes(sealed)

    @classmethod
    def open(cls, data_key: DataKey, vault_id: UUID, header: bytes) -> Self | None:
        """Return the upload of a page's header; `None` if the page is not in use, or of another vault or data key."""
        try:
            plain = open_sealed(data_key.expose(), header, _info(vault_id), _aad(vault_id))
            kind, key_version, begun_at, stream_id, key, check_key, place, state, object_id = _HEADER.unpack(plain)
        except (AuthenticationError, MalformedError, struct.error):
            return None
        if kind != _VERSION:
            return None
        ids = UUID(bytes=stream_id), UUID(bytes=object_id)
        return cls(key_version, begun_at, ids[0], StreamKey(key), check_key, place, state, ids[1])


def _info(vault_id: UUID) -> bytes:
    return _labels.UPLOAD + vault_id.bytes


def _aad(vault_id: UUID) -> bytes:
    return lp(HUSHTAG_V1.id.encode("ascii")) + vault_id.bytes
