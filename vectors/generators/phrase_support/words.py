"""Choose `words-v1` and make `src/hushtag/_words.py` and `words-v1.tsv` beside this file (word, pronunciations).

    python -m vectors.generators.phrase_support.words [--check]

Inputs, both committed here: `words-candidates.tsv` (see `collect.py`) and `words-excluded.txt`, the words a person
took out. Most frequent first, ties in alphabetical order, a candidate is taken if each of its pronunciations is at
least `APART` phones (Levenshtein distance, stress ignored) from each of every word taken before; `COUNT` are taken.
"""

import hashlib
from pathlib import Path

from .generated import SOURCE, wrapped, write_or_check

COUNT = 1000
APART = 4
_HERE = Path(__file__).parent

_HEAD = '''"""The word list `words-v1`: common, inoffensive words that stay apart when spoken.

In alphabetical order, never changed. Made by `vectors/generators/phrase_support/words.py`. The digest is SHA-256 of
the words, each followed by a line feed; the pronunciations are beside the generator.
"""

DIGEST = "{digest}"
_TEXT = """
{words}
"""
WORDS = tuple(_TEXT.split())
'''

Sound = tuple[str, ...]


def distance(one: Sound, other: Sound, limit: int = APART) -> int:
    """The Levenshtein distance, or `limit` if it is not smaller."""
    if abs(len(one) - len(other)) >= limit:
        return limit
    before = list(range(len(other) + 1))
    for i, phone in enumerate(one, 1):
        row = [i]
        for j, against in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (phone != against)))
        if min(row) >= limit:
            return limit
        before = row
    return min(before[-1], limit)


def _candidates() -> list[tuple[str, list[Sound]]]:
    excluded = {
        word
        for line in (_HERE / "words-excluded.txt").read_text("utf-8").splitlines()
        if not line.startswith("#")
        for word in line.split()
    }
    rows = [line.split("\t") for line in (_HERE / "words-candidates.tsv").read_text("utf-8").splitlines()]
    rows.sort(key=lambda row: (-int(row[1]), row[0]))
    return [
        (word, [tuple(sound.split()) for sound in sounds.split("|")])
        for word, _, sounds in rows
        if word not in excluded
    ]


def choose() -> dict[str, list[Sound]]:
    """The list, in the order in which words were taken."""
    taken: dict[str, list[Sound]] = {}
    for word, sounds in _candidates():
        if len(taken) == COUNT:
            break
        others = [other for variants in taken.values() for other in variants]
        if all(distance(a, b) >= APART for a in sounds for b in others):
            taken[word] = sounds
    return taken


def main() -> None:
    """Write or check the module and the pronunciations."""
    taken = choose()
    words = sorted(taken)
    digest = hashlib.sha256("".join(f"{word}\n" for word in words).encode()).hexdigest()
    lines = [f"{word}\t{'|'.join(' '.join(sound) for sound in taken[word])}\n" for word in words]
    write_or_check(
        {
            SOURCE / "_words.py": _HEAD.format(digest=digest, words=wrapped(words)),
            _HERE / "words-v1.tsv": "".join(lines),
        }
    )


if __name__ == "__main__":
    main()
