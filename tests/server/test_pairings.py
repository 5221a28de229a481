"""The mailbox of pairings on the real database: whose turn it is, how long, how often, and what it tells of tags."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from anyio import to_thread

from hushtag.pairing_messages import MAX_PAIRING_TEXT, MAX_PAIRINGS
from hushtag_server.operation.maintain import maintain
from hushtag_server.operation.reach import Reached
from tests.server.vault_support import comparable, new_id, open_vault, run_sql

pytestmark = pytest.mark.anyio
OFFER, ANSWER, DELIVERY = "htp1o.AAAA", "htp1a.BBBB", "htp1d.CCCC"


class _Nobody:
    """Who is told of the steps of maintenance, and tells nobody."""

    def step(self, *_: Any) -> None: ...
    def done(self, _: int) -> None: ...


class Scene:
    """Three sessions of one account."""

    def __init__(self, client: httpx.AsyncClient, sessions: list[Any], database: Any) -> None:
        self.client, self.sessions, self.database = client, sessions, database

    async def open(self, who: int = 0, offer: str = OFFER) -> httpx.Response:
        return await self.client.post("/v1/pairings", json={"offer": offer}, headers=self.sessions[who].headers)

    async def offers(self, who: int) -> list[str]:
        answer = await self.client.get("/v1/pairings", headers=self.sessions[who].headers)
        assert answer.status_code == 200, answer.text
        return [each["offer"] for each in answer.json()["pairings"]]

    async def put(self, who: int, pairing_id: str, step: str, message: str = ANSWER) -> httpx.Response:
        path = f"/v1/pairings/{pairing_id}/{step}"
        return await self.client.put(path, json={"message": message}, headers=self.sessions[who].headers)

    async def take(self, who: int, pairing_id: str, step: str) -> httpx.Response:
        return await self.client.get(f"/v1/pairings/{pairing_id}/{step}", headers=self.sessions[who].headers)


@pytest.fixture
async def scene(app_client: httpx.AsyncClient, sign_in: Any, database: Any) -> Scene:
    return Scene(app_client, [await sign_in(app_client) for _ in range(3)], database)


async def test_three_messages_pass_once_and_nothing_of_them_is_kept(scene: Scene) -> None:
    opened = (await scene.open()).json()["pairing_id"]
    assert await scene.offers(0) == []
    assert await scene.offers(1) == await scene.offers(2) == [OFFER]
    assert (await scene.put(1, opened, "answer")).status_code == 204
    assert await scene.offers(2) == []
    taken = await scene.take(0, opened, "answer")
    assert (taken.status_code, taken.json()) == (200, {"message": ANSWER})
    assert (await scene.put(0, opened, "delivery", DELIVERY)).status_code == 204
    assert (await scene.take(1, opened, "delivery")).json() == {"message": DELIVERY}
    kept = run_sql(scene.database, "SELECT offer, answer, delivery, delivered FROM pairings")
    assert kept == [(None, None, None, True)]


async def test_what_is_over_read_or_not_ones_turn_is_what_never_was(scene: Scene, sign_in: Any) -> None:
    opened = (await scene.open()).json()["pairing_id"]
    never = comparable(await scene.take(0, str(new_id()), "answer"))
    eve = await sign_in(scene.client, "eve@example.org")
    scene.sessions.append(eve)

    async def refused(*calls: Any) -> None:
        for call in calls:
            assert comparable(await call) == never

    await refused(
        scene.put(0, opened, "answer"),  # its own offer
        scene.put(3, opened, "answer"),  # another account
        scene.put(0, opened, "delivery", DELIVERY),  # before the answer
        scene.put(1, opened, "offer"),
        scene.take(0, opened, "answer"),
        scene.take(1, opened, "delivery"),
        scene.client.delete(f"/v1/pairings/{opened}", headers=scene.sessions[1].headers),
    )
    assert (await scene.put(1, opened, "answer")).status_code == 204
    await refused(
        scene.put(2, opened, "answer"),  # the second
        scene.put(1, opened, "answer"),
        scene.take(1, opened, "answer"),  # not theirs to read
        scene.take(2, opened, "answer"),
        scene.put(1, opened, "delivery", DELIVERY),
    )
    assert (await scene.take(0, opened, "answer")).status_code == 200
    await refused(scene.take(0, opened, "answer"))
    assert (await scene.put(0, opened, "delivery", DELIVERY)).status_code == 204
    await refused(scene.put(0, opened, "delivery", DELIVERY), scene.take(2, opened, "delivery"))
    run_sql(scene.database, "UPDATE pairings SET expires_at = now()")
    await refused(scene.take(1, opened, "delivery"))
    assert await scene.offers(3) == []


async def test_what_was_given_up_after_an_answer_takes_no_delivery(scene: Scene) -> None:
    opened = (await scene.open()).json()["pairing_id"]
    assert (await scene.put(1, opened, "answer")).status_code == 204
    assert (await scene.take(0, opened, "answer")).status_code == 200
    for _ in range(2):
        gone = await scene.client.delete(f"/v1/pairings/{opened}", headers=scene.sessions[0].headers)
        assert gone.status_code == 204
    assert (await scene.put(0, opened, "delivery", DELIVERY)).status_code == 404
    assert (await scene.take(1, opened, "delivery")).status_code == 404
    assert run_sql(scene.database, "SELECT delivery FROM pairings") == [(None,)]


async def test_a_session_offers_once_at_a_time(scene: Scene) -> None:
    """A device that was killed with its offer open offers again, and the other one finds that offer alone."""
    answered = (await scene.open()).json()["pairing_id"]
    assert (await scene.put(1, answered, "answer")).status_code == 204
    killed = (await scene.open(offer="htp1o.BBBB")).json()["pairing_id"]
    await scene.open(who=2, offer="htp1o.CCCC")
    await scene.open(offer="htp1o.DDDD")
    assert sorted(await scene.offers(1)) == ["htp1o.CCCC", "htp1o.DDDD"]
    assert (await scene.put(1, killed, "answer")).status_code == 404
    # What was answered goes on, and no place is given back before its time.
    assert (await scene.take(0, answered, "answer")).status_code == 200
    assert (await scene.open()).status_code == 409
    assert sorted(await scene.offers(1)) == ["htp1o.CCCC", "htp1o.DDDD"]


async def test_of_many_answers_at_once_one_is_taken(scene: Scene) -> None:
    opened = (await scene.open()).json()["pairing_id"]
    answers = await asyncio.gather(
        *(scene.put(1 + turn % 2, opened, "answer", f"htp1a.AA{turn}A") for turn in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 7


async def test_pairings_are_few_and_short_and_maintenance_collects_them(scene: Scene, settings: Any) -> None:
    begun = await asyncio.gather(*(scene.open(turn % 3) for turn in range(MAX_PAIRINGS + 4)))
    codes = [answer.status_code for answer in begun]
    assert codes.count(201) <= MAX_PAIRINGS
    while (last := await scene.open()).status_code == 201:
        pass  # of those that came at once, some may have met in one place
    assert (last.status_code, last.json()["code"]) == (409, "limit_reached")
    (count,) = run_sql(scene.database, "SELECT count(*) FROM pairings")[0]
    assert count == MAX_PAIRINGS
    # Giving one up gives no place back before its time.
    one, whose = run_sql(scene.database, "SELECT id, offering_session_id::text FROM pairings LIMIT 1")[0]
    (session,) = (each for each in scene.sessions if each.session_id == whose)
    gone = await scene.client.delete(f"/v1/pairings/{one}", headers=session.headers)
    assert gone.status_code == 204
    assert (await scene.open()).status_code == 409
    assert len(await scene.offers(1)) <= MAX_PAIRINGS - 1
    long = "htp1o." + "A" * (MAX_PAIRING_TEXT - 5)
    for offer in (long, "AAAA", "htp1x.AAAA", "htp1o.", "htp1o.\u00e4"):
        assert (await scene.open(offer=offer)).status_code == 400
    run_sql(scene.database, "UPDATE pairings SET expires_at = now() WHERE place <= 2")
    assert (await scene.open()).status_code == 201
    run_sql(scene.database, "UPDATE pairings SET expires_at = now()")
    reached = Reached(scene.database.owner_url)
    done = await to_thread.run_sync(lambda: maintain(settings, reached, _Nobody(), wait=True))
    assert done.steps["pairings"] == 3
    assert run_sql(scene.database, "SELECT count(*) FROM pairings") == [(0,)]


async def test_the_end_of_a_session_ends_what_it_had_begun(scene: Scene) -> None:
    await scene.open()
    await scene.client.delete("/v1/sessions/current", headers=scene.sessions[0].headers)
    assert await scene.offers(1) == []


def whole_seconds(content: bytes) -> bytes:
    """Leave the fractions of seconds out: one that is nothing is not written."""
    return re.sub(rb"(?<=:\d\d)\.\d+", b"", content)


async def test_a_secret_tag_changes_nothing_in_the_mailbox(scene: Scene, sign_in: Any) -> None:
    """Neither an account with a tag nor one without can be told by what the mailbox does (P6)."""
    other = await sign_in(scene.client, "eve@example.org")
    await open_vault(scene.client, scene.sessions[0])
    told = []
    for who in (scene.sessions[0], other):
        empty = await scene.client.get("/v1/pairings", headers=who.headers)
        opened = await scene.client.post("/v1/pairings", json={"offer": OFFER}, headers=who.headers)
        waiting = await scene.client.get(f"/v1/pairings/{opened.json()['pairing_id']}/answer", headers=who.headers)
        told.append(
            [
                (answer.status_code, sorted(answer.json()), len(whole_seconds(answer.content)), sorted(answer.headers))
                for answer in (empty, opened, waiting)
            ]
        )
    assert told[0] == told[1]
