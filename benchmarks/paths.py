"""The paths of the server, each as something that a visitor does over one kept-alive connection, again and again."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from multiprocessing import get_context
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import psutil

from benchmarks.growth_rows import fill_vault, object_ids
from benchmarks.load import Answer, KeptAlive, Load, encode_request
from benchmarks.people import (
    ROW_BYTES,
    Enrolled,
    ask,
    begin,
    encode_finish,
    enrol,
    give_budgets,
    locate_and_start,
    proof,
    put_request,
    vault_token,
)
from benchmarks.plain_stage import Account, Side, Writer, database, fill, make_accounts
from benchmarks.processes import running_server, worker_of
from hushtag.messages import Unlocked, decode_binary
from hushtag_server.embedded import EmbeddedPostgres

__all__ = ["LONG_PATHS", "PATHS", "Stage", "Visitor", "keep_busy", "running_stage"]

VISITORS: Final = 16
OBJECTS: Final = 300
ENTRIES: Final = 200
LONG_ROW: Final = 1024 * 1024


class Visitor:
    """Somebody with an open vault of 300 objects, a journal of 200 entries, and a connection."""

    def __init__(self, connection: KeptAlive, who: Enrolled, provers: ProcessPoolExecutor, admin_url: str) -> None:
        self._connection, self._who, self._provers = connection, who, provers
        self._objects = object_ids(admin_url, who.account.user_id, who.vault_id)
        self._entries: list[str] = []
        self._writer = Writer(seed=3)
        self._token = ""
        self._generation = 0
        self._turn = 0
        self._revisions = dict.fromkeys(self._objects, 1)
        self._path = f"/v1/vaults/{who.vault_id}/objects"

    async def prepare(self) -> None:
        """Learn which entries there are, and open the vault."""
        listing = encode_request("GET", "/v1/journals?limit=100", self._who.account.token)
        answer = await self._connection.ask(listing)
        self._entries = [entry["id"] for entry in json.loads(answer.body)["journals"]]
        await self.unlock()

    async def _ask(self, request: bytes) -> None:
        answer = await self._connection.ask(request)
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"status {answer.status}: {answer.body[:500]!r}")
        self._turn += 1

    async def unlock(self) -> None:
        """Locate, start and finish; the proof is computed in another process."""
        started = await locate_and_start(self._connection, begin(self._who))
        ke2 = decode_binary(started.answer.ke2[0])
        proving = asyncio.get_running_loop().run_in_executor(
            self._provers, proof, self._who.password, started.begun.state, ke2
        )
        ke3, release, session_key = await proving
        unlocked = await ask(self._connection, encode_finish(started, ke3, release), Unlocked)
        self._token = vault_token(self._who, session_key)
        self._generation = unlocked.vaults[0].generation

    async def begin_unlock(self) -> None:
        """Locate and start, and never finish: what a worker can do of it, whatever clients can."""
        await locate_and_start(self._connection, begin(self._who))

    async def put(self) -> None:
        """Replace an object."""
        await self._put(self._objects[self._turn % len(self._objects)], ROW_BYTES)

    async def _put(self, chosen: UUID, size: int) -> None:
        self._generation += 1
        self._revisions[chosen] += 1
        revision = self._revisions[chosen]
        await self._ask(put_request(self._path, self._token, chosen, revision, self._generation, size))

    async def put_long(self) -> None:
        """Replace the first object by one of 1 MiB."""
        await self._put(self._objects[0], LONG_ROW)

    async def get_long(self) -> None:
        """Get the first object."""
        await self._ask(encode_request("GET", f"{self._path}/{self._objects[0]}", self._token))

    async def get(self) -> None:
        """Get an object."""
        chosen = self._objects[self._turn % len(self._objects)]
        await self._ask(encode_request("GET", f"{self._path}/{chosen}", self._token))

    async def list(self) -> None:
        """Get a page of 100 entries of the listing."""
        await self._ask(encode_request("GET", f"{self._path}?limit=100", self._token))

    async def list_whole(self) -> None:
        """Get all entries of the listing in one page."""
        await self._ask(encode_request("GET", f"{self._path}?limit=1000", self._token))

    async def list_rows(self) -> None:
        """Get a page of 100 entries with their rows."""
        await self._ask(encode_request("GET", f"{self._path}?limit=100&rows=short", self._token))

    async def journal_create(self) -> None:
        """Make a journal entry."""
        body = json.dumps(self._writer.journal()).encode()
        await self._ask(encode_request("POST", "/v1/journals", self._who.account.token, body))

    async def journal_get(self) -> None:
        """Get a journal entry."""
        chosen = self._entries[self._turn % len(self._entries)]
        await self._ask(encode_request("GET", f"/v1/journals/{chosen}", self._who.account.token))

    async def journal_list(self) -> None:
        """Get the newest 20 journal entries."""
        await self._ask(encode_request("GET", "/v1/journals?limit=20", self._who.account.token))


PATHS: Final[dict[str, Callable[[Visitor], Awaitable[None]]]] = {
    "unlock": Visitor.unlock,
    "object-put": Visitor.put,
    "object-get": Visitor.get,
    "object-list": Visitor.list,
    "journal-create": Visitor.journal_create,
    "journal-get": Visitor.journal_get,
    "journal-list": Visitor.journal_list,
}
# What is long: whether a copy or a digest holds the event loop. In this order: what the first stores, the second gets.
LONG_PATHS: Final[dict[str, Callable[[Visitor], Awaitable[None]]]] = {
    f"object-list, all {OBJECTS}": Visitor.list_whole,
    "object-list, with rows": Visitor.list_rows,
    "object-put, 1 MiB": Visitor.put_long,
    "object-get, 1 MiB": Visitor.get_long,
}


class Stage:
    """A running server with one worker (or more) and its visitors."""

    def __init__(self, server: psutil.Process, visitors: Sequence[Visitor], extra: KeptAlive) -> None:
        self.worker = worker_of(server)
        self.visitors = visitors
        self._extra = extra

    async def ask(self, method: str, path: str) -> Answer:
        """Ask something beside the visitors."""
        return await self._extra.ask(encode_request(method, path))


async def keep_busy(
    stage: Stage, path: Callable[[Visitor], Awaitable[None]], connections: int, seconds: float
) -> float:
    """Let so many visitors go this path over and over; return how often a second."""
    begun = time.monotonic()

    async def go(visitor: Visitor) -> int:
        done = 0
        while time.monotonic() - begun < seconds:
            await path(visitor)
            done += 1
        return done

    done = sum(await asyncio.gather(*(go(visitor) for visitor in stage.visitors[:connections])))
    return done / (time.monotonic() - begun)


async def _people(postgres: EmbeddedPostgres, side: Side, accounts: Sequence[Account]) -> list[Enrolled]:
    give_budgets(postgres.admin_url, accounts)
    load = await Load.connect(side.place, [[]])
    people = [await enrol(load.connections[0], account) for account in accounts]
    load.close()
    await fill(side, accounts, ENTRIES)
    for who in people:
        fill_vault(postgres.admin_url, who.account.user_id, who.vault_id, OBJECTS)
    return people


@asynccontextmanager
async def running_stage(workers: int = 1, visitors: int = 4, **variables: str) -> AsyncIterator[Stage]:
    """Run `benchmarks.bench_server` on a database of its own, with visitors whose vaults are open."""
    with ExitStack() as stack:
        postgres = stack.enter_context(database(connections=300))
        settings: dict[str, Any] = {"HUSHTAG_DATABASE_URL": postgres.app_url, **variables}
        url, server = stack.enter_context(running_server(workers, "benchmarks.bench_server", **settings))
        provers = stack.enter_context(ProcessPoolExecutor(2, get_context("spawn")))
        address = urlsplit(url)
        side = Side("hushtag", (address.hostname or "", address.port or 80), worker_of(server))
        people = await _people(postgres, side, make_accounts(postgres.admin_url, visitors))
        load = await Load.connect(side.place, [[]] * (visitors + 1))
        made = [
            Visitor(connection, who, provers, postgres.admin_url)
            for connection, who in zip(load.connections[1:], people, strict=True)
        ]
        for visitor in made:
            await visitor.prepare()
        try:
            yield Stage(server, made, load.connections[0])
        finally:
            load.close()
