"""Any answer at all gives a value or one of our errors, and is never read beyond its limit."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hushtag.client import (
    BudgetError,
    CeremonyError,
    ConflictError,
    LoginError,
    MalformedOutcomeError,
    NotFoundError,
    PinChangedError,
    RetryPolicy,
    ServerError,
    SessionExpiredError,
    UnavailableError,
)
from hushtag.client.answers import expect, expect_nothing, problem_of
from hushtag.client.effects import Response
from hushtag.client.policy import MAX_LIST_BYTES
from hushtag.errors import HushtagError, MalformedError, UnknownSuiteError
from hushtag.messages import MAX_JSON_BYTES, Account, ObjectList, SessionOpened, Unlocked, VaultState
from hushtag.objects import MAX_ROW_BYTES
from tests.client.fake_server import URL, FakeServer, problem
from tests.client.support import EMAIL, OTHER_PHRASE, PASSWORD, PHRASE, connect_sync

ONCE = RetryPolicy(reads=1, changes=1, first_pause=0.0, longest_pause=0.0)
JSON_TYPES = ["application/json", "application/problem+json", "application/octet-stream", "text/html", ""]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
bodies = st.binary(max_size=300) | json_values.map(lambda value: msgspec.json.encode(value))


class Answering:
    """A transport that answers what it is told to; the open vault behind it is real."""

    def __init__(self) -> None:
        self.answer: Callable[[httpx.Request], httpx.Response] | None = None
        self.server = FakeServer()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        return self.server._respond(request) if self.answer is None else self.answer(request)


@pytest.fixture(scope="module")
def opened(enrolled_server: FakeServer) -> Iterator[tuple[Answering, Any, Any]]:
    """A logged-in client, an open vault with two objects, and the power over their answers."""
    answering = Answering()
    answering.server = enrolled_server.clone()

    def serve(request: httpx.Request) -> httpx.Response:
        made = answering(request)
        return httpx.Response(made.status_code, headers=made.headers, stream=httpx.ByteStream(made.content))

    with connect_sync(URL, httpx.MockTransport(serve), retry=ONCE) as client:
        client.log_in(EMAIL, PASSWORD)
        vault = client.unlock(PHRASE)
        vault.put(b"one", name="a")
        vault.put(b"two", name="b")
        yield answering, client, vault
        answering.answer = None


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "sign_up": lambda client, vault: client.sign_up("eve@example.org", PASSWORD),
    "log_in": lambda client, vault: client.log_in(EMAIL, PASSWORD),
    "account": lambda client, vault: client.account(),
    "change_password": lambda client, vault: client.change_password(PASSWORD, PASSWORD),
    "sessions": lambda client, vault: client.sessions(),
    "revoke_session": lambda client, vault: client.revoke_session(uuid4()),
    "list": lambda client, vault: vault.list(),
    "get": lambda client, vault: vault.get(uuid4()),
    "put": lambda client, vault: vault.put(b"", name="x"),
    "delete": lambda client, vault: vault.delete(next(iter(vault._steps.witness.rows or {uuid4(): 0}))),
    "delete_many": lambda client, vault: vault.delete_many(vault._steps.witness.rows or [uuid4(), uuid4()]),
    "phrases": lambda client, vault: vault.phrases(),
}


@pytest.mark.parametrize("call", CALLS)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    status=st.sampled_from([200, 201, 202, 204, 206, 301, 400, 401, 404, 409, 429, 500, 503, 999]),
    kind=st.sampled_from(JSON_TYPES),
    body=bodies,
    revision=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20),
)
def test_nocrash_any_answer(
    opened: tuple[Answering, Any, Any], call: str, status: int, kind: str, body: bytes, revision: str
) -> None:
    answering, client, vault = opened
    headers = [("Content-Type", kind), ("Hushtag-Revision", revision), ("Retry-After", revision)]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    answering.answer = lambda _request: httpx.Response(status, headers=raw, content=body)
    told = ""
    try:
        CALLS[call](client, vault)
    except HushtagError as error:
        told = str(error)
    finally:
        answering.answer = None
    assert PHRASE not in told
    assert client.session.token not in told


VALID: dict[str, Callable[[Any, Any], Any]] = {
    name: CALLS[name] for name in ("log_in", "account", "sessions", "list", "put", "phrases")
}


@pytest.mark.parametrize("call", VALID)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 20), altered=json_values)
def test_nocrash_one_altered_field(opened: tuple[Answering, Any, Any], call: str, place: int, altered: Any) -> None:
    """An answer of the contract with one value replaced never gives anything but a value or one of our errors."""
    answering, client, vault = opened

    def alter(request: httpx.Request) -> httpx.Response:
        response = answering.server._respond(request)
        try:
            value = msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            return response
        names = [*value, "unknown_field"]
        value[names[place % len(names)]] = altered
        headers = {"Content-Type": response.headers["content-type"]}
        return httpx.Response(response.status_code, headers=headers, content=msgspec.json.encode(value))

    answering.answer = alter
    try:
        VALID[call](client, vault)
    except HushtagError:
        pass
    finally:
        answering.answer = None


def respond(status: int, body: bytes, kind: str = "application/json", **headers: str) -> Response:
    return Response(status, {"content-type": kind, **headers}, body)


@pytest.mark.parametrize("kind", [SessionOpened, Account, Unlocked, VaultState, ObjectList])
@settings(deadline=None)
@given(body=bodies)
def test_nocrash_expect(kind: Any, body: bytes) -> None:
    with pytest.raises(MalformedError):
        expect(respond(200, body), (200,), kind)


def test_unknown_fields_are_refused() -> None:
    state = b'{"vault_id":"%s","generation":1,"key_version":1,"head":"%s"%s}'
    known = state % (str(uuid4()).encode(), b"A" * 150, b"")
    expect(respond(200, known), (200,), VaultState)
    with pytest.raises(MalformedError):
        expect(respond(200, state % (str(uuid4()).encode(), b"A" * 150, b',"more":1')), (200,), VaultState)
    with pytest.raises(MalformedError):
        expect(respond(200, known, "text/html"), (200,), VaultState)
    with pytest.raises(MalformedError):
        expect(respond(202, known), (200,), VaultState)


def test_content_where_there_must_be_none_is_refused() -> None:
    expect_nothing(respond(204, b""))
    with pytest.raises(MalformedError):
        expect_nothing(respond(204, b"x"))
    with pytest.raises(MalformedError):
        expect_nothing(respond(200, b""))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthenticated", SessionExpiredError),
        (401, "login_failed", LoginError),
        (401, "ceremony_failed", CeremonyError),
        (404, "not_found", NotFoundError),
        (409, "generation_conflict", ConflictError),
        (409, "already_exists", ConflictError),
        (422, "unknown_suite", UnknownSuiteError),
        (429, "too_many_guesses", BudgetError),
        (429, "too_many_attempts", BudgetError),
        (503, "unavailable", UnavailableError),
        (418, "never_heard_of", ServerError),
    ],
)
def test_every_problem_has_its_error(status: int, code: str, kind: type[Exception]) -> None:
    made = problem(status, code, request_id=str(uuid4()))
    error = problem_of(Response(status, {"content-type": made.headers["content-type"]}, made.content))
    assert type(error) is kind
    if isinstance(error, ServerError):
        assert (error.code, error.status) == (code, status)
        assert error.request_id is not None


def test_a_problem_that_contradicts_its_status_is_malformed() -> None:
    made = problem(401, "login_failed")
    error = problem_of(Response(403, {"content-type": made.headers["content-type"]}, made.content))
    assert type(error) is MalformedError


def test_a_problem_repeats_nothing_the_server_says_but_code_and_request_id() -> None:
    made = problem(418, "never_heard_of", detail="\x1b[31mred", request_id="\x1b[31mred")
    error = problem_of(Response(418, {"content-type": made.headers["content-type"]}, made.content))
    assert "\x1b" not in str(error)
    assert isinstance(error, ServerError)
    assert error.request_id is None
    made = problem(418, "code\x1b[31m")
    assert type(problem_of(Response(418, dict(made.headers), made.content))) is MalformedError


@pytest.mark.parametrize(("where", "wait"), [("body", 4320), ("header", 77), ("neither", None)])
def test_retry_after_is_told(where: str, wait: int | None) -> None:
    made = problem(429, "too_many_guesses", retry_after=wait if where == "body" else None)
    headers = {"content-type": "application/problem+json"} | ({"retry-after": "77"} if where == "header" else {})
    error = problem_of(Response(429, headers, made.content))
    assert isinstance(error, BudgetError)
    assert error.retry_after == wait


class Endless(httpx.SyncByteStream):
    """A body much longer than any limit, which counts what was read of it."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.read < 2 * MAX_ROW_BYTES:
            self.read += 4096
            yield bytes(4096)


