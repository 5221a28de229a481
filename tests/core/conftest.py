"""Fixtures of the core's tests."""

import pytest

from tests.core.ceremony import World


@pytest.fixture(scope="module")
def world() -> World:
    """A user with two tags; tests must not change it."""
    made = World()
    made.enrol("open sesame", "for the diary")
    made.enrol("close sesame", "for the letters")
    return made
