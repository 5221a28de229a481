"""The vault head: one sealed summary that makes omission, swap, replay and rollback visible (SPEC.md, "Vault head").

The set hash is the XOR over all objects of keyed BLAKE3 of object_id || u64(revision) || row digest. XOR makes each
change O(1); the key comes from the data key, so a server can neither compute an element nor search for rows whose
elements cancel. The object count inside the head rules out pairs of equal elements.
"""

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from blake3 import blake3

from hushtag import _labels
from hushtag._kdf import hkdf_sha512, lp, u32, u64
from hushtag._sealing import IV_LENGTH, OVERHEAD, check_length, open_sealed, seal
from hushtag.errors import LimitError, MalformedError, RollbackError
from hushtag.suites import HUSHTAG_V1, Suite
from hushtag.types import DataKey

__all__ = [
    "DIGEST_LENGTH",
    "HEAD_LENGTH",
    "MAX_OBJECT_COUNT",
    "MAX_RESTORATIONS",
    "VaultHead",
    "open_head",
    "seal_head",
    "set_element",
    "set_hash",
    "set_key",
]

_PLAIN = struct.Struct(">QQI32s")
_COUNT_BITS: Final = 48
MAX_OBJECT_COUNT: Final = 2**_COUNT_BITS - 1
MAX_RESTORATIONS: Final = 2**16 - 1
"""How often a vault can be accepted after a restore from a backup."""
HEAD_LENGTH: Final = _PLAIN.size + OVERHEAD
"""Bytes of a sealed head: 112."""
DIGEST_LENGTH: Final = 32
_EMPTY: Final = bytes(DIGEST_LENGTH)


@dataclass(frozen=True, slots=True)
class VaultHead:
    """What a vault holds at one generation.

    `restorations` counts how often somebody inside has accepted an older state after a restore from a backup. It is
    what tells such a state, whatever its generation, from the ones that were lost by it.
    """

    generation: int
    object_count: int
    key_version: int
    set_hash: bytes
    restorations: int = 0
    ring: bytes | None = None
    """Digest of the phrases that open the vault (SPEC.md, "Ring"); `None` if there was never more than one."""

    @classmethod
    def first(cls) -> "VaultHead":
        """The head of an empty new vault: generation 1, key version 1."""
        return cls(1, 0, 1, _EMPTY)

    def encode(self) -> bytes:
        """Return the 52 bytes that are sealed.

        Raises:
            LimitError: more restorations or objects than their fields hold.
        """
        if not (0 <= self.restorations <= MAX_RESTORATIONS and 0 <= self.object_count <= MAX_OBJECT_COUNT):
            raise LimitError("vault head counts more restorations or objects than it can hold")
        counts = self.restorations << _COUNT_BITS | self.object_count
        return _PLAIN.pack(self.generation, counts, self.key_version, self.set_hash)

    @classmethod
    def decode(cls, plain: bytes) -> "VaultHead":
        """Return the head of 52 bytes; inverse of `encode`."""
        generation, counts, key_version, summary = _PLAIN.unpack(plain)
        return cls(generation, counts & MAX_OBJECT_COUNT, key_version, summary, counts >> _COUNT_BITS)

    def with_change(self, *, removed: bytes | None, added: bytes | None) -> "VaultHead":
        """Return the next generation's head after one element left, came, or was replaced.

        Raises:
            LimitError: something is removed from an empty vault.
        """
        return self.with_changes(removed=() if removed is None else (removed,), added=() if added is None else (added,))

    def with_changes(self, *, removed: Sequence[bytes], added: Sequence[bytes]) -> "VaultHead":
        """Return the next generation's head after these elements left and those came.

        Raises:
            LimitError: more is removed than there is.
        """
        count = self.object_count - len(removed) + len(added)
        if count < 0:
            raise LimitError("vault head counts no object that could be removed")
        summary = set_hash((self.set_hash, *removed, *added))  # XOR puts in and takes out alike
        return replace(self, generation=self.generation + 1, object_count=count, set_hash=summary)

    def with_ring(self, ring: bytes) -> "VaultHead":
        """Return the next generation's head, of the same objects under another ring (32 bytes)."""
        return replace(self, generation=self.generation + 1, ring=ring)

    def rotated(self, *, summary: bytes, ring: bytes) -> "VaultHead":
        """Return the next generation's head under the next data key: `summary` is the set hash under that key."""
        version = self.key_version + 1
        return replace(self, generation=self.generation + 1, key_version=version, set_hash=summary, ring=ring)

    def verify(self, elements: Iterable[bytes]) -> None:
        """Check that exactly these elements make up the vault.

        Raises:
            RollbackError: an object is missing, extra, replaced or of another revision.
        """
        listed = list(elements)
        if len(listed) != self.object_count:
            raise RollbackError(f"listing has {len(listed)} objects, the vault head counts {self.object_count}")
        if set_hash(listed) != self.set_hash:
            raise RollbackError("listing does not match the vault head: an object was swapped, replayed or rolled back")


