"""The device secret of the blocking client."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hushtag.client.device_steps import DeviceSteps
from hushtag.client.drivers import SyncDriver
from hushtag.types import DeviceSecret

if TYPE_CHECKING:
    from hushtag.client.pairing import AcceptingDevice, OfferingDevice

__all__ = ["Device"]


class Device:
    """The device secret of this account on this device: `client.device`. Only `give` and `take` talk to the server.

    Every call may raise `NotLoggedInError`, and `StateFileError` if file or keyring cannot be read or written.
    """

    def __init__(self, driver: SyncDriver, steps: DeviceSteps) -> None:
        self._driver = driver
        self._steps = steps

    def secret(self) -> DeviceSecret:
        """Return the device secret in use, 32 bytes: what `enrol` and `unlock` take as `device_secret`.

        Nobody can restore it: a phrase that was enrolled with it opens nothing without it. Give it to a second device,
        and keep a recovery code.
        """
        return self._driver.run(self._steps.secret())

    def names(self) -> tuple[str, ...]:
        """Return the names of the secrets this device holds, four words each, the one in use first."""
        return self._driver.run(self._steps.names())

    def use(self, name: str) -> None:
        """Put the secret of this name in use.

        Raises:
            NotFoundError: this device holds none of this name.
        """
        self._driver.run(self._steps.use(name))

    def drop(self, name: str) -> None:
        """Forget the secret of this name on this device: phrases that were enrolled with it open nothing here any more.

        Raises:
            NotFoundError: this device holds none of this name.
            MisuseError: it is the one in use.
        """
        self._driver.run(self._steps.drop(name))

    def offer(self) -> "OfferingDevice":
        """Begin to give the secret in use to another device: show its owner `code`, and its program `offer`.

        Raises:
            MisuseError: the extra `hushtag[device]` is not installed.
        """
        return self._driver.run(self._steps.offer())

    def deliver(self, offering: "OfferingDevice", answer: str) -> str:
        """Return the delivery for the device that answered; the pairing is over, whatever happens.

        Raises:
            StateError: the offer was used, or is older than 5 minutes.
            AuthenticationError: the other device was given another code: begin again.
        """
        return self._driver.run(self._steps.deliver(offering, answer))

    def answer(self, code: str, offer: str) -> "AcceptingDevice":
        """Answer an offer on the device that is to have the secret; its `answer` goes back.

        Raises:
            PhraseError, ListedWordError: the code was mistyped; nothing was spent.
            MalformedError: it is no offer.
            LimitError: this device holds 8 secrets already.
            MisuseError: the extra `hushtag[device]` is not installed.
        """
        return self._driver.run(self._steps.answer(code, offer))

    def accept(self, accepting: "AcceptingDevice", delivery: str) -> str:
        """Keep the delivered secret, put it in use and return its name; the one in use before is kept behind it.

        Raises:
            AuthenticationError: the delivery does not come from the device that showed the code; nothing was kept.
            LimitError: this device holds 8 secrets already.
        """
        return self._driver.run(self._steps.accept(accepting, delivery))

    def give(self, show: Callable[[str], object]) -> str:
        """Give the secret in use to another device of the account, and return its name; waits up to 5 minutes for it.

        `show` is told the code, three words, for the eyes of that device's owner alone: it must not block.

        Raises:
            StateError: nobody answered in time. AuthenticationError: who answered was given another code: begin again.
            LimitReachedError: four pairings were begun within five minutes.
            MisuseError: the extra `hushtag[device]` is not installed.
        """
        return self._driver.run(self._steps.give(show))

    def take(self, code: str) -> str:
        """Take in the secret of another device that is giving, put it in use and return its name.

        Raises:
            PhraseError, ListedWordError: the code was mistyped; nothing was spent.
            LimitError: this device holds 8 secrets already; the code was not spent.
            NotFoundError: no other device is giving. ConflictError: several are; the code was not spent.
            StateError: nothing was delivered in time.
            AuthenticationError: the other device showed another code; nothing was kept, and both begin again.
        """
        return self._driver.run(self._steps.take(code))

    def text(self) -> str:
        """Return the secret in use as text for a QR image. It is the secret itself: whoever sees it has it."""
        return self._driver.run(self._steps.text())

    def accept_text(self, text: str) -> str:
        """Keep a secret in its text form, put it in use and return its name.

        Raises:
            MalformedError: it is not such a text, or was misread.
            AuthenticationError: it belongs to another account.
        """
        return self._driver.run(self._steps.accept_text(text))
