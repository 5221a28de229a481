"""The generated campaign: every act on every answer of every operation, and what is held against the client then."""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
import msgspec

from hushtag.errors import HushtagError
from hushtag.objects import shape_of
from hushtag.stream_index import GrowingIndex
from hushtag.streams import seal_segment, sealed_length
from hushtag.types import StreamKey
from tests.client.support import EMAIL, OTHER_PHRASE, PHRASE
from tests.evil.man import Act, Exchange, respond, route
from tests.evil.mutations import Values, answer_acts, field_acts, harvest, row_acts, segment_acts
from tests.evil.operations import ANSWERS, OPERATIONS, Operation
from tests.evil.world import EVE, FILM, GUEST_PHRASE, SHARED_PHRASE, Scene, World, at_another_time, canaries

FULL = os.environ.get("HUSHTAG_TEST_CAMPAIGN") == "full"
SHARES = 16
FEWEST = 16
"""Attacks on any operation, in any run."""
SECONDS = 20.0
"""A single attack may last that long at most, on any machine: nothing in memory makes the client wait."""


@dataclass(frozen=True)
class Attack:
    """One act at one exchange of an operation."""

    operation: Operation
    strike: int
    field: str
    mutation: str
    act: Act
    again: bool

    def __str__(self) -> str:
        always = ", each time" if self.again else ""
        return f"{self.operation.name}, exchange {self.strike}, {self.field}, {self.mutation}{always}"


@dataclass
class Ending:
    """How an operation ended: a value or an error, and what the client sent."""

    value: Any
    error: BaseException | None
    sent: list[Exchange]
    seconds: float = 0.0


def attempt(operation: Operation, scene: Scene) -> Ending:
    started = time.monotonic()
    try:
        value, error = operation.run(scene), None
    except Exception as caught:  # judged by the caller
        value, error = None, caught
    return Ending(value, error, list(scene.man.exchanges), time.monotonic() - started)


def stage(world: World, operation: Operation) -> Scene:
    if operation.reviewed:
        return world.reviewed()
    phrase = SHARED_PHRASE if operation.shared else PHRASE
    return world.scene(
        unlocked=operation.unlocked,
        warm=operation.warm,
        pinned=operation.pinned,
        phrase=phrase,
        resuming=operation.resuming,
    )


