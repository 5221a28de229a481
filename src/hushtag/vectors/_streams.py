"""The operations on large objects: shape, segments, index, descriptors."""

from typing import Final, NamedTuple
from uuid import UUID

from blake3 import blake3

from hushtag.errors import MalformedError
from hushtag.objects import ObjectMeta, ObjectRow, open_object, row_digest, seal_object
from hushtag.stream_index import GrowingIndex, StreamIndex, content_of, segment_digest
from hushtag.streams import SegmentKind, StreamInfo, StreamShape, open_segment, segment_context
from hushtag.types import DataKey, StreamKey
from hushtag.vectors._operation import Implementation, Octets
from hushtag.vectors._sealed import fixed_entropy

_Result = dict[str, object]
_NONE: Final = Octets()


def _stream_shape(size: int, segment_size: int) -> _Result:
    shape = StreamShape(size, segment_size)
    last = shape.segments - 1
    return {
        "padded": shape.padded,
        "segments": shape.segments,
        "places": shape.places,
        "last_length": shape.length(last),
        "sealed_size": shape.sealed_size,
    }


def _segment_context(vault_id: UUID, stream_id: UUID, key_version: int, seq: int, kind: int) -> _Result:
    return {"context": segment_context(vault_id, stream_id, key_version, seq, SegmentKind(kind))}


def _open_segment(
    stream_key: Octets, vault_id: UUID, stream_id: UUID, key_version: int, seq: int, kind: int, segment: Octets
) -> _Result:
    room = bytearray(len(segment))
    context = segment_context(vault_id, stream_id, key_version, seq, SegmentKind(kind))
    length = open_segment(StreamKey(stream_key), context, memoryview(segment), room)
    return {"length": length, "plaintext_blake3": blake3(room[:length]).digest()}


def _stream_root(segments: list[Octets]) -> _Result:
    growing = GrowingIndex()
    for segment in segments:
        growing.add(segment)
    return {"index": growing.encoded, "root": growing.root}


class _Sealed(NamedTuple):
    key: StreamKey
    info: StreamInfo
    vault_id: UUID
    shape: StreamShape

    def open(self, seq: int, sealed: bytes) -> memoryview:
        room = bytearray(len(sealed))
        context = self.info.context(self.vault_id, seq, self.shape.kind(seq))
        return memoryview(room)[: open_segment(self.key, context, memoryview(sealed), room)]


def _read_segment(
    stream_key: Octets,
    vault_id: UUID,
    stream_id: UUID,
    key_version: int,
    segment_size: int,
    size: int,
    root: Octets,
    seq: int,
    segment: Octets,
    index: Octets = _NONE,
) -> _Result:
    info = StreamInfo(stream_id.bytes, bytes(stream_key), key_version, segment_size, bytes(root))
    shape = StreamShape(size, segment_size)
    stream = _Sealed(StreamKey(stream_key), info, vault_id, shape)
    several = shape.segments > 1
    digests = bytes(stream.open(shape.segments, index)) if several else b""
    known = StreamIndex.open(root, shape.segments, digests) if several else None
    plain = stream.open(seq, segment)
    digest = segment_digest(plain)
    (known or StreamIndex.open(root, 1, digest)).check(seq, digest)
    content = content_of(shape, seq, plain)
    return {"length": len(content), "content_blake3": blake3(content).digest()}


def _seal_descriptor(
    data_key: Octets,
    vault_id: UUID,
    object_id: UUID,
    key_version: int,
    revision: int,
    name: str,
    content_type: str,
    created_at: int,
    size: int,
    stream_id: UUID,
    stream_key: Octets,
    stream_key_version: int,
    segment_size: int,
    root: Octets,
    iv: Octets,
) -> _Result:
    stream = StreamInfo(stream_id.bytes, bytes(stream_key), stream_key_version, segment_size, bytes(root))
    row = seal_object(
        DataKey(data_key),
        vault_id=vault_id,
        object_id=object_id,
        key_version=key_version,
        revision=revision,
        meta=ObjectMeta(name, content_type, created_at, size, stream),
        body=b"",
        _entropy=fixed_entropy(iv),
    )
    return {"content_size": row.content_size, "row": row.encoded, "row_digest": row_digest(row)}


def _open_descriptor(
    data_key: Octets, vault_id: UUID, object_id: UUID, key_version: int, revision: int, row: Octets
) -> _Result:
    sealed = ObjectRow.decode(row, key_version=key_version, revision=revision)
    opened = open_object(DataKey(data_key), sealed, vault_id=vault_id, object_id=object_id)
    meta, stream = opened.meta, opened.meta.stream
    if stream is None:
        raise MalformedError("row is no descriptor")
    return {
        "name": meta.name,
        "content_type": meta.content_type,
        "created_at": meta.created_at,
        "size": meta.size,
        "stream_id": stream.id,
        "stream_key": stream.key,
        "stream_key_version": stream.key_version,
        "segment_size": stream.segment_size,
        "root": stream.root,
    }


OPERATIONS: Final[dict[str, Implementation]] = {
    "suite.stream_shape": _stream_shape,
    "suite.segment_context": _segment_context,
    "suite.open_segment": _open_segment,
    "suite.stream_root": _stream_root,
    "suite.read_segment": _read_segment,
    "suite.seal_descriptor": _seal_descriptor,
    "suite.open_descriptor": _open_descriptor,
}
