"""Duress on the real database: what an unlock that carries out an order leaves, and what nobody can see of it."""

import asyncio
import statistics
import time
from typing import Any
from uuid import UUID

import httpx
import msgspec
import psycopg
import pytest
from anyio import to_thread

from hushtag.duress import Verdict, expand_release
from hushtag.errors import AuthenticationError
from hushtag.messages import PutOrders, TagOrder, decode_binary, encode_binary
from hushtag.types import CredentialIdentifier, Record, Release
from hushtag_server.connection import Connection
from hushtag_server.operation.maintain import maintain
from hushtag_server.operation.reach import Reached
from hushtag_server.vault.seals import Envelopes, sealed_decoy
from tests.server.vault_support import (
    JSON,
    OpenedVault,
    comparable,
    enrol,
    new_id,
    new_password,
    order,
    prove,
    run_sql,
    send,
    send_enrolment,
    unlock,
    until_waiting,
)

pytestmark = pytest.mark.anyio
FINISH = "/v1/unlock/finish"


class Scene:
    """One account: a phrase with a vault and an object, open, and another phrase with a vault of its own."""

    def __init__(self, client: httpx.AsyncClient, account: Any, database: Any) -> None:
        self.client, self.account, self.database = client, account, database
        self.real, self.duress = new_password(), new_password()
        self.opened: OpenedVault

    async def settle(self) -> None:
        for password in (self.real, self.duress):
            await enrol(self.client, self.account.headers, password)
        self.opened = await unlock(self.client, self.account, self.real)
        assert (await self.opened.put(new_id(), b"a secret")).status_code == 201

    async def order(self, verdict: Verdict, **place: int) -> None:
        answer = await order(self.opened, self.account, self.duress, verdict, **place)
        assert answer.status_code == 204, answer.text

    async def opens(self, password: Any) -> bool:
        try:
            await unlock(self.client, self.account, password)
        except AuthenticationError:
            return False
        return True

    def rows(self, *tables: str) -> list[Any]:
        return [sorted(map(str, run_sql(self.database, f"SELECT to_jsonb(t) FROM {table} t"))) for table in tables]


@pytest.fixture
async def scene(app_client: httpx.AsyncClient, sign_in: Any, database: Any) -> Scene:
    made = Scene(app_client, await sign_in(app_client), database)
    await made.settle()
    return made


# Whether rows of a table have the times of their tag, which say nothing of any unlock.
_OF_THE_TAG = (
    "SELECT bool_and(o.created_at = t.created_at AND o.updated_at = t.created_at)"
    " FROM secret_tags t JOIN {} o ON o.user_id = t.user_id AND o.tag_id = t.id"
)


class _Steps:
    """Who is told of the steps of maintenance, and tells nobody."""

    def step(self, *_: Any) -> None: ...
    def done(self, _: int) -> None: ...


async def maintained(scene: Scene, settings: Any, step: str) -> int:
    reached = Reached(scene.database.owner_url)
    return (await to_thread.run_sync(lambda: maintain(settings, reached, _Steps(), wait=True))).steps[step]


async def test_an_order_changes_one_ticket_and_nothing_else_that_is_stored(scene: Scene) -> None:
    tables = ("secret_tags", "tag_seals", "vaults", "wrapped_keys", "vault_blobs", "locked_tags")
    before = scene.rows(*tables), run_sql(scene.database, "SELECT * FROM tag_orders ORDER BY tag_id, place")
    await scene.order(Verdict.SHRED_VAULT, place=3)
    after = scene.rows(*tables), run_sql(scene.database, "SELECT * FROM tag_orders ORDER BY tag_id, place")
    assert after[0] == before[0]
    changed = [(old, new) for old, new in zip(before[1], after[1], strict=True) if old != new]
    assert len(changed) == 1
    ((old, new),) = changed
    assert (old[:3], old[4:]) == (new[:3], new[4:])  # whose, which place, and both times: those of the tag
    assert run_sql(
        scene.database,
        "SELECT count(*), count(DISTINCT o.ticket), bool_and(o.created_at = t.created_at AND o.updated_at ="
        " t.created_at), bool_and(t.release_check IS NOT NULL)"
        " FROM tag_orders o JOIN secret_tags t ON t.id = o.tag_id",
    ) == [(8, 8, True, True)]


