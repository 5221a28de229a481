"""No answer, and no work behind it, tells whether an email has an account.

What is compared is the work: the very statements, and the password hashes with their parameters. Time is compared
coarsely and last, by medians of interleaved requests, because a machine that does other things cannot do better.
"""

import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.accounts.conftest import Work, comparable
from tests.people import PASSWORD
from tests.server.vault_support import run_sql

pytestmark = pytest.mark.anyio

WRONG = "not this password"
GONE = ("known", "inactive", "deleted")


@pytest.fixture
async def people(app_client: httpx.AsyncClient, database: Any) -> dict[str, str]:
    """Emails by what became of their accounts."""
    for name in GONE:
        answer = await app_client.post("/v1/accounts", json={"email": f"{name}@example.org", "password": PASSWORD})
        assert answer.status_code == 202
    run_sql(database, "UPDATE users SET is_active = false WHERE email = 'inactive@example.org'")
    gone = "UPDATE users SET deleted_at = now(), deletion_at = now() + interval '1 day' WHERE email = %s"
    run_sql(database, gone, "deleted@example.org")
    return {name: f"{name}@example.org" for name in (*GONE, "unknown")}


def _attempts(people: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (people["unknown"], PASSWORD),
        (people["known"], WRONG),
        (people["inactive"], PASSWORD),
        (people["inactive"], WRONG),
        (people["deleted"], PASSWORD),
        (people["deleted"], WRONG),
    ]


async def test_a_failed_login_answers_alike_after_the_same_work(
    app_client: httpx.AsyncClient, people: dict[str, str], work: Work
) -> None:
    answers, costs = [], []
    for email, password in _attempts(people):
        work.take()
        answers.append(await app_client.post("/v1/sessions", json={"email": email, "password": password}))
        costs.append(work.take())
    assert answers[0].status_code == 401
    assert all(comparable(answer) == comparable(answers[0]) for answer in answers)
    assert all(cost == costs[0] for cost in costs)
    statements, hashes = costs[0]
    assert hashes.total() == 1
    assert sum("INSERT INTO audit_logs" in statement for statement in statements) == 1


@pytest.mark.parametrize("way", ["reactivation", "restoration"])
async def test_a_reopening_that_fails_answers_alike_after_the_same_work(
    app_client: httpx.AsyncClient, people: dict[str, str], work: Work, way: str
) -> None:
    attempts = [(people["unknown"], PASSWORD), (people["known"], PASSWORD), (people["known"], WRONG)]
    attempts += [(people[name], WRONG) for name in ("inactive", "deleted")]
    attempts.append((people["deleted" if way == "reactivation" else "inactive"], PASSWORD))
    answers, costs = [], []
    for email, password in attempts:
        work.take()
        answers.append(await app_client.post(f"/v1/accounts/{way}", json={"email": email, "password": password}))
        costs.append(work.take())
    assert answers[0].status_code == 202
    assert all(comparable(answer) == comparable(answers[0]) for answer in answers)
    assert all(cost == costs[0] for cost in costs)
    right = people["inactive" if way == "reactivation" else "deleted"]
    succeeded = await app_client.post(f"/v1/accounts/{way}", json={"email": right, "password": PASSWORD})
    assert comparable(succeeded) == comparable(answers[0])
    login = await app_client.post("/v1/sessions", json={"email": right, "password": PASSWORD})
    assert login.status_code == 201


async def test_a_sign_up_answers_alike_after_the_same_work(
    app_client: httpx.AsyncClient, people: dict[str, str], work: Work
) -> None:
    answers, costs = [], []
    for email in ("new@example.org", *people.values()):
        work.take()
        message = {"email": email, "password": PASSWORD, "terms_version": "2", "privacy_version": "7"}
        answers.append(await app_client.post("/v1/accounts", json=message))
        costs.append(work.take())
    assert all(comparable(answer) == comparable(answers[0]) for answer in answers)
    assert all(cost == costs[0] for cost in costs)


def _rows_of(connection: psycopg.Connection[Any], statement: str, values: list[Any]) -> dict[str, int]:
    connection.execute("SELECT set_config('app.user_id', '', true)")
    connection.execute(statement, values)  # type: ignore[arg-type]
    tables = connection.execute(
        "SELECT relname, n_tup_ins + n_tup_upd FROM pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd > 0"
    )
    return {name.rstrip("0123456789"): count for name, count in tables.fetchall()}


