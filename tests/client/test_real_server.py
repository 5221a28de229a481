"""The scenarios on the real server: a process of its own, real HTTP, real PostgreSQL."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.client import scenarios
from tests.client.scenarios import SCENARIOS
from tests.client.support import Connect, connect_async, connect_sync
from tests.live_server import run_server


@pytest.fixture(scope="session")
def real_url() -> Iterator[str]:
    """One server for all scenarios of this process: each makes its own account."""
    # Directly under /tmp: pytest's own directories are 0700, which the user that runs PostgreSQL cannot pass.
    directory = Path(tempfile.mkdtemp(prefix="hushtag-test-"))
    directory.chmod(0o755)
    try:
        with run_server(directory) as running:
            yield running.url
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# Both clients run the same steps; on the real server the asynchronous one shows that its wire is the same.
AWAITED = [
    scenarios.every_byte_comes_back_to_another_client,
    scenarios.large_objects_come_back_whole_and_in_parts,
    scenarios.two_devices_write_without_losing_anything,
    scenarios.locking_ends_the_vault_session,
]
RUNS = [("sync", scenario) for scenario in SCENARIOS] + [("async", scenario) for scenario in AWAITED]


@pytest.fixture
def connect(request: pytest.FixtureRequest, real_url: str) -> Iterator[Connect]:
    with ExitStack() as stack:

        def make(**options: Any) -> Any:
            if request.getfixturevalue("kind") == "sync":
                return stack.enter_context(connect_sync(real_url, **options))
            return stack.enter_context(connect_async(request.getfixturevalue("portal"), real_url, **options))

        yield make


@pytest.mark.parametrize(("kind", "scenario"), RUNS, ids=[f"{kind}-{scenario.__name__}" for kind, scenario in RUNS])
def test_scenario(kind: str, scenario: Callable[[Connect, Path], None], connect: Connect, tmp_path: Path) -> None:
    scenario(connect, tmp_path)
