"""Two devices of an account pair by the mailbox of the server, on any server: scenarios as in `scenarios`."""

import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from hushtag.client import ConflictError, LimitReachedError, NotFoundError, RetryPolicy
from hushtag.errors import AuthenticationError, HushtagError, ListedWordError
from tests.client.support import PASSWORD, Connect, new_account

_OFTEN = RetryPolicy(first_pause=0.05, longest_pause=0.05)


class _Giving:
    """A device that gives its secret, in a thread of its own; `code` is what it shows, `ended` what came of it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._shown: queue.Queue[str] = queue.Queue()
        self.ended: Any = None
        self._thread = threading.Thread(target=self._give)
        self._thread.start()
        self.code = self._shown.get(timeout=60)

    def _give(self) -> None:
        try:
            self.ended = self._client.device.give(self._shown.put)
        except HushtagError as error:
            self.ended = error

    def join(self) -> Any:
        self._thread.join(60)
        return self.ended


def _devices(connect: Connect) -> tuple[Any, Any, Any]:
    client, email = new_account(lambda **options: connect(retry=_OFTEN, **options))
    others = [connect(retry=_OFTEN) for _ in range(2)]
    for other in others:
        other.log_in(email, PASSWORD)
    return client, *others


def a_device_gives_its_secret_to_the_one_that_is_told_the_code(connect: Connect, tmp_path: Path) -> None:
    client, other, _third = _devices(connect)
    with pytest.raises(NotFoundError, match="no other device"):
        other.device.take("abruptly abruptly abruptly")
    giving = _Giving(client)
    with pytest.raises(ListedWordError):
        other.device.take("abruptly abruptly nonsensical")
    name = other.device.take(giving.code.upper())
    assert giving.join() == name
    assert other.device.secret() == client.device.secret()
    assert other.device.names()[0] == client.device.names()[0] == name
    # Nothing is left to take, and the code has served.
    with pytest.raises(NotFoundError):
        other.device.take(giving.code)


def what_was_given_is_named_though_another_secret_is_in_use_by_then(connect: Connect, tmp_path: Path) -> None:
    client, other, third = _devices(connect)
    giving = _Giving(client)
    client.device.accept_text(third.device.text())
    assert other.device.take(giving.code) == giving.join() == client.device.names()[1]


def a_wrong_code_ends_a_pairing_and_gives_nothing(connect: Connect, tmp_path: Path) -> None:
    client, other, third = _devices(connect)
    own = other.device.secret()
    giving = _Giving(client)
    words = giving.code.split(" ")
    wrong = " ".join([*words[:2], "abruptly" if words[2] != "abruptly" else "acrobat"])
    with pytest.raises(AuthenticationError, match="another code"):  # at once, not when its five minutes are over
        other.device.take(wrong)
    assert isinstance(giving.join(), AuthenticationError)
    # The one answer was the one guess: with the right code nobody gets a second.
    for device in (other, third):
        with pytest.raises(NotFoundError):
            device.device.take(giving.code)
    assert other.device.secret() == own != client.device.secret()


def a_code_is_not_tried_on_several_offers_and_offers_are_few(connect: Connect, tmp_path: Path) -> None:
    client, other, third = _devices(connect)
    first, second = _Giving(client), _Giving(third)
    with pytest.raises(ConflictError, match="several devices"):
        other.device.take(first.code)
    third.log_out()  # what a session offered goes with it
    assert isinstance(second.join(), HushtagError)
    assert other.device.take(first.code) == first.join()
    for _ in range(3):
        giving = _Giving(client)
        assert other.device.take(giving.code) == giving.join()
    with pytest.raises(LimitReachedError):
        client.device.give(lambda _code: None)


PAIRING_SCENARIOS = [
    a_device_gives_its_secret_to_the_one_that_is_told_the_code,
    what_was_given_is_named_though_another_secret_is_in_use_by_then,
    a_wrong_code_ends_a_pairing_and_gives_nothing,
    a_code_is_not_tried_on_several_offers_and_offers_are_few,
]
