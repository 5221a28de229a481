"""Can whoever holds only the account session tell whether a phrase opens something? (SPEC.md, section 20; promise P6)

Run as `python -m benchmarks.absence [ATTEMPTS]`; prints JSON. The protocol is fixed: two accounts, one with a secret
tag and one without any; through a real server, one kept-alive connection, one request at a time, locate and start of

- `real`: the phrase hash of the enrolled tag,
- `other`: a phrase hash nobody enrolled, in the account that has the tag,
- `empty` and `control`: a phrase hash nobody enrolled, in the account that has none,

in random order, so that what changes with time changes for all alike. Of each attempt the observer keeps both
statuses, the header fields, the lengths of the bodies, how many bits of KE2 are set, and both times. An attempt that is
refused ends there, and its shape is another one. One that broke off, as all do while a machine is halted, is made again
and counted: what breaks one kind more often than another tells them apart. The classifier is naive Bayes over twenty
equally filled bins of every number, trained on one half of the attempts and judged on the other, and the other way
round. What is judged is its AUC (0.5: it can as well toss a coin) for `real` against `other` and for `other` against
`empty`; `empty` against `control` shows what chance does. With 10,000 of each that is 0.004 (one standard deviation),
with 2,500 it is 0.008.
"""

import asyncio
import json
import math
import os
import random
import sys
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from benchmarks.figures import Figure, Measured
from benchmarks.processes import running_server
from hushtag._opaque import start_login
from hushtag.enrollment import start_enrollment
from hushtag.messages import (
    Candidate,
    Locate,
    Located,
    RegistrationStarted,
    SessionOpened,
    StartUnlock,
    UnlockStarted,
    decode_binary,
    encode_binary,
)
from hushtag.types import OpaquePassword

ATTEMPTS: Final = int(os.environ.get("BENCH_ABSENCE", "2500"))
"""Of each kind; `make absence` makes 10,000."""
QUICK_ATTEMPTS: Final = 300
WARM_UP: Final = 200
LIMIT: Final = 0.02
"""How far the AUC may be from 0.5."""
BINS: Final = 20
KINDS: Final = ("real", "other", "empty", "control")
PAIRS: Final = (("real", "other"), ("other", "empty"))
CONTROL: Final = ("empty", "control")
VARIABLES: Final = {"HUSHTAG_GUESS_CAPACITY": "10000", "HUSHTAG_GUESS_LOCKOUT": "0"}
ROUND: Final = 2000
"""Attempts of each kind after which other accounts take over, because these have no guesses left."""
_HASH: Final = 16


