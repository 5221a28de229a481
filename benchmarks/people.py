"""Enrolled accounts for benchmarks of the vault: through HTTP, with the core's ceremonies and no stretch.

A phrase key is 32 random bytes here: what the server does for an unlock does not depend on how its client came by the
OPAQUE password. What a client computes (OPAQUE's Argon2id above all) is computed in other processes, off the clock.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec
import psycopg

from benchmarks.load import HEAD_END, KeptAlive, encode_request
from benchmarks.plain_stage import Account
from hushtag._opaque import finish_login, start_login
from hushtag.duress import derive_release
from hushtag.enrollment import start_enrollment
from hushtag.head import HEAD_LENGTH
from hushtag.keys import derive_vault_token
from hushtag.messages import (
    Candidate,
    FinishUnlock,
    Locate,
    Located,
    RegistrationStarted,
    StartUnlock,
    UnlockStarted,
    decode_binary,
    encode_binary,
)
from hushtag.types import KE2, LoginState, OpaquePassword, SessionKey

T = TypeVar("T")
ROW_BYTES = 316
_BUDGETS = "INSERT INTO unlock_budget (user_id, tokens) VALUES (%s, 10000) ON CONFLICT DO NOTHING"


class Enrolled(NamedTuple):
    """A signed-in account with one phrase, and the ids of what it opens."""

    account: Account
    password: bytes
    phrase_hash: str
    tag_id: UUID
    vault_id: UUID


class Begun(NamedTuple):
    """One unlock before its clock starts: the encoded locate, and what its later messages are made of."""

    who: Enrolled
    state: bytes
    ke1: str
    locate: bytes


class Started(NamedTuple):
    """One unlock after two messages, and the seconds they took."""

    begun: Begun
    answer: UnlockStarted
    seconds: float


def give_budgets(url: str, accounts: Sequence[Account]) -> None:
    """Let accounts that no sign-up made guess, as sign-up does."""
    with psycopg.connect(url) as connection:
        connection.cursor().executemany(_BUDGETS, [[account.user_id] for account in accounts])


def post(path: str, token: str, message: object) -> bytes:
    """Return the request that posts a message."""
    return encode_request("POST", path, token, msgspec.json.encode(message))


async def ask(connection: KeptAlive, request: bytes, kind: type[T]) -> T:
    """Send a request and return its message.

    Raises:
        RuntimeError: another status than 2xx.
    """
    answer = await connection.ask(request)
    if not 200 <= answer.status < 300:
        raise RuntimeError(f"status {answer.status}: {answer.body[:500]!r}")
    return msgspec.json.decode(answer.body, type=kind)


async def enrol(connection: KeptAlive, account: Account) -> Enrolled:
    """Enrol a phrase."""
    password = os.urandom(32).hex().encode()
    awaiting = start_enrollment(OpaquePassword(password))
    answer = await ask(connection, post("/v1/registrations", account.token, awaiting.message), RegistrationStarted)
    message = awaiting.finish(answer, label="").message
    await ask(connection, post("/v1/tags", account.token, message), dict[str, Any])
    return Enrolled(account, password, message.phrase_hash, message.tag_id, message.vault.vault_id)


def begin(who: Enrolled) -> Begun:
    """Make the first message of an unlock."""
    state, ke1 = start_login(OpaquePassword(who.password))
    locate = Locate(suite="hushtag-v1", elements=[encode_binary(ke1.blinded_element)])
    return Begun(who, state.expose(), encode_binary(ke1), post("/v1/unlock/locate", who.account.token, locate))


async def locate_and_start(connection: KeptAlive, begun: Begun) -> Started:
    """Send the first two messages and time them."""
    clock = time.perf_counter()
    located = await ask(connection, begun.locate, Located)
    candidate = Candidate(phrase_hash=begun.who.phrase_hash, ke1=begun.ke1)
    message = StartUnlock(session_id=located.session_id, candidates=[candidate])
    answer = await ask(connection, post("/v1/unlock/start", begun.who.account.token, message), UnlockStarted)
    return Started(begun, answer, time.perf_counter() - clock)


def proof(password: bytes, state: bytes, ke2: bytes) -> tuple[bytes, bytes, bytes]:
    """Return KE3, the release and the session key; this runs OPAQUE's Argon2id."""
    ke3, session_key, export_key = finish_login(OpaquePassword(password), LoginState(state), KE2(ke2))
    return bytes(ke3), derive_release(export_key).expose(), session_key.expose()


class Prover:
    """Computes proofs in processes of its own."""

    def __init__(self, processes: ProcessPoolExecutor) -> None:
        self._processes = processes

    def prove(self, started: Sequence[Started]) -> list[tuple[bytes, bytes]]:
        """Return, for each unlock, the encoded finish and the session key."""
        passwords = [each.begun.who.password for each in started]
        states = [each.begun.state for each in started]
        answers = [decode_binary(each.answer.ke2[0]) for each in started]
        proofs = self._processes.map(proof, passwords, states, answers, chunksize=4)
        return [
            (encode_finish(each, ke3, release), key) for each, (ke3, release, key) in zip(started, proofs, strict=True)
        ]


def encode_finish(started: Started, ke3: bytes, release: bytes) -> bytes:
    """Return the request that ends an unlock."""
    answer = started.answer
    message = FinishUnlock(
        session_id=answer.session_id,
        state=answer.state,
        candidate=0,
        ke3=encode_binary(ke3),
        release=encode_binary(release),
    )
    return post("/v1/unlock/finish", started.begun.who.account.token, message)


def vault_token(who: Enrolled, session_key: bytes) -> str:
    """Return the vault token that both sides derive."""
    secret = derive_vault_token(SessionKey(session_key)).expose()
    return "htv_" + encode_binary(who.account.user_id.bytes + secret)


def put_request(path: str, token: str, object_id: UUID, revision: int, generation: int, size: int = ROW_BYTES) -> bytes:
    """Return a put of a row of 316 bytes, or of `size`, which the server cannot tell from a sealed one."""
    lines = [
        f"PUT {path}/{object_id} HTTP/1.1",
        "Host: bench",
        f"Authorization: Bearer {token}",
        "Content-Type: application/octet-stream",
        f"Hushtag-Revision: {revision}",
        "Hushtag-Key-Version: 1",
        f"Hushtag-Generation: {generation}",
        f"Hushtag-Head: {encode_binary(os.urandom(HEAD_LENGTH))}",
        f"Content-Length: {size}",
    ]
    return "\r\n".join(lines).encode() + HEAD_END + os.urandom(size)


@contextmanager
def prover() -> Iterator[Prover]:
    """Yield something that proves on all cores; its processes end with the block."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as processes:
        yield Prover(processes)


async def side_by_side(
    connections: Sequence[KeptAlive], jobs: Sequence[Callable[[KeptAlive], Awaitable[T]]]
) -> list[T]:
    """Run the jobs in order, one on each connection at a time, and return their results in order."""
    results: dict[int, T] = {}
    waiting = iter(enumerate(jobs))

    async def work(connection: KeptAlive) -> None:
        for place, job in waiting:
            results[place] = await job(connection)

    await asyncio.gather(*(work(connection) for connection in connections))
    return [results[place] for place in range(len(jobs))]
