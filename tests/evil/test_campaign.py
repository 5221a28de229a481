"""An evil server against the client: every field of every answer, of every operation, in every way that fits its type.

Covered, each by the generated campaign and by a story of its own (`test_stories`, `test_wire`, `test_key_commitment`):

* parameter and suite downgrade: another suite at login, in the account, in an unlock, as a problem;
* chosen salt: another phrase salt or user at a later login, and in the account;
* unauthenticated key: a tag's public key, the server's OPAQUE key at an enrolment;
* key overwrite: a wrapped key of the man's own, no key at all; nothing is made in its place;
* key and row swap: wrapped keys, heads, rows and each part of a row from another vault, tag, user or time;
* revision and generation rollback: older rows, heads, listings, or the whole server, against an open vault;
* rollback, forks, deletion and resurrection across sessions, against pins and epoch codes (`test_across_sessions`);
* deletion and resurrection: an object denied, a deleted one served, a row served that was never stored;
* omission from listings: objects, pages, the tag in use, the vault itself;
* truncation and extension of messages, rows, parts of rows, listings and HTTP itself;
* reordering: entries, pages, candidates' answers;
* segments of large objects: swapped, left out, repeated, cut, extended, of other places, streams, vaults, users and
  times, and of the stream that was there before;
* splicing between vaults, tags and users, also of a user with the same phrase;
* key-commitment collisions: one AES-GCM ciphertext that opens under two keys;
* reflected messages: requests, and blinded elements, sent back;
* mixed-up sessions: answers of other ceremonies, logins and routes;
* error oracles: what fails tells the person the same words and the server nothing;
* a vault's phrases: one hidden, invented, given another key, revoked and brought back; a data key of the man's own, or
  of the wrong rotation, sealed to a tag; a rotation's steps left out, repeated and reordered (`test_phrases`);
* endless work: retries, listings and heads without end, answers that come byte by byte, too late or never.

Deferred, with the reason:

* an unlock by a device that has never seen the vault, without an epoch code: it believes any authentic head. The
  campaign takes an unlock of an older state for that state's own answer (`Campaign.older`), and nothing in between; the
  same unlock by a device with pins may give the newest state only.
* a fork that has overtaken a pin: a later generation of another branch passes an unlock, because heads are not chained.
  A listing refuses it where an object goes back (`test_across_sessions`), and an epoch code of the same generation.
* two open sessions of one vault in one client without pins: each holds the server to what itself has seen.
* the first login: user id, salt and suite are believed once, because there is nothing to hold them against.
* downgrade between suites: there is one suite. When there are two, the pin must keep the account's.
* omission of other vaults of one tag: this version cannot add a vault to a tag.
* a vault taken back to before a revocation, for a client that remembers nothing of it: rollback across sessions, as
  above. Whoever was revoked and the server together can then go on as if nothing had been revoked.
* offline guesses by who impersonates the server and evaluates with a key of his own: inherent while the phrase hash is
  sent before the server has proved itself (SPEC.md, section 20); TLS and the device secret stand against it.
* times of the server's clock, expiry, the list of account sessions, the profile: the server's own word
  (`operations.OWN_WORD`), because nobody else knows them.
* refusal of service, traffic analysis: not what a client can prevent.
"""

import inspect
from typing import Any

import httpx
import pytest

from hushtag import messages, stream_messages
from hushtag.client import AsyncClient, AsyncVault, Client, Vault
from hushtag.errors import HushtagError
from tests.evil.campaign import Campaign, Ending, attempt, shape, stage
from tests.evil.man import EndlessError
from tests.evil.mutations import struct_fields
from tests.evil.operations import ANSWERS, OPERATIONS, OWN_WORD, REQUESTS, surface
from tests.evil.world import World, remembered

NAMED = {operation.name: operation for operation in OPERATIONS}


@pytest.fixture(scope="session")
def campaign(world: World) -> Campaign:
    """The campaign against this process's world."""
    with remembered():
        return Campaign(world)


def fields_of_answers() -> set[str]:
    kinds = [kind for kind in ANSWERS.values() if isinstance(kind, type)]
    return {f"{struct}.{name}" for kind in kinds for struct, name, *_ in struct_fields(kind)}


@pytest.mark.parametrize("name", NAMED)
def test_every_altered_answer_ends_in_a_typed_error_or_in_the_truth(campaign: Campaign, name: str) -> None:
    """No wrong data, no endless asking, nothing told that an honest run does not tell."""
    judged = [campaign.judge(attack) for attack in campaign.chosen[name]]
    assert len(judged) > 10
    wrong = [text for texts in judged for text in texts]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(judged)} attacks:", *wrong[:20]])


