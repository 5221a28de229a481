"""Which servers a client talks to, how long it waits, and what it says of a failure."""

from collections.abc import Iterator
from io import BytesIO

import httpx
import pytest

from hushtag.client import (
    AsyncClient,
    Client,
    ClientClosedError,
    InsecureServerError,
    RetryPolicy,
    TimedOutError,
    Timeouts,
    TransportError,
    VaultLockedError,
)
from hushtag.client.policy import server_url
from hushtag.errors import LimitError, MalformedError, MisuseError
from tests.client.fake_server import URL, FakeServer
from tests.client.support import EMAIL, PASSWORD, PHRASE, Connect


@pytest.mark.parametrize(
    "url",
    [
        "https://vault.example.org",
        "https://vault.example.org:8443/prefix/",
        "http://localhost:8000",
        "http://127.0.0.1:8000/",
        "http://127.8.9.1",
        "http://[::1]:8000",
        "https://vault.example.org:1",
        "https://vault.example.org:65535",
    ],
)
def test_safe_servers_are_taken(url: str) -> None:
    assert str(server_url(url)) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://vault.example.org",
        "http://localhost.example.org",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "ftp://vault.example.org",
        "file:///etc/passwd",
        "vault.example.org",
        "",
        "https://",
        "https://user:secret@vault.example.org",
        "https://vault.example.org?x=1",
        "https://vault.example.org#x",
        "https://vault.example.org\x00",
        "https://[::1",
        "http://127.0.0.1:99999",
        "https://vault.example.org:65536",
        "https://vault.example.org:0",
        "https://vault.example.org:-1",
    ],
)
def test_unsafe_servers_are_refused(url: str) -> None:
    with pytest.raises(InsecureServerError) as caught:
        Client(url)
    assert "secret" not in str(caught.value)


def test_plain_http_can_be_allowed_explicitly() -> None:
    with pytest.raises(InsecureServerError, match="plain http to vault"):
        Client("http://vault.example.org")
    Client("http://vault.example.org", allow_insecure=True).close()
    with pytest.raises(InsecureServerError):
        Client("ftp://vault.example.org", allow_insecure=True)


def test_a_prefix_of_the_servers_path_is_kept() -> None:
    asked: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(404)

    client = Client("https://vault.example.org/prefix/", transport=httpx.MockTransport(serve))
    with client, pytest.raises(MalformedError):
        client.sign_up(EMAIL, PASSWORD)
    assert asked == ["https://vault.example.org/prefix/v1/accounts"]


def test_the_environments_proxy_never_sees_what_is_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    local = Client("http://127.0.0.1:1")
    assert local._driver._http._mounts == {}
    local.close()
    remote = Client("https://vault.example.org")
    assert remote._driver._http._mounts != {}
    remote.close()


class Dripping(httpx.SyncByteStream):
    """A body that comes byte by byte."""

    def __init__(self) -> None:
        self.dripped = 0

    def __iter__(self) -> Iterator[bytes]:
        for self.dripped in range(1, 1000):
            yield b"x"


def test_an_answer_that_only_drips_times_out() -> None:
    body = Dripping()
    transport = httpx.MockTransport(lambda _request: httpx.Response(202, stream=body))
    with Client(URL, transport=transport, timeouts=Timeouts(overall=0.0)) as client, pytest.raises(TimedOutError):
        client.sign_up(EMAIL, PASSWORD)
    assert body.dripped == 1


def test_nobody_listening_is_a_transport_error() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(TransportError, match="no connection"):
        client.sign_up(EMAIL, PASSWORD)


def test_a_failure_of_httpx_does_not_repeat_the_request() -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError("Illegal header value b'Bearer hta_secret'")

    with Client(URL, transport=httpx.MockTransport(fail)) as client, pytest.raises(TransportError) as caught:
        client.sign_up(EMAIL, PASSWORD)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_connections_that_are_all_in_use_are_told_as_that() -> None:
    """It was said of the server that it did not answer in time; it was never asked."""

    def wait(_request: httpx.Request) -> httpx.Response:
        raise httpx.PoolTimeout("")

    with Client(URL, transport=httpx.MockTransport(wait)) as client, pytest.raises(TimedOutError, match="is in use"):
        client.sign_up(EMAIL, PASSWORD)


