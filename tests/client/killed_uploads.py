"""Uploads of large objects whose client is killed, or whose network is cut, at random.

    python -m tests.client.killed_uploads --rounds 50 --mib 256

A killed client leaves nothing that can be seen; put again, the upload goes on with what was stored, and the bytes are
equal in the end. A cut network is waited for. A run prints its seed; `HUSHTAG_KILL_SEED=N` draws the same moments.
"""

import argparse
import hashlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from hushtag.client import Client, RetryPolicy, UploadPageFiles, Vault
from hushtag.phrase import draw_phrase
from hushtag.streams import SEGMENT_SIZE, StreamShape
from tests.live_server import run_server, temporary_directory

EMAIL, PASSWORD, PHRASE = "ada@example.org", "correct horse battery", draw_phrase().text
SETTINGS: Final = {"HUSHTAG_GUESS_CAPACITY": "10000"}
QUICK = RetryPolicy(first_pause=0.01, longest_pause=0.05, longest_wait=0.2, changes=60)
_WAIT: Final = 120.0


@dataclass
class Wire:
    """A way to the server that can be cut: it passes bytes on, and counts those towards the server."""

    port: int
    target: tuple[str, int]
    sent: int = 0
    cuts: int = 0
    _open: set[socket.socket] = field(default_factory=set)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection there is."""
        with self._turn:
            self.cuts += 1
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def serve(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.create_connection(self.target)
            with self._turn:
                self._open |= {near, far}
            for one, other, counted in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pass_on, args=(one, other, counted), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while piece := one.recv(256 * 1024):
                if counted:
                    with self._turn:
                        self.sent += len(piece)
                other.sendall(piece)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._turn:
            self._open -= {one, other}
        one.close()


@contextmanager
def wire(url: str) -> Iterator[Wire]:
    """Run a wire to the server."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = Wire(listening.getsockname()[1], (host, int(port)))
        thread = threading.Thread(target=running.serve, args=(listening,), daemon=True)
        thread.start()
        try:
            yield running
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            running.cut()
            thread.join(5)


