"""Objects of 1 KiB, 64 KiB and 1 MiB up and down: a real client beside a plain endpoint of the same server.

The plain endpoint (`benchmarks.plain_endpoint`) stores and streams the same number of bytes (the sealed, padded row's)
in the same process, with the same pool, into the same table, and checks nothing. Below it are two floors of its own:
psycopg alone, which puts the same row into the table and takes it out again without any HTTP, and AES-256-GCM alone,
which does to the same bytes what no client can be spared. Everything takes turns, object by object.

Small objects that are put together (`put_many`) stand beside as many puts, over loopback, where a round trip costs next
to nothing. Larger objects are streams, with figures of their own in `benchmarks.streams`.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.figures import Figure, Measured, median_ratio
from benchmarks.plain_stage import database
from benchmarks.processes import running_server
from hushtag.client import Client, NewObject, Vault
from hushtag.objects import ROW_OVERHEAD, padded_length
from hushtag.phrase import draw_phrase
from hushtag_server.embedded import EmbeddedPostgres

KIB: Final = 1024
SIZES: Final = {"1 KiB": KIB, "64 KiB": 64 * KIB, "1 MiB": KIB * KIB}
OBJECTS: Final = {"1 KiB": 150, "64 KiB": 100, "1 MiB": 40}
WARM_UP: Final = 5
TOGETHER: Final = 64
"""Objects of 1 KiB that are put in one change, and one by one."""
CHANGES: Final = 20
SEVERAL: Final = f"{TOGETHER} objects of 1 KiB up, together"
META: Final = 64
"""About what name, type and times of an object take inside the row."""
PASSWORD: Final = "correct horse battery"
FLOORS: Final = {
    "plain": "a plain streaming endpoint of the same server",
    "psycopg": "psycopg alone, same table",
    "gcm": "AES-256-GCM alone",
}
_INSERT: Final = """
    INSERT INTO vault_blobs (user_id, vault_id, object_id, wrapped_key_id, iv, ciphertext, auth_tag, content_size,
                             key_version, revision, row_digest)
    SELECT %(user)s, %(vault)s, %(object)s, k.id, %(iv)s, %(body)s, %(tag)s, %(size)s, 1, 1, %(digest)s
    FROM wrapped_keys k WHERE k.user_id = %(user)s AND k.vault_id = %(vault)s LIMIT 1
"""
_SELECT: Final = "SELECT ciphertext FROM vault_blobs WHERE user_id = %s AND vault_id = %s AND object_id = %s"


class Person:
    """Somebody with an open vault; `user_id` is read from the database, as the client has no use for it."""

    def __init__(self, url: str, email: str, admin_url: str) -> None:
        self.client = Client(url)
        self.client.sign_up(email, PASSWORD)
        self.client.log_in(email, PASSWORD)
        phrase = draw_phrase().text
        self.client.enrol(phrase)
        self.vault: Vault = self.client.unlock(phrase)
        with psycopg.connect(admin_url) as connection:
            found = connection.execute("SELECT user_id FROM vaults WHERE id = %s", [self.vault.vault_id]).fetchone()
        assert found is not None
        self.user_id: UUID = found[0]


class Plain:
    """Puts and gets rows through the plain endpoint, into the vault of somebody who does not use it otherwise."""

    def __init__(self, url: str, owner: Person) -> None:
        self._client = httpx.Client(base_url=url, headers={"Bench-User": str(owner.user_id)}, timeout=60)
        self._vault = owner.vault.vault_id

    def put(self, body: bytes) -> UUID:
        """Store a row."""
        row = uuid4()
        self._client.put(f"/plain/{self._vault}/{row}", content=body).raise_for_status()
        return row

    def get(self, row: UUID) -> bytes:
        """Return a row."""
        return self._client.get(f"/plain/{self._vault}/{row}").raise_for_status().content

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class Direct:
    """Puts and gets rows by psycopg alone, each in a transaction of its own, prepared and in binary."""

    def __init__(self, url: str, owner: Person) -> None:
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        self._connection.execute("SELECT set_config('app.user_id', %s, false)", [str(owner.user_id)])
        self._place = {"user": owner.user_id, "vault": owner.vault.vault_id, "iv": bytes(12), "tag": bytes(16)}

    def put(self, body: bytes) -> UUID:
        """Store a row."""
        row = uuid4()
        values = self._place | {"object": row, "body": body, "size": len(body) - 32, "digest": bytes(32)}
        self._connection.execute(_INSERT, values, binary=True)
        return row

    def get(self, row: UUID) -> bytes:
        """Return a row."""
        with self._connection.cursor(binary=True) as cursor:
            found = cursor.execute(_SELECT, [self._place["user"], self._place["vault"], row]).fetchone()
        assert found is not None
        body: bytes = found[0]
        return body

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def _stage() -> Iterator[tuple[Person, Plain, Direct]]:
    with database() as postgres, _server(postgres) as url:
        ada, max_ = (Person(url, f"{name}@example.org", postgres.admin_url) for name in ("ada", "max"))
        plain, direct = Plain(url, max_), Direct(postgres.app_url, max_)
        try:
            yield ada, plain, direct
        finally:
            plain.close()
            direct.close()
            for person in (ada, max_):
                person.client.close()


@contextmanager
def _server(postgres: EmbeddedPostgres) -> Iterator[str]:
    with running_server(1, "benchmarks.bench_server", HUSHTAG_DATABASE_URL=postgres.app_url) as (url, _):
        yield url


def _timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def _one(ada: Person, plain: Plain, direct: Direct, body: bytes, row: bytes) -> dict[str, tuple[float, ...]]:
    """Return the seconds of one put and of one get: ours, the plain endpoint's, psycopg's, AES-GCM's."""
    kept: dict[str, Any] = {}
    key, nonce = AESGCM(os.urandom(32)), os.urandom(12)

    def keep(name: str, action: Callable[[], object]) -> Callable[[], object]:
        return lambda: kept.__setitem__(name, action())

    up = (
        _timed(keep("ours", lambda: ada.vault.put(body, name="n"))),
        _timed(keep("plain", lambda: plain.put(row))),
        _timed(keep("direct", lambda: direct.put(row))),
        _timed(keep("sealed", lambda: key.encrypt(nonce, body, b""))),
    )
    down = (
        _timed(keep("read", lambda: ada.vault.get(kept["ours"].object_id).body)),
        _timed(keep("fetched", lambda: plain.get(kept["plain"]))),
        _timed(keep("selected", lambda: direct.get(kept["direct"]))),
        _timed(lambda: key.decrypt(nonce, kept["sealed"], b"")),
    )
    if (kept["read"], kept["fetched"], kept["selected"]) != (body, row, row):
        raise RuntimeError("what was stored did not come back")
    return {"up": up, "down": down}


