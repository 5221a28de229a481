"""Where pinned states of vaults are kept: pages that tell nothing to whoever does not hold the vaults' keys.

The pages exist, full of random bytes, from the first login on, whether or not the account has a secret tag. Their
length never changes, and each write replaces a whole file.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

from hushtag.client.errors import ExposedFileError, PinsNotWrittenError, PinStoreError, StateFileError
from hushtag.client.private_file import is_unwritable, locked, replace_private
from hushtag.client.state import check_directory, read_private
from hushtag.pins import HEADS, OBJECTS, PageShape, fresh_page

__all__ = ["MemoryPinStore", "PinFile", "PinStore"]

_MAGIC: Final = b"hushtag-pins/1\n\0"
_NAMES: Final = {HEADS.mark: "pins", OBJECTS.mark: "pins-objects"}
_DIGEST: Final = 32
_MADE: Final = b"made\n"


class PinStore(Protocol):
    """Where pages of pins are kept. Every method may block; `AsyncClient` calls them in a worker thread."""

    def read(self, shape: PageShape) -> bytes:
        """Return a page of `shape.length` bytes; a fresh one (`hushtag.pins.fresh_page`) on a new device.

        Raises:
            PinStoreError: there was a page, and it is damaged or gone.
        """

    def change(self, shape: PageShape, change: Callable[[bytes], bytes]) -> None:
        """Replace a page by what `change` makes of it, while nobody else changes it; all of it or nothing.

        Raises:
            PinStoreError: as for `read`; nothing was changed.
            PinsNotWrittenError: the page would change, and cannot be written.
        """

    def renew(self) -> None:
        """Write the pages again as they are, or for the first time.

        Called at every login, and for a program best at every start: then neither that the pages exist nor when they
        were written tells of a vault. Pages that are damaged or gone stay as they are.

        Raises:
            PinsNotWrittenError: they cannot be written; they can be read as ever.
        """


class MemoryPinStore:
    """Pins that live as long as this object."""

    def __init__(self) -> None:
        self._pages: dict[bytes, bytes] = {}
        self._turn = threading.RLock()

    def read(self, shape: PageShape) -> bytes:
        """Return a page."""
        with self._turn:
            return self._pages.setdefault(shape.mark, fresh_page(shape))

    def change(self, shape: PageShape, change: Callable[[bytes], bytes]) -> None:
        """Replace a page by what `change` makes of it."""
        with self._turn:
            self._pages[shape.mark] = change(self.read(shape))

    def renew(self) -> None:
        """Nothing is written, so nothing is written again."""


class PinFile:
    """Pins in a directory (0700), one file a page (0600), changed by one process at a time.

    `pins.lock` is the lock, and remembers that the pages were made: a page that is missing then was lost, and is
    never begun anew unasked.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, shape: PageShape) -> bytes:
        """Return a page, made first if this device has none yet."""
        try:
            return self._load(shape)  # what a rename put there is whole: no lock is needed to read it
        except FileNotFoundError:
            pass
        with self._locked() as lock:
            self._make_missing(lock)
            return self._load(shape)

    def change(self, shape: PageShape, change: Callable[[bytes], bytes]) -> None:
        """Replace a page by what `change` makes of it."""
        try:
            with self._locked() as lock:
                self._make_missing(lock)
                before = self._load(shape)
                after = change(before)
                if after != before:
                    self._store(shape, _framed(shape, after))
        except PinsNotWrittenError:
            # What is pinned already need not be written: whoever sees nothing new can go on without a disk to write on.
            before = self.read(shape)
            if change(before) != before:
                raise

    def renew(self) -> None:
        """Write both files again as they are, or for the first time."""
        with self._locked() as lock:
            try:
                self._make_missing(lock)
            except PinsNotWrittenError:
                raise
            except PinStoreError:
                return  # who needs the pins is told so; a plain command must not fail where it needs none
            for shape in (HEADS, OBJECTS):
                try:
                    content = read_private(self._path(shape))
                except (StateFileError, FileNotFoundError):
                    continue
                self._store(shape, content)

    def reset(self) -> None:
        """Forget everything pinned on this device, and begin with fresh pages."""
        with self._locked() as lock:
            os.ftruncate(lock, 0)
            for shape in (HEADS, OBJECTS):
                self._path(shape).unlink(missing_ok=True)
            self._make_missing(lock)

    def _path(self, shape: PageShape) -> Path:
        return self.directory / _NAMES[shape.mark]

    def _load(self, shape: PageShape) -> bytes:
        path = self._path(shape)
        if self.directory.exists():
            check_directory(self.directory)
        try:
            content = read_private(path, len(_MAGIC) + shape.length + _DIGEST)
        except (FileNotFoundError, ExposedFileError):
            raise
        except StateFileError as error:
            raise PinStoreError(str(error)) from None
        page = content[len(_MAGIC) : -_DIGEST]
        if len(page) != shape.length or content != _framed(shape, page):
            raise PinStoreError(f"{path} is damaged: what this device has seen of its vaults cannot be read")
        return page

    def _make_missing(self, lock: int) -> None:
        """Make the pages of a new device.

        Raises:
            PinStoreError: the pages were made before, and one is gone.
        """
        missing = [shape for shape in (HEADS, OBJECTS) if not os.path.lexists(self._path(shape))]
        if os.fstat(lock).st_size:
            if missing:
                raise PinStoreError(
                    f"{self._path(missing[0])} is gone: what this device has seen of its vaults is lost"
                )
            return
        # A crash before the mark leaves pages that hold nothing yet, or a part of them; the next start makes the rest.
        for shape in missing:
            self._store(shape, _framed(shape, fresh_page(shape)))
        os.pwrite(lock, _MADE, 0)
        os.fsync(lock)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        with ExitStack() as held:
            try:
                self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                check_directory(self.directory)
                lock = held.enter_context(locked(self.directory / "pins.lock"))
                self._sweep()
            except OSError as error:
                if not is_unwritable(error):
                    raise
                raise _unwritten(self.directory, error) from None
            yield lock

    def _sweep(self) -> None:
        # Left behind by a process that was killed while it wrote; under the lock, nobody is writing now.
        for left in self.directory.glob(".pins-*.tmp"):
            left.unlink(missing_ok=True)

    def _store(self, shape: PageShape, content: bytes) -> None:
        try:
            replace_private(self._path(shape), content, prefix=".pins-")
        except OSError as error:
            raise _unwritten(self._path(shape), error) from None


def _unwritten(path: Path, error: OSError) -> PinsNotWrittenError:
    return PinsNotWrittenError(f"{path} cannot be written ({error.strerror}); nothing was pinned")


def _framed(shape: PageShape, page: bytes) -> bytes:
    # The digest is no secret and proves nothing; it tells a torn or mangled file from a whole one.
    start = _MAGIC + page
    return start + hashlib.blake2s(start + shape.mark).digest()
