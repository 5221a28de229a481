"""An object of the vault as a file of the blocking client."""

import io
from typing import TYPE_CHECKING

from hushtag.client.drivers import SyncDriver
from hushtag.client.fetching_steps import ContentReader
from hushtag.client.placed_reader import PlacedReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["ObjectFile"]


class ObjectFile(PlacedReader, io.RawIOBase):
    """The content of one revision of an object: a binary file to read and to search through, at any place.

    Of a large object its index, once, and the segments that are read are fetched, and the last of them is kept. Nothing
    of a segment is given out that the object's row does not vouch for, also not what somebody made who was revoked and
    knows the stream's key. Reading may raise what `Vault.get` does, and `VaultLockedError` once the vault is locked.
    """

    def __init__(self, driver: SyncDriver, reader: ContentReader) -> None:
        super().__init__()
        self._driver = driver
        self._reader = reader

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end; by default all that are left."""
        self._check_open()
        wanted = self._wanted(size)
        parts, at = [], self._at
        while wanted > 0 and (part := self._driver.run(self._reader.read_at(at, wanted))):
            parts.append(part)
            at += len(part)
            wanted -= len(part)
        self._at = at  # only now: what failed was not read
        return b"".join(parts)

    def readall(self) -> bytes:
        """Return all that is left."""
        return self.read(-1)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill a buffer; returns how many bytes, fewer than it holds only at the end."""
        room = memoryview(buffer).cast("B")
        got = self.read(len(room))
        room[: len(got)] = got
        return len(got)

    def peek(self, size: int = 0, /) -> bytes:
        """Return some of the bytes that come next, none at the end, without reading them; so lines are found."""
        self._check_open()
        return self._driver.run(self._reader.read_at(self._at, io.DEFAULT_BUFFER_SIZE))

    def close(self) -> None:
        """Forget what was read."""
        self._reader.forget()
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")