def _together(ada: Person) -> tuple[float, float]:
    """Return the seconds in which as many small objects are put in one change, and one by one."""
    news = [NewObject(os.urandom(KIB), "n") for _ in range(TOGETHER)]
    return _timed(lambda: ada.vault.put_many(news)), _timed(
        lambda: [ada.vault.put(each.content, name=each.name) for each in news]
    )


def measure(part: float = 1.0) -> dict[str, Any]:
    """Return, by size and direction, bytes a second of each way; `part` of the objects is measured."""
    found: dict[str, Any] = {}
    with _stage() as (ada, plain, direct):
        for name, size in SIZES.items():
            body, row = os.urandom(size), os.urandom(padded_length(size + META) + ROW_OVERHEAD)
            count = max(4, int(OBJECTS[name] * part))
            samples = [_one(ada, plain, direct, body, row) for _ in range(WARM_UP + count)][WARM_UP:]
            for direction in ("up", "down"):
                ways = zip(*(sample[direction] for sample in samples), strict=True)
                rates = [[size / seconds / 1e6 for seconds in way] for way in ways]
                found[f"{name} {direction}"] = dict(zip(("ours", "plain", "psycopg", "gcm"), rates, strict=True))
        changes = [_together(ada) for _ in range(1 + max(4, int(CHANGES * part)))][1:]
        for way, seconds in zip(("together", "alone"), zip(*changes, strict=True), strict=True):
            found.setdefault(SEVERAL, {})[way] = [TOGETHER * KIB / each / 1e6 for each in seconds]
    return found


def figures_of(where: str, rates: dict[str, list[float]]) -> Iterator[Figure]:
    """Return the figures of one size and direction: ours over each floor, and the plain endpoint over psycopg."""
    if where == SEVERAL:
        yield median_ratio(where, rates["together"], "one by one", rates["alone"], unit="MB/s", at_least=True)
        return
    for floor in ("plain", "gcm"):
        name = f"object of {where}" if floor == "plain" else f"object of {where}, over its encryption"
        yield median_ratio(name, rates["ours"], FLOORS[floor], rates[floor], unit="MB/s", at_least=True)
    yield median_ratio(
        f"plain endpoint, {where}", rates["plain"], FLOORS["psycopg"], rates["psycopg"], unit="MB/s", at_least=True
    )


def measured(quick: bool) -> Measured:
    """Return every size, up and down, over its floors."""
    found = measure(0.1 if quick else 1.0)
    figures = [figure for where, rates in found.items() for figure in figures_of(where, rates)]
    medians = {
        where: {way: round(sorted(each)[len(each) // 2], 2) for way, each in rates.items()}
        for where, rates in found.items()
    }
    return Measured(figures, {"median_mb_per_second": medians})


if __name__ == "__main__":
    print(json.dumps(measured(len(sys.argv) > 1).details, indent=2))
