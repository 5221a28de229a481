"""Unlock over HTTP on real PostgreSQL: the way in, and every message replayed, reordered, late or of somebody else."""

import asyncio

import httpx
import msgspec
import pytest

from hushtag.messages import Candidate, FinishUnlock, Located, StartUnlock, UnlockStarted, decode_binary, encode_binary
from hushtag.objects import ObjectRow, open_object
from hushtag.unlock import start_unlock
from hushtag_server.vault import unlock_steps
from tests.server.vault_support import (
    comparable,
    enrol,
    locate,
    new_id,
    new_password,
    open_vault,
    prove,
    run_sql,
    send,
    unlock,
)

pytestmark = pytest.mark.anyio

LOCATE, START, FINISH = "/v1/unlock/locate", "/v1/unlock/start", "/v1/unlock/finish"
GROUP_ELEMENT = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")


@pytest.fixture
async def account(app_client, sign_in):
    """A signed-in account with one enrolled phrase, `account.password`."""
    signed_in = await sign_in(app_client)
    password = new_password()
    await enrol(app_client, signed_in.headers, password)
    object.__setattr__(signed_in, "password", password)
    return signed_in


async def refused(client: httpx.AsyncClient, headers: dict[str, str], path: str, message: object) -> None:
    """The one answer of every failed ceremony: that of a session id nobody ever made."""
    unknown = FinishUnlock(
        session_id="0" * 64, state="AAAA", candidate=0, ke3=encode_binary(bytes(64)), release=encode_binary(bytes(32))
    )
    expected = comparable(await send(client, headers, FINISH, unknown))
    assert expected[1]["code"] == "ceremony_failed"
    assert comparable(await send(client, headers, path, message)) == expected


async def test_what_is_put_after_one_unlock_is_read_after_another(app_client, account) -> None:
    object_id = new_id()
    first = await unlock(app_client, account, account.password)
    answer = await first.put(object_id, b"dear diary")
    assert (answer.status_code, answer.json()["generation"]) == (201, 2)

    second = await unlock(app_client, account, new_password(), account.password)
    assert second.tag.candidate == 1
    assert second.head == first.head
    answer = await second.get(second.url(object_id))
    assert answer.status_code == 200
    key_version, revision = (int(answer.headers[name]) for name in ("Hushtag-Key-Version", "Hushtag-Revision"))
    row = ObjectRow.decode(answer.content, key_version=key_version, revision=revision)
    opened = open_object(second.vault.data_key, row, vault_id=second.vault_id, object_id=object_id)
    assert opened.body == b"dear diary"


async def test_the_answers_hold_no_vault_token(app_client, account) -> None:
    finishing = await prove(app_client, account.headers, account.password)
    answer = await send(app_client, account.headers, FINISH, finishing.message)
    token = finishing._vault_token.expose()
    assert encode_binary(token) not in answer.text
    assert token.hex() not in answer.text


async def test_a_located_state_starts_one_login_only(app_client, account) -> None:
    proving = await locate(app_client, account.headers, account.password)
    assert (await send(app_client, account.headers, START, proving.message)).status_code == 200
    await refused(app_client, account.headers, START, proving.message)


async def test_a_started_login_finishes_once_only(app_client, account) -> None:
    finishing = await prove(app_client, account.headers, account.password)
    assert (await send(app_client, account.headers, FINISH, finishing.message)).status_code == 200
    await refused(app_client, account.headers, FINISH, finishing.message)


