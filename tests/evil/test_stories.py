"""One attack of each class, told from beginning to end; `test_campaign` names the classes and generates the rest."""

import json
import os
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from hushtag import unlock as unlock_module
from hushtag._opaque import ServerSetup
from hushtag.client import CeremonyError, IntegrityError, NotFoundError, PinChangedError, ceremony_steps, client_steps
from hushtag.errors import AuthenticationError, MalformedError, RollbackError, UnknownSuiteError
from hushtag.keys import unwrap_key
from hushtag.messages import (
    Account,
    Located,
    ObjectList,
    RegistrationStarted,
    SessionOpened,
    TagList,
    Unlocked,
    UnlockStarted,
    decode_binary,
    encode_binary,
)
from hushtag.types import DataKey
from tests.client.fake_server import answer, octets, problem
from tests.client.support import EMAIL, OTHER_PHRASE, PASSWORD, PHRASE, UNKNOWN_PHRASE
from tests.evil.man import Man, respond
from tests.evil.mutations import altering
from tests.evil.stories import always, changing, her_vault, replaced
from tests.evil.world import EVE, Scene, World, at_another_time


@pytest.fixture(params=[False, True], ids=["just opened", "read before"])
def scene(request: pytest.FixtureRequest, world: World) -> Scene:
    """Ada's open vault: a letter in its second revision, a photo, a song; something else was deleted."""
    return world.scene(unlocked=True, warm=request.param)


def opened(scene: Scene) -> Any:
    assert scene.vault is not None
    return scene.vault


# --- revisions, deletion, resurrection ------------------------------------------------------------------------


def test_an_earlier_revision_is_refused_even_by_who_has_not_listed_the_vault(scene: Scene, world: World) -> None:
    """Ada knows the id of her letter and asks for nothing else; the man serves what it said before she changed it."""
    letter = scene.ids["letter"]
    past = at_another_time(scene.server, world.older["before the change"])
    row = past.users["ada@example.org"].vaults[opened(scene).vault_id].objects[letter].row
    her_vault(scene).objects[letter].row = row
    with pytest.raises(RollbackError):
        opened(scene).get(letter)


def test_what_was_deleted_does_not_rise_again(scene: Scene, world: World) -> None:
    """The row that Ada deleted is authentic and always will be; that it is in the vault is what her head denies."""
    gone = scene.ids["gone"]
    past = world.older["before the deletion"]["ada@example.org"].vaults[opened(scene).vault_id]
    row = octets(past.objects[gone].row)
    always(scene, lambda man, request: row if request.url.path.endswith(str(gone)) else man.forward(request))
    with pytest.raises(RollbackError, match="shows or withholds"):
        opened(scene).get(gone)


def test_what_ada_deletes_herself_does_not_rise_again(world: World) -> None:
    scene = world.scene(unlocked=True)
    photo = scene.ids["photo"]
    row = octets(her_vault(scene).objects[photo].row)
    opened(scene).delete(photo)
    always(scene, lambda man, request: row if request.url.path.endswith(str(photo)) else man.forward(request))
    with pytest.raises(RollbackError):
        opened(scene).get(photo)


