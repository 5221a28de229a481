"""Sign-up and login: no answer tells whether an account exists, and every password costs the same work."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher

from hushtag_server.accounts import passwords
from hushtag_server.keyfile import KeyRing, new_keys
from hushtag_server.settings import Settings

pytestmark = pytest.mark.anyio

ADA = {"email": "Ada@Example.org", "password": "correct horse battery"}


def _comparable(answer: httpx.Response) -> tuple[int, dict[str, Any], dict[str, str]]:
    body = answer.json()
    body.pop("request_id", None)
    headers = {name: value for name, value in answer.headers.items() if name != "hushtag-request-id"}
    return answer.status_code, body, headers


async def test_an_account_can_sign_up_log_in_and_read_itself(app_client: httpx.AsyncClient) -> None:
    names = {"first_name": "Ada", "last_name": "Lovelace"}
    assert (await app_client.post("/v1/accounts", json=ADA | names)).status_code == 202
    opened = await app_client.post("/v1/sessions", json=ADA)
    assert opened.status_code == 201
    session = opened.json()
    assert session["token"].startswith("hta_")
    assert len(session["token"]) == 68
    assert session["suite"] == "hushtag-v1"
    read = await app_client.get("/v1/account", headers={"Authorization": f"Bearer {session['token']}"})
    account = read.json()
    assert (account["email"], account["first_name"], account["last_name"]) == ("Ada@Example.org", "Ada", "Lovelace")
    assert account["user_id"] == session["user_id"]
    assert account["phrase_salt"] == session["phrase_salt"]
    assert account["last_login"] is not None


async def test_the_account_never_tells_of_secret_tags(
    app_client: httpx.AsyncClient, sign_in: Callable[..., Any]
) -> None:
    signed_in = await sign_in(app_client)
    account = (await app_client.get("/v1/account", headers=signed_in.headers)).json()
    assert set(account) == {
        "user_id", "email", "first_name", "last_name", "created_at", "last_login", "suite", "phrase_salt"
    }  # fmt: skip


async def test_signing_up_again_answers_the_same_and_changes_nothing(
    app_client: httpx.AsyncClient, database: Any
) -> None:
    first = await app_client.post("/v1/accounts", json=ADA)
    with psycopg.connect(database.admin_url) as connection:
        before = connection.execute("SELECT u::text, b::text FROM users u JOIN unlock_budget b ON u.id = b.user_id")
        row = before.fetchall()
    again = await app_client.post("/v1/accounts", json={"email": "ADA@example.ORG", "password": "another password"})
    assert _comparable(first) == _comparable(again)
    with psycopg.connect(database.admin_url) as connection:
        after = connection.execute("SELECT u::text, b::text FROM users u JOIN unlock_budget b ON u.id = b.user_id")
        assert after.fetchall() == row
    assert (await app_client.post("/v1/sessions", json=ADA)).status_code == 201


async def test_two_sign_ups_at_once_make_one_account(app_client: httpx.AsyncClient, database: Any) -> None:
    answers = await asyncio.gather(*(app_client.post("/v1/accounts", json=ADA) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {202}
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)
        assert connection.execute("SELECT count(*), min(tokens) FROM unlock_budget").fetchone() == (1, 20.0)


async def test_unknown_wrong_and_inactive_fail_alike(
    app_client: httpx.AsyncClient, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await app_client.post("/v1/accounts", json=ADA)
    await app_client.post("/v1/accounts", json={"email": "gone@example.org", "password": ADA["password"]})
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("UPDATE users SET is_active = false WHERE email = 'gone@example.org'")
    verified: list[str] = []
    real = passwords._HASHER.verify

    def counting(encoded: str, password: bytes) -> bool:
        verified.append(encoded)
        return real(encoded, password)

    monkeypatch.setattr(passwords, "_HASHER", _Counting(counting))
    attempts = [
        {"email": "nobody@example.org", "password": ADA["password"]},
        {"email": ADA["email"], "password": "wrong password"},
        {"email": "gone@example.org", "password": ADA["password"]},
    ]
    answers = [await app_client.post("/v1/sessions", json=attempt) for attempt in attempts]
    assert len({str(_comparable(answer)) for answer in answers}) == 1
    assert answers[0].status_code == 401
    assert answers[0].json()["code"] == "login_failed"
    assert len({answer.headers["content-length"] for answer in answers}) == 1
    # one verification each, all under the same parameters: the same work
    assert len(verified) == 3
    assert len({encoded.rsplit("$", 2)[0] for encoded in verified}) == 1


class _Counting:
    """The real hasher with a counted `verify`."""

    def __init__(self, verify: Callable[[str, bytes], bool]) -> None:
        self.verify = verify

    def __getattr__(self, name: str) -> Any:
        return getattr(PasswordHasher(), name)


async def test_a_deleted_account_cannot_log_in(app_client: httpx.AsyncClient, database: Any) -> None:
    await app_client.post("/v1/accounts", json=ADA)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("UPDATE users SET deleted_at = now()")
    assert (await app_client.post("/v1/sessions", json=ADA)).status_code == 401


async def test_a_password_is_stored_as_argon2id_of_rfc_9106(
    real_hashes: None, app_client: httpx.AsyncClient, database: Any
) -> None:
    await app_client.post("/v1/accounts", json=ADA)
    with psycopg.connect(database.admin_url) as connection:
        row = connection.execute("SELECT password_hash FROM users").fetchone()
    assert row is not None
    assert row[0].startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_an_old_hash_is_renewed_at_login(real_hashes: None, app_client: httpx.AsyncClient, database: Any) -> None:
    await app_client.post("/v1/accounts", json=ADA)
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(ADA["password"])
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("UPDATE users SET password_hash = %s", [old])
    assert (await app_client.post("/v1/sessions", json=ADA)).status_code == 201
    with psycopg.connect(database.admin_url) as connection:
        row = connection.execute("SELECT password_hash FROM users").fetchone()
    assert row is not None
    assert "m=65536,t=3,p=4" in row[0]
    assert (await app_client.post("/v1/sessions", json=ADA)).status_code == 201


async def test_a_decomposed_password_is_the_same_password(app_client: httpx.AsyncClient) -> None:
    await app_client.post("/v1/accounts", json={"email": "e@example.org", "password": "café au lait"})
    answer = await app_client.post("/v1/sessions", json={"email": "e@example.org", "password": "café au lait"})
    assert answer.status_code == 201


async def test_attempts_are_counted_per_email_known_or_not(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any]
) -> None:
    limited = replace(settings, login_attempts_per_account=3)
    async with serve_in_process(limited, keys) as client:
        await client.post("/v1/accounts", json=ADA)
        for email in (ADA["email"], "nobody@example.org"):
            wrong = {"email": email, "password": "wrong password"}
            statuses = [(await client.post("/v1/sessions", json=wrong)).status_code for _ in range(5)]
            assert statuses == [401, 401, 401, 429, 429], email
        answer = await client.post("/v1/sessions", json={"email": "ADA@EXAMPLE.ORG", "password": ADA["password"]})
        assert answer.status_code == 429
        assert answer.json()["code"] == "too_many_attempts"
        assert 1 <= int(answer.headers["retry-after"]) == answer.json()["retry_after"] <= 1200


async def test_attempts_spent_under_a_clock_that_was_ahead_come_back_as_any_others(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any], database: Any
) -> None:
    async with serve_in_process(replace(settings, login_attempts_per_account=2), keys) as client:
        await client.post("/v1/accounts", json=ADA)
        wrong = {"email": ADA["email"], "password": "wrong password"}
        for _ in range(2):
            assert (await client.post("/v1/sessions", json=wrong)).status_code == 401
        with psycopg.connect(database.admin_url) as connection:
            connection.execute("UPDATE login_attempts SET refilled_at = refilled_at + interval '80 years'")
        statuses = [(await client.post("/v1/sessions", json=wrong)).status_code for _ in range(4)]
        assert statuses == [401, 401, 429, 429]


async def test_a_success_gives_the_attempt_back(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any]
) -> None:
    async with serve_in_process(replace(settings, login_attempts_per_account=2), keys) as client:
        await client.post("/v1/accounts", json=ADA)
        for _ in range(4):
            assert (await client.post("/v1/sessions", json=ADA)).status_code == 201


async def test_parallel_attempts_pass_exactly_as_often_as_allowed(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any]
) -> None:
    async with serve_in_process(replace(settings, login_attempts_per_account=4), keys) as client:
        wrong = {"email": "nobody@example.org", "password": "wrong password"}
        answers = await asyncio.gather(*(client.post("/v1/sessions", json=wrong) for _ in range(12)))
        assert sorted(answer.status_code for answer in answers) == [401] * 4 + [429] * 8


async def test_attempts_are_counted_per_address(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any], database: Any
) -> None:
    limited = replace(settings, login_attempts_per_address=2)
    async with serve_in_process(limited, keys, "2001:db8::1") as client:
        statuses = []
        for number in range(3):
            wrong = {"email": f"nobody{number}@example.org", "password": "wrong password"}
            statuses.append((await client.post("/v1/sessions", json=wrong)).status_code)
        assert statuses == [401, 401, 429]
    async with serve_in_process(limited, keys, "2001:db8::2") as client:  # the same /64
        assert (await client.post("/v1/accounts", json=ADA)).status_code == 429
    async with serve_in_process(limited, keys, "2001:db8:0:1::1") as client:
        assert (await client.post("/v1/accounts", json=ADA)).status_code == 202
    with psycopg.connect(database.admin_url) as connection:
        stored = str(connection.execute("SELECT * FROM login_attempts").fetchall())
    assert "2001:db8" not in stored
    assert "nobody" not in stored


async def test_clients_of_ipv4_are_told_apart_on_a_listener_of_both_families(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any]
) -> None:
    """Such a listener shows 192.0.2.1 as ::ffff:192.0.2.1, and all of these lie in one /64."""
    limited = replace(settings, login_attempts_per_address=2)
    wrong = {"email": "nobody@example.org", "password": "wrong password"}
    for address, statuses in {
        "::ffff:192.0.2.1": [401, 401, 429],
        "::ffff:c000:202": [401, 401, 429],  # 192.0.2.2
        "192.0.2.1": [429, 429, 429],  # the first one, on another listener
    }.items():
        async with serve_in_process(limited, keys, address) as client:
            assert [(await client.post("/v1/sessions", json=wrong)).status_code for _ in range(3)] == statuses


async def test_a_proxy_is_known_on_a_listener_of_both_families_and_what_it_passes_on_is_plain(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any], sign_in: Callable[..., Any], database: Any
) -> None:
    from ipaddress import ip_network

    trusting = replace(settings, trusted_proxies=(ip_network("192.0.2.0/24"),))
    async with serve_in_process(trusting, keys, "::ffff:192.0.2.9") as client:
        await sign_in(client)
        await client.post("/v1/sessions", json=ADA, headers={"X-Forwarded-For": "::ffff:203.0.113.7"})
    with psycopg.connect(database.admin_url) as connection:
        kept = connection.execute("SELECT DISTINCT host(ip_address) FROM user_sessions").fetchall()
    assert sorted(kept) == [("192.0.2.9",), ("203.0.113.7",)]


async def test_forwarded_addresses_are_believed_from_trusted_proxies_only(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any], sign_in: Callable[..., Any]
) -> None:
    from ipaddress import ip_network

    forged = {"X-Forwarded-For": "198.51.100.9, 203.0.113.7"}
    for trusted, expected in (((), "192.0.2.1"), ((ip_network("192.0.2.0/24"),), "203.0.113.7")):
        async with serve_in_process(replace(settings, trusted_proxies=trusted), keys) as client:
            await sign_in(client)
            opened = await client.post(
                "/v1/sessions", json={"email": "ada@example.org", "password": "correct horse battery"}, headers=forged
            )
            bearer = {"Authorization": f"Bearer {opened.json()['token']}"}
            listed = (await client.get("/v1/sessions", headers=bearer)).json()["sessions"]
            assert [entry["ip_address"] for entry in listed if entry["current"]] == [expected]


async def test_the_throttle_forgets_what_is_full_again(app_client: httpx.AsyncClient, database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(
            "INSERT INTO login_attempts SELECT 'account', decode(lpad(to_hex(i), 64, '0'), 'hex'), 1,"
            " now() - interval '3 hours' FROM generate_series(1, 15) i"
        )
    for _ in range(2):
        await app_client.post("/v1/accounts", json=ADA)
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("SELECT count(*) FROM login_attempts").fetchone() == (1,)


async def test_a_stranger_who_fails_for_ever_does_not_keep_the_owner_out(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any], make_setup: Callable[[], bytes]
) -> None:
    few = replace(settings, login_attempts_per_account=3)
    wrong = {**ADA, "password": "not the password"}
    at_home, elsewhere, far_away = "192.0.2.7", "198.51.100.9", "203.0.113.5"

    async def tried(address: str, message: dict[str, str]) -> int:
        async with serve_in_process(few, keys, address) as client:
            status: int = (await client.post("/v1/sessions", json=message)).status_code
            return status

    async with serve_in_process(few, keys, at_home) as client:
        await client.post("/v1/accounts", json=ADA)
    assert await tried(at_home, ADA) == 201
    assert [await tried(elsewhere, wrong) for _ in range(5)] == [401, 401, 401, 429, 429]
    assert await tried(far_away, ADA) == 429  # nobody logged in from there yet
    assert [await tried(at_home, ADA) for _ in range(5)] == [201] * 5
    # Nor does it when the server's keys are rotated, again and again, and the first set is retired.
    for again in range(2):
        fresh, before = new_keys(make_setup).current, keys
        left = {} if again else before.by_id
        retired = {each.id: each.audit_key for each in before.by_id.values() if again}
        keys = KeyRing(fresh, {**left, fresh.id: fresh}, before.retired_audit_keys | retired)
        assert [await tried(elsewhere, wrong) for _ in range(4)] == [401, 401, 401, 429]
        assert [await tried(address, ADA) for address in (far_away, at_home, at_home)] == [429, 201, 201]
    # What the address has of its own is bounded as well, whoever sits there; a proof fills it again.
    assert [await tried(at_home, wrong) for _ in range(4)] == [401, 401, 401, 429]
    assert await tried(at_home, ADA) == 429
