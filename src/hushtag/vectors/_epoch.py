"""The operations on epoch codes, and the keys of pins."""

from typing import Final
from uuid import UUID

from hushtag.epoch import epoch_code, fingerprint, judge_code, parse_code
from hushtag.head import VaultHead
from hushtag.pins import HEADS, OBJECTS, derive_tag_pin_key, derive_vault_pin_key, places
from hushtag.types import DataKey, ExportKey
from hushtag.vectors._operation import Implementation, Octets

_Result = dict[str, object]


def _epoch_code(
    data_key: Octets,
    vault_id: UUID,
    generation: int,
    object_count: int,
    key_version: int,
    set_hash: Octets,
    restorations: int = 0,
    ring: Octets | None = None,
) -> _Result:
    key, head = DataKey(data_key), VaultHead(generation, object_count, key_version, set_hash, restorations, ring)
    return {"fingerprint": fingerprint(key, vault_id, head), "code": epoch_code(key, vault_id, head)}


def _judge_code(
    data_key: Octets,
    vault_id: UUID,
    generation: int,
    object_count: int,
    key_version: int,
    set_hash: Octets,
    code: str,
    restorations: int = 0,
    ring: Octets | None = None,
) -> _Result:
    head = VaultHead(generation, object_count, key_version, set_hash, restorations, ring)
    return {"verdict": judge_code(DataKey(data_key), vault_id, head, parse_code(code)).value}


def _pin_keys(data_key: Octets, export_key: Octets, tag_id: UUID, vault_id: UUID) -> _Result:
    keys = {
        "vault": derive_vault_pin_key(DataKey(data_key), vault_id),
        "tag": derive_tag_pin_key(ExportKey(export_key), tag_id, vault_id),
    }
    result: _Result = {}
    for name, key in keys.items():
        result[f"{name}_pin_key"] = key.expose()
        result[f"{name}_head_slots"] = [place // HEADS.slot_bytes for place in places(HEADS, key)]
        result[f"{name}_object_slots"] = [place // OBJECTS.slot_bytes for place in places(OBJECTS, key)]
    return result


OPERATIONS: Final[dict[str, Implementation]] = {
    "suite.epoch_code": _epoch_code,
    "suite.judge_code": _judge_code,
    "suite.pin_keys": _pin_keys,
}
