"""Profile, settings and consents."""

from typing import Any

import httpx
import psycopg
import pytest

from hushtag.account_messages import MAX_CONSENTS
from hushtag_server.reminders import zones
from tests.people import PASSWORD
from tests.server.vault_support import run_sql

pytestmark = pytest.mark.anyio


async def _patch(client: httpx.AsyncClient, who: Any, path: str, **changes: Any) -> httpx.Response:
    return await client.patch(f"/v1/account{path}", json=changes, headers=who.headers)


async def test_what_a_patch_leaves_out_stays_and_null_clears(app_client: httpx.AsyncClient, sign_in: Any) -> None:
    ada, bob = await sign_in(app_client), await sign_in(app_client, "bob@example.org")

    async def names() -> tuple[Any, Any]:
        account = (await app_client.get("/v1/account", headers=ada.headers)).json()
        return account["first_name"], account["last_name"]

    answer = await _patch(app_client, ada, "", first_name="Ada", last_name="Byron")
    assert answer.status_code == 200
    assert answer.json() == (await app_client.get("/v1/account", headers=ada.headers)).json()
    assert await names() == ("Ada", "Byron")
    await _patch(app_client, ada, "", last_name="Lovelace")
    assert await names() == ("Ada", "Lovelace")
    assert (await _patch(app_client, ada, "")).status_code == 200
    assert await names() == ("Ada", "Lovelace")
    await _patch(app_client, ada, "", first_name=None)
    assert await names() == (None, "Lovelace")
    assert (await app_client.get("/v1/account", headers=bob.headers)).json()["last_name"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"first_name": ""}, "$.first_name"),
        ({"last_name": "x" * 101}, "$.last_name"),
        ({"first_name": "a\0b"}, "$.first_name"),
        ({"first_name": 5}, "$.first_name"),
        ({"email": "x@example.org"}, "$"),
    ],
)
async def test_names_are_checked(
    app_client: httpx.AsyncClient, sign_in: Any, change: dict[str, Any], field: str
) -> None:
    answer = await _patch(app_client, await sign_in(app_client), "", **change)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert answer.json()["fields"][0]["field"] == field


