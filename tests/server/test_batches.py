"""Steps of several sessions in one statement: who goes with whom, and that nobody pays for another."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from hushtag.messages import FinishUnlock, Unlocked, encode_binary
from hushtag.unlock import start_unlock
from hushtag_server import database as ways
from hushtag_server.batches import AT_ONCE, MOST_OF_ONE, MOST_STEPS, MOST_WAITING, WORTH_IT, Batches
from hushtag_server.errors import UnavailableError
from hushtag_server.keyfile import KeyRing
from hushtag_server.security_log.recording import RecordedPool
from hushtag_server.settings import Settings
from tests.server.vault_support import enrol, locate, new_password, prove, run_sql, send

pytestmark = pytest.mark.anyio

LOCATE, START, FINISH = "/v1/unlock/locate", "/v1/unlock/start", "/v1/unlock/finish"


class Statements:
    """Stands for the database: keeps what each batch holds, and answers when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self._may_answer: list[asyncio.Event] = []

    async def run(self, contents: Sequence[int]) -> list[int]:
        self.batches.append(list(contents))
        self._may_answer.append(asyncio.Event())
        await self._may_answer[-1].wait()
        return [-content for content in contents]

    def answer(self) -> None:
        """Answer every batch so far."""
        for event in self._may_answer:
            event.set()


