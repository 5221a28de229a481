"""Keys are gone when the vault is locked, however it came to be locked; and nothing that is printed holds a secret."""

import gc
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from hushtag import _stretch
from hushtag.client import (
    BudgetError,
    CeremonyError,
    InsecureServerError,
    NotLoggedInError,
    PinChangedError,
    Session,
    SessionExpiredError,
    TransportError,
    VaultLockedError,
    ceremony_steps,
    client_steps,
)
from hushtag.client.effects import Request, Steps, compute
from hushtag.client.vault_steps import OpenTag
from hushtag.errors import AuthenticationError, LimitError, MalformedError, StateError, UnknownSuiteError
from hushtag.head import VaultHead
from hushtag.messages import Unlocked, encode_binary
from hushtag.types import DataKey, DeviceSecret, PinKey, Secret, TagPrivateKey, VaultToken
from hushtag.unlock import OpenVault, UnlockedTag
from tests.client.fake_server import START, URL, FakeServer, Fault, answer
from tests.client.support import EMAIL, NO_PAUSE, PASSWORD, PHRASE, UNKNOWN_PHRASE, connect_sync


@pytest.fixture(autouse=True)
def _only_what_this_test_makes() -> None:
    """Put what is there already (fixtures, tracebacks of failures) out of the collector's sight, for good.

    To go through the objects of a whole run three times would take longer than the test.
    """
    gc.collect()
    gc.freeze()


def living_secrets() -> list[Secret]:
    gc.collect()
    found = [each for each in gc.get_objects() if isinstance(each, Secret) and each._buffer is not None]
    # What every logged-in device keeps, opened a vault or not, is no key of a vault.
    return [each for each in found if not isinstance(each, DeviceSecret)]


CALLS: dict[str, Any] = {
    "put": lambda vault, kept: vault.put(b"", name="b"),
    "replace": lambda vault, kept: vault.put(b"", name="b", replace=kept),
    "get": lambda vault, kept: vault.get(kept),
    "get_by_name": lambda vault, kept: vault.get_by_name("a"),
    "find": lambda vault, kept: vault.find("a"),
    "list": lambda vault, kept: vault.list(),
    "delete": lambda vault, kept: vault.delete(kept),
    "phrases": lambda vault, kept: vault.phrases(),
}


def test_a_locked_vault_does_nothing_and_asks_nothing(vault: Any, server: FakeServer) -> None:
    kept = vault.put(b"one", name="a").object_id
    assert living_secrets()
    vault.lock()
    assert living_secrets() == []
    server.log.clear()
    for call in CALLS.values():
        with pytest.raises(VaultLockedError):
            call(vault, kept)
    assert server.log == []
    assert vault.locked


def test_leaving_locks_whatever_happened_inside(client: Any, server: FakeServer) -> None:
    with pytest.raises(ZeroDivisionError), client.unlock(PHRASE) as vault:
        1 / 0  # noqa: B018 - the failure is the point
    assert vault.locked
    assert server.log[-1] == "DELETE /v1/vault-session"
    assert server.vault_tokens == {}
    assert living_secrets() == []


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout])
def test_keys_are_forgotten_though_the_server_is_gone(
    client: Any, server: FakeServer, failure: type[httpx.TransportError]
) -> None:
    with client.unlock(PHRASE) as vault:
        server.faults = [Fault("DELETE", "vault-session", failure=failure, times=99)]
    assert vault.locked
    assert living_secrets() == []
    other = client.unlock(PHRASE)
    with pytest.raises(TransportError):
        other.lock()
    assert other.locked
    assert living_secrets() == []


def test_closing_the_client_locks_every_vault(connect: Any, server: FakeServer) -> None:
    client = connect()
    with client:
        client.log_in(EMAIL, PASSWORD)
        first, second = client.unlock(PHRASE), client.unlock(PHRASE)
    assert first.locked
    assert second.locked
    assert server.vault_tokens == {}
    assert living_secrets() == []
    assert len(server.tokens) == 1  # the account session goes on


def test_logging_out_forgets_every_key(client: Any, server: FakeServer) -> None:
    vault = client.unlock(PHRASE)
    server.faults = [Fault("DELETE", "sessions/current")]
    with pytest.raises(TransportError):
        client.log_out()
    assert vault.locked
    assert client.session is None
    assert living_secrets() == []


@pytest.fixture
def every_secret(monkeypatch: pytest.MonkeyPatch) -> list[Secret]:
    """Every secret made from here on, kept alive, so that one that is only dropped and not forgotten shows."""
    made: list[Secret] = []
    make = Secret.__init__

    def remember(self: Secret, value: bytes) -> None:
        make(self, value)
        made.append(self)

    monkeypatch.setattr(Secret, "__init__", remember)
    return made


# Copies inside one call of the core, which end with it; and what the server's half makes in this same process.
PASSING = {"MaskingKey", "RegistrationState", "ServerLoginState", "ServerSeed", "SessionKey", "VaultToken"}