async def test_shredded_is_the_seal_and_the_record_and_the_vault_goes_with_maintenance(
    scene: Scene, settings: Any
) -> None:
    tag = str(scene.opened.tag.tag_id)
    stored = "SELECT t.phrase_hash, t.opaque_envelope, s.seal FROM secret_tags t JOIN tag_seals s ON s.tag_id = t.id"
    before = run_sql(scene.database, f"{stored} WHERE t.id = %s", tag)[0]
    await scene.order(Verdict.SHRED_VAULT)
    await unlock(scene.client, scene.account, scene.duress)
    after = run_sql(scene.database, f"{stored} WHERE t.id = %s", tag)[0]
    assert all(old != new and len(old) == len(new) for old, new in zip(before, after, strict=True))
    assert run_sql(scene.database, _OF_THE_TAG.format("tag_orders")) == [(True,)]
    assert (await scene.opened.get(scene.opened.url())).status_code == 401
    assert not await scene.opens(scene.real)
    # It can be enrolled anew like any phrase that never was.
    assert (await send_enrolment(scene.client, scene.account.headers, scene.real))[0].status_code == 201
    assert await maintained(scene, settings, "destroyed_vaults") == 1
    assert run_sql(scene.database, "SELECT count(*) FROM secret_tags") == [(2,)]
    assert run_sql(scene.database, "SELECT count(*) FROM vault_blobs") == [(0,)]


async def test_one_phrase_is_shredded_and_nothing_shows_that_it_was(scene: Scene) -> None:
    await scene.order(Verdict.SHRED_PHRASE)
    await unlock(scene.client, scene.account, scene.duress)
    # Its row stays, for the ring of the vault, and looks like any other; what it bore is gone.
    assert run_sql(
        scene.database,
        "SELECT count(*), bool_and(octet_length(t.opaque_envelope) = 188), count(s.seal),"
        " count(DISTINCT t.phrase_hash) FROM secret_tags t JOIN tag_seals s ON s.tag_id = t.id",
    ) == [(2, True, 2, 2)]
    assert run_sql(scene.database, "SELECT count(*) FROM vaults WHERE destroyed_at IS NULL") == [(2,)]
    assert not await scene.opens(scene.real)
    assert run_sql(scene.database, _OF_THE_TAG.format("tag_orders")) == [(True,)]
    before = scene.rows("secret_tags", "tag_seals", "tag_orders")
    await unlock(scene.client, scene.account, scene.duress)
    assert scene.rows("secret_tags", "tag_seals", "tag_orders") == before


async def test_what_is_locked_already_is_not_written_again(scene: Scene) -> None:
    tables = ("secret_tags", "locked_tags", "tag_orders", "vaults")
    await scene.order(Verdict.LOCK_VAULT_WEEK)
    await unlock(scene.client, scene.account, scene.duress)
    before = scene.rows(*tables), run_sql(scene.database, "SELECT xmin::text, ctid::text FROM secret_tags")
    await unlock(scene.client, scene.account, scene.duress)
    assert (scene.rows(*tables), run_sql(scene.database, "SELECT xmin::text, ctid::text FROM secret_tags")) == before
    # Late in its time it is locked for the whole of it once more, and is still found afterwards.
    run_sql(scene.database, "UPDATE locked_tags SET locked_until = locked_until - interval '2 days'")
    kept = run_sql(scene.database, "SELECT phrase_hash FROM locked_tags")
    await unlock(scene.client, scene.account, scene.duress)
    assert (
        run_sql(scene.database, "SELECT phrase_hash FROM locked_tags WHERE locked_until >= now() + interval '7 days'")
        == kept
    )


async def test_no_time_tells_at_which_unlock_a_tag_was_locked(scene: Scene) -> None:
    await scene.order(Verdict.LOCK_PHRASE_DAY)
    await unlock(scene.client, scene.account, scene.duress)
    assert run_sql(scene.database, _OF_THE_TAG.format("locked_tags")) == [(True,)]
    assert run_sql(scene.database, "SELECT locked_until = date_trunc('day', locked_until, 'UTC') FROM locked_tags") == [
        (True,)
    ]


