"""Make `src/hushtag/_common_words.py` from `common-words.txt` (see `collect.py`).

    python -m vectors.generators.phrase_support.frequencies [--check]

A word is listed as its canonical form writes it, once; number words have a credit of their own and are left out.
"""

from pathlib import Path

from hushtag._canonical import canonicalize
from hushtag._numbers import NUMBER_WORDS
from hushtag.errors import PhraseError

from .generated import SOURCE, wrapped, write_or_check

_HEAD = '''"""Common English words, most frequent first: the rank is what the strength estimate charges an attacker.

Made by `vectors/generators/phrase_support/frequencies.py` from the frequencies of the `wordfreq` project. Written,
subtitled and social text alike, unfiltered: a table that left out rude words would overrate them.
"""

_TEXT = """
'''


def _canonical(word: str) -> str:
    try:
        return canonicalize(word)
    except PhraseError:  # a filler: nothing is left of it
        return ""


def main() -> None:
    """Write or check the module."""
    listed = (Path(__file__).parent / "common-words.txt").read_text("utf-8").split()
    words = [word for word in dict.fromkeys(map(_canonical, listed)) if word and word not in NUMBER_WORDS]
    write_or_check(
        {SOURCE / "_common_words.py": _HEAD + wrapped(words) + '\n"""\nCOMMON_WORDS = tuple(_TEXT.split())\n'}
    )


if __name__ == "__main__":
    main()
