"""A server that offers to move a tag: where it has nothing to move, to a setup of its choice, again and again."""

from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from hushtag._opaque import ServerSetup
from hushtag.client import AsyncClient, ConflictError, IntegrityError
from hushtag.errors import AuthenticationError, MalformedError, RollbackError
from hushtag.messages import Located, MoveTag, TagMoved, encode_binary
from hushtag.unlock_server import LiveSetup
from tests.client.fake_server import KEYS, NEXT, SEALED, SETUP, URL, FakeServer, Fault
from tests.client.support import EMAIL, PASSWORD, PHRASE, UNKNOWN_PHRASE, connect_sync

MOVE = "/v1/unlock/move"


@pytest.fixture
def server() -> FakeServer:
    """Ada's vault with one object, under the setup of before a rotation."""
    server = FakeServer()
    with connect_sync(URL, server.transport()) as client:
        client.sign_up(EMAIL, PASSWORD)
        client.log_in(EMAIL, PASSWORD)
        client.enrol(PHRASE, label="for the diary")
        with client.unlock(PHRASE) as vault:
            vault.put(b"kept", name="note")
    server.log.clear()
    return server


def opened(server: FakeServer) -> tuple[Any, ...]:
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(PHRASE) as vault:
            (entry,) = vault.list()
            return vault.get(entry.object_id).body, [phrase.label for phrase in vault.phrases()], vault.candidate


def the_tag(server: FakeServer) -> tuple[Any, UUID]:
    user = server.users[EMAIL]
    ((found, tag),) = user.tags.items()
    return tag, user.under.get(found, KEYS)


TRUTH = (b"kept", ["for the diary"], 0)


def test_the_client_moves_a_tag_by_itself_and_finds_everything(server: FakeServer) -> None:
    before = the_tag(server)[0]
    server.rotate_keys()
    guesses = server.users[EMAIL].guesses
    assert opened(server) == TRUTH
    tag, under = the_tag(server)
    assert under == NEXT[0]
    # All that hangs on the export key is new, so nothing of the old setup opens it any more.
    for name in ("phrase_hash", "salt", "record", "public_key", "sealed_label"):
        assert getattr(tag.message, name) != getattr(before.message, name)
    assert tag.message.wrapped_key.wrapped_key != before.message.wrapped_key.wrapped_key
    server.setups = server.setups[:1]
    assert opened(server) == TRUTH
    assert server.log.count(f"POST {MOVE}") == 1
    assert server.users[EMAIL].guesses == guesses, "no guess was spent on moving"


@pytest.mark.anyio
async def test_the_asynchronous_client_does_the_same(server: FakeServer) -> None:
    server.rotate_keys()
    async with AsyncClient(URL, transport=server.transport()) as client:
        await client.log_in(EMAIL, PASSWORD)
        async with await client.unlock(PHRASE) as vault:
            assert [entry.name for entry in await vault.list()] == ["note"]
    assert the_tag(server)[1] == NEXT[0]


def test_an_open_vault_goes_on_after_the_move(server: FakeServer) -> None:
    server.rotate_keys()
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(PHRASE) as vault:
            vault.put(b"more", name="second")
            assert {entry.name for entry in vault.list()} == {"note", "second"}


@pytest.mark.parametrize("phrases", [1, 2])
def test_a_session_whose_phrase_another_device_has_moved_is_told_to_unlock_again(
    server: FakeServer, phrases: int
) -> None:
    with connect_sync(URL, server.transport()) as client, connect_sync(URL, server.transport()) as other:
        for each in (client, other):
            each.log_in(EMAIL, PASSWORD)
        with client.unlock(PHRASE) as vault:
            if phrases == 2:
                vault.add_phrase(UNKNOWN_PHRASE)
            server.rotate_keys()
            assert len(other.unlock(PHRASE).phrases()) == phrases
            assert vault.put(b"more", name="second").revision == 1  # the data key is the same
            for change in (vault.phrases, lambda: vault.add_phrase(PHRASE), lambda: vault.revoke_phrase(vault.tag_id)):
                with pytest.raises(ConflictError, match="another device has moved the open phrase"):
                    change()
        with client.unlock(PHRASE) as vault:
            assert len(vault.phrases()) == phrases
            # A public key that nobody inside vouches for is an attack as ever.
            server.rewrite = _with_another_key
            with pytest.raises(RollbackError if phrases == 2 else IntegrityError):
                vault.phrases()


@pytest.mark.parametrize("path", ["/tags", MOVE])
def test_two_devices_that_unlock_at_once_after_a_change_of_keys_both_get_in(server: FakeServer, path: str) -> None:
    server.rotate_keys()
    with connect_sync(URL, server.transport()) as client, connect_sync(URL, server.transport()) as other:
        for each in (client, other):
            each.log_in(EMAIL, PASSWORD)

        def meanwhile(request: httpx.Request) -> None:
            if request.url.path.endswith(path):
                server.on_request = None
                assert other.unlock(PHRASE).get_by_name("note").body == b"kept"

        server.on_request = meanwhile
        assert client.unlock(PHRASE).get_by_name("note").body == b"kept"
    assert the_tag(server)[1] == NEXT[0]
    assert opened(server) == TRUTH


