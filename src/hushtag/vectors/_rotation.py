"""The operations on a vault's phrases: ring, keys sealed to tags, succession."""

from typing import Final
from uuid import UUID

import msgspec

from hushtag.ring import Member, check_ring, ring_digest
from hushtag.rotation import KeyStep, follow, open_old_key, open_to_tag, prove_succession, seal_old_key
from hushtag.types import DataKey, TagPrivateKey
from hushtag.vectors._operation import Implementation, Octets
from hushtag.vectors._sealed import fixed_entropy

_Result = dict[str, object]


class _Member(msgspec.Struct, forbid_unknown_fields=True):
    tag_id: UUID
    public_key: Octets

    def member(self) -> Member:
        """The library's own."""
        return Member(self.tag_id, self.public_key)


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    sealed_key: Octets
    proof: Octets


def _ring_digest(vault_id: UUID, members: list[_Member]) -> _Result:
    return {"ring": ring_digest(vault_id, [each.member() for each in members])}


def _check_ring(vault_id: UUID, members: list[_Member], own: _Member, ring: Octets | None = None) -> _Result:
    check_ring(vault_id, [each.member() for each in members], ring, own.member())
    return {"phrases": len(members)}


def _open_sealed_key(
    tag_private_key: Octets, sealed_key: Octets, vault_id: UUID, tag_id: UUID, key_version: int
) -> _Result:
    key = TagPrivateKey(tag_private_key)
    opened = open_to_tag(key, sealed_key, vault_id=vault_id, tag_id=tag_id, key_version=key_version)
    return {"data_key": opened.expose()}


def _seal_old_key(data_key: Octets, old_data_key: Octets, vault_id: UUID, key_version: int, iv: Octets) -> _Result:
    keys = DataKey(data_key), DataKey(old_data_key)
    sealed = seal_old_key(*keys, vault_id=vault_id, key_version=key_version, _entropy=fixed_entropy(iv))
    return {"old_key": sealed}


def _open_old_key(data_key: Octets, old_key: Octets, vault_id: UUID, key_version: int) -> _Result:
    opened = open_old_key(DataKey(data_key), old_key, vault_id=vault_id, key_version=key_version)
    return {"old_data_key": opened.expose()}


def _prove_succession(old_data_key: Octets, data_key: Octets, vault_id: UUID, key_version: int) -> _Result:
    old, new = DataKey(old_data_key), DataKey(data_key)
    return {"proof": prove_succession(old, new, vault_id=vault_id, key_version=key_version)}


def _follow(
    data_key: Octets, tag_private_key: Octets, vault_id: UUID, tag_id: UUID, key_version: int, steps: list[_Step]
) -> _Result:
    taken = [KeyStep(step.sealed_key, step.proof) for step in steps]
    keys = DataKey(data_key), TagPrivateKey(tag_private_key)
    last = follow(*keys, taken, vault_id=vault_id, tag_id=tag_id, key_version=key_version)
    return {"data_key": last.expose(), "key_version": key_version + len(steps)}


OPERATIONS: Final[dict[str, Implementation]] = {
    "suite.ring_digest": _ring_digest,
    "suite.check_ring": _check_ring,
    "suite.open_sealed_key": _open_sealed_key,
    "suite.seal_old_key": _seal_old_key,
    "suite.open_old_key": _open_old_key,
    "suite.prove_succession": _prove_succession,
    "suite.follow": _follow,
}