@pytest.mark.parametrize(
    ("call", "limit"),
    [("account", MAX_JSON_BYTES), ("list", MAX_LIST_BYTES), ("phrases", MAX_LIST_BYTES), ("get", MAX_ROW_BYTES)],
)
def test_an_endless_answer_is_cut_at_its_limit(enrolled_server: FakeServer, call: str, limit: int) -> None:
    server = enrolled_server.clone()
    endless = Endless()
    lying = False

    def serve(request: httpx.Request) -> httpx.Response:
        if lying:
            return httpx.Response(200, headers={"Content-Type": "application/json"}, stream=endless)
        made = server._respond(request)
        return httpx.Response(made.status_code, headers=made.headers, stream=httpx.ByteStream(made.content))

    with connect_sync(URL, httpx.MockTransport(serve)) as client:
        client.log_in(EMAIL, PASSWORD)
        vault = client.unlock(PHRASE)
        lying = True
        with pytest.raises(MalformedError, match=f"longer than {limit} bytes"):
            CALLS[call](client, vault)
        assert limit < endless.read <= limit + 2 * 4096
        lying = False


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused_and_not_followed(connect: Any, server: FakeServer, status: int) -> None:
    client = connect()
    client.log_in(EMAIL, PASSWORD)
    server.log.clear()
    elsewhere = httpx.Response(status, headers={"Location": "https://elsewhere.example/v1/account"})
    server.rewrite = lambda _request, _response: elsewhere
    with pytest.raises(MalformedError, match="redirects"):
        client.account()
    assert server.log == ["GET /v1/account"]
    server.rewrite = None


