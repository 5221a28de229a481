"""Large objects: bytes through the server ÷ the same bytes through a plain endpoint, and that ÷ psycopg alone.

`python -m benchmarks.streams [--mib 1024] [--lanes 2] [--json]`. Each side moves the same segments of 16 MiB, up and
down, into and out of the same table of the same database, over as many connections at once. What is sent is random;
what comes back is compared by length here and by content in the tests.
"""

import argparse
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psutil
import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.figures import Figure, Measured, median_ratio
from benchmarks.plain_stage import database
from benchmarks.processes import free_port, running_program, running_server
from hushtag.messages import encode_binary
from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.tokens import token_hash

MIB = 1024 * 1024
SEGMENT = 16 * MIB
PART = MIB


class OpenVault(NamedTuple):
    """A vault that is unlocked: ids, and the token of its session."""

    user_id: UUID
    vault_id: UUID
    token: str


def open_vault(url: str) -> OpenVault:
    """Put an account with an unlocked vault into the tables, as sign-up, enrolment and unlock leave them.

    `url` must be one that row-level security does not bind, of a database on which a server has started.
    """
    user, vault, tag, key, session = (uuid4() for _ in range(5))
    secret = secrets.token_bytes(32)
    named: dict[str, Any] = {"user": user, "vault": vault, "tag": tag, "key": key, "session": session}
    sizes = {"b12": 12, "b16": 16, "b32": 32, "b40": 40, "b112": 112, "b188": 188, "b316": 316}
    named |= {name: secrets.token_bytes(size) for name, size in sizes.items()}
    named |= {"email": f"{user}@example.org", "hash": token_hash(secret).hex()}
    with psycopg.connect(url) as connection:
        for statement in (
            "INSERT INTO users (id, email, password_hash, phrase_salt, opaque_credential_id) VALUES (%(user)s,"
            " %(email)s, 'x', %(b16)s, %(b32)s)",
            "INSERT INTO user_sessions (user_id, id, token_hash, expires_at) VALUES (%(user)s, %(session)s, %(b32)s,"
            " now() + interval '1 day')",
            "INSERT INTO secret_tags (user_id, id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,"
            " sealed_label, public_key, server_key_id) VALUES (%(user)s, %(tag)s, %(b16)s, %(b16)s, %(b32)s, %(b188)s,"
            " 'hushtag-v1', 'name', %(b316)s, %(b32)s, (SELECT id FROM server_keys LIMIT 1))",
            "INSERT INTO vaults (user_id, id, head) VALUES (%(user)s, %(vault)s, %(b112)s)",
            "INSERT INTO wrapped_keys (user_id, id, tag_id, vault_id, wrapped_key) VALUES (%(user)s, %(key)s, %(tag)s,"
            " %(vault)s, %(b40)s)",
            "INSERT INTO opaque_sessions (user_id, session_id, user_session_id, tag_id, session_state, expires_at)"
            " VALUES (%(user)s, %(hash)s, %(session)s, %(tag)s, 'unlocked', now() + interval '1 day')",
        ):
            connection.execute(statement, named)
    return OpenVault(user, vault, "htv_" + encode_binary(user.bytes + secret))


