"""The mailbox in the hands of the server: whatever it hands out, a device keeps the right secret or none."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from hushtag.client import RetryPolicy
from hushtag.client.pairing import AcceptingDevice, OfferingDevice
from hushtag.device_secret import generate_device_secret
from hushtag.errors import HushtagError
from tests.client.fake_server import URL, FakeServer
from tests.client.support import EMAIL, PASSWORD, connect_sync

_OFTEN = RetryPolicy(first_pause=0.01, longest_pause=0.01)
Rewrite = Callable[[dict[str, Any], str], None]


def _flip(name: str, at: int) -> Rewrite:
    def rewrite(body: dict[str, Any], _step: str) -> None:
        text = body[name]
        other = "A" if text[at] != "A" else "B"
        body[name] = text[:at] + other + text[at:][1:]

    return rewrite


def _rewriting(step: str, rewrite: Rewrite) -> Callable[[httpx.Request, httpx.Response], httpx.Response]:
    def answer(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        listing = step == "offer" and request.method == "GET" and request.url.path == "/v1/pairings"
        taken = request.method == "GET" and request.url.path.endswith(f"/{step}")
        if response.status_code != 200 or not (listing or taken):
            return response
        body = msgspec.json.decode(response.content)
        if listing and not body["pairings"]:
            return response
        rewrite(body["pairings"][0] if listing else body, step)
        return httpx.Response(200, content=msgspec.json.encode(body), headers={"Content-Type": "application/json"})

    return answer


def _of_another(user_id: Any, name: str) -> Rewrite:
    """A message of a pairing of the server's own, made with a code it has guessed."""

    def rewrite(body: dict[str, Any], step: str) -> None:
        offering = OfferingDevice(generate_device_secret(), user_id, 0.0)
        accepting = AcceptingDevice(user_id, offering.code, offering.offer)
        made = {"offer": offering.offer, "answer": accepting.answer}
        body[name] = made[step] if step in made else offering.deliver(accepting.answer, 1.0)

    return rewrite


ATTACKS: list[tuple[str, str, Any]] = [
    *((step, "flipped", at) for step in ("offer", "answer", "delivery") for at in (8, 30, 60)),
    ("answer", "flipped", 100),
    ("delivery", "flipped", 180),
    *((step, "another", None) for step in ("offer", "answer", "delivery")),
    *((step, "reflected", None) for step in ("answer", "delivery")),
]


@pytest.mark.parametrize(("step", "attack", "at"), ATTACKS)
def test_an_altered_message_gives_the_secret_to_nobody(step: str, attack: str, at: int | None) -> None:
    server = FakeServer()
    with (
        connect_sync(URL, server.transport(), retry=_OFTEN) as old,
        connect_sync(URL, server.transport(), retry=_OFTEN) as new,
    ):
        old.sign_up(EMAIL, PASSWORD)
        session = old.log_in(EMAIL, PASSWORD)
        new.log_in(EMAIL, PASSWORD)
        own = new.device.names()
        name = "offer" if step == "offer" else "message"
        seen: dict[str, str] = {}

        def reflect(body: dict[str, Any], _step: str) -> None:
            body[name] = seen["offer"]

        rewrites = {"flipped": lambda: _flip(name, at or 0), "another": lambda: _of_another(session.user_id, name)}
        server.rewrite = _rewriting(step, rewrites.get(attack, lambda: reflect)())
        ended: list[Any] = []
        shown = threading.Event()
        code: list[str] = []

        def show(words: str) -> None:
            code.append(words)
            seen["offer"] = next(iter(server.users[EMAIL].pairings.values()))["offer"]
            shown.set()

        def give() -> None:
            try:
                ended.append(old.device.give(show))
            except HushtagError as error:
                ended.append(error)

        thread = threading.Thread(target=give, daemon=True)
        thread.start()
        assert shown.wait(30)
        taking = threading.Thread(target=lambda: _refused(new, code[0], ended), daemon=True)
        taking.start()
        # Whoever notices first gives up; the other would wait for five minutes, and is sent away here.
        _wait_for(ended, 1)
        for each in list(server.tokens):
            server.tokens.pop(each)
        thread.join(30)
        taking.join(30)
        refusals = [each for each in ended if isinstance(each, HushtagError)]
        assert refusals
        assert step == "delivery" or len(refusals) == 2  # nothing was delivered that anybody could have opened
        assert new.device.names() == own


def _refused(new: Any, code: str, ended: list[Any]) -> None:
    try:
        new.device.take(code)
    except HushtagError as error:
        ended.append(error)
    else:
        raise AssertionError("a device kept what the server had altered")


def _wait_for(ended: list[Any], count: int) -> None:
    done = threading.Event()

    def look() -> None:
        while len(ended) < count and not done.wait(0.01):
            pass

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(60)
    done.set()
    assert len(ended) >= count
