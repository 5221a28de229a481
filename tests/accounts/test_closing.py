"""Deactivation, deletion with a grace period, the ways back, and the erasure that ends it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from hushtag.errors import AuthenticationError
from hushtag.messages import LogIn
from hushtag_server.accounts.credential_queries import restore
from hushtag_server.accounts.login import authenticate, open_session
from hushtag_server.errors import LoginFailedError
from hushtag_server.hash_queue import HashQueue
from hushtag_server.operation.reach import connect
from hushtag_server.operation.steps import STEPS, Work
from hushtag_server.peer import NO_PEER
from hushtag_server.settings import Settings
from tests.accounts.conftest import comparable
from tests.people import PASSWORD
from tests.server.vault_support import enrol, new_password, prove, run_sql, same_password, unlock, until_waiting

pytestmark = pytest.mark.anyio

CLOSINGS = [("deactivation", 204, "reactivation"), ("deletion", 202, "restoration")]


async def _close(client: httpx.AsyncClient, who: Any, how: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post(f"/v1/account/{how}", json={"current_password": password}, headers=who.headers)


async def _reopen(client: httpx.AsyncClient, email: str, how: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post(f"/v1/accounts/{how}", json={"email": email, "password": password})


async def _log_in(client: httpx.AsyncClient, email: str) -> int:
    return (await client.post("/v1/sessions", json={"email": email, "password": PASSWORD})).status_code


@pytest.mark.parametrize(("closing", "status", "reopening"), CLOSINGS)
async def test_a_closed_account_has_no_sessions_and_opens_again(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any, closing: str, status: int, reopening: str
) -> None:
    ada, elsewhere = await sign_in(app_client), await sign_in(app_client)
    bob = await sign_in(app_client, "bob@example.org")
    assert (await _close(app_client, ada, closing)).status_code == status
    for who, expected in ((ada, 401), (elsewhere, 401), (bob, 200)):
        assert (await app_client.get("/v1/account", headers=who.headers)).status_code == expected
    assert run_sql(database, "SELECT count(*) FROM user_sessions WHERE user_id = %s", ada.user_id) == [(0,)]
    assert await _log_in(app_client, ada.email) == 401
    assert (await _reopen(app_client, ada.email, reopening, "wrong password")).status_code == 202
    assert await _log_in(app_client, ada.email) == 401
    other = next(way for _, _, way in CLOSINGS if way != reopening)
    assert (await _reopen(app_client, ada.email, other)).status_code == 202
    assert await _log_in(app_client, ada.email) == 401
    answer = await _reopen(app_client, "ADA@example.org", reopening)
    assert (answer.status_code, answer.json()) == (202, {"next": "log in"})
    assert await _log_in(app_client, ada.email) == 201


@pytest.mark.parametrize(("closing", "status", "reopening"), CLOSINGS)
async def test_closing_takes_the_password(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any, closing: str, status: int, reopening: str
) -> None:
    ada = await sign_in(app_client)
    before = run_sql(database, "SELECT u::text FROM users u")
    tried = [(await _close(app_client, ada, closing, f"guess {number}")).status_code for number in range(11)]
    assert tried == [401] * 10 + [429]
    assert run_sql(database, "SELECT u::text FROM users u") == before
    assert (await app_client.get("/v1/account", headers=ada.headers)).status_code == 200
    assert run_sql(database, "SELECT count(*), count(user_id) FROM audit_logs WHERE action = 'FAILED_LOGIN'") == [
        (10, 10)
    ]


@pytest.mark.parametrize("closing", ["deactivation", "deletion"])
async def test_a_login_that_was_proven_before_opens_nothing_after(
    app_client: Any, sign_in: Any, database: Any, closing: str
) -> None:
    ada = await sign_in(app_client)
    services = app_client.app.application.application.state["services"]
    proven = await authenticate(services, LogIn(ada.email, PASSWORD), NO_PEER)
    assert (await _close(app_client, ada, closing)).is_success
    with pytest.raises(LoginFailedError):
        await open_session(services, proven, NO_PEER)
    assert run_sql(database, "SELECT count(*) FROM user_sessions") == [(0,)]


async def test_a_deletion_tells_when_its_grace_ends(
    settings: Any, keys: Any, serve_in_process: Any, sign_in: Any, database: Any
) -> None:
    async with serve_in_process(replace(settings, deletion_grace=timedelta(days=3)), keys) as client:
        ada = await sign_in(client)
        answer = await _close(client, ada, "deletion")
        deletion_at = datetime.fromisoformat(answer.json()["deletion_at"])
        assert abs(deletion_at - datetime.now(UTC) - timedelta(days=3)) < timedelta(minutes=2)
        kept = run_sql(database, "SELECT deletion_at, deletion_at - deleted_at FROM users")
        assert kept == [(deletion_at, timedelta(days=3))]


async def test_a_deletion_makes_every_tag_useless_at_once_and_for_ever(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada, phrase = await sign_in(app_client), new_password()
    await enrol(app_client, ada.headers, same_password(phrase))
    vault = await unlock(app_client, ada, same_password(phrase))
    [(credential,)] = run_sql(database, "SELECT opaque_credential_id FROM users")
    tags = run_sql(database, "SELECT t::text FROM secret_tags t")
    assert (await _close(app_client, ada, "deletion")).status_code == 202
    assert (await app_client.get(vault.url(), headers=vault.headers)).status_code == 401
    [(fresh,)] = run_sql(database, "SELECT opaque_credential_id FROM users")
    assert len(fresh) == 32
    assert fresh != credential
    await _reopen(app_client, ada.email, "restoration")
    again = await sign_in(app_client)
    assert run_sql(database, "SELECT t::text FROM secret_tags t") == tags  # the record is there, and opens nothing
    assert run_sql(database, "SELECT opaque_credential_id FROM users") == [(fresh,)]
    with pytest.raises(AuthenticationError):
        await prove(app_client, again.headers, same_password(phrase))


async def test_a_deletion_shreds_a_tag_that_is_stored_at_this_moment(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada = await sign_in(app_client)
    await enrol(app_client, ada.headers, new_password())
    with psycopg.connect(database.admin_url) as enrolling:
        # What an enrolment does before it ends.
        enrolling.execute("SELECT FROM user_sessions FOR KEY SHARE")
        enrolling.execute(
            "INSERT INTO secret_tags (user_id, id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,"
            " sealed_label, public_key, server_key_id) SELECT user_id, user_id, salt, salt, verifier_kv,"
            " opaque_envelope, suite, 'another', sealed_label, public_key, server_key_id FROM secret_tags"
        )
        enrolling.execute("INSERT INTO tag_seals SELECT user_id, user_id, sha256(seal) FROM tag_seals")
        deleting = asyncio.create_task(_close(app_client, ada, "deletion"))
        await until_waiting(database, deleting)
        enrolling.commit()
    assert (await deleting).status_code == 202
    assert run_sql(database, "SELECT count(*) FROM tag_seals") == [(0,)]


async def test_each_deletion_shreds_anew(app_client: httpx.AsyncClient, sign_in: Any, database: Any) -> None:
    seen = set()
    for _ in range(3):
        ada = await sign_in(app_client)
        assert (await _close(app_client, ada, "deletion")).status_code == 202
        seen.add(run_sql(database, "SELECT opaque_credential_id FROM users")[0][0])
        await _reopen(app_client, ada.email, "restoration")
    assert len(seen) == 3


async def test_a_grace_that_has_ended_is_not_given_back(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada = await sign_in(app_client)
    await _close(app_client, ada, "deletion")
    run_sql(database, "UPDATE users SET deleted_at = now() - interval '2 days', deletion_at = now()")
    assert (await _reopen(app_client, ada.email, "restoration")).status_code == 202
    assert await _log_in(app_client, ada.email) == 401
    assert run_sql(database, "SELECT count(*) FROM users WHERE deleted_at IS NULL") == [(0,)]


async def test_a_grace_that_ends_before_the_restoration_comes_to_the_account_is_not_given_back(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada = await sign_in(app_client)
    assert (await _close(app_client, ada, "deletion")).status_code == 202
    services = app_client.app.application.application.state["services"]  # type: ignore[attr-defined]
    [(proven,)] = run_sql(database, "SELECT password_hash FROM users")
    async with services.transaction(UUID(ada.user_id)) as connection:
        run_sql(database, "UPDATE users SET deletion_at = clock_timestamp()")
        assert not await restore(connection, UUID(ada.user_id), proven=proven)


async def test_an_email_is_taken_until_its_account_is_erased(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada = await sign_in(app_client)
    await _close(app_client, ada, "deletion")
    await app_client.post("/v1/accounts", json={"email": ada.email, "password": PASSWORD})
    assert await _log_in(app_client, ada.email) == 401
    _end_grace(database, ada.user_id)
    assert _erase(database) == 1
    again = await sign_in(app_client)
    assert again.user_id != ada.user_id


# --- erasure ------------------------------------------------------------------------------------------------


def _end_grace(database: Any, user_id: str, ago: str = "1 hour") -> None:
    statement = "UPDATE users SET deleted_at = now() - interval '40 days', deletion_at = now() - %s::interval"
    run_sql(database, statement + " WHERE id = %s", ago, user_id)


def _erase(database: Any) -> int:
    """Erase as maintenance does; return how many accounts."""
    (step,) = (step for step in STEPS if step.name == "accounts")
    with connect(database.owner_url) as connection:
        erased = sum(step.batches(Work(connection, Settings(database_url=database.owner_url))))
        left = connection.execute("SELECT coalesce(current_setting('app.user_id', true), '')").fetchone()
        assert left == ("",)
        return erased


def _tables_naming(database: Any, user_id: str) -> Iterator[str]:
    """Tables with a row in which this user's id stands, in whatever column."""
    tables = run_sql(
        database,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition",
    )
    assert len(tables) > 10
    for (name,) in tables:
        if run_sql(database, f"SELECT count(*) FROM {name} t WHERE strpos(t::text, %s) > 0", user_id) != [(0,)]:
            yield name


