"""Small objects: one sealed row each; name, type and true size are inside (SPEC.md, "Small objects").

The row's own `content_type` is always `application/octet-stream` and its `content_size` the padded size.
"""

import os
import struct
from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from blake3 import blake3

from hushtag import _labels
from hushtag._kdf import lp
from hushtag._padding import padded_length
from hushtag._sealing import IV_LENGTH, OVERHEAD, TAG_LENGTH, open_sealed, seal
from hushtag.errors import LimitError, MalformedError, MisuseError
from hushtag.messages import MAX_GENERATION, MAX_KEY_VERSION
from hushtag.streams import MAX_STREAM_SIZE, StreamInfo, StreamShape
from hushtag.suites import HUSHTAG_V1, Suite
from hushtag.types import DataKey

__all__ = [
    "CONTENT_TYPE",
    "MAX_CREATED_AT",
    "MAX_FRAME_BYTES",
    "MAX_META_BYTES",
    "MAX_ROW_BYTES",
    "ROW_OVERHEAD",
    "ObjectMeta",
    "ObjectRow",
    "OpenedObject",
    "encode_meta",
    "open_object",
    "padded_length",
    "row_digest",
    "row_length",
    "seal_object",
    "shape_of",
]

CONTENT_TYPE: Final = "application/octet-stream"
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Padded plaintext of one small object, at most; Padmé maps this limit to itself."""
MAX_META_BYTES: Final = 4096
"""Encoded metadata of one object, at most."""
MAX_CREATED_AT: Final = 253402300799
"""The last second of the year 9999, the last that every calendar has."""
ROW_OVERHEAD: Final = OVERHEAD
MAX_ROW_BYTES: Final = MAX_FRAME_BYTES + ROW_OVERHEAD

_U32 = struct.Struct(">I")
_ROW_IDS = struct.Struct(">IQ")


class ObjectMeta(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a person calls the object. `size` is the true length of the body in bytes, `created_at` Unix seconds.

    With `stream` the row is the descriptor of a large object: its body lies in a stream, and none in the row.
    """

    name: str
    content_type: str
    created_at: int
    size: int
    stream: StreamInfo | None = None

    @property
    def inline(self) -> int:
        """Bytes of the body that lie in the row itself."""
        return self.size if self.stream is None else 0


