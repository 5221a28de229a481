"""Make `src/hushtag/_unicode14.py`; run it with Python 3.11, whose `unicodedata` is Unicode 14.0.0.

    python -m vectors.generators.phrase_support.unicode_tables [--check]

Under another Unicode version it refuses, so that the table of `phrase-v1` never moves.
"""

import sys
import unicodedata

from .generated import SOURCE, wrapped, write_or_check

_VERSION = "14.0.0"
# Default_Ignorable_Code_Point of Unicode 14.0 outside category Cf: they show nothing either.
_INVISIBLE = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0}).union(
    range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)
)
_CLASS_OF_CATEGORY = {"Nd": "D", "Nl": "N", "No": "N", "Cf": "F", "Cn": "X", "Co": "X", "Cs": "X"}

_HEAD = '''"""Classes of code points in Unicode 14.0.0, the version of `phrase-v1` on every runtime.

Made by `vectors/generators/phrase_support/unicode_tables.py` from the general category. Each token is a class and
the first code point of a run, in hexadecimal; a run ends where the next begins, the last at 10FFFF.

    L letter (L*)          M mark (M*)            D decimal digit (Nd); each run starts at a digit zero
    N other number (Nl, No)                       F invisible: Cf, and Default_Ignorable_Code_Point elsewhere
    X refused: unassigned, private use, surrogate (Cn, Co, Cs)        O anything else
"""

RUNS = """
'''


def class_of(code_point: int) -> str:
    """The class of one code point, by the general category of the running Python."""
    if code_point in _INVISIBLE:
        return "F"
    category = unicodedata.category(chr(code_point))
    return _CLASS_OF_CATEGORY.get(category, category[0] if category[0] in "LM" else "O")


def runs() -> list[str]:
    """The tokens of the table, in order of code points."""
    tokens, before = [], ""
    for code_point in range(0x110000):
        kind = class_of(code_point)
        if kind != before or (kind == "D" and unicodedata.digit(chr(code_point)) == 0):
            tokens.append(f"{kind}{code_point:X}")
        before = kind
    return tokens


def main() -> None:
    """Write or check the module."""
    if unicodedata.unidata_version != _VERSION:
        sys.exit(f"this Python has Unicode {unicodedata.unidata_version}; the table is of {_VERSION}")
    write_or_check({SOURCE / "_unicode14.py": _HEAD + wrapped(runs()) + '\n"""\n'})


if __name__ == "__main__":
    main()
