"""A vault that is locked, or a client that is closed, while a change is on its way.

Nobody may be told that it is not stored.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from hushtag.client import (
    Client,
    ClientClosedError,
    ConflictError,
    NewObject,
    OutcomeUnknownError,
    PinFile,
    RetryPolicy,
    StoredNotPinnedError,
    TransportError,
    UnavailableError,
    VaultLockedError,
)
from hushtag.client.changes import change, create, remove
from hushtag.client.effects import Pause, Steps
from hushtag.errors import HushtagError
from hushtag.phrase import draw_phrase
from tests.client.fake_server import URL, FakeServer
from tests.client.support import EMAIL, OTHER_PHRASE, PASSWORD, PHRASE, connect_sync

THIRD_PHRASE = draw_phrase().text
Change = Callable[[Any], Any]

CHANGES: dict[str, tuple[str, Change]] = {
    "put": ("/objects/", lambda vault: vault.put(b"body", name="new")),
    "replace": ("/objects/", lambda vault: vault.put(b"body", name="old", replace=vault.list()[0].object_id)),
    "delete": ("/objects/", lambda vault: vault.delete(vault.list()[0].object_id)),
    "delete several": ("/objects/", lambda vault: vault.delete_many([each.object_id for each in vault.list()])),
    "put several": ("/objects", lambda vault: vault.put_many([NewObject(b"a", "a"), NewObject(b"b", "b")])),
    "add a phrase": ("/tags", lambda vault: vault.add_phrase(THIRD_PHRASE)),
    "revoke a phrase": ("/rotations", lambda vault: vault.revoke_phrase(_other(vault))),
}
ENDS: dict[str, Callable[[Client, Any], None]] = {
    "lock": lambda _, vault: vault.lock(),
    "close": lambda client, _: client.close(),
}


def _other(vault: Any) -> UUID:
    (tag_id,) = (each.tag_id for each in vault.phrases() if not each.current)
    return UUID(str(tag_id))


@pytest.fixture(scope="module")
def filled(enrolled_server: FakeServer) -> FakeServer:
    """A server with two objects and a second phrase in the vault."""
    server = enrolled_server.clone()
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(PHRASE) as vault:
            vault.put(b"body", name="old")
            vault.put(b"body", name="older")
            vault.add_phrase(OTHER_PHRASE)
    return server


class Scene:
    """A client whose vault is ended when the change has reached the server, and whose server answers as `fate` says."""

    def __init__(self, server: FakeServer, pins: Path | None) -> None:
        self._inner = server.clone().transport()
        self._armed: tuple[str, str, Callable[[], None]] | None = None
        options = {} if pins is None else {"vault_pins": PinFile(pins)}
        retry = RetryPolicy(first_pause=0.001, longest_pause=0.001)
        self.client = Client(URL, transport=httpx.MockTransport(self._serve), retry=retry, **options)
        self.client.log_in(EMAIL, PASSWORD)
        self.vault = self.client.unlock(PHRASE)

    def _serve(self, request: httpx.Request) -> httpx.Response:
        if self._armed is None or request.method == "GET" or self._armed[0] not in request.url.path:
            return self._inner.handle_request(request)
        (_, fate, end), self._armed = self._armed, None
        answer = self._inner.handle_request(request) if fate != "lost before" else None
        end()
        if answer is None or fate == "lost after":
            raise httpx.ReadError("gone", request=request)
        return answer

    def run(self, name: str, fate: str, end: str) -> HushtagError | None:
        """Make the change; what came of it."""
        place, change = CHANGES[name]
        self.vault.list()
        self._armed = (place, fate, lambda: ENDS[end](self.client, self.vault))
        try:
            change(self.vault)
        except HushtagError as error:
            assert self._armed is None, "the change was not sent"
            return error
        return None


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("fate", ["lost before", "lost after"])
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("pinned", [True, False])
def test_a_change_whose_answer_is_lost_may_be_stored(
    filled: FakeServer, tmp_path: Path, pinned: bool, name: str, fate: str, end: str
) -> None:
    error = Scene(filled, tmp_path / "pins" if pinned else None).run(name, fate, end)
    assert type(error) is OutcomeUnknownError


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_was_answered_is_stored_and_not_pinned(
    filled: FakeServer, tmp_path: Path, name: str, end: str
) -> None:
    scene = Scene(filled, tmp_path / "pins")
    error = scene.run(name, "answered", end)
    assert type(error) is StoredNotPinnedError
    assert "locked meanwhile" in str(error)
    assert (error.object_id is None) is name.endswith(("a phrase", "several"))


@pytest.mark.parametrize("end", ENDS)
def test_without_pins_a_put_that_was_answered_is_simply_stored(filled: FakeServer, end: str) -> None:
    scene = Scene(filled, None)
    assert scene.run("put", "answered", end) is None
    with pytest.raises(VaultLockedError):
        scene.vault.list()


def _run(steps: Steps[Any]) -> Any:
    """Run steps that only ever pause."""
    try:
        while True:
            assert isinstance(next(steps), Pause)
    except StopIteration as ended:
        return ended.value


def _attempts(*failures: HushtagError) -> Callable[[], Steps[Any]]:
    turns = iter(failures)

    def attempt() -> Steps[Any]:
        yield from ()
        raise next(turns)

    return attempt


LOST = TransportError("gone")
CLOSED = ClientClosedError("the client was closed")


@pytest.mark.parametrize("failure", [LOST, UnavailableError("away")], ids=["no line", "unavailable"])
def test_a_client_closed_after_a_lost_answer_does_not_say_that_nothing_was_sent(failure: HushtagError) -> None:
    # What is made carries an id of its own and is found by it: that it failed is enough. An edit is not found so.
    for steps in (
        create(_attempts(failure, CLOSED), _attempts(), RetryPolicy()),
        remove(_attempts(failure, CLOSED), RetryPolicy()),
    ):
        with pytest.raises(type(failure)):
            _run(steps)
    for attempts, looks in (((failure,), (CLOSED,)), ((failure,), (VaultLockedError("locked"),))):
        with pytest.raises(OutcomeUnknownError):
            _run(change(_attempts(*attempts), _attempts(*looks), RetryPolicy()))


def test_an_edit_that_is_tried_again_on_a_closed_client_may_be_made() -> None:
    def look() -> Steps[None]:
        yield from ()

    with pytest.raises(OutcomeUnknownError):
        _run(change(_attempts(LOST, CLOSED), look, RetryPolicy()))


def test_what_is_there_already_and_cannot_be_read_on_a_closed_client_may_be_made() -> None:
    taken = ConflictError("it exists already", code="already_exists")
    for attempts, drawn, error in (((taken,), True, OutcomeUnknownError), ((LOST, taken), False, TransportError)):
        with pytest.raises(error):
            _run(create(_attempts(*attempts), _attempts(CLOSED), RetryPolicy(), drawn=drawn))


def test_on_a_client_that_was_closed_before_nothing_was_sent() -> None:
    for steps in (
        create(_attempts(CLOSED), _attempts(), RetryPolicy()),
        remove(_attempts(CLOSED), RetryPolicy()),
        change(_attempts(CLOSED), _attempts(), RetryPolicy()),
    ):
        with pytest.raises(ClientClosedError):
            _run(steps)