async def turns() -> None:
    """Let everything happen that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def whose(number: int) -> bytes:
    return number.to_bytes(48, "big")


def batches_of(run: Any, *, longest_wait: float = 10.0, longest_run: float = 10.0) -> Batches[int, int]:
    return Batches(run, longest_wait=longest_wait, longest_run=longest_run)


async def settled(batches: Batches[int, int], statements: Statements, *results: "asyncio.Future[int | None]") -> Any:
    while not all(result.done() for result in results):
        statements.answer()
        await turns()
    await batches.close()
    return [await result for result in results]


async def test_what_comes_in_one_turn_leaves_as_one_in_the_order_of_the_sessions() -> None:
    statements = Statements()
    batches = batches_of(statements.run)
    results = [batches.make(whose(number), number) for number in (3, 1, 2)]
    await turns()
    assert statements.batches == [[1, 2, 3]]
    assert await settled(batches, statements, *results) == [-3, -1, -2]


async def test_no_batch_has_two_steps_of_one_session_nor_do_two_that_are_on_their_way() -> None:
    statements = Statements()
    batches = batches_of(statements.run)
    results = [batches.make(whose(7), 70), batches.make(whose(7), 71), batches.make(whose(8), 80)]
    await turns()
    assert statements.batches == [[70, 80]]
    results += [batches.make(whose(number), number) for number in range(1, WORTH_IT + 1)]
    await turns()
    assert statements.batches == [[70, 80], [1, 2, 3, 4]]
    assert await settled(batches, statements, *results) == [-70, -71, -80, -1, -2, -3, -4]
    assert statements.batches == [[70, 80], [1, 2, 3, 4], [71]]


async def test_beside_a_batch_leaves_only_what_is_worth_it_and_nothing_beside_two() -> None:
    statements = Statements()
    batches = batches_of(statements.run)
    results = []
    seen = []
    for number in range(1, 2 * WORTH_IT + 3):
        results.append(batches.make(whose(number), number))
        await turns()
        seen.append(len(statements.batches))
    assert seen == [1] * WORTH_IT + [AT_ONCE] * (WORTH_IT + 2)
    await settled(batches, statements, *results)
    assert [len(batch) for batch in statements.batches] == [1, WORTH_IT, WORTH_IT + 1]


async def test_a_batch_has_so_many_steps_and_whoever_asks_often_goes_behind_the_others() -> None:
    statements = Statements()
    batches = batches_of(statements.run)
    often = [batches.make(whose(1), 1) for _ in range(3)]
    others = [batches.make(whose(number), number) for number in range(2, 2 * MOST_STEPS + 2)]
    await turns()
    assert [len(batch) for batch in statements.batches] == [MOST_STEPS, MOST_STEPS]
    await settled(batches, statements, *often, *others)
    assert statements.batches[2:] == [[1, 2 * MOST_STEPS + 1], [1]]


async def test_who_gave_up_is_not_taken_along_and_disturbs_nobody() -> None:
    statements = Statements()
    batches = batches_of(statements.run)
    early, late, patient = (batches.make(whose(number), number) for number in (1, 2, 3))
    early.cancel()
    await turns()
    assert statements.batches == [[2, 3]]
    late.cancel()
    assert await settled(batches, statements, patient) == [-3]


async def test_only_so_many_wait() -> None:
    statements = Statements()
    batches = batches_of(statements.run)
    results = [batches.make(whose(1), number) for number in range(MOST_OF_ONE)]
    with pytest.raises(UnavailableError):
        batches.make(whose(1), 1)
    results += [batches.make(whose(number), number) for number in range(2, MOST_WAITING - MOST_OF_ONE + 2)]
    with pytest.raises(UnavailableError):
        batches.make(whose(1000), 1000)
    assert len(await settled(batches, statements, *results)) == MOST_WAITING


async def test_who_is_made_alone_goes_along_with_nobody_until_then() -> None:
    statements = Statements()
    batches = batches_of(statements.run)
    with batches.apart(whose(1)):
        results = [batches.make(whose(number), number) for number in (1, 2)]
        await turns()
        assert statements.batches == [[2]]
    await settled(batches, statements, *results)
    assert statements.batches == [[2], [1]]


async def test_what_fails_fails_for_everybody_in_it_and_the_next_batch_goes() -> None:
    async def run(contents: Sequence[int]) -> list[int] | None:
        if 1 in contents:
            raise UnavailableError("away")
        return None if 2 in contents else [0 for _ in contents]

    batches = batches_of(run)
    failed = [batches.make(whose(1), 1), batches.make(whose(5), 5)]
    for result in failed:
        with pytest.raises(UnavailableError):
            await result
    assert await batches.make(whose(2), 2) is None
    assert await batches.make(whose(3), 3) == 0


async def test_a_batch_that_is_never_answered_ends() -> None:
    statements = Statements()
    batches = batches_of(statements.run, longest_run=0.01)
    with pytest.raises(UnavailableError):
        await batches.make(whose(1), 1)
    await batches.close()


async def test_who_waited_too_long_is_refused_and_not_taken_along() -> None:
    statements = Statements()
    batches = batches_of(statements.run, longest_wait=0.0)
    with pytest.raises(UnavailableError):
        await batches.make(whose(1), 1)
    assert statements.batches == []


async def test_who_gave_up_takes_nobody_a_place() -> None:
    statements = Statements()
    batches = batches_of(statements.run)
    with batches.apart(whose(1)):
        for number in range(MOST_OF_ONE):
            batches.make(whose(1), number).cancel()
        patient = batches.make(whose(1), 7)
        await turns()
        assert statements.batches == []
    assert await settled(batches, statements, patient) == [-7]
    assert statements.batches == [[7]]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_batch_that_is_given_up_is_not_made_again(begun: bool) -> None:
    statements = Statements()
    batches = batches_of(statements.run)
    result = batches.make(whose(1), 1)
    before = asyncio.all_tasks()
    while asyncio.all_tasks() == before:
        await asyncio.sleep(0)
        if begun:
            await turns()
    for task in asyncio.all_tasks() - before:
        task.cancel()
    with pytest.raises(UnavailableError):
        await result
    again = batches.make(whose(1), 2)
    assert await settled(batches, statements, again) == [-2]


async def test_results_of_another_number_fail_and_leave_nobody_waiting() -> None:
    async def run(_: Sequence[int]) -> list[int]:
        return [1]

    batches = batches_of(run)
    results = [batches.make(whose(1), 1), batches.make(whose(2), 2)]
    for result in results:
        with pytest.raises(RuntimeError):
            await result


async def test_a_closed_pool_takes_nobody_along() -> None:
    batches = batches_of(Statements().run)
    await batches.close()
    with pytest.raises(UnavailableError):
        batches.make(whose(1), 1)


class Unlocker:
    """Somebody with an enrolled phrase."""

    def __init__(self, account: Any, password: Any) -> None:
        self.headers, self.user_id, self.password = account.headers, account.user_id, password


async def _enrolled(client: Any, sign_in: Any) -> list[Unlocker]:
    found = []
    for number in range(8):
        account, password = await sign_in(client, f"person{number}@example.org"), new_password()
        await enrol(client, account.headers, password)
        found.append(Unlocker(account, password))
    return found


@pytest.fixture
async def people(app_client, sign_in):
    """Eight accounts with a phrase each."""
    return await _enrolled(app_client, sign_in)


@pytest.fixture
def sizes(monkeypatch):
    """How many steps each batch had that the database made."""
    found: list[int] = []
    run = ways._run_batch

    async def counted(*arguments: Any) -> Any:
        rows = await run(*arguments)
        if rows is not None:
            found.append(len(rows))
        return rows

    monkeypatch.setattr(ways, "_run_batch", counted)
    return found


def _charged(database: Any) -> dict[str, int]:
    return dict(run_sql(database, "SELECT user_id::text, failures FROM unlock_budget"))


def _events(database: Any) -> dict[tuple[str, str | None], int]:
    query = "SELECT event_type, error_code, count(*) FROM security_audit_logs GROUP BY 1, 2"
    return {(name, error): count for name, error, count in run_sql(database, query)}


async def test_each_of_many_gets_their_own_answer_and_their_own_event(app_client, people, sizes, database) -> None:
    before = _events(database)
    finishing = await asyncio.gather(*(prove(app_client, each.headers, each.password) for each in people))
    messages = [each.message for each in finishing]
    messages[2] = msgspec.structs.replace(messages[2], ke3=encode_binary(bytes(64)))
    stranger = people[3].headers["Authorization"][:-8] + "AAAAAAAA"
    headers = [each.headers for each in people]
    headers[3] = {"Authorization": stranger}
    asked = [send(app_client, *each) for each in zip(headers, [FINISH] * 8, messages, strict=True)]
    answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401, 200, 200, 200, 200]
    assert [answers[2].json()["code"], answers[3].json()["code"]] == ["ceremony_failed", "unauthenticated"]
    for person, answer in zip(finishing, answers, strict=True):
        if answer.status_code == 200:
            tag = person.finish(msgspec.json.decode(answer.content, type=Unlocked))
            assert tag.vaults
    assert max(sizes) == 8
    after = _events(database)
    said = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}
    assert said == {
        ("unlock_located", None): 8,
        ("unlock_started", None): 8,
        ("unlock_finished", None): 6,
        ("unlock_finished", "ceremony_failed"): 1,
    }


async def test_nobody_waits_for_the_row_of_somebody_else_and_nobody_pays_twice(
    app_client, people, sizes, database
) -> None:
    before = _charged(database)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SELECT FROM user_sessions WHERE user_id = %s FOR UPDATE", [people[0].user_id])
        waiting = [asyncio.create_task(locate(app_client, people[0].headers, people[0].password)) for _ in range(2)]
        await asyncio.gather(*(locate(app_client, each.headers, each.password) for each in people[1:]))
        # One batch was refused for the row that is locked. It is refused for it no second time.
        sizes.clear()
        await asyncio.gather(*(locate(app_client, each.headers, each.password) for each in people[1:]))
        assert sum(sizes) == 7
        assert not any(each.done() for each in waiting)
    await asyncio.gather(*waiting)
    assert _charged(database) == {user_id: count + 2 for user_id, count in before.items()}


async def test_one_step_that_the_database_refuses_is_refused_alone(app_client, people, database) -> None:
    # A fault that cannot be caused from outside: the database refuses what this one account writes.
    run_sql(database, "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$")
    only = f"WHEN (NEW.user_id = '{UUID(people[4].user_id)}')"
    trigger = f"CREATE TRIGGER refused BEFORE INSERT ON opaque_sessions FOR EACH ROW {only} EXECUTE FUNCTION refuse()"
    run_sql(database, trigger)
    before = _charged(database)
    asked = [send(app_client, each.headers, LOCATE, _locating(each)) for each in people]
    answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 500, 200, 200, 200]
    spent = {user_id: count - before[user_id] for user_id, count in _charged(database).items()}
    assert spent == {each.user_id: int(each is not people[4]) for each in people}


async def test_the_metrics_count_batches_and_those_that_were_refused(
    settings: Settings, keys: KeyRing, serve_in_process: Any, sign_in: Any, database: Any
) -> None:
    async with serve_in_process(replace(settings, metrics_loopback=True), keys, "127.0.0.1") as client:
        people = await _enrolled(client, sign_in)

        async def counted() -> list[float]:
            text = (await client.get("/metrics")).text
            names = ['hushtag_batches_total{end="made"}', 'hushtag_batches_total{end="refused"}']
            lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
            return [float(lines[name]) for name in [*names, "hushtag_batched_steps_total"]]

        async def locate_all() -> set[int]:
            asked = [send(client, each.headers, LOCATE, _locating(each)) for each in people]
            return {answer.status_code for answer in await asyncio.gather(*asked)}

        made, refused, steps = await counted()
        assert await locate_all() == {200}
        assert await counted() == [made + 1, refused, steps + 8]
        run_sql(database, "ALTER TABLE opaque_sessions ADD CONSTRAINT nothing CHECK (created_at < now()) NOT VALID")
        assert await locate_all() == {500}
        assert await counted() == [made + 1, refused + 1, steps + 16]


def _locating(person: Unlocker) -> Any:
    return start_unlock([person.password]).message


async def test_a_batch_whose_end_nobody_knows_is_not_made_again(app_client, people, monkeypatch, database) -> None:
    before = _charged(database)
    real = ways._call_once

    async def lost(*arguments: Any) -> Any:
        await real(*arguments)
        raise UnavailableError from psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(ways, "_call_once", lost)
    answers = await asyncio.gather(*(send(app_client, each.headers, LOCATE, _locating(each)) for each in people))
    assert {answer.status_code for answer in answers} == {503}
    assert _charged(database) == {user_id: count + 1 for user_id, count in before.items()}


async def test_whoever_knows_an_id_alone_stands_in_nobodys_line(app_client, people, sizes) -> None:
    stranger = {"Authorization": people[0].headers["Authorization"][:-8] + "AAAAAAAA"}
    garbage = [send(app_client, stranger, LOCATE, _locating(people[0])) for _ in range(8)]
    hers = send(app_client, people[0].headers, LOCATE, _locating(people[0]))
    *refused, answer = await asyncio.gather(*garbage, hers)
    assert {each.status_code for each in refused} == {401}
    assert answer.status_code == 200
    assert sizes[0] == 2  # hers goes with the first of the others


async def test_a_step_that_cannot_be_sent_fails_alone(app_client, people, monkeypatch) -> None:
    real = RecordedPool.endings

    def endings(self: RecordedPool) -> bytes:
        if self.subject.user_id == UUID(people[1].user_id):
            raise ValueError("cannot be written")
        return real(self)

    monkeypatch.setattr(RecordedPool, "endings", endings)
    answers = await asyncio.gather(*(send(app_client, each.headers, LOCATE, _locating(each)) for each in people))
    assert [answer.status_code for answer in answers] == [200, 500] + [200] * 6


async def test_a_batch_that_took_too_long_is_not_made_again(app_client, people, monkeypatch) -> None:
    calls = 0

    async def late(*_: Any) -> Any:
        nonlocal calls
        calls += 1
        raise UnavailableError from psycopg.errors.QueryCanceled("statement timeout")

    monkeypatch.setattr(ways, "_call_once", late)
    answers = await asyncio.gather(*(send(app_client, each.headers, LOCATE, _locating(each)) for each in people))
    assert {answer.status_code for answer in answers} == {503}
    assert calls == 1


async def test_of_finishes_at_several_workers_exactly_one_wins(
    app_client, people, settings, keys, serve_in_process
) -> None:
    async with serve_in_process(settings, keys) as other, serve_in_process(settings, keys) as third:
        for person in people[:4]:
            message: FinishUnlock = (await prove(app_client, person.headers, person.password)).message
            asked = [send(client, person.headers, FINISH, message) for client in (app_client, other, third) * 3]
            answers = await asyncio.gather(*asked)
            assert sorted(answer.status_code for answer in answers) == [200] + [401] * 8
