"""The plain side of the real server with both clients, and what becomes of it when connections break."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.client.plain_scenarios import PLAIN_SCENARIOS
from tests.client.support import Connect, connect_async, connect_sync


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest, real_url: str) -> Iterator[Connect]:
    with ExitStack() as stack:

        def make(**options: Any) -> Any:
            if request.param == "sync":
                return stack.enter_context(connect_sync(real_url, **options))
            return stack.enter_context(connect_async(request.getfixturevalue("portal"), real_url, **options))

        yield make


@pytest.mark.parametrize("scenario", PLAIN_SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[Connect], None], connect: Connect) -> None:
    scenario(connect)
