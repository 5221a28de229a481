"""Reading answers: strictly, and totally. Any bytes give a message of the wire or one of our errors."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NoReturn, TypeVar
from uuid import UUID

import msgspec

from hushtag.client.effects import Response
from hushtag.client.errors import (
    BudgetError,
    CeremonyError,
    ConflictError,
    ContentLostError,
    LimitReachedError,
    LoginError,
    NotFoundError,
    ServerError,
    SessionExpiredError,
    UnavailableError,
    VersionConflictError,
)
from hushtag.errors import HushtagError, LimitError, MalformedError, MisuseError, UnknownSuiteError
from hushtag.messages import MAX_GENERATION, MAX_JSON_BYTES, FieldProblem, Message, Problem

__all__ = [
    "check_times",
    "check_zones",
    "decode",
    "encode",
    "expect",
    "expect_nothing",
    "media_type",
    "number_header",
    "problem_of",
    "transfer_problem_of",
]

M = TypeVar("M", bound=Message)

_CODE: Final = re.compile(r"[a-z][a-z_]{0,63}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}")
_GATEWAY: Final = (502, 503, 504)
_REFUSALS: Final[dict[str, tuple[type[ServerError], str]]] = {
    "malformed_request": (ServerError, "the server calls the request malformed"),
    "unauthenticated": (SessionExpiredError, "the session has ended or the token is not valid; log in or unlock again"),
    "login_failed": (LoginError, "login failed: the email or the password is wrong"),
    "ceremony_failed": (CeremonyError, "the ceremony came too late or was already used; start again"),
    "not_found": (NotFoundError, "the server has no such thing"),
    "already_exists": (ConflictError, "it exists already"),
    "revision_conflict": (ConflictError, "the object was changed by somebody else"),
    "generation_conflict": (ConflictError, "the vault was changed by somebody else"),
    "version_conflict": (
        VersionConflictError,
        "it was changed by somebody else since it was read; read it again and apply the change to that",
    ),
    "precondition_required": (ServerError, "the server wants to be told which version is changed"),
    "segment_exists": (ConflictError, "the server has another segment in this place already"),
    "stream_committed": (ConflictError, "the stream belongs to an object already"),
    "stream_incomplete": (ConflictError, "the server does not have every segment of the stream; put it again"),
    "segment_lost": (ContentLostError, "the server has lost bytes of this object, and says so itself"),
    "vault_full": (LimitReachedError, "the vault may store no more bytes"),
    "limit_reached": (LimitReachedError, "a limit of the account or the vault is reached"),
    "reseal_unfinished": (ConflictError, "objects of the vault are not re-sealed yet"),
    "phrases_remain": (ConflictError, "other phrases open the vault; revoke them first"),
    "body_too_large": (LimitReachedError, "the server takes no object of this size"),
    "unavailable": (UnavailableError, "the server cannot answer now; try again later"),
    "internal_error": (UnavailableError, "the server failed"),
    "request_timeout": (UnavailableError, "the server waited too long for the request"),
}
_BUDGETS: Final = {
    "too_many_guesses": "no guesses are left to this session for now (fewer candidates, or a new login, may have some)",
    "too_many_attempts": "too many login attempts",
    "too_many_requests": "too many requests from this address",
    "transfer_running": "an export or import of this account is running",
    "too_many_streams": "too many streams of this account are open at once, of events or of segments",
}
MAX_FIELDS: Final = 10
"""Fields of a problem that are kept."""
MAX_RULE: Final = 500
"""Characters of a field's name and of its rule, each."""


def _broken_rule(error: msgspec.ValidationError, message: Message) -> str:
    from hushtag.field_rules import field_problem  # a request that is in order loads nothing to explain itself with

    problem = field_problem(str(error), type(message))
    return f"{problem.field.removeprefix('$').lstrip('.') or 'the request'} {problem.rule}"


def _refuse_type(value: object) -> NoReturn:
    raise MisuseError(f"a field of a request is text, a number or a time, not {type(value).__name__}")


