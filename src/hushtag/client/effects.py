"""What the client's logic asks of the outside world. The logic is written once, as generators that yield effects.

A step of the protocol is a generator (`Steps[T]`): it yields an effect, receives its result, and returns a `T`. A
driver performs the effects: `SyncDriver` by blocking, `AsyncDriver` by awaiting. No step opens a socket, sleeps or
starts a thread itself, so the two clients cannot come to differ.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hushtag.client.errors import MalformedOutcomeError
from hushtag.client.order import Order
from hushtag.errors import MalformedError
from hushtag.messages import MAX_JSON_BYTES

__all__ = [
    "Close",
    "Compute",
    "Effect",
    "Gather",
    "Open",
    "Opened",
    "Pause",
    "Read",
    "Request",
    "Response",
    "Steps",
    "Turn",
    "Upload",
    "close_answer",
    "compute",
    "error_after",
    "exchange",
    "gather",
    "open_answer",
    "read_piece",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `max_answer` bounds the bytes that are read of its answer. Prints without its secrets.

    `changes`: whoever cannot read the answer has to look whether something was changed. Not so in what leads to an open
    session, vault or pairing and can begin again, for a segment, of which only its object makes something, and where
    nobody waits for the answer.
    """

    method: str
    path: str
    token: str | None = field(default=None, repr=False)
    body: bytes | bytearray = field(default=b"", repr=False)
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    max_answer: int = MAX_JSON_BYTES
    changes: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An answer that is read piece by piece; `answer` and `pieces` are the driver's own."""

    headers: Mapping[str, str] = field(repr=False)
    answer: Any = field(repr=False)
    pieces: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request and leave a 200, or the range asked for, open (`Opened`); any other answer is read whole
    (`Response`).
    """

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of an open answer, as they arrive; none at its end."""

    opened: Opened


@dataclass(frozen=True, slots=True)
class Close:
    """Let go of an open answer, read to its end or not."""

    opened: Opened


@dataclass(frozen=True, slots=True)
class Compute:
    """Call `work` where it may take its time: in a worker thread, if there is an event loop to keep responsive.

    `waits`: for somebody outside, perhaps for ever, so it is left alone if the steps are broken off.
    """

    work: Callable[[], Any]
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Let `seconds` pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Gather:
    """Run several steps, at most `limit` at a time; the result is the list of their results.

    `stop` is called as soon as one of them has failed, or the whole is broken off, so that the others need not be
    waited for to their end.
    """

    steps: "Sequence[Steps[Any]]"
    limit: int
    stop: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """Wait until it is the turn of `number`."""

    order: Order
    number: int


@dataclass(frozen=True, slots=True)
class Upload:
    """One request whose body may be long: `read` gives its `length` bytes piece by piece, then nothing.

    `read` may block (it is called in a worker thread, if there is an event loop). `patience`: seconds the server may
    take to answer once it has everything.
    """

    request: Request
    read: Callable[[], bytes]
    length: int
    patience: float


Effect = Request | Open | Read | Close | Upload | Compute | Pause | Gather | Turn
Steps = Generator[Effect, Any, T]


def error_after(last: Effect | None, error: MalformedError) -> MalformedError:
    """Return what a malformed answer means that the steps ended with; `last` is the last they have asked the server.

    The answer to a change is the last thing that is read of it, so what is malformed then is this answer, or what came
    in its place.
    """
    request = last.request if isinstance(last, Upload) else last
    changing = isinstance(request, Request) and request.method != "GET" and request.changes
    if not changing or type(error) is not MalformedError:  # a suite that the server does not know is a refusal
        return error
    return MalformedOutcomeError(f"{error}; whether the change was made is not known")


def exchange(request: Request) -> Steps[Response]:
    """Send one request, once.

    Raises:
        TransportError: no complete answer arrived.
        MalformedError: the answer is longer than `request.max_answer`, encoded, or a redirect.
    """
    response: Response = yield request
    return response


def compute(work: Callable[[], T], *, waits: bool = False) -> Steps[T]:
    """Return what `work` returns."""
    result: T = yield Compute(work, waits)
    return result


def gather(steps: "Sequence[Steps[T]]", limit: int, stop: Callable[[], None] | None = None) -> Steps[list[T]]:
    """Return the results of all steps in order; the first failure ends the others."""
    results: list[T] = yield Gather(steps, limit, stop)
    return results


def open_answer(request: Request) -> Steps[Opened | Response]:
    """Send one request, once; a 200, or the range asked for, stays open.

    Raises:
        TransportError, MalformedError: as for `exchange`.
    """
    opened: Opened | Response = yield Open(request)
    return opened


def read_piece(opened: Opened) -> Steps[bytes]:
    """Return the next bytes of an open answer, none at its end.

    Raises:
        TransportError: the connection broke or nothing came in time.
    """
    piece: bytes = yield Read(opened)
    return piece


def close_answer(opened: Opened) -> Steps[None]:
    """Let go of an open answer."""
    yield Close(opened)
