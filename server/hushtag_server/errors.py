"""What the server refuses, as exceptions that know nothing of HTTP; `problems.py` maps each to its answer."""

from hushtag.messages import FieldProblem

__all__ = [
    "AlreadyExistsError",
    "CeremonyFailedError",
    "GenerationConflictError",
    "LimitReachedError",
    "LoginFailedError",
    "MalformedRequestError",
    "NotFoundError",
    "PhrasesRemainError",
    "PreconditionFailedError",
    "PreconditionRequiredError",
    "RangeNotSatisfiableError",
    "RefusedError",
    "ResealUnfinishedError",
    "RevisionConflictError",
    "SegmentExistsError",
    "SegmentLostError",
    "StartError",
    "StreamCommittedError",
    "StreamIncompleteError",
    "TooLargeError",
    "TooManyAttemptsError",
    "TooManyGuessesError",
    "TooManyStreamsError",
    "TransferRunningError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnsupportedMediaTypeError",
    "VaultFullError",
]


class StartError(Exception):
    """The server cannot start; the message names the next step."""


class RefusedError(Exception):
    """Root of what a request can be refused for. Messages are for the log and never reach the client.

    `fields` do: they name fields and rules, never values. Without them the answer says what the code always means.
    """

    def __init__(self, message: str = "", fields: list[FieldProblem] | None = None) -> None:
        super().__init__(message)
        self.fields = fields


class MalformedRequestError(RefusedError):
    """The request does not have the shape it must have."""

    def __init__(self, fields: list[FieldProblem] | None = None) -> None:
        super().__init__("malformed request", fields)


class UnsupportedMediaTypeError(RefusedError):
    """The body is not of the media type this operation takes."""

    def __init__(self, expected: str) -> None:
        super().__init__(f"expected {expected}", [FieldProblem(field="Content-Type", rule=f"must be {expected}")])


class TooLargeError(RefusedError):
    """The body has more bytes than this operation takes."""

    def __init__(self, most: int) -> None:
        super().__init__("too large", [FieldProblem(field="body", rule=f"must have at most {most} bytes")])


class UnauthenticatedError(RefusedError):
    """No token, or one that is unknown, expired or of the wrong kind."""


class LoginFailedError(RefusedError):
    """Unknown email, wrong password or inactive account; nobody is told which."""


class CeremonyFailedError(RefusedError):
    """A step of a ceremony that is late, repeated, out of order or not proven; nobody is told which."""


class NotFoundError(RefusedError):
    """No such thing among what belongs to this user."""


class AlreadyExistsError(RefusedError):
    """The user already has one of that id or name."""


class RevisionConflictError(RefusedError):
    """The object's revision is not what the request implies."""


class GenerationConflictError(RefusedError):
    """The vault's generation is not what the request implies."""


class PreconditionFailedError(RefusedError):
    """The row has another version than the request expects; nothing was changed."""


class PreconditionRequiredError(RefusedError):
    """A change that does not say which version it changes."""


class LimitReachedError(RefusedError):
    """A named limit is reached; nothing was changed."""


class VaultFullError(RefusedError):
    """The vault's large objects have as many bytes as they may have; nothing was stored."""


class SegmentExistsError(RefusedError):
    """Other bytes are stored under that number; they stay."""


class SegmentLostError(RefusedError):
    """A segment's row is there, and its bytes are not: asking again does not help, only who runs the server can."""


class StreamCommittedError(RefusedError):
    """The stream takes no more segments: an object has it, or it ended; or it is another object's."""


class StreamIncompleteError(RefusedError):
    """Not all segments of the stream are there, or not with as many bytes."""


class RangeNotSatisfiableError(RefusedError):
    """The range lies outside of what there is: `size` bytes, which the answer tells (RFC 9110, section 15.5.17)."""

    def __init__(self, size: int) -> None:
        super().__init__("outside of what there is")
        self.size = size


class ResealUnfinishedError(RefusedError):
    """Objects are still sealed under an old data key."""


class PhrasesRemainError(RefusedError):
    """Other phrases open the vault."""


class _LaterError(RefusedError):
    def __init__(self, retry_after: int) -> None:
        super().__init__(f"refused for {retry_after} seconds")
        self.retry_after = max(1, retry_after)


class TooManyGuessesError(_LaterError):
    """The phrase guesses of the account are spent; `retry_after` in whole seconds."""


class TooManyAttemptsError(_LaterError):
    """Too many login attempts for this email or from this address; `retry_after` in whole seconds."""


class TooManyStreamsError(_LaterError):
    """The user holds too many event streams open; `retry_after` in whole seconds."""


class TransferRunningError(_LaterError):
    """The user exports or imports already; `retry_after` in whole seconds."""


class UnavailableError(RefusedError):
    """The database is away or overloaded; trying again later is safe for what is safe to repeat."""
