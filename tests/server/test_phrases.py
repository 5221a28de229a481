"""Several phrases for one vault on the real database: every statement of every change can fail and nothing is half
done; what the server refuses of these messages; what the account session may learn of them.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import psycopg
import pytest

from hushtag.client import AsyncClient, RetryPolicy, ceremony_steps, phrase_changes
from hushtag.client.ring_steps import Ring
from hushtag.errors import AuthenticationError, HushtagError, LimitError
from hushtag.messages import MAX_MEMBERS
from hushtag.phrase import draw_phrase
from hushtag.types import Stretch
from tests.people import PASSWORD
from tests.server.vault_support import run_sql, until_waiting

pytestmark = pytest.mark.anyio

MINE, FRIENDS, NEW = (draw_phrase().text for _ in range(3))
FEW = RetryPolicy(reads=2, changes=3, first_pause=0.0, longest_pause=0.0)
TABLES = (
    *("secret_tags", "vaults", "wrapped_keys", "sealed_keys", "key_rotations", "vault_blobs", "opaque_sessions"),
    *("vault_segments", "vault_streams", "segment_parts"),
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stretch costs a client a tenth of a second each time; these tests are of the server."""
    monkeypatch.setattr(ceremony_steps, "stretch_phrase", lambda text, *_: Stretch(text.encode()[:32].ljust(32)))


class Shared:
    """A vault of two phrases and two objects, opened with the first, on a server in this process."""

    def __init__(self, app_client: httpx.AsyncClient, database: Any) -> None:
        transport = httpx.ASGITransport(app_client.app, raise_app_exceptions=False)  # type: ignore[attr-defined]
        self.client = AsyncClient("http://localhost", transport=transport, retry=FEW)
        self.database = database
        self.vault: Any = None
        self.theirs: Any = None

    async def settle(self) -> None:
        await self.client.sign_up("ada@example.org", PASSWORD)
        await self.client.log_in("ada@example.org", PASSWORD)
        await self.client.enrol(MINE, label="mine")
        self.vault = await self.client.unlock(MINE)
        self.theirs = (await self.vault.add_phrase(FRIENDS, label="the friend's")).tag_id
        friends = await self.client.unlock(FRIENDS)
        await friends.put(b"by the friend", name="theirs")
        await self.vault.list()
        await self.vault.put(b"by me", name="mine")

    def rows(self) -> dict[str, list[str]]:
        found = {
            table: run_sql(self.database, f"SELECT to_jsonb(t) - 'last_activity' FROM {table} t") for table in TABLES
        }
        # What a registration leaves behind costs a guess and nothing else.
        return {
            table: sorted(str(row) for row in rows if "registration_started" not in str(row))
            for table, rows in found.items()
        }

    async def bodies(self, phrase: str) -> dict[str, bytes]:
        async with await self.client.unlock(phrase) as vault:
            return {entry.name: (await vault.get(entry.object_id)).body for entry in await vault.list()}


@pytest.fixture
async def shared(app_client: httpx.AsyncClient, database: Any) -> Shared:
    made = Shared(app_client, database)
    await made.settle()
    return made


# --- every statement fails once -----------------------------------------------------------------------------------


def statements(function: str, database: Any) -> list[tuple[str, str]]:
    """Table and kind of every statement that a function and those it calls write with, in the order they stand."""
    text = run_sql(database, "SELECT prosrc FROM pg_proc WHERE proname = %s", function)[0][0]
    found: list[tuple[str, str]] = []
    pattern = (
        r"(INSERT INTO|UPDATE|DELETE FROM) (\w+)|\b(hushtag_join_tag|hushtag_forget_rotations|hushtag_hold_vault)\("
    )
    for kind, table, called in re.findall(pattern, text):
        found += statements(called, database) if called else [(kind.split()[0], table)]
    return list(dict.fromkeys(found))


def break_statement(database: Any, kind: str, table: str) -> None:
    run_sql(
        database,
        "CREATE OR REPLACE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'broken by the test'; END $$",
    )
    run_sql(database, f"CREATE TRIGGER broken BEFORE {kind} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION broken()")


def fill_budget(database: Any) -> None:
    run_sql(database, "UPDATE unlock_budget SET tokens = 20")
    run_sql(
        database,
        "UPDATE user_sessions SET guesses_unproven = 0, guesses_reserved = 0, guesses_locked_until = NULL,"
        " guesses_refused = NULL, guesses_refused_until = NULL",
    )


