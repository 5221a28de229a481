"""Readers of the response files that `cryptography_vectors` ships (NIST CAVP and the like)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cryptography_vectors

_ROOT = Path(cryptography_vectors.__file__).parent
_SECTION = re.compile(r"\[(?P<name>[^=\]]+?)\s*=\s*(?P<value>\d+)\]")


@dataclass
class Case:
    """One test case: the section it stands in (`[IVlen = 96]`), its fields, and whether it must `FAIL`."""

    section: dict[str, int]
    fields: dict[str, str]
    fails: bool = False


def read(path: str) -> Iterator[Case]:
    """The cases of one file, in its order; `path` is relative to the package, names are lower case.

    A field that the case at hand already has begins the next case: blank lines mean nothing.
    """
    case = Case({}, {})
    for line in (_ROOT / path).read_text(encoding="utf-8").splitlines():
        header = _SECTION.fullmatch(line.strip())
        name, equals, value = (part.strip() for part in line.partition("="))
        if line.startswith("#"):
            continue
        if header:
            if case.fields:
                yield case
            case = Case({**case.section, header["name"].lower(): int(header["value"])}, {})
        elif equals:
            if name.lower() in case.fields:
                yield case
                case = Case(case.section, {})
            case.fields[name.lower()] = value
        elif name == "FAIL":
            case.fails = True
    if case.fields:
        yield case
