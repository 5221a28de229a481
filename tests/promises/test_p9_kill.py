"""P9: what was acknowledged survives `kill -9`; what was not is there whole or not at all.

Covered: the server's whole process group, and separately the postmaster, killed at random moments inside puts (new
objects and replacements, 0 bytes to 200 KiB) of a real client on a real server with its embedded database. Afterwards
another client unlocks, verifies the listing against the head and opens everything.

Not covered: loss of power, disks that lie about fsync.

A run prints its seed; `HUSHTAG_KILL_SEED=N` draws the same puts to be killed and the same delays again.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest

from hushtag.client import Client, RetryPolicy, TransportError, UnavailableError, Vault
from hushtag.phrase import draw_phrase
from tests.server.conftest import _first_line, _temporary_directory

PUTS = 200
KILLS = 5
LONGEST_DELAY = 0.012  # seconds from the start of a put
SIZES = (0, 1, 300, 4096, 50_000, 200_000)
EMAIL, PASSWORD, PHRASE = "ada@example.org", "correct horse battery", draw_phrase().text
QUICK = RetryPolicy(reads=2, changes=4, first_pause=0.01, longest_pause=0.05)
SETTINGS = {"HUSHTAG_GUESS_CAPACITY": "10000", "HUSHTAG_POOL_WAIT": "1s"}


class KillableServer:
    """`hushtag-server serve` in a process group of its own; the database is in another one, as it always is."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._log = data / "server.log"
        self.url = self._start(port=0)

    def _start(self, port: int) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}
        command = [sys.executable, "-m", "hushtag_server.cli", "serve", "--json", "--port", str(port)]
        with self._log.open("a") as stderr:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**environment, **SETTINGS, "HUSHTAG_DATA": str(self._data)},
                start_new_session=True,
            )
        url: str = _first_line(self._process, self._log)["url"]
        return url

    def kill(self) -> None:
        """Kill the server and its workers; the postmaster is left behind."""
        # Workers have sessions of their own, so no one signal reaches all: the supervisor first, or it would respawn.
        supervisor = psutil.Process(self._process.pid)
        workers = [child for child in supervisor.children(recursive=True) if "postgres" not in child.name()]
        for process in (supervisor, *workers):
            process.kill()

    def restart(self) -> None:
        """Start again on the same directory and the same port."""
        self._forget()
        assert self._start(port=int(self.url.rsplit(":", 1)[1])) == self.url

    def postmaster(self) -> int:
        return int((self._data / "postgres/postmaster.pid").read_text().split("\n", 1)[0])

    def await_another_postmaster(self, killed: int) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError, FileNotFoundError, ValueError):
                if self.postmaster() != killed and httpx.get(f"{self.url}/health/ready").status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"PostgreSQL did not come back: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._forget()

    def _forget(self) -> None:
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def server() -> Iterator[KillableServer]:
    with _temporary_directory() as directory:
        directory.chmod(0o755)
        running = KillableServer(directory)
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("HUSHTAG_KILL_SEED") or random.SystemRandom().randrange(2**32))
    print(f"HUSHTAG_KILL_SEED={seed}")
    return random.Random(seed)


@dataclass
class Ledger:
    """What the server said yes to, and what it never answered."""

    acknowledged: dict[str, bytes] = field(default_factory=dict)
    ids: dict[str, UUID] = field(default_factory=dict)
    doubtful: dict[str, bytes] = field(default_factory=dict)

    def put(self, vault: Vault, number: int, chance: random.Random) -> bool:
        """Put a new object or, one time in four, the next revision of one; tell whether it was acknowledged."""
        name, replaced = f"object {number}", None
        body = chance.randbytes(chance.choice(SIZES))
        settled = [known for known in self.ids if known not in self.doubtful]
        if settled and chance.random() < 0.25:
            name = chance.choice(settled)
            replaced = self.ids[name]
        try:
            stored = vault.put(body, name=name, replace=replaced)
        except (TransportError, UnavailableError):
            self.doubtful[name] = body
            return False
        self.acknowledged[name] = body
        self.ids[name] = stored.object_id
        return True


def put_while_killing(
    server: KillableServer, vault: Vault, chance: random.Random, kill: Callable[[], Callable[[], None]]
) -> Ledger:
    """Make the puts; at `KILLS` of them `kill()` runs beside the put, and what it returned repairs afterwards."""
    ledger = Ledger()
    moments = {number: chance.uniform(0, LONGEST_DELAY) for number in chance.sample(range(5, PUTS), KILLS)}
    for number in range(PUTS):
        if number not in moments:
            # Only a kill excuses a put: between them the server must answer.
            assert ledger.put(vault, number, chance), f"put {number} failed although nothing was killed"
            continue
        repairs: list[Callable[[], None]] = []
        killer = threading.Timer(moments[number], lambda found=repairs: found.append(kill()))
        killer.start()
        answered = ledger.put(vault, number, chance)
        killer.join()
        print(f"put {number}: killed after {moments[number] * 1000:.1f} ms, acknowledged: {answered}")
        [repair] = repairs
        repair()
    return ledger


def check_with_a_fresh_unlock(server: KillableServer, ledger: Ledger) -> None:
    """Open everything from another client and hold it against the ledger."""
    with Client(server.url) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(PHRASE) as vault:
            entries = vault.list()  # raises unless it is what the head sums up
            assert vault.object_count == len(entries)
            found = {entry.name: vault.get(entry.object_id).body for entry in entries}
    assert len(found) == len(entries), "one put became two objects"
    assert set(ledger.acknowledged) <= set(found), "an acknowledged object is gone"
    for name, body in found.items():
        allowed = [known[name] for known in (ledger.acknowledged, ledger.doubtful) if name in known]
        assert body in allowed, f"{name} holds bytes that nobody put"


def run_promise(server: KillableServer, chance: random.Random, kill: Callable[[], Callable[[], None]]) -> None:
    with Client(server.url, retry=QUICK) as client:
        client.sign_up(EMAIL, PASSWORD)
        client.log_in(EMAIL, PASSWORD)
        client.enrol(PHRASE)
        with client.unlock(PHRASE) as vault:
            ledger = put_while_killing(server, vault, chance, kill)
    print(f"{len(ledger.acknowledged)} objects acknowledged, {len(ledger.doubtful)} puts in doubt")
    check_with_a_fresh_unlock(server, ledger)


def test_acknowledged_objects_survive_a_killed_server_and_no_half_is_visible(
    server: KillableServer, chance: random.Random
) -> None:
    def kill() -> Callable[[], None]:
        server.kill()
        return server.restart

    run_promise(server, chance, kill)


def test_acknowledged_objects_survive_a_killed_postgres_and_no_half_is_visible(
    server: KillableServer, chance: random.Random
) -> None:
    def kill() -> Callable[[], None]:
        killed = server.postmaster()
        os.kill(killed, signal.SIGKILL)
        return lambda: server.await_another_postmaster(killed)

    run_promise(server, chance, kill)