def mend(database: Any, table: str) -> None:
    run_sql(database, f"DROP TRIGGER broken ON {table}")


DEEDS: dict[str, tuple[str, Callable[[Shared], Awaitable[Any]], set[str]]] = {
    "add": ("hushtag_add_tag", lambda s: s.vault.add_phrase(NEW, label="new"), {MINE, FRIENDS, NEW}),
    "revoke": ("hushtag_rotate_vault", lambda s: s.vault.revoke_phrase(s.theirs), {MINE}),
    "change": ("hushtag_rotate_vault", lambda s: s.vault.change_phrase(s.vault.tag_id, NEW), {NEW, FRIENDS}),
}


@pytest.mark.parametrize("name", DEEDS)
async def test_whichever_statement_fails_nothing_is_half_done(shared: Shared, database: Any, name: str) -> None:
    function, do, opens = DEEDS[name]
    broken = statements(function, database)
    assert len(broken) >= {"add": 4, "revoke": 8, "change": 8}[name]
    tried = 0
    for kind, table in broken:
        if name == "revoke" and (kind, table) in {
            ("INSERT", "secret_tags"),
            ("INSERT", "tag_seals"),
            ("INSERT", "wrapped_keys"),
        }:
            continue  # nobody comes in the revoked one's place
        before = shared.rows()
        fill_budget(database)
        if (kind, table) == ("DELETE", "opaque_sessions") and name == "revoke":
            continue  # as above
        if (kind, table) == ("UPDATE", "opaque_sessions") and name == "revoke":
            continue  # the open phrase stays
        break_statement(database, kind, table)
        with pytest.raises(HushtagError):
            await do(shared)
        mend(database, table)
        assert shared.rows() == before, (kind, table)
        tried += 1
    assert tried >= 4
    fill_budget(database)
    await do(shared)
    for phrase in (MINE, FRIENDS, NEW):
        if phrase in opens:
            assert await shared.bodies(phrase) == {"mine": b"by me", "theirs": b"by the friend"}
        else:
            with pytest.raises(AuthenticationError):
                await shared.client.unlock(phrase)


async def test_a_revoked_phrase_leaves_no_order_of_a_phrase_of_its_own(shared: Shared, database: Any) -> None:
    await shared.client.enrol(NEW, label="the friend's own")
    theirs = await shared.client.unlock(FRIENDS)
    await theirs.set_duress(NEW, tag_id=shared.vault.tag_id, place=2)
    borne = "SELECT o.ticket FROM tag_orders o JOIN secret_tags t ON t.id = o.tag_id WHERE t.id = %s"
    before = run_sql(database, borne, shared.vault.tag_id)
    await shared.vault.revoke_phrase(shared.theirs)
    after = run_sql(database, borne, shared.vault.tag_id)
    assert (len(after), set(before) & set(after)) == (4, set())
    assert run_sql(
        database,
        "SELECT bool_and(o.created_at = t.created_at AND o.updated_at = t.created_at)"
        " FROM tag_orders o JOIN secret_tags t ON t.id = o.tag_id",
    ) == [(True,)]
    await shared.client.unlock(NEW)
    assert len(await shared.bodies(MINE)) == 2


async def test_an_unlock_that_cannot_wrap_anew_opens_all_the_same(shared: Shared, database: Any) -> None:
    await shared.vault.revoke_phrase(shared.theirs)
    for kind, table in statements("hushtag_rewrap_key", database):
        break_statement(database, kind, table)
        assert await shared.bodies(MINE) == {"mine": b"by me", "theirs": b"by the friend"}
        mend(database, table)
        assert run_sql(database, "SELECT key_version FROM wrapped_keys") == [(1,)]
    assert len(await shared.bodies(MINE)) == 2
    assert run_sql(database, "SELECT w.key_version, (SELECT count(*) FROM sealed_keys) FROM wrapped_keys w") == [(2, 0)]