@pytest.mark.parametrize(
    ("verdict", "days"),
    [(Verdict.LOCK_PHRASE_DAY, 1), (Verdict.LOCK_VAULT_WEEK, 7), (Verdict.LOCK_VAULT_MONTH, 30)],
)
async def test_what_is_locked_opens_nothing_until_its_time_is_over(
    scene: Scene, settings: Any, verdict: Verdict, days: int
) -> None:
    await scene.order(verdict)
    for _ in range(2):  # a second time it is locked already, and still found again
        await unlock(scene.client, scene.account, scene.duress)
    assert (await scene.opened.get(scene.opened.url())).status_code == 401
    assert not await scene.opens(scene.real)
    assert await maintained(scene, settings, "locks") == 0
    late = f"locked_until - interval '{days} days' BETWEEN now() - interval '1 minute' AND now() + interval '1 day'"
    assert run_sql(scene.database, f"SELECT {late} FROM locked_tags") == [(True,)]
    run_sql(scene.database, "UPDATE locked_tags SET locked_until = now()")
    assert await maintained(scene, settings, "locks") == 1
    opened = await unlock(scene.client, scene.account, scene.real)
    assert opened.head.object_count == 1


async def test_a_locked_tag_of_an_earlier_version_gets_its_seal_when_the_lock_is_over(
    scene: Scene, settings: Any
) -> None:
    tag = scene.opened.tag.tag_id
    stored = (
        "SELECT uuid_send(t.server_key_id) || t.phrase_hash || s.seal || t.verifier_kv || t.opaque_envelope,"
        " t.phrase_hash, t.server_key_id FROM secret_tags t JOIN tag_seals s ON s.tag_id = t.id WHERE t.id = %s"
    )
    entry, phrase_hash, key_id = run_sql(scene.database, stored, tag)[0]
    user_id = UUID(scene.account.user_id)
    decoy = sealed_decoy(user_id, CredentialIdentifier(bytes(32)), Record(bytes(192)))
    plain = Envelopes(user_id, entry).record(key_id, phrase_hash, decoy)[32:]
    run_sql(scene.database, "UPDATE secret_tags SET opaque_envelope = %s WHERE id = %s", plain, tag)
    run_sql(scene.database, "DELETE FROM tag_seals WHERE tag_id = %s", tag)
    await scene.order(Verdict.LOCK_PHRASE_DAY)
    await unlock(scene.client, scene.account, scene.duress)
    assert await maintained(scene, settings, "tag_seals") == 0
    # Nor by a run of maintenance that looked before the lock.
    sealing = ["SELECT hushtag_seal_tag(%s, %s, %s, %s, %s)", scene.account.user_id, tag, plain, bytes(188), bytes(32)]
    assert run_sql(scene.database, *sealing) == [(False,)]
    run_sql(scene.database, "UPDATE locked_tags SET locked_until = now()")
    assert await maintained(scene, settings, "locks") == 1
    assert await maintained(scene, settings, "tag_seals") == 1
    assert run_sql(scene.database, "SELECT octet_length(opaque_envelope) FROM secret_tags WHERE id = %s", tag) == [
        (188,)
    ]
    assert await scene.opens(scene.real)


async def test_a_locked_phrase_that_is_enrolled_anew_opens_the_old_vault_once_the_new_one_is_gone(
    scene: Scene, settings: Any
) -> None:
    await scene.order(Verdict.LOCK_VAULT_DAY)
    await unlock(scene.client, scene.account, scene.duress)
    assert (await send_enrolment(scene.client, scene.account.headers, scene.real))[0].status_code == 201
    run_sql(scene.database, "UPDATE locked_tags SET locked_until = now()")
    assert await maintained(scene, settings, "locks") == 0
    anew = await unlock(scene.client, scene.account, scene.real)
    assert (anew.head.object_count, anew.vault_id != scene.opened.vault_id) == (0, True)
    gone = {"Hushtag-Generation": "1", "Hushtag-Confirm": str(anew.vault_id)}
    assert (await scene.client.delete(anew.url(), headers=anew.headers | gone)).status_code == 204
    assert await maintained(scene, settings, "locks") == 1
    assert (await unlock(scene.client, scene.account, scene.real)).head.object_count == 1


