"""The words in which the database's functions say how a step ended: those of refusals in one table, with their errors.

A function answers one word. Only a word that names the deed says that something was written; any other one refuses.
"""

from typing import Final

from hushtag_server.errors import (
    AlreadyExistsError,
    CeremonyFailedError,
    GenerationConflictError,
    LimitReachedError,
    NotFoundError,
    PhrasesRemainError,
    RefusedError,
    ResealUnfinishedError,
    RevisionConflictError,
    SegmentExistsError,
    StreamCommittedError,
    StreamIncompleteError,
    UnauthenticatedError,
    UnavailableError,
    VaultFullError,
)

__all__ = ["UnknownOutcomeError", "check_outcome"]

_REFUSALS: Final[dict[str, type[RefusedError]]] = {
    "already_exists": AlreadyExistsError,
    "ceremony_failed": CeremonyFailedError,
    "generation_conflict": GenerationConflictError,
    "limit_reached": LimitReachedError,
    "lost": UnavailableError,
    "not_found": NotFoundError,
    "phrases_remain": PhrasesRemainError,
    "reseal_unfinished": ResealUnfinishedError,
    "revision_conflict": RevisionConflictError,
    "segment_exists": SegmentExistsError,
    "stream_committed": StreamCommittedError,
    "stream_incomplete": StreamIncompleteError,
    "unauthenticated": UnauthenticatedError,
    "vault_full": VaultFullError,
}


class UnknownOutcomeError(Exception):
    """A function of the database answered a word that this server does not know; nobody can tell what became of it."""


def check_outcome(outcome: str | None, *deeds: str) -> None:
    """Let the words of the deed pass, and nothing else.

    Raises:
        RefusedError: the one the word stands for.
        UnknownOutcomeError: it stands for none, or there is no word: an internal error, which the log names.
    """
    if outcome in deeds:
        return
    refusal = _REFUSALS.get(outcome or "")
    if refusal is None:
        raise UnknownOutcomeError("the database answered no outcome that this server knows")
    raise refusal(outcome or "")
