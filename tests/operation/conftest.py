"""The fixtures of the server's tests, and settings that name the owner of the tables."""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from hushtag_server.operation import envelope
from hushtag_server.operation.reach import Reached
from hushtag_server.settings import Settings
from tests.stretching import stretched_once

__all__ = ["stretched_once"]

PASSPHRASE = "correct horse battery staple"
_derived: Final = functools.lru_cache(maxsize=1024)(envelope._derive_key)


@pytest.fixture(autouse=True)
def derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a passphrase costs is paid when a file is written, and not again by whoever opens it in this process."""
    monkeypatch.setattr(envelope, "_derive_key", _derived)


@dataclass
class Silent:
    """A watcher that only remembers."""

    stages: list[str] = field(default_factory=list)
    seen: int = 0

    def stage(self, what: str) -> None:
        self.stages.append(what)

    def bytes(self, count: int) -> None:
        self.seen = count

    def step(self, step: Any, due: int) -> None:
        self.stages.append(step.name)

    def done(self, count: int) -> None:
        self.seen += count


@pytest.fixture
def watcher() -> Silent:
    return Silent()


@pytest.fixture
def owner(database: Any, data_directory: Path) -> Settings:
    """Settings as the operator has them: the owner of the tables."""
    return Settings(database_url=database.owner_url, data=data_directory)


@pytest.fixture
def reached(database: Any, postgres: Any) -> Reached:
    return Reached(database.owner_url, postgres.bin_dir, postgres.data)
