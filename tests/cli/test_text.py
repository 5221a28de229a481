"""Names from elsewhere are harmless on a terminal and in a directory, whatever they are."""

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushtag.cli.text import human_size, safe_file_name, safe_text

anything = st.text(st.characters(), max_size=80)


@given(anything)
def test_safe_text_holds_no_control_or_invisible_character(text: str) -> None:
    shown = safe_text(text)
    for character in shown:
        assert unicodedata.category(character) not in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff")
    shown.encode("utf-8")


@pytest.mark.parametrize("text", ["Grüße.txt", "日本語", "पत्र", "👩‍👩‍👧", "a b"])
def test_ordinary_names_are_shown_as_they_are(text: str) -> None:
    assert safe_text(text) == text
    assert safe_file_name(text) == text


@given(anything)
def test_safe_file_name_is_one_component_on_every_system(name: str) -> None:
    made = safe_file_name(name)
    assert made == safe_text(made)
    assert 0 < len(made.encode("utf-8")) <= 200
    assert not made.startswith(".")
    assert PurePosixPath(made).name == made
    assert PureWindowsPath(made).name == made
    assert PureWindowsPath(made).drive == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "object"),
        (".", "object"),
        ("...", "object"),
        ("a/", "object"),
        ("a/b\\c", "c"),
        ("C:evil", "C_evil"),
        ("é" * 300 + ".tar", "é" * 98 + ".tar"),
        ("x" * 300, "x" * 200),
        ("  spaced  ", "spaced"),
        ("con\u0000trol", "con_trol"),
    ],
)
def test_file_names(name: str, expected: str) -> None:
    assert safe_file_name(name) == expected


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (2**20, "1.0 MiB"), (2**30, "1.0 GiB")],
)
def test_sizes(size: int, text: str) -> None:
    assert human_size(size) == text