async def test_settings_begin_with_the_databases_defaults_and_change_one_by_one(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada = await sign_in(app_client)
    begun = (await app_client.get("/v1/account/settings", headers=ada.headers)).json()
    assert begun == {"time_zone": "UTC", "language": "simple", "theme": "system"}
    assert run_sql(database, "SELECT count(*) FROM user_settings") == [(0,)]  # reading writes nothing
    run_sql(database, "INSERT INTO user_settings (user_id) VALUES (%s)", ada.user_id)
    assert (await app_client.get("/v1/account/settings", headers=ada.headers)).json() == begun
    run_sql(database, "DELETE FROM user_settings")
    for change in ({"time_zone": "Europe/Berlin"}, {"language": "german"}, {"theme": "dark"}, {}):
        begun |= change
        answer = await _patch(app_client, ada, "/settings", **change)
        assert (answer.status_code, answer.json()) == (200, begun)
        assert (await app_client.get("/v1/account/settings", headers=ada.headers)).json() == begun
    assert run_sql(database, "SELECT count(*) FROM user_settings") == [(1,)]


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"time_zone": "Mars/Olympus"}, "$.time_zone", "IANA"),
        ({"time_zone": "europe/berlin"}, "$.time_zone", "IANA"),
        ({"time_zone": "../../etc/passwd"}, "$.time_zone", "IANA"),
        ({"time_zone": "localtime"}, "$.time_zone", "IANA"),
        ({"time_zone": "Factory"}, "$.time_zone", "IANA"),
        ({"time_zone": "EST5EDT4"}, "$.time_zone", "IANA"),
        ({"time_zone": None}, "$.time_zone", "must be text"),
        ({"time_zone": ""}, "$.time_zone", "at least 1 character"),
        ({"language": "klingon"}, "$.language", "english, estonian"),
        ({"language": "pg_catalog.english"}, "$.language", "a to z and _"),
        ({"theme": "purple"}, "$.theme", "system, light and dark"),
        ({"theme": None}, "$.theme", "must be text"),
        ({"volume": 11}, "$", "no other fields than time_zone"),
    ],
)
async def test_settings_are_checked(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any, change: dict[str, Any], field: str, word: str
) -> None:
    answer = (
        await _patch(app_client, await sign_in(app_client), "/settings", theme="dark", **change)
        if ("theme" not in change)
        else await _patch(app_client, await sign_in(app_client), "/settings", **change)
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    (problem,) = answer.json()["fields"]
    assert problem["field"] == field
    assert word in problem["rule"]
    assert run_sql(database, "SELECT count(*) FROM user_settings") == [(0,)]


async def test_a_zone_that_only_python_knows_is_refused(
    app_client: httpx.AsyncClient, sign_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zones, "_known", lambda: frozenset({"Moon/Tycho"}))
    ada = await sign_in(app_client)
    answer = await _patch(app_client, ada, "/settings", time_zone="Moon/Tycho")
    assert answer.json()["fields"][0]["field"] == "$.time_zone"
    # and the transaction was fit for more
    assert (await _patch(app_client, ada, "/settings", theme="light")).status_code == 200


# --- consents -----------------------------------------------------------------------------------------------


async def _consent(client: httpx.AsyncClient, who: Any, **message: Any) -> httpx.Response:
    headers = {**who.headers, "User-Agent": "a browser"}
    return await client.post("/v1/account/consents", json=message, headers=headers)


async def test_consents_are_kept_with_time_address_and_agent_and_listed_newest_first(
    app_client: httpx.AsyncClient, sign_in: Any
) -> None:
    ada, bob = await sign_in(app_client), await sign_in(app_client, "bob@example.org")
    made = []
    for number in range(5):
        answer = await _consent(app_client, ada, document=("terms", "privacy")[number % 2], version=f"2026-{number}")
        assert answer.status_code == 201
        made.append(answer.json())
    assert {(entry["ip_address"], entry["user_agent"]) for entry in made} == {("192.0.2.1", "a browser")}
    await _consent(app_client, bob, document="terms", version="bob's")
    seen: list[Any] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await app_client.get("/v1/account/consents", params=query, headers=ada.headers)).json()
        seen += page["consents"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == made[::-1]
    stolen = await app_client.get("/v1/account/consents", params={"cursor": query["cursor"]}, headers=bob.headers)
    assert (stolen.status_code, stolen.json()["fields"][0]["field"]) == (400, "cursor")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"document": "cookies", "version": "1"}, "$.document"),
        ({"document": "terms", "version": ""}, "$.version"),
        ({"document": "terms", "version": "x" * 51}, "$.version"),
        ({"document": "terms", "version": "1\0"}, "$.version"),
        ({"document": "terms"}, "$.version"),
    ],
)
async def test_consents_are_checked(
    app_client: httpx.AsyncClient, sign_in: Any, message: dict[str, Any], field: str
) -> None:
    answer = await _consent(app_client, await sign_in(app_client), **message)
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (400, field)


async def test_an_account_cannot_fill_the_table(app_client: httpx.AsyncClient, sign_in: Any, database: Any) -> None:
    ada = await sign_in(app_client)
    fill = "INSERT INTO consents (user_id, document, version) SELECT %s, 'terms', i::text FROM generate_series(1, %s) i"
    run_sql(database, fill, ada.user_id, MAX_CONSENTS - 1)
    assert (await _consent(app_client, ada, document="terms", version="last")).status_code == 201
    refused = await _consent(app_client, ada, document="terms", version="one more")
    assert (refused.status_code, refused.json()["code"]) == (409, "limit_reached")
    assert str(MAX_CONSENTS) in refused.json()["fields"][0]["rule"]


async def test_a_sign_up_records_what_its_user_consents_to(app_client: httpx.AsyncClient, database: Any) -> None:
    message = {"email": "ada@example.org", "password": PASSWORD, "terms_version": "3", "privacy_version": "4"}
    assert (await app_client.post("/v1/accounts", json=message)).status_code == 202
    assert (await app_client.post("/v1/accounts", json=message | {"terms_version": "9"})).status_code == 202
    rows = "SELECT document, version, host(ip_address), user_agent IS NOT NULL FROM consents ORDER BY document"
    expected = [("privacy", "4", "192.0.2.1", True), ("terms", "3", "192.0.2.1", True)]
    assert run_sql(database, rows) == expected
    await app_client.post("/v1/accounts", json={"email": "bob@example.org", "password": PASSWORD})
    assert run_sql(database, rows) == expected


def test_consents_only_grow(database: Any) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        for statement in ("UPDATE consents SET version = 'x'", "DELETE FROM consents", "TRUNCATE consents"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
