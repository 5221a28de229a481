"""Many writers, several sealers, and a sealer that dies in the middle: one chain, every row once."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from typing import Any
from uuid import UUID

import psycopg
import pytest

from hushtag_server.keyfile import KeyRing
from hushtag_server.pool import make_pool
from hushtag_server.security_log import sealer, sealing
from hushtag_server.security_log.audit_keys import audit_keys
from hushtag_server.security_log.checkpoint_file import read_checkpoints
from hushtag_server.security_log.recording import new_row_id
from hushtag_server.security_log.sealer import Sealer
from hushtag_server.settings import Settings
from tests.security_log.support import kinds, seal, verified, write

# Takes a batch, and never commits it: the parent kills it.
_DYING = """
import asyncio, sys
from pathlib import Path
import psycopg
from hushtag_server.keyfile import read_key_ring
from hushtag_server.security_log import sealing
from hushtag_server.security_log.audit_keys import audit_keys

async def chain(connection, keys, rows):
    head = await original(connection, keys, rows)
    print("sealed", len(rows), flush=True)
    await asyncio.sleep(600)
    return head

original, sealing._chain = sealing._chain, chain

async def main():
    keys = audit_keys(read_key_ring(Path(sys.argv[2]).read_bytes(), "keys").current)
    async with await psycopg.AsyncConnection.connect(sys.argv[1], autocommit=True) as connection:
        await sealing.seal_batch(connection, keys)

asyncio.run(main())
"""


WORKERS, WRITERS, ROWS = 4, 25, 2  # a hundred connections, each of which writes so many events


def _process(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def _said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _close(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def test_a_hundred_writers_at_once_on_four_workers_and_a_sealer_killed_in_the_middle(
    database: Any, keys: KeyRing, settings: Settings, admin: Any
) -> None:
    path = str(settings.key_path)
    arguments = ("-m", "tests.security_log.writer", database.app_url, path, str(WRITERS), str(ROWS))
    writing = [_process(*arguments) for _ in range(WORKERS)]
    write(database.app_url, keys, 5)
    dying = _process("-c", _DYING, database.app_url, path)
    assert _said(dying).startswith("sealed")
    assert seal(database.app_url, keys).head is None  # it holds the lock, and writers do not wait for it
    write(database.app_url, keys, 1)
    assert [_said(process) for process in writing] == ["ready\n"] * WORKERS
    open_now = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    assert admin.execute(open_now).fetchone()[0] >= WORKERS * WRITERS
    for process in writing:
        assert process.stdin is not None
        process.stdin.write("go\n")
    dying.send_signal(signal.SIGKILL)
    dying.wait(30)
    _close(dying)
    while any(process.poll() is None for process in writing):
        seal(database.app_url, keys)
    for process in writing:
        assert process.wait(60) == 0
        _close(process)
    while admin.execute("SELECT FROM security_audit_unsealed").rowcount:
        seal(database.app_url, keys)  # until PostgreSQL has noticed that the dead one is gone
    done = verified(database, keys)
    total = WORKERS * WRITERS * ROWS + 6
    assert (done.tampering, done.rows, done.head) == ([], total, total)


def test_sealers_at_once_make_one_chain(database: Any, keys: KeyRing) -> None:
    write(database.app_url, keys, 60)
    threads = [threading.Thread(target=seal, args=(database.app_url, keys)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seal(database.app_url, keys)
    assert verified(database, keys).rows == 60
    assert kinds(database, keys) == []


def test_batches_of_one_transaction_each(database: Any, keys: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "BATCH", 4)
    monkeypatch.setattr(sealing, "CHAINED_AT_ONCE", 3)  # also where a batch is chained in several pieces
    write(database.app_url, keys, 10)
    assert seal(database.app_url, keys).rows == 10
    assert kinds(database, keys) == []


def test_who_writes_never_waits_for_who_seals(database: Any, keys: KeyRing) -> None:
    write(database.app_url, keys, 3)

    async def seal_and_hold() -> None:
        connecting = psycopg.AsyncConnection.connect(database.app_url, autocommit=True)
        async with await connecting as connection, connection.transaction():
            assert (await sealing.seal_batch(connection, audit_keys(keys.current))).rows == 3
            await asyncio.to_thread(write, database.app_url + "&options=-c%20lock_timeout%3D1", keys, 5)

    asyncio.run(seal_and_hold())
    assert verified(database, keys).waiting == 5


async def _run_sealer(settings: Settings, keys: KeyRing, running: Sealer, until: Any) -> None:
    assert settings.database_url is not None
    async with make_pool(settings.database_url, settings) as pool, running.running(pool):
        running.kick()
        await until()


def test_the_sealer_of_a_worker_seals_signs_and_notes_it_elsewhere(
    database: Any, keys: KeyRing, settings: Settings, monkeypatch: pytest.MonkeyPatch, admin: Any
) -> None:
    monkeypatch.setattr(sealer, "SEAL_AFTER", 0.01)
    path = settings.data / "checkpoints"
    write(database.app_url, keys, 2)

    async def until() -> None:
        async with asyncio.timeout(30):
            while not path.exists():
                await asyncio.sleep(0.01)
        write(database.app_url, keys, 1)  # what comes last is sealed and signed at the end

    asyncio.run(_run_sealer(settings, keys, Sealer(keys, path), until))
    first, last = read_checkpoints(path)
    assert (first.last_seq, last.last_seq) == (2, 3)
    done = verified(database, keys, first, last)
    assert (done.tampering, done.head, done.checkpoints) == ([], 3, 4)
    assert path.stat().st_mode & 0o007 == 0


def test_a_checkpoint_that_could_not_be_noted_elsewhere_is_followed_by_another(
    database: Any, keys: KeyRing, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Also where a full disk took a part of its line."""
    path = settings.data / "checkpoints"
    write(database.app_url, keys, 2)
    real = os.write

    async def fill() -> None:
        assert settings.database_url is not None
        running = Sealer(keys, path)
        async with make_pool(settings.database_url, settings) as pool:
            with monkeypatch.context() as full:
                full.setattr(os, "write", lambda handle, line: real(handle, line[:30]))
                await running.seal(pool)
            assert "the file of checkpoints could not be written" in caplog.text
            await running.seal(pool)
            assert len(path.read_bytes()) == 30  # a minute later, and not at once: each is a row as well
            monkeypatch.setattr(sealer, "CHECKPOINT_EVERY", 0.0)
            await running.seal(pool)

    asyncio.run(fill())
    assert [checkpoint.last_seq for checkpoint in read_checkpoints(path)] == [2]
    assert "could not be sealed" not in caplog.text