def test_a_query_that_is_not_valid_unicode_is_not_sent(connect: Connect, server: FakeServer) -> None:
    """It was told as an answer that is not valid HTTP, and the command advised to check the server's URL."""
    client = connect()
    client.log_in(EMAIL, PASSWORD)
    server.log.clear()
    for call in (
        lambda: list(client.journal.search("lone\ud800surrogate")),
        lambda: list(client.journal.export(tags=["\udcff"])),
        lambda: client.journal.tags.suggest("\udcff"),
    ):
        with pytest.raises(LimitError, match="not valid Unicode"):
            call()
    assert server.log == []


@pytest.mark.parametrize(
    ("email", "password", "said"),
    [
        ("no email", PASSWORD, "email must be an email address: a name, one @ and a host, without white space"),
        (EMAIL, "short", "password must have at least 10 characters"),
        (EMAIL, "x" * 257, "password must have at most 256 characters"),
        (EMAIL, "lone\ud800surrogate", "the request holds text that is not valid Unicode"),
    ],
)
def test_what_the_contract_forbids_is_not_sent(email: str, password: str, said: str) -> None:
    def never(_request: httpx.Request) -> httpx.Response:
        raise AssertionError

    with Client(URL, transport=httpx.MockTransport(never)) as client, pytest.raises(LimitError) as caught:
        client.sign_up(email, password)
    assert str(caught.value).removesuffix("; nothing was sent") == said
    assert password not in str(caught.value)


def test_pauses_double_up_to_their_limit_and_differ() -> None:
    retry = RetryPolicy(first_pause=0.1, longest_pause=1.0)
    for attempt, ceiling in enumerate([0.1, 0.2, 0.4, 0.8, 1.0, 1.0]):
        pauses = {retry.pause(attempt) for _ in range(20)}
        assert all(ceiling / 2 <= pause <= ceiling for pause in pauses)
        assert len(pauses) > 1
    assert retry.pause(10**6) <= 1.0


def test_a_closed_client_asks_nothing_more(connect: Connect, server: FakeServer) -> None:
    client = connect()
    client.log_in(EMAIL, PASSWORD)
    vault = client.unlock(PHRASE)
    client.close()
    server.log.clear()
    for call in (client.account, client.sessions, lambda: client.unlock(PHRASE), lambda: client.export_data(BytesIO())):
        with pytest.raises(ClientClosedError):
            call()
    with pytest.raises(ClientClosedError):
        client.import_data(BytesIO(b"archive"))
    with pytest.raises(VaultLockedError):
        vault.list()
    client.close()
    assert server.log == []


@pytest.mark.parametrize("step", ["start", "finish"])
def test_a_client_that_is_closed_during_an_unlock_opens_nothing(server: FakeServer, step: str) -> None:
    client = Client(URL, transport=server.transport())
    client.log_in(EMAIL, PASSWORD)

    def close(request: httpx.Request) -> None:
        if request.url.path.endswith(f"/unlock/{step}"):
            server.on_request = None
            client.close()

    server.on_request = close
    with pytest.raises(ClientClosedError):
        client.unlock(PHRASE)
    assert all(tag.locked for tag in client._steps._open)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
        ("HTTPS_PROXY", "gopher://ada:secret-words@127.0.0.1:1"),
        ("NO_PROXY", "[::1"),
        ("SSL_CERT_FILE", "/nonexistent"),
    ],
)
def test_an_environment_that_cannot_be_used_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, kind: type, name: str, value: str
) -> None:
    """An ImportError, a ValueError or an error of httpx's came out, that of a proxy with its address."""
    monkeypatch.setenv(name, value)
    with pytest.raises(MisuseError, match=rf"^the environment names .*{name}") as caught:
        kind("https://vault.example.org")
    assert "secret-words" not in str(caught.value)
    kind("http://127.0.0.1:1")  # what is meant for this machine asks no proxy
