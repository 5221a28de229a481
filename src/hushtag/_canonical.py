"""The canonical form `phrase-v1`: one text for every way of writing what was said.

Source: SPEC.md, “Canonical form”. A published version never changes, so what could change under us is fixed here:
classes of code points come from our own table of Unicode 14.0.0 (`_unicode14.py`), and code points that version does
not assign are refused. For the rest Unicode's stability policies guarantee that normalisation and full case folding
give every later runtime the same result; a digest over all code points tests it.

Decisions beyond the plain reading of the steps, all normative:

* Numbers other than decimal digits (categories Nl and No: `½`, `Ⅷ`, `²`, `①`) are refused in the transcript itself.
  After NFKC it would be too late: it has turned `²` into `2`, and “x²” would be read as “x two”.
* Variation selectors and the other default-ignorable code points are deleted like category Cf: nobody sees or says
  them, and keyboards differ in whether they send them.
* A mark without a letter before it in its word is a space (`5` with a keycap, a spacing accent).
* A number is a word of its own (`mp3` → mp three). A comma belongs to a number only if the whole run of digits and
  commas is well-formed (`1,204`); otherwise each run of digits is a number. A point separates (`3.14` → three
  fourteen), and so does a minus.
* An ordinal has the suffix its number has in English and no letter or mark after it (`3rd`, not `3th`, not `3rdly`).
* `$` speaks only directly before a number; the number behind it follows the same rules as any other.
* “and” is dropped between number words at the very end, so that the result does not depend on how the number words
  were written; “oh” is no number word.
* The limit of 512 code points holds for the transcript and for the result, or the function were not idempotent.
"""

import re
import unicodedata
from bisect import bisect_right
from typing import Final

from hushtag._numbers import NUMBER_WORDS, cardinal, ordinal, ordinal_suffix
from hushtag._unicode14 import RUNS
from hushtag.errors import MisuseError, PhraseError

__all__ = ["MAX_CODE_POINTS", "canonicalize", "without_digits"]

MAX_CODE_POINTS: Final = 512

_APOSTROPHES: Final = dict.fromkeys(map(ord, "\u2018\u2019\u201b\u02bb\u02bc\u02bd\u055a"), "'")
_SYMBOLS: Final = {"&": "and", "%": "percent", "+": "plus", "=": "equals", "@": "at"}
_ABBREVIATIONS: Final = {"dr": "doctor", "mr": "mister", "mrs": "missus", "st": "saint", "ok": "okay"}
_FILLERS: Final = frozenset({"um", "uh", "uhm", "erm", "hmm", "mm"})

_CLASSES: Final = tuple(token[0] for token in RUNS.split())
_STARTS: Final = tuple(int(token[1:], 16) for token in RUNS.split())
_REFUSALS: Final = {
    "X": "is unassigned in Unicode 14.0, private use or a surrogate",
    "N": "is a number that is no decimal digit; say it in words",
}
_DIGITS_AND_COMMAS: Final = re.compile(r"(\$?)([0-9]+(?:,[0-9]+)*)(st|nd|rd|th)?")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")


def canonicalize(transcript: str) -> str:
    """Return the `phrase-v1` canonical form of a transcript: 1 to 512 code points, letters, marks, single spaces.

    Total and idempotent. Nothing of the phrase but one code point, its rule and its place is ever in a message.

    Raises:
        PhraseError: empty, too long, or it holds a code point that cannot be read.
        MisuseError: the transcript is not a `str`.
    """
    _refuse_other(transcript)
    _refuse_unreadable(transcript)
    words = _keep_letters(_speak_numbers(_speak_symbols(_fold(transcript)))).split()
    canonical = unicodedata.normalize("NFC", " ".join(_settle(words)))
    if not canonical:
        raise PhraseError("no word is left: the phrase is empty or only fillers and punctuation")
    _refuse_longer(canonical, "canonical form")
    return canonical


def without_digits(transcript: str) -> str:
    """Return the transcript with a space in the place of every digit of Unicode 14.0.0 (category Nd).

    Raises:
        PhraseError: it is too long.
        MisuseError: the transcript is not a `str`.
    """
    _refuse_other(transcript)
    return "".join(" " if _class_of(character) == "D" else character for character in transcript)


def _refuse_other(transcript: object) -> None:
    if not isinstance(transcript, str):
        raise MisuseError(f"a transcript is a str, not {type(transcript).__name__}")
    _refuse_longer(transcript, "transcript")


def _refuse_longer(text: str, what: str) -> None:
    if len(text) > MAX_CODE_POINTS:
        raise PhraseError(f"the {what} has {len(text)} code points, at most {MAX_CODE_POINTS} are allowed")


def _class_of(character: str) -> str:
    return _CLASSES[bisect_right(_STARTS, ord(character)) - 1]


def _refuse_unreadable(transcript: str) -> None:
    for place, character in enumerate(transcript, 1):
        refusal = _REFUSALS.get(_class_of(character))
        if refusal:
            raise PhraseError(f"code point {place}, U+{ord(character):04X}, {refusal}")


def _fold(transcript: str) -> str:
    """Step 1: compatible forms and cases become one, what cannot be seen goes."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", transcript).casefold())
    return "".join(_ascii_digit(character) for character in text if _class_of(character) != "F")


def _ascii_digit(character: str) -> str:
    run = bisect_right(_STARTS, ord(character)) - 1
    return str(ord(character) - _STARTS[run]) if _CLASSES[run] == "D" else character


def _speak_symbols(text: str) -> str:
    """Step 2, but for `$`, which needs the number it stands before."""
    text = text.translate(_APOSTROPHES)
    return "".join(f" {_SYMBOLS[character]} " if character in _SYMBOLS else character for character in text)


def _speak_numbers(text: str) -> str:
    """Step 3: every number becomes words of its own."""
    spoken, end = [], 0
    for match in _DIGITS_AND_COMMAS.finditer(text):
        spoken += [text[end : match.start()], " ", _speak(match, text[match.end() :][:1])]
        end = match.end()
    return "".join([*spoken, text[end:]])


def _speak(match: re.Match[str], following: str) -> str:
    dollar, number, suffix = match.group(1), match.group(2), match.group(3) or ""
    whole = bool(_THOUSANDS.fullmatch(number))
    parts = [number.replace(",", "")] if whole else number.split(",")
    words = [cardinal(part, may_be_year=not whole) for part in parts]
    if dollar:
        words.insert(1, "dollars")
    is_alone = not following or _class_of(following) not in "LM"
    if suffix and is_alone and suffix == ordinal_suffix(parts[-1]) and not (dollar and len(parts) == 1):
        words[-1] = ordinal(parts[-1])
        suffix = ""
    return f"{' '.join(words)} {suffix}"


def _keep_letters(text: str) -> str:
    """Step 4: apostrophes vanish, and only marks that stand on a letter stay beside the letters."""
    kept, before = [], " "
    for character in text:
        if character == "'":
            continue
        kind = _class_of(character)
        before = character if kind == "L" or (kind == "M" and before != " ") else " "
        kept.append(before)
    return "".join(kept)


def _settle(words: list[str]) -> list[str]:
    words = [_ABBREVIATIONS.get(word, word) for word in words if word not in _FILLERS]
    around = zip(words, ["", *words], [*words[1:], ""], strict=False)
    return [w for w, left, right in around if not (w == "and" and {left, right} <= NUMBER_WORDS)]
