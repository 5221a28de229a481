"""What statements read: the rows they are about, however many others the account, the vault or the database has."""

import re
from typing import Any

import psycopg
import pytest

from benchmarks.growth_rows import fill_users
from hushtag_server import database as ways
from tests.server.vault_support import enrol, new_id, new_password, open_vault, run_sql, unlock

pytestmark = pytest.mark.anyio

OTHERS = 300
"""States of unlocks of the last minutes that were not gone on with."""
_REMOVED = re.compile(r"Rows Removed by (?:Filter|Join Filter|Index Recheck): (\d+)")
_OBJECTS_READ = re.compile(r" on vault_blobs \w+ .*actual time=\S+ rows=(\d+)")


@pytest.fixture
def plans(database: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every plan that the server's calls made, those inside of functions too, with what it read."""
    found: list[str] = []
    with psycopg.connect(database.admin_url, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        role = psycopg.conninfo.conninfo_to_dict(database.app_url)["user"]
        for setting in (
            "LOAD 'auto_explain'",
            "SET auto_explain.log_min_duration = 0",
            "SET auto_explain.log_nested_statements = on",
            "SET auto_explain.log_analyze = on",
            "SET plan_cache_mode = force_generic_plan",
            "SET TimeZone = 'UTC'",
            "SET app.most_vault_sessions = 2",  # so few are looked at every time
            "SET client_min_messages = log",
            f'SET ROLE "{role}"',
        ):
            connection.execute(setting)
        connection.add_notice_handler(lambda said: found.append(said.message_primary or ""))

        async def explained(_: Any, statement: Any, values: Any) -> Any:
            return connection.execute(statement, values).fetchall()

        monkeypatch.setattr(ways, "_call_once", explained)
        yield found


async def test_an_unlock_reads_no_row_that_it_is_not_about(app_client, sign_in, database, plans) -> None:
    account, password = await sign_in(app_client), new_password()
    await enrol(app_client, account.headers, password)
    run_sql(
        database,
        "INSERT INTO opaque_sessions (user_id, session_id, user_session_id, session_state, expires_at)"
        " SELECT user_id, lpad(to_hex(n), 64, '0'), id, 'login_started', now() + interval '1 minute'"
        " FROM user_sessions, generate_series(1, %s) n",
        OTHERS,
    )
    run_sql(database, "ANALYZE opaque_sessions")
    plans.clear()
    await unlock(app_client, account, password)
    assert sum("opaque_sessions" in plan for plan in plans) >= 5
    assert any("last_activity DESC" in plan for plan in plans)  # the look at the sessions of the phrase
    idle = [plan for plan in plans if any(int(count) > 1 for count in _REMOVED.findall(plan))]
    assert idle == []


_OTHERS_HAVE = """
    INSERT INTO vault_blobs (user_id, vault_id, object_id, wrapped_key_id, iv, ciphertext, auth_tag, content_size,
                             key_version, revision, row_digest)
    SELECT k.user_id, k.vault_id, gen_random_uuid(), k.id, b.iv, b.ciphertext, b.auth_tag, b.content_size, 1, 1,
           b.row_digest
    FROM vault_blobs b, wrapped_keys k, generate_series(1, CASE WHEN k.id = b.wrapped_key_id THEN 3000 ELSE 3 END)
"""


@pytest.mark.parametrize("analysed", [True, False])
async def test_objects_are_found_without_reading_the_vault(app_client, sign_in, database, plans, analysed) -> None:
    """Of a new table the planner knows nothing, and of a vault among those of many users it thinks that it is small."""
    vault = await open_vault(app_client, await sign_in(app_client))
    one, two, film = (new_id() for _ in range(3))
    await vault.put(one, b"one")  # so that plans are made while the table is small
    await vault.put_several(vault.several({one: b"two", two: b"new"}))
    await vault.delete_several(vault.several_deletions([two]))
    if analysed:
        fill_users(database.admin_url, 1000)
    run_sql(database, f"SET session_replication_role = replica; {_OTHERS_HAVE}")
    if analysed:
        run_sql(database, "ANALYZE")
    plans.clear()
    assert (await vault.put(film, b"film")).status_code == 201
    assert (await vault.put(film, b"a still", revision=2)).status_code == 200
    several = {one: b"three", film: b"again", **{new_id(): b"new" for _ in range(20)}}
    assert (await vault.put_several(vault.several(several))).status_code == 200
    assert (await vault.get(vault.url(film))).status_code == 200
    assert (await vault.delete(film, revision=3)).status_code == 200
    assert (await vault.delete_several(vault.several_deletions(list(vault.rows)))).status_code == 200
    read = [plan for plan in plans if "vault_blobs" in plan]
    assert len(read) >= 10
    asked = len(several)  # rows of the message itself, of which each statement takes its part
    assert [plan for plan in read if any(int(count) > asked for count in _REMOVED.findall(plan))] == []
    assert [plan for plan in read if any(int(count) > 1 for count in _OBJECTS_READ.findall(plan))] == []
    plans.clear()
    assert (await vault.get(f"{vault.url()}/objects?limit=50")).status_code == 200
    (page,) = [plan for plan in plans if "vault_blobs" in plan]
    assert [int(count) for count in _OBJECTS_READ.findall(page)] == [50]
