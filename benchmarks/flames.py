"""Flame graphs as small SVG files: py-spy's stacks drawn without scripts, hair-thin frames left out."""

import sys
from collections import Counter
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr
from zlib import crc32

__all__ = ["draw_flames", "hottest", "read_stacks"]

WIDTH: Final = 1200
ROW: Final = 16
SMALLEST: Final = 0.004
"""Frames below this share of all looks are left out: three pixels and a half, in which nothing can be read."""
LETTER: Final = 6.2
"""Pixels of one letter."""
LIBRARY: Final = f"/python{sys.version_info.major}.{sys.version_info.minor}/"
NATIVE: Final = "granian's threads, outside Python"
Stack = tuple[str, ...]


def _tidy(frame: str) -> str:
    """Return a frame without line number and with a path that begins at the package."""
    function, _, place = frame.partition(" (")
    place = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    for prefix in (
        "/site-packages/",
        f"/python{sys.version_info.major}.{sys.version_info.minor}/",
        "/server/",
        "/src/",
    ):
        place = place.rpartition(prefix)[2]
    return f"{function} ({place})" if place else function


def read_stacks(raw: str) -> Counter[Stack]:
    """Return how often each stack was seen, from py-spy's raw format: frames from the root, then the number."""
    stacks: Counter[Stack] = Counter()
    for line in raw.splitlines():
        frames, _, count = line.rpartition(" ")
        if count.isdigit():
            tidy = [_tidy(frame) or NATIVE for frame in frames.split(";") if not frame.startswith("process ")]
            # Threads that wait for their parent or for work are no part of what a request costs.
            if any("_leave_with_parent" in frame or "parent-watch" in frame for frame in tidy):
                continue
            stacks[tuple(tidy)] += int(count)
    return stacks


def hottest(stacks: Counter[Stack], most: int = 12) -> list[tuple[str, float]]:
    """Return the functions in which the time itself was spent, with their shares of all looks."""
    total = sum(stacks.values()) or 1
    own: Counter[str] = Counter()
    for stack, count in stacks.items():
        if stack:
            own[stack[-1]] += count
    return [(name, round(count / total, 4)) for name, count in own.most_common(most)]


class _Canvas:
    """Collects rectangles; `deepest` is the number of rows."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.parts: list[str] = []
        self.deepest = 0

    def draw(self, stacks: Counter[Stack], depth: int, left: float) -> None:
        """Draw the frames at `depth` of these stacks, which share everything above it, side by side."""
        children: dict[str, Counter[Stack]] = {}
        for stack, count in stacks.items():
            if len(stack) > depth:
                children.setdefault(stack[depth], Counter())[stack] += count
        for name, mine in sorted(children.items()):
            share = sum(mine.values()) / self._total
            if share >= SMALLEST:
                self._frame(name, share, depth, left)
                self.draw(mine, depth + 1, left)
                left += share * WIDTH

    def _frame(self, name: str, share: float, depth: int, left: float) -> None:
        self.deepest = max(self.deepest, depth + 1)
        width = share * WIDTH
        colour = f"hsl({crc32(name.rpartition('(')[2].encode()) % 60}, 75%, {68 + crc32(name.encode()) % 12}%)"
        top = depth * ROW
        self.parts.append(
            f'<g><title>{escape(name)} {share:.1%}</title><rect x="{left:.1f}" y="{top}" width="{width:.1f}"'
            f' height="{ROW - 1}" fill={quoteattr(colour)}/>'
        )
        letters = int(width / LETTER)
        if letters > 4:
            self.parts.append(f'<text x="{left + 2:.1f}" y="{top + 11}">{escape(name[:letters])}</text>')
        self.parts.append("</g>")


def draw_flames(stacks: Counter[Stack], target: Path, title: str) -> float:
    """Write the flame graph, roots above; return the share of the looks that the widest frames of the top row hold."""
    total = sum(stacks.values())
    canvas = _Canvas(total or 1)
    canvas.draw(stacks, 0, 0.0)
    height = canvas.deepest * ROW + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="monospace"'
        ' font-size="10">',
        f'<text x="4" y="14" font-size="12">{escape(title)} ({total} looks)</text><g transform="translate(0 22)">',
        *canvas.parts,
        "</g></svg>",
    ]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    tops = Counter(stack[0] for stack in stacks.elements() if stack)
    return round(sum(tops.values()) / (total or 1), 4)
