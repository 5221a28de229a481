"""An object of the vault as a file of the client for an event loop."""

from typing import TYPE_CHECKING, Self

from hushtag.client.drivers import AsyncDriver
from hushtag.client.fetching_steps import ContentReader
from hushtag.client.placed_reader import PlacedReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["AsyncObjectFile"]


class AsyncObjectFile(PlacedReader):
    """`ObjectFile` for an event loop: what may wait is awaited, and there are no lines. For one task at a time."""

    def __init__(self, driver: AsyncDriver, reader: ContentReader) -> None:
        self._driver = driver
        self._reader = reader
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    async def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end; by default all that are left."""
        self._check_open()
        wanted = self._wanted(size)
        parts, at = [], self._at
        while wanted > 0 and (part := await self._driver.run(self._reader.read_at(at, wanted))):
            parts.append(part)
            at += len(part)
            wanted -= len(part)
        self._at = at  # only now: what failed was not read
        return b"".join(parts)

    async def readall(self) -> bytes:
        """Return all that is left."""
        return await self.read(-1)

    async def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill a buffer; returns how many bytes, fewer than it holds only at the end."""
        room = memoryview(buffer).cast("B")
        got = await self.read(len(room))
        room[: len(got)] = got
        return len(got)

    def close(self) -> None:
        """Forget what was read."""
        self._closed = True
        self._reader.forget()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the file is closed")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
