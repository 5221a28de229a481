"""An entry as a Markdown file with front matter, under a name that is safe on every file system."""

import unicodedata
from datetime import UTC, datetime
from typing import Final

import msgspec

from hushtag.transfer_messages import ArchivedJournal

__all__ = ["markdown_name", "render_markdown"]

_LONGEST: Final = 80  # characters of a title in a name
_LONGEST_BYTES: Final = 160
_UNSAFE: Final = frozenset('/\\:*?"<>|')


def _safe_title(title: str) -> str:
    # Categories C*: control and format characters (bidirectional overrides among them), surrogates, unassigned ones.
    kept = ("_" if sign in _UNSAFE else sign for sign in unicodedata.normalize("NFC", title))
    plain = "".join(
        " " if sign.isspace() else sign for sign in kept if sign.isspace() or unicodedata.category(sign)[0] != "C"
    )
    cut = " ".join(plain.split())[:_LONGEST].encode()[:_LONGEST_BYTES].decode("utf-8", "ignore")
    return cut.strip(" .") or "untitled"


def markdown_name(entry: ArchivedJournal, *, whole_id: bool) -> str:
    """Return the member's name, such as `markdown/2026/2026-11-21 A walk 1b4e28ba.md`.

    Its end is the beginning of the id, or with `whole_id` all of it: of entries whose ids begin alike, the first is
    given the short form and all others the long one, so no two names are the same, whatever their case.
    """
    place = "markdown/deleted" if entry.deleted_at is not None else "markdown"
    mark = str(entry.id) if whole_id else entry.id.hex[:8]
    return f"{place}/{entry.entry_date.year:04}/{entry.entry_date.isoformat()} {_safe_title(entry.title)} {mark}.md"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    return msgspec.json.encode(value).decode()  # JSON is YAML: whatever a title holds, it stays one value


def render_markdown(entry: ArchivedJournal) -> bytes:
    """Return the file: front matter (YAML), then the content as it is."""
    lines = [f"id: {entry.id}", f"title: {_quoted(entry.title)}", f"date: {entry.entry_date.isoformat()}"]
    lines += [f"tags: {_quoted(entry.tags)}"] if entry.tags else []
    lines += [f"mood: {entry.mood_rating}"] if entry.mood_rating is not None else []
    lines += ["private: true"] if entry.is_private else []
    moments = {
        "created": entry.created_at,
        "updated": entry.updated_at,
        "published": entry.published_at,
        "deleted": entry.deleted_at,
    }
    lines += [f"{name}: {_utc(moment)}" for name, moment in moments.items() if moment is not None]
    return "\n".join(["---", *lines, "---", "", entry.content or "", ""]).encode()
