"""`hushtag-server serve`: database, migrations, keys, then granian; and the way back when it ends."""

import asyncio
import contextlib
import errno
import http.client
import json
import multiprocessing
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NoReturn

import psycopg

from hushtag._opaque import ServerSetup
from hushtag_server.database import check_role, missing_migrations
from hushtag_server.errors import StartError
from hushtag_server.keyfile import ensure_keys, present_keys
from hushtag_server.migrate import migrate
from hushtag_server.observability import configure_logging, log_config
from hushtag_server.pool import make_pool
from hushtag_server.security_log.checkpoint_file import check_checkpoints
from hushtag_server.settings import Settings, to_environment
from hushtag_server.streams.stores import IN_DATABASE, SegmentStores

__all__ = ["check_database", "check_store", "reachable_database", "serve"]

_TARGET: Final = "hushtag_server.worker:from_environment"
_SPARE_CONNECTIONS: Final = 20  # start-up checks, dumps, PostgreSQL's own reserve
_SPARE_FILES: Final = 512  # database connections, logs, temporary files of imports
_READY_BYTES: Final = 4096
# glibc's, for the workers: memory of a long row is used again for the next one. By default, it goes back to the system
# after each, and every page of the next is a fault that holds the event loop up; the peak is the same.
_ALLOCATOR: Final = {"MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024), "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024)}


def _make_setup() -> bytes:
    return ServerSetup.generate().expose()


def _on_signal(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def reachable_database(settings: Settings) -> Iterator[Settings]:
    """Yield the settings with a database URL: the given one, or that of an embedded database that runs meanwhile.

    Raises:
        EmbeddedError: the embedded PostgreSQL cannot run here.
    """
    if settings.database_url is not None:
        yield settings
        return
    from hushtag_server.embedded import EmbeddedPostgres  # only here: it is an extra of its own

    connections = settings.workers * (settings.pool_size + 1) + _SPARE_CONNECTIONS
    with EmbeddedPostgres(settings.data, max_connections=connections, ready_wait=settings.ready_wait) as postgres:
        migrate(postgres.owner_url)
        threading.Thread(target=postgres.watch, name="postgres-watch", daemon=True).start()
        yield replace(settings, data=settings.data.absolute(), database_url=postgres.app_url)


async def _check(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, connect_timeout=10) as connection:
        await check_role(connection)
        if missing := await missing_migrations(connection):
            raise StartError(f"the database lacks {', '.join(missing)}; run `hushtag-server migrate` as its owner")


def check_database(url: str) -> None:
    """Refuse a database that is not migrated, or a role that row-level security does not bind.

    Raises:
        StartError: says which, and the next step.
    """
    asyncio.run(_check(url))


async def _claim(url: str, settings: Settings) -> None:
    async with make_pool(url, replace(settings, pool_size=1)) as pool:
        await SegmentStores(settings).start(pool, strict=True)


def check_store(url: str, settings: Settings) -> None:
    """Refuse an object store that does not answer, or is another installation's.

    Raises:
        StartError: says what is wrong with it.
    """
    if settings.segment_store != IN_DATABASE:
        asyncio.run(_claim(url, settings))


@contextlib.contextmanager
def _bound(host: str, port: int, option: int) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, option, 1)
        holder.bind((host, port))
        yield int(holder.getsockname()[1])


@contextlib.contextmanager
def _reserved_port(host: str, port: int) -> Iterator[int]:
    """Yield the port, or a free one for port 0; held by a socket that never listens, so that nobody else takes it.

    Raises:
        StartError: something listens there already, or nothing can.
    """
    try:
        ip_address(host)
        # Alone at first: workers share the port, and would share it with those of another server too. Connections of
        # a server that was stopped just now are in nobody's way.
        with _bound(host, port, socket.SO_REUSEADDR) as found:
            pass
    except ValueError:
        raise StartError(f"HUSHTAG_HOST: {host} is no address; name one of this host's, as 127.0.0.1 or ::1") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"something listens on {host}, port {port}, already; take another --port") from None
        raise StartError(f"cannot listen on {host}, port {port}: {error.strerror}; see --host and --port") from None
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # connections of another program that was stopped: the workers may still
            stack.enter_context(_bound(host, found, socket.SO_REUSEPORT))
        yield found


