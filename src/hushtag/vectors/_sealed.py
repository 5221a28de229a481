"""The operations on sealed values: objects, head, label, streams; and on binary fields of the wire."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec
from blake3 import blake3

from hushtag.errors import MalformedError
from hushtag.head import VaultHead, open_head, seal_head, set_element, set_hash, set_key
from hushtag.messages import decode_binary, encode_binary
from hushtag.objects import ObjectMeta, ObjectRow, open_object, padded_length, row_digest, seal_object
from hushtag.streams import derive_stream_key, open_stream, stream_context
from hushtag.tag_label import open_label, seal_label
from hushtag.types import DataKey
from hushtag.vectors._operation import Implementation, Octets

_Result = dict[str, object]


def fixed_entropy(value: bytes) -> Callable[[int], bytes]:
    """The one nonce that a sealing may draw."""

    def draw(length: int) -> bytes:
        if length != len(value):
            raise MalformedError(f"nonce is {len(value)} bytes, expected {length}")
        return value

    return draw


def _padded_length(length: int) -> _Result:
    return {"padded": padded_length(length)}


def _seal_object(
    data_key: Octets,
    vault_id: UUID,
    object_id: UUID,
    key_version: int,
    revision: int,
    name: str,
    content_type: str,
    created_at: int,
    body: Octets,
    iv: Octets,
) -> _Result:
    row = seal_object(
        DataKey(data_key),
        vault_id=vault_id,
        object_id=object_id,
        key_version=key_version,
        revision=revision,
        meta=ObjectMeta(name, content_type, created_at, len(body)),
        body=body,
        _entropy=fixed_entropy(iv),
    )
    return {"content_size": row.content_size, "row": bytes(row.encoded), "row_digest": row_digest(row)}


def _open_object(
    data_key: Octets, vault_id: UUID, object_id: UUID, key_version: int, revision: int, row: Octets
) -> _Result:
    decoded = ObjectRow.decode(row, key_version=key_version, revision=revision)
    opened = open_object(DataKey(data_key), decoded, vault_id=vault_id, object_id=object_id)
    return {**msgspec.structs.asdict(opened.meta), "body": opened.body}


def _row_digest(row: Octets, key_version: int, revision: int) -> _Result:
    return {"row_digest": row_digest(ObjectRow.decode(row, key_version=key_version, revision=revision))}


class _Listed(msgspec.Struct, forbid_unknown_fields=True):
    object_id: UUID
    revision: int
    row_digest: Octets


def _set_hash(data_key: Octets, vault_id: UUID, key_version: int, objects: list[_Listed]) -> _Result:
    key = set_key(DataKey(data_key), vault_id, key_version)
    elements = [set_element(key, row.object_id, row.revision, row.row_digest) for row in objects]
    return {"set_key": key, "elements": elements, "set_hash": set_hash(elements)}


def _verify_listing(
    data_key: Octets, vault_id: UUID, key_version: int, objects: list[_Listed], object_count: int, set_hash: Octets
) -> _Result:
    key = set_key(DataKey(data_key), vault_id, key_version)
    head = VaultHead(1, object_count, key_version, set_hash)
    head.verify(set_element(key, row.object_id, row.revision, row.row_digest) for row in objects)
    return {"listed": len(objects)}


def _head(head: VaultHead) -> _Result:
    return {
        "generation": head.generation,
        "object_count": head.object_count,
        "key_version": head.key_version,
        "set_hash": head.set_hash,
    }


def _next_head(
    generation: int,
    object_count: int,
    key_version: int,
    set_hash: Octets,
    removed: Octets | None = None,
    added: Octets | None = None,
) -> _Result:
    head = VaultHead(generation, object_count, key_version, set_hash)
    return _head(head.with_change(removed=removed, added=added))


def _seal_head(
    data_key: Octets,
    vault_id: UUID,
    generation: int,
    object_count: int,
    key_version: int,
    set_hash: Octets,
    iv: Octets,
    ring: Octets | None = None,
) -> _Result:
    head = VaultHead(generation, object_count, key_version, set_hash, ring)
    return {"sealed_head": seal_head(DataKey(data_key), vault_id, head, _entropy=fixed_entropy(iv))}


def _open_head(
    data_key: Octets,
    vault_id: UUID,
    generation: int,
    key_version: int,
    sealed_head: Octets,
    ring: Octets | None = None,
) -> _Result:
    key = DataKey(data_key)
    return _head(open_head(key, vault_id, sealed_head, generation=generation, key_version=key_version, ring=ring))


def _seal_label(
    data_key: Octets, vault_id: UUID, tag_id: UUID, key_version: int, public_key: Octets, label: str, iv: Octets
) -> _Result:
    sealed = seal_label(
        DataKey(data_key),
        label,
        vault_id=vault_id,
        tag_id=tag_id,
        key_version=key_version,
        public_key=public_key,
        _entropy=fixed_entropy(iv),
    )
    return {"sealed_label": sealed}


def _open_label(
    data_key: Octets, vault_id: UUID, tag_id: UUID, key_version: int, public_key: Octets, sealed_label: Octets
) -> _Result:
    label = open_label(
        DataKey(data_key),
        sealed_label,
        vault_id=vault_id,
        tag_id=tag_id,
        key_version=key_version,
        public_key=public_key,
    )
    return {"label": label}


def _stream_key(data_key: Octets, vault_id: UUID, stream_id: UUID, key_version: int) -> _Result:
    key = derive_stream_key(DataKey(data_key), vault_id, stream_id, key_version)
    return {"stream_key": key.expose(), "context": stream_context(vault_id, stream_id, key_version)}


def _open_stream(data_key: Octets, vault_id: UUID, stream_id: UUID, key_version: int, ciphertext: Octets) -> _Result:
    key = derive_stream_key(DataKey(data_key), vault_id, stream_id, key_version)
    parts = [ciphertext[start : start + 10_000] for start in range(0, len(ciphertext), 10_000)]
    opened = b"".join(open_stream(key, stream_context(vault_id, stream_id, key_version), parts))
    return {"length": len(opened), "plaintext_blake3": blake3(opened).digest()}


def _decode_binary(text: str, length: int) -> _Result:
    value = decode_binary(text, length)
    return {"value": value, "text": encode_binary(value)}


OPERATIONS: Final[dict[str, Implementation]] = {
    "suite.padded_length": _padded_length,
    "suite.seal_object": _seal_object,
    "suite.open_object": _open_object,
    "suite.row_digest": _row_digest,
    "suite.set_hash": _set_hash,
    "suite.verify_listing": _verify_listing,
    "suite.next_head": _next_head,
    "suite.seal_head": _seal_head,
    "suite.open_head": _open_head,
    "suite.seal_label": _seal_label,
    "suite.open_label": _open_label,
    "suite.stream_key": _stream_key,
    "suite.open_stream": _open_stream,
    "wire.decode_binary": _decode_binary,
}
