"""Text from elsewhere, made safe: names come out of a vault, and whoever put them there may have meant harm."""

import unicodedata
from datetime import datetime
from typing import Final

__all__ = ["clean_name", "human_size", "local_time", "safe_file_name", "safe_text"]

MAX_NAME_BYTES: Final = 200
"""File systems take 255; this leaves room for the name of a temporary file."""

# Controls, formats (bidirectional overrides), surrogates, private use, unassigned, line and paragraph separators.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS: Final = frozenset("\u200c\u200d")


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE and character not in _JOINERS


def safe_text(text: str) -> str:
    """Return the text with everything that could move a cursor, colour, reorder or hide as a visible escape."""
    return "".join(f"\\u{{{ord(char):x}}}" if _is_unsafe(char) else char for char in text)


def safe_file_name(name: str) -> str:
    """Return a name for a file in the present directory: one path component, not hidden, at most 200 bytes."""
    cleaned = clean_name(name.replace("\\", "/").rsplit("/", 1)[-1])
    return "_" + cleaned[1:] if cleaned[0] == "." else cleaned


def clean_name(part: str) -> str:
    """Return one component of a path that leads nowhere else: it may be hidden, and is at most 200 bytes."""
    cleaned = "".join("_" if _is_unsafe(char) or char in ":/\\" else char for char in part).strip()
    if not cleaned.strip("."):
        return "object"
    stem, dot, suffix = cleaned.rpartition(".")
    tail = dot + suffix if stem and len(suffix) <= 16 else ""
    room = MAX_NAME_BYTES - len(tail.encode("utf-8"))
    kept = cleaned[: len(cleaned) - len(tail)].encode("utf-8")[:room].decode("utf-8", "ignore")
    return kept + tail


def human_size(size: int) -> str:
    """Return a size as people read it."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} GiB"


def local_time(moment: datetime) -> str:
    """Return a moment in the zone of this machine, to the minute."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")
