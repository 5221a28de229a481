"""A ZIP written as a stream, in memory that does not grow with it: the standard library's `zipfile` does the format.

Sizes and checksums follow each member in a data descriptor, so nothing is written twice, and ZIP64 comes in by itself
above 65,535 members or 4 GiB. `zipfile` remembers every member until the end (70 MB for 100,000); `_Directory` keeps
that list in a temporary file for it.
"""

import hashlib
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

__all__ = ["ZipWriter"]

_IN_MEMORY: Final = 256 * 1024
_READ: Final = 64 * 1024
_FIELDS: Final = (
    "date_time",
    "compress_type",
    "create_system",
    "create_version",
    "extract_version",
    "flag_bits",
    "external_attr",
    "header_offset",
    "CRC",
    "compress_size",
    "file_size",
)
_encode = msgspec.msgpack.encode
_decode: Any = msgspec.msgpack.Decoder(list[Any]).decode


class _Pipe:
    """The file `zipfile` writes to: what was written waits here until it is taken."""

    def __init__(self) -> None:
        self._written = bytearray()
        self._file: Any = None

    def write(self, octets: bytes) -> int:
        if self._file is not None:
            return cast("int", self._file.write(octets))
        self._written += octets
        return len(octets)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken

    def divert(self, file: Any) -> None:
        self._file = file


class _Directory:
    """The list of members as `zipfile` uses it (append, length, iteration in order), in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (closed with the writer)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, member: zipfile.ZipInfo) -> None:
        entry = _encode([member.filename, *(getattr(member, name) for name in _FIELDS)])
        self._file.write(len(entry).to_bytes(4, "big") + entry)
        self._length += 1

    def __iter__(self) -> Iterator[zipfile.ZipInfo]:
        self._file.seek(0)
        while size := self._file.read(4):
            name, date_time, *values = _decode(self._file.read(int.from_bytes(size, "big")))
            member = zipfile.ZipInfo(name, tuple(date_time))
            for field, value in zip(_FIELDS[1:], values, strict=True):
                setattr(member, field, value)
            yield member

    def close(self) -> None:
        self._file.close()


class _NoNames(dict[str, Any]):
    """Where `zipfile` notes names to warn of one that comes twice; ours are made to differ."""

    def __setitem__(self, name: str, member: Any) -> None:
        """Note nothing."""


def _dos_time(moment: datetime) -> tuple[int, int, int, int, int, int]:
    moment = moment.astimezone(UTC)
    year = min(max(moment.year, 1980), 2107)  # what the format can say
    return (year, moment.month, moment.day, moment.hour, moment.minute, moment.second)


class ZipWriter:
    """Adds members one after the other; `take` returns the bytes that are due since it was last called.

    Every member is noted in SHA256SUMS, which `add_sums` adds in the form that `sha256sum -c` reads.
    """

    def __init__(self) -> None:
        self._pipe = _Pipe()
        self._zip = zipfile.ZipFile(cast("Any", self._pipe), "w", zipfile.ZIP_DEFLATED)
        self._directory = _Directory()
        self._zip.filelist = cast("Any", self._directory)
        self._zip.NameToInfo = _NoNames()
        self._sums = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (closed below)
        self.members = 0
        self._file: Any = None
        self._digest = hashlib.sha256()
        self._name = ""

    def begin(self, name: str, moment: datetime, *, compress: bool = True) -> None:
        """Begin a member (less than 2 GiB; no line break or backslash in its name), which `write` fills."""
        member = zipfile.ZipInfo(name, _dos_time(moment))
        member.compress_type = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
        member.external_attr = 0o100600 << 16  # a plain file, for its owner alone
        self._file, self._digest, self._name = self._zip.open(member, "w"), hashlib.sha256(), name

    def write(self, chunk: bytes) -> None:
        """Write into the member that was begun."""
        self._digest.update(chunk)
        self._file.write(chunk)

    def finish(self) -> str:
        """End the member and return its SHA-256 in hex."""
        self._file.close()
        self._sums.write(f"{self._digest.hexdigest()}  {self._name}\n".encode())
        self.members += 1
        return self._digest.hexdigest()

    def add(self, name: str, chunks: Iterable[bytes], moment: datetime, *, compress: bool = True) -> str:
        """Add a whole member and return its SHA-256 in hex."""
        self.begin(name, moment, compress=compress)
        for chunk in chunks:
            self.write(chunk)
        return self.finish()

    def add_sums(self, moment: datetime) -> str:
        """Add SHA256SUMS with the members so far and return its own SHA-256 in hex."""
        self._sums.seek(0)
        return self.add("SHA256SUMS", _read_all(self._sums, self._sums_size()), moment)

    def _sums_size(self) -> int:
        self._sums.seek(0, 2)
        size = self._sums.tell()
        self._sums.seek(0)
        return size

    def take(self) -> bytes:
        """Return what was written since the last call."""
        return self._pipe.take()

    def end(self) -> Iterator[bytes]:
        """Write the directory, and yield it."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as rest:
            self._pipe.divert(rest)
            self._zip.close()
            size = rest.tell()
            rest.seek(0)
            yield from _read_all(rest, size)

    def close(self) -> None:
        """Let go of the temporary files, of an archive that is broken off too."""
        if self._file is not None:
            self._file.close()  # a member that was broken off: or it would write its end when it is collected
        self._zip.fp = None  # or it would still write its directory when it is collected
        self._directory.close()
        self._sums.close()


def _read_all(file: Any, size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := file.read(min(_READ, size))):
        size -= len(chunk)
        yield chunk
