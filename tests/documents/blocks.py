"""The fenced blocks of a Markdown file."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DEFAULT_URL = "http://127.0.0.1:8787"

_BLOCK = re.compile(
    r"(?:^<!-- block: (?P<kind>[a-z]+) -->\n)?^(?P<fence>```+|~~~+)(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=fence)\n",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One block: what the comment above it says how to run it, its language, and its text."""

    kind: str | None
    language: str
    text: str
    line: int


def blocks_of(document: str) -> list[Block]:
    """Return every fenced block of a Markdown document, in order."""
    return [
        Block(
            found["kind"], found["language"].strip(), found["text"], document.count("\n", 0, found.start("fence")) + 1
        )
        for found in _BLOCK.finditer(document)
    ]


README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = blocks_of(README)


def blocks(kind: str) -> list[Block]:
    """Return the blocks of README.md of one kind."""
    return [block for block in BLOCKS if block.kind == kind]