def _missing(host: str, port: int) -> str:
    """Return what the server waits for; nothing if it is ready."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        if answer.status == http.HTTPStatus.OK:
            return ""
        parts = json.loads(answer.read(_READY_BYTES))
        lacking = [name for name, there in parts.items() if not there and name != "ready"]
        return f"a worker answers, but has not: {', '.join(lacking)}"
    except (OSError, http.client.HTTPException):
        return f"no worker answers on {host}:{port}"
    except (ValueError, TypeError, AttributeError):
        return f"what answers on {host}:{port} is not this server"
    finally:
        connection.close()


class _Announcement:
    """Says where the server listens once it does, and ends it if that takes too long."""

    def __init__(self, settings: Settings, port: int, as_json: bool, *, embedded: bool) -> None:
        self._settings, self._port, self._as_json, self._embedded = settings, port, as_json, embedded
        self.given_up = ""
        """What was waited for in vain."""

    def run(self) -> None:
        """Wait until the server is ready, or no longer."""
        settings = self._settings
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  (a comparison)
        url = f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"
        deadline = time.monotonic() + settings.ready_wait.total_seconds()
        while missing := _missing(host, self._port):
            if time.monotonic() > deadline:
                self.given_up = missing
                os.kill(os.getpid(), signal.SIGTERM)  # granian stops its workers, and `serve` goes on
                return
            time.sleep(0.05)
        place = settings.data if self._embedded else "the database of HUSHTAG_DATABASE_URL"
        line = f"hushtag-server listens on {url}; its data lies in {place}"
        if self._as_json:
            data = str(settings.data) if self._embedded else None
            line = json.dumps({"url": url, "pid": os.getpid(), "data": data})
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def check(self) -> None:
        """Complain if it was given up.

        Raises:
            StartError: it was.
        """
        if self.given_up:
            wait = int(self._settings.ready_wait.total_seconds())
            raise StartError(
                f"not ready after {wait} s (HUSHTAG_READY_WAIT): {self.given_up}; what the workers said stands above, "
                f"on standard error, and what an embedded PostgreSQL did in {self._settings.data}/postgres.log; "
                "`hushtag-server doctor` looks further"
            )


def _allow_connections(wanted: int) -> None:
    # Each connection is an open file, and many systems allow 1024 unless asked; the workers inherit what is set here.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _run_granian(settings: Settings, port: int) -> None:
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    from hushtag_server.supervisor import Supervisor

    # Spawned, not forked: a worker must not inherit the data directory's lock, threads or half-used locks.
    multiprocessing.set_start_method("spawn", force=True)
    Supervisor(
        _TARGET,
        check=partial(present_keys, settings),
        ready_wait=settings.ready_wait.total_seconds(),
        factory=True,
        interface=Interfaces.ASGI,
        # Named: whichever loop happens to be installed would be taken, and another server be served than tested.
        loop=Loops.uvloop,
        address=settings.host,
        port=port,
        workers=settings.workers,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(settings.head_timeout.total_seconds() * 1000), max_buffer_size=64 * 1024
        ),
        # Connections per worker, idle ones and open streams of events included: more wait in the listener's queue.
        backpressure=settings.connections,
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=log_config(settings.log_level),
        log_access=False,  # granian's line would hold the path and the query; ours holds the template
        respawn_failed_workers=True,
        workers_kill_timeout=int(settings.request_timeout.total_seconds()) + 5,
    ).serve()


def serve(settings: Settings, *, as_json: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; then requests under way finish, and an embedded database is stopped clean.

    Raises:
        StartError, EmbeddedError: it cannot start; the message names the next step.
    """
    configure_logging(settings.log_level)
    settings = replace(settings, data=settings.data.absolute())
    embedded = settings.database_url is None
    signal.signal(signal.SIGTERM, _on_signal)  # until granian takes over, so that what was started is stopped
    signal.signal(signal.SIGHUP, lambda *_: None)  # until then too: what it would have read anew no worker has read yet
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(_reserved_port(settings.host, settings.port))
        settings = stack.enter_context(reachable_database(settings))
        url = settings.database_url or ""
        check_database(url)
        ensure_keys(url, settings, _make_setup)
        check_store(url, settings)
        if settings.audit_checkpoints is not None:
            check_checkpoints(settings.audit_checkpoints)
        if settings.workers > 1:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="hushtag-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(Path(directory))
        os.environ.update(to_environment(settings))
        for name, ours in _ALLOCATOR.items():
            os.environ.setdefault(name, ours)
        _allow_connections(settings.connections + _SPARE_FILES)
        announcement = _Announcement(settings, port, as_json, embedded=embedded)
        threading.Thread(target=announcement.run, daemon=True).start()
        _run_granian(settings, port)
        announcement.check()
