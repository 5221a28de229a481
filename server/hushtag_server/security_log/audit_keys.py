"""The keys of the security log: one for each purpose, derived from the audit key of a key set."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.hmac import HMAC

from hushtag._kdf import hkdf_sha512, lp
from hushtag._labels import AUDIT_CHECKPOINT, AUDIT_IDENTIFIER, AUDIT_LINK, AUDIT_ROW
from hushtag_server.keyfile import KeyRing, ServerKeys

__all__ = ["LINK", "SIGNATURE", "AuditKeys", "audit_keys", "ring_keys"]

LINK: Final = 32
"""Bytes of a link of the chain, and of the hash of an identifier."""
SIGNATURE: Final = 64
"""Bytes of the signature of a row or a checkpoint."""


def _signed(signer: HMAC, encoded: bytes) -> bytes:
    # A copy of what was keyed once: half the price of looking up hash and key anew for every row.
    copy = signer.copy()
    copy.update(encoded)
    return copy.finalize()


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class AuditKeys:
    """The four keys of one key set (32 bytes each), three as keyed HMACs; `text_id` is its id as rows spell it."""

    id: UUID
    text_id: str
    identifiers: bytes
    row_signer: HMAC
    linker: HMAC
    checkpoint_signer: HMAC

    def identify(self, kind: bytes, value: bytes) -> bytes:
        """Return the keyed hash (32 bytes) of an identifier; equal values of different kinds differ."""
        # Not a plain hash: there are few addresses, and a thief of the database has every user id to try.
        return hashlib.blake2s(kind + b"\0" + value, key=self.identifiers).digest()

    def sign_row(self, encoded: bytes) -> str:
        """Return HMAC-SHA512 of an encoded row in 128 hex characters."""
        return _signed(self.row_signer, encoded).hex()

    def link(self, previous: bytes, seq: int, log_id: UUID, signature: str | None) -> bytes:
        """Return the link (32 bytes) of the row at `seq`, behind the link before it (32 bytes; zeros at the start)."""
        covered = previous + seq.to_bytes(8, "big") + log_id.bytes + lp((signature or "").encode())
        return _signed(self.linker, covered)[:LINK]

    def sign_checkpoint(self, encoded: bytes) -> bytes:
        """Return HMAC-SHA512 (64 bytes) of an encoded checkpoint."""
        return _signed(self.checkpoint_signer, encoded)

    def __repr__(self) -> str:
        return f"AuditKeys({self.id}, not shown)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("audit keys are not serialised")


@lru_cache(maxsize=16)
def audit_keys(keys: ServerKeys) -> AuditKeys:
    """Return the keys of a key set, derived once per process."""
    return _derived(keys.id, keys.audit_key)


@lru_cache(maxsize=1024)
def _derived(key_id: UUID, audit_key: bytes) -> AuditKeys:
    identifiers, *signing = (
        hkdf_sha512(audit_key, b"", label + key_id.bytes, 32)
        for label in (AUDIT_IDENTIFIER, AUDIT_ROW, AUDIT_LINK, AUDIT_CHECKPOINT)
    )
    return AuditKeys(key_id, str(key_id), identifiers, *(HMAC(key, SHA512()) for key in signing))


def ring_keys(ring: KeyRing) -> dict[UUID, AuditKeys]:
    """Return the keys of every key set of the ring, by its id, those of retired sets too: they still verify."""
    retired = {key_id: _derived(key_id, key) for key_id, key in ring.retired_audit_keys.items()}
    return retired | {keys.id: audit_keys(keys) for keys in ring.by_id.values()}