async def test_old_keys_stay_until_the_last_object_is_sealed_anew(shared: Shared, database: Any) -> None:
    await shared.vault.revoke_phrase(shared.theirs)
    path = f"/v1/vaults/{shared.vault.vault_id}/old-keys"
    headers = {"Authorization": f"Bearer {shared.vault.token}"}
    http = shared.client._driver._http
    refused = await http.delete(f"http://localhost{path}", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "reseal_unfinished")
    break_statement(database, "UPDATE", "key_rotations")
    with pytest.raises(HushtagError):
        await shared.vault.reseal()
    mend(database, "key_rotations")
    assert len(await shared.bodies(MINE)) == 2
    assert await shared.vault.reseal() == 0
    assert run_sql(database, "SELECT count(*) FROM key_rotations WHERE old_key IS NOT NULL") == [(0,)]
    assert len(await shared.bodies(MINE)) == 2


async def test_keys_are_destroyed_before_rows(shared: Shared, database: Any) -> None:
    """The second half of a destruction fails: the phrase opens nothing all the same, and the rest goes later."""
    await shared.vault.revoke_phrase(shared.theirs)
    break_statement(database, "DELETE", "vault_blobs")
    with pytest.raises(HushtagError):
        await shared.vault.destroy(confirm=shared.vault.vault_id)
    mend(database, "vault_blobs")
    left = run_sql(database, "SELECT wrapped_key, v.head, t.opaque_envelope FROM wrapped_keys, vaults v, secret_tags t")
    assert [b"".join(row).strip(b"\0") for row in left] == [b""]
    with pytest.raises(AuthenticationError):
        await shared.client.unlock(MINE)
    await shared.client.enrol(MINE, label="anew")
    assert await shared.bodies(MINE) == {}
    user = shared.client.session.user_id  # type: ignore[union-attr]
    with psycopg.connect(database.app_url) as connection:
        assert connection.execute("SELECT hushtag_remove_destroyed(%s)", [user]).fetchone() == (1,)
    assert run_sql(database, "SELECT count(*) FROM vault_blobs") == [(0,)]
    assert await shared.bodies(MINE) == {}


# --- what is refused ----------------------------------------------------------------------------------------------


async def _rotation(shared: Shared, change: Callable[[dict[str, Any]], None]) -> tuple[int, str]:
    """Send the rotation that revokes the friend's phrase, altered, and return status and code."""
    steps = shared.vault._steps
    ring = await shared.vault._driver.run(steps.ring())
    replacement = phrase_changes.Replacement(shared.theirs)
    message = msgspec.to_builtins(steps._prepare(replacement, ring, {}).message)
    change(message)
    answer = await shared.client._driver._http.post(
        f"http://localhost/v1/vaults/{shared.vault.vault_id}/rotations",
        json=message,
        headers={"Authorization": f"Bearer {shared.vault.token}"},
    )
    replacement.data_key.forget()
    return answer.status_code, answer.json().get("code", "")


async def test_a_rotation_that_would_lock_somebody_out_is_refused(shared: Shared, database: Any) -> None:
    await shared.vault.list()
    before = shared.rows()
    altered: list[tuple[Callable[[dict[str, Any]], Any], int, str]] = [
        (lambda m: m["members"].clear(), 400, "malformed_request"),
        (lambda m: m["members"].append(m["members"][0]), 400, "malformed_request"),
        (lambda m: m["members"][0].update(tag_id=str(uuid4())), 400, "malformed_request"),
        (lambda m: m["members"][0].update(tag_id=m["revoked"]), 400, "malformed_request"),
        (lambda m: m.update(revoked=str(uuid4())), 400, "malformed_request"),
        (lambda m: m.update(revoked=m["members"][0]["tag_id"]), 400, "malformed_request"),
        (lambda m: m.update(generation=m["generation"] + 1), 409, "generation_conflict"),
        (lambda m: m.update(generation=m["generation"] - 1), 409, "generation_conflict"),
        (lambda m: m.update(key_version=m["key_version"] + 1), 409, "generation_conflict"),
        (lambda m: m.update(key_version=m["key_version"] - 1), 409, "generation_conflict"),
    ]
    for change, status, code in altered:
        assert await _rotation(shared, change) == (status, code)
    assert shared.rows() == before
    assert await _rotation(shared, lambda _: None) == (201, "")


async def test_a_registration_of_another_session_adds_no_phrase(shared: Shared, database: Any) -> None:
    other = AsyncClient("http://localhost", transport=shared.client._driver._http._transport, retry=FEW)
    await other.log_in("ada@example.org", PASSWORD)
    shared.vault._steps._session = other.session
    with pytest.raises(HushtagError, match="too late or was already used"):
        await shared.vault.add_phrase(NEW)
    assert run_sql(database, "SELECT count(*) FROM secret_tags") == [(2,)]


