"""Duress orders: what else happens when a phrase opens its vault (SPEC.md, "Duress"). No input or output here.

Everything comes of the release, 32 bytes of the export key that every finish of every phrase sends: a check value,
without which the phrase opens nothing, and sixteen tickets for each verdict, which other tags may bear as orders.
"""

from enum import Enum
from typing import Final, NamedTuple

from hushtag import _labels
from hushtag._kdf import hkdf_sha512
from hushtag.messages import MAX_ORDERS
from hushtag.types import ExportKey, Release

__all__ = [
    "CHECK_LENGTH",
    "LOCK_DAYS",
    "ORDER_PLACES",
    "TICKETS",
    "TICKETS_PER_VERDICT",
    "TICKET_LENGTH",
    "Released",
    "Verdict",
    "derive_release",
    "expand_release",
]

CHECK_LENGTH: Final = 32
TICKET_LENGTH: Final = 16
TICKETS_PER_VERDICT: Final = 16
"""Any of them says it; a client picks one at random, so that two tags ordered the same of hardly bear equal ones."""
LOCK_DAYS: Final = (1, 7, 30)
"""How long a lock may last."""
ORDER_PLACES: Final = MAX_ORDERS
"""Orders that every tag bears, real or drawn at random."""


class Verdict(Enum):
    """What becomes of the tag that bears a ticket, or of every tag of its vaults; the value is the tickets' place."""

    SHRED_PHRASE = 0
    SHRED_VAULT = 1
    LOCK_PHRASE_DAY = 2
    LOCK_VAULT_DAY = 3
    LOCK_PHRASE_WEEK = 4
    LOCK_VAULT_WEEK = 5
    LOCK_PHRASE_MONTH = 6
    LOCK_VAULT_MONTH = 7

    @classmethod
    def of(cls, *, vault: bool, lock_days: int | None) -> "Verdict":
        """Return the verdict on one phrase or on the whole vault; without days it is to shred.

        Raises:
            ValueError: not one of `LOCK_DAYS`.
        """
        return cls(2 * (0 if lock_days is None else 1 + LOCK_DAYS.index(lock_days)) + vault)


TICKETS: Final = TICKETS_PER_VERDICT * len(Verdict)


class Released(NamedTuple):
    """What a release gives: the check value (32 bytes) and the tickets (128 of 16 bytes), sixteen for each verdict.

    The tickets lie together, as every finish sends them on.
    """

    check: bytes
    joined: bytes

    @property
    def tickets(self) -> tuple[bytes, ...]:
        """Every ticket, in the order of the verdicts."""
        starts = range(0, len(self.joined), TICKET_LENGTH)
        return tuple(self.joined[start : start + TICKET_LENGTH] for start in starts)

    def of(self, verdict: Verdict) -> tuple[bytes, ...]:
        """Return the tickets of one verdict."""
        first = TICKETS_PER_VERDICT * verdict.value
        return self.tickets[first : first + TICKETS_PER_VERDICT]


def derive_release(export_key: ExportKey) -> Release:
    """Return the release of a phrase as it is registered now (32 bytes)."""
    return Release(hkdf_sha512(export_key.expose(), b"", _labels.RELEASE, Release.LENGTH))


def expand_release(release: Release) -> Released:
    """Return check value and tickets; neither leads back to the release, nor from one of them to another."""
    expanded = hkdf_sha512(release.expose(), b"", _labels.ORDER, CHECK_LENGTH + TICKETS * TICKET_LENGTH)
    return Released(expanded[:CHECK_LENGTH], expanded[CHECK_LENGTH:])
