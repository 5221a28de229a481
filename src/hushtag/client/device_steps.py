"""Steps of the device secret: reading it, naming it, and giving it to another device."""

import functools
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from hushtag.client.account_steps import AccountSteps
from hushtag.client.answers import encode, expect, expect_nothing
from hushtag.client.calls import fetch, post, send_quietly
from hushtag.client.device_secrets import MAX_DEVICE_SECRETS, DeviceSecrets, Held, first_secret
from hushtag.client.effects import Pause, Request, Steps, compute, exchange
from hushtag.client.errors import ConflictError, NotFoundError
from hushtag.client.session import Session
from hushtag.device_secret import device_name, from_text, to_text
from hushtag.errors import LimitError, MisuseError, StateError
from hushtag.pairing_messages import (
    PAIRING_SECONDS,
    OpenPairing,
    PairingMessage,
    PairingOffers,
    PairingOpened,
    PairingStep,
)
from hushtag.types import DeviceSecret

if TYPE_CHECKING:
    from hushtag.client.pairing import AcceptingDevice, OfferingDevice

__all__ = ["DeviceSteps", "device_account"]


def device_account(session: Session) -> str:
    """Return the name under which an account's device secrets are kept: a hash, so that the store names nobody."""
    named = f"{session.server}\0{session.user_id}".encode()
    return hashlib.blake2s(named, person=b"hushdvc1").hexdigest()


def with_first(secret: DeviceSecret, held: Held) -> Sequence[DeviceSecret]:
    """Return what is held with this secret in front.

    Raises:
        LimitError: the device holds 8 others already.
    """
    others = [each for each in held if each != secret]
    _check_room(others)
    return [secret, *others]


def _check_room(held: Sequence[DeviceSecret]) -> None:
    if len(held) >= MAX_DEVICE_SECRETS:
        raise LimitError(f"this device holds {MAX_DEVICE_SECRETS} device secrets already; drop one that is not needed")


def _named(name: str, held: Held) -> DeviceSecret:
    spelt = " ".join(name.split()).lower()
    found = next((each for each in held if device_name(each) == spelt), None)
    if found is None:
        raise NotFoundError("this device holds no device secret of this name", code="not_found")
    return found


def _with_first_named(name: str, held: Held) -> Sequence[DeviceSecret]:
    return with_first(_named(name, held), held)


def _without_named(name: str, held: Held) -> Sequence[DeviceSecret]:
    dropped = _named(name, held)
    if dropped == held[0]:
        raise MisuseError("this secret is the one in use; put another one in use first")
    return [each for each in held if each != dropped]


