"""What the benchmarks of the plain side stand on: a throwaway database, accounts, text like people's, Hushtag itself.

The cluster keeps every durability default. Accounts and sessions are put into the tables as sign-up and login put them
there, because Argon2id would take longer than the benchmark; journal entries go through HTTP.
"""

import json
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import chain, islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import psutil
import psycopg

from benchmarks.load import Load, encode_request
from benchmarks.processes import running_server, temporary_directory, worker_of
from hushtag._common_words import COMMON_WORDS
from hushtag._words import WORDS as RARER_WORDS
from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.migrate import migrate
from hushtag_server.tokens import new_account_token

POOL_SIZE = 10
"""Database connections of each service's one worker: Hushtag's default."""
WORDS = 150
VOCABULARY = 20_000
BULK = 200
TAGS = [f"tag {number:02}" for number in range(12)]
FIRST_DAY = date(2020, 1, 1)
DAYS = 2000


class Account(NamedTuple):
    """A signed-in account."""

    user_id: UUID
    token: str


class Side(NamedTuple):
    """A running service: where it listens and the process that does its work."""

    name: str
    place: tuple[str, int]
    worker: psutil.Process


@contextmanager
def database(connections: int = 100, *, in_memory: bool = False) -> Iterator[EmbeddedPostgres]:
    """Yield a migrated database of this run alone."""
    with (
        temporary_directory(in_memory=in_memory) as directory,
        EmbeddedPostgres(directory, max_connections=connections) as postgres,
    ):
        migrate(postgres.owner_url)
        yield postgres


@contextmanager
def hushtag(postgres: EmbeddedPostgres, **variables: str) -> Iterator[Side]:
    """Run Hushtag with one worker on a database, under the role that row-level security binds."""
    settings = {"HUSHTAG_DATABASE_URL": postgres.app_url, "HUSHTAG_POOL_SIZE": str(POOL_SIZE), **variables}
    with running_server(**settings) as (url, server):
        address = urlsplit(url)
        yield Side("hushtag", (address.hostname or "", address.port or 80), worker_of(server))


def make_accounts(url: str, count: int) -> list[Account]:
    """Insert accounts, each with one session that is valid for a day (`url`: the superuser's)."""
    made = []
    with psycopg.connect(url) as connection:
        for _ in range(count):
            found = connection.execute(
                "INSERT INTO users (email, password_hash, phrase_salt, opaque_credential_id)"
                " VALUES (%s, 'none', %s, %s) RETURNING id",
                [f"{os.urandom(8).hex()}@example.org", os.urandom(16), os.urandom(32)],
            ).fetchone()
            assert found is not None
            token, secret_hash = new_account_token(found[0])
            connection.execute(
                "INSERT INTO user_sessions (user_id, token_hash, expires_at) VALUES (%s, %s, now() + interval '1 day')",
                [found[0], secret_hash],
            )
            made.append(Account(found[0], token))
    return made


def vocabulary() -> list[str]:
    """Return 20,000 different words, the most frequent first: English ones, then compounds of two."""
    compounds = (first + second for first in RARER_WORDS for second in RARER_WORDS[:40])
    return list(islice(dict.fromkeys(chain(COMMON_WORDS, RARER_WORDS, compounds)), VOCABULARY))


class Writer:
    """Writes entries whose words have log-uniform ranks: a word's frequency falls as 1/rank, as in real text (Zipf)."""

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self._words = vocabulary()

    def word(self, first_rank: int = 1, last_rank: int | None = None) -> str:
        """Return a word between two ranks."""
        last = last_rank or len(self._words)
        return self._words[int(first_rank * (last / first_rank) ** self._random.random()) - 1]

    def text(self, words: int) -> str:
        """Return so many words."""
        return " ".join(self.word() for _ in range(words))

    def journal(self) -> dict[str, Any]:
        """Return a new entry of about 850 characters with two tags."""
        day = FIRST_DAY + timedelta(days=self._random.randrange(DAYS))
        return {
            "title": self.text(6),
            "content": self.text(self._random.randrange(WORDS // 2, WORDS * 3 // 2)),
            "mood_rating": self._random.randrange(1, 11),
            "is_private": self._random.random() < 0.5,
            "entry_date": day.isoformat(),
            "tags": self._random.sample(TAGS, 2),
        }

    def choose(self, options: Sequence[str]) -> str:
        """Return one of them."""
        return self._random.choice(options)


def encode_bulk(account: Account, writer: Writer, size: int) -> bytes:
    """Return the request that makes `size` entries."""
    body = json.dumps({"journals": [writer.journal() for _ in range(size)]}).encode()
    return encode_request("POST", "/v1/journals/bulk", account.token, body)


async def ask_json(place: tuple[str, int], request: bytes, expected: int) -> Any:
    """Send one request over a connection of its own and return the JSON of its answer.

    Raises:
        RuntimeError: the answer has another status than expected.
    """
    load = await Load.connect(place, [[]])
    answer = await load.connections[0].ask(request)
    load.close()
    if answer.status != expected:
        raise RuntimeError(f"status {answer.status}: {answer.body[:500]!r}")
    return json.loads(answer.body)


async def fill(side: Side, accounts: Sequence[Account], entries: int) -> None:
    """Make `entries` journal entries for each account."""
    writer = Writer()
    for account in accounts:
        for _ in range(entries // BULK):
            await ask_json(side.place, encode_bulk(account, writer, BULK), 201)
