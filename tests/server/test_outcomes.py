"""Words of the database's functions: only those that name the deed are answered as success."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from hushtag_server.errors import NotFoundError
from hushtag_server.outcomes import UnknownOutcomeError, check_outcome
from tests.server.vault_support import new_password, open_vault, run_sql, send_enrolment
from tests.streams.support import Streams

pytestmark = pytest.mark.anyio

JOURNAL = {"title": "a day", "entry_date": "2026-01-02"}
Ask = Callable[[Streams, dict[str, str]], Awaitable[httpx.Response]]


async def _enrol(streams: Streams, account: dict[str, str]) -> httpx.Response:
    return (await send_enrolment(streams.client, account, new_password()))[0]


DEEDS: dict[str, Ask] = {
    "hushtag_enrol_tag": _enrol,
    "hushtag_put_object": lambda streams, _: streams.vault.put(uuid4(), b"body"),
    "hushtag_forget_old_keys": lambda streams, _: streams.client.delete(
        streams.vault.url() + "/old-keys", headers=streams.vault.headers
    ),
    "hushtag_finish_segment": lambda streams, _: streams.put(uuid4(), 0, b"segment"),
    "hushtag_end_stream": lambda streams, _: streams.end(uuid4()),
}


def _answers(database: Any, function: str, word: str | None) -> None:
    """Let a function of the database do nothing but answer this word."""
    ((given,),) = run_sql(
        database, "SELECT pg_get_function_identity_arguments(oid) FROM pg_proc WHERE proname = %s", function
    )
    answer = "NULL::text" if word is None else f"'{word}'::text"
    run_sql(
        database, f"CREATE OR REPLACE FUNCTION {function}({given}) RETURNS text LANGUAGE sql AS $$ SELECT {answer} $$"
    )


@pytest.mark.parametrize("word", [None, "mislaid"])
@pytest.mark.parametrize("function", DEEDS)
async def test_a_word_nobody_knows_is_an_internal_error_that_the_log_names(
    app_client: httpx.AsyncClient,
    sign_in: Callable[..., Any],
    database: Any,
    caplog: pytest.LogCaptureFixture,
    function: str,
    word: str | None,
) -> None:
    account = await sign_in(app_client)
    streams = Streams(await open_vault(app_client, account))
    _answers(database, function, word)
    answer = await DEEDS[function](streams, account.headers)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    record = next(record for record in caplog.records if record.message == "internal error")
    assert record.error[0] == "hushtag_server.outcomes.UnknownOutcomeError"  # type: ignore[attr-defined]


async def test_an_entry_is_stored_only_if_the_database_says_so(
    app_client: httpx.AsyncClient, sign_in: Callable[..., Any], database: Any
) -> None:
    headers = (await sign_in(app_client)).headers
    source = run_sql(database, "SELECT pg_get_functiondef('hushtag_create_journal'::regproc)")[0][0]
    assert "outcome := 'created'" in source
    run_sql(database, source.replace("outcome := 'created'", "outcome := 'mislaid'"))
    answer = await app_client.post("/v1/journals", json=JOURNAL, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


def test_the_words_of_the_deed_pass_and_each_refusal_has_its_error() -> None:
    check_outcome("known", "stored", "known")
    with pytest.raises(NotFoundError):
        check_outcome("not_found", "stored", "known")
    for word in ("created", "", None):
        with pytest.raises(UnknownOutcomeError):
            check_outcome(word, "stored", "known")