@dataclass
class Uploads:
    """An account on a real server, and a file to put."""

    url: str
    place: Path
    mib: int
    draw: random.Random

    def __post_init__(self) -> None:
        self.place.mkdir(mode=0o700, exist_ok=True)
        self.file = self.place / "film"
        self.pages = UploadPageFiles(self.place / "state")
        with self.client(self.url) as client:
            client.sign_up(EMAIL, PASSWORD)
            client.log_in(EMAIL, PASSWORD)
            client.enrol(PHRASE)

    def client(self, url: str) -> Client:
        return Client(url, upload_pages=self.pages, retry=QUICK)

    def fresh_file(self) -> str:
        """Write other bytes, and return their digest."""
        self.file.unlink(missing_ok=True)
        digest = hashlib.blake2b()
        with self.file.open("wb") as file:
            for _ in range(self.mib):
                piece = self.draw.randbytes(1024 * 1024)
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    @contextmanager
    def vault(self, url: str) -> Iterator[Vault]:
        with self.client(url) as client:
            client.log_in(EMAIL, PASSWORD)
            with client.unlock(PHRASE) as vault:
                yield vault

    def check(self, vault: Vault, digest: str) -> None:
        """The vault holds the file, once and whole; then it is removed."""
        (entry,) = vault.list()
        self.remove_whole(vault, entry.object_id, digest)

    def remove_whole(self, vault: Vault, object_id: UUID, digest: str) -> None:
        """The object is the file, whole; then it is removed."""
        found = hashlib.blake2b()
        with vault.open(object_id) as file:
            while piece := file.read(SEGMENT_SIZE):
                found.update(piece)
        assert found.hexdigest() == digest
        vault.delete(object_id)

    def kill_client(self) -> str:
        """Put the file by a process of its own, kill it at random, look, put again; returns what happened."""
        digest = self.fresh_file()
        size = self.file.stat().st_size
        at = self.draw.randrange(size + SEGMENT_SIZE)
        with wire(self.url) as way:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.client.killed_uploads", "--child", way.url, str(self.place)],
                stdout=subprocess.PIPE,
                env={**os.environ, "HUSHTAG_TEST_PHRASE": PHRASE},
            )
            reached = _await_progress(child, at)
            if self.draw.random() < 0.5:
                time.sleep(self.draw.random() * 0.02)  # somewhere inside the next requests
            child.send_signal(signal.SIGKILL)
            child.wait(_WAIT)
            assert child.stdout is not None
            child.stdout.close()
        with wire(self.url) as way, self.vault(way.url) as vault:
            before = [entry.size for entry in vault.list()]
            assert before in ([], [size]), "an object is there whole or not at all"
            sent = way.sent
            vault.put(self.file)
            again = way.sent - sent
            sealed = StreamShape(size).sealed_size
            stored = max(0, reached // SEGMENT_SIZE) * SEGMENT_SIZE
            if before and len(entries := vault.list()) > 1:  # it was killed when it had done all: this is another put
                self.remove_whole(vault, entries[0].object_id, digest)
                again = 0
            assert again < sealed - stored + 2 * SEGMENT_SIZE, (
                f"{again} of {sealed} bytes sent again, {stored} were there"
            )
            if before:
                vault.list()
            self.check(vault, digest)
        return f"killed at {reached / size:4.0%}, sent {again / sealed:4.0%} afterwards{', was stored' * bool(before)}"

    def cut_network(self) -> str:
        """Put the file while the network is cut again and again."""
        digest, size = self.fresh_file(), self.file.stat().st_size
        marks = sorted(self.draw.randrange(size) for _ in range(4))
        with wire(self.url) as way, self.vault(way.url) as vault:

            def cut(done: int, _total: int) -> None:
                while marks and done >= marks[0]:
                    marks.pop(0)
                    threading.Timer(self.draw.random() * 0.05, way.cut).start()

            vault.put(self.file, on_progress=cut)
            self.check(vault, digest)
            return f"cut {way.cuts} times, sent {way.sent / StreamShape(size).sealed_size:4.0%} in all"


def _await_progress(child: "subprocess.Popen[bytes]", at: int) -> int:
    """Wait until the child has come so far, or ended; returns how far that is."""
    assert child.stdout is not None
    reached, deadline, rest = 0, time.monotonic() + _WAIT, b""
    while reached < at and time.monotonic() < deadline:
        if not select.select([child.stdout], [], [], 0.5)[0]:
            continue
        piece = os.read(child.stdout.fileno(), 4096)
        if not piece:
            return reached
        *lines, rest = (rest + piece).split(b"\n")
        reached = max([reached, *map(int, lines)])
    return reached


def child(url: str, place: Path) -> None:
    """The client that is killed: puts the file and tells how many bytes of it are stored."""
    with Client(url, upload_pages=UploadPageFiles(place / "state"), retry=QUICK) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(os.environ["HUSHTAG_TEST_PHRASE"]) as vault:
            vault.put(place / "film", on_progress=lambda done, _total: print(done, flush=True))


@contextmanager
def uploads(mib: int) -> Iterator[Uploads]:
    """A server, and an account on it."""
    seed = int(os.environ.get("HUSHTAG_KILL_SEED", random.SystemRandom().randrange(2**32)))
    print(f"HUSHTAG_KILL_SEED={seed}", flush=True)
    with temporary_directory(in_memory=mib < 64) as data, run_server(data, **SETTINGS) as server:
        yield Uploads(server.url, data / "client", mib, random.Random(seed))


def main() -> None:
    """Run the rounds, or be the child that is killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--child", nargs=2, metavar=("URL", "PLACE"))
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]))
        return
    with uploads(options.mib) as made:
        for number in range(1, options.rounds + 1):
            print(f"{number:3} client: {made.kill_client()}", flush=True)
        for number in range(1, options.rounds + 1):
            print(f"{number:3} network: {made.cut_network()}", flush=True)
    print(f"{2 * options.rounds} uploads of {options.mib} MiB: each was stored whole, none was seen before that")


if __name__ == "__main__":
    main()
