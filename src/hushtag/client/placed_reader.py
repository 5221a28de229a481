"""Where somebody reads in an object: what the files of both clients have in common."""

import operator
import os
from uuid import UUID

from hushtag.client.fetching_steps import ContentReader

__all__ = ["PlacedReader"]


class PlacedReader:
    """An object's name, id and length, and the place of the next byte; nothing here fetches anything."""

    _reader: ContentReader
    _at: int = 0

    @property
    def name(self) -> str:
        """The name of the object."""
        return self._reader.name

    @property
    def object_id(self) -> UUID:
        """The id of the object."""
        return self._reader.object_id

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self._reader.size

    def readable(self) -> bool:
        """It can be read."""
        self._check_open()
        return True

    def seekable(self) -> bool:
        """It can be searched through."""
        self._check_open()
        return True

    def tell(self) -> int:
        """Return where the next byte is read."""
        self._check_open()
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place; nothing is fetched by that."""
        self._check_open()
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}.get(whence)
        if start is None:
            raise ValueError("whence is 0, 1 or 2")
        offset = operator.index(offset)
        if start + offset < 0:
            raise ValueError("there is nothing before the beginning")
        self._at = start + offset
        return self._at

    def _wanted(self, size: int | None) -> int:
        size = -1 if size is None else operator.index(size)
        return self.size - self._at if size < 0 else size

    def _check_open(self) -> None:
        raise NotImplementedError
