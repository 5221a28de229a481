"""The operations on sealed values: objects, head, label; and on binary fields of the wire."""

from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from hushtag.errors import MalformedError
from hushtag.head import VaultHead, open_head, seal_head, set_element, set_hash, set_key
from hushtag.messages import decode_binary, encode_binary
from hushtag.objects import ObjectMeta, ObjectRow, open_object, padded_length, row_digest, seal_object
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
    if opened.meta.stream is not None:
        raise MalformedError("row is a descriptor")
    said = {name: value for name, value in msgspec.structs.asdict(opened.meta).items() if name != "stream"}
    return {**said, "body": opened.body}


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
    # A vault that was never restored does not name the count, in `given` or in `expected`.
    restored = {"restorations": head.restorations} if head.restorations else {}
    return {
        "generation": head.generation,
        "object_count": head.object_count,
        "key_version": head.key_version,
        "set_hash": head.set_hash,
        **restored,
    }


def _next_head(
    generation: int,
    object_count: int,
    key_version: int,
    set_hash: Octets,
    removed: Octets | None = None,
    added: Octets | None = None,
    restorations: int = 0,
) -> _Result:
    head = VaultHead(generation, object_count, key_version, set_hash, restorations)
    return _head(head.with_change(removed=removed, added=added))


def _next_head_of_several(
    generation: int, object_count: int, key_version: int, set_hash: Octets, removed: list[Octets], added: list[Octets]
) -> _Result:
    head = VaultHead(generation, object_count, key_version, set_hash)
    return _head(head.with_changes(removed=removed, added=added))


def _seal_head(
    data_key: Octets,
    vault_id: UUID,
    generation: int,
    object_count: int,
    key_version: int,
    set_hash: Octets,
    iv: Octets,
    restorations: int = 0,
    ring: Octets | None = None,
) -> _Result:
    head = VaultHead(generation, object_count, key_version, set_hash, restorations, ring)
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
    "suite.next_head_of_several": _next_head_of_several,
    "suite.seal_head": _seal_head,
    "suite.open_head": _open_head,
    "suite.seal_label": _seal_label,
    "suite.open_label": _open_label,
    "wire.decode_binary": _decode_binary,
}