def set_key(data_key: DataKey, vault_id: UUID, key_version: int) -> bytes:
    """Return the 32-byte key of the set hash; secret, derived once per open vault."""
    return hkdf_sha512(data_key.expose(), b"", _labels.SET_KEY + vault_id.bytes + u32(key_version), DIGEST_LENGTH)


def set_element(key: bytes, object_id: UUID, revision: int, digest: bytes) -> bytes:
    """Return one object's element: keyed BLAKE3 of object_id || u64(revision) || row digest(32)."""
    return blake3(object_id.bytes + u64(revision) + digest, key=key).digest()


def set_hash(elements: Iterable[bytes]) -> bytes:
    """Return the XOR of all elements; 32 zero bytes for none."""
    total = 0
    for element in elements:
        total ^= int.from_bytes(element)
    return total.to_bytes(DIGEST_LENGTH)


def _info(vault_id: UUID, key_version: int, generation: int) -> bytes:
    return _labels.HEAD + vault_id.bytes + u32(key_version) + u64(generation)


def _aad(suite: Suite, vault_id: UUID, key_version: int, generation: int, ring: bytes | None) -> bytes:
    # The ring's 32 bytes are the only part that may be absent, so the two forms have different lengths.
    return lp(suite.id.encode("ascii")) + vault_id.bytes + u32(key_version) + u64(generation) + (ring or b"")


def seal_head(
    data_key: DataKey,
    vault_id: UUID,
    head: VaultHead,
    *,
    suite: Suite = HUSHTAG_V1,
    _entropy: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Return the sealed head: 112 bytes."""
    plain = head.encode()
    info = _info(vault_id, head.key_version, head.generation)
    aad = _aad(suite, vault_id, head.key_version, head.generation, head.ring)
    return bytes(seal(data_key.expose(), _entropy(IV_LENGTH), info, [plain], aad))


def open_head(
    data_key: DataKey,
    vault_id: UUID,
    sealed: bytes,
    *,
    generation: int,
    key_version: int,
    ring: bytes | None = None,
    suite: Suite = HUSHTAG_V1,
) -> VaultHead:
    """Return the head, if it is the one of this generation, key version and ring of this vault.

    Raises:
        MalformedError: not 112 bytes, or the ring is not 32.
        AuthenticationError: not authentic, or of another vault, generation, key version or ring.
        RollbackError: authentic, and it names inside another generation or key version.
    """
    if ring is not None and len(ring) != DIGEST_LENGTH:
        raise MalformedError(f"ring digest is {len(ring)} bytes, expected {DIGEST_LENGTH}")
    info = _info(vault_id, key_version, generation)
    aad = _aad(suite, vault_id, key_version, generation, ring)
    plain = open_sealed(data_key.expose(), check_length(sealed, _PLAIN.size), info, aad)
    head = replace(VaultHead.decode(plain), ring=ring)
    if (head.generation, head.key_version) != (generation, key_version):
        raise RollbackError("vault head names another generation or key version than it was sealed for")
    return head
