"""A server, an empty home and the blocks of README.md."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT
from tests.live_server import RunningServer, run_server, temporary_directory

STAND_INS = Path(__file__).with_name("stand_ins")


METRICS_TOKEN = "m" * 40
"""As the reader of the block for operators has set it."""


@pytest.fixture(scope="session")
def readme_server() -> Iterator[RunningServer]:
    """What `make serve` starts."""
    with (
        temporary_directory() as directory,
        run_server(directory, first_start=True, HUSHTAG_METRICS_TOKEN=METRICS_TOKEN) as running,
    ):
        yield running


@dataclass(frozen=True)
class Place:
    """Where a reader sits: an empty directory that is also home, and the commands on the path."""

    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HUSHTAG_", "XDG_"))}
        commands = Path(sys.executable).parent
        return {
            **kept,
            "HOME": str(self.directory),
            "HUSHTAG_METRICS_TOKEN": METRICS_TOKEN,
            # Last on the path: only a machine that has no curl of its own gets the stand-in.
            "PATH": os.pathsep.join([str(commands), kept["PATH"], str(STAND_INS)]),
            "PYTHONWARNINGS": "error",
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'server'}",
        }


@pytest.fixture
def place() -> Iterator[Place]:
    with temporary_directory() as directory:
        yield Place(directory)
