"""Fixtures of the client's tests: a server in memory with one account and one enrolled phrase, and both clients."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from tests.client.fake_server import URL, FakeServer
from tests.client.support import EMAIL, PASSWORD, PHRASE, Connect, connect_async, connect_sync
from tests.stretching import stretched_once

__all__ = ["stretched_once"]


@pytest.fixture(scope="session")
def enrolled_server() -> FakeServer:
    """A server with one account and one tag; tests take clones of it."""
    server = FakeServer()
    with connect_sync(URL, server.transport()) as client:
        client.sign_up(EMAIL, PASSWORD)
        client.log_in(EMAIL, PASSWORD)
        client.enrol(PHRASE, label="for the diary")
        client.log_out()
    return server


@pytest.fixture
def server(enrolled_server: FakeServer) -> FakeServer:
    return enrolled_server.clone()


@pytest.fixture
def other_vault(server: FakeServer) -> Iterator[Any]:
    """The same vault on another device."""
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        yield client.unlock(PHRASE)


@pytest.fixture(scope="session")
def portal() -> Iterator[Any]:
    with start_blocking_portal() as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest, server: FakeServer) -> Iterator[Connect]:
    """`connect(**options)` gives a client of the server in memory, blocking or asynchronous; closed at the end."""
    with ExitStack() as stack:

        def make(**options: Any) -> Any:
            options.setdefault("transport", server.transport())
            url = options.pop("url", URL)
            if request.param == "sync":
                return stack.enter_context(connect_sync(url, **options))
            return stack.enter_context(connect_async(request.getfixturevalue("portal"), url, **options))

        yield make


@pytest.fixture
def client(connect: Connect) -> Any:
    """A logged-in client, of each kind."""
    made = connect()
    made.log_in(EMAIL, PASSWORD)
    return made


@pytest.fixture
def vault(client: Any) -> Any:
    """An open vault, of each kind."""
    return client.unlock(PHRASE)


@pytest.fixture
def sync_vault(server: FakeServer) -> Iterator[Any]:
    """An open vault of the blocking client, for what does not differ between them."""
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        yield client.unlock(PHRASE)