def test_a_row_that_was_never_stored_is_refused(scene: Scene) -> None:
    """The man refuses a put and keeps its row: sealed by Ada, and no part of her vault."""
    kept: list[httpx.Response] = []

    def refuse(man: Man, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            kept.append(httpx.Response(200, content=request.content))
            return problem(409, "limit_reached")
        if kept and request.method == "GET" and "/objects/" in request.url.path:
            headers = {"Content-Type": "application/octet-stream", "Hushtag-Revision": "3", "Hushtag-Key-Version": "1"}
            return httpx.Response(200, content=kept[0].content, headers=headers)
        return man.forward(request)

    always(scene, refuse)
    letter = scene.ids["letter"]
    with pytest.raises(Exception, match="limit"):
        opened(scene).put(b"a third letter", name="letter", replace=letter)
    with pytest.raises(RollbackError):
        opened(scene).get(letter)


def test_an_object_that_is_there_is_not_denied(scene: Scene) -> None:
    """An answer of "no such thing" would let a program make the thing anew."""
    letter = scene.ids["letter"]
    denied = problem(404, "not_found")
    always(scene, lambda man, request: denied if request.url.path.endswith(str(letter)) else man.forward(request))
    with pytest.raises(RollbackError):
        opened(scene).get(letter)


def test_what_the_head_does_not_count_is_only_not_found(scene: Scene) -> None:
    with pytest.raises(NotFoundError):
        opened(scene).get(scene.ids["gone"])


def test_a_put_is_read_again_without_a_listing(world: World) -> None:
    scene = world.scene(unlocked=True)
    stored = opened(scene).put(b"mine", name="new")
    scene.man.arm(None)
    assert opened(scene).get(stored.object_id).body == b"mine"
    assert [exchange.route for exchange in scene.man.exchanges] == ["GET /v1/vaults/*/objects/*"]


# --- parameters, suites, salts --------------------------------------------------------------------------------


@pytest.fixture
def untouchable(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A record of every touch of a phrase."""
    touched: list[str] = []
    for module, name in ((ceremony_steps, "canonicalize"), (client_steps, "filter_candidates")):
        monkeypatch.setattr(module, name, lambda *_, **__: touched.append("read"))
    monkeypatch.setattr(ceremony_steps, "stretch_phrase", lambda *_: touched.append("stretched"))
    return touched


@pytest.mark.parametrize("suite", ["hushtag-v0", "hushtag-v2", "hushtag-v1-fast", "opaque"])
def test_another_suite_is_refused_before_the_phrase_is_touched(
    world: World, untouchable: list[str], suite: str
) -> None:
    """The man wants a cheaper stretch, and so names a suite that has one."""
    scene = world.scene()
    scene.man.arm(changing(SessionOpened, lambda opened: replaced(opened, suite=suite)))
    scene.client.log_in(EMAIL, PASSWORD)
    scene.man.arm(None)
    with pytest.raises(UnknownSuiteError):
        scene.client.unlock(PHRASE)
    with pytest.raises(UnknownSuiteError):
        scene.client.enrol(PHRASE)
    assert untouchable == []
    assert scene.man.exchanges == []


def test_the_suite_cannot_change_between_login_and_account(world: World) -> None:
    scene = world.scene()
    scene.man.arm(changing(Account, lambda account: replaced(account, suite="hushtag-v0")))
    with pytest.raises(MalformedError, match="another suite"):
        scene.client.account()


def test_a_salt_of_the_mans_choice_is_refused(world: World, untouchable: list[str]) -> None:
    """One salt for all would let one stretched guess be tried on everybody."""
    scene = world.scene()
    session = scene.client.session
    scene.man.arm(changing(SessionOpened, lambda opened: replaced(opened, phrase_salt=encode_binary(bytes(16)))))
    with pytest.raises(PinChangedError, match="phrase salt"):
        scene.client.log_in(EMAIL, PASSWORD)
    assert scene.client.session == session
    assert [each.route for each in scene.man.exchanges] == ["POST /v1/sessions", "DELETE /v1/sessions/current"]
    assert untouchable == []


# --- keys -----------------------------------------------------------------------------------------------------


def test_a_public_key_of_the_mans_own_is_not_shown_as_adas(scene: Scene) -> None:
    """Were it believed, a later re-keying of the vault would seal the new key to the man."""
    his = encode_binary(X25519PrivateKey.generate().public_key().public_bytes_raw())
    always(scene, changing(TagList, lambda page: replaced(page, tags=[replaced(t, public_key=his) for t in page.tags])))
    with pytest.raises(IntegrityError):
        opened(scene).phrases()


def test_a_server_key_of_the_mans_own_at_enrolment_opens_no_vault(world: World) -> None:
    scene = world.scene()
    his = ServerSetup.generate()

    def swap(started: RegistrationStarted) -> RegistrationStarted:
        answered = decode_binary(started.registration_response)
        return replaced(started, registration_response=encode_binary(answered[:32] + his.decoy_public_key))

    scene.man.arm(changing(RegistrationStarted, swap))
    scene.client.enrol(UNKNOWN_PHRASE)
    scene.man.arm(None)
    with pytest.raises(AuthenticationError, match="opens nothing here"):
        scene.client.unlock(UNKNOWN_PHRASE)


def test_an_overwritten_key_is_refused_and_none_is_made_in_its_place(world: World) -> None:
    """The man wraps a data key that he knows; a client that fell back to it, or began anew, would write for him."""
    scene = world.scene()
    his = encode_binary(aes_key_wrap(os.urandom(32), os.urandom(32)))
    change = changing(Unlocked, lambda got: replaced(got, vaults=[replaced(k, wrapped_key=his) for k in got.vaults]))
    always(scene, change)
    with pytest.raises(IntegrityError):
        scene.client.unlock(PHRASE)
    assert [each.route for each in scene.man.exchanges] == [
        f"POST /v1/unlock/{s}" for s in ("locate", "start", "finish")
    ]


def test_no_key_at_all_is_refused_and_none_is_made_in_its_place(world: World) -> None:
    scene = world.scene()
    always(scene, changing(Unlocked, lambda got: replaced(got, vaults=[])))
    with pytest.raises(MalformedError):
        scene.client.unlock(PHRASE)
    assert not [each for each in scene.man.exchanges if "registrations" in each.route]


def test_when_one_vault_is_forged_the_keys_of_the_others_are_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[DataKey] = []
    monkeypatch.setattr(unlock_module, "unwrap_key", lambda *known: keys.append(unwrap_key(*known)) or keys[-1])
    scene = world.scene()
    forged = changing(
        Unlocked, lambda got: replaced(got, vaults=[*got.vaults, replaced(got.vaults[0], vault_id=UUID(int=7))])
    )
    always(scene, forged)
    with pytest.raises(IntegrityError):
        scene.client.unlock(PHRASE)
    always(scene, changing(Unlocked, lambda got: replaced(got, vaults=[replaced(got.vaults[0], generation=99)])))
    with pytest.raises(IntegrityError):
        scene.client.unlock(PHRASE)
    assert len(keys) == 2
    assert [key._buffer for key in keys] == [None, None]


# --- swaps and splices ----------------------------------------------------------------------------------------


def test_keys_of_two_vaults_do_not_change_places(world: World) -> None:
    """Ada opens one vault with each phrase; the man gives each the other's key, then the other's whole answer."""
    answers: list[Unlocked] = []
    for phrase in (PHRASE, OTHER_PHRASE):
        scene = world.scene()
        scene.client.unlock(phrase)
        answers.append(msgspec.json.decode(scene.man.exchanges[-1].response.content, type=Unlocked))  # type: ignore[union-attr]
    other = answers[1]
    for lie in (
        lambda got: replaced(got, vaults=[replaced(got.vaults[0], wrapped_key=other.vaults[0].wrapped_key)]),
        lambda got: replaced(got, vaults=other.vaults),
        lambda got: replaced(got, vaults=[*got.vaults, *other.vaults]),
        lambda got: replaced(got, tag_id=other.tag_id),
        lambda got: replaced(got, salt=other.salt),
        lambda got: other,
    ):
        scene = world.scene()
        always(scene, changing(Unlocked, lie))
        with pytest.raises(IntegrityError):
            scene.client.unlock(PHRASE)


def test_rows_do_not_change_places(scene: Scene) -> None:
    objects = her_vault(scene).objects
    letter, photo = (scene.ids[name] for name in ("letter", "photo"))
    objects[letter], objects[photo] = objects[photo], objects[letter]
    with pytest.raises((IntegrityError, RollbackError)):
        opened(scene).get(photo)
    with pytest.raises((IntegrityError, RollbackError)):
        opened(scene).list()


def test_nothing_of_another_user_with_the_same_phrase_opens(scene: Scene) -> None:
    """Eve says the same words; her vault's head, rows and labels are another vault's all the same."""
    hers = next(iter(scene.server.users[EVE].vaults.values()))
    theirs = her_vault(scene)
    kept = theirs.head, theirs.generation, dict(theirs.objects)
    theirs.objects[scene.ids["letter"]] = hers.objects[scene.ids["hers"]]
    with pytest.raises((IntegrityError, RollbackError)):
        opened(scene).get(scene.ids["letter"])
    theirs.objects, theirs.head, theirs.generation = dict(hers.objects), hers.head, theirs.generation + 1
    with pytest.raises((IntegrityError, RollbackError)):
        opened(scene).list()
    theirs.head, theirs.generation, theirs.objects = kept
    label = next(iter(scene.server.users[EVE].tags.values())).message.sealed_label
    lie = changing(TagList, lambda page: replaced(page, tags=[replaced(tag, sealed_label=label) for tag in page.tags]))
    always(scene, lie)
    with pytest.raises(IntegrityError):
        opened(scene).phrases()


# --- generations, omission, truncation, order -----------------------------------------------------------------


@pytest.mark.parametrize("when", ["no objects", "before the change", "before the deletion"])
def test_an_open_vault_does_not_go_back(scene: Scene, world: World, when: str) -> None:
    scene.man.server = at_another_time(scene.server, world.older[when])
    with pytest.raises(RollbackError):
        opened(scene).list()
    with pytest.raises(RollbackError):
        opened(scene).put(b"a third letter", name="letter", replace=scene.ids["letter"])


def test_a_listing_that_ends_early_is_refused(scene: Scene) -> None:
    always(scene, changing(ObjectList, lambda page: replaced(page, next=None)))
    with pytest.raises(RollbackError, match="listing has 2 objects, the vault head counts 3"):
        opened(scene).list()


def test_a_phrase_that_opened_the_vault_is_not_left_out(scene: Scene) -> None:
    """Nor is another one passed off as the one in use."""
    for lie in (
        lambda page: replaced(page, tags=[]),
        lambda page: replaced(page, tags=[replaced(tag, current=False) for tag in page.tags]),
    ):
        always(scene, changing(TagList, lie))
        with pytest.raises(IntegrityError, match="list of phrases"):
            opened(scene).phrases()


def test_a_listing_cannot_lie_about_what_the_head_does_not_sum_up(scene: Scene) -> None:
    for change in ({"content_size": 7}, {"key_version": 2}):
        lie = changing(
            ObjectList, lambda page, c=change: replaced(page, objects=[replaced(e, **c) for e in page.objects])
        )
        always(scene, lie)
        with pytest.raises(IntegrityError, match="listing of an object"):
            opened(scene).list()


def test_an_open_vault_is_not_denied(scene: Scene) -> None:
    """ "No such vault" must not look like "no such object": a program would make anew what is there."""
    always(scene, lambda man, request: problem(404, "not_found"))
    letter = scene.ids["letter"]
    calls: list[Any] = [
        lambda vault: vault.list(),
        lambda vault: vault.find("letter"),
        lambda vault: vault.put(b"", name="letter", replace=letter),
        lambda vault: vault.put(b"", name="new"),
        lambda vault: vault.phrases(),
        lambda vault: vault.get(letter),
        lambda vault: vault.delete(letter),
    ]
    for call in calls:
        with pytest.raises(RollbackError):
            call(opened(scene))


def test_rows_cut_or_lengthened_are_refused(scene: Scene) -> None:
    for change in (lambda row: row[:-1], lambda row: row[:59], lambda row: row + b"\0", lambda row: b""):
        always(scene, altering(lambda _, got, c=change: respond(got.status_code, c(got.content), got.headers)))
        with pytest.raises((IntegrityError, MalformedError)):
            opened(scene).get(scene.ids["letter"])


def test_answers_to_two_candidates_do_not_change_places(world: World) -> None:
    for kind, name in ((Located, "responses"), (UnlockStarted, "ke2")):
        scene = world.scene()
        scene.man.arm(None)
        always(scene, changing(kind, lambda got, n=name: replaced(got, **{n: getattr(got, n)[::-1]})))
        with pytest.raises(AuthenticationError):
            scene.client.unlock([UNKNOWN_PHRASE, PHRASE])
        assert not [each for each in scene.man.exchanges if each.route.endswith("finish")]


# --- reflections, mixed-up sessions, oracles ------------------------------------------------------------------


def test_an_element_sent_back_is_refused(world: World) -> None:
    """The blinded element itself as its evaluation would mean a key of 1: the man could test guesses at leisure."""
    scene = world.scene()

    def reflect(man: Man, request: httpx.Request) -> httpx.Response:
        sent = decode_binary(json.loads(request.content)["elements"][0])
        located: Located = msgspec.json.decode(man.forward(request).content, type=Located)
        answered = sent + decode_binary(located.responses[0])[32:]
        return answer(200, replaced(located, responses=[encode_binary(answered)]))

    scene.man.arm(reflect)
    with pytest.raises(MalformedError):
        scene.client.unlock(PHRASE)
    assert len(scene.man.exchanges) == 1


def test_what_the_client_says_is_no_answer_to_it(world: World) -> None:
    scene = world.scene(unlocked=True)
    reflected = altering(lambda sent, got: respond(got.status_code, sent.content, got.headers))
    for call in (
        lambda: scene.client.log_in(EMAIL, PASSWORD),
        lambda: scene.client.unlock(PHRASE),
        lambda: opened(scene).put(b"mine", name="new"),
    ):
        always(scene, reflected)
        with pytest.raises(MalformedError):
            call()


def test_the_login_of_another_user_is_refused_by_who_knows_ada(world: World) -> None:
    scene = world.scene()
    hers = world.scene(email=EVE).client.session
    assert hers is not None
    lie = changing(
        SessionOpened,
        lambda got: replaced(got, token=hers.token, user_id=hers.user_id, phrase_salt=hers.phrase_salt),
    )
    scene.man.arm(lie)
    with pytest.raises(PinChangedError, match="user id"):
        scene.client.log_in(EMAIL, PASSWORD)


@pytest.mark.parametrize("step", [0, 1, 2], ids=["locate", "start", "finish"])
def test_two_unlocks_of_the_same_words_are_not_mixed_up(world: World, step: int) -> None:
    """Ada and Eve say the same phrase at once; the man gives Ada the answer that was meant for Eve."""
    hers = world.scene(email=EVE)
    hers.client.unlock(PHRASE)
    response = hers.man.exchanges[step].response
    assert response is not None
    scene = world.scene()
    scene.man.arm(lambda man, request: response, step)
    with pytest.raises((AuthenticationError, CeremonyError)):
        scene.client.unlock(PHRASE)


def test_no_failure_tells_the_man_what_failed(world: World) -> None:
    """Commitment or tag, key or head: the same words to the person, and not a byte more to the server."""
    for place in (0, 20, 60, -1):
        scene = world.scene(unlocked=True, warm=True)
        row = bytearray(her_vault(scene).objects[scene.ids["photo"]].row.encoded)
        row[place] ^= 1
        always(scene, altering(lambda _, got, r=bytes(row): respond(got.status_code, r, got.headers)))
        with pytest.raises(IntegrityError, match=r"^object row is not authentic$"):
            opened(scene).get(scene.ids["photo"])
        assert len(scene.man.exchanges) == 1
    for name in ("wrapped_key", "head"):
        scene = world.scene()

        def lie(got: Unlocked, name: str = name) -> Unlocked:
            raw = bytearray(decode_binary(getattr(got.vaults[0], name)))
            raw[-1] ^= 1
            return replaced(got, vaults=[replaced(got.vaults[0], **{name: encode_binary(bytes(raw))})])

        always(scene, changing(Unlocked, lie))
        with pytest.raises(IntegrityError, match=r"^what the server keeps behind this phrase is not authentic$"):
            scene.client.unlock(PHRASE)
        assert len(scene.man.exchanges) == 3
