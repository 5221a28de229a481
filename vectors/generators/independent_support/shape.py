"""The shape of a vector file (`vectors/schema.json`): one document, its vectors, its bytes on disk."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

FORMAT = "hushtag-vectors-1"

Expect = Literal["success", "malformed", "authentication_failed"]


def vector(
    name: str,
    description: str,
    operation: str,
    given: Mapping[str, object],
    expected: Mapping[str, object] | None = None,
    *,
    expect: Expect = "success",
) -> dict[str, Any]:
    """One scenario; `expected` is given exactly when the operation succeeds."""
    if (expected is None) == (expect == "success"):
        raise ValueError(f"{name}: a success has expected values, a failure has none")
    shape: dict[str, Any] = {
        "name": name,
        "description": description,
        "operation": f"independent.{operation}",
        "given": dict(given),
        "expect": expect,
    }
    return shape if expected is None else {**shape, "expected": dict(expected)}


def document(area: str, source: str, vectors: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The file `independent/<area>.json` as `generate()` returns it: path under `vectors/` -> document."""
    return {
        f"independent/{area}.json": {
            "$schema": "../schema.json",
            "format": FORMAT,
            "area": area,
            "source": source,
            "vectors": list(vectors),
        }
    }


def dumps(shape: Mapping[str, object]) -> str:
    """The exact text of a vector file: two spaces, ASCII with escapes, one newline at the end."""
    return json.dumps(shape, indent=2) + "\n"
