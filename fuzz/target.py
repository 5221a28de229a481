"""What a target is: a name and a function that any bytes must pass through without a finding.

A finding is anything that gets out of the function: an exception its parser does not name, or a broken invariant.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["CORPUS", "TARGETS", "Target", "corpus_of", "hold", "target"]

CORPUS: Final = Path(__file__).parent / "corpus"
Check = Callable[[bytes], None]


class BrokenInvariantError(Exception):
    """What a parser returned is not what it promises."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser, or a family that reads the same bytes."""

    name: str
    check: Check


TARGETS: Final[dict[str, Target]] = {}


def target(check: Check) -> Check:
    """Register a function as the target of its name."""
    TARGETS[check.__name__] = Target(check.__name__, check)
    return check


def hold(condition: object, promise: str) -> None:
    """Report a broken promise; unlike `assert`, also under `python -O`."""
    if not condition:
        raise BrokenInvariantError(promise)


def corpus_of(name: str) -> list[Path]:
    """Return the committed inputs of a target, in order."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())
