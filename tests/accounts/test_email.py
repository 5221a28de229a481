"""Changing the email: the password once more, every other session ends, and nobody learns whose the new one is."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.accounts.conftest import Work, comparable
from tests.people import PASSWORD
from tests.server.vault_support import run_sql

pytestmark = pytest.mark.anyio


async def _change(client: httpx.AsyncClient, who: Any, email: str, password: str = PASSWORD) -> httpx.Response:
    message = {"current_password": password, "email": email}
    return await client.post("/v1/account/email", json=message, headers=who.headers)


async def _log_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> int:
    return (await client.post("/v1/sessions", json={"email": email, "password": password})).status_code


async def test_a_new_email_replaces_the_old_one_and_ends_every_other_session(
    app_client: httpx.AsyncClient, sign_in: Any
) -> None:
    ada, elsewhere = await sign_in(app_client), await sign_in(app_client)
    bob = await sign_in(app_client, "bob@example.org")
    answer = await _change(app_client, ada, "Lovelace@example.org")
    assert (answer.status_code, answer.json()) == (202, {"next": "log in with the new email"})
    assert await _log_in(app_client, ada.email) == 401
    assert await _log_in(app_client, "lovelace@example.org") == 201
    for who, status in ((ada, 200), (elsewhere, 401), (bob, 200)):
        assert (await app_client.get("/v1/account", headers=who.headers)).status_code == status
    account = (await app_client.get("/v1/account", headers=ada.headers)).json()
    assert account["email"] == "Lovelace@example.org"


async def test_a_taken_email_answers_like_a_free_one_after_the_same_work(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any, work: Work
) -> None:
    ada, elsewhere = await sign_in(app_client), await sign_in(app_client)
    bob = await sign_in(app_client, "bob@example.org")
    bobs = run_sql(database, "SELECT u::text FROM users u WHERE email = %s", bob.email)
    work.take()
    taken = await _change(app_client, ada, "BOB@example.org")
    cost = work.take()
    assert (await app_client.get("/v1/account", headers=elsewhere.headers)).status_code == 401
    work.take()
    free = await _change(app_client, ada, "free@example.org")
    assert work.take() == cost
    assert comparable(taken) == comparable(free)
    assert run_sql(database, "SELECT u::text FROM users u WHERE email = %s", bob.email) == bobs
    assert (await app_client.get("/v1/account", headers=bob.headers)).status_code == 200
    emails = run_sql(database, "SELECT email FROM users ORDER BY email")
    assert emails == [("bob@example.org",), ("free@example.org",)]


async def test_a_taken_email_leaves_the_account_as_it_was(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada, _ = await sign_in(app_client), await sign_in(app_client, "bob@example.org")
    trail = "SELECT count(*) FROM audit_logs WHERE table_name = 'users' AND action = 'UPDATE'"
    assert (await _change(app_client, ada, "bob@example.org")).status_code == 202
    assert run_sql(database, trail) == [(0,)]
    assert await _log_in(app_client, ada.email) == 201
    assert (await app_client.get("/v1/account", headers=ada.headers)).json()["email"] == ada.email


async def test_ones_own_email_may_change_its_case(app_client: httpx.AsyncClient, sign_in: Any) -> None:
    ada = await sign_in(app_client)
    assert (await _change(app_client, ada, "ADA@example.org")).status_code == 202
    assert (await app_client.get("/v1/account", headers=ada.headers)).json()["email"] == "ADA@example.org"


async def test_of_two_accounts_that_want_one_email_at_once_one_gets_it(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    people = [await sign_in(app_client, f"{number}@example.org") for number in range(4)]
    answers = await asyncio.gather(*(_change(app_client, who, "wanted@example.org") for who in people))
    assert [answer.status_code for answer in answers] == [202] * 4
    assert run_sql(database, "SELECT count(*) FROM users WHERE email = 'wanted@example.org'") == [(1,)]


@pytest.mark.parametrize(
    ("password", "email", "status", "code", "field"),
    [
        ("wrong password", "new@example.org", 401, "login_failed", "$.current_password"),
        (PASSWORD, "no email", 400, "malformed_request", "$.email"),
        (PASSWORD, "a@" + "b" * 253, 400, "malformed_request", "$.email"),
        ("", "new@example.org", 400, "malformed_request", "$.current_password"),
    ],
)
async def test_what_is_refused_changes_nothing(
    app_client: httpx.AsyncClient,
    sign_in: Any,
    database: Any,
    password: str,
    email: str,
    status: int,
    code: str,
    field: str,
) -> None:
    ada, elsewhere = await sign_in(app_client), await sign_in(app_client)
    answer = await _change(app_client, ada, email, password)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["fields"][0]["field"] == field
    assert (await app_client.get("/v1/account", headers=elsewhere.headers)).status_code == 200
    assert run_sql(database, "SELECT email FROM users") == [(ada.email,)]


async def test_emails_cannot_be_tried_without_end(app_client: httpx.AsyncClient, sign_in: Any) -> None:
    ada = await sign_in(app_client)
    tried = [(await _change(app_client, ada, "ada@example.org")).status_code for _ in range(11)]
    assert tried == [202] * 10 + [429]