async def test_erasure_leaves_no_row_of_that_user_and_every_row_of_the_others(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada, bob = await sign_in(app_client), await sign_in(app_client, "bob@example.org")
    for who in (ada, bob):
        phrase = new_password()
        await enrol(app_client, who.headers, same_password(phrase))
        vault = await unlock(app_client, who, phrase)
        assert (await vault.put(uuid4(), b"kept")).status_code == 201
        settings = {"time_zone": "Europe/Berlin"}
        assert (await app_client.patch("/v1/account/settings", json=settings, headers=who.headers)).status_code == 200
        consent = {"document": "terms", "version": "1"}
        assert (await app_client.post("/v1/account/consents", json=consent, headers=who.headers)).status_code == 201
    bobs = list(_tables_naming(database, bob.user_id))
    assert {"users", "vault_blobs", "wrapped_keys", "consents", "audit_logs", "user_settings"} <= set(bobs)
    await _close(app_client, ada, "deletion")
    _end_grace(database, ada.user_id)
    assert _erase(database) == 1
    # One row without a user says that the account was erased, and names nothing but its id.
    assert list(_tables_naming(database, ada.user_id)) == ["audit_logs"]
    trail = run_sql(
        database,
        "SELECT user_id, action, table_name, old_values, new_values FROM audit_logs WHERE record_id = %s",
        ada.user_id,
    )
    assert trail == [(None, "DELETE", "users", None, None)]
    assert run_sql(database, "SELECT count(*) FROM audit_logs WHERE user_id = %s", ada.user_id) == [(0,)]
    assert list(_tables_naming(database, bob.user_id)) == bobs
    assert _erase(database) == 0


async def test_only_accounts_whose_grace_has_ended_are_erased(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    people = [await sign_in(app_client, f"{number}@example.org") for number in range(5)]
    for who in people[:4]:
        assert (await _close(app_client, who, "deletion")).status_code == 202
    for who, ago in zip(people, ("1 hour", "3 days", "2 days"), strict=False):
        _end_grace(database, who.user_id, ago)
    assert _erase(database) == 3
    left = {str(row[0]) for row in run_sql(database, "SELECT id FROM users")}
    assert left == {people[number].user_id for number in (3, 4)}


async def test_one_account_is_erased_by_its_id_only_when_its_grace_has_ended(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada = await sign_in(app_client)
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        ask = "SELECT hushtag_erase_account(%s)"
        assert connection.execute(ask, [ada.user_id]).fetchone() == (False,)
        assert connection.execute(ask, [uuid4()]).fetchone() == (False,)
        await _close(app_client, ada, "deletion")
        assert connection.execute(ask, [ada.user_id]).fetchone() == (False,)
        _end_grace(database, ada.user_id)
        assert connection.execute(ask, [ada.user_id]).fetchone() == (True,)
    assert run_sql(database, "SELECT count(*) FROM users") == [(0,)]


def test_the_servers_role_can_erase_nothing_and_sees_no_ended_account(database: Any) -> None:
    user = uuid4()
    run_sql(
        database,
        "INSERT INTO users (id, email, password_hash, phrase_salt, opaque_credential_id, deleted_at, deletion_at)"
        " VALUES (%s, 'a@b', 'x', %s, %s, now() - interval '1 day', now() - interval '1 hour')",
        user,
        bytes(16),
        bytes(32),
    )
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        assert connection.execute("SELECT FROM users").rowcount == 0
        for statement in (
            f"SELECT hushtag_erase_account('{user}')",
            "DELETE FROM users",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[arg-type]


async def test_a_restoration_and_an_erasure_at_once_end_in_one_of_both(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada = await sign_in(app_client)
    await _close(app_client, ada, "deletion")
    _end_grace(database, ada.user_id)
    with psycopg.connect(database.admin_url) as restoring:
        # As if the last moment of the grace were inside this transaction.
        restoring.execute("UPDATE users SET deleted_at = NULL, deletion_at = NULL WHERE id = %s", [ada.user_id])
        erasing = asyncio.create_task(asyncio.to_thread(_erase, database))
        await until_waiting(database, erasing)
        restoring.commit()
    assert await erasing == 0
    assert run_sql(database, "SELECT id FROM users") == [(UUID(ada.user_id),)]


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/accounts/reactivation", "/v1/accounts/restoration"])
async def test_an_account_that_is_erased_in_the_middle_of_a_login_was_never_there(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    ada = await sign_in(app_client)
    await _close(app_client, ada, "deletion")
    unknown = await app_client.post(path, json={"email": "nobody@example.org", "password": PASSWORD})
    _end_grace(database, ada.user_id)
    run = HashQueue.run

    async def erased_meanwhile(queue: Any, *work: Any) -> Any:
        done = await run(queue, *work)
        assert _erase(database) == 1
        return done

    monkeypatch.setattr(HashQueue, "run", erased_meanwhile)
    answer = await app_client.post(path, json={"email": ada.email, "password": PASSWORD})
    assert comparable(answer) == comparable(unknown)
