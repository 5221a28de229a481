"""Write a generated module, or check that the committed one is what the generator makes."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "src" / "hushtag"
WIDTH = 108


def wrapped(tokens: list[str]) -> str:
    """The tokens on lines of at most `WIDTH` characters, single-spaced."""
    lines = [""]
    for token in tokens:
        if lines[-1] and len(lines[-1]) + 1 + len(token) > WIDTH:
            lines.append("")
        lines[-1] += f" {token}" if lines[-1] else token
    return "\n".join(lines)


def write_or_check(files: dict[Path, str]) -> None:
    """Write the files; with `--check`, exit with a message if a committed one differs by a byte."""
    for path, text in files.items():
        if "--check" not in sys.argv[1:]:
            path.write_bytes(text.encode())
        elif not path.exists() or path.read_bytes() != text.encode():
            sys.exit(f"{path.relative_to(ROOT)} is not what its generator makes")
