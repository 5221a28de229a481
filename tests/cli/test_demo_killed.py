"""hushtag demo: its server and the server's PostgreSQL are gone when it is, even if it is killed."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import command_line
from tests.places import place_in_memory


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that the user who runs PostgreSQL can be let into."""
    directory = Path(tempfile.mkdtemp(prefix="hushtag-test-demo-", dir=place_in_memory()))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


def test_a_demo_that_is_killed_leaves_nothing_running(room: Path, environment: dict[str, str]) -> None:
    demo = subprocess.Popen(command_line("demo"), stdout=subprocess.PIPE, env={**environment, "TMPDIR": str(room)})
    started: list[psutil.Process] = []
    try:
        assert demo.stdout is not None
        assert any(b"signing up" in line for line in demo.stdout), "the server did not answer"
        started = psutil.Process(demo.pid).children(recursive=True)
        names = {each.name() for each in started}
        demo.kill()
        demo.wait(60)
        _, running = psutil.wait_procs(started, timeout=60)
        assert any(name.startswith("postgres") for name in names), names
        assert running == []
    finally:
        demo.kill()
        demo.wait(60)
        if demo.stdout is not None:
            demo.stdout.close()
        for each in started:
            with suppress(psutil.NoSuchProcess):
                each.terminate()
        psutil.wait_procs(started, timeout=60)
    assert list(room.glob("hushtag-demo-*"))  # nobody was left to remove them
