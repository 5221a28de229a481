"""What an operation is: a function whose annotations say how `given` is read, and a result written as JSON.

`Octets` are lower-case hex, UUIDs text, numbers numbers. A member that the function does not name, or one of another
type, is a broken vector and never an outcome.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_type_hints
from uuid import UUID

import msgspec

from hushtag.errors import AuthenticationError, EpochCodeError, LimitError, MalformedError, PhraseError, RollbackError

Implementation = Callable[..., Mapping[str, object]]

_HEX: Final = re.compile(r"([0-9a-f]{2})*")


class Octets(bytes):
    """A binary member of `given`."""


def _octets(kind: type, value: object) -> object:
    if kind is not Octets or not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ValueError("expected lower-case hexadecimal")
    return Octets.fromhex(value)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(member) for member in value]
    return value


class Operation:
    """One operation of the schema, implemented by the library."""

    def __init__(self, implementation: Implementation) -> None:
        self._implementation = implementation
        hints = get_type_hints(implementation)
        fields = [
            (name, hints[name]) if parameter.default is parameter.empty else (name, hints[name], parameter.default)
            for name, parameter in inspect.signature(implementation).parameters.items()
        ]
        self._given = msgspec.defstruct("Given", fields, forbid_unknown_fields=True, kw_only=True)

    def arguments(self, given: object) -> dict[str, Any]:
        """Return `given` as the function takes it.

        Raises:
            ValueError: a member is missing, unknown, or of another type.
        """
        read = msgspec.convert(given, self._given, dec_hook=_octets)
        return {name: getattr(read, name) for name in read.__struct_fields__}

    def outcome(self, arguments: Mapping[str, Any]) -> tuple[str, object]:
        """Return one of the three outcomes, and the result of a success in the form of `expected`."""
        try:
            return "success", _plain(self._implementation(**arguments))
        except (MalformedError, PhraseError, LimitError, EpochCodeError):
            return "malformed", None
        except (AuthenticationError, RollbackError):
            return "authentication_failed", None
