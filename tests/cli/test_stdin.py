"""Lines of standard input, bounded, and what follows them."""

import os
from collections.abc import Callable, Iterator

import pytest

from hushtag.cli.failures import UsageError
from hushtag.cli.stdin import MAX_LINE_BYTES, StandardInput

Given = Callable[[bytes], StandardInput]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    """`given(b"…")` is what is on standard input."""
    ends: list[int] = []

    def pipe(content: bytes) -> StandardInput:
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        ends.append(reading)
        monkeypatch.setattr("sys.stdin", os.fdopen(reading, closefd=False))
        return StandardInput()

    yield pipe
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_of_every_length_up_to_the_limit_is_taken(given: Given, end: bytes) -> None:
    longest = MAX_LINE_BYTES - len(end.rstrip(b"\n"))
    assert given(b"x" * longest + end).line() == "x" * longest


@pytest.mark.parametrize("rest", [b"", b"\n", b"\nmore\n"])
def test_a_line_over_the_limit_is_refused(given: Given, rest: bytes) -> None:
    with pytest.raises(UsageError, match="16384 bytes"):
        given(b"x" * (MAX_LINE_BYTES + 1) + rest).line()


def test_a_mark_of_the_byte_order_is_no_part_of_a_secret(given: Given) -> None:
    mark = b"\xef\xbb\xbf"
    stdin = given(mark + b"first\r\n" + mark + b"second\n" + mark)
    assert (stdin.line(), stdin.line(), stdin.read(100)) == ("first", "\ufeffsecond", mark)


def test_a_second_line_is_bounded_too_and_the_rest_is_left(given: Given) -> None:
    stdin = given(b"phrase\ncontent")
    assert (stdin.line(), stdin.read(100), stdin.read(100), stdin.line()) == ("phrase", b"content", b"", None)
    stdin = given(b"phrase\n" + b"x" * (MAX_LINE_BYTES + 1))
    assert stdin.line() == "phrase"
    with pytest.raises(UsageError, match="16384 bytes"):
        stdin.line()
