"""A client dies at every effect of every change of a vault's phrases; another one finds all objects and goes on.

The steps are generators that yield what they ask of the world, so every point at which a process can die is counted
and tried: before each effect is performed, and after it, when only the answer is lost. What an effect does on the
server is one transaction there (`tests/server/test_phrases.py` breaks those at every statement).
"""

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from hushtag.client import Client, ConflictError, OutcomeUnknownError, TransportError, Vault
from hushtag.errors import AuthenticationError
from hushtag.phrase import draw_phrase
from tests.client.dying import DeathError, DyingDriver
from tests.client.fake_server import URL, FakeServer, Fault
from tests.client.support import EMAIL, OTHER_PHRASE, PASSWORD, PHRASE, UNKNOWN_PHRASE, connect_sync
from tests.evil.world import remembered

THIRD_PHRASE = draw_phrase().text
OBJECTS = {"letter": b"a letter", "photo": b"a photo", "song": b"a song"}


def connected(server: FakeServer) -> Client:
    client = connect_sync(URL, server.transport())
    client.log_in(EMAIL, PASSWORD)
    return client


def tag_of(vault: Vault, label: str) -> Any:
    return next(phrase.tag_id for phrase in vault.phrases() if phrase.label == label)


def clone(server: FakeServer) -> FakeServer:
    other = FakeServer()
    other.users = copy.deepcopy(server.users)
    return other


@pytest.fixture(autouse=True)
def _remembered() -> Iterator[None]:
    with remembered():
        yield


@pytest.fixture(scope="module")
def shared() -> FakeServer:
    """A vault of three objects that two phrases open, at its first data key."""
    server = FakeServer()
    with remembered(), connect_sync(URL, server.transport()) as client:
        client.sign_up(EMAIL, PASSWORD)
        client.log_in(EMAIL, PASSWORD)
        client.enrol(PHRASE, label="mine")
        with client.unlock(PHRASE) as vault:
            for name, body in OBJECTS.items():
                vault.put(body, name=name)
            vault.add_phrase(OTHER_PHRASE, label="theirs")
    return server


@pytest.fixture(scope="module")
def rotated(shared: FakeServer) -> FakeServer:
    """The same after the other phrase was revoked: nothing is re-sealed yet."""
    server = clone(shared)
    with remembered(), connected(server) as client, client.unlock(PHRASE) as vault:
        vault.revoke_phrase(tag_of(vault, "theirs"))
    return server


@dataclass(frozen=True)
class Deed:
    """A change; which phrases may open the vault whatever happens, which do when it is done, and which then do not.

    `do` calls its second argument where the effects begin to count: one deed tries those of an unlock for all.
    """

    name: str
    do: Callable[[Client, Callable[[], None]], object]
    always: tuple[str, ...]
    then: tuple[str, ...] = ()
    no_more: tuple[str, ...] = ()
    start: str = "shared"


def unlock(client: Client, arm: Callable[[], None]) -> None:
    arm()
    with client.unlock(PHRASE) as vault:
        vault.list()


def reseal(client: Client, arm: Callable[[], None]) -> None:
    with client.unlock(PHRASE) as vault:
        arm()
        vault.reseal()


def add_unless_there(client: Client, arm: Callable[[], None]) -> None:
    with client.unlock(PHRASE) as vault:
        arm()
        if "new" not in [phrase.label for phrase in vault.phrases()]:
            vault.add_phrase(THIRD_PHRASE, label="new")


def revoke_unless_gone(client: Client, arm: Callable[[], None]) -> None:
    with client.unlock(PHRASE) as vault:
        arm()
        if len(vault.phrases()) > 1:
            vault.revoke_phrase(tag_of(vault, "theirs"))


def change_unless_done(client: Client, arm: Callable[[], None]) -> None:
    try:
        opened = client.unlock(PHRASE)
    except AuthenticationError:
        return
    arm()
    with opened:
        opened.change_phrase(opened.tag_id, THIRD_PHRASE)


DEEDS = [
    Deed("add", add_unless_there, (PHRASE, OTHER_PHRASE), then=(THIRD_PHRASE,)),
    Deed("revoke", revoke_unless_gone, (PHRASE,), no_more=(OTHER_PHRASE,)),
    Deed("change own", change_unless_done, (OTHER_PHRASE,), then=(THIRD_PHRASE,), no_more=(PHRASE,)),
    Deed("first unlock after a rotation", unlock, (PHRASE,), start="rotated"),
    Deed("re-seal", reseal, (PHRASE,), no_more=(OTHER_PHRASE,), start="rotated"),
]