class _FramedMeta(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    content_type: str
    created_at: int
    size: int
    stream: msgspec.Raw = msgspec.Raw(b"")


_PLAIN_KEYS: Final = 4


def shape_of(meta: ObjectMeta) -> StreamShape:
    """Return how the content of a large object lies in its stream.

    Raises:
        MalformedError: the object has no stream.
        LimitError: too long, or too many segments; never of an object that `open_object` returned.
    """
    if meta.stream is None:
        raise MalformedError("object has no stream")
    return StreamShape(meta.size, meta.stream.segment_size)


class ObjectRow(NamedTuple):
    """One revision of one object as the server holds it.

    `encoded` = iv(12) || ciphertext || auth_tag(16), the body of a put and of a get.
    """

    encoded: bytes | bytearray
    key_version: int
    revision: int

    @classmethod
    def decode(cls, body: bytes, *, key_version: int, revision: int) -> "ObjectRow":
        """Return the row in the body of a put or get.

        Raises:
            MalformedError: too short or too long to be a row, or numbers out of range.
        """
        _check_row_length(body)
        if not (1 <= key_version <= MAX_KEY_VERSION and 1 <= revision <= MAX_GENERATION):
            raise MalformedError("key version or revision is out of range")
        return cls(body, key_version, revision)

    @classmethod
    def from_columns(
        cls, iv: bytes, ciphertext: bytes, auth_tag: bytes, *, key_version: int, revision: int
    ) -> "ObjectRow":
        """Return the row whose parts stand in three columns."""
        return cls(b"".join((iv, ciphertext, auth_tag)), key_version, revision)

    @property
    def iv(self) -> bytes:
        """The first 12 bytes."""
        return bytes(self.encoded[:IV_LENGTH])

    @property
    def ciphertext(self) -> memoryview:
        """commitment(32) || AES-256-GCM output without its tag."""
        return memoryview(self.encoded)[IV_LENGTH:-TAG_LENGTH]

    @property
    def auth_tag(self) -> bytes:
        """The last 16 bytes."""
        return bytes(self.encoded[-TAG_LENGTH:])

    @property
    def content_size(self) -> int:
        """Padded plaintext length: what the server may know."""
        return len(self.encoded) - ROW_OVERHEAD


class OpenedObject(NamedTuple):
    """An authentic object. Prints without what it holds."""

    meta: ObjectMeta
    body: bytes

    def __repr__(self) -> str:
        return f"OpenedObject({len(self.body)} bytes not shown)"


def _check_row_length(encoded: bytes | bytearray) -> None:
    if not ROW_OVERHEAD <= len(encoded) <= MAX_ROW_BYTES:
        raise MalformedError(f"object row is {len(encoded)} bytes, expected {ROW_OVERHEAD} to {MAX_ROW_BYTES}")


def _aad(suite: Suite, vault_id: UUID, object_id: UUID, row_ids: bytes, content_size: int) -> bytes:
    return b"".join(
        (
            lp(suite.id.encode("ascii")),
            vault_id.bytes,
            object_id.bytes,
            row_ids,
            lp(CONTENT_TYPE.encode("ascii")),
            content_size.to_bytes(8, "big"),
        )
    )


def encode_meta(meta: ObjectMeta) -> bytes:
    """Return the metadata as it stands in a frame.

    Raises:
        LimitError: it is over 4096 bytes, or not valid Unicode.
        MisuseError: name or type is no text, such as the pair that `mimetypes.guess_type` returns.
    """
    name: object = meta.name
    content_type: object = meta.content_type
    if not (isinstance(name, str) and isinstance(content_type, str)):  # nobody could read the object afterwards
        raise MisuseError("name and content type of an object are text")
    try:
        encoded = msgspec.msgpack.encode(meta)
    except UnicodeEncodeError:
        raise LimitError("object name or type is not valid Unicode") from None
    if len(encoded) > MAX_META_BYTES:
        raise LimitError(f"object metadata is {len(encoded)} bytes, at most {MAX_META_BYTES}; shorten the name")
    return encoded


def row_length(meta: ObjectMeta, length: int) -> int:
    """Return the bytes of the row of an object with this metadata and `length` bytes of content in it.

    Raises:
        LimitError, MisuseError: as `encode_meta`.
    """
    return padded_length(_U32.size + len(encode_meta(meta)) + length) + ROW_OVERHEAD


def _frame(meta: ObjectMeta, body: bytes) -> tuple[bytes, bytes, bytes]:
    encoded = encode_meta(meta)
    length = _U32.size + len(encoded) + len(body)
    padded = padded_length(length)
    if padded > MAX_FRAME_BYTES:
        raise LimitError(f"object is {len(body)} bytes; with its padding the limit is {MAX_FRAME_BYTES}")
    return _U32.pack(len(encoded)) + encoded, body, bytes(padded - length)


def _has_a_shape(meta: ObjectMeta) -> bool:
    if meta.stream is None:
        return 0 <= meta.size <= MAX_STREAM_SIZE
    try:
        shape_of(meta)
    except LimitError:
        return False
    return True


def _keys(encoded: bytes) -> int:
    """Return how many keys a MessagePack map says it has, one that comes twice counted twice."""
    length = {0xDE: 3, 0xDF: 5}.get(encoded[0])
    return encoded[0] & 0x0F if length is None else int.from_bytes(encoded[1:length], "big")


def _decode_meta(encoded: bytes) -> ObjectMeta:
    try:
        framed = msgspec.msgpack.decode(encoded, type=_FramedMeta)
        raw = bytes(framed.stream)
        stream = msgspec.msgpack.decode(raw, type=StreamInfo) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise MalformedError("object metadata does not parse") from None
    # What parsed has every key once at least; where a map says that it has more, one came twice.
    twice = stream is not None and _keys(raw) != len(StreamInfo.__struct_fields__)
    if twice or _keys(encoded) != _PLAIN_KEYS + (stream is not None):
        raise MalformedError("object metadata names a key twice")
    # Only to be shown: a time that no calendar has must not keep anybody from the object.
    created_at = min(max(framed.created_at, 0), MAX_CREATED_AT)
    return ObjectMeta(framed.name, framed.content_type, created_at, framed.size, stream)


def _unframe(frame: bytes) -> OpenedObject:
    if len(frame) < _U32.size:
        raise MalformedError("object frame is too short")
    meta_end = _U32.size + _U32.unpack_from(frame)[0]
    if meta_end > min(len(frame), _U32.size + MAX_META_BYTES):
        raise MalformedError("object metadata is longer than its frame or the limit")
    meta = _decode_meta(frame[_U32.size : meta_end])
    body_end = meta_end + meta.inline
    if (
        not _has_a_shape(meta)
        or body_end > len(frame)
        or padded_length(body_end) != len(frame)
        or frame.count(0, body_end) != len(frame) - body_end
    ):
        raise MalformedError("object frame has the wrong length or padding")
    return OpenedObject(meta, frame[meta_end:body_end])


def seal_object(
    data_key: DataKey,
    *,
    vault_id: UUID,
    object_id: UUID,
    key_version: int,
    revision: int,
    meta: ObjectMeta,
    body: bytes,
    suite: Suite = HUSHTAG_V1,
    _entropy: Callable[[int], bytes] = os.urandom,
) -> ObjectRow:
    """Seal one revision of an object; `meta.size` must be `len(body)`, and a descriptor has no body.

    Raises:
        LimitError: body or metadata is over its limit, the stream has too many segments, or the object was made before
            1970 or after 9999.
    """
    if not 0 <= meta.created_at <= MAX_CREATED_AT:
        raise LimitError(f"metadata says it was made at {meta.created_at}, expected 0 to {MAX_CREATED_AT}")
    if not 0 <= meta.size <= MAX_STREAM_SIZE:
        raise LimitError(f"metadata says {meta.size} bytes, at most {MAX_STREAM_SIZE}")
    if meta.stream is not None:
        shape_of(meta)
    if meta.inline != len(body):
        raise LimitError(f"metadata says {meta.size} bytes, the body has {len(body)}")
    if not (1 <= key_version <= MAX_KEY_VERSION and 1 <= revision <= MAX_GENERATION):
        raise LimitError("key version or revision is out of range")
    frame = _frame(meta, body)
    row_ids = _ROW_IDS.pack(key_version, revision)
    aad = _aad(suite, vault_id, object_id, row_ids, sum(map(len, frame)))
    info = _labels.OBJECT + vault_id.bytes + object_id.bytes + row_ids
    sealed = seal(data_key.expose(), _entropy(IV_LENGTH), info, frame, aad)
    return ObjectRow(sealed, key_version, revision)


def open_object(
    data_key: DataKey, row: ObjectRow, *, vault_id: UUID, object_id: UUID, suite: Suite = HUSHTAG_V1
) -> OpenedObject:
    """Return the object, if this row is that revision of that object of that vault.

    A time before 1970 or after 9999 is taken for the nearest between.

    Raises:
        MalformedError: the row has a length that no row has, or it is authentic and what it holds breaks the rules.
        AuthenticationError: anything about the row is not authentic.
    """
    _check_row_length(row.encoded)
    row_ids = _ROW_IDS.pack(row.key_version, row.revision)
    aad = _aad(suite, vault_id, object_id, row_ids, row.content_size)
    info = _labels.OBJECT + vault_id.bytes + object_id.bytes + row_ids
    frame = open_sealed(data_key.expose(), row.encoded, info, aad)
    return _unframe(frame)


def row_digest(row: ObjectRow) -> bytes:
    """Return BLAKE3-256 of u32(key_version) || u64(revision) || iv || ciphertext || auth_tag.

    All parts but the ciphertext have fixed length, so no two rows share an encoding.
    """
    hasher = blake3(_ROW_IDS.pack(row.key_version, row.revision))
    hasher.update(row.encoded)
    return hasher.digest()
