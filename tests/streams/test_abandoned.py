"""Readers that leave: what streams to them is closed at once, and gives back its place and its database connection."""

import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import anyio.to_thread
import httpx
import pytest

from tests.live_server import RunningServer, temporary_directory
from tests.server.vault_support import open_vault
from tests.streams.support import MIB, Streams, random_bytes

pytestmark = pytest.mark.anyio

READERS = 24  # many times the pool, and the bodies that one session may have at once
SEGMENTS, SEGMENT = 3, 4 * MIB


@pytest.fixture
def server(run_server) -> Iterator[RunningServer]:
    with temporary_directory() as directory, run_server(directory, HUSHTAG_POOL_SIZE="2") as running:
        yield running


@pytest.fixture
async def client(server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as opened:
        yield opened


def _ask(server: RunningServer, url: str, headers: dict[str, str]) -> bytes:
    """Begin to read, then hang up without a word, as a phone does that has lost its network."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as asking:
        lines = [f"GET {url} HTTP/1.1", f"Host: {address.netloc}", *(f"{name}: {headers[name]}" for name in headers)]
        asking.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        begun = asking.recv(1024)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return begun


def _asked_again(server: RunningServer, url: str, headers: dict[str, str]) -> bytes:
    """Ask until there is room: a reader that left is seen a moment later."""
    deadline = time.monotonic() + 20
    while True:
        begun = _ask(server, url, headers)
        if (b" 429 " not in begun and b" 409 " not in begun) or time.monotonic() > deadline:
            return begun
        time.sleep(0.02)


@pytest.mark.parametrize("what", ["stream", "export"])
async def test_many_readers_that_leave_keep_nothing(server, client, sign_in, what) -> None:
    signed = await sign_in(client)
    streams = Streams(await open_vault(client, signed))
    body = random_bytes(SEGMENT)
    stream_id = await streams.upload(*[body] * SEGMENTS)
    headers, url = dict(streams.vault.headers), streams.url(stream_id)
    if what == "export":
        url = "/v1/me/export"
        headers = {"Authorization": f"Bearer {signed.token}"}
    for _ in range(READERS):
        begun = await anyio.to_thread.run_sync(_asked_again, server, url, headers)
        assert b" 200 " in begun.splitlines()[0]
    before = time.monotonic()
    assert (await streams.read_all(stream_id)).content == body * SEGMENTS
    assert time.monotonic() - before < 10
    log = server.log.read_text()
    assert "internal error" not in log
    assert "never retrieved" not in log
