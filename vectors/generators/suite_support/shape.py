"""One vector, one document: as in `vectors/schema.json`, for operations of any area."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from vectors.generators.independent_support.shape import FORMAT, Expect

Vector = dict[str, Any]
Given = dict[str, Any]
Cases = list[tuple[str, str, Given]]
"""Condition, description, and `given` or what changes in it."""


def _plain(value: object) -> object:
    """Bytes as lower-case hex, UUIDs as text, `None` members left out, everything else as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items() if member is not None}
    return [_plain(member) for member in value] if isinstance(value, list) else value


def _vector(
    name: str, description: str, operation: str, given: Mapping[str, object], expect: Expect, **more: object
) -> Vector:
    shape = {"name": name, "description": description, "operation": operation, "given": _plain(given)}
    return {**shape, "expect": expect, **more}


def accepted(
    name: str, description: str, operation: str, given: Mapping[str, object], expected: Mapping[str, object]
) -> Vector:
    """A scenario that succeeds with exactly `expected`."""
    return _vector(name, description, operation, given, "success", expected=_plain(expected))


def malformed(name: str, description: str, operation: str, given: Mapping[str, object]) -> Vector:
    """A scenario refused for its shape."""
    return _vector(name, description, operation, given, "malformed")


def forged(name: str, description: str, operation: str, given: Mapping[str, object]) -> Vector:
    """A scenario refused as not authentic."""
    return _vector(name, description, operation, given, "authentication_failed")


def document(area: str, source: str, vectors: Sequence[Vector]) -> dict[str, dict[str, Any]]:
    """The file `suite/<area>.json` as `generate()` returns it."""
    names = [vector["name"] for vector in vectors]
    if len(names) != len(set(names)):
        raise ValueError(f"{area}: two vectors have one name")
    return {
        f"suite/{area}.json": {
            "$schema": "../schema.json",
            "format": FORMAT,
            "area": area,
            "source": source,
            "vectors": list(vectors),
        }
    }
