"""The short way of a statement, and the shelf of the pool: what happens at their edges."""

import asyncio
import os
import random
import resource
import time
from dataclasses import replace
from datetime import timedelta

import anyio
import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from hushtag_server import pool as pool_module
from hushtag_server.database import call, transaction
from tests.server.vault_support import run_sql

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool(app_client):
    return app_client.app.application.application.state["services"].pool


async def _backend(pool) -> int:
    number: int = (await call(pool, "SELECT pg_backend_pid()", ()))[0][0]
    return number


async def test_a_connection_that_comes_back_is_the_next_one_given(pool) -> None:
    assert await _backend(pool) == await _backend(pool)
    assert pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"]


async def test_a_connection_that_was_hung_up_is_not_given_again(pool, database) -> None:
    first = await _backend(pool)
    connection = pool._shelf[-1][0]
    assert run_sql(database, "SELECT pg_terminate_backend(%s, 5000)", first) == [(True,)]
    while connection.is_quiet():  # until the event loop hears of it
        await asyncio.sleep(0.001)
    assert await _backend(pool) != first
    assert (await call(pool, "SELECT $1::integer", (1,))) == [(1,)]


async def test_a_connection_that_a_transaction_used_last_is_checked_before_it_is_given(pool, database) -> None:
    async with transaction(pool, None) as connection:
        first = connection.info.backend_pid
    assert run_sql(database, "SELECT pg_terminate_backend(%s, 5000)", first) == [(True,)]
    assert await _backend(pool) != first


async def test_after_its_time_on_the_shelf_a_connection_goes_the_whole_way(pool, monkeypatch) -> None:
    await _backend(pool)
    assert len(pool._shelf) == 1
    monkeypatch.setattr(pool_module, "_ON_SHELF", 0.0)
    await _backend(pool)
    assert not pool._shelf
    assert pool.get_stats()["pool_available"] == 1


async def test_whoever_waits_gets_the_connection_that_comes_back(app_client, settings, keys, serve_in_process) -> None:
    async with serve_in_process(replace(settings, pool_size=1, pool_wait=timedelta(seconds=5)), keys) as client:
        pool = client.app.application.application.state["services"].pool
        held = await pool.getconn()
        waiting = [asyncio.create_task(_backend(pool)) for _ in range(3)]
        await asyncio.sleep(0)
        await pool.putconn(held)
        assert set(await asyncio.wait_for(asyncio.gather(*waiting), 5)) == {held.info.backend_pid}


async def test_a_cancelled_call_is_cancelled_in_the_database_and_its_connection_closed(pool, database) -> None:
    first = await _backend(pool)
    begun = time.monotonic()
    task = asyncio.create_task(call(pool, "SELECT pg_sleep(60)", ()))
    active = (
        "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'active' AND query LIKE 'SELECT pg_sleep%%'"
    )
    while run_sql(database, active, first) != [(1,)]:
        assert not task.done()
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while run_sql(database, "SELECT count(*) FROM pg_stat_activity WHERE pid = %s", first) != [(0,)]:
        assert time.monotonic() - begun < 30
        await asyncio.sleep(0.01)
    assert await _backend(pool) != first


async def test_a_statement_larger_than_the_socket_takes_at_once_arrives_whole(pool) -> None:
    large = bytes(range(256)) * 65536
    assert await call(pool, "SELECT $1::bytea", (large,)) == [(large,)]


async def test_many_calls_at_once_each_get_their_own_answer(pool) -> None:
    results = await asyncio.gather(*(call(pool, "SELECT $1::text", (str(number),)) for number in range(300)))
    assert results == [[(str(number),)] for number in range(300)]


async def test_calls_and_transactions_take_turns_on_one_connection(pool) -> None:
    for number in range(20):
        assert await call(pool, "SELECT $1::integer", (number,)) == [(number,)]
        async with transaction(pool, None) as connection:
            assert await (await connection.execute("SELECT %s::integer", [number])).fetchone() == (number,)


async def test_a_statement_psycopg_deallocated_is_prepared_again(pool) -> None:
    first = await _backend(pool)
    async with pool.connection() as connection:
        await connection.execute("DEALLOCATE ALL")
    assert await _backend(pool) == first


async def test_a_statement_whose_function_returns_another_type_since_a_migration_is_prepared_again(
    pool, database
) -> None:
    def make(kind: str) -> None:
        run_sql(database, "DROP FUNCTION IF EXISTS changed()")
        run_sql(database, f"CREATE FUNCTION changed() RETURNS {kind} LANGUAGE sql AS $$ SELECT 1::{kind} $$")
        run_sql(database, "GRANT EXECUTE ON FUNCTION changed TO PUBLIC")

    make("integer")
    assert await call(pool, "SELECT changed() AS number", ()) == [(1,)]
    first = await _backend(pool)
    make("text")
    assert await call(pool, "SELECT changed() AS number", ()) == [("1",)]
    assert await _backend(pool) == first


async def test_an_error_of_the_database_keeps_its_class_and_the_connection(pool) -> None:
    first = await _backend(pool)
    with pytest.raises(psycopg.errors.DivisionByZero):
        await call(pool, "SELECT 1 / $1::integer", (0,))
    assert await _backend(pool) == first