async def test_without_its_own_release_a_phrase_opens_nothing_and_carries_out_nothing(scene: Scene) -> None:
    await scene.order(Verdict.SHRED_VAULT)
    other = (await prove(scene.client, scene.account.headers, scene.real)).message.release
    before = scene.rows("secret_tags", "tag_seals", "tag_orders", "vaults")
    answers = []
    for release in (encode_binary(bytes(32)), other):
        finishing = await prove(scene.client, scene.account.headers, scene.duress)
        message = msgspec.structs.replace(finishing.message, release=release)
        answers.append(await send(scene.client, scene.account.headers, FINISH, message))
        # The step is used up, as by a wrong proof: the right release comes too late.
        answers.append(await send(scene.client, scene.account.headers, FINISH, finishing.message))
    wrong = await prove(scene.client, scene.account.headers, scene.duress)
    ke3 = msgspec.structs.replace(wrong.message, ke3=encode_binary(bytes(64)))
    answers.append(await send(scene.client, scene.account.headers, FINISH, ke3))
    assert {answer.status_code for answer in answers} == {401}
    assert all(comparable(answer) == comparable(answers[0]) for answer in answers)
    assert scene.rows("secret_tags", "tag_seals", "tag_orders", "vaults") == before
    assert await scene.opens(scene.real)


async def _finish(scene: Scene, password: Any) -> tuple[httpx.Response, float]:
    finishing = await prove(scene.client, scene.account.headers, password)
    begun = time.perf_counter()
    answer = await send(scene.client, scene.account.headers, FINISH, finishing.message)
    return answer, time.perf_counter() - begun


def _undo(scene: Scene) -> None:
    run_sql(
        scene.database, "UPDATE secret_tags t SET phrase_hash = l.phrase_hash FROM locked_tags l WHERE l.tag_id = t.id"
    )
    run_sql(scene.database, "DELETE FROM locked_tags")


async def test_an_unlock_that_carries_out_an_order_is_answered_by_the_same_statements_shape_and_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, list[str]]] = []
    original = Connection.call

    async def listened(connection: Any, statement: Any, values: Any) -> Any:
        told.append((statement, [type(value).__name__ for value in values]))
        return await original(connection, statement, values)

    monkeypatch.setattr(Connection, "call", listened)
    await scene.order(Verdict.LOCK_VAULT_MONTH)
    kinds: dict[bool, list[Any]] = {True: [], False: []}
    times: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(48):
        carried_out = bool(turn % 2)
        if not carried_out:
            run_sql(scene.database, "UPDATE tag_orders SET ticket = set_byte(ticket, 0, 255 - get_byte(ticket, 0))")
        told.clear()
        answer, took = await _finish(scene, scene.duress)
        assert run_sql(scene.database, "SELECT count(*) FROM locked_tags") == [(int(carried_out),)]
        body = answer.json()
        shape = {name: len(str(value)) for name, value in body.items() if name not in {"expires_at", "last_failed_at"}}
        headers = {name: len(value) for name, value in answer.headers.items() if name != "date"}
        kinds[carried_out].append((answer.status_code, list(body), shape, headers, list(told)))
        times[carried_out].append(took)
        _undo(scene)
        if not carried_out:
            run_sql(scene.database, "UPDATE tag_orders SET ticket = set_byte(ticket, 0, 255 - get_byte(ticket, 0))")
        if turn % 16 == 15:  # what takes long always does so every time; a busy machine does not
            ordinary, under_duress = (statistics.median(times[carried_out][-8:]) for carried_out in (False, True))
            if under_duress < 2 * ordinary + 0.002:
                break
    else:
        pytest.fail(f"{times}")
    assert all(kind == kinds[True][0] for kind in kinds[True] + kinds[False])


async def test_what_an_unlock_writes_for_every_phrase_is_the_same_whatever_others_bear(scene: Scene) -> None:
    tables = ("secret_tags", "tag_seals", "tag_orders", "vaults", "wrapped_keys", "locked_tags")
    await scene.order(Verdict.SHRED_VAULT)
    before = scene.rows(*tables)
    await unlock(scene.client, scene.account, scene.real)
    assert scene.rows(*tables) == before


