"""What this device remembers of one upload: its page, claimed for as long as the upload lasts."""

import os
import time
from typing import NamedTuple, Self
from uuid import UUID

from hushtag.client.upload_pages import UploadPage, UploadPages
from hushtag.streams import new_stream
from hushtag.types import DataKey
from hushtag.uploads import HEADER_BYTES, MARK_BYTES, MAX_MARKS, PAGE_BYTES, Upload, mark_place

__all__ = ["UploadMemory", "Wanted"]


class Wanted(NamedTuple):
    """What is to be put: of which file, which looks how, as which object, in which vault."""

    data_key: DataKey
    vault_id: UUID
    key_version: int
    place: bytes
    state: bytes
    object_id: UUID


class UploadMemory:
    """The page of one upload. Call `close` whatever comes of it; after `done` nothing is remembered."""

    def __init__(self, page: UploadPage, upload: Upload, wanted: Wanted) -> None:
        self._page = page
        self._wanted = wanted
        self.upload = upload
        self.resumed = False
        self.replaced: UUID | None = None  # a stream of an earlier state of the file, that nothing comes of

    @classmethod
    def claim(cls, pages: UploadPages, wanted: Wanted) -> Self | None:
        """Take up what is remembered of this upload, or begin to remember; `None` if every page is in use."""
        held: list[UploadPage] = []
        taken = None
        try:
            taken, found = _choose(pages, wanted, held)
            if taken is None:
                return None
            memory = cls(taken, _fresh(wanted), wanted)
            if found is not None and found[:1] + found[5:7] == (wanted.key_version, wanted.place, wanted.state):
                memory.upload, memory.resumed = found, True
            else:
                memory.begin()
                memory.replaced = None if found is None else found.stream_id
        except BaseException:
            taken = None
            raise
        finally:
            for page in held:
                if page is not taken:
                    page.close()
        return memory

    def begin(self) -> None:
        """Remember a new stream from now on, and nothing of an earlier one."""
        self.upload = _fresh(self._wanted)
        self.resumed = False
        self._page.write(0, os.urandom(PAGE_BYTES))
        self._page.write(0, self.upload.seal(self._wanted.data_key, self._wanted.vault_id))

    def note(self, seq: int, root: bytes) -> bool | None:
        """Note that a segment is going to be sent, `root` summing up those to it; tells whether that was noted before.

        Returns `None`, and notes nothing, if it was noted of another content.
        """
        if seq >= MAX_MARKS:
            return False
        mark = self.upload.mark(seq, root)
        found = self._page.read(mark_place(seq), MARK_BYTES)
        if found == mark.encoded:
            return True
        if mark.was_set(found):
            return None
        self._page.write(mark_place(seq), mark.encoded)
        return False

    def done(self) -> None:
        """Forget the upload."""
        self._page.write(0, os.urandom(PAGE_BYTES))

    def close(self) -> None:
        """Let others have the page; what it says stays."""
        self._page.close()


def _choose(pages: UploadPages, wanted: Wanted, held: list[UploadPage]) -> tuple[UploadPage | None, Upload | None]:
    """Return the page of this upload, else one that is not in use, else that of the oldest; with what it says.

    Whatever page was looked at is in `held`.
    """
    free, own = [], []
    for page in pages.free():
        held.append(page)
        found = Upload.open(wanted.data_key, wanted.vault_id, page.read(0, HEADER_BYTES))
        if found is None:
            free.append(page)
        elif found.place == wanted.place:
            return page, found
        else:
            own.append((page, found))
    if free:
        return free[0], None
    return min(own, key=lambda each: each[1].begun_at) if own else (None, None)


def _fresh(wanted: Wanted) -> Upload:
    stream_id, key = new_stream()
    return Upload(
        wanted.key_version,
        int(time.time()),
        stream_id,
        key,
        os.urandom(32),
        wanted.place,
        wanted.state,
        wanted.object_id,
    )
