"""A tag's human label, sealed so that only those inside the vault can read it (SPEC.md, "Tag label")."""

import os
from collections.abc import Callable
from typing import Final
from uuid import UUID

from hushtag import _labels
from hushtag._kdf import lp, u32
from hushtag._sealing import IV_LENGTH, OVERHEAD, check_length, open_sealed, seal
from hushtag.errors import LimitError, MalformedError
from hushtag.suites import HUSHTAG_V1, Suite
from hushtag.types import DataKey

__all__ = ["MAX_LABEL_BYTES", "SEALED_LABEL_LENGTH", "open_label", "seal_label"]

_FRAME: Final = 256
MAX_LABEL_BYTES: Final = _FRAME - 4
"""UTF-8 bytes of a label, at most; every sealed label has the same length, so none tells how long it is."""
SEALED_LABEL_LENGTH: Final = _FRAME + OVERHEAD


def _info(vault_id: UUID, tag_id: UUID, key_version: int) -> bytes:
    return _labels.LABEL + vault_id.bytes + tag_id.bytes + u32(key_version)


def _aad(suite: Suite, vault_id: UUID, tag_id: UUID, key_version: int, public_key: bytes) -> bytes:
    # The tag's public key rides here: who can read the label knows the key belongs to that tag.
    return lp(suite.id.encode("ascii")) + vault_id.bytes + tag_id.bytes + u32(key_version) + public_key


def seal_label(
    data_key: DataKey,
    label: str,
    *,
    vault_id: UUID,
    tag_id: UUID,
    key_version: int,
    public_key: bytes,
    suite: Suite = HUSHTAG_V1,
    _entropy: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Return the sealed label: 316 bytes. `public_key` is the tag's X25519 key, 32 bytes, authenticated with it.

    Raises:
        LimitError: the label is over 252 bytes of UTF-8.
    """
    try:
        encoded = label.encode("utf-8")
    except UnicodeEncodeError:
        raise LimitError("label is not valid Unicode") from None
    if len(encoded) > MAX_LABEL_BYTES:
        raise LimitError(f"label is {len(encoded)} bytes, at most {MAX_LABEL_BYTES}")
    frame = lp(encoded).ljust(_FRAME, b"\0")
    aad = _aad(suite, vault_id, tag_id, key_version, public_key)
    info = _info(vault_id, tag_id, key_version)
    return bytes(seal(data_key.expose(), _entropy(IV_LENGTH), info, [frame], aad))


def open_label(
    data_key: DataKey,
    sealed: bytes,
    *,
    vault_id: UUID,
    tag_id: UUID,
    key_version: int,
    public_key: bytes,
    suite: Suite = HUSHTAG_V1,
) -> str:
    """Return the label, if it and the public key belong to that tag of that vault.

    Raises:
        MalformedError: wrong length or frame.
        AuthenticationError: not authentic.
    """
    aad = _aad(suite, vault_id, tag_id, key_version, public_key)
    frame = open_sealed(data_key.expose(), check_length(sealed, _FRAME), _info(vault_id, tag_id, key_version), aad)
    length = int.from_bytes(frame[:4])
    if length > MAX_LABEL_BYTES or any(frame[4 + length :]):
        raise MalformedError("label frame has the wrong length or padding")
    try:
        return frame[4 : 4 + length].decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("label is not UTF-8") from None