@dataclass
class Campaign:
    """The honest run of every operation, and what was heard in other vaults, of other users, at other times."""

    world: World
    honest: dict[str, Ending] = field(default_factory=dict)
    elsewhere: dict[str, Values] = field(default_factory=dict)
    rows: list[bytes] = field(default_factory=list)
    segments: list[bytes] = field(default_factory=list)
    forged: list[bytes] = field(default_factory=list)
    others: dict[str, Exchange] = field(default_factory=dict)
    older: dict[str, list[Any]] = field(default_factory=dict)
    most: int = 0

    def __post_init__(self) -> None:
        for operation in OPERATIONS:
            self.honest[operation.name] = attempt(operation, stage(self.world, operation))
        for ending in self.honest.values():
            for exchange in ending.sent:
                if exchange.response is not None and exchange.response.status_code < 300:
                    self.others.setdefault(exchange.route, exchange)
        for operation in OPERATIONS:
            if not operation.unlocked and not operation.pinned and operation.covers == "Client.unlock":
                self.older[operation.name] = [self._at(operation, users).value for users in self.world.older.values()]
        for name in ("epoch_code", "check_epoch"):
            self.older[name] = [self._in_another_branch(name)]
        heard = list(self._heard_elsewhere())
        for name, kind in ANSWERS.items():
            bodies = [each.response.content for each in heard if each.route == name and each.response is not None]
            if isinstance(kind, type):
                self.elsewhere[name] = harvest(kind, bodies)
            elif kind == "row":
                self.rows = bodies
            elif kind == "segment":
                self.segments = list(dict.fromkeys(bodies))[:5]
        self.forged = list(self._forged())

    def _forged(self) -> Iterator[bytes]:
        """Yield what opens in each place of the film that is read, and an index that agrees: of another content."""
        vault: Any = self.world.scene(unlocked=True, phrase=SHARED_PHRASE).vault
        info, shape = (found := vault._find(self.world.ids["film"])).meta.stream, shape_of(found.meta)
        content, growing = memoryview(FILM[::-1].ljust(shape.padded, b"\0")), GrowingIndex()
        plain = [content[seq * info.segment_size :][: shape.length(seq)] for seq in range(shape.segments)]
        for each in plain:
            growing.add(each)
        for seq, each in enumerate([*plain, memoryview(growing.encoded)]):
            room = bytearray(sealed_length(len(each)))
            seal_segment(StreamKey(info.key), info.context(vault.vault_id, seq, shape.kind(seq)), each, room)
            yield bytes(room)

    def _at(self, operation: Operation, users: Any) -> Ending:
        scene = stage(self.world, operation)
        scene.man.server = at_another_time(scene.server, users)
        return attempt(operation, scene)

    def _in_another_branch(self, name: str) -> Any:
        """What an operation gives where Ada has deleted something: a later head that she made, and so no lie of his."""
        operation = next(each for each in OPERATIONS if each.name == name)
        scene, deleted = stage(self.world, operation), self.others["DELETE /v1/vaults/*/objects/*"].response
        assert deleted is not None
        scene.man.arm(lambda man, request: deleted, again=True)
        return attempt(operation, scene).value

    def _heard_elsewhere(self) -> Iterator[Exchange]:
        for email, phrase in ((EVE, PHRASE), (EMAIL, OTHER_PHRASE), (EMAIL, GUEST_PHRASE)):
            scene = self.world.scene(unlocked=False, email=email)
            vault = scene.client.unlock(phrase)
            for entry in vault.list():
                vault.get(entry.object_id)
            vault.phrases()
            scene.client.account()
            scene.client.sessions()
            yield from scene.man.exchanges
            other = self.world.scene(unlocked=False, email=email)
            other.man.arm(None)
            other.client.log_in(email, "correct horse battery")
            yield from other.man.exchanges
        for users in self.world.older.values():
            scene = self.world.scene()
            scene.man.server = at_another_time(scene.server, users)
            vault = scene.client.unlock(PHRASE)
            for entry in vault.list():
                vault.get(entry.object_id)
            yield from scene.man.exchanges

    def attacks(self, operation: Operation) -> Iterator[Attack]:
        """Yield every attack on an operation.

        The first answer of each route is altered in every way; later ones of the same route (further pages, further
        rows) in their fields. Where the client may ask again, the man repeats himself; and a field that still can be
        read he also alters once only, so that the next answer contradicts the lie.
        """
        met: set[str] = set()
        for strike, exchange in enumerate(self.honest[operation.name].sent):
            repeatable, first = exchange.route.startswith(REPEATABLE), exchange.route not in met
            met.add(exchange.route)
            for name, acts in self.acts(exchange).items():
                whole = name == "answer"
                if whole and (operation.composed or not first):
                    continue
                for mutation, act in acts.items():
                    if not (repeatable and first and (whole or operation.composed or mutation in HOPELESS)):
                        yield Attack(operation, strike, name, mutation, act, again=False)
                    if repeatable and first:
                        yield Attack(operation, strike, name, mutation, act, again=True)

    @cached_property
    def chosen(self) -> dict[str, list[Attack]]:
        """The attacks of a run by operation: a share of all, or all where `HUSHTAG_TEST_CAMPAIGN` is `full`.

        Every way to alter a field is in it, in the first operation that meets the field, and some of every field of
        every answer of every operation; of the rest each operation has another sixteenth than its neighbours.
        """
        known: set[tuple[str, str]] = set()
        return {each.name: self._share(each, place, known) for place, each in enumerate(OPERATIONS)}

    def _share(self, operation: Operation, place: int, known: set[tuple[str, str]]) -> list[Attack]:
        met: Counter[tuple[int, str]] = Counter()
        share = []
        for attack in self.attacks(operation):
            number = met[attack.strike, attack.field]
            met[attack.strike, attack.field] += 1
            new = (attack.field, attack.mutation) not in known
            if FULL or new or number == 0 or len(share) < FEWEST or (number + place) % SHARES == 0:
                share.append(attack)
                known.add((attack.field, attack.mutation))
        return share

    def acts(self, exchange: Exchange) -> dict[str, dict[str, Act]]:
        """Return every act on an answer, by field and name of the mutation."""
        assert exchange.response is not None
        kind = ANSWERS[exchange.route]
        found: dict[str, dict[str, Act]] = {}
        if exchange.response.status_code >= 400:
            found = {}
        elif isinstance(kind, type):
            found = field_acts(kind, exchange.response, self.elsewhere[exchange.route])
        elif kind == "row":
            found = row_acts(self.rows)
        elif kind == "segment":
            found = segment_acts(self.segments, self.forged)
        elif kind is None:
            found["no content"] = {
                "content": lambda man, request: respond(man.forward(request).status_code, b"{}", {"Content-Type": "a"})
            }
        found["answer"] = answer_acts(other for other in self.others.values() if other.route != exchange.route)
        found["replay"] = {name: self._replay(users) for name, users in self.world.older.items()}
        return found

    @staticmethod
    def _replay(users: Any) -> Act:
        return lambda man, request: at_another_time(man.server, users)._respond(request)

    def judge(self, attack: Attack) -> list[str]:
        """Carry out an attack and return what the client did wrong."""
        scene = stage(self.world, attack.operation)
        scene.man.arm(attack.act, attack.strike, again=attack.again)
        ending = attempt(attack.operation, scene)
        assert scene.man.struck, f"{attack}: was not carried out"
        wrong = list(self._wrong(attack, ending))
        scene.man.arm(None)
        wrong += self._aftermath(attack, scene)
        return [f"{attack}: {text}" for text in wrong]

    def _wrong(self, attack: Attack, ending: Ending) -> Iterator[str]:
        operation, honest = attack.operation, self.honest[attack.operation.name]
        if ending.seconds > SECONDS:
            yield f"took {ending.seconds:.1f} s"
        self.most = max(self.most, len(ending.sent))
        if ending.error is None:
            if operation.absent:
                yield f"gave {ending.value!r} where there is nothing"
            elif ending.value != honest.value and ending.value not in self.older.get(operation.name, []):
                yield f"gave {ending.value!r} instead of {honest.value!r}"
        elif not isinstance(ending.error, HushtagError):
            yield f"ended in {ending.error!r}"
        elif isinstance(ending.error, operation.forbidden):
            yield f"denied what is there: {ending.error!r}"
        yield from self._said_too_much(attack, ending, honest)

    def _said_too_much(self, attack: Attack, ending: Ending, honest: Ending) -> Iterator[str]:
        once = [each.route for each in ending.sent if not each.route.startswith(REPEATABLE)]
        if len(once) != len(set(once)):
            yield f"sent again what must be sent once: {once}"
        allowed = {shape(each.request) for each in honest.sent} | ALWAYS | set(attack.operation.in_doubt)
        for exchange in ending.sent:
            if shape(exchange.request) not in allowed:
                yield f"sent {shape(exchange.request)}, which an honest run does not"
            yield from (f"told the {name}" for name in self.leaks(exchange.request))

    def leaks(self, request: httpx.Request) -> Iterator[str]:
        """Yield the name of every canary that a request holds."""
        text = b"\n".join((str(request.url).encode(), *(b"%s: %s" % line for line in request.headers.raw)))
        text += request.content
        for name, spelled in self._canaries():
            if spelled in text:
                yield name

    def _canaries(self) -> list[tuple[str, bytes]]:
        if not hasattr(self, "_spelled"):
            salt = self.world.server.users[EMAIL].phrase_salt
            self._spelled = [(n, s) for n, value in canaries(PHRASE, salt).items() for s in spellings(value)]
        return self._spelled

    def _aftermath(self, attack: Attack, scene: Scene) -> list[str]:
        """Let an honest server answer again: the client must have taken nothing of the lie."""
        if scene.vault is None or scene.vault.locked:
            return []
        if scene.vault.vault_id not in scene.server.users[EMAIL].vaults:
            return []  # it was destroyed, and the client is not sure of it
        truth = {(key, held.row.revision) for key, held in the_objects(scene, scene.vault.vault_id).items()}
        with suppress(HushtagError):
            listed = {(entry.object_id, entry.revision) for entry in scene.vault.list()}
            if listed != truth:
                return [f"lists {listed} afterwards, the vault holds {truth}"]
        return []


