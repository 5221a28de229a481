"""The guess budget: exact under parallel requests, charged before any evaluation, one guess back for one success."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from hushtag.enrollment import start_enrollment
from hushtag.messages import Locate, encode_binary
from hushtag.unlock import start_unlock
from tests.server.vault_support import (
    comparable,
    enrol,
    locate,
    new_password,
    prove,
    run_sql,
    send,
    unlock,
)

pytestmark = pytest.mark.anyio

LOCATE = "/v1/unlock/locate"
CAPACITY = 7
ELEMENT = encode_binary(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))


@pytest.fixture
def settings(settings):
    # A bucket too small for a reserve, and no lock-outs: test_unlock_lockout has those.
    return replace(settings, guess_capacity=CAPACITY, guess_refill_per_day=0, guess_lockout=timedelta(0))


def tokens(database) -> float:
    return run_sql(database, "SELECT tokens FROM unlock_budget")[0][0]


async def guess(client: httpx.AsyncClient, headers: dict[str, str], count: int = 1) -> httpx.Response:
    return await send(client, headers, LOCATE, Locate(suite="hushtag-v1", elements=[ELEMENT] * count))


async def test_of_fifty_parallel_guesses_exactly_the_capacity_is_answered(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    answers = await asyncio.gather(*(guess(app_client, account.headers) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * CAPACITY + [429] * (50 - CAPACITY)
    assert tokens(database) == 0
    assert run_sql(database, "SELECT count(*) FROM opaque_sessions") == [(CAPACITY,)]


async def test_parallel_groups_of_candidates_are_charged_whole_or_not_at_all(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    answers = await asyncio.gather(*(guess(app_client, account.headers, 3) for _ in range(20)))
    assert sum(answer.status_code == 200 for answer in answers) == CAPACITY // 3
    assert tokens(database) == CAPACITY % 3


async def test_spent_guesses_say_when_to_come_back_and_nothing_else(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    for _ in range(CAPACITY):
        assert (await guess(app_client, account.headers)).status_code == 200
    answer = await guess(app_client, account.headers)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_guesses")
    assert int(answer.headers["Retry-After"]) == answer.json()["retry_after"] >= 1


async def test_the_wait_is_until_enough_guesses_are_back(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    services = app_client.app.application.application.state["services"]
    refilling = replace(services.settings, guess_refill_per_day=24)  # one an hour
    object.__setattr__(services, "settings", refilling)
    run_sql(database, "UPDATE unlock_budget SET tokens = 0.5, refilled_at = now()")
    wait = int((await guess(app_client, account.headers)).headers["Retry-After"])
    assert 1790 <= wait <= 1800
    run_sql(database, "UPDATE unlock_budget SET refilled_at = now() - interval '31 minutes'")
    run_sql(database, "UPDATE user_sessions SET guesses_refused_until = guesses_refused_until - interval '31 minutes'")
    assert (await guess(app_client, account.headers)).status_code == 200


async def test_guesses_come_back_up_to_the_capacity_and_no_further(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    services = app_client.app.application.application.state["services"]
    object.__setattr__(services, "settings", replace(services.settings, guess_refill_per_day=24))
    run_sql(database, "UPDATE unlock_budget SET tokens = 1, refilled_at = now() - interval '10 years'")
    answers = [await guess(app_client, account.headers) for _ in range(CAPACITY + 1)]
    assert [answer.status_code for answer in answers] == [200] * CAPACITY + [429]


async def test_a_clock_that_goes_back_gives_no_guesses_and_breaks_nothing(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    services = app_client.app.application.application.state["services"]
    object.__setattr__(services, "settings", replace(services.settings, guess_refill_per_day=24))
    run_sql(database, "UPDATE unlock_budget SET tokens = 1, refilled_at = now() + interval '1 day'")
    assert (await guess(app_client, account.headers)).status_code == 200
    assert (await guess(app_client, account.headers)).status_code == 429


async def test_a_budget_spent_under_a_clock_that_was_ahead_fills_as_any_other(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    services = app_client.app.application.application.state["services"]
    object.__setattr__(services, "settings", replace(services.settings, guess_refill_per_day=24))
    run_sql(database, "UPDATE unlock_budget SET tokens = 0, refilled_at = now() + interval '1 year'")
    assert (await guess(app_client, account.headers)).status_code == 429
    assert tokens(database) == 0
    for past in (
        "UPDATE unlock_budget SET refilled_at = refilled_at - interval '1 hour'",
        "UPDATE user_sessions SET guesses_refused_until = guesses_refused_until - interval '1 hour'",
    ):
        run_sql(database, past)
    assert (await guess(app_client, account.headers)).status_code == 200
    assert (await guess(app_client, account.headers)).status_code == 429


async def test_a_refused_guess_evaluates_nothing_and_keeps_nothing(app_client, sign_in, database, monkeypatch) -> None:
    account = await sign_in(app_client)
    run_sql(database, "UPDATE unlock_budget SET tokens = 0.999")
    evaluated: list[object] = []
    monkeypatch.setattr("hushtag._opaque.answer_registration", lambda *given: evaluated.append(given))
    for answer in (
        await guess(app_client, account.headers),
        await send(app_client, account.headers, "/v1/registrations", start_enrollment(new_password()).message),
    ):
        assert answer.status_code == 429
    assert evaluated == []
    assert run_sql(database, "SELECT count(*) FROM opaque_sessions") == [(0,)]
    assert tokens(database) == 0.999


async def test_an_element_outside_the_group_was_charged(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    message = Locate(suite="hushtag-v1", elements=[ELEMENT, encode_binary(b"\xff" * 32)])
    assert (await send(app_client, account.headers, LOCATE, message)).status_code == 400
    assert tokens(database) == CAPACITY - 2


async def test_a_message_of_the_wrong_shape_costs_nothing(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    for elements in ([], [ELEMENT] * 6, [ELEMENT[:-1]]):
        answer = await send(app_client, account.headers, LOCATE, {"suite": "hushtag-v1", "elements": elements})
        assert answer.status_code == 400
    assert tokens(database) == CAPACITY


async def test_an_enrolment_costs_one_guess_and_gives_none_back(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    await enrol(app_client, account.headers, new_password())
    assert tokens(database) == CAPACITY - 1


async def test_an_unlock_gives_back_the_one_guess_that_was_right(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    password = new_password()
    await enrol(app_client, account.headers, password)
    await unlock(app_client, account, new_password(), password, new_password())
    assert tokens(database) == CAPACITY - 1 - 3 + 1


async def test_the_guess_comes_back_with_the_proof_and_not_before(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    password = new_password()
    await enrol(app_client, account.headers, password)
    finishing = await prove(app_client, account.headers, password)
    assert tokens(database) == CAPACITY - 2
    answers = await asyncio.gather(
        *(send(app_client, account.headers, "/v1/unlock/finish", finishing.message) for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    assert tokens(database) == CAPACITY - 1


async def test_a_refund_never_exceeds_the_capacity(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    password = new_password()
    await enrol(app_client, account.headers, password)
    finishing = await prove(app_client, account.headers, password)
    run_sql(database, "UPDATE unlock_budget SET tokens = %s", CAPACITY - 0.25)
    assert (await send(app_client, account.headers, "/v1/unlock/finish", finishing.message)).status_code == 200
    assert tokens(database) == CAPACITY


async def test_a_wrong_proof_gives_nothing_back(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    proving = await locate(app_client, account.headers, new_password())
    started = await send(app_client, account.headers, "/v1/unlock/start", proving.message)
    step = {name: started.json()[name] for name in ("session_id", "state")}
    message = {**step, "candidate": 0, "ke3": encode_binary(bytes(64)), "release": encode_binary(bytes(32))}
    assert (await send(app_client, account.headers, "/v1/unlock/finish", message)).status_code == 401
    assert tokens(database) == CAPACITY - 1


async def test_budgets_are_per_account_and_survive_another_login(app_client, sign_in) -> None:
    account = await sign_in(app_client)
    for _ in range(CAPACITY):
        await guess(app_client, account.headers)
    again = await sign_in(app_client)
    assert (await guess(app_client, again.headers)).status_code == 429
    other = await sign_in(app_client, "eve@example.org")
    assert (await guess(app_client, other.headers)).status_code == 200


async def test_the_budget_says_the_same_with_and_without_tags(app_client, sign_in, database) -> None:
    with_tag, without = await sign_in(app_client), await sign_in(app_client, "eve@example.org")
    await enrol(app_client, with_tag.headers, new_password())
    await guess(app_client, without.headers)
    answers: list[list[object]] = [[], []]
    for said, account in zip(answers, (with_tag, without), strict=True):
        for _ in range(CAPACITY):
            answer = await guess(app_client, account.headers)
            said.append(comparable(answer) if answer.status_code != 200 else (200, set(answer.headers)))
    assert answers[0] == answers[1]


async def test_a_locked_account_may_not_guess(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    run_sql(database, "UPDATE unlock_budget SET locked_until = now() + interval '1 hour'")
    answer = await guess(app_client, account.headers)
    assert answer.status_code == 429
    assert 3590 <= int(answer.headers["Retry-After"]) <= 3600


async def test_without_a_budget_row_nobody_may_guess(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    run_sql(database, "DELETE FROM unlock_budget")
    assert (await guess(app_client, account.headers)).status_code == 429
    refused = await send(app_client, account.headers, "/v1/registrations", start_enrollment(new_password()).message)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_guesses")


async def test_every_element_of_a_locate_is_answered_as_if_alone(app_client, sign_in) -> None:
    account = await sign_in(app_client)
    message = start_unlock([new_password(), new_password()]).message
    together = (await send(app_client, account.headers, LOCATE, message)).json()["responses"]
    alone = [
        (await send(app_client, account.headers, LOCATE, {"suite": message.suite, "elements": [element]})).json()
        for element in message.elements
    ]
    assert together == [answer["responses"][0] for answer in alone]