async def test_a_phrase_spares_its_own_vault_whoever_says_otherwise(scene: Scene) -> None:
    for place, verdict in enumerate((Verdict.SHRED_PHRASE, Verdict.SHRED_VAULT, Verdict.LOCK_VAULT_DAY), 1):
        assert (await order(scene.opened, scene.account, scene.real, verdict, place=place)).status_code == 204
    assert await scene.opens(scene.real)
    assert await scene.opens(scene.real)


async def test_an_order_that_waits_while_its_target_is_at_work_is_carried_out_whole(scene: Scene) -> None:
    await scene.order(Verdict.SHRED_VAULT)
    finishing = await prove(scene.client, scene.account.headers, scene.duress)
    puts = [scene.opened.put(new_id(), b"late", generation=3) for _ in range(3)]
    answers = await asyncio.gather(
        send(scene.client, scene.account.headers, FINISH, finishing.message), *puts, return_exceptions=False
    )
    assert answers[0].status_code == 200
    assert {answer.status_code for answer in answers[1:]} <= {201, 401, 409}
    assert not await scene.opens(scene.real)


async def test_whoever_has_the_duress_phrase_learns_nothing_by_bearing_its_tickets_themselves(scene: Scene) -> None:
    await scene.order(Verdict.LOCK_VAULT_WEEK)
    theirs = await unlock(scene.client, scene.account, scene.duress)
    finishing = await prove(scene.client, scene.account.headers, scene.duress)
    path = f"/v1/vaults/{theirs.vault_id}/tags/{theirs.tag.tag_id}/orders"
    answers = []
    for ticket in finishing.give_up([]).tickets:
        message = msgspec.json.encode(PutOrders([TagOrder(1, encode_binary(ticket))]))
        answers.append((await scene.client.put(path, content=message, headers=theirs.headers | JSON)).status_code)
    assert answers == [204] * 128
    # Nor is the order taken away from where it stands: it is carried out still.
    run_sql(scene.database, "UPDATE locked_tags SET locked_until = now()")
    run_sql(scene.database, "SELECT hushtag_end_locks(%s)", scene.account.user_id)
    assert await scene.opens(scene.real)
    await unlock(scene.client, scene.account, scene.duress)
    assert not await scene.opens(scene.real)


async def test_a_vault_that_was_shredded_takes_no_other_vault_of_its_phrases_along(scene: Scene) -> None:
    # No client makes a phrase of two vaults yet; the database has room for it.
    tag, vault = scene.opened.tag.tag_id, scene.opened.vault_id
    duress = run_sql(scene.database, "SELECT id FROM secret_tags WHERE id <> %s", tag)[0][0]
    second = run_sql(
        scene.database,
        "INSERT INTO vaults (user_id, id, generation, head, key_version) SELECT user_id, gen_random_uuid(), 1, head, 1"
        " FROM vaults WHERE id = %s RETURNING id",
        vault,
    )[0][0]
    also = (
        "INSERT INTO wrapped_keys (user_id, id, tag_id, vault_id, wrapped_key, key_version)"
        " SELECT user_id, gen_random_uuid(), %s, %s, wrapped_key, 1 FROM wrapped_keys WHERE tag_id = %s LIMIT 1"
    )
    run_sql(scene.database, also, tag, second, tag)
    run_sql(scene.database, also, duress, second, duress)
    run_sql(
        scene.database,
        "INSERT INTO key_rotations (user_id, vault_id, key_version, proof) SELECT user_id, id, 2, sha256('')"
        " FROM vaults WHERE id = %s",
        vault,
    )
    await scene.order(Verdict.SHRED_VAULT)
    finishing = await prove(scene.client, scene.account.headers, scene.duress)
    answer = await send(scene.client, scene.account.headers, FINISH, finishing.message)
    assert len(answer.json()["vaults"]) == 2
    assert run_sql(scene.database, "SELECT id FROM vaults WHERE destroyed_at IS NOT NULL") == [(vault,)]
    assert run_sql(scene.database, "SELECT count(*) FROM key_rotations") == [(0,)]
    # Until maintenance has removed the rows: what is gone is not shown, and nothing is written a second time.
    finishing = await prove(scene.client, scene.account.headers, scene.real)
    answer = await send(scene.client, scene.account.headers, FINISH, finishing.message)
    assert [found["vault_id"] for found in answer.json()["vaults"]] == [str(second)]
    before = scene.rows("vaults", "secret_tags", "tag_orders")
    finishing = await prove(scene.client, scene.account.headers, scene.duress)
    await send(scene.client, scene.account.headers, FINISH, finishing.message)
    assert scene.rows("vaults", "secret_tags", "tag_orders") == before


