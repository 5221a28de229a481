"""One embedded PostgreSQL: made on first start, recovered after a crash, stopped clean."""

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import psycopg

from hushtag_server.embedded.account import Account, owner_account
from hushtag_server.embedded.bootstrap import ADMIN, APP, DATABASE, OWNER, make_cluster, make_roles
from hushtag_server.embedded.failure import EmbeddedError
from hushtag_server.embedded.files import (
    Passwords,
    find_programs,
    load_passwords,
    lock_directory,
    prepare_directory,
    socket_directory,
)
from hushtag_server.processes import uninterrupted

__all__ = ["EmbeddedPostgres"]

_READY_WAIT: Final = timedelta(minutes=2)  # at least; recovery after a crash replays the log first
_RETRY_WAIT: Final = 20.0  # seconds a dying predecessor may hold its memory segment
_STOP_WAIT: Final = 60.0
_MAX_LOG: Final = 16 * 1024 * 1024
_log = logging.getLogger("hushtag.server")

# Errors must not repeat values: "terse" leaves out DETAIL (which quotes rows), "panic" leaves out statements.
_OPTIONS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
}


def _runs_cluster(pid: int, cluster: Path) -> bool:
    """Tell whether a process is the postmaster of this cluster: its command line names it."""
    try:
        return os.fsencode(cluster) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        # Gone; or no /proc here, and then PostgreSQL's own, more careful check decides.
        return not Path("/proc/self").exists()


class EmbeddedPostgres:
    """Context manager: enter starts PostgreSQL and waits until it answers, exit stops it clean.

    It is given up after `ready_wait`, or two minutes if that is less: stopped in a recovery, it would begin that anew.
    Inside: `owner_url` (migrations), `app_url` (the server), `admin_url` (superuser: dumps), `bin_dir`, `pid`.

    Raises (on enter):
        EmbeddedError: it cannot run here; the message names the next step.
    """

    def __init__(self, data_dir: Path, *, max_connections: int = 100, ready_wait: timedelta = _READY_WAIT) -> None:
        self.data = data_dir.absolute()
        self._ready_wait = max(ready_wait, _READY_WAIT).total_seconds()
        self._max_connections = max_connections
        self._stack = contextlib.ExitStack()
        self._stopping = threading.Event()
        self._spawning = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        with self._stack as stack:
            self._account: Account = owner_account(self.cluster)
            prepare_directory(self.data, self._account)
            stack.enter_context(lock_directory(self.data))
            self.bin_dir: Path = find_programs(self.data, self._account)
            self._passwords: Passwords = load_passwords(self.data)
            make_cluster(self.bin_dir, self.cluster, self._account, self._passwords)
            self._stop_predecessor()
            self._sockets: Path = stack.enter_context(socket_directory(self.data, self._account))
            stack.callback(self._stop)
            self._start()
            make_roles(self.url(ADMIN, "postgres"), self._passwords)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own directory (PGDATA), owned by the user that runs it."""
        return self.data / "postgres"

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        if self._process is None:
            raise EmbeddedError("PostgreSQL is not running")
        return self._process.pid

    def url(self, role: str, database: str = DATABASE) -> str:
        """Return the URL of a role ("postgres", "hushtag_owner", "hushtag_app"); it holds the password."""
        passwords = {ADMIN: self._passwords.admin, OWNER: self._passwords.owner, APP: self._passwords.app}
        return f"postgresql://{role}:{passwords[role]}@/{database}?host={quote(str(self._sockets), safe='')}"

    @property
    def admin_url(self) -> str:
        """URL of the superuser: bootstrap and dumps only."""
        return self.url(ADMIN)

    @property
    def owner_url(self) -> str:
        """URL of the owner of the tables: migrations only."""
        return self.url(OWNER)

    @property
    def app_url(self) -> str:
        """URL of the role the server serves with: it can bypass nothing."""
        return self.url(APP)

    def watch(self) -> None:
        """Start PostgreSQL again whenever it dies while it should run; returns at exit. Run it in a thread."""
        while not self._stopping.wait(0.2):
            if self._process is not None and self._process.poll() is not None and not self._stopping.is_set():
                _log.error("PostgreSQL has ended by itself; it is started again")
                try:
                    self._start()
                except EmbeddedError as error:  # tried again at the next turn
                    _log.error("PostgreSQL was not started again", extra={"error": [str(error)]})

    def _stop_predecessor(self) -> None:
        """Stop a postmaster whose server was killed. We hold the directory's lock, so nobody else's it can be."""
        pid_file = self.cluster / "postmaster.pid"
        try:
            lines = pid_file.read_text(encoding="utf-8").splitlines()
            if not _runs_cluster(int(lines[0]), self.cluster):
                # The id was given to a stranger, which PostgreSQL would take for a living postmaster. Backends that
                # outlived theirs are still noticed: their memory segment belongs to this directory.
                pid_file.unlink()
                return
        except (FileNotFoundError, IndexError, ValueError):
            return
        _log.warning("a server that was killed left its PostgreSQL running; it writes what it has, and is stopped")
        wait = ["-w", "-t", str(int(self._ready_wait))]
        self._account.run([self.bin_dir / "pg_ctl", "stop", "-D", self.cluster, "-m", "fast", *wait])

    def _start(self) -> None:
        give_up = time.monotonic() + _RETRY_WAIT
        while True:
            with self._spawning:  # what the watcher starts after the end, nobody would ever stop
                if self._stopping.is_set():
                    return
                with uninterrupted():  # one that runs is known
                    self._process = self._spawn()
            if self._wait_ready(self._process):
                return
            if self._stopping.is_set():
                return  # nobody waits for it any more, and its directory may be gone
            if self._process.poll() is None:
                raise EmbeddedError(
                    f"PostgreSQL was not ready after {self._ready_wait:.0f} s; if {self._log_path} shows a recovery "
                    "after a crash, give it the time with HUSHTAG_READY_WAIT"
                )
            if time.monotonic() > give_up:
                raise EmbeddedError(f"PostgreSQL did not start; see {self._log_path}: {self._log_tail()}")
            time.sleep(0.3)

    @property
    def _log_path(self) -> Path:
        return self.data / "postgres.log"

    def _log_tail(self) -> str:
        lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line for line in reversed(lines) if "FATAL" in line), "no reason given")

    def _spawn(self) -> "subprocess.Popen[bytes]":
        options = {
            **_OPTIONS,
            "unix_socket_directories": f'"{self._sockets}"',
            "max_connections": str(self._max_connections),
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        if self._log_path.exists() and self._log_path.stat().st_size > _MAX_LOG:
            self._log_path.rename(self._log_path.with_suffix(".log.1"))
        handle = os.open(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(  # noqa: S603  (our own program and arguments; no shell)
                [str(self.bin_dir / "postgres"), "-D", str(self.cluster), *flags],
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                # its own session: Ctrl-C in the terminal must stop the server first, then the database
                start_new_session=True,
                **self._account.process_options(),
            )
        finally:
            os.close(handle)

    def _wait_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        deadline = time.monotonic() + self._ready_wait
        while process.poll() is None and time.monotonic() < deadline:
            try:
                with psycopg.connect(self.url(ADMIN, "postgres"), connect_timeout=3):
                    return True
            except psycopg.OperationalError:
                time.sleep(0.05)
        return False

    def _stop(self) -> None:
        self._stopping.set()
        with self._spawning:
            process = self._process
        if process is None or process.poll() is not None:
            return
        for step in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, none
            process.send_signal(step)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_WAIT)
                return
