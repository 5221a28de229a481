"""P6: a phrase that opens nothing looks, and takes as long, as one that opens something; an account without any too.

The same protocol with 10,000 attempts of each kind and a limit of 0.02 is `python -m benchmarks.absence 10000`. Here
are fewer attempts, and a limit that chance alone passes three times in a hundred thousand runs.
"""

import asyncio
import random
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks.absence import (
    KINDS,
    PAIRS,
    VARIABLES,
    Attempt,
    BrokenOffError,
    Observer,
    Person,
    Seen,
    attempt,
    auc,
    by_chance,
    distinguish,
    judge,
    observe,
)
from hushtag.types import OpaquePassword
from tests.live_server import run_server

pytestmark = pytest.mark.anyio

ATTEMPTS = 250
LIMIT = 0.12  # standard deviation by chance: 0.026


async def test_neither_answers_nor_times_tell_whether_a_phrase_opens_something(data_directory: Path) -> None:
    with run_server(data_directory, HUSHTAG_LOG_LEVEL="warning", **VARIABLES) as server:
        seen = await observe(server.url, ATTEMPTS)
    assert {kind: len(found) for kind, found in seen.attempts.items()} == dict.fromkeys(KINDS, ATTEMPTS)
    found = judge(seen)
    assert found["shapes"] == 1
    assert found["alike"], found["broken"]
    statuses = {status for attempt in seen.attempts["real"] for status, _, _ in attempt.shape}
    assert statuses == {200}
    for first, second in PAIRS:
        for what, value in found["auc"][f"{first}/{second}"].items():
            assert abs(value - 0.5) <= LIMIT, (first, second, what, value)


def _made_up(delay: float, shape: str, seed: int) -> list[Attempt]:
    chance = random.Random(seed)
    times = [(chance.gauss(1, 0.1), chance.gauss(1 + delay, 0.1)) for _ in range(ATTEMPTS)]
    return [Attempt((shape,), (first, second, first + second, 0.0)) for first, second in times]


def test_the_judge_sees_a_difference_in_time_and_one_in_shape() -> None:
    alike, slower, other = _made_up(0, "a", 1), _made_up(0.1, "a", 2), _made_up(0, "b", 3)
    same = distinguish(alike, _made_up(0, "a", 4))
    assert all(abs(value - 0.5) <= LIMIT for value in same.values())
    by_time = distinguish(alike, slower)
    assert by_time["start_seconds"] > 0.5 + LIMIT
    assert by_time["classifier"] > 0.5 + LIMIT / 2
    assert distinguish(alike, other)["classifier"] > 0.99


def _judged(broken: dict[str, Counter[str]], **others: list[Attempt]) -> dict[str, Any]:
    attempts = {kind: _made_up(0, "a", seed) for seed, kind in enumerate(KINDS)} | others
    return judge(Seen(attempts, {kind: Counter[str]() for kind in KINDS} | broken))


def test_what_breaks_off_for_one_kind_alone_is_told() -> None:
    halted = Counter({"503 to /v1/unlock/start": 3})
    assert _judged(dict.fromkeys(KINDS, halted))["alike"]
    assert _judged({"other": Counter({"503 to /v1/unlock/start": 2})})["alike"]  # such a machine is nobody's phrase
    real = Counter({"503 to /v1/unlock/start": 8})
    found = _judged({"real": real})
    assert (found["alike"], found["held"], found["broken"]["real"]) == (False, False, real)
    # Of another way to break off there are as many of the other kind: each is judged by itself.
    assert not _judged({"real": real, "other": Counter({"no answer to /v1/unlock/start": 8})})["alike"]


def test_one_refused_attempt_is_told() -> None:
    found = _judged({}, real=[*_made_up(0, "a", 1)[1:], *_made_up(0, "500", 2)[:1]])
    assert (found["shapes"], found["alike"], found["held"]) == (2, False, False)


async def test_an_answer_of_a_server_that_fails_is_kept_and_one_of_a_halted_server_made_again() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for status in (503, 500):
            await reader.readuntil(b"}")
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        with closing(await Observer.connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")) as observer:
            with pytest.raises(BrokenOffError, match="503 to /v1/unlock/locate"):
                await attempt(observer, Person("", None), "empty", OpaquePassword(bytes(64)))
            [(status, _, _)] = (await attempt(observer, Person("", None), "empty", OpaquePassword(bytes(64)))).shape
            assert status == 500
        await observer._writer.wait_closed()


def test_the_chance_of_an_imbalance_is_that_of_a_coin() -> None:
    assert by_chance(0, 0) == by_chance(1, 0) == by_chance(4, 4) == 1
    assert by_chance(0, 8) == by_chance(8, 0) == 2 / 2**8
    assert by_chance(1, 4) == pytest.approx(2 * 6 / 2**5)


def test_auc_counts_ties_half() -> None:
    assert auc([1, 2, 3], [4, 5]) == 1
    assert auc([4, 5], [1, 2, 3]) == 0
    assert auc([1, 1], [1, 1]) == 0.5
    assert auc([1, 2], [2]) == 0.75