async def test_of_many_concurrent_finishes_exactly_one_wins(app_client, account) -> None:
    finishing = await prove(app_client, account.headers, account.password)
    answers = await asyncio.gather(*(send(app_client, account.headers, FINISH, finishing.message) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7
    assert {answer.json()["code"] for answer in answers if answer.status_code == 401} == {"ceremony_failed"}


async def test_of_many_concurrent_starts_exactly_one_wins(app_client, account) -> None:
    proving = await locate(app_client, account.headers, account.password)
    answers = await asyncio.gather(*(send(app_client, account.headers, START, proving.message) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


async def test_a_wrong_proof_uses_the_state_up(app_client, account) -> None:
    finishing = await prove(app_client, account.headers, account.password)
    wrong = msgspec.structs.replace(finishing.message, ke3=encode_binary(bytes(64)))
    await refused(app_client, account.headers, FINISH, wrong)
    await refused(app_client, account.headers, FINISH, finishing.message)


async def test_a_candidate_that_was_not_started_cannot_finish(app_client, account) -> None:
    finishing = await prove(app_client, account.headers, account.password)
    await refused(app_client, account.headers, FINISH, msgspec.structs.replace(finishing.message, candidate=4))


async def test_the_proof_of_one_candidate_is_none_for_another(app_client, account) -> None:
    finishing = await prove(app_client, account.headers, new_password(), account.password)
    await refused(app_client, account.headers, FINISH, msgspec.structs.replace(finishing.message, candidate=0))


async def test_steps_out_of_order_are_refused(app_client, account) -> None:
    proving = await locate(app_client, account.headers, account.password)
    early = FinishUnlock(
        session_id=proving.message.session_id,
        state="AAAA",
        candidate=0,
        ke3=encode_binary(bytes(64)),
        release=encode_binary(bytes(32)),
    )
    await refused(app_client, account.headers, FINISH, early)
    answer = await send(app_client, account.headers, START, proving.message)
    started = msgspec.json.decode(answer.content, type=UnlockStarted)
    again = msgspec.structs.replace(proving.message, session_id=started.session_id)
    await refused(app_client, account.headers, START, again)


@pytest.mark.parametrize("state", ["located", "login_started"])
async def test_a_late_step_is_refused(app_client, account, database, state) -> None:
    proving = await locate(app_client, account.headers, account.password)
    path, message = START, proving.message
    if state == "login_started":
        answer = await send(app_client, account.headers, START, message)
        finishing = proving.finish(msgspec.json.decode(answer.content, type=UnlockStarted))
        path, message = FINISH, finishing.message
    late = "UPDATE opaque_sessions SET expires_at = now() - interval '1 ms' WHERE session_state = %s RETURNING 1"
    assert run_sql(database, late, state) == [(1,)]
    await refused(app_client, account.headers, path, message)


async def test_what_is_late_is_forgotten_by_the_next_locate(app_client, account, database) -> None:
    await locate(app_client, account.headers, account.password)
    run_sql(database, "UPDATE opaque_sessions SET expires_at = now() - interval '1 ms'")
    await locate(app_client, account.headers, account.password)
    assert run_sql(database, "SELECT count(*) FROM opaque_sessions") == [(1,)]


@pytest.mark.parametrize("who", ["another session of the account", "another account"])
@pytest.mark.parametrize("step", ["start", "finish"])
async def test_a_ceremony_belongs_to_the_session_that_began_it(app_client, account, sign_in, who, step) -> None:
    email = account.email if who.startswith("another session") else "eve@example.org"
    other = await sign_in(app_client, email)
    if step == "start":
        proving = await locate(app_client, account.headers, account.password)
        await refused(app_client, other.headers, START, proving.message)
        assert (await send(app_client, account.headers, START, proving.message)).status_code == 200
    else:
        finishing = await prove(app_client, account.headers, account.password)
        await refused(app_client, other.headers, FINISH, finishing.message)
        assert (await send(app_client, account.headers, FINISH, finishing.message)).status_code == 200


async def test_a_ke1_that_was_not_located_is_refused_and_uses_the_state_up(app_client, account) -> None:
    proving = await locate(app_client, account.headers, account.password)
    candidate = proving.message.candidates[0]
    other = start_unlock([account.password])._attempts[0].ke1
    swapped = StartUnlock(
        session_id=proving.message.session_id,
        candidates=[Candidate(phrase_hash=candidate.phrase_hash, ke1=encode_binary(other))],
    )
    await refused(app_client, account.headers, START, swapped)
    await refused(app_client, account.headers, START, proving.message)


@pytest.mark.parametrize("count", [1, 3])
async def test_the_candidates_must_be_as_many_as_were_located(app_client, account, count) -> None:
    proving = await locate(app_client, account.headers, account.password, new_password())
    candidates = (proving.message.candidates * 2)[:count]
    message = StartUnlock(session_id=proving.message.session_id, candidates=candidates)
    await refused(app_client, account.headers, START, message)


async def test_located_candidates_in_another_order_are_refused(app_client, account) -> None:
    proving = await locate(app_client, account.headers, account.password, new_password())
    reordered = StartUnlock(
        session_id=proving.message.session_id, candidates=list(reversed(proving.message.candidates))
    )
    await refused(app_client, account.headers, START, reordered)


async def test_a_ke1_whose_key_share_is_no_group_element_is_malformed(app_client, account) -> None:
    proving = await locate(app_client, account.headers, account.password)
    message = msgspec.to_builtins(proving.message)
    located = proving._attempts[0].ke1[:64] + b"\xff" * 32
    message["candidates"][0]["ke1"] = encode_binary(located)
    answer = await send(app_client, account.headers, START, message)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("element", [b"\xff" * 32, bytes(32)], ids=["not canonical", "identity"])
async def test_an_element_outside_the_group_is_malformed(app_client, account, element) -> None:
    message = {"suite": "hushtag-v1", "elements": [encode_binary(element)]}
    answer = await send(app_client, account.headers, LOCATE, message)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


async def test_another_suite_is_unknown_and_costs_no_guess(app_client, account, database) -> None:
    before = run_sql(database, "SELECT tokens, refilled_at FROM unlock_budget")
    message = {"suite": "hushtag-v2", "elements": [encode_binary(GROUP_ELEMENT)]}
    answer = await send(app_client, account.headers, LOCATE, message)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_suite")
    assert run_sql(database, "SELECT tokens, refilled_at FROM unlock_budget") == before


def _shape(answer: httpx.Response) -> tuple[int, set[str], int]:
    return answer.status_code, set(answer.headers), len(answer.content)


async def test_a_phrase_that_opens_nothing_looks_like_one_that_opens_something(app_client, account) -> None:
    shapes = []
    for password in (account.password, new_password()):
        locating = start_unlock([password])
        located = await send(app_client, account.headers, LOCATE, locating.message)
        proving = locating.finish(msgspec.json.decode(located.content, type=Located))
        started = await send(app_client, account.headers, START, proving.message)
        shapes.append([_shape(located), _shape(started)])
    assert shapes[0] == shapes[1]


async def test_an_account_without_any_tag_answers_like_one_with_tags(app_client, account, sign_in) -> None:
    shapes = []
    for who in (account, await sign_in(app_client, "eve@example.org")):
        locating = start_unlock([new_password()])
        located = await send(app_client, who.headers, LOCATE, locating.message)
        proving = locating.finish(msgspec.json.decode(located.content, type=Located))
        started = await send(app_client, who.headers, START, proving.message)
        step = {name: started.json()[name] for name in ("session_id", "state")}
        wrong = FinishUnlock(**step, candidate=0, ke3=encode_binary(bytes(64)), release=encode_binary(bytes(32)))
        finished = await send(app_client, who.headers, FINISH, wrong)
        assert finished.status_code == 401
        shapes.append([_shape(located), _shape(started), _shape(finished)])
    assert shapes[0] == shapes[1]


async def test_the_decoy_is_derived_once_per_start_whether_or_not_it_is_needed(
    app_client, account, monkeypatch
) -> None:
    derived = []
    original = unlock_steps.decoy_of
    monkeypatch.setattr(unlock_steps, "decoy_of", lambda *given: derived.append(original(*given)) or derived[-1])
    for passwords in ([account.password], [new_password()], [account.password, new_password(), new_password()]):
        proving = await locate(app_client, account.headers, *passwords)
        assert (await send(app_client, account.headers, START, proving.message)).status_code == 200
    # RFC 9807, section 10.9: a decoy that changed from try to try would be told apart from a record.
    assert len(derived) == 3
    assert len(set(derived)) == 1


async def test_a_deleted_tag_cannot_be_finished(app_client, account, database) -> None:
    finishing = await prove(app_client, account.headers, account.password)
    run_sql(database, "DELETE FROM secret_tags")
    await refused(app_client, account.headers, FINISH, finishing.message)
    assert run_sql(database, "SELECT count(*) FROM opaque_sessions") == [(0,)]


async def test_a_located_state_is_good_for_its_own_ceremony_only(app_client, account, database) -> None:
    first = await locate(app_client, account.headers, account.password)
    second = await locate(app_client, account.headers, account.password)
    rows = dict(run_sql(database, "SELECT session_id, session_data FROM opaque_sessions"))
    swap = "UPDATE opaque_sessions SET session_data = %s WHERE session_id = %s"
    run_sql(database, swap, rows[second.message.session_id], first.message.session_id)
    await refused(app_client, account.headers, START, first.message)


async def test_unlocks_and_refusals_are_counted_without_names(app_client, account) -> None:
    await open_vault(app_client, account)
    page = app_client.app.application.application.state["services"].metrics.render().decode()
    for path in (LOCATE, START, FINISH):
        assert f'hushtag_http_requests_total{{method="POST",route="{path}",status="200"}} 1.0' in page
    assert account.user_id not in page
    assert account.email not in page


async def test_an_altered_login_state_is_refused_and_uses_the_step_up(app_client, account) -> None:
    finishing = await prove(app_client, account.headers, account.password)
    state = decode_binary(finishing.message.state)
    altered = encode_binary(state[:-1] + bytes([state[-1] ^ 1]))
    await refused(app_client, account.headers, FINISH, msgspec.structs.replace(finishing.message, state=altered))
    await refused(app_client, account.headers, FINISH, finishing.message)


async def test_a_login_state_that_is_none_is_refused_and_uses_the_step_up(app_client, account) -> None:
    finishing = await prove(app_client, account.headers, account.password)
    for nonsense in ("A", "AB", "A" * 2048):
        await refused(app_client, account.headers, FINISH, msgspec.structs.replace(finishing.message, state=nonsense))
    await refused(app_client, account.headers, FINISH, finishing.message)


async def test_a_login_state_belongs_to_its_own_step(app_client, account) -> None:
    first = await prove(app_client, account.headers, account.password)
    second = await prove(app_client, account.headers, account.password)
    mixed = msgspec.structs.replace(second.message, state=first.message.state)
    await refused(app_client, account.headers, FINISH, mixed)
    moved = msgspec.structs.replace(first.message, session_id=second.message.session_id)
    await refused(app_client, account.headers, FINISH, moved)


async def test_the_database_never_holds_a_login_state(app_client, account, database) -> None:
    finishing = await prove(app_client, account.headers, account.password)
    rows = run_sql(database, "SELECT session_data FROM opaque_sessions WHERE session_state = 'login_started'")
    assert rows == [(None,)]
    assert (await send(app_client, account.headers, FINISH, finishing.message)).status_code == 200
