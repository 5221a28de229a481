"""Object stores by obstore: directories, S3-compatible ones, Google's and Azure's. Only `opening` imports it besides.

Objects have random names and no metadata: whoever runs the store learns sizes and times, and neither user nor vault.
What the library says of a failure may quote addresses, with their signatures: it is never shown or logged.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar
from uuid import UUID

from hushtag_server.streams.limits import PART_BYTES

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend

__all__ = ["MARK", "ObjectGoneError", "ObjectStore", "ObjectStoreError", "StoredObject", "in_thread"]

MARK: Final = "hushtag-installation"
"""Name of the object that says whose the store is."""
_CHUNK: Final = 5 * 1024 * 1024  # S3's least part of an upload; a directory needs none
_AT_ONCE: Final = 2  # of them, for one segment
_PREFIX: Final = "segments"
_PAGE: Final = 1000
_OUTSIDE: Final = ("InvalidRange", "416 ")  # what the library says of such a range, in a directory and over HTTP
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_THREADS: Final = ThreadPoolExecutor(16, "object-store")  # started as they are needed
Result = TypeVar("Result")


class ObjectStoreError(Exception):
    """The store did not do what it was asked; says the kind of failure alone."""


class ObjectGoneError(ObjectStoreError):
    """There is no such object, or less of it than was written."""


class _OutsideError(ObjectStoreError):
    """What was asked for lies beyond the object's end."""


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


def _is_staged(name: str) -> bool:
    place, _, number = name.rpartition("#")
    return number.isascii() and number.isdigit() and _segment_of(place) is not None


def _sync(path: Path) -> None:
    """Put a file on the disk, and the entries that name it and its directories, up to those of the store's own."""
    for place in (path, *path.parents[:3]):
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _failure(error: BaseException) -> ObjectStoreError:
    from obstore import exceptions

    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError | PermissionError):
        return ObjectStoreError("it refuses the credentials")
    if isinstance(error, exceptions.NotFoundError | FileNotFoundError):
        return ObjectStoreError("it has no such bucket, container or directory")
    if getattr(error, "errno", None) in _FULL or any(f"(os error {number})" in str(error) for number in _FULL):
        return ObjectStoreError("its disk is full")
    if any(sign in str(error) for sign in _OUTSIDE):
        return _OutsideError("it refuses the range")
    return ObjectStoreError(f"it is out of reach, or answers otherwise than a store does: {type(error).__name__}")


async def in_thread(work: Callable[[], Result]) -> Result:
    """Return what `work` returns, from one of the threads that are the stores' alone."""
    # The library's own coroutines call into Python from threads of theirs, even a moment after their result is there: a
    # process that ends in that moment is aborted (seen with Python 3.11, one time in ten). Commands end at once; what
    # they use waits in threads of ours. These are the stores' alone: one that hangs keeps nobody else waiting.
    return await asyncio.get_running_loop().run_in_executor(_THREADS, work)


@contextmanager
def _asking() -> Iterator[None]:
    """Turn what the library raises into errors of ours."""
    from obstore import exceptions

    try:
        yield
    except (exceptions.NotFoundError, FileNotFoundError):
        raise ObjectGoneError("no such object") from None
    except (exceptions.BaseError, OSError) as error:
        raise _failure(error) from None


