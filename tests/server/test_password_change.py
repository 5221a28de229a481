"""Changing the password: proven once more, all or nothing, and no session of the old one outlives it."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from hushtag.messages import LogIn
from hushtag_server.accounts.login import authenticate, open_session
from hushtag_server.errors import LoginFailedError
from hushtag_server.peer import NO_PEER
from tests.server.vault_support import open_vault, run_sql

pytestmark = pytest.mark.anyio

OLD, NEW = "correct horse battery", "another good password"
SignIn = Callable[..., Any]


async def _change(client: httpx.AsyncClient, who: Any, current: str, new: str) -> httpx.Response:
    message = {"current_password": current, "new_password": new}
    return await client.post("/v1/account/password", json=message, headers=who.headers)


async def _log_in(client: httpx.AsyncClient, email: str, password: str) -> int:
    return (await client.post("/v1/sessions", json={"email": email, "password": password})).status_code


async def test_a_new_password_replaces_the_old_one_at_once(app_client: httpx.AsyncClient, sign_in: SignIn) -> None:
    ada = await sign_in(app_client)
    assert (await _change(app_client, ada, OLD, NEW)).status_code == 204
    assert await _log_in(app_client, ada.email, OLD) == 401
    assert await _log_in(app_client, ada.email, NEW) == 201


async def test_every_other_session_ends_with_its_vault_sessions(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any
) -> None:
    ada, elsewhere = await sign_in(app_client), await sign_in(app_client)
    bob = await sign_in(app_client, "bob@example.org")
    for who in (ada, elsewhere):
        await open_vault(app_client, who)
    assert (await _change(app_client, ada, OLD, NEW)).status_code == 204
    for who, status in ((ada, 200), (elsewhere, 401), (bob, 200)):
        assert (await app_client.get("/v1/account", headers=who.headers)).status_code == status
    left = run_sql(database, "SELECT user_session_id FROM opaque_sessions WHERE session_state = 'unlocked'")
    assert left == [(UUID(ada.session_id),)]


@pytest.mark.parametrize(
    ("current", "new", "status", "code"),
    [
        ("wrong", NEW, 401, "login_failed"),
        ("", NEW, 400, "malformed_request"),
        (OLD, "too short", 400, "malformed_request"),
        (OLD, "x" * 257, 400, "malformed_request"),
    ],
)
async def test_what_is_refused_changes_nothing(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any, current: str, new: str, status: int, code: str
) -> None:
    ada, elsewhere = await sign_in(app_client), await sign_in(app_client)
    before = run_sql(database, "SELECT password_hash FROM users")
    answer = await _change(app_client, ada, current, new)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert run_sql(database, "SELECT password_hash FROM users") == before
    assert (await app_client.get("/v1/account", headers=elsewhere.headers)).status_code == 200


async def test_a_stolen_session_cannot_guess_the_password_without_end(
    app_client: httpx.AsyncClient, sign_in: SignIn
) -> None:
    ada = await sign_in(app_client)
    statuses = [(await _change(app_client, ada, f"guess {number}", NEW)).status_code for number in range(11)]
    assert statuses == [401] * 10 + [429]


async def test_of_two_changes_at_once_one_wins(app_client: httpx.AsyncClient, sign_in: SignIn) -> None:
    ada = await sign_in(app_client)
    answers = await asyncio.gather(*(_change(app_client, ada, OLD, f"{NEW} {number}") for number in range(4)))
    assert sorted(answer.status_code for answer in answers) == [204, 401, 401, 401]
    (winner,) = [number for number, answer in enumerate(answers) if answer.status_code == 204]
    assert await _log_in(app_client, ada.email, f"{NEW} {winner}") == 201


async def test_a_login_that_proved_the_old_password_opens_nothing_after_the_change(
    app_client: Any, sign_in: SignIn, database: Any
) -> None:
    ada = await sign_in(app_client)
    services = app_client.app.application.application.state["services"]
    proven = await authenticate(services, LogIn(ada.email, OLD), NO_PEER)
    assert (await _change(app_client, ada, OLD, NEW)).status_code == 204
    with pytest.raises(LoginFailedError):
        await open_session(services, proven, NO_PEER)
    assert run_sql(database, "SELECT count(*) FROM user_sessions") == [(1,)]


async def test_without_a_session_there_is_no_change(app_client: httpx.AsyncClient) -> None:
    answer = await app_client.post("/v1/account/password", json={"current_password": OLD, "new_password": NEW})
    assert answer.status_code == 401
