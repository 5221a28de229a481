"""A real `hushtag-server serve` process for tests, with an embedded database of its own."""

import atexit
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.migrate import migrate
from tests.canaries import WATCH
from tests.databases import stop_syncing
from tests.places import place_in_memory

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def temporary_directory(*, in_memory: bool = True) -> Iterator[Path]:
    """Yield an empty directory that the user who runs PostgreSQL can reach; removed afterwards.

    Not `in_memory`: on the disk, for what would fill the memory of a small machine.
    """
    directory = Path(tempfile.mkdtemp(prefix="hushtag-test-", dir=place_in_memory() if in_memory else "/tmp"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass
class RunningServer:
    """A real `hushtag-server serve` process."""

    process: subprocess.Popen[str]
    url: str
    data: Path
    log: Path

    def stop(self, sign: int = signal.SIGTERM) -> int:
        self.process.send_signal(sign)
        return self.process.wait(30)

    def end(self) -> None:
        """Stop it if it still runs, and let go of its output; what it said is searched for secrets."""
        if self.process.poll() is None:
            self._hear_metrics()
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for log in (self.log, self.data / "postgres.log"):
            if log.exists():
                WATCH.hear(f"the log {log.name}", log.read_text(errors="replace"))

    def _hear_metrics(self) -> None:
        try:
            answer = httpx.get(f"{self.url}/metrics", timeout=5)
        except httpx.HTTPError:
            return  # the test broke it or gave it a token; what it logged is still looked at
        WATCH.hear("/metrics", answer.text)


def _first_line(process: subprocess.Popen[str], log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([process.stdout], [], [], 0.2)[0]:
            line = process.stdout.readline()
            if line.startswith("{"):
                started: dict[str, Any] = json.loads(line)
                return started
    raise AssertionError(f"the server did not start: {log.read_text()[-2000:]}")


@functools.cache
def _prepared() -> Path:
    """What a first start makes of an empty data directory, before there are keys; made once per process."""
    directory = Path(tempfile.mkdtemp(prefix="hushtag-test-prepared-", dir=place_in_memory()))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    with EmbeddedPostgres(directory) as postgres:
        stop_syncing(postgres)
        migrate(postgres.owner_url)
    (directory / "postgres.log").unlink()
    return directory


def _prepare(data: Path) -> None:
    # cp, for it keeps the owner; a first start of its own is tested where it is the matter.
    subprocess.run(["cp", "-a", f"{_prepared()}/.", str(data)], check=True)


def start_server(
    data: Path, *arguments: str, first_start: bool = False, real_hashes: bool = False, **variables: str
) -> RunningServer:
    """Start a server with these variables, on a free port unless the arguments name one; the caller ends it.

    In an empty data directory the server finds a migrated database that skips the disk, unless it is to make its own:
    `first_start`. Passwords are hashed under parameters that cost nothing, unless they are to cost what they do:
    `real_hashes`.
    """
    if not first_start and "HUSHTAG_DATABASE_URL" not in variables and not any(data.iterdir()):
        _prepare(data)
    log = data / "server.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}
    module = "hushtag_server.cli" if real_hashes else "tests.cheap_server"
    command = [sys.executable, "-m", module, "serve", "--json", "--port", "0", *arguments]
    with log.open("a") as stderr:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            cwd=ROOT,
            env={**environment, "HUSHTAG_DATA": str(data), **variables},
        )
    server = RunningServer(process, "", data, log)
    try:
        server.url = _first_line(process, log)["url"]
    except BaseException:
        server.end()
        raise
    return server


def workers_of(server: int) -> list[psutil.Process]:
    """Return the children that this process spawned to serve; PostgreSQL and multiprocessing's tracker are others."""
    found = []
    for child in psutil.Process(server).children():
        with suppress(psutil.NoSuchProcess):
            if any("spawn_main" in word for word in child.cmdline()):
                found.append(child)
    return found


@contextmanager
def run_server(
    data: Path, *arguments: str, first_start: bool = False, real_hashes: bool = False, **variables: str
) -> Iterator[RunningServer]:
    """Run a server as `start_server` does."""
    server = start_server(data, *arguments, first_start=first_start, real_hashes=real_hashes, **variables)
    try:
        yield server
    finally:
        server.end()
