"""Every error of the library: one root and four questions.

* `MisuseError`: the caller did something out of order or outside the limits.
* `MalformedError`: bytes from outside do not have the shape they must have.
* `AuthenticationError`: well-formed, and not authentic. It never says why: a reason would be an oracle.
* `RollbackError`: authentic, and older than what this client has already seen.

Messages are lower case and may hold lengths, versions and names of fields; never a secret.
"""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "AuthenticationError",
    "EpochCodeError",
    "HushtagError",
    "LimitError",
    "ListedWordError",
    "MalformedError",
    "MisuseError",
    "PhraseError",
    "RollbackError",
    "StateError",
    "UnknownSuiteError",
    "WeakPhraseError",
]


class HushtagError(Exception):
    """The root of every error this library raises, beside `OSError` of the caller's own files.

    It can be pickled and copied: a pool of processes hands errors on so, and one that it cannot make anew stops it.
    """

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        # Several are made of something else than their message, and all of that is in their attributes.
        return HushtagError.__new__, (type(self), *self.args), self.__dict__


class MisuseError(HushtagError):
    """The caller asked for something the contract forbids."""


class StateError(MisuseError):
    """A ceremony step was called twice or out of order; the ceremony is dead."""


class LimitError(MisuseError):
    """A value is outside a named limit; nothing was changed."""


class PhraseError(MisuseError):
    """A transcript has no canonical form (empty, too long, or a character that cannot be read)."""


class WeakPhraseError(PhraseError):
    """The phrase is readable but below the strength floor; the message says what to add."""


class EpochCodeError(MisuseError):
    """What was given is no epoch code: no text, not five words, or a word that no code has."""


class ListedWordError(PhraseError):
    """Words that are not in the list, or do not fit together; nobody was asked.

    `near` maps the place of each such word (the first is 1) to words of the list that may be meant, nearest first. They
    are as secret as the text itself, stand in no message, and go into no pickle or copy: there it is empty.
    """

    def __init__(self, near: Mapping[int, tuple[str, ...]], why: str = "not in the word list") -> None:
        places = ", ".join(str(place) for place in sorted(near))
        super().__init__(f"{why}: word {places}" if places else why)
        self.near = dict(near)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        make, arguments, attributes = super().__reduce__()
        return make, arguments, attributes | {"near": {}}


class MalformedError(HushtagError):
    """Bytes or fields from outside do not have the shape the suite fixes."""


class UnknownSuiteError(MalformedError):
    """The other side named a suite this version does not implement. Refused before the phrase is touched."""


class AuthenticationError(HushtagError):
    """A proof, tag, commitment or key did not verify. The cause is deliberately not told."""

    def __init__(self, message: str = "authentication failed") -> None:
        super().__init__(message)


class RollbackError(HushtagError):
    """An authentic state that is older than, or inconsistent with, one this client has already seen."""
