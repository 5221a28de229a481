"""The one table from errors to HTTP (RFC 9457). No answer is ever made from `str(exc)`."""

import logging
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from psycopg.errors import DeadlockDetected, SerializationFailure

from hushtag import errors as core
from hushtag.messages import FieldProblem, Problem
from hushtag_server import errors
from hushtag_server.observability import Metrics, describe_exception
from hushtag_server.query_rules import parameter_problems

__all__ = [
    "MEDIA_TYPE",
    "PROBLEMS",
    "answer_error",
    "describe_problem",
    "encode_problem",
    "make_problem",
    "problem_headers",
]

MEDIA_TYPE: Final = "application/problem+json"
_UNAVAILABLE_RETRY: Final = 1
_log = logging.getLogger("hushtag.server")


class Kind(NamedTuple):
    """Status and title of one problem code, and what it says of which field where the error itself says nothing."""

    status: int
    title: str
    field: str | None = None
    rule: str = ""


PROBLEMS: Final[dict[str, Kind]] = {
    "malformed_request": Kind(
        400, "The request is malformed", "body", "must be whole, and what the description of this operation says"
    ),
    "unauthenticated": Kind(
        401,
        "A valid token is needed",
        "Authorization",
        "must be `Bearer` and a token that is known, unexpired and of the right kind",
    ),
    "login_failed": Kind(
        401, "Login failed", "$.password", "must be the password of an active account with this email"
    ),
    "ceremony_failed": Kind(401, "The ceremony failed"),
    "not_found": Kind(404, "Not found", "path", "must name something that exists and is yours"),
    "method_not_allowed": Kind(405, "Method not allowed", "method", "must be one of those the Allow header names"),
    "request_timeout": Kind(
        408, "The request took too long to arrive", "body", "must arrive before the request's deadline"
    ),
    "already_exists": Kind(409, "It already exists", "body", "must not repeat an id or a name that is taken"),
    "revision_conflict": Kind(
        409, "The object has another revision", "Hushtag-Revision", "must follow the object's present revision"
    ),
    "generation_conflict": Kind(
        409, "The vault has another generation", "Hushtag-Generation", "must follow the vault's present generation"
    ),
    "version_conflict": Kind(
        412, "It has another version", "If-Match", "must be the present version; read it and apply the change again"
    ),
    "precondition_required": Kind(
        428, "The change must name a version", "If-Match", "is required: the ETag of the version that is changed, or *"
    ),
    "limit_reached": Kind(409, "A limit is reached", "body", "must stay within the limits of the account"),
    "segment_exists": Kind(409, "Another segment has that number", "body", "must be the segment that is stored"),
    "stream_committed": Kind(
        409, "The stream takes no more", "path", "must name a stream that no object has, or this object's own"
    ),
    "stream_incomplete": Kind(
        409, "Segments are missing", "Hushtag-Stream", "must name a stream whose segments are all stored"
    ),
    "reseal_unfinished": Kind(
        409, "Objects are not re-sealed yet", "path", "must name a vault whose objects are all under its present key"
    ),
    "phrases_remain": Kind(409, "Other phrases open the vault", "path", "must name a vault that one phrase opens"),
    "segment_lost": Kind(410, "The bytes of a segment are lost", "path", "must name a segment whose bytes are there"),
    "body_too_large": Kind(413, "The body is too large", "body", "must not be larger than this operation takes"),
    "vault_full": Kind(413, "The vault is full", "body", "must fit into what this server stores for a vault"),
    "uri_too_long": Kind(414, "The address is too long", "path", "must have at most 2048 bytes with its query"),
    "unsupported_media_type": Kind(
        415, "Unsupported media type", "Content-Type", "must be the media type this operation takes"
    ),
    "range_not_satisfiable": Kind(416, "The range is outside", "Range", "must begin within the segment"),
    "unknown_suite": Kind(422, "Unknown suite", "suite", "must be a suite this server knows"),
    "too_many_guesses": Kind(429, "Too many guesses", "Retry-After", "tells after how many seconds to guess again"),
    "too_many_attempts": Kind(429, "Too many attempts", "Retry-After", "tells after how many seconds to try again"),
    "too_many_requests": Kind(429, "Too many requests", "Retry-After", "tells after how many seconds to try again"),
    "too_many_streams": Kind(429, "Too many streams", "Retry-After", "tells after how many seconds to try again"),
    "transfer_running": Kind(
        429, "An export or import is running", "Retry-After", "tells after how many seconds to try again at the latest"
    ),
    "headers_too_large": Kind(
        431, "The headers are too large", "headers", "must be at most 64 with 16384 bytes together"
    ),
    "internal_error": Kind(500, "Internal error"),
    "unavailable": Kind(503, "Temporarily unavailable"),
}