class ObjectStore:
    """The segments of one store, each an object. `marked` once its mark was seen: without it, it is another one."""

    def __init__(self, backend: "Backend", directory: Path | None = None) -> None:
        self._backend = backend
        self.directory = directory
        self.marked = False

    def _get_mark(self) -> str | None:
        import obstore

        try:
            with _asking():
                return bytes(obstore.get(self._backend, MARK).bytes()).decode("ascii", "replace")
        except ObjectGoneError:
            return None

    async def mark(self) -> str | None:
        """Return what the store's mark says, or None if it has none.

        Raises:
            ObjectStoreError: the store failed.
        """
        return await in_thread(self._get_mark)

    def _put_mark(self, text: str) -> None:
        import obstore
        from obstore import exceptions

        def put(mode: Literal["create", "overwrite"]) -> None:
            obstore.put(self._backend, MARK, text.encode("ascii"), use_multipart=False, mode=mode)

        try:
            try:
                put("create")
            except exceptions.AlreadyExistsError:
                return
            except (exceptions.NotSupportedError, NotImplementedError):
                put("overwrite")
            if self.directory is not None:
                _sync(self.directory / MARK)
        except (exceptions.BaseError, OSError) as error:
            raise _failure(error) from None

    async def make_mark(self, text: str) -> None:
        """Write the mark, unless there is one: what is there afterwards says whose the store is.

        Raises:
            ObjectStoreError: the store failed, or has no such bucket.
        """
        await in_thread(partial(self._put_mark, text))

    async def _put(self, name: str, parts: AsyncIterator[bytes]) -> None:
        """Store what fits into one part of an upload with one request, and more as an upload in parts."""
        import obstore

        held: list[bytes] = []
        async for part in parts:
            held.append(part)
            if sum(map(len, held)) > _CHUNK:
                break
        else:
            await obstore.put_async(self._backend, name, b"".join(held), use_multipart=False)
            return

        async def all_parts() -> AsyncIterator[bytes]:
            while held:
                yield held.pop(0)
            async for part in parts:
                yield part

        await obstore.put_async(self._backend, name, all_parts(), chunk_size=_CHUNK, max_concurrency=_AT_ONCE)

    async def _is_there(self) -> None:
        # Stores answer alike that an object is gone and that the bucket is.
        if self.marked and await self.mark() is None:
            raise ObjectStoreError(f"it has no such bucket, container or directory, or no {MARK} any more")

    async def _may_write(self) -> None:
        # The library would make the directory anew, on another disk: that of the place where its own is not mounted.
        if self.directory is not None:
            await self._is_there()

    async def write(self, segment_id: UUID, parts: AsyncIterable[bytes]) -> None:
        """Store an object, whole and durable or not at all.

        Raises:
            ObjectStoreError: it is not stored; or what `parts` raised.
        """
        import obstore

        await self._may_write()
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
            if self.directory is None:
                await self._put(_name(segment_id), watched())
            else:
                await obstore.put_async(self._backend, _name(segment_id), watched(), chunk_size=PART_BYTES)
                await asyncio.to_thread(_sync, self.directory / _name(segment_id))
        except Exception as error:
            if raised:
                raise raised[0] from None
            raise _failure(error) from None

    async def _read_on(self, segment_id: UUID, start: int, end: int) -> AsyncIterator[bytes]:
        import obstore

        with _asking():
            found = await obstore.get_async(self._backend, _name(segment_id), options={"range": (start, end)})
            if found.meta["size"] < end:
                raise ObjectGoneError("less of the object than was written")
            async for piece in found.stream(min_chunk_size=PART_BYTES):
                yield bytes(piece)

    async def _is_whole(self, segment_id: UUID, end: int) -> None:
        import obstore

        with _asking():
            found = await obstore.head_async(self._backend, _name(segment_id))
        if found["size"] < end:
            raise ObjectGoneError("less of the object than was written")

    async def read(self, segment_id: UUID, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes `start` to `end` of an object, in pieces of about 1 MiB.

        An answer that breaks off is asked for again from there: a request may take so long, and its reader longer.

        Raises:
            ObjectGoneError: there is none, or it ends before `end`. ObjectStoreError: the store failed.
        """
        while start < end:
            before = start
            try:
                async for piece in self._read_on(segment_id, start, end):
                    start += len(piece)
                    yield piece
            except ObjectGoneError:
                await self._is_there()
                raise
            except ObjectStoreError as error:
                if start == before:
                    if isinstance(error, _OutsideError):
                        await self._is_whole(segment_id, end)
                    raise
            else:
                if start == before:
                    raise ObjectStoreError("it has less of an object than was written")

    def _delete(self, segment_id: UUID) -> None:
        import obstore

        with _asking():
            obstore.delete(self._backend, _name(segment_id))

    async def remove(self, segment_id: UUID) -> None:
        """Remove an object; one that is not there is removed already.

        Raises:
            ObjectStoreError: the store failed.
        """
        try:
            await in_thread(partial(self._delete, segment_id))
        except ObjectGoneError:
            await self._is_there()

    def _get(self, segment_id: UUID) -> bytes:
        import obstore

        with _asking():
            return bytes(obstore.get(self._backend, _name(segment_id)).bytes())

    async def read_whole(self, segment_id: UUID) -> bytes:
        """Return an object; for commands, which have time and no need to send while they read.

        Raises:
            ObjectGoneError: there is none. ObjectStoreError: the store failed.
        """
        try:
            return await in_thread(partial(self._get, segment_id))
        except ObjectGoneError:
            await self._is_there()
            raise

    def _put_whole(self, segment_id: UUID, content: bytes) -> None:
        import obstore
        from obstore import exceptions

        try:
            obstore.put(
                self._backend,
                _name(segment_id),
                content,
                use_multipart=len(content) > _CHUNK,
                chunk_size=_CHUNK,
                max_concurrency=_AT_ONCE,
            )
            if self.directory is not None:
                _sync(self.directory / _name(segment_id))
        except (exceptions.BaseError, OSError) as error:
            raise _failure(error) from None

    async def write_whole(self, segment_id: UUID, content: bytes) -> None:
        """Store an object, whole and durable or not at all; for commands.

        Raises:
            ObjectStoreError: it is not stored.
        """
        await self._may_write()
        await in_thread(partial(self._put_whole, segment_id, content))

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
            raise _failure(error) from None

    def list_staged(self, before: datetime) -> Iterator[Path]:
        """Yield what was being written into a directory, to be renamed at its end, and was not touched since `before`.

        The library writes NAME#NUMBER and lists no such name; it stays there if the server is killed meanwhile.

        Raises:
            ObjectStoreError: the directory cannot be read.
        """
        if self.directory is None:
            return
        try:
            for path in self.directory.glob(f"{_PREFIX}/*/*#*"):
                if _is_staged(path.relative_to(self.directory).as_posix()):
                    with suppress(FileNotFoundError):  # it has come to its end
                        if path.lstat().st_mtime < before.timestamp():
                            yield path
        except OSError as error:
            raise _failure(error) from None

    def remove_staged(self, before: datetime) -> int:
        """Remove what `list_staged` finds and return how many that was.

        Raises:
            ObjectStoreError: one cannot be removed.
        """
        count = 0
        for count, path in enumerate(self.list_staged(before), start=1):  # noqa: B007  (counted)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _failure(error) from None
        return count
