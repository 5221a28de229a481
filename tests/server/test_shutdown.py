"""The real server: start, roles it refuses, stop under load, workers, crashes."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from hushtag_server import serve as serving
from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.migrate import migrate, rollback
from hushtag_server.migration_names import known_migrations
from hushtag_server.settings import Settings
from tests.live_server import workers_of

ADA = {"email": "ada@example.org", "password": "correct horse battery"}


def _command(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}
    return subprocess.run(
        [sys.executable, "-m", "hushtag_server.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**environment, **variables},
    )


def _cluster_state(postgres: EmbeddedPostgres, data: Path) -> str:
    command = [postgres.bin_dir / "pg_controldata", data / "postgres"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={"LC_ALL": "C"}).stdout
    return next(line.split(":")[1].strip() for line in shown.splitlines() if line.startswith("Database cluster state"))


def _postmaster(data: Path) -> int:
    return int((data / "postgres/postmaster.pid").read_text().splitlines()[0])


def _slow_sign_up(url: str) -> socket.socket:
    """Begin a sign-up whose last byte is still to come."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps(ADA).encode()
    connection = socket.create_connection((host, int(port)), timeout=20)
    head = (
        f"POST /v1/accounts HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    connection.sendall(head.encode() + b"\r\nConnection: close\r\n\r\n" + body[:-1])
    return connection


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_finished_and_postgres_stops_clean(
    server: Any, postgres: EmbeddedPostgres, sign: int
) -> None:
    with _slow_sign_up(server.url) as connection:
        time.sleep(1)
        server.process.send_signal(sign)
        time.sleep(0.7)
        assert server.process.poll() is None  # it waits for us
        connection.sendall(b"}")
        answer = b""
        while part := connection.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b'{"next":"log in"}' in answer
    assert server.process.wait(30) == 0
    assert _cluster_state(postgres, server.data) == "shut down"
    with EmbeddedPostgres(server.data) as again, psycopg.connect(again.admin_url) as database:
        assert database.execute("SELECT email FROM users").fetchall() == [(ADA["email"],)]


def test_several_workers_serve_one_database(data_directory: Path, run_server: Callable[..., Any]) -> None:
    with run_server(data_directory, "--workers", "2", HUSHTAG_METRICS_LOOPBACK="yes") as server:
        with httpx.Client(base_url=server.url) as client:
            assert client.post("/v1/accounts", json=ADA).status_code == 202
        for _ in range(6):  # a fresh connection each: either worker may take it
            with httpx.Client(base_url=server.url) as client:
                token = client.post("/v1/sessions", json=ADA).json()["token"]
                assert client.get("/v1/account", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        # The other worker may count its last one `TOGETHER` later.
        _comes_to(6.0, lambda: _logins(httpx.get(f"{server.url}/metrics").text))
        assert server.stop() == 0


def _pool(page: str, state: str) -> float:
    return float(re.findall(rf'^hushtag_pool_connections{{state="{state}"}} (\S+)$', page, re.MULTILINE)[0])


def _logins(page: str) -> float:
    labels = re.escape('{method="POST",route="/v1/sessions",status="201"}')
    return sum(map(float, re.findall(rf"^hushtag_http_requests_total{labels} (\S+)$", page, re.MULTILINE)))


def _comes_to(expected: object, look: Callable[[], object]) -> None:
    """Wait until what another process does shows: nothing here could be awaited."""
    deadline = time.monotonic() + 60
    while (found := look()) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def _workers(server: Any) -> set[int]:
    found = set()
    for child in psutil.Process(server.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # also one that has ended and is waited for
            if any("multiprocessing.spawn" in word for word in child.cmdline()):
                found.add(child.pid)
    return found


def test_any_worker_tells_how_the_pools_of_all_are_now(
    data_directory: Path, run_server: Callable[..., Any], tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    given = {"HUSHTAG_METRICS_LOOPBACK": "yes", "HUSHTAG_POOL_SIZE": "1", "TMPDIR": str(tmp_path)}
    with run_server(data_directory, "--workers", "3", **given) as server:

        def gauges() -> int:
            return len(list(tmp_path.glob("hushtag-metrics-*/gauge_live*_*.db")))

        def opened() -> set[float]:
            """What is told over six new connections: any worker may take each."""
            try:
                return {_pool(httpx.get(f"{server.url}/metrics").text, "open") for _ in range(6)}
            except httpx.TransportError:
                return set()  # a worker that is leaving

        _comes_to({3.0}, opened)
        os.kill(min(_workers(server)), signal.SIGKILL)
        _comes_to({3.0}, lambda: opened() | {float(len(_workers(server)))})
        old = _workers(server)
        server.process.send_signal(signal.SIGHUP)
        _comes_to((True, 3), lambda: (old.isdisjoint(_workers(server)), len(_workers(server))))
        _comes_to({3.0}, opened)
        assert gauges() == 3


def test_any_worker_tells_how_many_wait_at_the_others(
    database: Any, data_directory: Path, run_server: Callable[..., Any]
) -> None:
    given = {"HUSHTAG_DATABASE_URL": database.app_url, "HUSHTAG_METRICS_LOOPBACK": "yes", "HUSHTAG_POOL_SIZE": "1"}
    long = {"HUSHTAG_POOL_WAIT": "60s", "HUSHTAG_STATEMENT_TIMEOUT": "60s"}
    with (
        run_server(data_directory, "--workers", "3", **given, **long) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
        psycopg.connect(database.admin_url) as blocking,
    ):
        client.post("/v1/accounts", json=ADA)
        bearer = {"Authorization": f"Bearer {client.post('/v1/sessions', json=ADA).json()['token']}"}
        blocking.execute("LOCK TABLE user_sessions")
        asking = [
            threading.Thread(
                target=httpx.get, args=[f"{server.url}/v1/account"], kwargs={"headers": bearer, "timeout": 60}
            )
            for _ in range(18)
        ]
        for thread in asking:
            thread.start()
        # One connection, so one worker answers; each of them holds one request at its only connection.
        _comes_to(True, lambda: _pool(client.get("/metrics").text, "waiting") >= 18 - 3)
        blocking.rollback()
        for thread in asking:
            thread.join()
        _comes_to(0.0, lambda: _pool(client.get("/metrics").text, "waiting"))


def test_a_worker_that_is_killed_while_all_are_replaced_is_replaced_too(
    data_directory: Path, run_server: Callable[..., Any]
) -> None:
    with run_server(data_directory) as server:
        before = _workers(server)
        server.process.send_signal(signal.SIGHUP)
        _comes_to(1, lambda: len(_workers(server) - before))
        killed = _workers(server) - before
        os.kill(*killed, signal.SIGKILL)
        _comes_to((1, None), lambda: (len(_workers(server) - before - killed), server.process.poll()))

        def ready() -> int:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"{server.url}/health/ready").status_code
            return 0

        _comes_to((httpx.codes.OK, True), lambda: (ready(), before.isdisjoint(_workers(server))))
        assert server.stop() == 0


def test_a_reload_that_is_asked_for_while_the_server_starts_does_not_end_it(data_directory: Path) -> None:
    command = [sys.executable, "-m", "hushtag_server.cli", "serve", "--json", "--port", "0"]
    given = {**os.environ, "HUSHTAG_DATA": str(data_directory)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=given) as process:
        while not (data_directory / "lock").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert process.stdout.readline().startswith('{"url"')
        process.terminate()
        assert process.wait(60) == 0


def test_a_reload_without_usable_keys_leaves_the_workers_that_serve(
    data_directory: Path, run_server: Callable[..., Any]
) -> None:
    with run_server(data_directory) as server:
        before = _workers(server)
        (data_directory / "keys.json").chmod(0o644)
        server.process.send_signal(signal.SIGHUP)
        _comes_to(True, lambda: "nothing was reloaded" in server.log.read_text())
        assert "can be read by others; run: chmod 600" in server.log.read_text()
        assert (_workers(server), httpx.get(f"{server.url}/health/ready").status_code) == (before, 200)
        (data_directory / "keys.json").chmod(0o600)
        server.process.send_signal(signal.SIGHUP)
        _comes_to(True, lambda: bool(_workers(server)) and before.isdisjoint(_workers(server)))
        assert server.stop() == 0


def _takes_connections(server: Any) -> bool:
    with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):  # it came to a worker that was ending
        try:
            httpx.get(f"{server.url}/health/live")
        except httpx.ConnectError:
            return False
    return True


def test_a_worker_stays_until_the_one_in_its_place_serves(
    data_directory: Path, run_server: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with run_server(data_directory, TEST_WORKER_GATE=str(gate)) as server:
        before = _workers(server)
        gate.unlink()
        server.process.send_signal(signal.SIGHUP)
        _comes_to(1, lambda: len(_workers(server) - before))
        enough = time.monotonic() + 5  # time is what this is about: granian's own would end the old one after 3.5 s
        while time.monotonic() < enough:
            assert httpx.get(f"{server.url}/health/ready").status_code == 200
            time.sleep(0.05)
        assert before <= _workers(server)
        gate.touch()
        while before & _workers(server):
            assert _takes_connections(server)
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
        assert server.stop() == 0


def test_a_worker_stays_if_none_in_its_place_comes_to_serve(
    data_directory: Path, run_server: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with run_server(data_directory, TEST_WORKER_GATE=str(gate)) as server:
        before = _workers(server)
        gate.write_text("closed")
        server.process.send_signal(signal.SIGHUP)
        _comes_to(True, lambda: "a worker was not replaced" in server.log.read_text())
        assert (_workers(server), httpx.get(f"{server.url}/health/ready").status_code) == (before, 200)
        gate.write_text("")
        server.process.send_signal(signal.SIGHUP)
        _comes_to(True, lambda: bool(_workers(server)) and before.isdisjoint(_workers(server)))
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
        assert server.stop() == 0


def _listens(worker: int) -> bool:
    return any(each.status == psutil.CONN_LISTEN for each in psutil.Process(worker).net_connections("tcp"))


def test_a_worker_that_is_killed_while_the_old_one_ends_is_replaced_too(
    data_directory: Path, run_server: Callable[..., Any]
) -> None:
    patient = {"HUSHTAG_BODY_PAUSE": "60s", "HUSHTAG_BODY_RATE": "1"}  # a busy host takes long to start a worker
    with run_server(data_directory, **patient) as server:
        (old,) = _workers(server)
        with _slow_sign_up(server.url) as connection:
            server.process.send_signal(signal.SIGHUP)
            _comes_to(2, lambda: len(_workers(server)))
            (new,) = _workers(server) - {old}
            _comes_to((True, False), lambda: (_listens(new), _listens(old)))  # the old one finishes what it has begun
            os.kill(new, signal.SIGKILL)
            connection.sendall(b"}")
            assert connection.recv(4096).startswith(b"HTTP/1.1 202 ")
        _comes_to(1, lambda: len(_workers(server) - {old, new}))
        _comes_to(True, lambda: _takes_connections(server))
        assert server.stop() == 0


def test_a_server_is_stopped_while_a_worker_comes_up(
    data_directory: Path, run_server: Callable[..., Any], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    with run_server(data_directory, TEST_WORKER_GATE=str(gate)) as server:
        before = _workers(server)
        gate.unlink()
        server.process.send_signal(signal.SIGHUP)
        _comes_to(1, lambda: len(_workers(server) - before))
        workers = _workers(server)
        assert server.stop() == 0
        assert not any(psutil.pid_exists(worker) for worker in workers)
        assert "not replaced" not in server.log.read_text()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_process_group_stops_every_worker(
    data_directory: Path, run_server: Callable[..., Any], sign: signal.Signals
) -> None:
    with run_server(data_directory, "--workers", "2") as server:
        os.killpg(server.process.pid, sign)
        server.process.wait(30)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_every_single_process_stops_the_service(
    data_directory: Path, run_server: Callable[..., Any], sign: signal.Signals
) -> None:
    # What a service manager does; the supervisor then tells its workers once more.
    with run_server(data_directory, "--workers", "2") as server:
        main = psutil.Process(server.process.pid)
        for each in [main, *(child for child in main.children() if child.name() != "postgres")]:
            with contextlib.suppress(psutil.NoSuchProcess):  # the supervisor was quicker
                each.send_signal(sign)
        assert server.process.wait(30) == 0


def test_a_killed_server_leaves_no_worker_and_starts_again(
    data_directory: Path, run_server: Callable[..., Any]
) -> None:
    with run_server(data_directory) as server:
        httpx.post(f"{server.url}/v1/accounts", json=ADA)
        token = httpx.post(f"{server.url}/v1/sessions", json=ADA).json()["token"]
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{server.url}/health/live", timeout=1)
                time.sleep(0.1)
            except httpx.TransportError:
                break
        else:
            pytest.fail("a worker outlived its server")
    with run_server(data_directory) as server:
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{server.url}/v1/account", headers=bearer).json()["email"] == ADA["email"]


def _worker_that_loads(server: "subprocess.Popen[bytes]") -> psutil.Process:
    """Wait for the worker of a server that starts, until it is in the middle of loading its modules."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for worker in workers_of(server.pid):
            if worker.cpu_times().user > 0.2:
                return worker
        time.sleep(0.01)
    raise AssertionError("the server has no worker")


def test_a_server_that_is_killed_while_its_worker_starts_leaves_none(database: Any, tmp_path: Path) -> None:
    given = {"HUSHTAG_DATABASE_URL": database.app_url, "HUSHTAG_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "hushtag_server.cli", "serve", "--port", "0"]
    with subprocess.Popen(
        command, env={**os.environ, **given}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        worker = _worker_that_loads(server)
        server.kill()
    try:
        worker.wait(30)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()


def test_the_server_outlives_a_killed_postgres(data_directory: Path, run_server: Callable[..., Any]) -> None:
    with run_server(data_directory) as server:
        httpx.post(f"{server.url}/v1/accounts", json=ADA)
        os.kill(_postmaster(data_directory), signal.SIGKILL)
        deadline = time.monotonic() + 30
        statuses = set()
        while time.monotonic() < deadline:
            answer = httpx.post(f"{server.url}/v1/sessions", json=ADA, timeout=20)
            statuses.add(answer.status_code)
            if answer.status_code == 201:
                break
        assert statuses <= {201, 503}
        assert 201 in statuses
        assert server.stop() == 0


def test_two_servers_on_one_directory_the_second_gives_up(data_directory: Path, run_server: Callable[..., Any]) -> None:
    with run_server(data_directory) as server:
        refused = _command("serve", "--port", "0", HUSHTAG_DATA=str(data_directory))
        assert refused.returncode == 1
        assert "another hushtag-server uses" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert httpx.get(f"{server.url}/health/ready").status_code == 200


def test_a_port_that_is_taken_is_refused_and_free_again_with_its_server(
    data_directory: Path, run_server: Callable[..., Any], tmp_path: Path
) -> None:
    with run_server(data_directory) as server:
        port, other = server.url.rpartition(":")[2], tmp_path / "other"
        refused = _command("serve", "--port", port, HUSHTAG_DATA=str(other))
        taken = f"something listens on 127.0.0.1, port {port}, already; take another --port"
        assert (refused.returncode, refused.stderr) == (1, f"hushtag-server: {taken}\n")
        assert not other.exists()
        old = _workers(server)
        server.process.send_signal(signal.SIGHUP)
        _comes_to(True, lambda: old.isdisjoint(_workers(server)))
        # The server ends this connection, whose port then waits for what may still be under way.
        with _slow_sign_up(server.url) as connection:
            connection.sendall(b"}")
            while connection.recv(4096):
                pass
            assert server.stop() == 0
    with run_server(data_directory, "--port", port) as server:
        assert server.url.endswith(f":{port}")
        assert httpx.get(f"{server.url}/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("192.0.2.1", "cannot listen on 192.0.2.1, port 0: Cannot assign requested address; see --host and --port"),
        ("localhost", "HUSHTAG_HOST: localhost is no address; name one of this host's, as 127.0.0.1 or ::1"),
    ],
)
def test_an_address_that_is_not_this_hosts_is_refused(tmp_path: Path, host: str, says: str) -> None:
    refused = _command("serve", "--host", host, "--port", "0", HUSHTAG_DATA=str(tmp_path))
    assert (refused.returncode, refused.stderr) == (1, f"hushtag-server: {says}\n")


def test_the_first_line_says_where_the_data_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "_missing", lambda *_: "")
    for embedded, place, data in (
        (True, tmp_path, str(tmp_path)),
        (False, "the database of HUSHTAG_DATABASE_URL", None),
    ):
        for as_json in (False, True):
            serving._Announcement(Settings(data=tmp_path), 1, as_json, embedded=embedded).run()
        line, shown = capsys.readouterr().out.splitlines()
        assert line == f"hushtag-server listens on http://127.0.0.1:1; its data lies in {place}"
        assert json.loads(shown) == {"url": "http://127.0.0.1:1", "pid": os.getpid(), "data": data}


def test_two_servers_may_start_at_once_on_one_database(
    database: Any, data_directory: Path, run_server: Callable[..., Any]
) -> None:
    variables = {"HUSHTAG_DATABASE_URL": database.app_url}
    started: list[int] = []

    def start() -> None:
        with run_server(data_directory, **variables) as server:
            started.append(httpx.get(f"{server.url}/health/ready").status_code)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert started == [200, 200]
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("SELECT count(*) FROM server_keys").fetchone() == (1,)


@pytest.mark.parametrize(
    ("role", "words"), [("postgres", "is a superuser"), ("hushtag_owner", "owns the tables"), ("bypass", "BYPASSRLS")]
)
def test_a_role_that_row_level_security_does_not_bind_is_refused(
    database: Any, postgres: EmbeddedPostgres, data_directory: Path, role: str, words: str
) -> None:
    if role == "bypass":
        with psycopg.connect(database.admin_url) as connection:
            connection.execute("DROP ROLE IF EXISTS bypass_rls")
            connection.execute("CREATE ROLE bypass_rls LOGIN BYPASSRLS PASSWORD 'x' IN ROLE hushtag_server")
        url = database.app_url.replace(postgres.app_url.split("@")[0], "postgresql://bypass_rls:x")
    else:
        url = postgres.url(role, database.name)
    refused = _command("serve", "--port", "0", HUSHTAG_DATABASE_URL=url, HUSHTAG_DATA=str(data_directory))
    assert refused.returncode == 1
    assert words in refused.stderr
    assert "hushtag-server migrate --app-role" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (data_directory / "keys.json").exists()


def test_a_database_that_is_not_migrated_is_refused(database: Any, data_directory: Path) -> None:
    rollback(database.owner_url, 1)
    refused = _command("serve", "--port", "0", HUSHTAG_DATABASE_URL=database.app_url, HUSHTAG_DATA=str(data_directory))
    assert refused.returncode == 1
    assert "migrate" in refused.stderr
    migrate(database.owner_url)


def test_a_key_file_open_to_others_stops_the_start(database: Any, settings: Any, keys: Any) -> None:
    settings.key_path.chmod(0o644)
    refused = _command("serve", "--port", "0", HUSHTAG_DATABASE_URL=database.app_url, HUSHTAG_DATA=str(settings.data))
    assert refused.returncode == 1
    assert "chmod 600" in refused.stderr


def test_a_file_of_checkpoints_that_cannot_be_written_stops_the_start(
    database: Any, settings: Any, keys: Any, tmp_path: Path
) -> None:
    away = tmp_path / "away" / "checkpoints"
    given = {
        "HUSHTAG_DATABASE_URL": database.app_url,
        "HUSHTAG_DATA": str(settings.data),
        "HUSHTAG_AUDIT_CHECKPOINTS": str(away),
        "HUSHTAG_READY_WAIT": "1s",
    }
    answer = _command("serve", "--port", "0", **given)
    told = f"hushtag-server: cannot write {away}: No such file or directory; see HUSHTAG_AUDIT_CHECKPOINTS\n"
    assert (answer.returncode, answer.stderr) == (1, told)


def test_settings_that_are_wrong_are_listed_and_exit_2() -> None:
    refused = _command("serve", HUSHTAG_PORT="x", HUSHTAG_WORKERS="0")
    assert refused.returncode == 2
    assert "HUSHTAG_PORT" in refused.stderr
    assert "HUSHTAG_WORKERS" in refused.stderr


def test_a_wrong_database_url_is_refused_without_the_password() -> None:
    for url in (
        "postgresql://u:canary@/x?host=/nowhere",
        "postgresql://u:canary%zz@h/x",
        "postgresql://u:canary@h:x/y",
    ):
        refused = _command("serve", "--port", "0", HUSHTAG_DATABASE_URL=url)
        assert refused.returncode == 1
        assert "canary" not in refused.stderr + refused.stdout
        assert "Traceback" not in refused.stderr


def test_the_commands_teach_and_tell(database: Any, settings: Any, keys: Any) -> None:
    assert "hushtag-server serve" in _command("--help").stdout
    assert "0.1.0" in _command("version").stdout
    shown = json.loads(_command("settings", "--json", HUSHTAG_DATABASE_URL="postgresql://u:canary@h/x").stdout)
    assert shown["HUSHTAG_DATABASE_URL"] == "(set, not shown)"
    [entry] = json.loads(_command("keys", "--json", HUSHTAG_DATA=str(settings.data)).stdout)
    assert entry["id"] == str(keys.current.id)
    assert entry["current"] is True
    migrated = _command("migrate", "--app-role", "hushtag_app", HUSHTAG_DATABASE_URL=database.owner_url)
    assert migrated.stdout == "nothing to do\n"
    asked = _command("migrate", "--rollback", "2", HUSHTAG_DATABASE_URL=database.owner_url)  # and nobody answers
    assert (asked.returncode, asked.stdout) == (1, "")
    assert f"undoes {known_migrations()[-1]}" in asked.stderr
    undone = _command("migrate", "--rollback", "1", "--yes", HUSHTAG_DATABASE_URL=database.owner_url)
    assert undone.stdout == f"undone {known_migrations()[-1]}\n"


def test_a_start_that_never_gets_ready_is_given_up_and_says_what_it_waits_for(database, tmp_path) -> None:
    given = {"HUSHTAG_DATABASE_URL": database.app_url, "HUSHTAG_DATA": str(tmp_path), "HUSHTAG_READY_WAIT": "15s"}
    command = [sys.executable, "-m", "hushtag_server.cli", "serve", "--port", "0"]
    with (
        psycopg.connect(database.admin_url, autocommit=True) as connection,
        subprocess.Popen(
            command, env={**os.environ, **given}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as server,
    ):
        # Once the keys are checked and before a worker runs they are other ones: no worker can be ready.
        deadline = time.monotonic() + 30
        change = "UPDATE server_keys SET fingerprint = set_byte(fingerprint, 0, get_byte(fingerprint, 0) # 1)"
        while connection.execute(change).rowcount == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        said, complained = server.communicate(timeout=60)
    assert (server.returncode, said) == (1, "")
    last = complained.strip().splitlines()[-1]
    why = "not ready after 15 s (HUSHTAG_READY_WAIT): a worker answers, but has not: keys; what the workers said"
    assert last.startswith(f"hushtag-server: {why}")