def test_a_sealer_says_at_once_that_the_chain_was_cut(
    ten: Any, keys: KeyRing, settings: Settings, admin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def tamper() -> None:
        assert settings.database_url is not None
        watching = Sealer(keys)
        async with make_pool(settings.database_url, settings) as pool:
            await watching.seal(pool)
            assert "changed" not in caplog.text
            admin.execute("DELETE FROM security_audit_links WHERE seq > 5")
            await watching.seal(pool)

    asyncio.run(tamper())
    assert "the security log was changed; run `hushtag-server audit verify`" in caplog.text


def test_a_sealer_goes_on_when_the_database_comes_back(
    database: Any, keys: KeyRing, settings: Settings, admin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def away() -> None:
        assert settings.database_url is not None
        running = Sealer(keys)
        async with make_pool(settings.database_url, settings) as pool:
            admin.execute("ALTER TABLE security_audit_links RENAME TO away")
            write(database.app_url, keys, 1)
            await running.seal(pool)
            assert "could not be sealed" in caplog.text
            admin.execute("ALTER TABLE away RENAME TO security_audit_links")
            await running.seal(pool)

    asyncio.run(away())
    assert (verified(database, keys).rows, kinds(database, keys)) == (1, [])


@pytest.mark.parametrize(
    ("session_id", "at"),
    [("no hex", "now()"), ("", "'infinity'"), ("ab", "'-infinity'"), ("é" * 64, "'0001-01-01 BC'")],
)
def test_what_an_intruder_notes_as_an_end_does_not_stop_the_sealer(
    database: Any, keys: KeyRing, settings: Settings, admin: Any, session_id: str, at: str
) -> None:
    admin.execute(
        "INSERT INTO security_audit_ends (session_id, expired, created_at) VALUES (%s, false, " + at + ")", [session_id]
    )
    write(database.app_url, keys, 2)

    async def until() -> None:
        for _ in range(500):
            if not admin.execute("SELECT FROM security_audit_unsealed").rowcount:
                break
            await asyncio.sleep(0.02)

    asyncio.run(_run_sealer(settings, keys, Sealer(keys), until))
    done = verified(database, keys)
    assert (done.rows, done.waiting) == (3, 0)


def test_a_session_that_ends_by_itself_leaves_an_event(database: Any, keys: KeyRing, admin: Any) -> None:
    admin.execute("INSERT INTO security_audit_ends (session_id, expired) VALUES (repeat('ab', 32), true)")
    assert seal(database.app_url, keys).rows == 1
    row = admin.execute("SELECT event_type, session_id_hash, event_message FROM security_audit_logs").fetchone()
    session = audit_keys(keys.current).identify(b"session", bytes.fromhex("ab" * 32)).hex()
    assert row == ("vault_session_ended", session, "a vault session is gone, its time was over")
    assert admin.execute("SELECT FROM security_audit_ends").rowcount == 0
    assert kinds(database, keys) == []


def test_ids_of_rows_differ_whoever_seeds_the_common_generator() -> None:
    made = set()
    for _ in range(100):
        random.seed(0)
        made.add(new_row_id(1_700_000_000_000_000_000))
    assert len(made) == 100
    assert {UUID(each).version for each in made} == {7}
    assert {each[:13] for each in made} == {"018bcfe5-6800"}


# In a process of its own: this one has threads, which no child would have.
_FORKS = r"""
import os
from hushtag_server.security_log.recording import new_row_id
child = os.fork()
if child:
    os.waitpid(child, 0)
os.write(1, new_row_id(1).encode() + b"\n")
"""


def test_a_process_that_forks_makes_other_ids() -> None:
    said = subprocess.run([sys.executable, "-c", _FORKS], capture_output=True, text=True, check=True).stdout.split()
    assert len(said) == len(set(said)) == 2
