"""Moving a tag to another setup of the server (SPEC.md, "Moving a tag"). No input or output happens here.

Client: the unlock that found the tag under an earlier setup prepares a `TagMove`; `finish` makes the message.
Server: `accept_move` checks what can be checked without a key. Phrase, data keys and objects stay what they are.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol
from uuid import UUID

from hushtag import _opaque
from hushtag._ceremony import CeremonyState
from hushtag.duress import derive_release
from hushtag.enrollment import checked_record
from hushtag.errors import MalformedError
from hushtag.head import VaultHead, seal_head
from hushtag.keys import SALT_LENGTH, derive_kek, derive_tag_key_pair, wrap_key
from hushtag.messages import MovedKey, MoveTag, encode_binary
from hushtag.pins import derive_tag_pin_key
from hushtag.ring import Member, ring_digest
from hushtag.suites import HUSHTAG_V1, Suite
from hushtag.tag_label import seal_label
from hushtag.types import DataKey, ExportKey, PhraseHash, PinKey, Record, Secret, TagPrivateKey, forget_all

__all__ = ["AcceptedMove", "MovedTag", "OpenedVault", "TagMove", "accept_move"]

_Entropy = Callable[[int], bytes]


class OpenedVault(Protocol):
    """A vault as an unlock opens it."""

    @property
    def vault_id(self) -> UUID: ...
    @property
    def wrapped_key_id(self) -> UUID: ...
    @property
    def data_key(self) -> DataKey: ...
    @property
    def head(self) -> VaultHead: ...


class MovedTag(NamedTuple):
    """The message of a move, and what holds of the tag once the server has taken it: heads and pin keys per vault."""

    message: MoveTag
    private_key: TagPrivateKey
    heads: tuple[VaultHead, ...]
    pin_keys: tuple[PinKey, ...]

    def forget(self) -> None:
        """Forget the new keys: the server has not taken the message, or nobody knows."""
        forget_all([self.private_key, *self.pin_keys])


class TagMove(CeremonyState):
    """A tag that may move: the server's offer, and the phrase's registration under the setup it goes to."""

    def __init__(
        self, offer: str, tag_id: UUID, record: Record, export_key: ExportKey, *, suite: Suite = HUSHTAG_V1
    ) -> None:
        self._offer = offer
        self._record = record
        self._export_key = export_key
        self._suite = suite
        self.tag_id = tag_id

    def _secrets(self) -> list[Secret]:
        return [self._export_key]

    def finish(
        self,
        vaults: Sequence[OpenedVault],
        label: str,
        members: Mapping[UUID, Sequence[Member]],
        *,
        _entropy: _Entropy = os.urandom,
    ) -> MovedTag:
        """Wrap every data key and seal the label anew; the label is sealed in the first vault.

        Each vault's head says the same of its objects at the next generation, so a change that somebody else makes
        at the same time and this one cannot both be taken. Where a head has a ring, it gets the one in which the tag
        has its new public key; `members` are each vault's phrases, held against the ring it has.

        Raises:
            StateError: called twice.
            LimitError: the label is too long.
            MalformedError: this tag is not among the members of a ring.
        """
        self._spend()
        private_key, public_key = derive_tag_key_pair(self._export_key, self.tag_id)
        try:
            salt = _entropy(SALT_LENGTH)
            first = vaults[0]
            sealed_label = seal_label(
                first.data_key,
                label,
                vault_id=first.vault_id,
                tag_id=self.tag_id,
                key_version=first.head.key_version,
                public_key=public_key,
                suite=self._suite,
                _entropy=_entropy,
            )
            own = Member(self.tag_id, public_key)
            heads = tuple(_moved_head(vault, members.get(vault.vault_id, ()), own) for vault in vaults)
            keys = [self._wrap(vault, head, salt, _entropy) for vault, head in zip(vaults, heads, strict=True)]
            # Under the phrase's other export key a device would find no pin: it goes on under the one that comes now.
            release = derive_release(self._export_key)
            pin_keys = tuple(derive_tag_pin_key(self._export_key, self.tag_id, vault.vault_id) for vault in vaults)
        except BaseException:
            private_key.forget()
            raise
        finally:
            self._export_key.forget()
        message = MoveTag(
            state=self._offer,
            suite=self._suite.id,
            phrase_hash=encode_binary(_opaque.phrase_hash(self._record.masking_key)),
            salt=encode_binary(salt),
            record=encode_binary(self._record),
            public_key=encode_binary(public_key),
            sealed_label=encode_binary(sealed_label),
            release=encode_binary(release.expose()),
            vaults=keys,
        )
        release.forget()
        return MovedTag(message, private_key, heads, pin_keys)

    def _wrap(self, vault: OpenedVault, head: VaultHead, salt: bytes, entropy: _Entropy) -> MovedKey:
        kek = derive_kek(
            self._export_key,
            salt=salt,
            tag_id=self.tag_id,
            vault_id=vault.vault_id,
            key_version=head.key_version,
        )
        try:
            wrapped = wrap_key(kek, vault.data_key)
        finally:
            forget_all([kek])
        sealed = seal_head(vault.data_key, vault.vault_id, head, suite=self._suite, _entropy=entropy)
        return MovedKey(
            vault_id=vault.vault_id,
            wrapped_key_id=vault.wrapped_key_id,
            wrapped_key=encode_binary(wrapped),
            key_version=head.key_version,
            generation=head.generation,
            head=encode_binary(sealed),
            ring=None if head.ring is None else encode_binary(head.ring),
        )


def _moved_head(vault: OpenedVault, members: Sequence[Member], own: Member) -> VaultHead:
    if vault.head.ring is None:
        return vault.head.with_change(removed=None, added=None)
    if all(member.tag_id != own.tag_id for member in members):
        raise MalformedError("the tag that moves is not in the ring of its vault")
    moved = [own if member.tag_id == own.tag_id else member for member in members]
    return vault.head.with_ring(ring_digest(vault.vault_id, moved))


class AcceptedMove(NamedTuple):
    """A checked move, ready to store; lengths are exact."""

    message: MoveTag
    phrase_hash: PhraseHash
    record: Record


def accept_move(message: MoveTag) -> AcceptedMove:
    """Server: check everything that can be checked without a key.

    Raises:
        UnknownSuiteError: the suite is not this version's.
        MalformedError: as for `checked_record`, or a vault named twice.
    """
    stated, record = checked_record(message)
    if len({key.vault_id for key in message.vaults}) != len(message.vaults):
        raise MalformedError("move names one vault twice")
    return AcceptedMove(message, stated, record)