class Answer(NamedTuple):
    """One response as an observer sees it."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float


class Attempt(NamedTuple):
    """What is seen of one attempt: what should be equal for all, and numbers that may only vary by chance."""

    shape: tuple[Any, ...]
    numbers: tuple[float, ...]


NUMBERS: Final = ("locate_seconds", "start_seconds", "both_seconds", "ke2_bits")
_HALTED: Final = frozenset({408, 503, 504})
"""What a server says whose machine was halted in the middle of a request; the attempt is made again, and counted."""
_TRIES: Final = 5
"""In a row, of one attempt; a machine is not halted that often."""
UNLIKELY: Final = 0.01
"""Below this chance an imbalance of what broke off is none of chance."""
_CHANGING: Final = frozenset({"date", "hushtag-request-id"})


class BrokenOffError(ConnectionError):
    """An attempt ended without an answer of its own; the message says with what, and nothing that differs by time."""


class Seen(NamedTuple):
    """What was seen of each kind, and how often attempts of it broke off before that, by what broke them."""

    attempts: dict[str, list[Attempt]]
    broken: dict[str, Counter[str]]


class Observer:
    """One kept-alive HTTP/1.1 connection that keeps everything it sees."""

    def __init__(self, url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._url, self._reader, self._writer = url, reader, writer

    @classmethod
    async def connect(cls, url: str) -> "Observer":
        """Open the connection."""
        place = urlsplit(url)
        return cls(url, *await asyncio.open_connection(place.hostname or "", place.port or 80))

    async def connect_again(self) -> None:
        """Open a new connection in place of one that broke."""
        self.close()
        place = urlsplit(self._url)
        self._reader, self._writer = await asyncio.open_connection(place.hostname or "", place.port or 80)

    async def post(self, path: str, message: object, token: str = "") -> Answer:
        """Post a message and return what came back.

        Raises:
            BrokenOffError: nothing whole, or what a halted server says.
        """
        body = msgspec.json.encode(message)
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n{authorization}"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        begun = time.perf_counter()
        self._writer.write(request)
        try:
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = tuple(
                (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:-2])
            )
            content = await self._reader.readexactly(int(dict(fields)["content-length"]))
        except (ConnectionError, asyncio.IncompleteReadError):
            raise BrokenOffError(f"no answer to {path}") from None
        seconds = time.perf_counter() - begun
        status = int(lines[0].split(" ")[1])
        if status in _HALTED:
            raise BrokenOffError(f"{status} to {path}")
        kept = tuple((name, "" if name in _CHANGING else value) for name, value in fields)
        return Answer(status, kept, content, seconds)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


class Person(NamedTuple):
    """A logged-in account, and the phrase hash of its tag if it has one."""

    token: str
    phrase_hash: str | None


async def sign_up(observer: Observer, email: str, password: OpaquePassword | None) -> Person:
    """Make an account, with a tag if there is a password for one."""
    credentials = {"email": email, "password": "correct horse battery"}
    await observer.post("/v1/accounts", credentials)
    opened = msgspec.json.decode((await observer.post("/v1/sessions", credentials)).body, type=SessionOpened)
    if password is None:
        return Person(opened.token, None)
    awaiting = start_enrollment(password)
    answer = await observer.post("/v1/registrations", awaiting.message, opened.token)
    enrolled = awaiting.finish(msgspec.json.decode(answer.body, type=RegistrationStarted), label="").message
    made = await observer.post("/v1/tags", enrolled, opened.token)
    if made.status != 201:
        raise RuntimeError(f"enrolment: {made.status}")
    return Person(opened.token, enrolled.phrase_hash)


async def attempt(observer: Observer, person: Person, kind: str, password: OpaquePassword) -> Attempt:
    """Locate and start once; `kind` says with which phrase hash. What follows a refusal is not asked for.

    Raises:
        BrokenOffError: one of them had no answer of its own.
    """
    # Another phrase's blinded element is a random group element, and its hash 16 random bytes, as is everything here.
    chosen = password if kind == "real" else OpaquePassword(os.urandom(32).hex().encode())
    phrase_hash = person.phrase_hash if kind == "real" else encode_binary(os.urandom(_HASH))
    state, ke1 = start_login(chosen)
    state.forget()
    locate = Locate(suite="hushtag-v1", elements=[encode_binary(ke1.blinded_element)])
    first = await observer.post("/v1/unlock/locate", locate, person.token)
    if first.status != 200:
        return _seen(first)
    session_id = msgspec.json.decode(first.body, type=Located).session_id
    candidate = Candidate(phrase_hash=phrase_hash or "", ke1=encode_binary(ke1))
    second = await observer.post(
        "/v1/unlock/start", StartUnlock(session_id=session_id, candidates=[candidate]), person.token
    )
    return _seen(first, second)


def _seen(first: Answer, second: Answer | None = None) -> Attempt:
    answers = (first,) if second is None else (first, second)
    ke2 = b""
    if second is not None and second.status == 200:
        ke2 = b"".join(decode_binary(each) for each in msgspec.json.decode(second.body, type=UnlockStarted).ke2)
    later = 0.0 if second is None else second.seconds
    bits = float(int.from_bytes(ke2, "big").bit_count())
    shape = tuple((each.status, each.fields, len(each.body)) for each in answers)
    return Attempt(shape, (first.seconds, later, first.seconds + later, bits))


def auc(lower: Sequence[float], higher: Sequence[float]) -> float:
    """Return the chance that a value of `higher` is above one of `lower`, ties counting half (Mann and Whitney)."""
    ordered = sorted(lower)
    below = sum(bisect_right(ordered, value) for value in higher)
    ties = Counter(lower)
    return (below - sum(ties[value] for value in higher) / 2) / (len(lower) * len(higher))


class _Judge:
    """Naive Bayes over equally filled bins of each number, and over the shapes."""

    def __init__(self, first: Sequence[Attempt], second: Sequence[Attempt]) -> None:
        self._edges = []
        for place in range(len(NUMBERS)):
            values = sorted(each.numbers[place] for each in (*first, *second))
            self._edges.append([values[len(values) * step // BINS] for step in range(1, BINS)])
        self._counts = [Counter(key for each in side for key in self._keys(each)) for side in (first, second)]
        self._sizes = (len(first), len(second))

    def _keys(self, each: Attempt) -> list[tuple[int, Any]]:
        bins = [(place, bisect_right(edges, each.numbers[place])) for place, edges in enumerate(self._edges)]
        return [*bins, (-1, each.shape)]

    def score(self, each: Attempt) -> float:
        """Return how much more it looks like the second kind (log of the ratio of likelihoods)."""
        likelihoods = [
            sum(math.log((counts[key] + 1) / (size + BINS)) for key in self._keys(each))
            for counts, size in zip(self._counts, self._sizes, strict=True)
        ]
        return likelihoods[1] - likelihoods[0]


def distinguish(first: Sequence[Attempt], second: Sequence[Attempt]) -> dict[str, float]:
    """Return the AUC of each number alone and of the classifier, judged on what it was not trained on."""
    found = {
        name: round(auc([each.numbers[place] for each in first], [each.numbers[place] for each in second]), 4)
        for place, name in enumerate(NUMBERS)
    }
    aucs = []
    for trained, judged in ((0, 1), (1, 0)):
        judge = _Judge(first[trained::2], second[trained::2])
        aucs.append(
            auc([judge.score(each) for each in first[judged::2]], [judge.score(each) for each in second[judged::2]])
        )
    return found | {"classifier": round(sum(aucs) / 2, 4)}


def by_chance(one: int, other: int) -> float:
    """Return the chance that so many events of two equally likely kinds lie that far apart or further."""
    number = one + other
    tail = sum(math.comb(number, count) for count in range(min(one, other) + 1))
    return min(1.0, 2 * tail / (1 << number))


async def _unbroken(
    observer: Observer, person: Person, kind: str, password: OpaquePassword, broken: Counter[str]
) -> Attempt:
    """Make an attempt, again if it broke off: a machine that was halted for a while has let it time out."""
    for _ in range(_TRIES):
        try:
            return await attempt(observer, person, kind, password)
        except BrokenOffError as error:
            broken[str(error)] += 1
            await observer.connect_again()
    raise RuntimeError(f"{kind} broke off {_TRIES} times in a row: {dict(broken)}")


async def _observe_round(observer: Observer, order: Sequence[str], seen: Seen) -> None:
    password = OpaquePassword(os.urandom(32).hex().encode())
    ada = await sign_up(observer, f"{os.urandom(8).hex()}@example.org", password)
    max_ = await sign_up(observer, f"{os.urandom(8).hex()}@example.org", None)
    for number, kind in enumerate([*KINDS * (WARM_UP // len(KINDS)), *order]):
        person = ada if kind in {"real", "other"} else max_
        found = await _unbroken(observer, person, kind, password, seen.broken[kind])
        if number >= WARM_UP // len(KINDS) * len(KINDS):
            seen.attempts[kind].append(found)


async def observe(url: str, attempts: int, seed: int = 1) -> Seen:
    """Make so many attempts of each kind against a server in random order and return what was seen of each kind."""
    chance = random.Random(seed)
    seen = Seen({kind: [] for kind in KINDS}, {kind: Counter() for kind in KINDS})
    with closing(await Observer.connect(url)) as observer:
        for begun in range(0, attempts, ROUND):
            order = [kind for kind in KINDS for _ in range(min(ROUND, attempts - begun))]
            chance.shuffle(order)
            begun_at = time.perf_counter()
            await _observe_round(observer, order, seen)
            rate = len(order) / (time.perf_counter() - begun_at)
            print(f"{len(seen.attempts['real'])} of each kind, {rate:.0f} a second", file=sys.stderr)
    return seen


def _alike(seen: Seen, first: str, second: str) -> bool:
    # Each way to break off by itself: two that favour one kind each would hide each other.
    ways = seen.broken[first].keys() | seen.broken[second].keys()
    return all(by_chance(seen.broken[first][way], seen.broken[second][way]) >= UNLIKELY for way in ways)


def judge(seen: Seen) -> dict[str, Any]:
    """Return the AUCs of the pairs, how many different shapes there were (1: all alike), and what broke off."""
    attempts = seen.attempts
    pairs = {f"{first}/{second}": distinguish(attempts[first], attempts[second]) for first, second in (*PAIRS, CONTROL)}
    shapes = len({each.shape for found in attempts.values() for each in found})
    alike = shapes == 1 and all(_alike(seen, *pair) for pair in PAIRS)
    judged = [pairs[f"{first}/{second}"]["classifier"] for first, second in PAIRS]
    return {
        "attempts": len(attempts["real"]),
        "shapes": shapes,
        "broken": {kind: dict(counted) for kind, counted in seen.broken.items()},
        "alike": alike,
        "auc": pairs,
        "limit": LIMIT,
        "held": alike and all(abs(each - 0.5) <= LIMIT for each in judged),
    }


def run(attempts: int = ATTEMPTS) -> dict[str, Any]:
    """Observe a server of its own and judge."""
    with running_server(**VARIABLES) as (url, _):
        return judge(asyncio.run(observe(url, attempts)))


def measured(quick: bool) -> Measured:
    """Return the AUC of each pair over that of a coin; the limit is what a coin may differ by."""
    found = run(QUICK_ATTEMPTS if quick else ATTEMPTS)
    count = found["attempts"]
    # The interquartile range of an AUC of two equal distributions (Mann and Whitney): 1.35 standard deviations.
    spread = 1.35 * math.sqrt((2 * count + 1) / (12 * count * count))
    figures = [
        Figure(
            name=f"telling {pair.replace('/', ' from ')}: AUC off a coin's 0.5, + 1",
            floor="a coin",
            unit="",
            subject=each["classifier"],
            base=0.5,
            ratio=round(1 + abs(each["classifier"] - 0.5), 4),
            spread=round(spread, 4),
            limit=None if pair == "/".join(CONTROL) else 1 + LIMIT,  # one kind twice: it tells of chance alone
            held_besides=found["alike"],
        )
        for pair, each in found["auc"].items()
    ]
    return Measured(figures, found)


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else ATTEMPTS), indent=2))
