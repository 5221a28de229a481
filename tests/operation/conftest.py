"""The fixtures of the server's tests, and settings that name the owner of the tables."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw

from hushtag_server.operation import envelope
from hushtag_server.operation.reach import Reached
from hushtag_server.settings import Settings
from tests.stretching import stretched_once

__all__ = ["stretched_once"]

PASSPHRASE = "correct horse battery staple"


def _quick(secret: bytes, salt: bytes, *costs: object) -> bytes:
    assert costs == (3, 64 * 1024, 4, 32, Type.ID, ARGON2_VERSION)
    return hash_secret_raw(secret, salt, 1, 64, 1, 32, Type.ID, ARGON2_VERSION)


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """A passphrase costs nothing where files are written and opened in this process."""
    monkeypatch.setattr(envelope, "hash_secret_raw", _quick)


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
