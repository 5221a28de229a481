"""The commands as an operator runs them: beside a running server, without a terminal, and into another directory."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import httpx
import psycopg
import pytest

from hushtag_server.command_line import explained
from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.migrate import migrate
from tests.operation.conftest import PASSPHRASE
from tests.server.vault_support import enrol, new_id, new_password, same_password, unlock


def run(*arguments: str, data: Path, given: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}
    return subprocess.run(
        [sys.executable, "-m", "hushtag_server.cli", *arguments],
        capture_output=True,
        text=True,
        input=given,
        timeout=110,
        check=False,
        env={**environment, "HUSHTAG_DATA": str(data), **variables},
    )


def done(*arguments: str, data: Path, given: str = "", **variables: str) -> Any:
    answer = run(*arguments, data=data, given=given, **variables)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout) if "--json" in arguments else answer.stdout


def test_a_server_lives_on_elsewhere(data_directory: Path, run_server: Any, sign_in: Any) -> None:
    """Sign up, enrol, put; back up beside the running server; restore elsewhere; serve, unlock, get."""
    old, new, copies = (data_directory / name for name in ("old", "new", "copies"))
    data_directory.chmod(0o755)
    for directory in (old, copies):
        directory.mkdir(mode=0o755)
    phrase, object_id = new_password(), new_id()
    line = PASSPHRASE + "\n"

    async def fill(url: str) -> bytes:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            account = await sign_in(client)
            await enrol(client, account.headers, same_password(phrase))
            vault = await unlock(client, account, same_password(phrase))
            assert (await vault.put(object_id, b"a secret of some length" * 1000)).status_code == 201
            return (await vault.get(vault.url(object_id))).content

    async def read(url: str) -> bytes:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            vault = await unlock(client, await sign_in(client), same_password(phrase))
            return (await vault.get(vault.url(object_id))).content

    with run_server(old) as server:
        content = asyncio.run(fill(server.url))
        assert done("maintain", "--json", data=old)["ran"] is True
        backup = done("backup", str(copies / "b"), "--passphrase-stdin", "--json", data=old, given=line)
        assert (backup["keys_included"], backup["seals_file"]) == (False, str(copies / "backup-seals"))
        done("backup-keys", str(copies / "k"), "--passphrase-stdin", data=old, given=line)
        found = json.loads(run("doctor", "--json", data=old).stdout)["findings"]
        levels = {finding["check"]: finding["level"] for finding in found}
        assert levels.pop("slow statements") == "unknown"  # pg_stat_statements is not loaded
        levels.pop("disk")  # that of whoever runs this
        assert set(levels.values()) == {"fine"}, found
        assert asyncio.run(read(server.url)) == content
    restored = done("restore", str(copies / "b"), "--passphrase-stdin", "--json", data=new, given=line)
    assert (restored["verified"], restored["rows"]) == (True, backup["rows"])
    assert "is missing" in restored["warning"]
    assert "wrote" in done("restore-keys", str(copies / "k"), "--passphrase-stdin", data=new, given=line)
    with run_server(new) as server:
        assert asyncio.run(read(server.url)) == content


def test_what_is_asked_wrongly_is_told_in_one_line(data_directory: Path, tmp_path: Path) -> None:
    with EmbeddedPostgres(data_directory):
        pass  # a database without tables
    (tmp_path / "empty").touch()
    for arguments, given, words in (
        (("backup", str(tmp_path / "f")), "", "--passphrase-file or --passphrase-stdin"),
        (("backup", str(tmp_path / "f"), "--passphrase-stdin"), "short\n", "12 to 1024 characters"),
        (("backup", str(tmp_path / "f"), "--passphrase-stdin"), "", "no passphrase in standard input"),
        (
            ("backup", str(tmp_path / "f"), "--passphrase-file", str(tmp_path / "none")),
            "",
            "cannot read the passphrase",
        ),
        (("backup", str(tmp_path / "f"), "--passphrase-stdin"), PASSPHRASE + "\n", "run `hushtag-server migrate`"),
        (("maintain",), "", "run `hushtag-server migrate`"),
        (("restore", str(tmp_path / "empty"), "--passphrase-stdin"), PASSPHRASE, "is no backup of version 1"),
        (("restore-keys", str(tmp_path / "empty"), "--passphrase-stdin"), PASSPHRASE, "is no copy of a key file"),
        (("backup-keys", str(tmp_path / "f"), "--passphrase-stdin"), PASSPHRASE, "there is no key file"),
    ):
        answer = run(*arguments, data=data_directory, given=given)
        assert answer.returncode == 1, arguments
        assert words in answer.stderr, (arguments, answer.stderr)
        assert "Traceback" not in answer.stderr
        assert PASSPHRASE not in answer.stderr
    assert not (tmp_path / "f").exists()


def test_maintenance_says_what_failed_and_does_the_rest(data_directory: Path) -> None:
    """A segment store whose disk is not mounted, and an old note of a backup, which a later step removes."""
    with EmbeddedPostgres(data_directory) as postgres:
        migrate(postgres.owner_url)
        with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
            connection.execute(
                "WITH store AS (INSERT INTO segment_stores (url, marked_at) VALUES (%s, now()) RETURNING id)"
                " INSERT INTO segment_removals (id, store_id) SELECT gen_random_uuid(), id FROM store",
                [f"file://{data_directory}/unmounted"],
            )
            connection.execute(
                "INSERT INTO backups (version, bytes, row_count, started_at, finished_at, created_at)"
                " SELECT '1', 1, 0, t, t, t FROM (SELECT now() - interval '401 days') n (t)"
            )
    told = run("maintain", data=data_directory)
    assert (told.returncode, told.stderr.count("\n")) == (1, 1), told.stderr
    assert told.stderr.startswith("failed: objects of segment stores that no segment names any more: an object store")
    assert "  1  notes of backups older than 400 days\n" in told.stdout
    answer = run("maintain", "--json", data=data_directory)
    found = json.loads(answer.stdout)
    assert (answer.returncode, found["ran"], found["failed"].keys()) == (1, True, {"segment_objects"})


def test_seals_under_another_passphrase_are_left_for_later(data_directory: Path, tmp_path: Path) -> None:
    with EmbeddedPostgres(data_directory) as postgres:
        migrate(postgres.owner_url)
    file, other = tmp_path / "b1", "some other passphrase"
    done("backup", str(file), "--passphrase-stdin", data=data_directory, given=PASSPHRASE)
    for command in (("backup", str(tmp_path / "b2")), ("backup-seals", str(tmp_path / "backup-seals"))):
        refused = run(*command, "--passphrase-stdin", data=data_directory, given=other)
        assert (refused.returncode, "--change-passphrase" in refused.stderr) == (1, True)
    assert not (tmp_path / "b2").exists()
    done("backup", str(tmp_path / "b2"), "--change-passphrase", "--passphrase-stdin", data=data_directory, given=other)
    new = data_directory / "new"
    refused = run("restore", str(file), "--passphrase-stdin", data=new, given=PASSPHRASE)
    says = f"the seals in {tmp_path / 'backup-seals'} are under another passphrase than the backup; restore with"
    assert (refused.returncode, says in refused.stderr, new.exists()) == (1, True, False)
    done("restore", str(file), "--without-seals", "--passphrase-stdin", data=new, given=PASSPHRASE)


@pytest.mark.parametrize("command", ["maintain", "doctor", "backup"])
def test_no_database_is_made_by_looking_for_one(data_directory: Path, command: str) -> None:
    arguments = ["backup", str(data_directory / "f"), "--passphrase-stdin"] if command == "backup" else [command]
    answer = run(*arguments, data=data_directory / "none", given=PASSPHRASE)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "there is no database under" in answer.stderr
    assert not (data_directory / "none").exists()


def test_a_wrong_passphrase_makes_no_directory(data_directory: Path, tmp_path: Path) -> None:
    from hushtag_server.operation.envelope import BACKUP, sealed_file

    sealed_file(BACKUP, tmp_path / "f", PASSPHRASE, [b"x"], lambda _: None)
    answer = run("restore", str(tmp_path / "f"), "--passphrase-stdin", data=data_directory / "new", given="wrong one")
    assert (answer.returncode, "does not open" in answer.stderr) == (1, True)
    assert not (data_directory / "new").exists()


@pytest.mark.parametrize("command", ["maintain", "backup", "restore", "backup-keys", "restore-keys", "doctor"])
def test_help_teaches_and_imports_little(command: str) -> None:
    code = (
        "import sys; from hushtag_server.cli import main\n"
        f"try: main(['{command}', '--help'])\n"
        "except SystemExit: print(sorted({'psycopg', 'litestar', 'rich', 'cryptography', 'yoyo'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert len(answer.split()) > 40
    assert answer.splitlines()[-1] == "[]"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_backup_that_is_stopped_leaves_no_file_and_no_database_running(
    data_directory: Path, tmp_path: Path, sign: int
) -> None:
    """Told to stop in the middle of the dump, which here never ends."""
    with EmbeddedPostgres(data_directory) as postgres:
        migrate(postgres.owner_url)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pg_dump").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 18.0" && exit\ntouch "$0.runs"\nexec sleep 100\n'
    )
    (programs / "pg_dump").chmod(0o755)
    target = tmp_path / "out"
    target.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}
    environment |= {"HUSHTAG_DATA": str(data_directory), "HUSHTAG_PG_BIN": str(programs)}
    command = [sys.executable, "-m", "hushtag_server.cli", "backup", str(target / "f"), "--passphrase-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdin is not None
        process.stdin.write(PASSPHRASE + "\n")
        process.stdin.flush()
        while not (programs / "pg_dump.runs").exists():
            assert process.poll() is None
        process.send_signal(sign)
        assert process.wait(60) == 128 + sign
    assert list(target.iterdir()) == []
    assert not (data_directory / "postgres/postmaster.pid").exists()


def _begun(*arguments: str, **variables: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}
    return subprocess.Popen(
        [sys.executable, "-m", "hushtag_server.cli", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment, **variables},
    )


def test_a_rollback_that_is_stopped_while_it_asks_leaves_no_database_running(data_directory: Path) -> None:
    with EmbeddedPostgres(data_directory) as postgres:
        migrate(postgres.owner_url)
    with _begun("migrate", "--rollback", "1", HUSHTAG_DATA=str(data_directory)) as process:
        assert process.stderr is not None
        assert "undoes" in process.stderr.readline()
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert not (data_directory / "postgres/postmaster.pid").exists()


@pytest.mark.parametrize("command", ["verify", "show"])
def test_reading_the_security_log_ends_in_order_when_it_is_stopped(
    data_directory: Path, tmp_path: Path, command: str
) -> None:
    store = tmp_path / "store"
    store.write_text('#!/bin/sh\ntouch "$0.runs"\nexec sleep 100\n')
    store.chmod(0o755)
    with _begun("audit", command, HUSHTAG_DATA=str(data_directory), HUSHTAG_KEY_STORE=f"command:{store}") as process:
        while not (tmp_path / "store.runs").exists():
            assert process.poll() is None
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM


def test_streams_that_are_closed_are_stood_in_for(tmp_path: Path) -> None:
    """Else a line for nobody is a traceback, and a file of ours may get the number of standard error."""
    code = (
        "import os, sys; from hushtag_server.cli import main; main(['version'], standalone_mode=False)\n"
        "assert [os.fstat(number).st_rdev for number in range(3)] == [os.stat(os.devnull).st_rdev] * 3\n"
        "sys.exit(sys.stdin.read() or sys.stdout.write('x') + sys.stderr.write('y') + 40)\n"
    )
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable]
    assert subprocess.run([*closed, "-c", code], timeout=60, check=False).returncode == 42
    command = [sys.executable, "-m", "hushtag_server.cli", "backup", str(tmp_path / "f")]
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (asked.returncode, "no terminal to ask on" in asked.stderr) == (1, True)


def test_a_disk_that_is_full_elsewhere_is_not_told_of_the_output(capfd: pytest.CaptureFixture[str]) -> None:
    @explained
    def command() -> None:
        click.echo("so far")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SystemExit) as stopped:
        command()
    os.write(1, b"and on")
    said, told = capfd.readouterr()
    assert (stopped.value.code, said, told.count("\n")) == (1, "so far\nand on", 1)
    assert "cannot use a file: No space left on device; see" in told


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_file_that_this_user_or_disk_does_not_give_is_told_in_one_line(
    number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    @explained
    def command() -> None:
        raise OSError(number, os.strerror(number), Path("/srv/hushtag/lock"))

    with pytest.raises(SystemExit) as stopped:
        command()
    told = capfd.readouterr().err
    assert (stopped.value.code, told.count("\n")) == (1, 1)
    assert f"cannot use /srv/hushtag/lock: {os.strerror(number)}; see which user runs this" in told


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"], ["version"]])
def test_an_output_that_is_full_is_told_in_one_line(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "hushtag_server.cli", *arguments]
    with open("/dev/full", "w") as full:
        told = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (told.returncode, told.stderr.count("\n")) == (1, 1), told.stderr
    assert "cannot write to standard output: No space left on device" in told.stderr