def _check_each(value: object, check: Callable[[object], None]) -> None:
    """Give `check` every value that a message holds, at any depth."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _check_each(getattr(value, name), check)
    elif isinstance(value, list):
        for each in value:
            _check_each(each, check)
    else:
        check(value)


def _refuse_bytes(value: object) -> None:
    # As JSON has none, msgspec would write their base64, and the server take that for the text.
    if isinstance(value, bytes | bytearray | memoryview):
        _refuse_type(value)


def encode(message: Message, limit: int = MAX_JSON_BYTES) -> bytes:
    """Return the JSON of a message of ours.

    Raises:
        MisuseError: a field holds bytes, or something of a type that JSON cannot hold.
        LimitError: a field breaks its rule, or the message is over `limit` bytes; the value is not repeated.
    """
    _check_each(message, _refuse_bytes)
    try:
        body = msgspec.json.encode(message, enc_hook=_refuse_type)
        msgspec.json.decode(body, type=type(message))
    except msgspec.ValidationError as error:
        raise LimitError(f"{_broken_rule(error, message)}; nothing was sent") from None
    except (UnicodeEncodeError, ValueError):
        raise LimitError("the request holds text that is not valid Unicode") from None
    if len(body) > limit:
        raise LimitError(f"the request is {len(body)} bytes, at most {limit}")
    return body


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type of an answer, without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def decode(body: bytes, kind: type[M]) -> M:
    """Return the message of some JSON.

    Raises:
        MalformedError: it is no message of this kind, or holds a time without a zone.
    """
    try:
        message = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise MalformedError(f"answer is not a {kind.__name__}") from None
    check_zones(message)
    return message


def expect(response: Response, statuses: tuple[int, ...], kind: type[M]) -> M:
    """Return the message of a successful answer.

    Raises:
        ServerError: the server refused.
        MalformedError: anything else than a message of this kind.
    """
    if response.status not in statuses:
        raise problem_of(response)
    if media_type(response.headers) != "application/json":
        raise MalformedError("answer is not JSON")
    return decode(response.body, kind)


def expect_nothing(response: Response) -> None:
    """Accept 204 without a body.

    Raises:
        ServerError: the server refused.
        MalformedError: anything else.
    """
    if response.status != 204:
        raise problem_of(response)
    if response.body:
        raise MalformedError("answer without content has content")


def _spelt(seconds: int) -> str:
    """Return a time as people say it: seconds up to two minutes, then minutes, then hours with minutes."""
    minutes = -(-seconds // 60)
    if seconds <= 120:
        return f"{seconds} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def problem_of(response: Response) -> HushtagError:
    """Return the error that an answer other than the expected success stands for."""
    problem = _decode_problem(response)
    if problem is None:
        if response.status in _GATEWAY:
            return UnavailableError("the server cannot answer now", code="unavailable", status=response.status)
        return MalformedError(f"answer has status {response.status} and is no problem of the contract")
    request_id = _uuid(problem.request_id)
    if problem.code == "unknown_suite":
        return UnknownSuiteError("the server does not know this client's suite; update the one that is older")
    if problem.code in _BUDGETS:
        wait = _retry_after(problem, response)
        text = _BUDGETS[problem.code] + (f"; try again in {_spelt(wait)}" if wait is not None else "; try again later")
        return BudgetError(text, code=problem.code, status=problem.status, request_id=request_id, retry_after=wait)
    kind, text = _REFUSALS.get(problem.code, (ServerError, f"the server refused: {problem.code} ({problem.status})"))
    refusal = kind(text, code=problem.code, status=problem.status, request_id=request_id)
    refusal.fields = _fields(problem.fields or [])
    return refusal


def transfer_problem_of(response: Response) -> HushtagError:
    """Return what an answer about one segment stands for, which may be asked for again: a proxy's 408 and any 5xx, and
    `too_many_streams`, which ends with other transfers of the account, are `UnavailableError`.
    """
    error = problem_of(response)
    if isinstance(error, BudgetError) and error.code == "too_many_streams":
        return UnavailableError(
            str(error), code=error.code, status=error.status, request_id=error.request_id, retry_after=error.retry_after
        )
    if isinstance(error, MalformedError) and (response.status == 408 or response.status >= 500):
        return UnavailableError("the server cannot answer now", code="unavailable", status=response.status)
    return error


def _fields(named: list[FieldProblem]) -> tuple[FieldProblem, ...]:
    """Return what a server says of fields as far as it can be shown: printable text of a bounded length."""
    shown = [each for each in named if each.field.isprintable() and each.rule.isprintable()]
    return tuple(FieldProblem(each.field[:MAX_RULE], each.rule[:MAX_RULE]) for each in shown[:MAX_FIELDS])


def _decode_problem(response: Response) -> Problem | None:
    if response.status < 400 or media_type(response.headers) != "application/problem+json":
        return None
    try:
        problem = msgspec.json.decode(response.body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    return problem if problem.status == response.status and _CODE.fullmatch(problem.code) else None


def _uuid(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None


def _retry_after(problem: Problem, response: Response) -> int | None:
    if problem.retry_after is not None:
        return max(0, min(problem.retry_after, MAX_GENERATION))
    text = response.headers.get("retry-after", "")
    return int(text) if _NUMBER.fullmatch(text) else None


def number_header(response: Response, name: str, most: int) -> int:
    """Return a header that holds a positive decimal number, written in one way only.

    Raises:
        MalformedError: absent, not such a number, or over `most`.
    """
    text = response.headers.get(name.lower(), "")
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise MalformedError(f"answer's header {name} is not a number from 1 to {most}")
    return int(text)


def check_times(*times: datetime | None) -> None:
    """Refuse times without a zone: they could not be compared.

    Raises:
        MalformedError: a time has no zone.
    """
    if any(time is not None and time.tzinfo is None for time in times):
        raise MalformedError("answer holds a time without a zone")


def check_zones(value: object) -> None:
    """Refuse times without a zone anywhere in a message.

    Raises:
        MalformedError: a time has no zone.
    """
    _check_each(value, _check_zone)


def _check_zone(value: object) -> None:
    if isinstance(value, datetime):
        check_times(value)
