"""Errors of the client, beside those of the core: what the wire, the server and the local state can do wrong.

Messages are fixed sentences of ours; of what a server sends, only a problem code and a request id are repeated in them.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from hushtag.epoch import Verdict
from hushtag.errors import AuthenticationError, HushtagError, MalformedError, MisuseError, RollbackError, StateError
from hushtag.messages import FieldProblem

__all__ = [
    "AmbiguousNameError",
    "BudgetError",
    "CeremonyError",
    "ClientClosedError",
    "ConflictError",
    "ContentLostError",
    "EpochError",
    "ExposedFileError",
    "InsecureServerError",
    "IntegrityError",
    "LimitReachedError",
    "LoginError",
    "MalformedOutcomeError",
    "NotFoundError",
    "NotLoggedInError",
    "OutcomeUnknownError",
    "PinChangedError",
    "PinStoreError",
    "PinsNotWrittenError",
    "ServerError",
    "SessionExpiredError",
    "StateFileError",
    "StoredNotPinnedError",
    "TimedOutError",
    "TransportError",
    "UnavailableError",
    "VaultLockedError",
    "VaultRolledBackError",
    "VersionConflictError",
]


class TransportError(HushtagError):
    """No complete answer arrived; whether the request did is not known."""


class TimedOutError(TransportError):
    """A time-out on connect, read, write or the whole exchange ran out."""


class OutcomeUnknownError(TransportError):
    """The connection broke during a change and the server could not be asked whether the change was made."""


class MalformedOutcomeError(MalformedError):
    """A change was answered, outside of the contract: whether it was made is not known; look before you repeat it."""


class ServerError(HushtagError):
    """The server refused. `code` is the problem code; `status` and `request_id` are absent if this client decided.

    `fields` holds, as the server put it, which field broke which rule: printable text, and not to be trusted further.
    """

    fields: tuple[FieldProblem, ...] = ()

    def __init__(
        self, message: str, *, code: str = "unknown", status: int | None = None, request_id: UUID | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.request_id = request_id


class NotFoundError(ServerError):
    """No such session, vault or object; another account's things look the same."""


class ConflictError(ServerError):
    """Somebody else changed the same thing, or it exists already; nothing of this change was stored."""


class VersionConflictError(ConflictError):
    """It has another version than the one that was read; read it again and apply the change to that."""


class ContentLostError(ServerError):
    """The server has an object and has lost bytes of it; asking again does not help, only its operator can."""


class LimitReachedError(ServerError):
    """The account or the vault is full; nothing was stored."""


class BudgetError(ServerError):
    """Guesses or login attempts are used up. `retry_after`: seconds to wait, if the server said so."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        request_id: UUID | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status, request_id=request_id)
        self.retry_after = retry_after


class LoginError(ServerError):
    """Unknown email, wrong password or inactive account; the server does not tell which."""


class SessionExpiredError(ServerError):
    """The token is not accepted any more."""


class CeremonyError(ServerError):
    """An enrolment or unlock came too late, twice or out of order; it must start again."""


class UnavailableError(ServerError):
    """The server cannot answer now. `retry_after`: seconds to wait, if the server said so."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "unavailable",
        status: int | None = None,
        request_id: UUID | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status, request_id=request_id)
        self.retry_after = retry_after


class NotLoggedInError(StateError):
    """The call needs an account session."""


class ClientClosedError(StateError):
    """The client was closed; it asks nothing more."""


class VaultLockedError(StateError):
    """The vault was locked; its keys are forgotten."""


class InsecureServerError(MisuseError):
    """The server's URL would send tokens in the clear, or is no http(s) URL."""


class StateFileError(MisuseError):
    """The local state cannot be used: others could read it, or it is not ours."""


class ExposedFileError(StateFileError):
    """A file or directory of this device's state is open to others or another user's, and is not read; it is whole."""


class PinStoreError(StateFileError):
    """What this device has seen of its vaults is damaged or lost. It is never begun anew unasked."""


class PinsNotWrittenError(PinStoreError):
    """What this device has seen of its vaults is whole, and cannot be written: a full disk, or one to read only."""


class StoredNotPinnedError(PinStoreError):
    """A change of a vault is stored, and could not be pinned on this device; do not make it again.

    Of a change of an object `object_id` is its id and `revision` the present one, `None` if it was deleted; of several
    objects, and of a change of the vault's phrases, both are `None`. The next look at the vault pins it.
    """

    def __init__(self, done: str, why: str, *, object_id: UUID | None = None, revision: int | None = None) -> None:
        super().__init__(f"{done}, but this device could not pin that: {why}")
        self.object_id = object_id
        self.revision = revision


class AmbiguousNameError(MisuseError):
    """Several objects have the name; `object_ids` tells them apart."""

    def __init__(self, object_ids: tuple[UUID, ...]) -> None:
        super().__init__(f"{len(object_ids)} objects have this name; use an object id")
        self.object_ids = object_ids


class IntegrityError(AuthenticationError):
    """Something stored in the vault is not authentic: the server altered, swapped or invented it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not authentic")


class PinChangedError(RollbackError):
    """The account's id or phrase salt is not the one pinned at an earlier login from here."""


_CHANGES: Final = {
    "older": "the server shows an older state of the vault than this device has seen",
    "forked": "the server shows another state of the vault than this device has seen at the same generation",
    "restored": "the vault was restored from a backup, and somebody inside accepted that on another device",
}


class VaultRolledBackError(RollbackError):
    """A vault takes back what this device has pinned of it. Nothing of the vault was shown or changed.

    `change`: `older`, `forked` (same generation, other content) or `restored` (an older state that another device has
    accepted). The numbers say what is served now and what was pinned, and when.
    """

    def __init__(
        self,
        vault_id: UUID,
        change: str,
        *,
        pinned_generation: int,
        served_generation: int,
        pinned_objects: int,
        served_objects: int,
        pinned_at: datetime,
    ) -> None:
        super().__init__(
            f"{_CHANGES[change]}: generation {served_generation} with {served_objects} objects is served, "
            f"generation {pinned_generation} with {pinned_objects} objects was pinned on {pinned_at:%Y-%m-%d %H:%M} UTC"
        )
        self.vault_id = vault_id
        self.change = change
        self.pinned_generation = pinned_generation
        self.served_generation = served_generation
        self.pinned_objects = pinned_objects
        self.served_objects = served_objects
        self.pinned_at = pinned_at


_VERDICTS: Final = {
    Verdict.OLDER: "the server shows an older state of the vault than the epoch code stands for",
    Verdict.FORKED: "the server shows another state of the vault than the epoch code of this generation stands for",
    Verdict.UNKNOWN: "the epoch code is not of this vault and its present key; compare it again with the other device",
}


class EpochError(RollbackError):
    """An epoch code does not stand for the state the server shows, nor for an earlier one. `verdict` says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(_VERDICTS[verdict])
        self.verdict = verdict
