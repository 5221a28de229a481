"""Servers as processes of their own, and what they use: CPU time by the scheduler's nanoseconds, resident memory."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

START_WAIT = 60.0  # seconds


def _clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Yield an empty directory that the user who runs PostgreSQL can reach; removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="hushtag-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def running_server(**variables: str) -> Iterator[tuple[str, psutil.Process]]:
    """Start a server with one worker; yield its URL and its main process.

    `variables` are HUSHTAG_* settings; without HUSHTAG_DATABASE_URL it has an embedded database of its own.
    """
    with temporary_directory() as directory:
        environment = _clean_environment() | {
            "HUSHTAG_DATA": f"{directory}/data",
            "HUSHTAG_GUESS_CAPACITY": "10000",
            "HUSHTAG_POOL_SIZE": "20",
            **variables,
        }
        command = [sys.executable, "-m", "hushtag_server.cli", "serve", "--json", "--port", "0", "--workers", "1"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"], psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)


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
        process.terminate()
        process.wait(30)


def worker_of(server: psutil.Process) -> psutil.Process:
    """Return the granian worker: the busiest Python child (PostgreSQL is none, the resource tracker idles)."""
    children = [child for child in server.children() if "python" in child.name()]
    return max(children, key=lambda child: sum(child.cpu_times()[:2]))


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
