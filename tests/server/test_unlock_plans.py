"""What the statements of an unlock read: the rows they are about, however many others the account has."""

import re
from typing import Any

import psycopg
import pytest

from hushtag_server import database as ways
from tests.server.vault_support import enrol, new_password, run_sql, unlock

pytestmark = pytest.mark.anyio

OTHERS = 300
"""States of unlocks of the last minutes that were not gone on with."""
_REMOVED = re.compile(r"Rows Removed by (?:Filter|Index Recheck): (\d+)")


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
