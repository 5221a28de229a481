"""What a client leaves in an application's log, and what it does in a process that was forked."""

import logging
from typing import Any

import httpx
import pytest

from hushtag.client import AsyncClient, Client, threads
from hushtag.errors import MisuseError
from tests.client.fake_server import URL, FakeServer
from tests.client.support import EMAIL, NO_PAUSE, PASSWORD, PHRASE


def test_nothing_of_a_clients_requests_is_logged(vault: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        vault.put(bytes(400_000), name="letter")
        assert [entry.name for entry in vault.list()] == ["letter"]
        assert [record.getMessage() for record in caplog.records if record.name == "httpx"] == []
        # The application's own requests are its own.
        own = httpx.MockTransport(lambda _: httpx.Response(204))
        httpx.Client(transport=own).get("https://example.org/own")
        assert "https://example.org/own" in caplog.text


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From the call on, the drivers find themselves in another process."""
    return lambda: monkeypatch.setattr(threads, "getpid", lambda: 0)


def test_a_client_asks_nothing_in_a_forked_process(server: FakeServer, forked: Any) -> None:
    client = Client(URL, transport=server.transport(), retry=NO_PAUSE)
    client.log_in(EMAIL, PASSWORD)
    with client, client.unlock(PHRASE) as vault:
        stored = vault.put(b"body", name="letter")
        server.log.clear()
        vault._turn._lock.acquire()  # another thread's, which the fork has not taken along: nobody would let go of it
        forked()
        for call in (lambda: vault.get(stored.object_id), lambda: vault.put(bytes(400_000), name="x"), client.account):
            with pytest.raises(MisuseError, match="another one after a fork"):
                call()
    # Nor does leaving the contexts end what the other process has open.
    assert server.log == []
    assert vault.locked


@pytest.mark.anyio
async def test_nor_does_one_for_an_event_loop(server: FakeServer, forked: Any) -> None:
    client = AsyncClient(URL, transport=server.transport(), retry=NO_PAUSE)
    await client.log_in(EMAIL, PASSWORD)
    server.log.clear()
    forked()
    with pytest.raises(MisuseError, match="another one after a fork"):
        await client.account()
    assert server.log == []
