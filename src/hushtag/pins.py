"""Pins: what a device remembers of a vault, kept so that nobody without its keys can tell that anything is kept.

A page is a fixed number of slots of fixed size, random bytes at first. A pin is sealed and written into several slots,
chosen by its key, over whatever is there: who does not have the key cannot tell a pin from what was never written, and
neither can this code, so a pin may be overwritten by those of other vaults. The copies make it unlikely that all are
(SPEC.md section 22). No input or output happens here.
"""

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from hushtag import _labels
from hushtag._kdf import hkdf_sha512, lp
from hushtag._sealing import IV_LENGTH, OVERHEAD, open_sealed, seal
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.suites import HUSHTAG_V1
from hushtag.types import DataKey, ExportKey, PinKey

__all__ = [
    "HEADS",
    "MAX_PINNED_ROWS",
    "OBJECTS",
    "HeadPin",
    "PageShape",
    "RowsPin",
    "derive_tag_pin_key",
    "derive_vault_pin_key",
    "fresh_page",
    "places",
    "read_slots",
    "write_slots",
]

_Entropy = Callable[[int], bytes]
_VERSION: Final = 1


class PageShape(NamedTuple):
    """A page: `slots` of `slot_bytes` each; one value lies in `copies` of them."""

    mark: bytes
    slots: int
    slot_bytes: int
    copies: int

    @property
    def length(self) -> int:
        """Bytes of the page."""
        return self.slots * self.slot_bytes

    @property
    def room(self) -> int:
        """Bytes of a value in a slot."""
        return self.slot_bytes - OVERHEAD


HEADS: Final = PageShape(b"H", 1024, 128, 8)
"""The page of pinned heads: 128 KiB."""
OBJECTS: Final = PageShape(b"O", 128, 4096, 2)
"""The page of pinned rows: 512 KiB."""

_HEAD = struct.Struct(">IIIQQQ32s")
_ROWS = struct.Struct(">IIQI")
_ROW = struct.Struct(">16sQ8s")
_PLACES_BYTES: Final = 256
MAX_PINNED_ROWS: Final = (OBJECTS.room - _ROWS.size) // _ROW.size
"""Rows of one vault that are pinned: 125."""


def derive_vault_pin_key(data_key: DataKey, vault_id: UUID) -> PinKey:
    """Return the key of a vault's pins that every phrase of the vault leads to, until the data key changes."""
    return PinKey(hkdf_sha512(data_key.expose(), b"", _labels.PIN_VAULT + vault_id.bytes, PinKey.LENGTH))


def derive_tag_pin_key(export_key: ExportKey, tag_id: UUID, vault_id: UUID) -> PinKey:
    """Return the key of a vault's pins that every data key of the vault leaves alone, until the phrase changes."""
    info = _labels.PIN_TAG + tag_id.bytes + vault_id.bytes
    return PinKey(hkdf_sha512(export_key.expose(), b"", info, PinKey.LENGTH))


def fresh_page(shape: PageShape, *, _entropy: _Entropy = os.urandom) -> bytes:
    """Return a page on which nothing was ever written."""
    return _entropy(shape.length)


def places(shape: PageShape, key: PinKey) -> list[int]:
    """Return the byte positions of a key's slots, all different."""
    drawn = hkdf_sha512(key.expose(), b"", _labels.PIN_PLACE + shape.mark, _PLACES_BYTES)
    # Slots are powers of two, so the remainder is uniform; of 64 draws the first different ones are taken.
    numbers = [number % shape.slots for (number,) in struct.iter_unpack(">I", drawn)]
    return [number * shape.slot_bytes for number in list(dict.fromkeys(numbers))[: shape.copies]]


def _aad(shape: PageShape) -> bytes:
    return lp(HUSHTAG_V1.id.encode("ascii")) + shape.mark


