"""The seal of a tag: its envelope lies in the database under a random key of its own, which backups leave out.

Deleting the key shreds the tag in every backup that was ever made: the envelope's nonce goes into the export key
(RFC 9807, section 5.2.3), and without it neither the right phrase nor the key file gives any key of the tag.
"""

import struct
from functools import lru_cache
from secrets import token_bytes
from typing import Final, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushtag._labels import TAG_SEAL
from hushtag.types import CredentialIdentifier, PhraseHash, Record

__all__ = [
    "PLAIN_ENVELOPE",
    "SEALED_ENVELOPE",
    "SEAL_LENGTH",
    "Envelopes",
    "new_seal",
    "seal_envelope",
    "sealed_decoy",
]

SEAL_LENGTH: Final = 32
SEALED_ENVELOPE: Final = 188
"""Bytes of a sealed envelope: nonce(12) || masking key(64) || envelope(96) || tag(16)."""
_NONCE: Final = 12
_VERIFIER: Final = 32
_KEY_ID: Final = 16
PLAIN_ENVELOPE: Final = Record.LENGTH - _VERIFIER
"""Bytes of the envelope of a tag that an earlier version stored and nothing has sealed yet."""
_UNSEALED: Final = bytes(SEAL_LENGTH)
_ENTRIES: Final = struct.Struct(f"{_KEY_ID}s{PhraseHash.LENGTH}s{SEAL_LENGTH}s{_VERIFIER}s{SEALED_ENVELOPE}s")


def new_seal() -> bytes:
    """Return a fresh seal of 32 bytes."""
    return token_bytes(SEAL_LENGTH)


def _bound(user_id: UUID, phrase_hash: bytes, verifier: bytes) -> bytes:
    # All of fixed width: an envelope that was moved to another row or user does not open.
    return TAG_SEAL + user_id.bytes + phrase_hash + verifier


def seal_envelope(seal: bytes, user_id: UUID, phrase_hash: bytes, record: Record) -> bytes:
    """Return the last 160 bytes of a record as they are stored: 188 bytes of AES-256-GCM under the tag's seal."""
    nonce = token_bytes(_NONCE)
    bound = _bound(user_id, phrase_hash, record[:_VERIFIER])
    return nonce + AESGCM(seal).encrypt(nonce, record[_VERIFIER:], bound)


class _Stored(NamedTuple):
    """A record as the database has it; `phrase_hash` is bound, and all zeros for a decoy."""

    key_id: bytes
    phrase_hash: bytes
    seal: bytes
    verifier: bytes
    envelope: bytes

    def __repr__(self) -> str:
        return "_Stored(<redacted>)"

    def open(self, user_id: UUID) -> Record | None:
        bound = _bound(user_id, self.phrase_hash, self.verifier)
        try:
            plain = AESGCM(self.seal).decrypt(self.envelope[:_NONCE], self.envelope[_NONCE:], bound)
        except InvalidTag:
            return None
        return Record(self.verifier + plain)


@lru_cache(maxsize=1024)
def sealed_decoy(user_id: UUID, credential_id: CredentialIdentifier, decoy: Record) -> _Stored:
    """Return a decoy sealed like a record; asked for in every start, whether or not a candidate needs it."""
    _ = credential_id  # part of the cache's key: a new one means a new decoy
    seal, nothing = new_seal(), bytes(PhraseHash.LENGTH)
    return _Stored(bytes(_KEY_ID), nothing, seal, decoy[:_VERIFIER], seal_envelope(seal, user_id, nothing, decoy))


class Envelopes:
    """What the database found for the phrase hashes of one start, still sealed: an entry for each, zeros for none."""

    def __init__(self, user_id: UUID, found: bytes | None) -> None:
        self._user_id = user_id
        whole = found or b""
        if len(whole) % _ENTRIES.size:
            whole = b""  # altered in the database, and as good as absent
        self._by_hash = {(entry[0], entry[1]): _Stored(*entry) for entry in _ENTRIES.iter_unpack(whole)}

    def record(self, key_id: UUID, phrase_hash: bytes, decoy: _Stored) -> Record:
        """Return the record of a phrase hash under this key set, or the decoy.

        One look-up and one opening either way, so neither work nor time tells which it was.
        """
        stored = self._by_hash.get((key_id.bytes, phrase_hash), decoy)
        if stored.seal == _UNSEALED:  # of an earlier version: the same work, on the decoy's envelope
            decoy.open(self._user_id)
            return Record(stored.verifier + stored.envelope[:PLAIN_ENVELOPE])
        # What does not open was altered in the database, and is as good as absent.
        opened = stored.open(self._user_id) or decoy.open(self._user_id)
        assert opened is not None  # noqa: S101  (this process sealed the decoy itself)
        return opened
