"""The one-statement calls: what happens when the database is away, gives a call up, or gets everything at once."""

import asyncio
import random

import psycopg
import pytest

from hushtag_server.connection import Connection
from hushtag_server.database import call
from hushtag_server.errors import UnavailableError
from tests.server.vault_support import enrol, new_id, new_password, prove, run_sql, send, unlock

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool(app_client):
    return app_client.app.application.application.state["services"].pool


async def test_a_call_whose_connection_breaks_is_unavailable_and_the_next_one_works(pool) -> None:
    with pytest.raises(UnavailableError):
        await call(pool, "SELECT pg_terminate_backend(pg_backend_pid())", ())
    assert await call(pool, "SELECT $1::text", ("again",)) == [("again",)]


async def test_a_call_the_database_gave_up_runs_again(pool, monkeypatch) -> None:
    attempts = []
    original = Connection.call

    async def give_up_twice(*given):
        attempts.append(given)
        if len(attempts) <= 2:
            raise psycopg.errors.DeadlockDetected
        return await original(*given)

    monkeypatch.setattr(Connection, "call", give_up_twice)
    assert await call(pool, "SELECT 1", ()) == [(1,)]
    assert len(attempts) == 3


async def test_a_call_the_database_gives_up_again_and_again_fails_with_what_it_said(pool, monkeypatch) -> None:
    attempts = []

    async def give_up(*given):
        attempts.append(given)
        raise psycopg.errors.SerializationFailure

    monkeypatch.setattr(Connection, "call", give_up)
    with pytest.raises(psycopg.errors.SerializationFailure):
        await call(pool, "SELECT 1", ())
    assert len(attempts) == 4
    assert pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"]


async def test_another_error_of_a_call_is_not_hidden(pool) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await call(pool, "SELECT 1 / 0", ())


async def test_a_call_commits_by_itself_and_leaves_no_transaction_open(pool, database) -> None:
    await call(
        pool, "INSERT INTO login_attempts (scope, key_hash, tokens) VALUES ('account', $1, 1) RETURNING 1", (bytes(32),)
    )
    assert run_sql(database, "SELECT count(*) FROM login_attempts WHERE key_hash = %s", bytes(32)) == [(1,)]
    async with pool.connection() as connection:
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


async def test_locates_unlocks_puts_and_logouts_at_once_never_fail_the_server(app_client, sign_in, database) -> None:
    accounts = [await sign_in(app_client) for _ in range(4)]
    password = new_password()
    await enrol(app_client, accounts[0].headers, password)
    vault = await unlock(app_client, accounts[0], password)
    proofs = [await prove(app_client, account.headers, password) for account in accounts for _ in range(2)]
    run_sql(database, "UPDATE unlock_budget SET tokens = 20")
    # What is over lies about to be cleared by several at once.
    run_sql(
        database,
        "INSERT INTO opaque_sessions (user_id, session_id, user_session_id, session_state, expires_at)"
        " SELECT user_id, encode(sha256(n::text::bytea), 'hex'), id, 'located', now()"
        " FROM user_sessions, generate_series(1, 40) n WHERE id = %s",
        accounts[1].session_id,
    )
    locating = {"suite": "hushtag-v1", "elements": ["4vKuCmq8TnGohKlhxQBRX1jjC2qlgt2NtqZZReCNLXY"]}
    requests = [send(app_client, account.headers, "/v1/unlock/locate", locating) for account in accounts * 5]
    requests += [
        send(app_client, accounts[place // 2].headers, "/v1/unlock/finish", proof.message)
        for place, proof in enumerate(proofs)
    ]
    requests += [vault.put(new_id(), b"x", generation=2) for _ in range(8)]
    requests += [app_client.delete("/v1/sessions/current", headers=account.headers) for account in accounts[1:]]
    random.Random(1).shuffle(requests)
    answers = await asyncio.gather(*requests)
    assert {answer.status_code for answer in answers} <= {200, 201, 204, 401, 409, 429}
    assert sum(answer.status_code == 201 for answer in answers) == 1
    assert run_sql(database, "SELECT count(*) FROM user_sessions") == [(1,)]
    left = run_sql(database, "SELECT DISTINCT user_session_id::text FROM opaque_sessions")
    assert left == [(accounts[0].session_id,)]
