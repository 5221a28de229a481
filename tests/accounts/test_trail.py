"""The audit trail: every change of a plain row, every login; never a secret, never the vault; it only grows."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import psycopg
import pytest

from tests.people import PASSWORD
from tests.server.vault_support import enrol, new_password, prove, run_sql, same_password, send, unlock

pytestmark = pytest.mark.anyio

# Tables of a user without a trail: the vault's, whose every trace would tell of secret tags, and the sessions, whose
# beginning and end the server writes itself.
UNTRACED = {
    "journal_words",
    "opaque_sessions",
    "reminder_deliveries",
    "secret_tags",
    "tag_seals",
    "unlock_budget",
    "user_sessions",
    "vault_blobs",
    "vault_segments",
    "vault_streams",
    "vaults",
    "wrapped_keys",
    "key_rotations",
    "sealed_keys",
    "tag_orders",
    "locked_tags",
    "pairings",
}
AGENT = {"User-Agent": "a browser \u2603".encode()}


async def _trail(client: httpx.AsyncClient, who: Any, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/account/audit", params={"limit": 1000, **query}, headers=who.headers)
    assert answer.status_code == 200, answer.text
    entries: list[dict[str, Any]] = answer.json()["entries"]
    return entries


def _told(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry["action"], entry["table_name"], entry["old_values"], entry["new_values"]


def test_every_plain_table_has_a_trail_and_no_other_has(database: Any) -> None:
    tables = run_sql(
        database,
        # tgtype: 1 each row (or the statement), 4 after insert, 8 delete, 16 update
        "SELECT c.relname, (SELECT coalesce(bit_or(t.tgtype & 28), 0)"
        "  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = c.oid AND t.tgenabled = 'O'"
        "  AND (p.proname = 'hushtag_audit' AND t.tgtype & 3 = 1"
        "  OR p.proname = 'hushtag_audit_created' AND t.tgtype = 4)) = 28"
        " FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition"
        " AND c.relname NOT LIKE '\\_yoyo%%' AND c.relrowsecurity",
    )
    assert {name for name, traced in tables if not traced} == UNTRACED
    assert {"users", "user_settings", "consents"} <= {name for name, traced in tables if traced}


async def test_what_an_account_does_is_told_with_old_and_new_values_address_and_agent(
    app_client: httpx.AsyncClient, sign_in: Any
) -> None:
    ada = await sign_in(app_client)
    headers = ada.headers | {"User-Agent": "a browser"}
    before = await _trail(app_client, ada)
    assert [entry["action"] for entry in before] == ["LOGIN", "CREATE"]
    await app_client.patch("/v1/account", json={"first_name": "Ada"}, headers=headers)
    await app_client.patch("/v1/account", json={"first_name": None}, headers=headers)
    await app_client.patch("/v1/account/settings", json={"theme": "dark"}, headers=headers)
    await app_client.patch("/v1/account/settings", json={"theme": "light"}, headers=headers)
    await app_client.patch("/v1/account/settings", json={"theme": "light"}, headers=headers)
    await app_client.post("/v1/account/consents", json={"document": "terms", "version": "7"}, headers=headers)
    change = {"current_password": PASSWORD, "email": "new@example.org"}
    await app_client.post("/v1/account/email", json=change, headers=headers)
    change = {"current_password": PASSWORD, "new_password": "another good password"}
    await app_client.post("/v1/account/password", json=change, headers=headers)
    made = (await _trail(app_client, ada))[: -len(before)][::-1]
    settings = {"time_zone": "UTC", "language": "simple"}
    told = [_told(entry) for entry in made]
    for entry in made:
        for values in (entry["old_values"], entry["new_values"]):
            for ours in ("id", "created_at"):
                (values or {}).pop(ours, None)
    assert told == [
        ("UPDATE", "users", {}, {"first_name": "Ada"}),
        ("UPDATE", "users", {"first_name": "Ada"}, {"first_name": None}),
        ("CREATE", "user_settings", None, settings | {"theme": "dark"}),
        ("UPDATE", "user_settings", {"theme": "dark"}, {"theme": "light"}),
        ("CREATE", "consents", None, {"document": "terms", "version": "7"}),
        ("UPDATE", "users", {"email": "ada@example.org"}, {"email": "new@example.org"}),
        ("UPDATE", "users", None, {"password": "changed"}),
    ]
    assert {(entry["ip_address"], entry["user_agent"]) for entry in made} == {("192.0.2.1", "a browser")}
    assert {entry["record_id"] for entry in made if entry["table_name"] == "users"} == {ada.user_id}


async def test_logins_and_logouts_are_told_with_their_session(app_client: httpx.AsyncClient, sign_in: Any) -> None:
    first, second, third = [await sign_in(app_client) for _ in range(3)]
    await app_client.post("/v1/sessions", json={"email": first.email, "password": "wrong"}, headers=AGENT)
    await app_client.delete(f"/v1/sessions/{second.session_id}", headers=first.headers)
    await app_client.delete("/v1/sessions/current", headers=third.headers)
    elsewhere = await sign_in(app_client)
    change = {"current_password": PASSWORD, "new_password": "another good password"}
    assert (await app_client.post("/v1/account/password", json=change, headers=first.headers)).status_code == 204
    entries = await _trail(app_client, first, table="user_sessions")
    assert [(entry["action"], entry["record_id"]) for entry in entries[::-1]] == [
        ("LOGIN", first.session_id),
        ("LOGIN", second.session_id),
        ("LOGIN", third.session_id),
        ("LOGOUT", second.session_id),
        ("LOGOUT", third.session_id),
        ("LOGIN", elsewhere.session_id),
        ("LOGOUT", elsewhere.session_id),
    ]
    (failed,) = await _trail(app_client, first, action="FAILED_LOGIN")
    assert (failed["record_id"], failed["ip_address"]) == (first.user_id, "192.0.2.1")
    assert failed["user_agent"].startswith("a browser")
    assert (failed["old_values"], failed["new_values"]) == (None, None)


async def test_a_closing_and_a_reopening_are_told(app_client: httpx.AsyncClient, sign_in: Any) -> None:
    ada = await sign_in(app_client)
    for closing, reopening in (("deactivation", "reactivation"), ("deletion", "restoration")):
        proof = {"current_password": PASSWORD}
        assert (await app_client.post(f"/v1/account/{closing}", json=proof, headers=ada.headers)).is_success
        await app_client.post(f"/v1/accounts/{reopening}", json={"email": ada.email, "password": PASSWORD})
        ada = await sign_in(app_client)
    changes = [_told(entry)[2:] for entry in await _trail(app_client, ada, table="users", action="UPDATE")][::-1]
    assert changes[:2] == [({"is_active": True}, {"is_active": False}), ({"is_active": False}, {"is_active": True})]
    assert [set(new) for _, new in changes[2:]] == [{"deleted_at", "deletion_at"}] * 2


async def test_no_secret_is_in_the_trail_whatever_is_done(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada = await sign_in(app_client)
    for path, message in (
        ("password", {"current_password": PASSWORD, "new_password": "another good password"}),
        ("email", {"current_password": "another good password", "email": "new@example.org"}),
        ("deletion", {"current_password": "another good password"}),
    ):
        assert (await app_client.post(f"/v1/account/{path}", json=message, headers=ada.headers)).is_success
    [row] = run_sql(database, "SELECT password_hash, phrase_salt, opaque_credential_id FROM users")
    trail = str(run_sql(database, "SELECT a::text FROM audit_logs a"))
    secrets = [row[0], row[1].hex(), row[2].hex(), PASSWORD, "another good password", ada.token]
    assert not [secret for secret in secrets if secret in trail]
    for name in ("password_hash", "phrase_salt", "opaque_credential_id", "token_hash", "$argon2", "last_login"):
        assert name not in trail, name


async def test_whatever_is_done_with_a_vault_leaves_no_row(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada, phrase, object_id = await sign_in(app_client), new_password(), uuid4()
    rows = "SELECT a::text FROM audit_logs a ORDER BY created_at, id"
    before = run_sql(database, rows)
    await enrol(app_client, ada.headers, same_password(phrase))
    vault = await unlock(app_client, ada, same_password(phrase))
    assert (await vault.put(object_id, b"one")).status_code == 201
    assert (await vault.put(object_id, b"two", revision=2)).status_code == 200
    assert (await vault.get(vault.url(object_id))).status_code == 200
    assert (await vault.delete(object_id, revision=2)).status_code == 200
    wrong = await prove(app_client, ada.headers, same_password(phrase))
    spoiled = msgspec.to_builtins(wrong.message) | {"ke3": "A" * 86}
    assert (await send(app_client, ada.headers, "/v1/unlock/finish", spoiled)).status_code == 401
    assert (await app_client.delete("/v1/vault-session", headers=vault.headers)).status_code == 204
    assert run_sql(database, rows) == before


async def test_a_trail_with_tags_tells_no_more_than_one_without(app_client: httpx.AsyncClient, sign_in: Any) -> None:
    ada, bob = await sign_in(app_client), await sign_in(app_client, "bob@example.org")
    phrase = new_password()
    await enrol(app_client, ada.headers, same_password(phrase))
    await (await unlock(app_client, ada, phrase)).put(uuid4(), b"secret")
    trails = []
    for who in (ada, bob):
        await app_client.delete("/v1/sessions/current", headers=who.headers)
        again = await sign_in(app_client, who.email)
        trails.append([(_told(entry)[:2], entry["user_agent"]) for entry in await _trail(app_client, again)])
    assert trails[0] == trails[1]


async def test_nobody_reads_anothers_trail_nor_that_of_nobody(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada, bob = await sign_in(app_client), await sign_in(app_client, "bob@example.org")
    await app_client.post("/v1/sessions", json={"email": "nobody@example.org", "password": "wrong"})
    for who, other in ((ada, bob), (bob, ada)):
        entries = await _trail(app_client, who)
        assert [entry["action"] for entry in entries] == ["LOGIN", "CREATE"]
        assert other.user_id not in str(entries)
    assert run_sql(database, "SELECT count(*) FROM audit_logs WHERE user_id IS NULL") == [(1,)]
    with psycopg.connect(database.app_url) as connection:
        connection.execute("SELECT set_config('app.user_id', %s, true)", [ada.user_id])
        assert connection.execute("SELECT DISTINCT user_id FROM audit_logs").fetchall() == [(UUID(ada.user_id),)]


# --- listing ------------------------------------------------------------------------------------------------


async def test_pages_follow_each_other_while_entries_are_added(
    app_client: httpx.AsyncClient, sign_in: Any, database: Any
) -> None:
    ada = await sign_in(app_client)
    add = (
        "INSERT INTO audit_logs (user_id, action, table_name, created_at)"
        " SELECT %s, 'UPDATE', 'users', date_trunc('second', now()) - i / 4 * interval '1 second'"
        " FROM generate_series(0, 29) i"
    )
    run_sql(database, add, ada.user_id)
    expected = [entry["id"] for entry in await _trail(app_client, ada, action="UPDATE")]
    assert len(expected) == 30
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 7, "action": "UPDATE"}
    while True:
        answer = await app_client.get("/v1/account/audit", params=query, headers=ada.headers)
        page = answer.json()
        seen += [entry["id"] for entry in page["entries"]]
        await app_client.patch("/v1/account", json={"first_name": f"n{len(seen)}"}, headers=ada.headers)
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == expected


async def test_filters_narrow_the_listing(app_client: httpx.AsyncClient, sign_in: Any, database: Any) -> None:
    ada = await sign_in(app_client)
    add = "INSERT INTO audit_logs (user_id, action, table_name, created_at) VALUES (%s, %s, %s, %s)"
    for action, table, moment in (
        ("UPDATE", "journals", "2026-01-01T00:00:00Z"),
        ("CREATE", "journals", "2026-01-02T00:00:00Z"),
        ("UPDATE", "tags", "2026-01-03T00:00:00Z"),
    ):
        run_sql(database, add, ada.user_id, action, table, moment)

    async def found(**query: str) -> list[tuple[str, str]]:
        return [(entry["action"], entry["table_name"]) for entry in await _trail(app_client, ada, **query)]

    assert await found(action="UPDATE") == [("UPDATE", "tags"), ("UPDATE", "journals")]
    assert await found(table="journals") == [("CREATE", "journals"), ("UPDATE", "journals")]
    assert await found(table="journals", action="UPDATE") == [("UPDATE", "journals")]
    between = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T01:00:00+01:00"}  # `to` itself is not in it
    assert await found(**between) == [("CREATE", "journals"), ("UPDATE", "journals")]
    assert await found(**{"from": "2026-01-01T00:00:01Z", "to": "2026-01-02T00:00:01Z"}) == [("CREATE", "journals")]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"action": "EXPLODE"}, "action"),
        ({"table": "users; --"}, "table"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-01-01T00:00:00"}, "from"),
        ({"to": "2026-01-01T00:00:00"}, "to"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"cursor": "x" * 2000}, "cursor"),
    ],
)
async def test_a_query_that_cannot_be_names_its_field(
    app_client: httpx.AsyncClient, sign_in: Any, query: dict[str, str], field: str
) -> None:
    ada = await sign_in(app_client)
    answer = await app_client.get("/v1/account/audit", params=query, headers=ada.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert [problem["field"] for problem in answer.json()["fields"]] == [field]


async def test_a_cursor_is_good_for_its_user_and_its_filters_alone(app_client: httpx.AsyncClient, sign_in: Any) -> None:
    ada, bob = await sign_in(app_client), await sign_in(app_client, "bob@example.org")

    async def ask(who: Any, **query: Any) -> httpx.Response:
        return await app_client.get("/v1/account/audit", params=query, headers=who.headers)

    cursor = (await ask(ada, limit=1)).json()["next"]
    assert (await ask(ada, limit=1, cursor=cursor)).status_code == 200
    for who, query in ((bob, {}), (ada, {"action": "LOGIN"}), (ada, {"table": "users"})):
        answer = await ask(who, cursor=cursor, **query)
        assert (answer.status_code, answer.json()["fields"][0]["field"]) == (400, "cursor")


# --- it only grows ------------------------------------------------------------------------------------------


async def test_the_servers_role_can_only_append(app_client: httpx.AsyncClient, sign_in: Any, database: Any) -> None:
    ada = await sign_in(app_client)
    partitions = [row[0] for row in run_sql(database, "SELECT inhrelid::regclass::text FROM pg_inherits i"
                  " WHERE inhparent = 'audit_logs'::regclass")]  # fmt: skip
    assert len(partitions) >= 4
    statements = [
        "UPDATE audit_logs SET action = 'LOGIN'",
        "DELETE FROM audit_logs",
        "TRUNCATE audit_logs",
        "ALTER TABLE audit_logs DISABLE TRIGGER ALL",
        "DROP TABLE audit_logs",
        "ALTER TABLE users DISABLE TRIGGER users_audit",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION hushtag_audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "SELECT hushtag_open_audit_month(now() + interval '1 year')",
    ]
    for name in partitions:
        statements += [
            f"INSERT INTO {name} (user_id, action, table_name) VALUES ('{ada.user_id}', 'LOGIN', 'users')",
            f"SELECT FROM {name}",
            f"UPDATE {name} SET action = 'LOGIN'",
            f"DELETE FROM {name}",
            f"TRUNCATE {name}",
            f"ALTER TABLE audit_logs DETACH PARTITION {name}",
            f"DROP TABLE {name}",
        ]
    before = run_sql(database, "SELECT a::text FROM audit_logs a ORDER BY id")
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.user_id', %s, false)", [ada.user_id])
        for statement in statements:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[arg-type]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute(
                "INSERT INTO audit_logs (user_id, action, table_name) VALUES (%s, 'LOGIN', 'users')", [uuid4()]
            )
    assert run_sql(database, "SELECT a::text FROM audit_logs a ORDER BY id") == before
