"""Lines of standard input, bounded, and what follows them."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from hushtag.cli.failures import UsageError
from hushtag.cli.stdin import MAX_LINE_BYTES, StandardInput

Given = Callable[[bytes], StandardInput]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    """`given(b"…")` is what is on standard input."""
    ends: list[int] = []
    writers = []

    def pipe(content: bytes) -> StandardInput:
        reading, writing = os.pipe()
        writers.append(threading.Thread(target=_write, args=(writing, content)))  # a pipe holds less than some of it
        writers[-1].start()
        ends.append(reading)
        monkeypatch.setattr("sys.stdin", os.fdopen(reading, closefd=False))
        return StandardInput()

    yield pipe
    for end in ends:
        os.close(end)
    for writer in writers:
        writer.join(60)


def _write(writing: int, content: bytes) -> None:
    with suppress(BrokenPipeError), open(writing, "wb") as pipe:
        pipe.write(content)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_of_every_length_up_to_the_limit_is_taken(given: Given, end: bytes) -> None:
    longest = MAX_LINE_BYTES - len(end.rstrip(b"\n"))
    assert given(b"x" * longest + end).line() == "x" * longest


@pytest.mark.parametrize("rest", [b"", b"\n", b"\nmore\n"])
def test_a_line_over_the_limit_is_refused(given: Given, rest: bytes) -> None:
    with pytest.raises(UsageError, match="16384 bytes"):
        given(b"x" * (MAX_LINE_BYTES + 1) + rest).line()


@pytest.mark.parametrize("more", [1, 100, 70_000, 300_000])
def test_no_part_of_a_line_over_the_limit_is_taken_for_the_next(given: Given, more: int) -> None:
    stdin = given(b"x" * (MAX_LINE_BYTES + more) + b"\nnext\n")
    with pytest.raises(UsageError):
        stdin.line()
    assert (stdin.line(), stdin.line()) == ("next", None)


def test_of_a_line_over_the_limit_that_never_ends_nothing_is_kept(
    given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = given(b"x" * (MAX_LINE_BYTES + 300_000))
    with pytest.raises(UsageError):
        stdin.line()
    held, read = [], os.read

    def watched(descriptor: int, size: int) -> bytes:
        held.append(len(stdin._buffer) + size)
        return read(descriptor, size)

    monkeypatch.setattr("os.read", watched)
    assert stdin.line() is None
    assert len(held) > 3
    assert max(held) <= 64 * 1024


def test_a_line_that_is_not_utf_8_is_refused_alone(given: Given) -> None:
    stdin = given(b"first\n\xff\xfe\nnext\n")
    assert stdin.line() == "first"
    with pytest.raises(UsageError, match="UTF-8"):
        stdin.line()
    assert stdin.line() == "next"


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