async def test_an_order_is_put_while_the_phrase_that_put_the_one_before_moves(scene: Scene) -> None:
    await scene.order(Verdict.SHRED_VAULT, place=2)
    tag_id = scene.opened.tag.tag_id
    bears = "SELECT ticket FROM tag_orders WHERE tag_id = %s AND place = 2"
    [(before,)] = run_sql(scene.database, bears, tag_id)
    path = f"/v1/vaults/{scene.opened.vault_id}/tags/{tag_id}/orders"
    message = msgspec.json.encode(PutOrders([TagOrder(2, encode_binary(b"t" * 16))]))
    with psycopg.connect(scene.database.admin_url) as moving:
        moving.execute(
            "SELECT hushtag_follow_orders('moved', user_id, id, release_check, ARRAY[%s], ARRAY[%s])"
            " FROM secret_tags WHERE id <> %s",
            [before, b"m" * 16, tag_id],
        )
        putting = asyncio.create_task(scene.client.put(path, content=message, headers=scene.opened.headers | JSON))
        await until_waiting(scene.database, putting)
        moving.commit()
    assert (await putting).status_code == 204
    assert run_sql(scene.database, bears, tag_id) == [(b"t" * 16,)]


async def test_orders_are_put_inside_the_vault_alone(scene: Scene) -> None:
    for place in (1, 2, 1):
        await scene.order(Verdict.SHRED_VAULT, place=place)
    path = f"/v1/vaults/{scene.opened.vault_id}/tags/{scene.opened.tag.tag_id}/orders"

    async def put(
        orders: list[TagOrder], headers: dict[str, str] = scene.opened.headers, path: str = path
    ) -> tuple[int, str]:
        answer = await scene.client.put(path, content=msgspec.json.encode(PutOrders(orders)), headers=headers | JSON)
        return answer.status_code, answer.json()["code"]

    first, second = (encode_binary(bytes([number]) * 16) for number in range(2))
    assert await put([TagOrder(1, first)], scene.account.headers) == (401, "unauthenticated")
    for orders in ([], [TagOrder(0, first)], [TagOrder(5, first)], [TagOrder(1, first), TagOrder(1, second)]):
        assert await put(orders) == (400, "malformed_request")
    assert await put([TagOrder(1, first), TagOrder(2, first)]) == (400, "malformed_request")
    theirs = await unlock(scene.client, scene.account, scene.real)
    other = run_sql(scene.database, "SELECT id FROM secret_tags WHERE id <> %s", str(theirs.tag.tag_id))[0][0]
    assert await put([TagOrder(1, first)], path=path.replace(str(scene.opened.tag.tag_id), str(other))) == (
        404,
        "not_found",
    )
    assert await put([TagOrder(1, first)], path=path.replace(str(scene.opened.vault_id), str(new_id()))) == (
        404,
        "not_found",
    )


async def test_a_tag_of_an_earlier_version_learns_its_release_at_its_next_unlock(scene: Scene) -> None:
    run_sql(scene.database, "UPDATE secret_tags SET release_check = NULL")
    finishing = await prove(scene.client, scene.account.headers, scene.real)
    assert (await send(scene.client, scene.account.headers, FINISH, finishing.message)).status_code == 200
    check = expand_release(Release(decode_binary(finishing.message.release))).check
    found = run_sql(scene.database, "SELECT release_check FROM secret_tags WHERE release_check IS NOT NULL")
    assert found == [(check,)]