def test_what_a_ceremony_derives_is_forgotten_and_not_only_dropped(
    client: Any, server: FakeServer, every_secret: list[Secret]
) -> None:
    def left() -> set[str]:
        names = {type(secret).__name__ for secret in every_secret if secret._buffer is not None}
        every_secret.clear()
        return names - PASSING

    server.faults = [Fault("POST", "finish")]
    with pytest.raises(TransportError):
        client.unlock(PHRASE, device_secret=None)
    assert left() == set()
    with pytest.raises(AuthenticationError):
        client.unlock([UNKNOWN_PHRASE, "something misheard"], device_secret=bytes(32))
    assert left() == set()
    client.enrol(UNKNOWN_PHRASE, device_secret=bytes(32))
    assert left() == set()
    client.unlock(PHRASE).lock()
    assert left() == set()


def test_no_ceremony_leaves_a_secret_behind_however_it_ends(client: Any, server: FakeServer) -> None:
    def ends(error: type[Exception], call: Any, *faults: Fault) -> None:
        server.faults = list(faults)
        with pytest.raises(error):
            call()
        server.faults = []
        assert living_secrets() == []

    def unlock() -> None:
        client.unlock(PHRASE, device_secret=None)

    ends(AuthenticationError, lambda: client.unlock(UNKNOWN_PHRASE))
    ends(AuthenticationError, lambda: client.unlock(PHRASE, device_secret=bytes(32)))
    ends(TransportError, unlock, Fault("POST", "locate"))
    ends(TransportError, unlock, Fault("POST", "start"))
    ends(TransportError, unlock, Fault("POST", "finish"))
    ends(TransportError, lambda: client.enrol(UNKNOWN_PHRASE), Fault("POST", "registrations"))
    ends(TransportError, lambda: client.enrol(UNKNOWN_PHRASE, device_secret=bytes(32)), Fault("POST", "tags"))
    garbled = httpx.Response(200, headers={"Content-Type": "application/json"}, content=b"{}")
    for step in ("locate", "start", "finish"):
        ends(Exception, unlock, Fault("POST", step, answer=garbled))


def test_the_callers_device_secret_stays_the_callers(client: Any) -> None:
    mine = DeviceSecret(bytes(32))
    with pytest.raises(AuthenticationError):
        client.unlock(PHRASE, device_secret=mine)
    assert mine.expose() == bytes(32)
    mine.forget()


@pytest.mark.parametrize("step", ["registrations", "/tags", "locate", "start", "finish"])
def test_a_ceremony_step_is_never_sent_twice(client: Any, server: FakeServer, step: str) -> None:
    for fault in (Fault("POST", step, "after", times=9), Fault("POST", step, "before", httpx.ConnectError, times=9)):
        server.faults = [fault]
        server.log.clear()
        with pytest.raises(TransportError):
            client.enrol(UNKNOWN_PHRASE) if step in ("registrations", "/tags") else client.unlock(PHRASE)
        assert sum(line.endswith(step) for line in server.log) == 1


def test_a_late_ceremony_and_an_empty_budget_are_told_apart(client: Any, server: FakeServer) -> None:
    server.on_request = lambda request: server.ceremonies.clear() if request.url.path.endswith("finish") else None
    with pytest.raises(CeremonyError):
        client.unlock(PHRASE)
    server.users[EMAIL].guesses = 1
    with pytest.raises(BudgetError) as caught:
        client.unlock([PHRASE, UNKNOWN_PHRASE])
    assert (caught.value.code, caught.value.retry_after) == ("too_many_guesses", 4320)
    assert server.users[EMAIL].guesses == 1


def test_an_unknown_suite_is_refused_before_the_phrase_is_touched(
    connect: Any, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_: object, **__: object) -> None:
        pytest.fail("the phrase was touched")

    server.users[EMAIL].suite = "hushtag-v2"
    client = connect()
    client.log_in(EMAIL, PASSWORD)
    server.log.clear()
    for module, name in (
        *((ceremony_steps, name) for name in ("canonicalize", "check_phrase")),
        *((client_steps, name) for name in ("candidate_form", "filter_candidates")),
    ):
        monkeypatch.setattr(module, name, touched)
    monkeypatch.setattr(_stretch, "hash_secret_raw", touched)
    for call in (client.unlock, client.enrol):
        with pytest.raises(UnknownSuiteError):
            call(PHRASE)
    assert server.log == []


def test_a_label_that_cannot_be_sealed_costs_no_guess(client: Any, server: FakeServer) -> None:
    server.log.clear()
    for label in ("x" * 253, "\ud800"):
        with pytest.raises(LimitError):
            client.enrol(UNKNOWN_PHRASE, label=label)
    assert server.log == []


