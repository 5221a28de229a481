"""P6: a phrase that opens nothing looks, and takes as long, as one that opens something; an account without any too.

The same protocol with 10,000 attempts of each kind and a limit of 0.02 is `python -m benchmarks.absence`. Here are
fewer attempts, and a limit that chance alone passes once in a hundred thousand runs.
"""

import random
from pathlib import Path

import pytest

from benchmarks.absence import PAIRS, VARIABLES, Attempt, auc, distinguish, judge, observe
from tests.live_server import run_server

pytestmark = pytest.mark.anyio

ATTEMPTS = 250
LIMIT = 0.12  # standard deviation by chance: 0.026


async def test_neither_answers_nor_times_tell_whether_a_phrase_opens_something(data_directory: Path) -> None:
    with run_server(data_directory, HUSHTAG_LOG_LEVEL="warning", **VARIABLES) as server:
        seen = await observe(server.url, ATTEMPTS)
    assert {kind: len(found) for kind, found in seen.items()} == dict.fromkeys(seen, ATTEMPTS)
    found = judge(seen)
    assert found["shapes"] == 1
    statuses = {status for attempt in seen["real"] for status, _, _ in attempt.shape}
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


def test_auc_counts_ties_half() -> None:
    assert auc([1, 2, 3], [4, 5]) == 1
    assert auc([4, 5], [1, 2, 3]) == 0
    assert auc([1, 1], [1, 1]) == 0.5
    assert auc([1, 2], [2]) == 0.75