def look(server: FakeServer) -> set[str]:
    """Try every phrase with a new client; return those that open the vault, where each must find every object."""
    found = set()
    with connected(server) as client:
        for phrase in (PHRASE, OTHER_PHRASE, THIRD_PHRASE):
            try:
                vault = client.unlock(phrase)
            except AuthenticationError:
                continue
            with vault:
                assert {entry.name: vault.get(entry.object_id).body for entry in vault.list()} == OBJECTS
            found.add(phrase)
    return found


def die(server: FakeServer, deed: Deed, count: int, *, after: bool) -> bool:
    """Do the deed until the effect number `count`; tell whether it came to that."""
    with connected(server) as client:
        driver = client._driver
        client._driver = DyingDriver(driver._url, driver._http, driver._timeouts)
        client._driver.left, client._driver.after = count, after
        try:
            deed.do(client, lambda: setattr(client._driver, "armed", True))
        except DeathError:
            return True
        finally:
            client._driver.armed = False
    return False


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
def test_whoever_dies_at_any_effect_loses_nothing(
    deed: Deed, after: bool, shared: FakeServer, rotated: FakeServer
) -> None:
    start = {"shared": shared, "rotated": rotated}[deed.start]
    count = 0
    while die(server := clone(start), deed, count, after=after):
        found = look(server)
        assert set(deed.always) <= found, f"{deed.name} broken off at effect {count}"
        # One of them stands at every moment: what leaves and what comes change places in one step.
        assert found & {*deed.always, *deed.then, *deed.no_more}
        finished(server, deed)
        count += 1
    assert count > 5
    finished(server, deed)


def finished(server: FakeServer, deed: Deed) -> None:
    """Do the deed again, undisturbed, and look: it is done."""
    with connected(server) as client:
        deed.do(client, lambda: None)
    assert look(server) == {*deed.always, *deed.then} - set(deed.no_more)
    if deed.name == "re-seal":
        vault = next(iter(server.users[EMAIL].vaults.values()))
        assert {held.row.key_version for held in vault.objects.values()} == {2}
        assert not vault.old_keys


# --- lost answers: the client lives and finds out ---------------------------------------------------------------

LOST = [
    ("add", r"/tags$", lambda vault: vault.add_phrase(THIRD_PHRASE, label="new"), {PHRASE, OTHER_PHRASE, THIRD_PHRASE}),
    ("revoke", r"/rotations$", lambda vault: vault.revoke_phrase(tag_of(vault, "theirs")), {PHRASE}),
    ("change", r"/rotations$", lambda v: v.change_phrase(v.tag_id, THIRD_PHRASE), {OTHER_PHRASE, THIRD_PHRASE}),
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("path", "do", "opens"), [each[1:] for each in LOST], ids=[each[0] for each in LOST])
def test_a_lost_answer_is_found_out(
    shared: FakeServer, path: str, do: Callable[[Vault], object], opens: set[str], when: str
) -> None:
    server = clone(shared)
    with connected(server) as client, client.unlock(PHRASE) as vault:
        server.faults.append(Fault("POST", path, when))
        do(vault)
        assert vault.put(b"a poem", name="poem").revision == 1
        vault.delete(vault.find("poem").object_id)
    assert look(server) == opens


def test_a_first_attempt_that_arrives_after_the_second_is_the_same_rotation(shared: FakeServer) -> None:
    """The answer is lost before the server has acted; the request then comes late, just before it is sent again."""
    server = clone(shared)
    held: list[httpx.Request] = []

    def late(request: httpx.Request) -> None:
        if request.url.path.endswith("/rotations"):
            held.append(request)
            if len(held) == 2:
                assert server._respond(held[0]).status_code == 201

    with connected(server) as client, client.unlock(PHRASE) as vault:
        server.on_request = late
        server.faults.append(Fault("POST", "/rotations$", "before"))
        vault.change_phrase(tag_of(vault, "theirs"), THIRD_PHRASE)
        assert len(held) == 2
        assert vault.put(b"a poem", name="poem").revision == 1
        vault.delete(vault.find("poem").object_id)
    assert look(server) == {PHRASE, THIRD_PHRASE}


def test_another_device_writes_while_a_phrase_is_revoked(shared: FakeServer) -> None:
    server = clone(shared)
    with connected(server) as client, connected(server) as other:
        vault, elsewhere = client.unlock(PHRASE), other.unlock(PHRASE)
        vault.list()
        kept = elsewhere.put(b"a poem", name="poem")
        vault.revoke_phrase(tag_of(vault, "theirs"))
        assert vault.get(kept.object_id).body == b"a poem"
        with pytest.raises(ConflictError, match="unlock it again"):
            elsewhere.put(b"late", name="late")


