"""What a change of a vault's phrases sends: made of the witness alone, without asking anybody."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from hushtag.client.errors import ConflictError
from hushtag.client.witness import Seen, Witness
from hushtag.errors import AuthenticationError, MalformedError, RollbackError
from hushtag.head import VaultHead, open_head, seal_head, set_element, set_hash, set_key
from hushtag.keys import generate_data_key
from hushtag.messages import AddTag, MemberKey, NewTag, RotateVault, VaultState, decode_binary, encode_binary
from hushtag.ring import Member, ring_digest
from hushtag.rotation import prove_succession, seal_old_key, seal_to_tag
from hushtag.tag_label import SEALED_LABEL_LENGTH, seal_label
from hushtag.types import DataKey

__all__ = ["Replacement", "Rotated", "addition", "open_rotated", "rotation"]


class Replacement:
    """Who is revoked, who comes in that place (if anybody), and the next data key: the same at every attempt."""

    def __init__(self, revoked: UUID) -> None:
        self.revoked = revoked
        self.tag: NewTag | None = None
        self.data_key: DataKey = generate_data_key()


class Rotated(NamedTuple):
    """The head a rotation leads to, and the message that asks for it."""

    head: VaultHead
    message: RotateVault


def _member(tag: NewTag) -> Member:
    return Member(tag.tag_id, decode_binary(tag.public_key))


def addition(witness: Witness, before: VaultHead, members: Sequence[Member], tag: NewTag) -> tuple[VaultHead, AddTag]:
    """Return the head that counts a further phrase, and the message that asks for it.

    `before` is the head that vouches for the members, and no later one: a member may have another key by then.
    """
    ring = ring_digest(witness.vault_id, [*members, _member(tag)])
    head = before.with_ring(ring)
    sealed = seal_head(witness.data_key, witness.vault_id, head)
    return head, AddTag(tag, head.generation, encode_binary(sealed), encode_binary(ring))


def rotation(
    witness: Witness,
    before: VaultHead,
    rows: Mapping[UUID, Seen],
    change: Replacement,
    stay: Sequence[tuple[Member, str | None]],
) -> Rotated:
    """Return the head under the next data key, and the message; `stay` are the members that stay, with their labels.

    A label that did not open is `None`, and opens under the next key as little: nobody vouches for another one.

    `before` is as for `addition`, and `rows` are those it sums up: the set hash is made anew under the new key.
    """
    old, new, vault_id = witness.data_key, change.data_key, witness.vault_id
    version = before.key_version + 1
    ring = ring_digest(vault_id, [member for member, _ in stay] + ([] if change.tag is None else [_member(change.tag)]))
    key = set_key(new, vault_id, version)
    summary = set_hash(set_element(key, object_id, *seen) for object_id, seen in rows.items())
    head = before.rotated(summary=summary, ring=ring)
    message = RotateVault(
        revoked=change.revoked,
        generation=head.generation,
        key_version=version,
        head=encode_binary(seal_head(new, vault_id, head)),
        ring=encode_binary(ring),
        proof=encode_binary(prove_succession(old, new, vault_id=vault_id, key_version=version)),
        old_key=encode_binary(seal_old_key(new, old, vault_id=vault_id, key_version=version)),
        members=[_member_key(new, vault_id, version, member, label) for member, label in stay],
        added=change.tag,
    )
    return Rotated(head, message)


def _member_key(new: DataKey, vault_id: UUID, version: int, member: Member, label: str | None) -> MemberKey:
    tag_id, public_key = member
    sealed = seal_to_tag(new, public_key, vault_id=vault_id, tag_id=tag_id, key_version=version)
    if label is None:
        sealed_label = os.urandom(SEALED_LABEL_LENGTH)
    else:
        sealed_label = seal_label(
            new, label, vault_id=vault_id, tag_id=tag_id, key_version=version, public_key=public_key
        )
    return MemberKey(tag_id, encode_binary(sealed), encode_binary(sealed_label))


def open_rotated(vault_id: UUID, data_key: DataKey, state: VaultState, rotated: Rotated) -> VaultHead:
    """Return the vault's head, if it is the one the rotation led to, or one that came after it under the same key.

    Raises:
        MalformedError: the state is another vault's.
        ConflictError: it is under a key that is not ours: somebody else rotated it.
        RollbackError: another head of the generation the rotation led to.
    """
    if state.vault_id != vault_id:
        raise MalformedError("answer names another vault")
    ring = None if state.ring is None else decode_binary(state.ring)
    sealed, version = decode_binary(state.head), state.key_version
    try:
        head = open_head(data_key, vault_id, sealed, generation=state.generation, key_version=version, ring=ring)
    except AuthenticationError:
        raise ConflictError("the vault has a new key; unlock it again", code="key_rotated") from None
    if head.generation <= rotated.head.generation and head != rotated.head:
        raise RollbackError("server shows another head than the rotation led to")
    return head
