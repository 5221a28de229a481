"""The search finds what it is there to find."""

import base64
import os

import pytest

from hushtag.cli.canaries import Canary, search

SECRET = b"a dog named tuesday"


@pytest.mark.parametrize(
    "leak",
    [
        SECRET,
        SECRET.hex().encode(),
        SECRET.hex().upper().encode(),
        SECRET.decode().encode("utf-16-le"),
        *[base64.b64encode(b"x" * shift + SECRET + b"y" * 5) for shift in range(4)],
        *[base64.urlsafe_b64encode(b"\xff" * shift + SECRET) for shift in range(4)],
    ],
)
def test_every_spelling_of_a_leak_is_seen(leak: bytes) -> None:
    noise = os.urandom(1000)
    assert search([Canary("dog", SECRET)], [("log", noise + leak + noise)])
    assert not search([Canary("dog", SECRET)], [("log", noise + noise)])


@pytest.mark.parametrize("start", [0, 4000, 9000])
def test_a_leaked_part_of_a_long_value_is_seen(start: int) -> None:
    value = os.urandom(10_000)
    middle = (len(value) - 24) // 2
    part = value[: start + 200] if start == 0 else value[min(start, middle) :]
    sightings = search([Canary("file", value)], [("dump", part.hex().encode())])
    assert {sighting.spelling for sighting in sightings} == {"hex"}


def test_a_canary_that_chance_would_find_is_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        search([Canary("short", b"abc")], [])
