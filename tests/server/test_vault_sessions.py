"""Vault sessions: what ends them, and which tokens open nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from hushtag.messages import encode_binary
from tests.people import PASSWORD
from tests.server.vault_support import comparable, enrol, new_id, new_password, open_vault, run_sql, unlock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def account(app_client, sign_in):
    return await sign_in(app_client)


@pytest.fixture
async def vault(app_client, account):
    return await open_vault(app_client, account)


async def is_open(vault) -> bool:
    """Whether the token still works, asked through both ways of authentication."""
    answers = [await vault.get(vault.url()), await vault.get(vault.url(new_id()))]
    codes = [answer.json().get("code") for answer in answers]
    assert codes in ([None, "not_found"], ["unauthenticated"] * 2)
    return codes[0] is None


async def test_locking_ends_this_session_and_no_other(app_client, account) -> None:
    password = new_password()
    await enrol(app_client, account.headers, password)
    first, second = await unlock(app_client, account, password), await unlock(app_client, account, password)
    assert (await app_client.delete("/v1/vault-session", headers=first.headers)).status_code == 204
    assert not await is_open(first)
    assert await is_open(second)
    assert (await app_client.delete("/v1/vault-session", headers=first.headers)).status_code == 401


async def test_logging_out_ends_the_vault_sessions_of_the_login(app_client, account, vault, sign_in) -> None:
    other = await sign_in(app_client)
    kept = await open_vault(app_client, other)
    assert (await app_client.delete("/v1/sessions/current", headers=account.headers)).status_code == 204
    assert not await is_open(vault)
    assert await is_open(kept)


async def test_revoking_a_login_from_elsewhere_ends_its_vault_sessions(app_client, account, vault, sign_in) -> None:
    other = await sign_in(app_client)
    answer = await app_client.delete(f"/v1/sessions/{account.session_id}", headers=other.headers)
    assert answer.status_code == 204
    assert not await is_open(vault)


async def test_a_vault_session_ends_after_its_lifetime(vault, database) -> None:
    run_sql(database, "UPDATE opaque_sessions SET expires_at = now() - interval '1 ms'")
    assert not await is_open(vault)


async def test_a_vault_session_ends_when_it_lies_unused(vault, database) -> None:
    run_sql(database, "UPDATE opaque_sessions SET last_activity = now() - interval '15 minutes 1 ms'")
    assert not await is_open(vault)


async def test_using_a_vault_session_keeps_it_alive(vault, database) -> None:
    for path in (vault.url(), vault.url(new_id())):
        run_sql(database, "UPDATE opaque_sessions SET last_activity = now() - interval '14 minutes'")
        await vault.get(path)
        since = run_sql(database, "SELECT now() - last_activity FROM opaque_sessions")[0][0]
        assert since < timedelta(minutes=1)


@asynccontextmanager
async def held_vault(database: Any) -> AsyncIterator[Any]:
    """Hold the lock of every vault, and let go of it at the end; yields what waits until so many calls wait for it."""
    async with await psycopg.AsyncConnection.connect(database.admin_url) as admin:
        await admin.execute("SELECT FROM vaults FOR NO KEY UPDATE")

        async def waiting(count: int) -> None:
            async with asyncio.timeout(10):
                while (await admin.execute("SELECT FROM pg_locks WHERE NOT granted")).rowcount < count:
                    await asyncio.sleep(0.01)

        yield waiting


async def test_a_change_that_waited_for_a_vault_while_it_was_destroyed_changes_nothing(
    app_client, account, database
) -> None:
    password = new_password()
    await enrol(app_client, account.headers, password)
    first, second = [await unlock(app_client, account, password) for _ in range(2)]
    stored = new_id()
    assert (await first.put(stored, b"first")).status_code == 201
    second.head, second.rows = first.head, dict(first.rows)
    confirmed = {"Hushtag-Generation": str(first.head.generation), "Hushtag-Confirm": str(first.vault_id)}
    async with held_vault(database) as waiting:
        destroying = asyncio.create_task(app_client.delete(first.url(), headers=first.headers | confirmed))
        await waiting(1)
        changes = [
            asyncio.create_task(second.put(new_id(), b"late")),
            asyncio.create_task(second.delete(stored, revision=1)),
        ]
        await waiting(3)
    assert (await destroying).status_code == 204
    assert [(await change).status_code for change in changes] == [401, 401]


@pytest.mark.parametrize("way", ["lock", "log out", "delete"])
async def test_what_waited_for_a_vault_while_its_session_ended_is_not_stored(
    app_client, account, vault, database, way
) -> None:
    async with held_vault(database) as waiting:
        putting = asyncio.create_task(vault.put(new_id(), b"late"))
        await waiting(1)
        if way == "lock":
            ended = await app_client.delete("/v1/vault-session", headers=vault.headers)
        elif way == "log out":
            ended = await app_client.delete("/v1/sessions/current", headers=account.headers)
        else:
            proof = {"current_password": PASSWORD}
            ended = await app_client.post("/v1/account/deletion", json=proof, headers=account.headers)
        assert ended.status_code in {202, 204}, ended.text
        assert not putting.done()
    assert (await putting).status_code == 401
    assert run_sql(database, "SELECT count(*) FROM vault_blobs") == [(0,)]


async def test_an_expired_login_ends_its_vault_sessions(vault, database) -> None:
    run_sql(database, "UPDATE user_sessions SET expires_at = created_at + interval '1 microsecond'")
    assert not await is_open(vault)


async def test_a_deactivated_account_has_no_open_vault(vault, database) -> None:
    run_sql(database, "UPDATE users SET is_active = false")
    assert not await is_open(vault)


async def test_a_vault_session_lasts_twelve_hours_and_never_longer_than_its_login(
    app_client, account, database
) -> None:
    opened = await open_vault(app_client, account)
    hours = (opened.tag.expires_at - datetime.now(UTC)) / timedelta(hours=1)
    assert 11.9 < hours <= 12
    run_sql(database, "UPDATE user_sessions SET expires_at = now() + interval '1 hour'")
    opened = await open_vault(app_client, account)
    hours = (opened.tag.expires_at - datetime.now(UTC)) / timedelta(hours=1)
    assert 0.9 < hours <= 1


async def test_dead_vault_sessions_are_cleared_by_the_next_unlock(app_client, account, database) -> None:
    password = new_password()
    await enrol(app_client, account.headers, password)
    await unlock(app_client, account, password)
    run_sql(database, "UPDATE opaque_sessions SET expires_at = now() - interval '1 second'")
    await unlock(app_client, account, password)
    assert run_sql(database, "SELECT count(*) FROM opaque_sessions") == [(1,)]


async def test_the_stored_id_is_a_hash_from_which_no_token_follows(vault, database) -> None:
    stored = run_sql(database, "SELECT session_id, session_data FROM opaque_sessions")
    token = vault.tag.vault_token.expose()
    assert len(stored) == 1
    assert token.hex() not in str(stored)
    replayed = "htv_" + encode_binary(vault.user_id.bytes + bytes.fromhex(stored[0][0]))
    answer = await vault.client.get(vault.url(), headers={"Authorization": f"Bearer {replayed}"})
    assert answer.status_code == 401


@pytest.mark.parametrize("kind", ["none", "account", "other user", "altered", "ceremony", "no token"])
async def test_every_other_token_is_refused_in_the_same_words(
    app_client, account, vault, sign_in, database, kind
) -> None:
    other = await sign_in(app_client, "eve@example.org")
    secret = vault.tag.vault_token.expose()
    tokens = {
        "none": None,
        "account": account.token,
        "other user": "htv_" + encode_binary(bytes.fromhex(other.user_id.replace("-", "")) + secret),
        "altered": "htv_" + encode_binary(vault.user_id.bytes + secret[:-1] + bytes([secret[-1] ^ 1])),
        "ceremony": vault.token,
        "no token": "htv_x",
    }
    if kind == "ceremony":
        run_sql(database, "UPDATE opaque_sessions SET session_state = 'login_started'")
    headers = {"Authorization": f"Bearer {tokens[kind]}"} if tokens[kind] else {}
    expected = comparable(await app_client.get("/v1/account"))
    for path in (vault.url(), vault.url(new_id()), vault.url() + "/objects", vault.url() + "/tags"):
        assert comparable(await app_client.get(path, headers=headers)) == expected
    assert comparable(await app_client.delete("/v1/vault-session", headers=headers)) == expected


async def test_a_vault_token_is_no_account_token(app_client, vault) -> None:
    for path in ("/v1/registrations", "/v1/unlock/locate"):
        message = {"suite": "hushtag-v1", "registration_request": "A" * 43}
        answer = await app_client.post(path, json=message, headers=vault.headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