async def test_a_full_vault_takes_no_further_phrase(shared: Shared, database: Any) -> None:
    tag, key = shared.vault.tag_id, "decode(repeat('00', 40), 'hex')"
    run_sql(
        database,
        "WITH made AS (INSERT INTO secret_tags (user_id, phrase_hash, salt, verifier_kv, opaque_envelope, suite,"
        " tag_name, sealed_label, public_key, server_key_id) SELECT user_id, uuid_send(gen_random_uuid()), salt,"
        " verifier_kv, opaque_envelope, suite, n::text, sealed_label, public_key, server_key_id FROM secret_tags,"
        " generate_series(1, %s) n WHERE id = %s RETURNING user_id, id) INSERT INTO wrapped_keys (user_id, tag_id,"
        f" vault_id, wrapped_key) SELECT user_id, id, %s, {key} FROM made",
        MAX_MEMBERS - 2,
        tag,
        shared.vault.vault_id,
    )
    with pytest.raises(HushtagError):  # the ring does not know them either
        await shared.vault.add_phrase(NEW)
    steps = shared.vault._steps
    steps.ring = lambda: (yield from ()) or Ring([None] * MAX_MEMBERS, steps.witness.head)
    with pytest.raises(LimitError, match="revoke one first"):
        await shared.vault.add_phrase(NEW)


async def test_a_phrase_that_sleeps_too_long_stops_rotations_until_it_is_revoked(shared: Shared, database: Any) -> None:
    run_sql(database, "UPDATE wrapped_keys SET key_version = 1001")
    run_sql(database, "UPDATE vaults SET key_version = 1001")
    run_sql(database, "UPDATE wrapped_keys SET key_version = 1 WHERE tag_id = %s", shared.vault.tag_id)
    assert await _rotation(shared, lambda message: message.update(key_version=1002)) == (409, "limit_reached")


# --- what the account session learns ------------------------------------------------------------------------------


async def test_the_account_never_tells_how_many_phrases_there_are(shared: Shared, database: Any) -> None:
    """Every answer to the account token is the same before and after a phrase is added and revoked."""
    http = shared.client._driver._http
    headers = {"Authorization": f"Bearer {shared.client.session.token}"}  # type: ignore[union-attr]
    schema = (await http.get("http://localhost/schema")).json()
    paths = sorted(path for path, kinds in schema["paths"].items() if "get" in kinds and "{" not in path)

    async def told() -> dict[str, tuple[int, bytes]]:
        found = {}
        for path in paths:
            if not any(part in path for part in ("events", "export", "health", "metrics", "audit", "sessions")):
                answer = await http.get(f"http://localhost{path}", headers=headers)
                found[path] = (answer.status_code, answer.content)
        return {path: each for path, each in found.items() if each[0] == 200}

    before = await told()
    assert len(before) > 3
    await shared.vault.add_phrase(NEW)
    assert await told() == before
    await shared.vault.revoke_phrase(shared.theirs)
    assert await told() == before
    with pytest.raises(HushtagError):
        await shared.client.enrol(NEW)
    assert (
        await http.get(f"http://localhost/v1/vaults/{shared.vault.vault_id}/tags", headers=headers)
    ).status_code == 401


async def test_two_who_change_the_vault_at_once_take_turns(shared: Shared, database: Any) -> None:
    first, second = await shared.client.unlock(MINE), await shared.client.unlock(FRIENDS)
    await first.list()
    await second.list()
    await first.put(b"meanwhile", name="meanwhile")
    await second.revoke_phrase(first.tag_id)
    assert len(await shared.bodies(FRIENDS)) == 3


async def test_a_phrase_that_is_changed_while_it_opens_a_vault_lets_it(shared: Shared, database: Any) -> None:
    await shared.vault.list()
    with psycopg.connect(database.admin_url) as opening:
        # The end of an unlock has the tag, and takes the guess budget next: who had that, and waited for the tag, would
        # wait for ever.
        opening.execute("SELECT FROM secret_tags WHERE id = %s FOR KEY SHARE", [shared.theirs])
        changing = asyncio.create_task(shared.vault.change_phrase(shared.theirs, NEW))
        await until_waiting(database, changing)
        opening.execute("SELECT FROM unlock_budget FOR NO KEY UPDATE NOWAIT")
    await changing
    assert len(await shared.bodies(NEW)) == 2
