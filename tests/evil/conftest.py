"""One world for all attacks of a process; what is computed of phrases in it is computed once."""

from collections.abc import Iterator

import pytest

from tests.client.conftest import portal
from tests.evil.world import World, remembered

__all__ = ["portal", "world"]


@pytest.fixture(scope="session")
def world() -> World:
    """The world before any attack."""
    with remembered():
        return World()


@pytest.fixture(autouse=True)
def _remembered(world: World) -> Iterator[None]:
    with remembered():
        yield
