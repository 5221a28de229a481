"""Pairing: one device gives another its device secret under a short code (SPEC.md, "Pairing"). No input or output here.

`OfferingDevice` holds the secret and shows the code; `AcceptingDevice` is told the code. Three messages go between
them, by any way and through anybody's hands: `offer` → `answer` → `delivery`. SPAKE2 (python-spake2, on the Ed25519
group) makes of the code a key that somebody in between can only get by guessing the code, once, while both watch.
Needs the extra `hushtag[device]`.
"""

import hmac
import os
import secrets
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID

from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from hushtag._ceremony import CeremonyState
from hushtag._listed import read_listed
from hushtag._pairing_keys import PairingKeys, open_secret, pairing_keys, seal_secret
from hushtag._sealing import IV_LENGTH, OVERHEAD
from hushtag._words import WORDS
from hushtag.errors import AuthenticationError, MalformedError, StateError
from hushtag.messages import decode_binary, encode_binary
from hushtag.pairing_messages import PAIRING_SECONDS
from hushtag.types import DeviceSecret, Secret

__all__ = ["CODE_WORDS", "PAIRING_SECONDS", "AcceptingDevice", "OfferingDevice"]

CODE_WORDS: Final = 3
_ID: Final = 16
_ELEMENT: Final = 33
_CONFIRMATION: Final = 32
_PREFIXES: Final = {"offer": "htp1o.", "answer": "htp1a.", "delivery": "htp1d.", "refusal": "htp1r."}
_LENGTHS: Final = {
    "offer": _ID + _ELEMENT,
    "answer": _ID + _ELEMENT + _CONFIRMATION,
    "delivery": _ID + _CONFIRMATION + DeviceSecret.LENGTH + OVERHEAD,
}
_Entropy = Callable[[int], bytes]


class _Spake2(Protocol):
    def start(self) -> bytes: ...

    def finish(self, inbound: bytes) -> bytes: ...


def _encode(kind: str, content: bytes) -> str:
    return _PREFIXES[kind] + encode_binary(content)


def _decode(kind: str, message: str) -> bytes:
    bare = message.strip()
    body = bare.removeprefix(_PREFIXES[kind])
    if body == bare or not body.isascii():
        raise MalformedError(f"not the {kind} of a pairing")
    return decode_binary(body, _LENGTHS[kind])


def _identities(user_id: UUID, pairing_id: bytes) -> tuple[bytes, bytes]:
    # Account and pairing are part of what the key is derived from: neither message serves anywhere else.
    return b"offering" + user_id.bytes + pairing_id, b"accepting" + user_id.bytes + pairing_id


def _derive(spake2: _Spake2, element: bytes, user_id: UUID, pairing_id: bytes) -> PairingKeys:
    try:
        shared = spake2.finish(element)
    except (SPAKEError, NotOnCurve, ValueError, AssertionError):
        raise MalformedError("not an element of the pairing's group") from None
    return pairing_keys(shared, user_id, pairing_id)


class OfferingDevice(CeremonyState):
    """The device that has the secret. `code` (3 words) is for the other device's owner alone, `offer` for its program.

    `started` is the moment it began, in seconds of a clock that only goes forward. The secret stays the caller's.
    `refusal` goes in the place of a delivery that there is not, so that the other device need not wait for one.
    """

    def __init__(
        self,
        secret: DeviceSecret,
        user_id: UUID,
        started: float,
        *,
        _rng: Callable[[int], int] = secrets.randbelow,
        _entropy: _Entropy = os.urandom,
    ) -> None:
        self._secret = DeviceSecret(secret.expose())
        self._user_id = user_id
        self._ends = started + PAIRING_SECONDS
        self._entropy = _entropy
        self._pairing_id = _entropy(_ID)
        self.code = " ".join(WORDS[_rng(len(WORDS))] for _ in range(CODE_WORDS))
        self._spake2 = SPAKE2_A(self.code.encode(), *_identities(user_id, self._pairing_id), entropy_f=_entropy)
        self.offer = _encode("offer", self._pairing_id + self._spake2.start())
        self.refusal = _encode("refusal", self._pairing_id)

    def _secrets(self) -> list[Secret]:
        return [self._secret]

    def deliver(self, answer: str, now: float) -> str:
        """Return the delivery for a device that has proved it knows the code; whatever happens, the pairing is over.

        Raises:
            StateError: called twice, or more than 5 minutes after the start.
            MalformedError: it is no answer to this offer.
            AuthenticationError: the other side does not know the code. Begin again, with another code.
        """
        self._spend()
        try:
            if now > self._ends:
                raise StateError("the pairing has run out; begin again")
            return self._deliver(_decode("answer", answer))
        finally:
            self._secret.forget()

    def _deliver(self, answer: bytes) -> str:
        pairing_id, element, proof = answer[:_ID], answer[_ID : _ID + _ELEMENT], answer[_ID + _ELEMENT :]
        if pairing_id != self._pairing_id:
            raise MalformedError("answers another pairing")
        keys = _derive(self._spake2, element, self._user_id, pairing_id)
        if not hmac.compare_digest(keys.accepting, proof):
            raise AuthenticationError("the other device was given another code; begin again")
        iv = self._entropy(IV_LENGTH)
        sealed = seal_secret(keys.sealing, iv, self._secret, self._user_id, pairing_id)
        return _encode("delivery", pairing_id + keys.offering + sealed)


class AcceptingDevice(CeremonyState):
    """The device that gets the secret; `answer` goes back to the one that offered.

    Raises:
        PhraseError, ListedWordError: the code is not 3 words of the list; nothing was spent.
        MalformedError: it is no offer.
    """

    def __init__(self, user_id: UUID, code: str, offer: str, *, _entropy: _Entropy = os.urandom) -> None:
        words = " ".join(read_listed(code, CODE_WORDS))
        content = _decode("offer", offer)
        self._pairing_id, element = content[:_ID], content[_ID:]
        self._user_id = user_id
        spake2 = SPAKE2_B(words.encode(), *_identities(user_id, self._pairing_id), entropy_f=_entropy)
        own = spake2.start()
        self._keys = _derive(spake2, element, user_id, self._pairing_id)
        self.answer = _encode("answer", self._pairing_id + own + self._keys.accepting)

    def finish(self, delivery: str) -> DeviceSecret:
        """Return the secret.

        Raises:
            StateError: called twice.
            MalformedError: it is no delivery of this pairing.
            AuthenticationError: it does not come from who knows the code, or is a refusal: the code was mistyped.
        """
        self._spend()
        if delivery.strip() == _encode("refusal", self._pairing_id):
            # Not proven, and need not be: whoever can say so can as well keep the delivery away.
            raise AuthenticationError("the other device showed another code; begin again, there and here")
        content = _decode("delivery", delivery)
        pairing_id, proof, sealed = content[:_ID], content[_ID : _ID + _CONFIRMATION], content[_ID + _CONFIRMATION :]
        if pairing_id != self._pairing_id:
            raise MalformedError("delivers for another pairing")
        if not hmac.compare_digest(self._keys.offering, proof):
            raise AuthenticationError("the delivery does not come from the device that showed the code")
        return open_secret(self._keys.sealing, sealed, self._user_id, pairing_id)
