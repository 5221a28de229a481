"""The committed vectors, as the tests of this folder read them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2] / "vectors"
FILES = sorted(path for path in ROOT.glob("*/*.json") if path.parent.name != "generators")
SCHEMA: dict[str, Any] = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
OPERATIONS = frozenset(name for name in SCHEMA["$defs"] if "." in name)

Vector = dict[str, Any]


def group_of(path: Path) -> str:
    """The name of a file as the runner calls it."""
    return path.relative_to(ROOT).with_suffix("").as_posix()


def vectors(*groups: str) -> Iterator[Vector]:
    """Every vector, or those of some groups."""
    for path in FILES:
        if not groups or group_of(path) in groups:
            yield from json.loads(path.read_text(encoding="utf-8"))["vectors"]


def write_group(directory: Path, group: str, entries: list[Vector]) -> None:
    """Put a group of vectors into a directory of its own."""
    document = {
        "$schema": "../schema.json",
        "format": "hushtag-vectors-1",
        "area": group.rpartition("/")[2],
        "source": "a test",
        "vectors": entries,
    }
    path = directory / f"{group}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