def _with_another_key(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    if not request.url.path.endswith("/tags"):
        return response
    body = msgspec.json.decode(response.content)
    for tag in body["tags"]:
        tag["public_key"] = encode_binary(bytes(32)) if tag["current"] else tag["public_key"]
    return httpx.Response(200, headers={"Content-Type": "application/json"}, content=msgspec.json.encode(body))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_loses_nothing(server: FakeServer, when: str) -> None:
    server.rotate_keys()
    server.faults.append(Fault("POST", MOVE, when))
    assert opened(server) == TRUTH
    assert the_tag(server)[1] == (NEXT[0] if when == "after" else KEYS)
    assert opened(server) == TRUTH
    assert the_tag(server)[1] == NEXT[0]


def _rewriting(server: FakeServer, path: str, **changed: Any) -> None:
    def rewrite(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.url.path != path or response.status_code >= 300:
            return response
        body = msgspec.json.decode(response.content) | changed
        return httpx.Response(
            response.status_code, headers={"Content-Type": "application/json"}, content=msgspec.json.encode(body)
        )

    server.rewrite = rewrite


def test_a_move_where_there_is_nothing_to_move_is_refused(server: FakeServer) -> None:
    _rewriting(server, "/v1/unlock/finish", move=SEALED)
    with pytest.raises(MalformedError, match="current setup"):
        opened(server)
    assert f"POST {MOVE}" not in server.log


def test_a_server_that_keeps_nothing_of_a_move_and_offers_it_again_learns_and_changes_nothing(
    server: FakeServer,
) -> None:
    """Each time another registration of the same password: no two share a salt, so no two share a KEK."""
    server.rotate_keys()
    sent: list[MoveTag] = []

    def swallow(request: httpx.Request) -> None:
        if request.url.path == MOVE:
            sent.append(msgspec.json.decode(request.content, type=MoveTag))

    server.on_request = swallow
    tag_id = the_tag(server)[0].message.tag_id
    done = httpx.Response(
        200, headers={"Content-Type": "application/json"}, content=msgspec.json.encode(TagMoved(tag_id))
    )
    for _ in range(3):
        server.faults.append(Fault("POST", MOVE, answer=done))
        with connect_sync(URL, server.transport()) as client:
            client.log_in(EMAIL, PASSWORD)
            client.unlock(PHRASE).lock()
    assert len({message.phrase_hash for message in sent}) == 1  # it is the same phrase under the same setup
    assert len({message.salt for message in sent}) == 3
    assert len({message.sealed_label for message in sent}) == 3
    assert len({message.vaults[0].wrapped_key for message in sent}) == 3
    assert the_tag(server)[1] == KEYS
    assert opened(server) == TRUTH


def test_a_setup_of_the_servers_choice_gives_it_what_its_own_setup_gives(server: FakeServer) -> None:
    """It can have the tag under any key it knows, as it could from the beginning; the phrase opens it as before."""
    chosen = LiveSetup(UUID(int=66), ServerSetup.generate())
    server.setups = [chosen, LiveSetup(KEYS, SETUP)]
    assert opened(server) == TRUTH
    assert the_tag(server)[1] == chosen.id
    assert opened(server) == TRUTH


def test_a_public_key_of_the_servers_choice_stops_the_move_and_the_unlock(server: FakeServer) -> None:
    server.rotate_keys()

    def rewrite(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if not request.url.path.endswith("/tags") or request.method != "GET":
            return response
        body = msgspec.json.decode(response.content)
        body["tags"][0]["public_key"] = "A" * 43
        return httpx.Response(200, headers={"Content-Type": "application/json"}, content=msgspec.json.encode(body))

    server.rewrite = rewrite
    with pytest.raises(IntegrityError):
        opened(server)
    assert f"POST {MOVE}" not in server.log
    assert server.log[-1] == "DELETE /v1/vault-session"


@pytest.mark.parametrize("count", [2, 4])
def test_another_number_of_setups_than_one_to_three_is_refused(server: FakeServer, count: int) -> None:
    """A server cannot make a client work without end, nor answer only some of several candidates."""
    phrases = [PHRASE, UNKNOWN_PHRASE] if count == 2 else [PHRASE]

    def rewrite(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if not request.url.path.endswith("/locate"):
            return response
        located = msgspec.json.decode(response.content, type=Located)
        responses = located.responses[:1] * (3 if count == 2 else count)
        body = msgspec.structs.replace(located, responses=responses)
        return httpx.Response(200, headers={"Content-Type": "application/json"}, content=msgspec.json.encode(body))

    server.rewrite = rewrite
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        with pytest.raises(MalformedError):
            client.unlock(phrases)
    assert "POST /v1/unlock/start" not in server.log


def test_a_wrong_phrase_is_told_alike_during_a_rotation(server: FakeServer) -> None:
    server.rotate_keys()
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        with pytest.raises(AuthenticationError):
            client.unlock(UNKNOWN_PHRASE)