class DeviceSteps:
    """The device secrets of one account on this device."""

    def __init__(self, account: AccountSteps, secrets: DeviceSecrets) -> None:
        self._account = account
        self._secrets = secrets

    @property
    def _user_id(self) -> UUID:
        return self._account.current().user_id

    def _held(self) -> Steps[Held]:
        """Return what is held; a device that never had one gets its own."""
        yield from self.prepare()
        name = device_account(self._account.current())
        return (yield from compute(functools.partial(self._secrets.held, name)))

    def prepare(self) -> Steps[None]:
        """Give a device that never had a secret its own, without touching a keyring that has one."""
        name = device_account(self._account.current())
        if not (yield from compute(functools.partial(self._secrets.knows, name))):
            yield from compute(functools.partial(self._secrets.change, name, first_secret))

    def _put_first(self, secret: DeviceSecret) -> Steps[str]:
        yield from self._held()  # so that the device's own secret stays when another one comes
        yield from self._change(functools.partial(with_first, secret))
        return device_name(secret)

    def secret(self) -> Steps[DeviceSecret]:
        """Return the secret in use."""
        return (yield from self._held())[0]

    def names(self) -> Steps[tuple[str, ...]]:
        """Return the names of all, the one in use first."""
        return tuple(map(device_name, (yield from self._held())))

    def use(self, name: str) -> Steps[None]:
        """Put another one in use."""
        yield from self._change(functools.partial(_with_first_named, name))

    def drop(self, name: str) -> Steps[None]:
        """Forget one that is not in use."""
        yield from self._change(functools.partial(_without_named, name))

    def _change(self, change: Callable[[Held], Sequence[DeviceSecret]]) -> Steps[None]:
        account = device_account(self._account.current())
        yield from compute(functools.partial(self._secrets.change, account, change))

    def offer(self) -> "Steps[OfferingDevice]":
        """Begin to give the secret in use to another device."""
        secret = yield from self.secret()
        return (yield from compute(functools.partial(_offering, secret, self._user_id)))

    def deliver(self, offering: "OfferingDevice", answer: str) -> Steps[str]:
        """Return the delivery for who knows the code."""
        return (yield from compute(lambda: offering.deliver(answer, time.monotonic())))

    def answer(self, code: str, offer: str) -> "Steps[AcceptingDevice]":
        """Answer the offer of another device, if there is room for what it gives."""
        _check_room((yield from self._held()))
        return (yield from compute(functools.partial(_accepting, self._user_id, code, offer)))

    def accept(self, accepting: "AcceptingDevice", delivery: str) -> Steps[str]:
        """Keep the delivered secret and put it in use."""
        secret = yield from compute(functools.partial(accepting.finish, delivery))
        return (yield from self._put_first(secret))

    def give(self, show: Callable[[str], object]) -> Steps[str]:
        """Give the secret in use to whoever types the code that `show` is told; returns the name of the secret."""
        secret = yield from self.secret()
        name = device_name(secret)  # another one may be in use here by the time this one is given
        offering = yield from compute(functools.partial(_offering, secret, self._user_id))
        try:
            token = self._account.current().token
            opened = yield from post(
                "/v1/pairings", OpenPairing(offering.offer), token, 201, PairingOpened, changes=False
            )
            path = f"/v1/pairings/{opened.pairing_id}"
            try:
                yield from compute(functools.partial(show, offering.code))
                answer = yield from self._wait(path, "answer")
            except BaseException:
                yield from send_quietly(Request("DELETE", path, token))
                raise
            refusing = self._message(path, "delivery", offering.refusal)
            try:
                delivery = yield from self.deliver(offering, answer)
            except BaseException:
                yield from send_quietly(refusing)
                raise
            yield from self._send(path, "delivery", delivery)
        finally:
            offering.abandon()
        return name

    def take(self, code: str) -> Steps[str]:
        """Take in the secret of the one other device that offers, keep it and put it in use; returns its name.

        The code is good for one answer, so it is not tried on several offers, nor spent where there is no room.
        """
        _check_room((yield from self._held()))
        request = Request("GET", "/v1/pairings", self._account.current().token)
        offers = expect((yield from fetch(request, self._account.retry)), (200,), PairingOffers).pairings
        if not offers:
            raise NotFoundError("no other device of this account is waiting to give its secret", code="not_found")
        if len(offers) > 1:
            raise ConflictError("several devices of this account offer a secret; wait 5 minutes", code="several_offers")
        path = f"/v1/pairings/{offers[0].pairing_id}"
        accepting = yield from self.answer(code, offers[0].offer)
        try:
            yield from self._send(path, "answer", accepting.answer)
            delivery = yield from self._wait(path, "delivery")
            return (yield from self.accept(accepting, delivery))
        finally:
            accepting.abandon()

    def _send(self, path: str, step: PairingStep, message: str) -> Steps[None]:
        expect_nothing((yield from exchange(self._message(path, step, message))))

    def _message(self, path: str, step: PairingStep, message: str) -> Request:
        body = encode(PairingMessage(message))
        token = self._account.current().token
        return Request("PUT", f"{path}/{step}", token, body, "application/json", changes=False)

    def _wait(self, path: str, step: PairingStep) -> Steps[str]:
        """Ask for a message until it is there, or its time is over."""
        ends, attempt = time.monotonic() + PAIRING_SECONDS, 0
        request = Request("GET", f"{path}/{step}", self._account.current().token)
        while True:
            try:
                response = yield from fetch(request, self._account.retry)
                return expect(response, (200,), PairingMessage).message
            except NotFoundError:
                if time.monotonic() >= ends:
                    raise StateError("the other device did not answer within 5 minutes; begin again") from None
            yield Pause(self._account.retry.pause(attempt))
            attempt += 1

    def text(self) -> Steps[str]:
        """Return the secret in use in its text form."""
        return to_text((yield from self.secret()), self._user_id)

    def accept_text(self, text: str) -> Steps[str]:
        """Keep a secret in its text form and put it in use."""
        return (yield from self._put_first(from_text(text, self._user_id)))


def _offering(secret: DeviceSecret, user_id: UUID) -> "OfferingDevice":
    _check_extra()
    from hushtag.client.pairing import OfferingDevice

    return OfferingDevice(secret, user_id, time.monotonic())


def _accepting(user_id: UUID, code: str, offer: str) -> "AcceptingDevice":
    _check_extra()
    from hushtag.client.pairing import AcceptingDevice

    return AcceptingDevice(user_id, code, offer)


def _check_extra() -> None:
    try:
        import spake2  # noqa: F401  # only to tell its absence apart from other failures
    except ModuleNotFoundError:
        raise MisuseError("pairing needs more than the bare client: pip install 'hushtag[device]'") from None