def read_slots(page: bytes, shape: PageShape, key: PinKey) -> list[bytes]:
    """Return what the slots of this key hold, different values once each; none if nothing of it is left.

    Raises:
        MalformedError: the page has another length.
    """
    if len(page) != shape.length:
        raise MalformedError(f"page of pins is {len(page)} bytes, expected {shape.length}")
    found: dict[bytes, None] = {}
    for place in places(shape, key):
        sealed = page[place : place + shape.slot_bytes]
        try:
            found[open_sealed(key.expose(), sealed, _labels.PIN_SLOT + shape.mark, _aad(shape))] = None
        except AuthenticationError:
            continue  # never written, or written over by another vault's pin: the two look alike
    return list(found)


def write_slots(page: bytes, shape: PageShape, key: PinKey, value: bytes, *, _entropy: _Entropy = os.urandom) -> bytes:
    """Return the page with a value in every slot of this key, sealed anew for each.

    Raises:
        MalformedError: the value is not exactly as long as a slot has room.
    """
    if len(value) != shape.room or len(page) != shape.length:
        raise MalformedError("page or value of a pin has the wrong length")
    changed = bytearray(page)
    for place in places(shape, key):
        iv = _entropy(IV_LENGTH)
        sealed = seal(key.expose(), iv, _labels.PIN_SLOT + shape.mark, [value], _aad(shape))
        changed[place : place + shape.slot_bytes] = sealed
    return bytes(changed)


@dataclass(frozen=True, slots=True)
class HeadPin:
    """A head that was seen. `pinned_at`: Unix seconds. `fingerprint`: 32 bytes of `hushtag.epoch`."""

    generation: int
    object_count: int
    key_version: int
    restorations: int
    pinned_at: int
    fingerprint: bytes

    @property
    def order(self) -> tuple[int, int]:
        """What grows with every state: an accepted restore counts before the generation."""
        return self.restorations, self.generation

    def encode(self) -> bytes:
        """Return 68 bytes: what a slot of `HEADS` has room for."""
        return _HEAD.pack(
            _VERSION,
            self.restorations,
            self.key_version,
            self.generation,
            self.object_count,
            self.pinned_at,
            self.fingerprint,
        )

    @classmethod
    def decode(cls, value: bytes) -> "HeadPin":
        """Return the pin of a slot's value.

        Raises:
            MalformedError: another length, or another version of this library wrote it.
        """
        version, restorations, key_version, *numbers, found = _unpacked(_HEAD, value)
        _check_version(version)
        generation, object_count, pinned_at = numbers
        return cls(generation, object_count, key_version, restorations, pinned_at, found)


@dataclass(frozen=True, slots=True)
class RowsPin:
    """Revision and the first 8 bytes of the row digest of objects, as a verified listing had them at a generation."""

    generation: int
    restorations: int
    rows: Mapping[UUID, tuple[int, bytes]]

    def encode(self) -> bytes:
        """Return 4036 bytes with at most `MAX_PINNED_ROWS` rows, those of the lowest ids."""
        kept = sorted(self.rows.items())[:MAX_PINNED_ROWS]
        start = _ROWS.pack(_VERSION, self.restorations, self.generation, len(kept))
        rows = b"".join(_ROW.pack(object_id.bytes, revision, digest) for object_id, (revision, digest) in kept)
        return (start + rows).ljust(OBJECTS.room, b"\0")

    @classmethod
    def decode(cls, value: bytes) -> "RowsPin":
        """Return the rows of a slot's value.

        Raises:
            MalformedError: another length, or another version of this library wrote it.
        """
        version, restorations, generation, count = _unpacked(_ROWS, value[: _ROWS.size])
        _check_version(version)
        if len(value) != OBJECTS.room or count > MAX_PINNED_ROWS:
            raise MalformedError("pinned rows have the wrong length")
        body = value[_ROWS.size : _ROWS.size + count * _ROW.size]
        rows = {UUID(bytes=raw): (revision, digest) for raw, revision, digest in _ROW.iter_unpack(body)}
        return cls(generation, restorations, rows)


def _unpacked(kind: struct.Struct, value: bytes) -> tuple[Any, ...]:
    if len(value) != kind.size:
        raise MalformedError("pin has the wrong length")
    return kind.unpack(value)


def _check_version(version: int) -> None:
    if version != _VERSION:
        raise MalformedError(f"pin has version {version}; this program knows version {_VERSION}")
