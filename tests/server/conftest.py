"""A real server for the server's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_server import RunningServer, run_server
from tests.stretching import stretched_once

__all__ = ["stretched_once"]


@pytest.fixture
def server(data_directory: Path) -> Iterator[RunningServer]:
    """A real server (granian, one worker) with an embedded database of its own; `server.url`."""
    with run_server(data_directory) as running:
        yield running
