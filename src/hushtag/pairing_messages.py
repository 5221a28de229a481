"""Messages of the mailbox of pairings (SPEC.md, section "Pairing"). What they carry is text for the other device."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta

from hushtag.messages import END, Message

__all__ = [
    "MAX_PAIRINGS",
    "MAX_PAIRING_TEXT",
    "PAIRING_SECONDS",
    "OpenPairing",
    "PairingMessage",
    "PairingOffer",
    "PairingOffers",
    "PairingOpened",
    "PairingStep",
]

PAIRING_SECONDS: Final = 300
"""How long an offer stands, and how long the mailbox keeps anything of a pairing."""
MAX_PAIRINGS: Final = 4
"""Pairings an account may begin within that time."""
MAX_PAIRING_TEXT: Final = 256
"""Characters of one message of a pairing."""

PairingStep = Literal["answer", "delivery"]
PairingText = Annotated[
    str, Meta(pattern="^htp1[oadr]\\.[A-Za-z0-9_-]+" + END, min_length=7, max_length=MAX_PAIRING_TEXT)
]


class OpenPairing(Message, frozen=True):
    """`POST /v1/pairings`: the offer."""

    offer: PairingText


class PairingOpened(Message, frozen=True):
    """Answer to `OpenPairing`: under which id the mailbox keeps it, and until when."""

    pairing_id: UUID
    expires_at: datetime


class PairingOffer(Message, frozen=True):
    """An offer of another session of the account."""

    pairing_id: UUID
    offer: PairingText


class PairingOffers(Message, frozen=True):
    """`GET /v1/pairings`."""

    pairings: Annotated[list[PairingOffer], Meta(max_length=MAX_PAIRINGS)]


class PairingMessage(Message, frozen=True):
    """An answer or a delivery, on its way in or out."""

    message: PairingText