def test_the_salt_of_an_account_is_pinned(connect: Any, server: FakeServer) -> None:
    client = connect()
    client.log_in(EMAIL, PASSWORD)
    right = server.users[EMAIL].phrase_salt
    server.users[EMAIL].phrase_salt = bytes(16)
    sessions = len(server.tokens)
    with pytest.raises(PinChangedError, match="phrase salt"):
        client.log_in(EMAIL, PASSWORD)
    assert len(server.tokens) == sessions  # the session of no use was ended
    assert client.session is not None  # and the one before it was kept
    assert client.log_in(EMAIL, PASSWORD, accept_new_salt=True).phrase_salt == encode_binary(bytes(16))
    server.users[EMAIL].phrase_salt = right
    with pytest.raises(PinChangedError):
        client.log_in(EMAIL, PASSWORD)


def test_another_user_under_the_same_email_is_refused(connect: Any, server: FakeServer) -> None:
    client = connect()
    client.log_in(EMAIL, PASSWORD)
    server.users[EMAIL].user_id = type(server.users[EMAIL].user_id)(int=7)
    with pytest.raises(PinChangedError, match="user id"):
        client.log_in(EMAIL, PASSWORD)


def test_a_session_is_never_shown_to_another_server(connect: Any, server: FakeServer) -> None:
    client = connect()
    session = client.log_in(EMAIL, PASSWORD)
    with pytest.raises(InsecureServerError, match="another server"):
        connect(url="http://localhost:1", session=session)
    assert session.token not in repr(session)
    assert session.token not in repr(Request("GET", "/", session.token, headers={"Hushtag-Head": "secret"}))


def test_without_a_session_nothing_is_sent(connect: Any, server: FakeServer) -> None:
    client = connect()
    for call in (client.account, client.sessions, client.log_out, lambda: client.unlock(PHRASE)):
        with pytest.raises(NotLoggedInError):
            call()
    assert server.log == []


def test_an_expired_session_says_so(client: Any, server: FakeServer) -> None:
    server.tokens.clear()
    with pytest.raises(SessionExpiredError):
        client.unlock(PHRASE)


def test_an_answer_that_names_one_vault_twice_is_malformed(client: Any, server: FakeServer) -> None:
    def twice(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if not request.url.path.endswith("finish"):
            return response
        unlocked = msgspec.json.decode(response.content, type=Unlocked)
        return answer(200, msgspec.structs.replace(unlocked, vaults=unlocked.vaults * 2))

    server.rewrite = twice
    with pytest.raises(MalformedError, match="twice"):
        client.unlock(PHRASE)


def test_every_vault_of_a_tag_is_offered_and_all_are_locked_together(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = [
        OpenVault(uuid4(), uuid4(), DataKey(bytes([n] * 32)), VaultHead.first(), PinKey(bytes([n] * 32)))
        for n in range(3)
    ]
    keys = VaultToken(bytes(32)), TagPrivateKey(bytes(32))
    session = Session(URL, "hta_", uuid4(), uuid4(), START, "hushtag-v1", "A" * 22)
    tag = OpenTag(UnlockedTag(uuid4(), 0, *keys, tuple(opened), START), session, 0, NO_PAUSE)

    def unlock(*_: object, **__: object) -> Steps[OpenTag]:
        yield from compute(lambda: None)
        return tag

    with connect_sync(URL, server.transport()) as client:
        monkeypatch.setattr(client._steps, "unlock", unlock)
        vault = client.unlock(PHRASE)
        assert [each.vault_id for each in vault.vaults] == [each.vault_id for each in opened]
        assert vault.vault_id == opened[0].vault_id
        assert vault.vaults[2].vaults == vault.vaults
        with vault.vaults[1]:
            pass
        assert all(each.locked for each in vault.vaults)
        assert living_secrets() == []


def test_a_forgotten_session_key_raises(client: Any) -> None:
    vault = client.unlock(PHRASE)
    keys = living_secrets()
    vault.lock()
    for key in keys:
        with pytest.raises(StateError):
            key.expose()


def test_cookies_are_not_carried_around(connect: Any, server: FakeServer) -> None:
    client = connect()
    server.rewrite = lambda _request, response: httpx.Response(
        response.status_code, headers={**response.headers, "Set-Cookie": "track=1; Path=/"}, content=response.content
    )
    client.log_in(EMAIL, PASSWORD)
    client.account()
    assert not any("cookie" in headers for headers in server.headers)
    assert all(headers["user-agent"].startswith("hushtag/") for headers in server.headers)


def test_the_session_can_be_kept_and_resumed(server: FakeServer) -> None:
    with connect_sync(URL, server.transport()) as client:
        kept = msgspec.json.encode(client.log_in(EMAIL, PASSWORD))
    session = msgspec.json.decode(kept, type=Session)
    with connect_sync(URL, server.transport(), session=session) as client, client.unlock(PHRASE) as vault:
        assert vault.list() == ()
