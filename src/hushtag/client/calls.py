"""How often a request may be sent: a read again after a failure, everything else once."""

from dataclasses import replace
from typing import Final, TypeVar

from hushtag.client.answers import encode, expect, problem_of
from hushtag.client.effects import Pause, Request, Response, Steps, exchange
from hushtag.client.errors import OutcomeUnknownError, TimedOutError, TransportError, UnavailableError
from hushtag.client.policy import RetryPolicy
from hushtag.errors import HushtagError, MalformedError, StateError
from hushtag.messages import MAX_JSON_BYTES, Message

__all__ = ["UNTOLD", "fetch", "outcome_unknown", "post", "send_quietly"]

M = TypeVar("M", bound=Message)

UNTOLD: Final = (TransportError, UnavailableError, StateError, MalformedError)
"""What keeps a client from learning what became of a change: no line to the server, or somebody on it who answers in
its place, or a vault that was locked, or a client that was closed, meanwhile."""
_RETRIED = (502, 503, 504)


def outcome_unknown() -> OutcomeUnknownError:
    """Return the error of a change that was sent, and of which nothing was heard."""
    return OutcomeUnknownError("the connection broke during a change, and its fate could not be found out")


def post(
    path: str,
    message: Message,
    token: str | None,
    status: int,
    kind: type[M],
    *,
    max_answer: int = MAX_JSON_BYTES,
    changes: bool = True,
) -> Steps[M]:
    """Send a message once and return its answer: what a ceremony sends must never arrive twice.

    `changes` is that of the request: not set for what only leads to a change, or to an open vault.

    Raises:
        LimitError: the message is outside the limits; nothing was sent.
        TransportError, ServerError, MalformedError: no answer, a refusal, or no answer of the contract.
    """
    body = encode(message)
    request = Request("POST", path, token, body, "application/json", max_answer=max_answer, changes=changes)
    response = yield from exchange(request)
    return expect(response, (status,), kind)


def fetch(request: Request, retry: RetryPolicy) -> Steps[Response]:
    """Send a request that changes nothing, or nothing more when it arrives twice: again after a broken connection or a
    502, 503 or 504.

    A time-out is not tried again: the caller has waited long enough.

    Raises:
        TransportError, UnavailableError: the last attempt failed as well.
    """
    attempt = 0
    while True:
        failure: HushtagError
        try:
            response = yield from exchange(request)
        except TimedOutError:
            raise
        except TransportError as error:
            failure = error
        else:
            if response.status not in _RETRIED:
                return response
            failure = problem_of(response)
        attempt += 1
        if attempt >= retry.reads:
            raise failure
        yield Pause(retry.pause(attempt - 1))


def send_quietly(request: Request) -> Steps[None]:
    """Tell the server once, and go on whatever comes of it: for ends that also come by themselves."""
    try:
        yield from exchange(replace(request, changes=False))
    except HushtagError:
        return
