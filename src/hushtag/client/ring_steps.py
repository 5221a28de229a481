"""Steps that read which phrases open a vault: exactly those that its newest head vouches for."""

import functools
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from hushtag.client.answers import check_times
from hushtag.client.contents import VaultPhrase
from hushtag.client.effects import Pause, Steps, compute
from hushtag.client.errors import ConflictError, IntegrityError, NotFoundError
from hushtag.client.paging import collect
from hushtag.client.resealing_steps import ResealingSteps
from hushtag.client.row_steps import VAULT_DENIED
from hushtag.errors import AuthenticationError, MalformedError, RollbackError
from hushtag.head import VaultHead
from hushtag.messages import TagInfo, TagList, decode_binary
from hushtag.ring import MAX_PHRASES, Member, check_ring
from hushtag.tag_label import open_label

__all__ = ["Known", "Ring", "RingSteps"]


class Known(NamedTuple):
    """A phrase of the ring: its public key (32 bytes) is authentic. `labelled`: so is its label, else it is empty."""

    member: Member
    phrase: VaultPhrase
    labelled: bool

    def told(self) -> VaultPhrase:
        """Return the phrase with its label.

        Raises:
            IntegrityError: the label does not open.
        """
        if not self.labelled:
            raise IntegrityError(f"label of the phrase {self.phrase.tag_id}")
        return self.phrase


class Ring(NamedTuple):
    """The phrases of the ring, and the head that vouches for them: a change of the ring is built on this one alone."""

    known: list[Known]
    head: VaultHead

    @property
    def members(self) -> list[Member]:
        """Tag ids and public keys."""
        return [each.member for each in self.known]


class RingSteps(ResealingSteps):
    """Reading the phrases of one open vault."""

    def phrases(self) -> Steps[tuple[VaultPhrase, ...]]:
        """Return the phrases that open the vault, exactly those its newest head counts."""
        return tuple(known.told() for known in (yield from self.ring()).known)

    def ring(self) -> Steps[Ring]:
        """Return the phrases that open the vault with their public keys, exactly those its newest head counts.

        A label that does not open is no reason to stop: whoever is inside could store one, and not be revoked any more.

        Raises:
            ConflictError: the phrase that is open was moved by another device, or the vault changes too fast.
        """
        for attempt in range(self.retry.changes):
            try:
                pages = yield from collect(f"{self.path}/tags", self.token, TagList, _tag_ids, self.retry)
            except NotFoundError:
                raise RollbackError(VAULT_DENIED) from None
            tags = [tag for page in pages for tag in page.tags]
            before = self.witness.head
            try:
                return (yield from compute(functools.partial(self._check, tags)))
            except (AuthenticationError, RollbackError):
                # The list is of the newest head; ours may be older. If it is not, the list is a lie.
                yield from self.refresh()
                if self.witness.head == before:
                    raise
            yield Pause(self.retry.pause(attempt))
        raise ConflictError("the vault changes faster than its phrases can be read; try again", code="busy")

    def _check(self, tags: list[TagInfo]) -> Ring:
        head = self.witness.head
        if [tag.tag_id for tag in tags if tag.current] != [self.tag_id] or len(tags) > MAX_PHRASES:
            raise IntegrityError("list of phrases")
        members = [Member(tag.tag_id, decode_binary(tag.public_key)) for tag in tags]
        own = next(member for member in members if member.tag_id == self.tag_id)
        check_ring(self.witness.vault_id, members, head.ring, own)
        known = [self._known(member, tag, head) for member, tag in zip(members, tags, strict=True)]
        if own != self.own:
            # Only somebody inside seals a label to another public key, or makes a head of a ring that has it.
            if not next(each.labelled for each in known if each.member == own):
                raise IntegrityError("list of phrases")
            raise ConflictError(
                "another device has moved the open phrase to newer server keys; unlock it again", code="tag_moved"
            )
        return Ring(known, head)

    def _known(self, member: Member, tag: TagInfo, head: VaultHead) -> Known:
        check_times(tag.created_at)
        label = None
        with suppress(AuthenticationError, MalformedError):
            label = open_label(
                self.witness.data_key,
                decode_binary(tag.sealed_label),
                vault_id=self.witness.vault_id,
                tag_id=tag.tag_id,
                key_version=head.key_version,
                public_key=member.public_key,
            )
        phrase = VaultPhrase(tag.tag_id, label or "", tag.created_at, tag.current)
        return Known(member, phrase, labelled=label is not None)

    @staticmethod
    def _find(ring: Ring, tag_id: UUID) -> Known:
        found = [each for each in ring.known if each.phrase.tag_id == tag_id]
        if not found:
            raise NotFoundError("no phrase of the vault has this id", code="not_found")
        return found[0]


def _tag_ids(page: TagList) -> list[UUID]:
    return [tag.tag_id for tag in page.tags]
