"""The ring: which phrases open a vault, summed up in its head (SPEC.md, "Ring").

A server can neither add a tag's public key, and so be sealed the next data key, nor hide a phrase, nor bring back one
that was revoked: the head's associated data holds the digest of exactly these tags and keys.
"""

import hmac
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from blake3 import blake3

from hushtag import _labels
from hushtag._kdf import u32
from hushtag.errors import LimitError, MalformedError, RollbackError
from hushtag.messages import MAX_MEMBERS

__all__ = ["MAX_PHRASES", "PUBLIC_KEY_LENGTH", "RING_DIGEST_LENGTH", "Member", "check_ring", "ring_digest"]

MAX_PHRASES: Final = MAX_MEMBERS
"""Phrases that open one vault, at most: a rotation seals the new key to each of them in one message."""
PUBLIC_KEY_LENGTH: Final = 32
RING_DIGEST_LENGTH: Final = 32


class Member(NamedTuple):
    """One phrase's tag and its X25519 public key (32 bytes)."""

    tag_id: UUID
    public_key: bytes


def ring_digest(vault_id: UUID, members: Sequence[Member]) -> bytes:
    """Return the 32-byte digest of the members, in whatever order they are given.

    A plain hash is enough: tags and public keys are no secret of the server's, and the head vouches for the digest.

    Raises:
        LimitError: no member, or more than 50.
        MalformedError: a tag twice, or a public key that is not 32 bytes.
    """
    if not 1 <= len(members) <= MAX_PHRASES:
        raise LimitError(f"a vault is opened by 1 to {MAX_PHRASES} phrases, not {len(members)}")
    ordered = sorted(members, key=lambda member: member.tag_id.bytes)
    if len({member.tag_id for member in ordered}) != len(ordered):
        raise MalformedError("ring names a tag twice")
    if any(len(member.public_key) != PUBLIC_KEY_LENGTH for member in ordered):
        raise MalformedError(f"public key of a tag is not {PUBLIC_KEY_LENGTH} bytes")
    parts = [part for member in ordered for part in (member.tag_id.bytes, member.public_key)]
    return blake3(b"".join((_labels.RING, vault_id.bytes, u32(len(ordered)), *parts))).digest()


def check_ring(vault_id: UUID, members: Sequence[Member], ring: bytes | None, own: Member) -> None:
    """Check that exactly these members open the vault, and that `own`, the tag that is open, is one of them.

    Without a ring the vault never had a second phrase.

    Raises:
        RollbackError: a phrase is missing, added, revoked, or has another key.
        LimitError, MalformedError: as for `ring_digest`.
    """
    if own not in members:
        raise RollbackError("list of phrases lacks the one that is open, or gives it another key")
    expected = ring_digest(vault_id, [own]) if ring is None else ring
    if not hmac.compare_digest(ring_digest(vault_id, members), expected):
        raise RollbackError("list of phrases does not match the vault head: one was hidden, added or brought back")