@pytest.mark.parametrize("what", ["a tag moves", "a phrase is added"])
def test_the_phrases_of_a_vault_change_while_it_is_listed_for_a_revocation(shared: FakeServer, what: str) -> None:
    """Who stays is given the new key under the public key that they have by now, or not at all."""
    server = clone(shared)
    with connected(server) as client, client.unlock(PHRASE) as vault:
        vault.add_phrase(THIRD_PHRASE, label="new")

    def meanwhile(request: httpx.Request) -> None:
        if request.url.path.endswith("/objects"):
            server.on_request = None
            with connected(server) as other, other.unlock(THIRD_PHRASE) as elsewhere:
                if what == "a phrase is added":
                    elsewhere.add_phrase(UNKNOWN_PHRASE, label="newer")

    with connected(server) as client, client.unlock(PHRASE) as vault:
        theirs = tag_of(vault, "theirs")
        if what == "a tag moves":
            server.rotate_keys()
        server.on_request = meanwhile
        vault.revoke_phrase(theirs)
        assert "new" in [phrase.label for phrase in vault.phrases()]
    assert look(server) == {PHRASE, THIRD_PHRASE}


READS: list[tuple[str, Callable[[Vault], object]]] = [
    ("list", lambda vault: sorted(entry.name for entry in vault.list())),
    ("get", lambda vault: [vault.get_by_name(name).name for name in sorted(OBJECTS)]),
    ("re-seal", lambda vault: [vault.reseal(), sorted(entry.name for entry in vault.list())][1]),
]


@pytest.mark.parametrize("path", ["/old-keys", "/objects/", "/objects"])
@pytest.mark.parametrize("read", [each[1] for each in READS], ids=[each[0] for each in READS])
def test_another_device_ends_a_re_sealing_while_this_one_reads(
    rotated: FakeServer, read: Callable[[Vault], object], path: str
) -> None:
    """The old keys are gone with all that was under them: no lie of the server's."""
    for seen in range(3):
        server = clone(rotated)
        with connected(server) as client, connected(server) as other, client.unlock(PHRASE) as vault:
            server.on_request = _nth(server, path, seen, other.unlock(PHRASE).reseal)
            assert read(vault) == sorted(OBJECTS)
            server.on_request = None
        assert look(server) == {PHRASE}


def _nth(server: FakeServer, path: str, number: int, act: Callable[[], object]) -> Callable[[httpx.Request], None]:
    """Act once, before the server gets request `number` of those that read or write there."""
    seen = iter(range(number + 1))

    def meanwhile(request: httpx.Request) -> None:
        if path in request.url.path and request.method != "DELETE" and next(seen, None) == number:
            act()

    return meanwhile


def test_another_device_rotates_while_this_one_asks_for_old_keys(rotated: FakeServer) -> None:
    server = clone(rotated)
    with connected(server) as client, connected(server) as other:
        vault, elsewhere = client.unlock(PHRASE), other.unlock(PHRASE)

        def rotate() -> None:
            elsewhere.add_phrase(THIRD_PHRASE, label="new")
            elsewhere.revoke_phrase(tag_of(elsewhere, "new"))

        server.on_request = _nth(server, "/old-keys", 0, rotate)
        with pytest.raises(ConflictError, match="unlock it again"):
            vault.list()
        server.on_request = None
    assert look(server) == {PHRASE}


CHANGES: list[tuple[str, str, Callable[[Vault], object]]] = [
    *(each[:3] for each in LOST),
    ("put", r"/objects/", lambda vault: vault.put(b"a poem", name="poem")),
]


@pytest.mark.parametrize(("path", "do"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES])
def test_a_change_whose_answer_is_lost_before_another_device_replaces_the_key_is_not_known(
    shared: FakeServer, path: str, do: Callable[[Vault], object]
) -> None:
    server = clone(shared)
    with connected(server) as client, connected(server) as third:
        with client.unlock(PHRASE) as vault:
            vault.add_phrase(UNKNOWN_PHRASE, label="third")
        vault = client.unlock(PHRASE)
        sent: list[httpx.Request] = []

        def meanwhile(request: httpx.Request) -> None:
            if request.method in ("POST", "PUT") and re.search(path, request.url.path):
                sent.append(request)
            elif sent:
                server.on_request = None
                elsewhere = third.unlock(UNKNOWN_PHRASE)
                elsewhere.change_phrase(elsewhere.tag_id, draw_phrase().text)

        server.on_request = meanwhile
        server.faults.append(Fault("PUT" if "objects" in path else "POST", path, "after"))
        with pytest.raises(OutcomeUnknownError):
            do(vault)


