"""Memory of client and server while large objects go up and down: flat, from 64 MiB to 8 GiB.

    python -m benchmarks.stream_memory [--mib 64 512 8192] [--out benchmarks/results/stream_memory.json]

The client is a process of its own, which unlocks first (the stretch takes 64 MiB once) and puts a sparse file. What is
measured is the resident memory of the client, and of all processes of the server without PostgreSQL's, every 50 ms:
the most during each transfer, and how much that is above what they had before the first one.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from hushtag.client import Client
from hushtag.phrase import draw_phrase
from tests.live_server import run_server, temporary_directory

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
BOUND_MIB: Final = 64


class Watch:
    """The most memory that processes have while it runs."""

    def __init__(self, pid: int, *, children: bool) -> None:
        self._process = psutil.Process(pid)
        self._children = children
        self._over = threading.Event()
        self._most = 0
        threading.Thread(target=self._run, daemon=True).start()

    def now(self) -> int:
        processes = [self._process]
        if self._children:
            processes += self._process.children(recursive=True)
        total = 0
        for each in processes:
            with suppress(psutil.NoSuchProcess):  # PostgreSQL's own come and go
                total += 0 if "postgres" in each.name() else each.memory_info().rss
        return total

    def _run(self) -> None:
        while not self._over.wait(0.05):
            self._most = max(self._most, self.now())

    def most(self) -> int:
        """Return the most since the last call."""
        found, self._most = max(self._most, self.now()), 0
        return found

    def end(self) -> None:
        self._over.set()


def child(url: str, phrase: str) -> None:
    """The client: for each line `put PATH` or `get PATH` of its input, does that and says how long it took."""
    with Client(url) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(phrase) as vault:
            stored = vault.put(bytes(1_000_000), name="first")  # what is imported at first use is there before
            vault.get(stored.object_id)
            print("ready", flush=True)
            for line in sys.stdin:
                what, _, path = line.strip().partition(" ")
                started = time.perf_counter()
                if what == "put":
                    stored = vault.put(Path(path))
                else:
                    vault.get_to(stored.object_id, Path(path), force=True)
                print(time.perf_counter() - started, flush=True)
                if what == "get":
                    vault.delete(stored.object_id)


def measure(sizes: list[int], place: Path | None) -> dict[str, Any]:
    """Return the figures; `sizes` in MiB."""
    phrase = draw_phrase().text
    with temporary_directory(in_memory=False) as data, run_server(data) as server:
        with Client(server.url) as client:
            client.sign_up(EMAIL, PASSWORD)
            client.log_in(EMAIL, PASSWORD)
            client.enrol(phrase)
        command = [sys.executable, "-m", "benchmarks.stream_memory", "--child", server.url]
        running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PHRASE": phrase}
        )
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        watches = {"client": Watch(running.pid, children=False), "server": Watch(server.process.pid, children=True)}
        before = {name: watch.now() for name, watch in watches.items()}
        rows = []
        where = place or data
        for mib in sizes:
            source, target = where / "sparse", where / "fetched"
            with source.open("wb") as file:
                file.truncate(mib * 1024 * 1024)
            for what, path in (("put", source), ("get", target)):
                for watch in watches.values():
                    watch.most()
                print(what, path, file=running.stdin, flush=True)
                seconds = float(running.stdout.readline())
                most = {name: watch.most() for name, watch in watches.items()}
                rows.append(
                    {
                        "mib": mib,
                        "what": what,
                        "seconds": round(seconds, 2),
                        "mb_per_second": round(mib * 1.048576 / seconds, 1),
                        **{f"{name}_mib": most[name] >> 20 for name in most},
                        **{f"{name}_above_mib": (most[name] - before[name]) >> 20 for name in most},
                    }
                )
                print(rows[-1], file=sys.stderr, flush=True)
            assert target.stat().st_size == mib * 1024 * 1024
            target.unlink()
        running.stdin.close()
        running.wait(60)
        running.stdout.close()
        for watch in watches.values():
            watch.end()
    return {"machine": platform.platform(), "python": platform.python_version(), "transfers": rows}


def main() -> None:
    """Measure, and fail if either side took more than the bound."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mib", type=int, nargs="+", default=[64, 512, 8192])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--place", type=Path, help="directory of the files, with room for one of them")
    parser.add_argument("--child", metavar="URL")
    options = parser.parse_args()
    if options.child:
        child(options.child, os.environ["PHRASE"])
        return
    found = measure(options.mib, options.place)
    text = json.dumps(found, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)
    most = max(max(row["client_above_mib"], row["server_above_mib"]) for row in found["transfers"])
    sys.exit(f"{most} MiB, more than {BOUND_MIB}" if most >= BOUND_MIB else 0)


if __name__ == "__main__":
    main()
