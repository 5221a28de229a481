"""Search what a server holds for what it must never have seen.

A canary is a value with a name. It is searched in every spelling in which software commonly leaks bytes: as it is, in
hexadecimal, in base64 at each of its three alignments, and text in UTF-16. Long values are searched by windows from
their beginning, middle and end, so that a leaked part is found as well as the whole.
"""

import base64
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

__all__ = ["Canary", "Sighting", "search", "spellings"]

WINDOW: Final = 24
"""Bytes of one window of a long value: 192 bits do not turn up by chance."""
MIN_LENGTH: Final = 6
"""Shorter canaries would be found by chance."""


class Canary(NamedTuple):
    """Something the server must not have."""

    name: str
    value: bytes


class Sighting(NamedTuple):
    """A canary that was found, where, and in which spelling."""

    canary: str
    place: str
    spelling: str


def _windows(value: bytes) -> Iterator[bytes]:
    if len(value) <= 2 * WINDOW:
        yield value
        return
    for start in (0, (len(value) - WINDOW) // 2, len(value) - WINDOW):
        yield value[start : start + WINDOW]


def _base64_core(value: bytes, shift: int, alphabet: bytes) -> bytes:
    # Only characters made wholly of the value's bits are the same whatever stands beside it.
    encoded = base64.b64encode(bytes(shift) + value, altchars=alphabet).rstrip(b"=")
    skip = -(-shift * 8 // 6)
    keep = (shift + len(value)) * 8 // 6
    return encoded[skip:keep]


def spellings(value: bytes) -> dict[str, set[bytes]]:
    """Return the byte strings to look for, by the name of their spelling."""
    found: dict[str, set[bytes]] = {"plain": set(), "hex": set(), "base64": set(), "utf-16": set()}
    for window in _windows(value):
        found["plain"].add(window)
        found["hex"] |= {window.hex().encode(), window.hex().upper().encode()}
        found["base64"] |= {_base64_core(window, shift, alt) for shift in range(3) for alt in (b"+/", b"-_")}
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return found
    for window in _windows(text.encode("utf-16-le")):
        found["utf-16"] |= {window}
    return found


def search(canaries: Iterable[Canary], places: Iterable[tuple[str, bytes]]) -> list[Sighting]:
    """Return every sighting; an empty list means that nothing was found.

    Raises:
        ValueError: a canary is too short to be meaningful.
    """
    needles = [(canary.name, name, needle) for canary in canaries for name, needle in _needles(canary)]
    return [
        Sighting(canary, place, spelling)
        for place, haystack in places
        for canary, spelling, needle in needles
        if needle in haystack
    ]


def _needles(canary: Canary) -> Iterator[tuple[str, bytes]]:
    if len(canary.value) < MIN_LENGTH:
        raise ValueError(f"canary {canary.name} is {len(canary.value)} bytes, at least {MIN_LENGTH} needed")
    for spelling, needles in spellings(canary.value).items():
        for needle in needles:
            yield spelling, needle