class Wire:
    """One kept-alive connection that sends and receives bodies as fast as its peer does."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname or "", place.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(MIB)

    def exchange(self, method: str, path: str, token: str, body: bytes = b"") -> tuple[int, int]:
        """Return status and length of the answer's body, which is read and dropped."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode())
        if body:
            self._socket.sendall(body)
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionError("the server hung up")
            received += piece
        lines, _, rest = received.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        left = length - len(rest)
        while left > 0:
            left -= self._socket.recv_into(self._buffer)
        return int(lines.split(b" ", 2)[1]), length

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def in_lanes(url: str, lanes: int, segments: int, move: Callable[[Wire, int], None]) -> float:
    """Move all segments over so many connections at once; return MiB a second."""
    numbers = iter(range(segments))
    lock, failures = threading.Lock(), []

    def run() -> None:
        wire = Wire(url)
        try:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                move(wire, number)
        except Exception as error:
            failures.append(error)
        finally:
            wire.close()

    threads = [threading.Thread(target=run) for _ in range(lanes)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return segments * SEGMENT / MIB / (time.perf_counter() - begin)


def through_server(url: str, vault: OpenVault, lanes: int, segments: int, body: bytes) -> tuple[float, float]:
    """Return MiB a second up and down through the server's own routes."""
    base = f"/v1/vaults/{vault.vault_id}/streams/{uuid4()}/segments"

    def up(wire: Wire, number: int) -> None:
        status, _ = wire.exchange("PUT", f"{base}/{number}", vault.token, body)
        assert status == 201, status

    def down(wire: Wire, number: int) -> None:
        assert wire.exchange("GET", f"{base}/{number}", vault.token) == (200, SEGMENT)

    return in_lanes(url, lanes, segments, up), in_lanes(url, lanes, segments, down)


def through_plain(url: str, place: str, lanes: int, segments: int, body: bytes) -> tuple[float, float]:
    """Return MiB a second up and down through the plain endpoint."""
    ids = [uuid4() for _ in range(segments)]

    def up(wire: Wire, number: int) -> None:
        assert wire.exchange("PUT", f"/{place}/{ids[number]}", "-", body)[0] == 201

    def down(wire: Wire, number: int) -> None:
        assert wire.exchange("GET", f"/{place}/{ids[number]}", "-") == (200, SEGMENT)

    return in_lanes(url, lanes, segments, up), in_lanes(url, lanes, segments, down)


_INSERT = """
    INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes) VALUES (%s, %s, %s, %s, %s, %b)
"""
_SELECT = """
    SELECT bytes FROM segment_parts
    WHERE user_id = %s AND vault_id = %s AND stream_id = %s AND segment_id = %s AND part = %s
"""


def by_psycopg(url: str, ids: list[UUID], segments: int, body: bytes) -> tuple[float, float]:
    """Return MiB a second up and down of one connection, a transaction for each segment, a row for each MiB."""
    names = [uuid4() for _ in range(segments)]
    parts = [body[start : start + PART] for start in range(0, SEGMENT, PART)]
    with psycopg.connect(url) as connection:
        begin = time.perf_counter()
        for name in names:
            connection.execute("SELECT set_config('app.user_id', %s, true)", [str(ids[0])])
            for number, part in enumerate(parts):
                connection.execute(_INSERT, [*ids, name, number, part], prepare=True)
            connection.commit()
        up = time.perf_counter() - begin
        begin = time.perf_counter()
        for name in names:
            connection.execute("SELECT set_config('app.user_id', %s, true)", [str(ids[0])])
            for number in range(len(parts)):
                row = connection.execute(_SELECT, [*ids, name, number], prepare=True, binary=True).fetchone()
                assert row is not None
                assert len(row[0]) == PART
            connection.commit()
        down = time.perf_counter() - begin
    size = segments * SEGMENT / MIB
    return size / up, size / down


@contextmanager
def stage() -> Iterator[tuple[EmbeddedPostgres, OpenVault, list[UUID], str, str, psutil.Process]]:
    """Yield database, open vault, place of a stream in it, URLs of server and plain endpoint, and the server."""
    with database() as postgres:
        port = free_port()
        with (
            running_server(HUSHTAG_DATABASE_URL=postgres.app_url, HUSHTAG_REQUESTS_PER_ADDRESS="0") as (url, server),
            running_program("benchmarks.plain_streams", [str(port), postgres.app_url], port),
        ):
            vault = open_vault(postgres.admin_url)
            ids = [vault.user_id, vault.vault_id, uuid4()]
            with psycopg.connect(postgres.admin_url) as connection:
                connection.execute("INSERT INTO vault_streams (user_id, vault_id, id) VALUES (%s, %s, %s)", ids)
            yield postgres, vault, ids, url, f"http://127.0.0.1:{port}", server


def worker_memory(server: psutil.Process) -> int:
    """Return the resident bytes of the largest of the server's own processes."""
    family = [one for one in server.children(recursive=True) if "postgres" not in one.name()]
    most: int = max(one.memory_info().rss for one in family)
    return most


def peak_memory(sizes: Sequence[int], lanes: int) -> dict[str, float]:
    """Return the server's resident MiB before anything, and its peak while so many MiB go up and down."""
    body, found = os.urandom(SEGMENT), {}
    with stage() as (_, vault, _, url, _, server):
        found["before"] = worker_memory(server) / MIB
        for mib in sizes:
            peak, done = [0], threading.Event()

            def watch(peak: list[int] = peak, done: threading.Event = done) -> None:
                while not done.wait(0.05):
                    peak[0] = max(peak[0], worker_memory(server))

            watching = threading.Thread(target=watch)
            watching.start()
            through_server(url, vault, lanes, max(1, mib * MIB // SEGMENT), body)
            done.set()
            watching.join()
            found[f"{mib} MiB"] = peak[0] / MIB
    return found


def measure(mib: int, lanes: int, rounds: int) -> list[dict[str, float]]:
    """Return, for each round, MiB a second of every side up and down."""
    body, segments = os.urandom(SEGMENT), max(1, mib * MIB // SEGMENT)
    results = []
    with stage() as (postgres, vault, ids, url, plain, _):
        place = "/".join(map(str, ids))
        for _ in range(rounds):
            sides = {
                "server": through_server(url, vault, lanes, segments, body),
                "plain": through_plain(plain, place, lanes, segments, body),
                "psycopg": by_psycopg(postgres.app_url, ids, segments, body),
            }
            results.append(
                {
                    f"{name}_{way}": rate
                    for name, pair in sides.items()
                    for way, rate in zip(("up", "down"), pair, strict=True)
                }
            )
            with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
                connection.execute("UPDATE vault_streams SET state = 'ended' WHERE segment_count > 0")
                connection.execute("TRUNCATE segment_parts, vault_segments")
                connection.execute("CHECKPOINT")
    return results


def ratios(round_: dict[str, float]) -> dict[str, float]:
    """Return what the promises are about."""
    return {
        f"{upper}/{lower}_{way}": round_[f"{upper}_{way}"] / round_[f"{lower}_{way}"]
        for upper, lower in (("server", "plain"), ("plain", "psycopg"))
        for way in ("up", "down")
    }


def _encryption_rate(body: bytes, repeat: int = 8) -> float:
    # MiB a second of AES-256-GCM by itself.
    key, nonce = AESGCM(os.urandom(32)), os.urandom(12)
    started = time.perf_counter()
    for _ in range(repeat):
        key.encrypt(nonce, body, b"")
    return repeat * len(body) / MIB / (time.perf_counter() - started)


FLOORS = {
    "plain": "a plain streaming endpoint into the same table",
    "psycopg": "psycopg alone",
    "gcm": "AES-256-GCM of the same bytes",
}
LIMITS = {"server/plain": 0.8, "plain/psycopg": 0.6}
JUDGED_MIB = 1024
"""Smaller objects are over too soon for a rate: they are shown and not judged."""


def _figures(mib: int, rounds: list[dict[str, float]]) -> Iterator[Figure]:
    for upper, lower in (("server", "plain"), ("plain", "psycopg"), ("server", "gcm")):
        for way in ("up", "down"):
            yield median_ratio(
                f"{mib} MiB {way}: {'our stream' if upper == 'server' else 'plain endpoint'}",
                [one[f"{upper}_{way}"] for one in rounds],
                FLOORS[lower],
                [one["gcm" if lower == "gcm" else f"{lower}_{way}"] for one in rounds],
                unit="MiB/s",
                limit=LIMITS.get(f"{upper}/{lower}") if mib >= JUDGED_MIB else None,
                at_least=True,
            )


def measured(quick: bool) -> Measured:
    """Return 64 MiB and 1 GiB, up and down, over their floors, and the server's memory."""
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for mib, rounds in ((64, 1),) if quick else ((64, 3), (1024, 3)):
        found = measure(mib, 2, rounds)
        for one in found:
            one["gcm"] = _encryption_rate(os.urandom(SEGMENT))
        figures += _figures(mib, found)
        details[f"{mib} MiB"] = found
    details["server_memory_mib"] = peak_memory((64,) if quick else (64, 1024), 2)
    return Measured(figures, details)


def main() -> None:
    """Print the rates of each round and the medians of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--lanes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory", action="store_true", help="the server's peak at 64 MiB and at --mib instead")
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(peak_memory((64, arguments.mib), arguments.lanes)))
        return
    found = measure(arguments.mib, arguments.lanes, arguments.rounds)
    if arguments.json:
        print(json.dumps([{**one, **ratios(one)} for one in found]))
        return
    for one in found:
        print("  ".join(f"{name} {rate:.0f}" for name, rate in one.items()), "MiB/s")
        print("  ".join(f"{name} {ratio:.2f}" for name, ratio in ratios(one).items()))


if __name__ == "__main__":
    main()
