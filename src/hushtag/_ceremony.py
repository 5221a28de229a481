"""What every ceremony state shares: it is used once, and then it is dead."""

from hushtag.errors import StateError
from hushtag.types import Secret, forget_all

__all__ = ["CeremonyState"]


class CeremonyState:
    """A state of a ceremony; each of its steps spends it, whether the step succeeds or fails."""

    _spent = False

    def _spend(self) -> None:
        """Mark the state used.

        Raises:
            StateError: it was used before.
        """
        if self._spent:
            raise StateError(f"{type(self).__name__} was already used; start again")
        self._spent = True

    def _secrets(self) -> list[Secret]:
        """Return the secrets this state alone holds."""
        return []

    def abandon(self) -> None:
        """End the ceremony here and forget its secrets; harmless when called twice."""
        self._spent = True
        forget_all(self._secrets())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<redacted>)"
