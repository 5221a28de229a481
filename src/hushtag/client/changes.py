"""Changes of the plain side that survive a lost answer: nothing is made twice, and nothing is overwritten unread.

What is made carries an id of this client's own, so a second request of the same can only find it there. What is edited
or deleted names the version it was read at, so a second request can only find it done or changed by somebody else.
A time-out is not tried again: the caller has waited long enough.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar
from uuid import UUID

from hushtag.client.calls import UNTOLD, outcome_unknown
from hushtag.client.effects import Pause, Steps
from hushtag.client.errors import (
    ConflictError,
    NotFoundError,
    TimedOutError,
    TransportError,
    UnavailableError,
    VersionConflictError,
)
from hushtag.client.policy import RetryPolicy
from hushtag.errors import MisuseError, StateError

__all__ = ["Versioned", "change", "create", "delete", "edit", "if_match", "remove", "version_conflict"]

T = TypeVar("T")
V = TypeVar("V", bound="Versioned")


class Versioned(Protocol):
    """Something that was read: its id and the version it had."""

    @property
    def id(self) -> UUID:
        """Its id."""

    @property
    def version(self) -> int:
        """Its version, which grows with every change."""


def if_match(read: Versioned, *kinds: type) -> dict[str, str]:
    """Return the header that makes a change one of this version only (RFC 9110, section 13.1.1).

    Raises:
        MisuseError: it is of none of these kinds, so nobody has read it; an id as well has a `version`, that of UUIDs.
    """
    if not isinstance(read, kinds):
        raise MisuseError("pass what was read, not its id: a change is one of the version that was read")
    return {"If-Match": f'"{read.version}"'}


def version_conflict() -> VersionConflictError:
    """Return the error of a change that came after somebody else's."""
    text = "it was changed by somebody else since it was read; read it again and apply the change to that"
    return VersionConflictError(text, code="version_conflict")


def create(
    attempt: Callable[[], Steps[T]], recall: Callable[[], Steps[T | None]], retry: RetryPolicy, *, drawn: bool = False
) -> Steps[T]:
    """Make something. `recall` returns it if it is there as this client sent it.

    `drawn`: its id was drawn for this call, so whatever has it came from this call, also at the first attempt: somebody
    on the way sends requests twice.

    Raises:
        ConflictError: something else has its id.
        TransportError, UnavailableError: the last attempt failed as well.
    """
    lost: TransportError | UnavailableError | None = None
    for number in range(max(1, retry.reads)):
        try:
            return (yield from attempt())
        except TimedOutError:
            raise
        except ConflictError as error:
            if error.code != "already_exists" or (lost is None and not drawn):
                raise
            try:
                found = yield from recall()
            except NotFoundError:  # another one of several has its id, and none of them was made
                found = None
            except StateError:
                raise lost or outcome_unknown() from None
            if found is None:
                raise
            return found
        except (TransportError, UnavailableError) as error:
            lost = error
        except StateError as error:
            raise lost or error from None
        yield Pause(retry.pause(number))
    raise lost or outcome_unknown()


def change(attempt: Callable[[], Steps[T]], look: Callable[[], Steps[T | None]], retry: RetryPolicy) -> Steps[T]:
    """Change something at the version it was read at.

    `look` returns it as it is now if the change is made, None if it still has the version it was read at, and raises
    `VersionConflictError` if somebody else has changed it.

    Raises:
        VersionConflictError: it was changed by somebody else; nothing was changed now.
        OutcomeUnknownError: the connection is gone and what became of the change is not known.
    """
    lost = False
    for number in range(max(1, retry.reads)):
        try:
            return (yield from attempt())
        except TimedOutError:
            raise
        except VersionConflictError:
            if not lost:
                raise
        except StateError:
            if lost:
                raise outcome_unknown() from None
            raise
        except (TransportError, UnavailableError):
            lost = True
        try:
            found = yield from look()
        except UNTOLD:
            raise outcome_unknown() from None
        if found is not None:
            return found
        yield Pause(retry.pause(number))
    raise outcome_unknown()


def edit(
    attempt: Callable[[], Steps[V]],
    get: Callable[[], Steps[V]],
    done: Callable[[V], bool],
    retry: RetryPolicy,
    version: int,
) -> Steps[V]:
    """Edit what was read at `version`; `done` tells whether what `get` returns has the edit."""

    def look() -> Steps[V | None]:
        found = yield from get()
        if found.version == version:
            return None
        if not done(found):
            raise version_conflict()
        return found

    return (yield from change(attempt, look, retry))


def delete(
    attempt: Callable[[], Steps[None]],
    get: Callable[[], Steps[V]],
    retry: RetryPolicy,
    version: int,
    gone: Callable[[V], bool] = lambda _: False,
) -> Steps[None]:
    """Delete what was read at `version`; `gone` tells whether what `get` still returns is deleted.

    Raises:
        NotFoundError: it was not there at the first attempt.
    """
    lost = False

    def once() -> Steps[bool]:
        try:
            yield from attempt()
        except NotFoundError:
            if not lost:
                raise
        return True

    def look() -> Steps[bool | None]:
        nonlocal lost
        lost = True
        try:
            found = yield from get()
        except NotFoundError:
            return True
        if gone(found):
            return True
        if found.version != version:
            raise version_conflict()
        return None

    yield from change(once, look, retry)


def remove(attempt: Callable[[], Steps[None]], retry: RetryPolicy) -> Steps[None]:
    """Remove something; that it is not there any more at a second attempt is what was wanted.

    Raises:
        NotFoundError: it was not there at the first.
        TransportError, UnavailableError: the last attempt failed as well.
    """
    lost: TransportError | UnavailableError | None = None
    for number in range(max(1, retry.reads)):
        try:
            return (yield from attempt())
        except TimedOutError:
            raise
        except NotFoundError:
            if lost is None:
                raise
            return None
        except (TransportError, UnavailableError) as error:
            lost = error
        except StateError as error:
            raise lost or error from None
        yield Pause(retry.pause(number))
    raise lost or outcome_unknown()
