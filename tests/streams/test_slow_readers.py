"""A reader that does not read: the server sends no more than a little ahead, and goes on when it does."""

import socket
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

SEGMENTS, SEGMENT = 3, 16 * MIB
MOST = 32 * MIB
QUIET = 1.0  # seconds without another byte: it waits


@pytest.fixture
def server(run_server) -> Iterator[RunningServer]:
    with (
        temporary_directory() as directory,
        run_server(directory, "--workers", "1", HUSHTAG_METRICS_LOOPBACK="yes") as running,
    ):
        yield running


@pytest.fixture
async def client(server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as opened:
        yield opened


def _sent(server: RunningServer) -> int:
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    found = [line for line in lines if line.startswith('hushtag_segment_bytes_total{way="out"}')]
    return int(float(found[0].rpartition(" ")[2])) if found else 0


def _ask(server: RunningServer, url: str, headers: dict[str, str]) -> socket.socket:
    address = urlsplit(server.url)
    asking = socket.create_connection((address.hostname, address.port), timeout=60)
    lines = [f"GET {url} HTTP/1.1", f"Host: {address.netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    asking.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
    return asking


def _until_quiet(server: RunningServer) -> int:
    sent, since = 0, time.monotonic()
    while not sent or time.monotonic() - since < QUIET:
        now = _sent(server)
        if now != sent:
            sent, since = now, time.monotonic()
        assert sent or time.monotonic() - since < 30
        time.sleep(0.05)  # time is what this is about
    return sent


def _rest(asking: socket.socket) -> int:
    size = 0
    with asking.makefile("rb") as answer:
        while answer.readline() != b"\r\n":
            pass
        while piece := answer.read(MIB):
            size += len(piece)
    return size


async def test_a_reader_that_does_not_read_stops_the_bytes(server, client, sign_in) -> None:
    streams = Streams(await open_vault(client, await sign_in(client)))
    body = random_bytes(SEGMENT)
    stream_id = await streams.upload(*[body] * SEGMENTS)
    with _ask(server, streams.url(stream_id), streams.vault.headers) as asking:
        sent = await anyio.to_thread.run_sync(_until_quiet, server)
        assert 0 < sent < MOST < SEGMENTS * SEGMENT
        assert await anyio.to_thread.run_sync(_rest, asking) == SEGMENTS * SEGMENT