def _sign_up(database: Any, email: str) -> dict[str, int]:
    values = [uuid4(), email, "hash", "Ada", None, bytes(16), bytes(32), 20.0, "1", "2"]
    with psycopg.connect(database.app_url) as connection:
        return _rows_of(connection, f"SELECT hushtag_sign_up({', '.join(['%s'] * 10)})", values)


async def test_the_database_writes_as_many_rows_for_a_known_email_as_for_a_new_one(
    people: dict[str, str], database: Any
) -> None:
    before = run_sql(database, "SELECT count(*) FROM users")
    known = _sign_up(database, people["known"])
    assert run_sql(database, "SELECT count(*) FROM users") == before
    assert _sign_up(database, "new@example.org") == known
    assert run_sql(database, "SELECT count(*) FROM users") == [(before[0][0] + 1,)]
    assert known["users"] == 2  # one that stays or is undone, one that is refused
    assert known["consents"] == 2


async def test_the_database_writes_as_many_rows_for_a_taken_email_as_for_a_free_one(
    people: dict[str, str], database: Any
) -> None:
    def change(email: str) -> dict[str, int]:
        with psycopg.connect(database.app_url) as connection:
            row = run_sql(database, "SELECT id, password_hash FROM users WHERE email = 'known@example.org'")[0]
            statement = "SELECT set_config('app.user_id', %s, true), hushtag_change_email(%s, %s, %s)"
            written = _rows_of(connection, statement, [str(row[0]), row[0], row[1], email])
            connection.rollback()
            return written

    taken, free = change(people["inactive"]), change("free@example.org")
    # A refused update is an update that never was; the one that is made and undone costs what the free one costs.
    assert {**taken, "users": 0} == {**free, "users": 0}
    assert taken["users"] - free["users"] in {0, 1}


async def _median(ask: Callable[[int], Awaitable[Any]], rounds: int) -> list[float]:
    spent: list[list[float]] = [[], []]
    for number in range(rounds):
        for which in ((0, 1), (1, 0))[number % 2]:  # each kind as often first as second
            begun = time.perf_counter()
            await ask(which)
            spent[which].append(time.perf_counter() - begun)
    return [statistics.median(times) for times in spent]


async def test_time_does_not_tell_a_known_email_from_an_unknown_one(
    real_hashes: None, settings: Any, keys: Any, serve_in_process: Any, people: dict[str, str]
) -> None:
    free = replace(settings, login_attempts_per_account=10_000, login_attempts_per_address=10_000)
    async with serve_in_process(free, keys) as client:

        async def log_in(which: int) -> None:
            email = people[("unknown", "known")[which]]
            answer = await client.post("/v1/sessions", json={"email": email, "password": WRONG})
            assert answer.status_code == 401

        async def sign_up(which: int) -> None:
            email = (f"{uuid4()}@example.org", people["known"])[which]
            assert (await client.post("/v1/accounts", json={"email": email, "password": PASSWORD})).status_code == 202

        for ask in (log_in, sign_up):
            # A verification that is left out halves the time, every time; nothing finer can be asserted on a busy
            # machine, whose neighbours may begin or end in the middle of one measurement.
            measured = []
            for _ in range(3):
                unknown, known = await _median(ask, 7)
                measured.append(known / unknown)
                if 0.6 < measured[-1] < 1 / 0.6:
                    break
            else:
                pytest.fail(f"{ask.__name__}: known takes {measured} times what unknown does")


async def test_an_unknown_email_is_nowhere_in_the_trail(
    app_client: httpx.AsyncClient, people: dict[str, str], database: Any
) -> None:
    await app_client.post("/v1/sessions", json={"email": people["unknown"], "password": WRONG})
    await app_client.post("/v1/accounts/restoration", json={"email": people["unknown"], "password": WRONG})
    rows = run_sql(database, "SELECT user_id, action, record_id, old_values, new_values, ip_address::text"
                             " FROM audit_logs WHERE action = 'FAILED_LOGIN'")  # fmt: skip
    assert rows == [(None, "FAILED_LOGIN", None, None, None, "192.0.2.1/32")] * 2
    assert people["unknown"] not in str(run_sql(database, "SELECT a::text FROM audit_logs a"))