def test_two_who_revoke_at_once_do_not_lock_each_other_out(shared: FakeServer) -> None:
    server = clone(shared)
    with connected(server) as client, connected(server) as other:
        vault, elsewhere = client.unlock(PHRASE), other.unlock(PHRASE)
        vault.add_phrase(THIRD_PHRASE, label="new")
        elsewhere.list()
        new, theirs = tag_of(elsewhere, "new"), tag_of(elsewhere, "theirs")
        vault.revoke_phrase(new)
        with pytest.raises(ConflictError, match="unlock it again"):
            elsewhere.revoke_phrase(theirs)
    assert look(server) == {PHRASE, OTHER_PHRASE}


def test_who_revokes_the_own_phrase_and_loses_the_answer_is_told_that_it_is_not_known(shared: FakeServer) -> None:
    server = clone(shared)
    with connected(server) as client, client.unlock(PHRASE) as vault:
        server.faults.append(Fault("POST", "/rotations$", "after"))
        with pytest.raises(OutcomeUnknownError):
            vault.revoke_phrase(vault.tag_id)
    assert look(server) == {OTHER_PHRASE}


def test_a_change_that_is_stored_is_not_known_when_the_line_breaks_before_it_is_shown(shared: FakeServer) -> None:
    server = clone(shared)
    with connected(server) as client, client.unlock(PHRASE) as vault:

        def breaks(request: httpx.Request) -> None:
            if request.url.path.endswith("/rotations"):
                server.faults.append(Fault("GET", "/tags$", times=100))

        server.on_request = breaks
        with pytest.raises(OutcomeUnknownError):
            vault.change_phrase(vault.tag_id, THIRD_PHRASE)
        server.faults.clear()
        server.on_request = None
        assert vault.put(b"a poem", name="poem").revision == 1  # the session has gone on with the new key
        vault.delete(vault.find("poem").object_id)
    assert look(server) == {OTHER_PHRASE, THIRD_PHRASE}


@pytest.mark.parametrize("last", ["/registrations", "/tags"])
def test_a_line_that_breaks_while_nothing_can_be_stored_leaves_nothing_unknown(shared: FakeServer, last: str) -> None:
    server = clone(shared)
    with connected(server) as client, connected(server) as other:
        vault, elsewhere = client.unlock(PHRASE), other.unlock(PHRASE)

        def breaks(request: httpx.Request) -> None:
            if request.method == "POST" and request.url.path.endswith(last):
                server.on_request = None
                elsewhere.put(b"a poem", name="poem")  # so that an addition is refused
                server.faults.append(Fault("GET", "/tags$", times=100))

        server.on_request = breaks
        with pytest.raises(TransportError) as raised:
            vault.add_phrase(THIRD_PHRASE, label="new")
        assert not isinstance(raised.value, OutcomeUnknownError)
        server.faults.clear()
        elsewhere.delete(elsewhere.find("poem").object_id)
    assert look(server) == {PHRASE, OTHER_PHRASE}


def test_a_rotation_that_may_still_arrive_is_not_known_when_the_line_breaks_at_the_next_look(
    shared: FakeServer,
) -> None:
    server = clone(shared)
    with connected(server) as client, connected(server) as other:
        vault, elsewhere = client.unlock(PHRASE), other.unlock(PHRASE)

        def breaks(request: httpx.Request) -> None:
            if request.url.path.endswith("/rotations"):
                server.on_request = None
                elsewhere.put(b"a poem", name="poem")  # so that the rows must be listed anew
                server.faults.append(Fault("GET", "/objects$", times=100))

        vault.list()
        theirs = tag_of(vault, "theirs")
        server.on_request = breaks
        server.faults.append(Fault("POST", "/rotations$", "before"))
        with pytest.raises(OutcomeUnknownError):
            vault.revoke_phrase(theirs)


def test_a_destruction_that_broke_off_is_done_or_not_and_never_half(shared: FakeServer, rotated: FakeServer) -> None:
    for when, left in (("before", {PHRASE}), ("after", set())):
        server = clone(rotated)
        with connected(server) as client, client.unlock(PHRASE) as vault:
            server.faults.append(Fault("DELETE", f"/v1/vaults/{vault.vault_id}$", when))
            with pytest.raises(OutcomeUnknownError):
                vault.destroy(confirm=vault.vault_id)
        assert look(server) == left


def test_a_phrase_that_was_not_told_apart_is_not_revoked(shared: FakeServer) -> None:
    server = clone(shared)
    with connected(server) as client, client.unlock(PHRASE) as vault:
        with pytest.raises(ConflictError):
            vault.add_phrase(OTHER_PHRASE, label="again")
        with pytest.raises(ConflictError):
            vault.change_phrase(tag_of(vault, "theirs"), PHRASE)
        assert len(vault.phrases()) == 2
    with connected(server) as client, pytest.raises(AuthenticationError):
        client.unlock(UNKNOWN_PHRASE)
    assert look(server) == {PHRASE, OTHER_PHRASE}
