"""What is iterated over comes in batches, each fetched when the one before is used up, so that nobody holds a listing
whole: pages behind a cursor, or the lines of an open answer.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

import anyio

from hushtag.client.answers import decode, expect, media_type, problem_of
from hushtag.client.calls import fetch
from hushtag.client.drivers import AsyncDriver, SyncDriver
from hushtag.client.effects import Opened, Pause, Request, Response, Steps, close_answer, open_answer, read_piece
from hushtag.client.errors import TimedOutError, TransportError, UnavailableError
from hushtag.client.policy import MAX_PAGE_BYTES, RetryPolicy
from hushtag.errors import HushtagError, MalformedError
from hushtag.messages import Message

__all__ = ["PAGE", "Batches", "Lines", "Pages", "each", "each_awaited", "open_stream"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=Message)

PAGE: Final = 50
"""Entries asked for at once."""
MAX_CURSOR: Final = 1024
"""Characters of a cursor."""


class Batches(Protocol[T_co]):
    """What an iterator draws from."""

    def more(self) -> Steps[Sequence[T_co] | None]:
        """Return the next ones; None at the end."""

    def end(self) -> Steps[None]:
        """Let go of what is still open."""


def each(driver: SyncDriver, batches: Batches[T]) -> Generator[T, None, None]:
    """Yield everything, blocking."""
    try:
        while (batch := driver.run(batches.more())) is not None:
            yield from batch
    finally:
        driver.run(batches.end())


async def each_awaited(driver: AsyncDriver, batches: Batches[T]) -> AsyncGenerator[T, None]:
    """Yield everything, awaiting."""
    try:
        while (batch := await driver.run(batches.more())) is not None:
            for one in batch:
                yield one
    finally:
        with anyio.CancelScope(shield=True):
            await driver.run(batches.end())


class Pages(Generic[M, T]):
    """A listing behind a cursor. `split` takes a page apart into its entries and the cursor of the next page."""

    def __init__(
        self,
        path: str,
        token: str,
        kind: type[M],
        split: Callable[[M], tuple[Sequence[T], str | None]],
        retry: RetryPolicy,
        query: Mapping[str, str | Sequence[str]],
    ) -> None:
        self._path = path
        self._token = token
        self._kind = kind
        self._split = split
        self._retry = retry
        self._query = {"limit": str(PAGE), **query}
        self._ended = False
        self._cursors: set[str] = set()

    def more(self) -> Steps[Sequence[T] | None]:
        """Return the entries of the next page; None behind the last.

        Raises:
            MalformedError: a page with a successor is empty, or the pages run in a circle.
        """
        if self._ended:
            return None
        request = Request("GET", self._path, self._token, query=self._query, max_answer=MAX_PAGE_BYTES)
        response = yield from fetch(request, self._retry)
        entries, following = self._split(expect(response, (200,), self._kind))
        self._ended = following is None
        if following is not None:
            # Cursors are opaque, so that a page goes on is told by its bringing something and naming a new place.
            if not entries or following in self._cursors or len(following) > MAX_CURSOR:
                raise MalformedError("listing does not come to an end")
            self._cursors.add(following)
            self._query["cursor"] = following
        return entries

    def end(self) -> Steps[None]:
        """Nothing is open between two pages."""
        yield from ()


def open_stream(request: Request, kind: str, retry: RetryPolicy, *, again: bool = False) -> Steps[Opened]:
    """Open an answer of media type `kind`, again after a broken connection or a 502, 503 or 504.

    `again`: it was open before, so the server is there and is waited for, `retry.reconnects` times.

    Raises:
        TransportError, UnavailableError: the last attempt failed as well.
        ServerError: the server refused.
        MalformedError: the answer is of another kind.
    """
    attempt = 0
    attempts = retry.reconnects if again else retry.reads
    while True:
        failure: HushtagError
        try:
            answer = yield from open_answer(request)
        except TransportError as error:
            if isinstance(error, TimedOutError) and not again:
                raise
            failure = error
        else:
            if isinstance(answer, Opened):
                return (yield from _of_kind(answer, kind))
            failure = _refusal(answer)
        attempt += 1
        if attempt >= attempts:
            raise failure
        yield Pause(retry.wait(attempt - 1))


def _of_kind(answer: Opened, kind: str) -> Steps[Opened]:
    if media_type(answer.headers) != kind:
        yield from close_answer(answer)
        raise MalformedError(f"answer is no {kind}")
    return answer


def _refusal(answer: Response) -> UnavailableError:
    error = problem_of(answer)
    if not isinstance(error, UnavailableError):
        raise error
    return error


class Lines(Generic[M]):
    """The lines of an open answer, each a message in JSON of at most `longest` bytes."""

    def __init__(self, request: Request, kind: type[M], retry: RetryPolicy, longest: int) -> None:
        self._request = request
        self._kind = kind
        self._retry = retry
        self._longest = longest
        self._opened: Opened | None = None
        self._rest = b""
        self._ended = False

    def more(self) -> Steps[Sequence[M] | None]:
        """Return the next messages; None behind the last.

        Raises:
            TransportError: the connection broke; what came before is not everything.
            MalformedError: a line is no such message, too long, or cut off.
        """
        if self._ended:
            return None
        if self._opened is None:
            self._opened = yield from open_stream(self._request, "application/x-ndjson", self._retry)
        while True:
            piece = yield from read_piece(self._opened)
            if not piece:
                self._ended = True
                if self._rest:
                    raise MalformedError("answer ends within a line")
                return None
            if lines := self._take(piece):
                return lines

    def _take(self, piece: bytes) -> list[M]:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if any(len(line) > self._longest for line in (*whole, self._rest)):
            raise MalformedError(f"answer has a line of more than {self._longest} bytes")
        return [decode(line, self._kind) for line in whole if line]

    def end(self) -> Steps[None]:
        """Let go of the answer."""
        self._ended = True
        if self._opened is not None:
            yield from close_answer(self._opened)
