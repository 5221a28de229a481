"""The archive of an account on this machine: written beside its place, verified, then moved there in one step."""

import hashlib
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, NamedTuple

import msgspec

from hushtag.client.callbacks import guarded
from hushtag.client.given_file import SourceChangedError, read_some, writable
from hushtag.client.new_file import NewFile, write_all
from hushtag.errors import LimitError, MalformedError, MisuseError
from hushtag.transfer_messages import ARCHIVE_FORMAT, MEMBERS_HEADER, Manifest

__all__ = ["ArchiveSource", "ArchiveTarget", "Exported", "Place", "Progress"]

Place = str | os.PathLike[str] | IO[bytes]
"""A path, or a binary file that is open."""
Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is: members of an export (about), bytes of an import."""

_PIECE: Final = 256 * 1024
_DESCRIPTOR: Final = b"PK\x07\x08"  # follows each member of an export
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_NOT_AN_ARCHIVE: Final = (  # what zipfile and what it stands on raise for bytes that are none
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    KeyError,
    ValueError,
    OverflowError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)


class Exported(NamedTuple):
    """What an export brought: its bytes, and its manifest, if it went to a path and so could be verified."""

    size: int
    manifest: Manifest | None


def _digest(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with archive.open(name) as member:
        while piece := member.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _verify(file: IO[bytes]) -> Manifest:
    """Check every member against SHA256SUMS and return the manifest.

    Raises:
        MalformedError: the archive is not complete and whole.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = msgspec.json.decode(archive.read("manifest.json"), type=Manifest)
            sums = archive.read("SHA256SUMS")
            listed = dict(line.split("  ", 1)[::-1] for line in sums.decode().splitlines())
            names = set(archive.namelist()) - {"manifest.json", "SHA256SUMS"}
            whole = hashlib.sha256(sums).hexdigest() == manifest.sums_sha256 and names == set(listed)
            if not whole or manifest.format != ARCHIVE_FORMAT:
                raise MalformedError("the archive's manifest does not fit its content")
            for name, digest in listed.items():
                if _digest(archive, name) != digest:
                    raise MalformedError("a member of the archive does not have its checksum")
            return manifest
    except _NOT_AN_ARCHIVE as error:
        raise MalformedError(f"the archive is not complete ({type(error).__name__}); export again") from None


class ArchiveTarget:
    """Where an export goes. As a context it leaves either the whole archive at the path, or nothing."""

    def __init__(self, place: Place, on_progress: Progress | None, *, force: bool) -> None:
        self._new = NewFile(place, force=force) if isinstance(place, str | os.PathLike) else None
        self._file: IO[bytes] | None = None if isinstance(place, str | os.PathLike) else writable(place)
        self._on_progress = guarded(on_progress)
        self._tail = b""
        self._members = self._total = 0
        self.size = 0

    def open(self) -> None:
        """Make the file.

        Raises:
            MisuseError: something is there already, or a directory, which nothing replaces.
            OSError: it cannot be made.
        """
        if self._new is not None:
            self._file = self._new.open()

    def started(self, headers: Mapping[str, str]) -> None:
        """Note about how many members will come."""
        told = headers.get(MEMBERS_HEADER.lower(), "")
        self._total = int(told) if told.isascii() and told.isdigit() and len(told) < 16 else 0

    def take(self, piece: bytes) -> None:
        """Write a piece, and count the members that end in it."""
        if self._file is None:
            raise MisuseError("the target is closed")
        if self._new is not None:
            self._new.write(piece)
        else:
            write_all(self._file, piece)
        self.size += len(piece)
        seen = self._tail + piece
        # What was kept has no whole mark in it, so none is counted twice.
        self._members += seen.count(_DESCRIPTOR)
        self._tail = seen[-_END_BYTES:] if len(seen) >= _END_BYTES else seen
        self._members -= self._tail.count(_DESCRIPTOR)
        if self._on_progress is not None:
            self._on_progress(min(self._members, self._total), self._total)

    def finish(self) -> Exported:
        """Verify what came and move it to its place.

        Raises:
            MalformedError: it is not the whole archive; nothing is left behind.
            MisuseError: meanwhile something is at the place.
        """
        if not self._tail.startswith(_END):
            raise MalformedError("the export broke off; export again")
        if self._on_progress is not None and self._total:
            self._on_progress(self._total, self._total)
        if self._new is None or self._file is None:
            return Exported(self.size, None)
        manifest = _verify(self._file)
        self._new.finish()
        return Exported(self.size, manifest)

    def close(self) -> None:
        """Leave nothing unfinished behind."""
        if self._new is not None:
            self._new.close()


class ArchiveSource:
    """Where an import comes from; a stream that cannot tell its length is copied to a temporary file first."""

    def __init__(self, place: Place, on_progress: Progress | None) -> None:
        self._place = place
        self._on_progress = guarded(on_progress)
        self._file: IO[bytes] | None = None
        self._own = False
        self._sent = 0
        self.length = 0

    def open(self) -> None:
        """Open it and measure it.

        Raises:
            LimitError: it is empty.
            MisuseError: it is neither a path nor an open binary file.
            OSError: it cannot be read.
        """
        place = self._place
        if isinstance(place, str | os.PathLike):
            self._file, self._own = Path(place).open("rb"), True  # noqa: SIM115  (closed by `close`)
        elif not hasattr(place, "read"):
            raise MisuseError("the archive is a path or an open binary file")
        elif hasattr(place, "seekable") and place.seekable():
            self._file = place
        else:
            self._file, self._own = tempfile.TemporaryFile(), True  # noqa: SIM115  (closed by `close`)
            while piece := read_some(place, _PIECE):
                self._file.write(piece)
            self._file.seek(0)
        read_some(self._file, 0)  # a text is refused before anything is asked for
        start = self._file.tell()
        self.length = self._file.seek(0, os.SEEK_END) - start
        self._file.seek(start)
        if not self.length:
            raise LimitError("the archive is empty")

    def read(self) -> bytes:
        """Return the next piece, or nothing after the last.

        Raises:
            SourceChangedError: it is shorter than it was; nothing was written.
        """
        if self._file is None:
            raise MisuseError("the source is closed")
        piece = bytes(read_some(self._file, min(_PIECE, self.length - self._sent)))
        if not piece and self._sent < self.length:
            raise SourceChangedError("the archive was changed while it was read; nothing was written")
        self._sent += len(piece)
        if self._on_progress is not None and piece:
            self._on_progress(self._sent, self.length)
        return piece

    def close(self) -> None:
        """Close what was opened here."""
        if self._own and self._file is not None:
            self._file.close()
