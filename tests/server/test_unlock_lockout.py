"""Lock-outs that grow, the reserve that lets the owner in, and what the owner is told of failed guesses."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest

from hushtag.enrollment import start_enrollment
from hushtag.messages import Locate, RegistrationStarted, Unlocked, encode_binary
from tests.server.vault_support import enrol, locate, new_password, prove, run_sql, send, unlock

pytestmark = pytest.mark.anyio

LOCATE = "/v1/unlock/locate"
ELEMENT = encode_binary(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))
RESERVE = 5  # a quarter of the default capacity of 20
GUESS_SECONDS = 86400 // 20  # until one guess is back


async def guess(client: httpx.AsyncClient, account, count: int = 1) -> httpx.Response:
    return await send(client, account.headers, LOCATE, Locate(suite="hushtag-v1", elements=[ELEMENT] * count))


async def wait_of(client: httpx.AsyncClient, account, count: int = 1) -> int:
    answer = await guess(client, account, count)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_guesses"), answer.text
    return int(answer.headers["Retry-After"])


def pass_time(database, seconds: float) -> None:
    """Move everything the budget remembers into the past by this much."""
    back = timedelta(seconds=seconds)
    for table, moments in (
        ("unlock_budget", ("refilled_at", "failed_at", "failed_before_at")),
        ("user_sessions", ("guesses_at", "guesses_locked_until", "guesses_refused_until")),
    ):
        moved = ", ".join(f"{moment} = {moment} - %s" for moment in moments)
        run_sql(database, f"UPDATE {table} SET {moved}", *[back] * len(moments))


def configure(client: httpx.AsyncClient, **changes) -> None:
    services = client.app.application.application.state["services"]
    object.__setattr__(services, "settings", replace(services.settings, **changes))


def budget(database, column: str):
    return run_sql(database, f"SELECT {column} FROM unlock_budget")[0][0]


# --- lock-outs ----------------------------------------------------------------------------------------------


async def test_a_lock_out_and_a_wait_told_by_a_clock_that_was_ahead_end_as_others_do(
    app_client, sign_in, database
) -> None:
    account = await sign_in(app_client)
    run_sql(database, "UPDATE user_sessions SET guesses_locked_until = now() + interval '1 year'")
    assert 43190 <= await wait_of(app_client, account) <= 43200
    pass_time(database, 43200)
    run_sql(database, "UPDATE user_sessions SET guesses_refused = 1, guesses_refused_until = now() + interval '1 year'")
    assert (await guess(app_client, account)).status_code == 200


async def test_lock_outs_double_from_a_minute_with_every_unproven_guess_beyond_half_the_bucket(
    app_client, sign_in, database
) -> None:
    configure(app_client, guess_capacity=40, guess_refill_per_day=0)
    account = await sign_in(app_client)
    run_sql(database, "UPDATE unlock_budget SET tokens = 40")
    for _ in range(4):
        assert (await guess(app_client, account, 5)).status_code == 200
    locked = []
    for _ in range(11):
        assert (await guess(app_client, account)).status_code == 200
        locked.append(await wait_of(app_client, account))
        pass_time(database, locked[-1])
    assert locked == [60 * 2**step for step in range(10)] + [12 * 3600]


async def test_a_locked_session_is_told_the_rest_of_the_time_and_spends_nothing(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    for _ in range(3):
        await guess(app_client, account, 5)
    first = await wait_of(app_client, account)
    assert first == 60 * 2**4  # five guesses beyond ten
    before = budget(database, "tokens")
    pass_time(database, 100)
    assert await wait_of(app_client, account) in {first - 100, first - 101}
    started = await send(app_client, account.headers, "/v1/registrations", start_enrollment(new_password()).message)
    assert started.status_code == 429
    assert budget(database, "tokens") == before


async def test_enrolments_that_come_to_nothing_lock_out_as_well(app_client, sign_in) -> None:
    account = await sign_in(app_client)
    for _ in range(11):
        started = await send(app_client, account.headers, "/v1/registrations", start_enrollment(new_password()).message)
        assert started.status_code == 201
    assert 55 <= await wait_of(app_client, account) <= 60


async def test_a_session_held_before_and_after_does_not_see_what_was_opened_in_between(app_client, sign_in) -> None:
    for wrong in range(3):
        said = []
        for opens in (True, False):
            email, password = f"eve{wrong}{opens}@example.org", new_password()
            account = await sign_in(app_client, email)
            if opens:
                await enrol(app_client, account.headers, password)
            else:
                await guess(app_client, account)
            assert [(await guess(app_client, account, count)).status_code for count in (5, 3)] == [200, 200]
            if opens:  # by the owner, with as many other candidates
                await unlock(app_client, account, *(new_password() for _ in range(wrong)), password)
            elif wrong:  # nobody opens anything; somebody tries the other candidates elsewhere
                await guess(app_client, await sign_in(app_client, email), wrong)
            answers = [await guess(app_client, account, count) for count in (1, 1, 1, 5)]
            waits = [round(int(answer.headers.get("Retry-After", 0)) / 60) for answer in answers]
            said.append([(answer.status_code, wait) for answer, wait in zip(answers, waits, strict=True)])
        assert said[0] == said[1]
        assert said[0][-1][0] == 429


async def test_a_lock_out_that_was_told_is_told_to_its_end(app_client, sign_in) -> None:
    account, password = await sign_in(app_client), new_password()
    await enrol(app_client, account.headers, password)
    for count in (5, 4):
        assert (await guess(app_client, account, count)).status_code == 200
    finishing = await prove(app_client, account.headers, password)
    told = await wait_of(app_client, account)
    assert (await send(app_client, account.headers, "/v1/unlock/finish", finishing.message)).status_code == 200
    assert await wait_of(app_client, account) in {told, told - 1}


async def test_what_was_not_proved_is_forgotten_at_half_the_rate_at_which_guesses_come_back(
    app_client, sign_in, database
) -> None:
    account = await sign_in(app_client)
    for count in (5, 5):
        assert (await guess(app_client, account, count)).status_code == 200
    pass_time(database, 2 * 3 * GUESS_SECONDS)
    for _ in range(3):
        assert (await guess(app_client, account)).status_code == 200
    assert (await guess(app_client, account)).status_code == 200
    assert 55 <= await wait_of(app_client, account) <= 60


async def test_proving_a_phrase_of_ones_own_ends_no_lock_out_for_wrong_guesses(app_client, sign_in, database) -> None:
    configure(app_client, guess_refill_per_day=0)
    account, own = await sign_in(app_client), new_password()
    await enrol(app_client, account.headers, own)
    pending = [await prove(app_client, account.headers, own) for _ in range(4)]
    assert (await guess(app_client, account, 5)).status_code == 200
    for finishing in pending:
        answer = await send(app_client, account.headers, "/v1/unlock/finish", finishing.message)
        assert answer.status_code == 200
    assert (await guess(app_client, account, 4)).status_code == 200  # what was proved is free again, and no more
    waits = []
    for _ in range(3):
        await unlock(app_client, account, own)
        assert (await guess(app_client, account)).status_code == 200
        waits.append(await wait_of(app_client, account))
        pass_time(database, waits[-1])
    assert waits == [60, 120, 240]


async def test_who_types_the_right_phrase_is_never_locked_out_by_it(app_client, sign_in, database) -> None:
    account, password = await sign_in(app_client), new_password()
    await enrol(app_client, account.headers, password)
    for count in (5, 4):
        assert (await guess(app_client, account, count)).status_code == 200
    for _ in range(12):
        await unlock(app_client, account, password)


async def test_who_speaks_the_right_phrase_is_never_locked_out_by_what_else_was_heard(app_client, sign_in) -> None:
    configure(app_client, guess_capacity=40, guess_refill_per_day=0)
    account, password = await sign_in(app_client), new_password()
    await enrol(app_client, account.headers, password)
    for _ in range(7):  # 28 wrong candidates, of which 20 in a row are free
        await unlock(app_client, account, *(new_password() for _ in range(4)), password)
    assert (await guess(app_client, account)).status_code == 200


async def test_a_proof_takes_its_guess_out_of_the_lock_outs_of_its_session_alone(app_client, sign_in) -> None:
    account, other = await sign_in(app_client), await sign_in(app_client)
    password = new_password()
    await enrol(app_client, account.headers, password)
    finishing = await prove(app_client, account.headers, password)
    for session in (account, other):
        await guess(app_client, session, 5)
        assert (await guess(app_client, session, 4)).status_code == 200
    for _ in range(2):
        await guess(app_client, other)
    told = await wait_of(app_client, other)
    assert (await send(app_client, account.headers, "/v1/unlock/finish", finishing.message)).status_code == 200
    # Whoever watches with another session sees no difference: it would tell that there is a tag.
    assert await wait_of(app_client, other) in {told, told - 1}
    assert (await guess(app_client, account)).status_code == 200


async def test_a_lock_out_survives_a_restart_and_new_tags(settings, keys, serve_in_process, sign_in, database) -> None:
    async with serve_in_process(settings, keys) as client:
        account = await sign_in(client)
        password = new_password()
        await enrol(client, account.headers, password)
        for _ in range(2):
            await guess(client, account, 5)
    async with serve_in_process(settings, keys) as client:
        assert 55 <= await wait_of(client, account) <= 60
        run_sql(database, "DELETE FROM wrapped_keys")
        run_sql(database, "DELETE FROM secret_tags")
        assert 55 <= await wait_of(client, account) <= 60
        again = await sign_in(client)
        await enrol(client, again.headers, password)
        assert 50 <= await wait_of(client, account) <= 60
        assert budget(database, "tokens") == pytest.approx(20 - 1 - 10 - 1, abs=0.1)


async def test_lock_outs_are_the_same_with_and_without_tags(app_client, sign_in) -> None:
    with_tag, without = await sign_in(app_client), await sign_in(app_client, "eve@example.org")
    await enrol(app_client, with_tag.headers, new_password())
    await guess(app_client, without)
    said = []
    for account in (with_tag, without):
        answers = [await guess(app_client, account) for _ in range(13)]
        waits = [int(answer.headers.get("Retry-After", 0)) for answer in answers]
        assert all(58 <= wait <= 60 for wait in waits if wait)
        said.append(
            [(answer.status_code, set(answer.headers), bool(wait)) for answer, wait in zip(answers, waits, strict=True)]
        )
    assert said[0] == said[1]
    assert [status for status, *_ in said[0]] == [200] * 10 + [429] * 3


async def test_parallel_guesses_lock_out_as_if_one_came_after_the_other(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    answers = await asyncio.gather(*(guess(app_client, account) for _ in range(40)))
    assert sum(answer.status_code == 200 for answer in answers) == 11
    assert budget(database, "failures") == 11


# --- the reserve --------------------------------------------------------------------------------------------


async def burn(client: httpx.AsyncClient, session) -> int:
    """Guess whatever the session is let; return how many guesses were answered."""
    return sum([count * ((await guess(client, session, count)).status_code == 200) for count in (5, 5, 5, 2, 1, 1)])


async def test_who_burns_every_guess_as_it_comes_keeps_no_fresh_session_out(app_client, sign_in, database) -> None:
    configure(app_client, guess_lockout=timedelta(0))
    thieves = [await sign_in(app_client) for _ in range(2)]
    password = new_password()
    await enrol(app_client, thieves[0].headers, password)  # by the owner, before the phone was stolen
    answered = 0
    for hour in range(0, 48, 3):
        for thief in thieves:
            answered += await burn(app_client, thief)
        if hour > 3 * RESERVE * GUESS_SECONDS / 3600:
            # Two sessions have had their share of the reserve, and it has filled again: from now on it stays.
            assert budget(database, "tokens") >= RESERVE
        pass_time(database, 3 * 3600)
    assert answered <= 20 - 1 + 48 * 20 / 24
    for thief in thieves:
        answered += await burn(app_client, thief)
        assert await wait_of(app_client, thief) > 0
    owner = await sign_in(app_client)
    vault = await unlock(app_client, owner, new_password(), password)
    assert vault.tag.failed_guesses == answered
    for _ in range(RESERVE + 1):  # what the owner proves comes back, so there is no end to it
        await burn(app_client, thieves[0])
        await unlock(app_client, owner, password)


async def test_the_reserve_lets_in_at_the_latest_when_the_shares_of_all_thieves_have_come_back(
    app_client, sign_in, database
) -> None:
    configure(app_client, guess_lockout=timedelta(0))
    thieves, owner = [await sign_in(app_client) for _ in range(2)], await sign_in(app_client)
    waited, step = 0, 3600
    for thief in thieves:
        await burn(app_client, thief)
    while (await guess(app_client, owner)).status_code != 200:
        pass_time(database, step)
        waited += step
        for thief in thieves:
            await burn(app_client, thief)
    # What the first left of the reserve the second took, and what came back of it, until both had their share.
    assert RESERVE * GUESS_SECONDS <= waited <= (2 * RESERVE + 1) * GUESS_SECONDS + step


async def test_proving_a_tag_of_ones_own_gives_no_second_share_of_the_reserve(app_client, sign_in, database) -> None:
    configure(app_client, guess_lockout=timedelta(0), guess_refill_per_day=0)
    thief, password = await sign_in(app_client), new_password()
    await enrol(app_client, thief.headers, password)
    pending = [await prove(app_client, thief.headers, password) for _ in range(3)]
    answered = await burn(app_client, thief) + await burn(app_client, thief)
    assert budget(database, "tokens") == 0
    for finishing in pending:
        await send(app_client, thief.headers, "/v1/unlock/finish", finishing.message)
    run_sql(database, "UPDATE user_sessions SET guesses_refused_until = NULL, guesses_refused = NULL")
    answered += await burn(app_client, thief)
    # Every guess that was not proved is paid; three were proved, and are spent again on wrong ones, once.
    assert answered == 20 - 1
    run_sql(database, "UPDATE unlock_budget SET tokens = %s", RESERVE)
    run_sql(database, "UPDATE user_sessions SET guesses_refused_until = NULL, guesses_refused = NULL")
    assert await burn(app_client, thief) == 0
    assert budget(database, "tokens") == RESERVE


async def test_asking_again_and_again_shows_nothing_of_another_session(app_client, sign_in, database) -> None:
    configure(app_client, guess_lockout=timedelta(0))
    watcher, owner, password = await sign_in(app_client), await sign_in(app_client), new_password()
    await enrol(app_client, owner.headers, password)
    while (await guess(app_client, watcher)).status_code == 200:
        pass
    run_sql(database, "UPDATE unlock_budget SET tokens = %s", RESERVE)
    told = [await wait_of(app_client, watcher)]
    finishing = await prove(app_client, owner.headers, password)
    told.append(await wait_of(app_client, watcher))
    assert (await send(app_client, owner.headers, "/v1/unlock/finish", finishing.message)).status_code == 200
    told.append(await wait_of(app_client, watcher))
    assert told[0] - told[-1] <= 3
    assert sorted(told, reverse=True) == told


async def test_whoever_asked_for_five_may_ask_for_the_four_that_are_left(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    run_sql(database, "UPDATE unlock_budget SET tokens = 4.5")
    assert await wait_of(app_client, account, 5) == pytest.approx(GUESS_SECONDS / 2, abs=2)
    assert (await guess(app_client, account, 4)).status_code == 200


# --- what the owner is told ---------------------------------------------------------------------------------


async def test_an_unlock_tells_how_many_guesses_failed_and_when_the_last_was(app_client, sign_in, database) -> None:
    owner, thief, password = await sign_in(app_client), await sign_in(app_client), new_password()
    await enrol(app_client, owner.headers, password)
    first = await unlock(app_client, owner, password)
    assert (first.tag.failed_guesses, first.tag.last_failed_at) == (0, None)
    await guess(app_client, thief, 3)
    run_sql(database, "UPDATE unlock_budget SET failed_at = failed_at - interval '2 hours'")
    await locate(app_client, owner.headers, new_password())
    before = datetime.now(UTC)
    second = await unlock(app_client, owner, new_password(), password)
    assert second.tag.failed_guesses == 4  # not the wrong candidate of the unlock itself
    assert second.tag.last_failed_at is not None
    assert before - timedelta(minutes=1) < second.tag.last_failed_at <= before + timedelta(seconds=1)
    await guess(app_client, thief)
    run_sql(database, "UPDATE unlock_budget SET failed_at = '2026-01-02T03:04:05Z'")
    third = await unlock(app_client, owner, password)
    assert (third.tag.failed_guesses, third.tag.last_failed_at) == (1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert (await unlock(app_client, owner, password)).tag.failed_guesses == 0


async def test_a_guess_between_locate_and_proof_is_told(app_client, sign_in) -> None:
    owner, thief, password = await sign_in(app_client), await sign_in(app_client), new_password()
    await enrol(app_client, owner.headers, password)
    finishing = await prove(app_client, owner.headers, password)
    await guess(app_client, thief, 2)
    answer = await send(app_client, owner.headers, "/v1/unlock/finish", finishing.message)
    assert answer.json()["failed_guesses"] == 2
    assert answer.json()["last_failed_at"] is not None


async def test_an_enrolment_counts_as_failed_until_it_ends(app_client, sign_in) -> None:
    account, password = await sign_in(app_client), new_password()
    await enrol(app_client, account.headers, password)
    assert (await unlock(app_client, account, password)).tag.failed_guesses == 0
    started = await send(app_client, account.headers, "/v1/registrations", start_enrollment(new_password()).message)
    assert started.status_code == 201
    assert (await unlock(app_client, account, password)).tag.failed_guesses == 1


async def test_enrolments_within_an_unlock_take_no_time_from_a_guess_that_failed(app_client, sign_in) -> None:
    owner, thief, password = await sign_in(app_client), await sign_in(app_client), new_password()
    await enrol(app_client, owner.headers, password)
    await guess(app_client, thief)
    finishing = await prove(app_client, owner.headers, password)
    awaiting = [start_enrollment(new_password()) for _ in range(2)]
    started = [await send(app_client, owner.headers, "/v1/registrations", each.message) for each in awaiting]
    for each, answer in zip(awaiting, started, strict=True):
        enrolled = each.finish(msgspec.json.decode(answer.content, type=RegistrationStarted), label="")
        assert (await send(app_client, owner.headers, "/v1/tags", enrolled.message)).status_code == 201
    answer = await send(app_client, owner.headers, "/v1/unlock/finish", finishing.message)
    tag = finishing.finish(msgspec.json.decode(answer.content, type=Unlocked))
    assert tag.failed_guesses == 1
    assert tag.last_failed_at is not None


async def test_nothing_is_told_outside_the_vault(app_client, sign_in) -> None:
    account = await sign_in(app_client)
    await guess(app_client, account, 3)
    for path in ("/v1/account", "/v1/sessions", "/v1/account/audit", "/v1/account/settings"):
        answer = await app_client.get(path, headers=account.headers)
        assert answer.status_code == 200
        assert b"guess" not in answer.content
        assert b"failed_" not in answer.content


async def test_the_count_is_the_accounts_and_ends_with_the_proof_of_any_phrase(app_client, sign_in) -> None:
    # SECURITY.md says so: whoever has a phrase of their own can hide guesses from the owner, and pays for each.
    owner, thief, password, own = await sign_in(app_client), await sign_in(app_client), new_password(), new_password()
    await enrol(app_client, owner.headers, password)
    await enrol(app_client, thief.headers, own)
    await guess(app_client, thief, 3)
    assert (await unlock(app_client, thief, new_password(), own)).tag.failed_guesses == 3
    assert (await unlock(app_client, owner, password)).tag.failed_guesses == 0
    await guess(app_client, thief, 2)
    assert (await unlock(app_client, owner, password)).tag.failed_guesses == 2
