"""A phrase is stretched once in a process: the same values as ever, for whoever asks again with the same salt."""

import functools
from typing import Any

import pytest

from hushtag._stretch import stretch_phrase
from hushtag.client import ceremony_steps
from hushtag.types import Stretch

__all__ = ["remember_stretches", "stretched_once"]


@functools.lru_cache(maxsize=4096)
def _stretched(canonical: str, salt: bytes, suite: Any) -> bytes:
    stretch = stretch_phrase(canonical, salt, suite)
    try:
        return stretch.expose()
    finally:
        stretch.forget()


def remember_stretches(patch: pytest.MonkeyPatch) -> None:
    """Let clients in this process take what was computed before."""
    patch.setattr(ceremony_steps, "stretch_phrase", lambda *known: Stretch(_stretched(*known)))


@pytest.fixture(autouse=True)
def stretched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import this where clients unlock again and again and what a guess costs is not the matter."""
    remember_stretches(monkeypatch)
