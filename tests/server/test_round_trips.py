"""How often a request waits for the database, counted on the wire; and what it computes beside the event loop.

A proxy stands between the server and PostgreSQL. Whenever the server says something after PostgreSQL has spoken, that
is one more round trip, however many statements, pipelines or packets it is made of.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID

import msgspec
import pytest

from hushtag.messages import Located, Unlocked, UnlockStarted
from hushtag.objects import ObjectRow, row_digest
from hushtag.types import OpaquePassword
from hushtag.unlock import start_unlock
from hushtag_server.accounts import passwords
from hushtag_server.security_log.sealer import Sealer
from hushtag_server.vault import routes_objects
from hushtag_server.wire import made_in_turns
from tests.server.vault_support import OpenedVault, enrol, new_id, new_password, same_password, send

pytestmark = pytest.mark.anyio

LIMITS = {
    "locate": 2,
    "start": 2,
    "finish": 3,
    "put": 2,
    "replace": 2,
    "put_several": 2,
    "list": 1,
    "get": 1,
    "delete": 2,
    "delete_several": 2,
}
Note = Callable[[str], None]
SOCKET = ".s.PGSQL.5432"
MIB = 1024 * 1024


class Wire:
    """Passes bytes on and counts round trips of all connections together."""

    def __init__(self, postgres: Path) -> None:
        self.round_trips = 0
        self._postgres = postgres
        self._open: set[asyncio.StreamWriter] = set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the server."""
        answers, requests = await asyncio.open_unix_connection(str(self._postgres))
        self._open |= {writer, requests}
        answered = [True]

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, from_server: bool) -> None:
            while piece := await source.read(65536):
                if from_server and answered[0]:
                    self.round_trips += 1
                answered[0] = not from_server
                target.write(piece)
                await target.drain()
            target.close()

        await asyncio.gather(pass_on(reader, requests, True), pass_on(answers, writer, False), return_exceptions=True)

    def close(self) -> None:
        """Close what is still open."""
        for writer in self._open:
            writer.close()


@pytest.fixture
async def wire(settings, data_directory: Path) -> AsyncIterator[Wire]:
    directory = Path(parse_qs(urlsplit(settings.database_url).query)["host"][0])
    passing = Wire(directory / SOCKET)
    server = await asyncio.start_unix_server(passing.connect, data_directory / SOCKET)
    yield passing
    server.close()
    passing.close()


@pytest.fixture
async def client(wire, settings, keys, data_directory, serve_in_process, monkeypatch) -> AsyncIterator[Any]:
    """The application behind the proxy; what seals the log in the background does not, as it would be counted too."""
    monkeypatch.setattr(Sealer, "kick", lambda _: None)
    base, _, _ = settings.database_url.partition("?")
    through = replace(settings, database_url=f"{base}?host={quote(str(data_directory), safe='')}", guess_capacity=1000)
    async with serve_in_process(through, keys) as served:
        yield served


async def _go_through(client: Any, somebody: Any, password: OpaquePassword, size: int, note: Note) -> None:
    """Unlock, then store, replace and read an object of `size` bytes; `note` is told each answer's name."""
    locating = start_unlock((same_password(password),))
    answer = await send(client, somebody.headers, "/v1/unlock/locate", locating.message)
    note("locate")
    proving = locating.finish(msgspec.json.decode(answer.content, type=Located))
    answer = await send(client, somebody.headers, "/v1/unlock/start", proving.message)
    note("start")
    finishing = proving.finish(msgspec.json.decode(answer.content, type=UnlockStarted))
    answer = await send(client, somebody.headers, "/v1/unlock/finish", finishing.message)
    note("finish")
    tag = finishing.finish(msgspec.json.decode(answer.content, type=Unlocked))
    vault = OpenedVault(client, UUID(somebody.user_id), tag, tag.vaults[0].head)
    object_id = new_id()
    assert (await vault.put(object_id, bytes(size))).status_code == 201
    note("put")
    assert (await vault.put(object_id, bytes(size), revision=2)).status_code == 200
    note("replace")
    assert (await vault.put_several(vault.several({new_id(): bytes(100) for _ in range(20)}))).status_code == 200
    note("put_several")
    assert (await vault.get(f"{vault.url()}/objects")).status_code == 200
    note("list")
    assert (await vault.get(vault.url(object_id))).status_code == 200
    note("get")
    assert (await vault.delete(object_id, revision=2)).status_code == 200
    note("delete")
    assert (await vault.delete_several(vault.several_deletions(list(vault.rows)))).status_code == 200
    note("delete_several")


@pytest.mark.parametrize("size", [100, MIB])
async def test_no_request_waits_for_the_database_more_often_than_it_may(client, wire, sign_in, size) -> None:
    somebody, password = await sign_in(client), new_password()
    await enrol(client, somebody.headers, password)
    counted: dict[str, int] = {}

    def note(name: str) -> None:
        counted[name] = wire.round_trips
        wire.round_trips = 0

    for _ in range(2):  # the first time, connections are made and statements prepared
        wire.round_trips = 0
        await _go_through(client, somebody, password, size, note)
    assert counted.keys() == LIMITS.keys()
    assert all(0 < counted[name] <= most for name, most in LIMITS.items()), counted


async def test_a_long_page_is_made_in_turns_with_other_requests() -> None:
    done: list[int | str] = []

    async def another_request() -> None:
        done.append("another")

    def make(number: int) -> int:
        done.append(number)
        return -number

    waiting = asyncio.create_task(another_request())
    assert await made_in_turns(range(500), make, 200) == [-number for number in range(500)]
    assert done.index("another") == 200
    await waiting
    assert await made_in_turns([], make, 200) == []


async def test_what_is_long_is_computed_beside_the_event_loop(app_client, sign_in, monkeypatch) -> None:
    """Account passwords, and the digest of a long row; how long each callback takes, `make profiles` measures."""
    here = threading.current_thread()
    computed: dict[str, set[bool]] = {}

    def told(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            computed.setdefault(name, set()).add(threading.current_thread() is here)
            return work(*arguments)

        return run

    hasher = SimpleNamespace(
        hash=told("hash", passwords._HASHER.hash),
        verify=told("verify", passwords._HASHER.verify),
        check_needs_rehash=passwords._HASHER.check_needs_rehash,
    )
    monkeypatch.setattr(passwords, "_HASHER", hasher)

    def digest(row: ObjectRow) -> bytes:
        return told("digest of a long row" if len(row.encoded) > MIB else "digest of a short row", row_digest)(row)

    monkeypatch.setattr(routes_objects, "row_digest", digest)
    somebody, password = await sign_in(app_client), new_password()
    await enrol(app_client, somebody.headers, password)
    for size in (100, MIB):
        await _go_through(app_client, somebody, password, size, lambda _: None)
    assert computed == {
        "hash": {False},
        "verify": {False},
        "digest of a short row": {True},
        "digest of a long row": {False},
    }