# The first match counts, so a subclass stands before its base.
_CODES: Final[list[tuple[type[Exception], str]]] = [
    (errors.MalformedRequestError, "malformed_request"),
    (errors.UnsupportedMediaTypeError, "unsupported_media_type"),
    (errors.TooLargeError, "body_too_large"),
    (errors.UnauthenticatedError, "unauthenticated"),
    (errors.LoginFailedError, "login_failed"),
    (errors.CeremonyFailedError, "ceremony_failed"),
    (errors.NotFoundError, "not_found"),
    (errors.AlreadyExistsError, "already_exists"),
    (errors.RevisionConflictError, "revision_conflict"),
    (errors.GenerationConflictError, "generation_conflict"),
    (errors.PreconditionFailedError, "version_conflict"),
    (errors.PreconditionRequiredError, "precondition_required"),
    (errors.LimitReachedError, "limit_reached"),
    (errors.VaultFullError, "vault_full"),
    (errors.SegmentExistsError, "segment_exists"),
    (errors.SegmentLostError, "segment_lost"),
    (errors.StreamCommittedError, "stream_committed"),
    (errors.StreamIncompleteError, "stream_incomplete"),
    (errors.RangeNotSatisfiableError, "range_not_satisfiable"),
    (errors.ResealUnfinishedError, "reseal_unfinished"),
    (errors.PhrasesRemainError, "phrases_remain"),
    (errors.TooManyGuessesError, "too_many_guesses"),
    (errors.TooManyAttemptsError, "too_many_attempts"),
    (errors.TooManyStreamsError, "too_many_streams"),
    (errors.TransferRunningError, "transfer_running"),
    (errors.UnavailableError, "unavailable"),
    # Given up to a concurrent transaction, more often than it is worth trying: nothing of it was done.
    (SerializationFailure, "unavailable"),
    (DeadlockDetected, "unavailable"),
    (core.UnknownSuiteError, "unknown_suite"),
    (core.MalformedError, "malformed_request"),
    (core.AuthenticationError, "ceremony_failed"),
    (NotFoundException, "not_found"),
    (MethodNotAllowedException, "method_not_allowed"),
    (RequestEntityTooLarge, "body_too_large"),
    (ClientException, "malformed_request"),
]


def _code_of(error: Exception) -> str:
    return next((code for kind, code in _CODES if isinstance(error, kind)), "internal_error")


def make_problem(
    code: str, request_id: str | None, *, retry_after: int | None = None, fields: list[FieldProblem] | None = None
) -> Problem:
    """Return the problem of a code; every word in it is ours."""
    kind = PROBLEMS[code]
    if fields is None and kind.field is not None:
        fields = [FieldProblem(field=kind.field, rule=kind.rule)]
    return Problem(
        type=f"urn:hushtag:problem:{code}",
        title=kind.title,
        status=kind.status,
        code=code,
        request_id=request_id,
        retry_after=retry_after,
        fields=fields,
    )


def problem_headers(problem: Problem) -> dict[str, str]:
    """Return the headers that go with a problem."""
    headers = {"cache-control": "no-store"}
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    if problem.code in {"unauthenticated", "login_failed", "ceremony_failed"}:
        headers["www-authenticate"] = "Bearer"
    return headers


def encode_problem(problem: Problem) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return headers and body of a problem as ASGI sends them."""
    body = msgspec.json.encode(problem)
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem_headers(problem)}
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()], body


def describe_problem(
    error: Exception, request_id: str | None, metrics: Metrics | None, handler: BaseRouteHandler | None = None
) -> Problem:
    """Return the problem of any exception; what is not in the table is an internal error, logged by type and place."""
    code = _code_of(error)
    if code == "internal_error":
        _log.error("internal error", extra={"request_id": request_id, "error": list(describe_exception(error))})
    if metrics is not None:
        metrics.problems.labels(code).inc()
    retry_after = getattr(error, "retry_after", _UNAVAILABLE_RETRY if code == "unavailable" else None)
    fields = getattr(error, "fields", None)
    if isinstance(error, ValidationException):
        fields = parameter_problems(error, handler)
    if isinstance(error, RequestEntityTooLarge) and isinstance(handler, HTTPRouteHandler):
        most = handler.resolve_request_max_body_size()
        fields = None if most is None else errors.TooLargeError(most).fields
    return make_problem(code, request_id, retry_after=retry_after, fields=fields)


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer any exception that Litestar meets."""
    services = request.app.state.get("services")
    metrics = services.metrics if services is not None else None
    request_id = request.scope.get("state", {}).get("request_id")
    problem = describe_problem(error, request_id, metrics, request.scope.get("route_handler"))
    headers = problem_headers(problem)
    if isinstance(error, HTTPException) and "allow" in (error.headers or {}):
        headers["allow"] = (error.headers or {})["allow"]
    if isinstance(error, errors.RangeNotSatisfiableError):
        headers["content-range"] = f"bytes */{error.size}"
    return Response(msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)
