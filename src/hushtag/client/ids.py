"""Ids as callers give them. They become parts of paths, so nothing but a UUID may be one: `..` would lead elsewhere."""

from typing import Protocol
from uuid import UUID

from hushtag.errors import MisuseError

__all__ = ["Identified", "id_of", "uuid_of"]


class Identified(Protocol):
    """Something that was read."""

    @property
    def id(self) -> UUID:
        """Its id."""


def uuid_of(given: object) -> UUID:
    """Return an id; also of its text.

    Raises:
        MisuseError: it is none.
    """
    if isinstance(given, UUID):
        return given
    try:
        return UUID(str(given))
    except ValueError:
        raise MisuseError("an id is a UUID") from None


def id_of(thing: Identified | UUID) -> UUID:
    """Return the id of something that was read, or the id itself.

    Raises:
        MisuseError: it has none.
    """
    return uuid_of(getattr(thing, "id", thing))
