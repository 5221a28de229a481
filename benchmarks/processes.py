"""Servers as processes of their own, and what they use: CPU time by the scheduler's nanoseconds, resident memory."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil

from tests.places import place_in_memory

START_WAIT = 60.0  # seconds
STOP_WAIT = 120.0
ANNOUNCE_WAIT = 120.0


def _on_signal(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def end_in_order() -> None:
    """Make SIGTERM raise where the main thread is, so that what was started is ended on the way out.

    Without it the databases and servers of a benchmark outlive it. Called by everything here that starts something.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_signal)


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}


@contextmanager
def temporary_directory(*, in_memory: bool = False) -> Iterator[Path]:
    """Yield an empty directory that the user who runs PostgreSQL can reach; removed afterwards.

    `in_memory`: where there is plenty of it, so that no figure depends on how long the disk takes.
    """
    end_in_order()
    place = place_in_memory() if in_memory else None
    with tempfile.TemporaryDirectory(prefix="hushtag-bench-", dir=place, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _end(process: "subprocess.Popen[Any]") -> None:
    process.terminate()
    try:
        process.wait(STOP_WAIT)
    except subprocess.TimeoutExpired:  # on a machine that hardly lets it run
        process.kill()
        process.wait()


@contextmanager
def running_server(
    workers: int = 1, program: str = "hushtag_server.cli", /, **variables: str
) -> Iterator[tuple[str, psutil.Process]]:
    """Start a server; yield its URL and its main process.

    `program` is the module that is run: `benchmarks.bench_server` has a plain endpoint and instruments besides.

    `variables` are HUSHTAG_* settings; without HUSHTAG_DATABASE_URL it has an embedded database of its own.
    """
    with temporary_directory() as directory:
        environment = _clean_environment() | {
            "HUSHTAG_DATA": f"{directory}/data",
            "HUSHTAG_GUESS_CAPACITY": "10000",
            "HUSHTAG_HEAD_TIMEOUT": "600s",  # connections lie idle while another server has its turn
            "HUSHTAG_POOL_SIZE": "20",
            **variables,
        }
        command = [sys.executable, "-m", program, "serve", "--json", "--port", "0", "--workers", str(workers)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        ) as process:
            try:
                assert process.stdout is not None
                # A server that is not ready in a minute serves, but never says so: nobody should wait for that.
                if not select.select([process.stdout], [], [], ANNOUNCE_WAIT)[0]:
                    raise RuntimeError("the server did not say that it listens; is the machine overloaded?")
                yield json.loads(process.stdout.readline())["url"], psutil.Process(process.pid)
            finally:
                _end(process)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def running_program(module: str, arguments: Sequence[str], port: int, **variables: str) -> Iterator[psutil.Process]:
    """Run `python -m MODULE ARGUMENTS` until the block ends; yield the process once it listens on `port`."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.DEVNULL,
        env=_clean_environment() | variables,
    )
    try:
        deadline = time.monotonic() + START_WAIT
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{module} does not listen")
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        _end(process)


def workers_of(server: psutil.Process, count: int) -> list[psutil.Process]:
    """Return the granian workers, whatever they call themselves: the busiest children but PostgreSQL."""
    children = [child for child in server.children() if child.name() != "postgres"]
    return sorted(children, key=lambda child: sum(child.cpu_times()[:2]), reverse=True)[:count]


def worker_of(server: psutil.Process) -> psutil.Process:
    """Return the one worker of a server."""
    return workers_of(server, 1)[0]


def cpu_us(process: psutil.Process) -> float:
    """Return the microseconds of CPU a process has used: the scheduler's nanoseconds, or else the 10 ms ticks."""
    try:
        threads = Path(f"/proc/{process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1000
    except (OSError, ValueError):
        return float(sum(process.cpu_times()[:2])) * 1e6


def cpu_by_process(processes: Iterable[psutil.Process]) -> Mapping[int, float]:
    """Return the microseconds each process that still lives has used, by process id."""
    used = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            used[process.pid] = cpu_us(process)
    return used


def cpu_since(before: Mapping[int, float], processes: Iterable[psutil.Process]) -> float:
    """Return the microseconds these processes have used since `before`; new ones count whole, ended ones not."""
    return sum(used - before.get(pid, 0.0) for pid, used in cpu_by_process(processes).items())


def resident_mib(process: psutil.Process) -> float:
    """Return the resident memory of a process in MiB."""
    return float(process.memory_info().rss) / 2**20


def machine_us() -> float:
    """Return the microseconds of CPU that all processes of the machine have used, to 10 ms."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)) * 1e6
