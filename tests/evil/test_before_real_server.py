"""The same campaign on the wire: the man is an HTTP proxy before a real server with a real database.

Here each field is altered in a few ways only; that a client ends well whatever the way is for the campaign in memory.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from hushtag.client import Client, NotFoundError, RetryPolicy
from hushtag.errors import HushtagError
from tests.client.support import PASSWORD, PHRASE, connect_sync
from tests.evil.campaign import REPEATABLE, Ending, attempt
from tests.evil.man import Exchange
from tests.evil.mutations import answer_acts, field_acts, row_acts
from tests.evil.operations import ANSWERS, OPERATIONS, Operation
from tests.evil.proxy import Proxy, Upstream, proxy
from tests.evil.world import Scene, World
from tests.live_server import run_server, temporary_directory

READING = ("account", "sessions", "phrases", "list", "find", "get", "get_deleted")
SAMPLE = ("first bit flipped", "middle bit flipped", "other id", "one more", "contrary", "emptied", "future", "missing")
WHOLE = (
    "cut body",
    "reflected",
    "status 204",
    "not_found before",
    "internal_error after",
    "html",
    "gzip",
    "redirect 307",
)


@pytest.fixture(scope="module")
def between() -> Iterator[Proxy]:
    with temporary_directory() as directory:
        directory.chmod(0o755)
        with run_server(directory, HUSHTAG_GUESS_CAPACITY="10000") as running:
            upstream = Upstream(running.url)
            try:
                with proxy(upstream) as proxied:
                    yield proxied
            finally:
                upstream.close()


@pytest.fixture(scope="module")
def scene(between: Proxy, world: World) -> Iterator[Scene]:
    """Ada on a real server: a letter in its second revision, a photo, and something deleted."""
    with connect_sync(between.url, retry=RetryPolicy(reads=2, changes=2, first_pause=0.0, longest_pause=0.0)) as client:
        email = f"{uuid4().hex}@example.org"
        between.man.limit = 100_000
        client.sign_up(email, PASSWORD)
        client.log_in(email, PASSWORD)
        client.enrol(PHRASE, label="for the diary")
        vault = client.unlock(PHRASE)
        ids = {name: vault.put(name.encode(), name=name).object_id for name in ("letter", "photo", "gone")}
        vault.put(b"the second letter", name="letter", replace=ids["letter"])
        vault.delete(ids["gone"])
        yield Scene(None, between.man, client, vault, ids, world.film)  # type: ignore[arg-type]
        between.man.arm(None)


NAMED: dict[str, Operation] = {each.name: each for each in OPERATIONS}


def acts_on(exchange: Exchange) -> dict[str, Any]:
    """Return a sample of the acts on an answer, by field and mutation."""
    kind, response = ANSWERS[exchange.route], exchange.response
    assert response is not None
    found: dict[str, dict[str, Any]] = {"answer": {name: answer_acts([])[name] for name in WHOLE}}
    if response.status_code < 300 and isinstance(kind, type):
        found |= field_acts(kind, response, {})
    elif response.status_code < 300 and kind == "row":
        found |= row_acts([])
    return {
        f"{field}, {name}": act
        for field, acts in found.items()
        for name, act in acts.items()
        if name in SAMPLE or field == "answer"
    }


def strike_at(scene: Scene, operation: Operation, act: Any, strike: int, *, again: bool) -> Ending:
    """Attack one answer of an operation; once more where an earlier request broke, so that its turn never came."""
    for _ in range(3):
        scene.man.arm(act, strike, again=again)
        ending = attempt(operation, scene)
        if scene.man.struck:
            break
    return ending


def judged(scene: Scene, operation: Operation, honest: Ending) -> Iterator[str]:
    """Carry out the attacks on an operation and yield what the client did wrong."""
    for strike, exchange in enumerate(honest.sent):
        for name, act in acts_on(exchange).items():
            ending = strike_at(scene, operation, act, strike, again=exchange.route.startswith(REPEATABLE))
            assert scene.man.struck, f"{operation.name}, {strike}, {name}: was not carried out, but {ending.error!r}"
            if ending.error is None and (operation.absent or ending.value != honest.value):
                yield f"{operation.name}, {strike}, {name}: gave {ending.value!r}"
            elif not isinstance(ending.error, HushtagError | None) or isinstance(ending.error, operation.forbidden):
                yield f"{operation.name}, {strike}, {name}: ended in {ending.error!r}"
            if len(ending.sent) > len(honest.sent) + 12:
                yield f"{operation.name}, {strike}, {name}: sent {len(ending.sent)} requests"


@pytest.mark.parametrize("name", READING)
def test_reading_through_the_man_gives_a_typed_error_or_the_truth(scene: Scene, name: str) -> None:
    attempt(NAMED[name], scene)  # rows that a listing has read are not asked for again
    scene.man.arm(None)
    honest = attempt(NAMED[name], scene)
    assert isinstance(honest.error, NotFoundError if NAMED[name].absent else type(None))
    assert honest.sent
    assert list(judged(scene, NAMED[name], honest)) == []
    scene.man.arm(None)
    again = attempt(NAMED[name], scene)
    assert (again.value, type(again.error)) == (honest.value, type(honest.error))


def test_unlocking_through_the_man_gives_a_typed_error_or_the_truth(scene: Scene) -> None:
    scene.man.arm(None)
    honest = attempt(NAMED["unlock"], scene)
    assert honest.error is None
    assert list(judged(scene, NAMED["unlock"], honest)) == []


def test_changes_through_the_man_are_made_or_not_and_never_lost(scene: Scene) -> None:
    """After each lie about a put, the vault holds the object once or not at all, and the client knows which."""
    vault: Any = scene.vault
    scene.man.arm(None)
    honest = attempt(NAMED["put"], scene)
    for name, act in acts_on(honest.sent[0]).items():
        mine = f"object of {name}"
        scene.man.arm(act, 0)
        stored = None
        with suppress(HushtagError):
            stored = vault.put(b"mine", name=mine)
        scene.man.arm(None)
        there = [entry for entry in vault.list() if entry.name == mine]
        assert len(there) <= 1, name
        if stored is not None:
            assert [entry.object_id for entry in there] == [stored.object_id], name


def test_a_client_of_another_process_finds_what_is_there(scene: Scene, between: Proxy) -> None:
    scene.man.arm(None)
    session = scene.client.session
    with Client(between.url, session=session) as other, other.unlock(PHRASE) as vault:
        assert vault.get(scene.ids["letter"]).body == b"the second letter"