async def test_a_connection_is_given_back_once(pool) -> None:
    connection = await pool.getconn()
    await pool.putconn(connection)
    with pytest.raises(ValueError, match="not out"):
        await pool.putconn(connection)
    assert len(pool._shelf) == 1


async def test_a_connection_whose_pipeline_was_left_open_is_not_given_again(pool) -> None:
    connection = await pool.getconn()
    first = connection.info.backend_pid
    connection.pgconn.enter_pipeline_mode()
    await pool.putconn(connection)
    assert await _backend(pool) != first


async def test_transactions_and_calls_cancelled_anywhere_leave_a_pool_that_works(pool) -> None:
    async def some(number: int) -> None:
        if number % 2:
            async with transaction(pool, None) as connection:
                await connection.execute("SELECT 1")
        elif number % 4:
            assert await call(pool, "SELECT $1::text", (str(number),)) == [(str(number),)]
        else:
            large = str(number).encode() * 200_000
            assert await call(pool, "SELECT $1::bytea", (large,)) == [(large,)]

    chance = random.Random(7)
    for _ in range(40):
        tasks = [asyncio.create_task(some(number)) for number in range(12)]
        for task in chance.sample(tasks, 6):
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
    results = await asyncio.wait_for(asyncio.gather(*(_backend(pool) for _ in range(50))), 20)
    assert len(results) == 50


async def test_descriptors_beyond_1023_are_as_good_as_others(pool) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= 2048, "the system allows too few open files (ulimit -Hn)"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        held = [await pool.getconn() for _ in range(3)]
        assert max(connection.fileno() for connection in held) > 1023
        for connection in held:
            await pool.putconn(connection)
        async with transaction(pool, None) as connection:
            await connection.execute("SELECT 1")
        assert await call(pool, "SELECT $1::integer", (1,)) == [(1,)]
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def single(settings):
    """A pool of one connection, which waits two seconds for it and which nobody else asks."""
    few = replace(settings, pool_size=1, pool_wait=timedelta(seconds=2))
    async with pool_module.make_pool(settings.database_url, few) as pool:
        yield pool


async def _in_line(pool, count: int) -> list[asyncio.Task]:
    tasks = []
    for number in range(1, count + 1):
        tasks.append(asyncio.create_task(pool.getconn()))
        await anyio.wait_all_tasks_blocked()
        assert pool.get_stats()["requests_waiting"] == number
    return tasks


async def test_a_connection_goes_from_hand_to_hand_in_the_order_of_the_line(single) -> None:
    held = await single.getconn()
    first, second = await _in_line(single, 2)
    await single.putconn(held)
    assert await first is held
    assert not second.done()
    await single.putconn(held)
    assert await second is held
    await single.putconn(held)
    assert single.get_stats()["requests_waiting"] == 0
    assert [each for each, _ in single._shelf] == [held]


async def test_whoever_leaves_the_line_gets_and_keeps_nothing(single) -> None:
    held = await single.getconn()
    first, second = await _in_line(single, 2)
    first.cancel()
    await asyncio.wait([first])
    await single.putconn(held)  # to the second, who is cancelled before being told
    second.cancel()
    await asyncio.wait([second])
    assert first.cancelled()
    assert second.cancelled()
    assert await _backend(single) == held.info.backend_pid
    assert not single._waiters


async def test_whoever_waits_for_a_connection_that_broke_gets_another_one(single, database) -> None:
    single.timeout = 30.0  # a new connection takes as long as this machine is busy
    held = await single.getconn()
    (waiting,) = await _in_line(single, 1)
    pid = held.info.backend_pid
    assert run_sql(database, "SELECT pg_terminate_backend(%s, 5000)", pid) == [(True,)]
    while held.is_quiet():
        await asyncio.sleep(0.001)
    await single.putconn(held)
    other = await waiting
    assert other.info.backend_pid != pid
    await single.putconn(other)
    assert (await call(single, "SELECT 1", ())) == [(1,)]


async def test_a_line_is_bounded_in_time_and_length(single, monkeypatch) -> None:
    monkeypatch.setattr(pool_module, "_MAX_WAITING", 1)
    held = await single.getconn()
    with pytest.raises(PoolTimeout):
        await single.getconn(0.05)
    assert not single._waiters
    (waiting,) = await _in_line(single, 1)
    with pytest.raises(TooManyRequests):
        await single.getconn()
    await single.putconn(held)
    await single.putconn(await waiting)


async def test_a_pool_that_closes_sends_its_line_away(settings) -> None:
    """Those in line, and who comes while it closes; of an application nobody else asks this pool."""
    async with pool_module.make_pool(settings.database_url, replace(settings, pool_size=1)) as pool:
        held = await pool.getconn()
        (waiting,) = await _in_line(pool, 1)
        async with pool._lock:  # psycopg's part waits, as for a connection that is being made
            closing = asyncio.create_task(pool.close())
            with pytest.raises(PoolClosed):
                await waiting
            (late,) = await _in_line(pool, 1)
        with pytest.raises(PoolClosed):
            await late
        with pytest.raises(PoolClosed):
            await pool.getconn()
        await pool.putconn(held)
        await closing
