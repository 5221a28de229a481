"""The scenarios on the server in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.scenarios import SCENARIOS
from tests.client.support import Connect


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scenario(scenario: Callable[[Connect, Path], None], connect: Connect, tmp_path: Path) -> None:
    scenario(connect, tmp_path)