def the_objects(scene: Scene, vault_id: Any) -> dict[Any, Any]:
    return scene.server.users[EMAIL].vaults[vault_id].objects


ALWAYS: set[tuple[str, ...]] = {
    ("DELETE /v1/vault-session", "authorization"),
    ("DELETE /v1/sessions/current", "authorization"),
    ("GET /v1/vaults/*", "authorization"),
    ("GET /v1/vaults/*/objects", "authorization"),
    ("GET /v1/vaults/*/objects/*", "authorization"),
    ("GET /v1/vaults/*/old-keys", "authorization"),
    ("DELETE /v1/vaults/*/streams/*", "authorization"),
    ("GET /v1/vaults/*/streams/*/segments/*", "authorization", "range"),  # from where the answer broke off
    ("PUT /v1/vaults/*/streams/*/segments/*", "authorization"),
}
"""Requests that a client may make of itself: to look again, to end what it will not use, or to send it once more."""

REPEATABLE = ("GET ", "PUT ", "DELETE /v1/vaults/", "POST /v1/vaults/")
"""Routes that a client may ask again: there the man also repeats himself."""

HOPELESS = {"missing", "null", "number", "text", "list", "map", "huge", "many", "empty", "escapes", "suffixed", "cut"}
"""Mutations of most fields that cannot be read: the client ends there and never sees a second answer."""

_CUSTOMARY = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "content-type"}


def shape(request: httpx.Request) -> tuple[str, ...]:
    """Return route, headers out of the ordinary and JSON fields of a request: what it may tell, not what it tells."""
    headers = sorted(name for name in request.headers if name not in _CUSTOMARY)
    body: list[str] = []
    if request.headers.get("content-type") == "application/json":
        body = sorted(_names(json.loads(request.content), ""))
    return (route(request), *headers, *body)


def _names(value: Any, at: str) -> set[str]:
    if isinstance(value, dict):
        return {name for key, inner in value.items() for name in _names(inner, f"{at}.{key}")}
    if isinstance(value, list):
        return {name for inner in value for name in _names(inner, f"{at}[]")} or {f"{at}[]"}
    return {at}


def spellings(value: bytes) -> list[bytes]:
    encoded = msgspec.json.encode(value).strip(b'"')
    url = encoded.replace(b"+", b"-").replace(b"/", b"_")
    return [value, value.hex().encode(), value.hex().upper().encode(), encoded.rstrip(b"=")[:-1], url.rstrip(b"=")[:-1]]
