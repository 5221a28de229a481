"""Links and checkpoints: what the chain of the security log is made of."""

import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from hushtag._kdf import lp, u64
from hushtag_server.security_log.audit_keys import LINK, SIGNATURE, AuditKeys
from hushtag_server.security_log.rows import stamp

__all__ = ["GENESIS", "Checkpoint", "Head", "extend", "is_authentic", "read_checkpoint", "sign_checkpoint"]

Kind = Literal["head", "cut"]
_MOST: Final = 2**63 - 1  # what PostgreSQL holds


class Head(NamedTuple):
    """The end of the chain: the place of its last row, and its link (32 bytes)."""

    seq: int
    link: bytes


GENESIS: Final = Head(0, bytes(LINK))
"""What the first row is chained to."""


class Checkpoint(NamedTuple):
    """A signed statement about the chain: at `last_seq` stands `link`.

    `head`: so far it reached when this was signed. `cut`: maintenance removed the rows from `first_seq` to `last_seq`.
    """

    kind: Kind
    first_seq: int
    last_seq: int
    link: bytes
    key_id: UUID
    signed_at: datetime
    signature: bytes

    def encode(self) -> bytes:
        """Return what is signed; everything but the kind and the time is of fixed width."""
        return (
            lp(self.kind.encode())
            + u64(self.first_seq)
            + u64(self.last_seq)
            + self.link
            + self.key_id.bytes
            + lp(stamp(self.signed_at).encode())
        )

    def as_line(self) -> dict[str, Any]:
        """Return the checkpoint as files and logs spell it."""
        return {
            "kind": self.kind,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "link": self.link.hex(),
            "key_id": str(self.key_id),
            "signed_at": stamp(self.signed_at),
            "signature": self.signature.hex(),
        }


def extend(keys: AuditKeys, head: Head, rows: Sequence[tuple[UUID, str | None]]) -> list[tuple[int, UUID, bytes]]:
    """Return place, row id and link of each row (id, signature) that is added behind `head`, in this order."""
    seq, link = head
    made = []
    for log_id, signature in rows:
        seq += 1
        link = keys.link(link, seq, log_id, signature)
        made.append((seq, log_id, link))
    return made


def sign_checkpoint(keys: AuditKeys, kind: Kind, first_seq: int, head: Head) -> Checkpoint:
    """Return a checkpoint of this moment; microseconds are what PostgreSQL keeps."""
    unsigned = Checkpoint(kind, first_seq, head.seq, head.link, keys.id, datetime.now(UTC), b"")
    return unsigned._replace(signature=keys.sign_checkpoint(unsigned.encode()))


def is_authentic(checkpoint: Checkpoint, keys: AuditKeys | None) -> bool:
    """Tell whether a checkpoint was signed with these keys and says what was signed."""
    if keys is None or keys.id != checkpoint.key_id:
        return False
    return hmac.compare_digest(keys.sign_checkpoint(checkpoint.encode()), checkpoint.signature)


def read_checkpoint(line: str) -> Checkpoint | None:
    """Read a line of a checkpoint file or of a server's log; None if it is none, whatever it is instead."""
    try:
        found = json.loads(line)
        found = found.get("checkpoint", found)
        checkpoint = Checkpoint(
            found["kind"],
            int(found["first_seq"]),
            int(found["last_seq"]),
            bytes.fromhex(found["link"]),
            UUID(found["key_id"]),
            datetime.fromisoformat(found["signed_at"]).astimezone(UTC),
            bytes.fromhex(found["signature"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    whole = len(checkpoint.link) == LINK and len(checkpoint.signature) == SIGNATURE
    placed = 1 <= checkpoint.first_seq <= checkpoint.last_seq <= _MOST
    return checkpoint if whole and placed and checkpoint.kind in ("head", "cut") else None
