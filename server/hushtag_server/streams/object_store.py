"""Object stores by obstore: directories, S3-compatible ones, Google's and Azure's. The one importer of that library.

Objects have random names and no metadata: whoever runs the store learns sizes and times, and neither user nor vault.
Credentials come from the environment, as each provider's own tools read them (AWS_…, GOOGLE_…, AZURE_…).
"""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit
from uuid import UUID

from hushtag_server.errors import StartError
from hushtag_server.streams.limits import PART_BYTES

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend

__all__ = ["ObjectGoneError", "ObjectStore", "ObjectStoreError", "StoredObject", "open_store"]

_CHUNK: Final = 5 * 1024 * 1024  # S3's least part of an upload; a directory needs none
_AT_ONCE: Final = 2  # of them, for one segment
_PREFIX: Final = "segments"
_PAGE: Final = 1000


class ObjectStoreError(Exception):
    """The store did not do what it was asked; says the kind of failure alone."""


class ObjectGoneError(ObjectStoreError):
    """There is no such object."""


class StoredObject(NamedTuple):
    """An object of the store; `segment_id` is None for one that is not the server's."""

    name: str
    segment_id: UUID | None
    size: int
    modified: datetime


def _name(segment_id: UUID) -> str:
    # Spread over directories, for those who keep a directory's entries in a list.
    return f"{_PREFIX}/{segment_id.hex[:2]}/{segment_id}"


def _segment_of(name: str) -> UUID | None:
    last = name.rpartition("/")[2]
    try:
        found = UUID(last)
    except ValueError:
        return None
    return found if name == _name(found) else None


def _sync(path: Path) -> None:
    """Put a file on the disk, and the entries that name it and its directories, up to those of the store's own."""
    for place in (path, *path.parents[:3]):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class ObjectStore:
    """The segments of one store, each an object."""

    def __init__(self, backend: "Backend", directory: Path | None = None) -> None:
        self._backend = backend
        self.directory = directory

    async def write(self, segment_id: UUID, parts: AsyncIterable[bytes]) -> None:
        """Store an object, whole and durable or not at all.

        Raises:
            ObjectStoreError: it is not stored; or what `parts` raised.
        """
        import obstore

        raised: list[BaseException] = []

        async def watched() -> AsyncIterator[bytes]:
            # The library would wrap what is raised here.
            try:
                async for part in parts:
                    yield part
            except BaseException as error:
                raised.append(error)
                raise

        try:
            await obstore.put_async(
                self._backend,
                _name(segment_id),
                watched(),
                chunk_size=_CHUNK if self.directory is None else PART_BYTES,
                max_concurrency=_AT_ONCE,
            )
            if self.directory is not None:
                await asyncio.to_thread(_sync, self.directory / _name(segment_id))
        except Exception as error:
            if raised:
                raise raised[0] from None
            raise ObjectStoreError(type(error).__name__) from error

    async def read(self, segment_id: UUID, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes `start` to `end` of an object, in pieces of about 1 MiB.

        Raises:
            ObjectGoneError: there is none. ObjectStoreError: the store failed.
        """
        import obstore

        try:
            found = await obstore.get_async(self._backend, _name(segment_id), options={"range": (start, end)})
            async for piece in found.stream(min_chunk_size=PART_BYTES):
                yield bytes(piece)
        except (obstore.exceptions.NotFoundError, FileNotFoundError):
            raise ObjectGoneError("no such object") from None
        except (obstore.exceptions.BaseError, OSError) as error:
            raise ObjectStoreError(type(error).__name__) from error

    async def remove(self, segment_id: UUID) -> None:
        """Remove an object; one that is not there is removed already.

        Raises:
            ObjectStoreError: the store failed.
        """
        import obstore

        try:
            await obstore.delete_async(self._backend, _name(segment_id))
        except (obstore.exceptions.NotFoundError, FileNotFoundError):
            return
        except (obstore.exceptions.BaseError, OSError) as error:
            raise ObjectStoreError(type(error).__name__) from error

    def list(self) -> Iterator[StoredObject]:
        """Yield every object under the server's prefix.

        Raises:
            ObjectStoreError: the store failed.
        """
        import obstore

        try:
            for page in obstore.list(self._backend, prefix=_PREFIX, chunk_size=_PAGE):
                for entry in page:
                    name = entry["path"]
                    yield StoredObject(name, _segment_of(name), entry["size"], entry["last_modified"])
        except (obstore.exceptions.BaseError, OSError) as error:
            raise ObjectStoreError(type(error).__name__) from error


def open_store(url: str) -> ObjectStore:
    """Return the store of an address: `file:///directory`, `s3://bucket/prefix`, `gs://…`, `az://…`.

    Raises:
        StartError: obstore is not installed, or it cannot make a store of the address.
    """
    try:
        from obstore.store import LocalStore, from_url
    except ImportError:
        raise StartError(
            "segments in an object store need the package obstore; install it with `pip install 'hushtag[objectstore]'`"
        ) from None
    try:
        if url.startswith("file://"):
            directory = Path(unquote(urlsplit(url).path))
            return ObjectStore(LocalStore(prefix=directory, mkdir=True), directory)
        return ObjectStore(from_url(url))
    except Exception as error:
        raise StartError(
            f"HUSHTAG_SEGMENT_STORE: no store at {url.partition('?')[0]} ({type(error).__name__}); see that the "
            "address, its directory or bucket, and the provider's own variables for credentials are right"
        ) from None