def test_encoded_answers_are_refused(connect: Any, server: FakeServer) -> None:
    client = connect()
    client.log_in(EMAIL, PASSWORD)

    def compress(_request: httpx.Request, response: httpx.Response) -> httpx.Response:
        made = httpx.Response(200, headers=response.headers, content=response.content)
        made.headers["Content-Encoding"] = "gzip"
        return made

    assert all(headers["accept-encoding"] == "identity" for headers in server.headers)
    server.rewrite = compress
    with pytest.raises(MalformedError, match="encoded"):
        client.account()
    server.rewrite = None


def test_a_login_of_another_kind_of_token_is_malformed(connect: Any, server: FakeServer) -> None:
    client = connect()
    other = str(uuid4())
    for name, value in [("token", "htv_abc"), ("token", "hta_" + "A" * 64), ("token", "hta_é"), ("user_id", other)]:

        def alter(
            _request: httpx.Request, response: httpx.Response, name: str = name, value: str = value
        ) -> httpx.Response:
            body = msgspec.json.decode(response.content)
            body[name] = value
            return httpx.Response(201, headers={"Content-Type": "application/json"}, content=msgspec.json.encode(body))

        server.rewrite = alter
        with pytest.raises(MalformedError):
            client.log_in(EMAIL, PASSWORD)
        assert client.session is None
    server.rewrite = None
    client.log_in(EMAIL, PASSWORD)
    server.users[EMAIL].phrase_salt = bytes(16)
    with pytest.raises(PinChangedError):
        client.account()


def test_a_garbled_answer_says_that_a_change_may_be_made_only_where_there_was_one(
    connect: Any, server: FakeServer
) -> None:
    client = connect(retry=ONCE)

    def raised(asked: str, call: Callable[[], Any]) -> type[Exception]:
        def garble(request: httpx.Request, response: httpx.Response) -> httpx.Response:
            garbled = re.search(asked, f"{request.method} {request.url.path}")
            return httpx.Response(response.status_code, headers=response.headers, content=b"{") if garbled else response

        server.rewrite = garble
        with pytest.raises(MalformedError) as error:
            call()
        server.rewrite = None
        return error.type

    assert raised("POST .*/sessions", lambda: client.log_in(EMAIL, PASSWORD)) is MalformedError
    assert raised("POST .*/accounts", lambda: client.sign_up("eve@example.org", PASSWORD)) is MalformedOutcomeError
    client.log_in(EMAIL, PASSWORD)
    assert raised("POST .*/registrations", lambda: client.enrol(OTHER_PHRASE)) is MalformedError
    assert raised("POST .*/tags", lambda: client.enrol(OTHER_PHRASE)) is MalformedOutcomeError
    for step in ("locate", "start", "finish"):
        assert raised(f"POST .*/unlock/{step}", lambda: client.unlock(PHRASE)) is MalformedError
    with client.unlock(PHRASE) as vault:
        assert raised("PUT .*/objects/", lambda: vault.put(b"x", name="x")) is MalformedOutcomeError
        assert raised("PUT .*/segments/", lambda: vault.put(bytes(2**21), name="long")) is MalformedError
        assert raised("GET .*/objects", vault.list) is MalformedError
        assert raised("POST .*/tags", lambda: vault.add_phrase(OTHER_PHRASE)) is MalformedOutcomeError
