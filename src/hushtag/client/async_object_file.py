"""An object of the vault as a file of the client for an event loop."""

import os
from typing import Self
from uuid import UUID

from hushtag.client.drivers import AsyncDriver
from hushtag.client.fetching_steps import ContentReader

__all__ = ["AsyncObjectFile"]


class AsyncObjectFile:
    """`ObjectFile` for an event loop: what may wait is awaited. For one task at a time."""

    def __init__(self, driver: AsyncDriver, reader: ContentReader) -> None:
        self._driver = driver
        self._reader = reader
        self._at = 0
        self._closed = False

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

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def tell(self) -> int:
        """Return where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place; nothing is fetched by that."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError("there is nothing before the beginning")
        self._at = start + offset
        return self._at

    async def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end; by default all that are left."""
        if self._closed:
            raise ValueError("the file is closed")
        wanted = self.size - self._at if size is None or size < 0 else size
        parts = []
        while wanted > 0 and (part := await self._driver.run(self._reader.read_at(self._at, wanted))):
            parts.append(part)
            self._at += len(part)
            wanted -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Forget what was read."""
        self._closed = True
        self._reader.forget()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