@pytest.mark.parametrize("name", NAMED)
def test_without_an_attack_each_operation_does_its_work(campaign: Campaign, name: str) -> None:
    ending = campaign.honest[name]
    assert (ending.error is not None) == NAMED[name].absent
    assert isinstance(ending.error, HushtagError | None)


ELSEWHERE = {
    "Client.export_data": "an archive is checked against its own checksums: tests/transfer/test_client.py",
    "Client.import_data": "sends a file and reads three counts: tests/transfer/test_client.py",
}
"""Methods outside the campaign, and where what a server can do to them is tested."""


@pytest.mark.parametrize(("blocking", "awaiting"), [(Client, AsyncClient), (Vault, AsyncVault)])
def test_every_method_of_the_client_is_attacked(blocking: type, awaiting: type) -> None:
    """A new one must find its place in `OPERATIONS`."""
    attacked = {operation.covers for operation in OPERATIONS} | set(ELSEWHERE)
    assert {name for name in attacked if name.startswith(f"{blocking.__name__}.")} == surface(blocking)
    assert {name.replace("Async", "") for name in surface(awaiting)} == surface(blocking)


def test_every_message_is_an_answer_or_a_request() -> None:
    """A new one must find its place in `ANSWERS` or `REQUESTS`."""
    every = {
        each
        for module in (messages, stream_messages)
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, messages.Message) and each is not messages.Message
    }
    names = {field.partition(".")[0] for field in fields_of_answers()}
    answered = {each for each in every if each.__name__ in names} | {messages.FieldProblem}
    assert answered | REQUESTS == every
    assert not answered & REQUESTS


def test_every_field_of_every_answer_is_altered(campaign: Campaign) -> None:
    rows = {"ObjectRow.iv", "ObjectRow.commitment", "ObjectRow.ciphertext", "ObjectRow.tag"}
    segments = {"Segment", "Segment.salt", "Segment.commitment", "Segment.chunk", "Segment.last tag"}
    wanted = fields_of_answers() | rows | segments | {"Hushtag-Revision", "Hushtag-Key-Version"}
    altered: dict[str, int] = {}
    routes: set[str] = set()
    for ending in campaign.honest.values():
        for exchange in ending.sent:
            routes.add(exchange.route)
            for name, acts in campaign.acts(exchange).items():
                altered[name] = max(altered.get(name, 0), len(acts))
    assert routes == set(ANSWERS)
    assert {name for name in wanted if altered.get(name, 0) < 7} == set()


def test_what_a_run_leaves_out_of_one_operation_it_does_in_others(campaign: Campaign) -> None:
    done: set[tuple[str, str]] = set()
    for operation in OPERATIONS:
        every, chosen = list(campaign.attacks(operation)), campaign.chosen[operation.name]
        assert {(a.strike, a.field) for a in every} == {(a.strike, a.field) for a in chosen}
        done |= {(attack.field, attack.mutation) for attack in chosen}
        assert {(attack.field, attack.mutation) for attack in every} <= done


def test_what_is_the_servers_own_word_is_a_field() -> None:
    assert set(OWN_WORD) <= fields_of_answers()


# --- the campaign itself can fail -----------------------------------------------------------------------------


def judged(campaign: Campaign, name: str, value: Any, error: Exception | None = None) -> list[str]:
    """Judge a client that ends like this whatever it is answered."""
    attack = next(campaign.attacks(NAMED[name]))
    ending = attempt(NAMED[name], stage(campaign.world, NAMED[name]))
    return list(campaign._wrong(attack, Ending(value, error, ending.sent)))


def test_wrong_data_is_noticed(campaign: Campaign) -> None:
    assert judged(campaign, "list", ())
    assert judged(campaign, "get_deleted", b"risen")
    assert not judged(campaign, "list", campaign.honest["list"].value)


def test_an_error_without_a_type_is_noticed(campaign: Campaign) -> None:
    assert judged(campaign, "account", None, KeyError("tag"))


def test_a_leak_is_noticed_in_any_place(campaign: Campaign) -> None:
    honest = campaign.honest["unlock"].sent[0].request
    assert list(campaign.leaks(honest)) == []
    for _, spelled in campaign._canaries():
        assert list(campaign.leaks(httpx.Request("POST", honest.url, content=honest.content + spelled)))


def test_a_request_of_another_shape_is_noticed(campaign: Campaign) -> None:
    honest = campaign.honest["unlock"].sent[0].request
    headers = {**honest.headers, "X-Phrase": "hidden"}
    assert shape(httpx.Request("POST", honest.url, headers=headers, content=honest.content)) != shape(honest)


def test_asking_without_end_is_noticed(world: World) -> None:
    scene = world.scene()
    scene.man.limit = 2
    scene.client.account()
    scene.client.account()
    with pytest.raises(EndlessError):
        scene.client.account()
