"""Whoever asks for much and does not read it: held no longer than a request, and only so many at once."""

import asyncio
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from hushtag_server.edge import ANSWER_PIECE, Edge
from hushtag_server.observability import Metrics
from hushtag_server.streams.limits import MAX_BODIES_PER_SESSION, PART_BYTES
from hushtag_server.tokens import VAULT, parse_bearer
from tests.live_server import RunningServer, run_server
from tests.server.vault_support import OpenedVault, new_id, open_vault

pytestmark = pytest.mark.anyio
PATIENCE = 30.0
BODY = os.urandom(12 * 2**20)
"""More than what lies between two processes holds."""


@pytest.fixture
def impatient(data_directory: Path) -> Iterator[RunningServer]:
    with run_server(data_directory, HUSHTAG_REQUEST_TIMEOUT="4") as running:
        yield running


@pytest.fixture
async def vault(impatient: RunningServer, sign_in: Any) -> AsyncIterator[OpenedVault]:
    async with httpx.AsyncClient(base_url=impatient.url, timeout=PATIENCE) as client:
        yield await open_vault(client, await sign_in(client))


def ask(vault: OpenedVault, path: str) -> socket.socket:
    """Ask for something, and read none of it."""
    place = vault.client.base_url
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect((place.host, place.port))
    token = vault.headers["Authorization"]
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: hushtag\r\nAuthorization: {token}\r\n\r\n".encode())
    return connection


def length_of_the_rest(connection: socket.socket) -> int:
    received = 0
    try:
        while piece := connection.recv(2**20):
            received += len(piece)
    except ConnectionResetError:
        pass
    return received


def ended(server: RunningServer) -> None:
    """Wait until the log has the line of a GET of an object: nothing else tells when its request ended."""
    until = time.monotonic() + PATIENCE
    while not re.search(r'"method":"GET","route":"[^"]*/objects/', server.log.read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)


async def test_a_large_row_that_nobody_reads_is_given_up(vault: OpenedVault, impatient: RunningServer) -> None:
    object_id = new_id()
    assert (await vault.put(object_id, BODY)).status_code == 201
    with ask(vault, vault.url(object_id)) as silent:
        await asyncio.to_thread(ended, impatient)
        assert length_of_the_rest(silent) < len(BODY)
    assert len((await vault.get(vault.url(object_id))).content) > len(BODY)


async def test_large_rows_have_the_lanes_of_segments(app_client: Any, sign_in: Any) -> None:
    vault = await open_vault(app_client, await sign_in(app_client))
    small, large = new_id(), new_id()
    for object_id, body in ((small, b"x"), (large, BODY[: 2 * PART_BYTES])):
        assert (await vault.put(object_id, body)).status_code == 201
    lanes = app_client.app.application.application.state["services"].lanes
    session_id = parse_bearer(vault.headers["Authorization"], VAULT).secret_hash.hex()
    with ExitStack() as stack:
        for _ in range(MAX_BODIES_PER_SESSION):
            stack.enter_context(lanes.lane(vault.user_id, session_id))
        refused = await vault.get(vault.url(large))
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert (await vault.get(vault.url(small))).status_code == 200
    answer = await vault.get(vault.url(large))
    assert answer.content == bytes(vault.rows[large].encoded)


async def test_who_reads_slowly_gets_all_of_it(vault: OpenedVault) -> None:
    object_id, body = new_id(), BODY[: 5 * 2**20]
    assert (await vault.put(object_id, body)).status_code == 201
    pieces = []
    async with vault.client.stream("GET", vault.url(object_id), headers=vault.headers) as answer:
        async for piece in answer.aiter_raw(2**20):
            pieces.append(piece)
            await asyncio.sleep(0.9)  # the pace is what is tested: longer than a request in all, shorter for each piece
    assert b"".join(pieces) == bytes(vault.rows[object_id].encoded)


@pytest.mark.parametrize("kind", ["whole", "events"])
async def test_a_long_answer_is_handed_over_in_pieces_and_not_waited_for_without_end(kind: str) -> None:
    body = os.urandom(5 * ANSWER_PIECE // 2)
    sent: list[bytes] = []
    stuck = False

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if kind == "whole":
            await scope["hushtag.exchange"].answer(200, [], body)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.append(message.get("body", b""))
            assert message.get("more_body", False) == (len(b"".join(sent)) < len(body))
        if stuck and len(sent) == 2:
            await asyncio.Event().wait()

    scope: Any = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    edge = Edge(application, Metrics(), 0.2)
    await edge(dict(scope), receive, send)
    assert (b"".join(sent), max(map(len, sent))) == (body, ANSWER_PIECE)
    sent.clear()
    stuck = True
    await asyncio.wait_for(edge(dict(scope), receive, send), PATIENCE)
    assert len(sent) == 2


async def test_a_request_that_brought_all_it_has_is_not_told_that_its_body_is_missing() -> None:
    """GET has no body, and a route may read none: what took so long is not the client's fault."""

    async def application(*_: Any) -> None:
        await asyncio.Event().wait()

    async def nothing() -> Any:
        return await asyncio.Event().wait()

    async def answer_to(*headers: tuple[bytes, bytes]) -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope: Any = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}
        await asyncio.wait_for(Edge(application, Metrics(), 0.2)(scope, nothing, send), PATIENCE)
        return int(sent[0]["status"])

    assert await answer_to() == await answer_to((b"content-length", b"0")) == 503
    assert await answer_to((b"content-length", b"1")) == await answer_to((b"transfer-encoding", b"chunked")) == 408
