"""What a device has pinned of one open vault, and what it holds against the state a server shows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from hushtag.client.errors import VaultRolledBackError
from hushtag.client.pin_file import PinStore
from hushtag.epoch import fingerprint
from hushtag.head import VaultHead
from hushtag.pins import HEADS, OBJECTS, HeadPin, PageShape, RowsPin, derive_vault_pin_key, read_slots, write_slots
from hushtag.types import DataKey, PinKey
from hushtag.unlock import OpenVault

__all__ = ["Pages", "PinnedState", "PinnedVault", "judge"]


@dataclass(frozen=True, slots=True)
class Pages:
    """Both pages as they were at one moment."""

    heads: bytes
    objects: bytes

    @classmethod
    def of(cls, store: PinStore) -> "Pages":
        """Read both pages."""
        return cls(store.read(HEADS), store.read(OBJECTS))


class PinnedState(NamedTuple):
    """What this device had seen of a vault before it was opened now."""

    generation: int
    object_count: int
    key_version: int
    restorations: int
    pinned_at: datetime


def shown(pin: HeadPin) -> PinnedState:
    """Return a pin as a person sees it."""
    moment = datetime.fromtimestamp(pin.pinned_at, UTC)
    return PinnedState(pin.generation, pin.object_count, pin.key_version, pin.restorations, moment)


def judge(pin: HeadPin, head: VaultHead, found: bytes, vault_id: UUID) -> None:
    """Refuse a head that takes back what was pinned; `found` is its fingerprint.

    Raises:
        VaultRolledBackError: it is older, another of the same generation, or a restored one nobody accepted here.
    """
    if head.restorations > pin.restorations:
        change = "restored"
    elif head.restorations < pin.restorations or head.generation < pin.generation or head.key_version < pin.key_version:
        change = "older"
    elif head.generation == pin.generation and found != pin.fingerprint:
        change = "forked"
    else:
        return
    raise VaultRolledBackError(
        vault_id,
        change,
        pinned_generation=pin.generation,
        served_generation=head.generation,
        pinned_objects=pin.object_count,
        served_objects=head.object_count,
        pinned_at=shown(pin).pinned_at,
    )


class PinnedVault:
    """The pins of one open vault, under both of its keys.

    One key comes from the data key and is the same for every phrase of the vault; the other comes from the phrase's
    own export key and outlives a new data key. Whatever either finds is held against the server.
    """

    def __init__(self, store: PinStore, opened: OpenVault, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._vault_id = opened.vault_id
        self._data_key = opened.data_key
        self._keys: tuple[PinKey, PinKey] = (derive_vault_pin_key(opened.data_key, opened.vault_id), opened.pin_key)
        self._clock = clock
        self._kept_rows: tuple[int, int] | None = None

    def follow(self, data_key: DataKey) -> None:
        """Go on under a new data key of the vault; the next head is pinned under it as well."""
        self._keys[0].forget()
        self._data_key = data_key
        self._keys = (derive_vault_pin_key(data_key, self._vault_id), self._keys[1])

    def move(self, pin_key: PinKey) -> None:
        """Go on under the new export key of the phrase; the next head is pinned under it as well."""
        self._keys[1].forget()
        self._keys = (self._keys[0], pin_key)

    def forget(self) -> None:
        """Forget the keys of the pins."""
        for key in self._keys:
            key.forget()

    def heads(self, page: bytes | None = None) -> list[HeadPin]:
        """Return every head pinned on this device, the newest first: the two keys may have found different ones."""
        pins = [HeadPin.decode(value) for value in self._values(HEADS, page)]
        return sorted(pins, key=lambda pin: pin.order, reverse=True)

    def newest(self, page: bytes | None = None) -> HeadPin | None:
        """Return the newest head pinned on this device; `None` if none is."""
        return next(iter(self.heads(page)), None)

    def rows(self, page: bytes | None = None) -> RowsPin | None:
        """Return the newest rows pinned on this device; `None` if none are."""
        pins = [RowsPin.decode(value) for value in self._values(OBJECTS, page)]
        return max(pins, key=lambda pin: (pin.restorations, pin.generation), default=None)

    def check(self, pins: Sequence[HeadPin], head: VaultHead) -> None:
        """Hold a head against the pins that were read before the server was asked, against each of them.

        Raises:
            VaultRolledBackError: it takes back what was pinned.
        """
        found = fingerprint(self._data_key, self._vault_id, head)
        for pin in pins:
            judge(pin, head, found, self._vault_id)

    def keep(self, head: VaultHead) -> None:
        """Pin a head that was accepted, unless a newer one is pinned already.

        Raises:
            VaultRolledBackError: another process has pinned another head of the same generation.
        """
        found = fingerprint(self._data_key, self._vault_id, head)
        numbers = (head.generation, head.object_count, head.key_version, head.restorations)
        mine = HeadPin(*numbers, int(self._clock()), found)

        def change(page: bytes) -> bytes:
            pins = self.heads(page)
            for pin in pins:
                if pin.order == mine.order:
                    judge(pin, head, found, self._vault_id)
            kept = pins[0] if pins and pins[0].order > mine.order else mine
            # Nothing is written if both keys find just this; the time of a pin stays that of its first sight.
            if self._is_whole(page) and {replace(pin, pinned_at=kept.pinned_at) for pin in pins} == {kept}:
                return page
            return self._written(page, HEADS, kept.encode())

        self._store.change(HEADS, change)

    def keep_rows(self, head: VaultHead, rows: Mapping[UUID, tuple[int, bytes]]) -> None:
        """Pin the rows of a verified listing, unless those of a newer state are pinned already."""
        pin = RowsPin(head.generation, head.restorations, {key: (row[0], row[1][:8]) for key, row in rows.items()})
        order = (pin.restorations, pin.generation)
        if self._kept_rows == order:
            return

        def change(page: bytes) -> bytes:
            before = self.rows(page)
            if before is not None and (before.restorations, before.generation) >= order:
                return page
            return self._written(page, OBJECTS, pin.encode())

        self._store.change(OBJECTS, change)
        self._kept_rows = order

    def _values(self, shape: PageShape, page: bytes | None) -> list[bytes]:
        content = self._store.read(shape) if page is None else page
        return [value for key in self._keys for value in read_slots(content, shape, key)]

    def _is_whole(self, page: bytes) -> bool:
        """Tell whether both keys find a pin: one may be new on this device, or written over."""
        return all(read_slots(page, HEADS, key) for key in self._keys)

    def _written(self, page: bytes, shape: PageShape, value: bytes) -> bytes:
        for key in self._keys:
            page = write_slots(page, shape, key, value)
        return page
