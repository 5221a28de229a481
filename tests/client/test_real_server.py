"""The scenarios on the real server: a process of its own, real HTTP, real PostgreSQL."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest

from hushtag.client import ContentLostError
from hushtag_server.operation.reach import reach_owner
from hushtag_server.settings import Settings
from tests.client import scenarios
from tests.client.scenarios import SCENARIOS
from tests.client.support import PASSWORD, PHRASE, Connect, connect_async, connect_sync, new_account
from tests.live_server import RunningServer, run_server, temporary_directory

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


def test_bytes_that_are_lost_in_the_middle_of_a_segment_are_told_as_lost(portal: Any) -> None:
    """On a server of its own: the others need the attempts to log in."""
    with temporary_directory() as directory, run_server(directory) as server, ExitStack() as stack:
        client, email = new_account(lambda **options: stack.enter_context(connect_sync(server.url, **options)))
        client.enrol(PHRASE)
        with client.unlock(PHRASE) as vault:
            stored = vault.put(os.urandom(6 * 1024 * 1024), name="film")
            _cut_third_parts(server.data)
            _is_told_as_lost(vault, stored.object_id)
        other = stack.enter_context(connect_async(portal, server.url))
        other.log_in(email, PASSWORD)
        with other.unlock(PHRASE) as vault:
            _is_told_as_lost(vault, stored.object_id)


def _cut_third_parts(data: Path) -> None:
    with reach_owner(Settings(data=data)) as reached, psycopg.connect(reached.owner_url) as connection:
        connection.execute("SET ROLE hushtag_maintainer")
        (user_id,) = connection.execute("SELECT DISTINCT user_id FROM vault_segments").fetchall()[0]
        connection.execute("RESET ROLE")
        connection.execute("SELECT set_config('app.user_id', %s, true)", [str(user_id)])
        cut = connection.execute("UPDATE segment_parts SET bytes = substr(bytes, 1, 8) WHERE part = 2")
        assert cut.rowcount > 0


def _is_told_as_lost(vault: Any, object_id: UUID) -> None:
    began = time.monotonic()
    with pytest.raises(ContentLostError):
        vault.get(object_id)
    assert time.monotonic() - began < 8


def _page_faults(process: psutil.Process) -> int:
    # The name of the program, in parentheses, may hold spaces; minor faults are the tenth field (proc(5)).
    return int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[7])


def test_the_memory_of_a_long_object_is_used_again(real_server: RunningServer) -> None:
    """Memory that comes from the system has a fault for every page, 256 a MiB, while the event loop stands still."""
    children = psutil.Process(real_server.process.pid).children()
    (worker,) = (child for child in children if any("multiprocessing.spawn" in word for word in child.cmdline()))
    with ExitStack() as stack:
        client, _ = new_account(lambda **options: stack.enter_context(connect_sync(real_server.url, **options)))
        client.enrol(PHRASE)
        with client.unlock(PHRASE) as vault:
            counts = []
            for number in range(12):
                before = _page_faults(worker)
                stored = vault.put(bytes(1024 * 1024), name=f"number {number}")
                assert vault.get(stored.object_id).name == f"number {number}"
                counts.append(_page_faults(worker) - before)
    assert sorted(counts)[len(counts) // 2] < 256, counts
