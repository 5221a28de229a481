"""Read files, run each vector, count. Nothing is printed and nothing is raised for a vector that fails."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hushtag.vectors import (
    _device,
    _epoch,
    _independent,
    _keys,
    _opaque,
    _phrase,
    _rotation,
    _sealed,
    _streams,
    _unlock,
)
from hushtag.vectors._files import find_directory, list_groups
from hushtag.vectors._operation import Operation

FORMAT: Final = "hushtag-vectors-1"
GROUPS: Final = {
    "independent/blake3": 15,
    "independent/nist_aes_256_gcm": 75,
    "independent/rfc3394_aes_kw": 49,
    "independent/rfc5869_hkdf": 14,
    "independent/rfc7693_blake2s": 16,
    "independent/rfc9106_argon2id": 10,
    "independent/rfc9496_ristretto255": 52,
    "independent/rfc9497_oprf": 5,
    "independent/rfc9807_ristretto255": 19,
    "phrase/canonical": 188,
    "phrase/recovery": 32,
    "phrase/self_check": 10,
    "phrase/strength": 23,
    "suite/device": 33,
    "suite/epoch": 29,
    "suite/head": 48,
    "suite/keys": 47,
    "suite/login": 36,
    "suite/objects": 96,
    "suite/registration": 31,
    "suite/rotation": 51,
    "suite/streams": 83,
    "suite/tag_label": 25,
    "suite/unlock": 7,
    "suite/wire": 25,
}
"""Every group a complete set has, and how many vectors at least: a directory that lacks one of them has not passed."""

OPERATIONS: Final = {
    name: Operation(implementation)
    for module in (_device, _epoch, _independent, _keys, _opaque, _phrase, _rotation, _sealed, _streams, _unlock)
    for name, implementation in module.OPERATIONS.items()
}
REFERENCE_ONLY: Final = _device.REFERENCE_ONLY | _independent.REFERENCE_ONLY | _opaque.REFERENCE_ONLY
"""Operations not run here: bindings hide the group and draw their own randomness, or are not always installed."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A vector, or a whole file, that did not do what it should."""

    vector: str
    reason: str


@dataclass(slots=True)
class GroupResult:
    """The counts of one file. `reference_only` vectors were not run here and count neither way."""

    group: str
    succeeded: int = 0
    refused: int = 0
    reference_only: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)

    @property
    def passed(self) -> int:
        """Vectors that ran and did what they should: successes and refusals."""
        return self.succeeded + self.refused

    @property
    def ok(self) -> bool:
        """Whether there was something and nothing of it failed."""
        return not self.mismatches and self.passed + self.reference_only > 0


def _reason(operation: Operation, vector: Mapping[str, Any]) -> str | None:
    """Why the vector fails; `None` if it does not."""
    try:
        arguments = operation.arguments(vector["given"])
        outcome, result = operation.outcome(arguments)
    except Exception as error:  # a crash of the library is a result of the vector, not of the runner
        return f"{type(error).__name__}: {error}"
    if outcome != vector["expect"]:
        return f"expected {vector['expect']}, got {outcome}"
    if result == vector.get("expected"):
        return None
    got, expected = (value if isinstance(value, dict) else {} for value in (result, vector.get("expected")))
    wrong = sorted(name for name in got.keys() | expected.keys() if got.get(name) != expected.get(name))
    return f"not as expected: {', '.join(wrong)}"


def _run(result: GroupResult, vector: Mapping[str, Any]) -> None:
    name, operation = str(vector["name"]), vector["operation"]
    if (vector["expect"] == "success") != ("expected" in vector):
        result.mismatches.append(Mismatch(name, "expected values belong to a success and to nothing else"))
    elif operation in REFERENCE_ONLY:
        result.reference_only += 1
    elif operation not in OPERATIONS:
        result.mismatches.append(Mismatch(name, f"unknown operation {operation}"))
    elif (reason := _reason(OPERATIONS[operation], vector)) is not None:
        result.mismatches.append(Mismatch(name, reason))
    elif vector["expect"] == "success":
        result.succeeded += 1
    else:
        result.refused += 1


def _verify_group(directory: Path, group: str) -> GroupResult:
    result = GroupResult(group)
    try:
        document = json.loads((directory / f"{group}.json").read_bytes())
        if document["format"] != FORMAT:
            result.mismatches.append(Mismatch(group, f"format is not {FORMAT}"))
        for vector in document["vectors"]:
            _run(result, vector)
        # By name, so that one vector written many times does not stand for those that were cut off.
        found, least = len({str(vector["name"]) for vector in document["vectors"]}), GROUPS.get(group, 0)
        if found < least:
            result.mismatches.append(Mismatch(group, f"vectors are missing: {found} of {least} are there"))
    except FileNotFoundError:
        result.mismatches.append(Mismatch(group, "file is missing"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        result.mismatches.append(Mismatch(group, f"not a vector file: {type(error).__name__}"))
    if not result.ok and not result.mismatches:
        result.mismatches.append(Mismatch(group, "group is empty"))
    return result


def verify(directory: Path | None = None) -> list[GroupResult]:
    """Run every vector in a directory, by default this version's own, and return one result per group.

    The groups of `GROUPS` must be there, with as many vectors at least; others that are there are run as well.

    Raises:
        MisuseError: no directory was named and none is found.
    """
    folder = find_directory() if directory is None else directory
    groups = sorted({*GROUPS, *list_groups(folder)})
    return [_verify_group(folder, group) for group in groups]
