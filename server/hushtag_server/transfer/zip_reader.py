"""A ZIP read strictly, in memory that does not grow with the number of its members.

`zipfile` would load the whole directory (70 MB for an account with 100,000 entries) and takes much that no archive of
ours holds. This reads the directory once, keeps the members that an import needs, and looks at nothing else: names and
sizes are checked before anything is inflated, and inflating stops at the size that was announced.
"""

import re
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import IO, Final, NamedTuple

from hushtag.messages import FieldProblem
from hushtag.transfer_messages import (
    MAX_ARCHIVE_BYTES,
    MAX_ARCHIVE_MEMBERS,
    MAX_ARCHIVE_NAME,
    MAX_ARCHIVE_PART_BYTES,
    MAX_ARCHIVE_PARTS,
    MAX_ARCHIVE_RATIO,
    MAX_ARCHIVE_SUMS_BYTES,
)
from hushtag_server.errors import MalformedRequestError

__all__ = ["Member", "is_part", "read_directory", "read_member", "refuse_archive"]

_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR64: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT: Final = 0xFFFF
_CHUNK: Final = 64 * 1024
_STORED: Final = 0
_DEFLATED: Final = 8
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_IN_UTF8: Final = 0x0800
_FREE_INFLATION: Final = 64 * 1024 * 1024
_PARTS: Final = re.compile(
    r"manifest\.json|SHA256SUMS|account\.json|tags\.ndjson|(?:journals|reminders|audit)/[0-9]{5,9}\.ndjson"
)
_UNREAD: Final = ("markdown/", "vault/")
_FOLDERS: Final = ("journals/", "reminders/", "audit/")  # other programs list folders as members


class Member(NamedTuple):
    """A member an import reads: where its local header is, and what the directory says of its bytes."""

    name: str
    offset: int
    method: int
    crc: int
    packed: int
    size: int


class _Directory(NamedTuple):
    offset: int
    size: int
    members: int


def is_part(name: str) -> bool:
    """Tell whether an import reads the member of this name."""
    return _PARTS.fullmatch(name) is not None


def refuse_archive(rule: str, field: str = "$") -> MalformedRequestError:
    """Return the error of an archive that breaks a rule."""
    return MalformedRequestError([FieldProblem(field=field, rule=rule)])


def _not_a_zip() -> MalformedRequestError:
    return refuse_archive("must be one complete ZIP archive and nothing else")


def _unpack(file: IO[bytes], place: int, form: struct.Struct, signature: bytes) -> tuple[int, ...]:
    if place < 0:
        raise _not_a_zip()
    file.seek(place)
    octets = file.read(form.size)
    if len(octets) != form.size or not octets.startswith(signature):
        raise _not_a_zip()
    return form.unpack(octets)[1:]


def _find_directory(file: IO[bytes], length: int) -> _Directory:
    start = max(0, length - _END.size - _LONGEST_COMMENT)
    file.seek(start)
    tail = file.read()
    found = tail.rfind(b"PK\x05\x06")
    if found < 0 or len(tail) - found < _END.size:
        raise _not_a_zip()
    place = start + found
    disk, first, here, count, size, offset, comment = _unpack(file, place, _END, b"PK\x05\x06")
    if place + _END.size + comment != length or disk or first:
        raise _not_a_zip()
    if 0xFFFF in {here, count} or 0xFFFFFFFF in {size, offset}:
        _, place, _ = _unpack(file, place - _LOCATOR64.size, _LOCATOR64, b"PK\x06\x07")
        if place >= length:
            raise _not_a_zip()
        *_, disk, first, here, count, size, offset = _unpack(file, place, _END64, b"PK\x06\x06")
    if disk or first or here != count or offset + size != place:
        raise _not_a_zip()
    if count > MAX_ARCHIVE_MEMBERS:
        raise refuse_archive(f"must have at most {MAX_ARCHIVE_MEMBERS} members")
    return _Directory(offset, size, count)


def _zip64(extra: bytes, packed: int, size: int, offset: int) -> tuple[int, int, int]:
    """Return the values of the ZIP64 field for those that the entry itself has no room for."""
    values = [size, packed, offset]
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        body, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind != 1:
            continue
        for index, value in enumerate(values):
            if value == 0xFFFFFFFF:
                if len(body) < 8:
                    raise _not_a_zip()
                (values[index],) = struct.unpack_from("<Q", body)
                body = body[8:]
        break
    return values[1], values[0], values[2]


def _name_of(octets: bytes, flags: int) -> str | None:
    """Return the name of a part, or None for a member that is not read.

    Raises:
        MalformedRequestError: a name no archive of ours has.
    """
    if b"\0" in octets or len(octets) > MAX_ARCHIVE_NAME:
        raise refuse_archive(f"members must have names of at most {MAX_ARCHIVE_NAME} bytes without NUL")
    # What is not read may have been packed anew by a program that spells names its own way.
    name = octets.decode("utf-8" if flags & _IN_UTF8 else "latin-1", "replace")
    if "\\" in name or name.startswith("/") or ".." in name.split("/"):
        raise refuse_archive("members must have plain relative names: no .., no backslash, no / at the beginning")
    if is_part(name):
        return name
    if not name.startswith(_UNREAD) and name not in _FOLDERS:
        raise refuse_archive("must have no other members than those of an export")
    return None


def _entries(file: IO[bytes], directory: _Directory) -> Iterator[Member]:
    left = directory.size
    file.seek(directory.offset)
    for _ in range(directory.members):
        head = file.read(_ENTRY.size)
        if len(head) != _ENTRY.size or not head.startswith(b"PK\x01\x02"):
            raise _not_a_zip()
        fields = _ENTRY.unpack(head)
        _, _, _, flags, method, _, _, crc, packed, size, names, extras, comments, _, _, attributes, offset = fields
        rest = file.read(names + extras + comments)
        left -= len(head) + len(rest)
        if len(rest) != names + extras + comments or left < 0:
            raise _not_a_zip()
        if stat.S_ISLNK(attributes >> 16):
            raise refuse_archive("members must be plain files, no links")
        name = _name_of(rest[:names], flags)
        if name is None:
            continue
        if flags & _ENCRYPTED:
            raise refuse_archive("must not be encrypted", name)
        if method not in {_STORED, _DEFLATED}:
            raise refuse_archive("must be stored or deflated", name)
        packed, size, offset = _zip64(rest[names : names + extras], packed, size, offset)
        yield Member(name, offset, method, crc, packed, size)
    if left:
        raise _not_a_zip()


def _check_sizes(parts: dict[str, Member], length: int) -> None:
    for part in parts.values():
        most = MAX_ARCHIVE_SUMS_BYTES if part.name == "SHA256SUMS" else MAX_ARCHIVE_PART_BYTES
        if part.size > most:
            raise refuse_archive(f"must have at most {most} bytes when inflated", part.name)
    total = sum(part.size for part in parts.values())
    if total > MAX_ARCHIVE_BYTES or total > _FREE_INFLATION + MAX_ARCHIVE_RATIO * length:
        raise refuse_archive(
            f"must not inflate to more than {MAX_ARCHIVE_BYTES} bytes, nor to more than {MAX_ARCHIVE_RATIO} times its"
            f" size above {_FREE_INFLATION} bytes"
        )


def _check_overlaps(parts: dict[str, Member], end: int) -> None:
    last = 0
    for part in sorted(parts.values(), key=lambda part: part.offset):
        if part.offset < last:
            raise _not_a_zip()  # bytes that are inflated twice: a bomb
        last = part.offset + _LOCAL.size + part.packed
    if last > end:
        raise _not_a_zip()


def read_directory(file: IO[bytes], length: int) -> dict[str, Member]:
    """Return the parts of an archive of `length` bytes by name, in the order of the directory.

    Raises:
        MalformedRequestError: names the rule that the archive breaks.
    """
    directory = _find_directory(file, length)
    parts: dict[str, Member] = {}
    for member in _entries(file, directory):
        if member.name in parts:
            raise refuse_archive("must not be there twice", member.name)
        parts[member.name] = member
        if len(parts) > MAX_ARCHIVE_PARTS:
            raise refuse_archive(f"must have at most {MAX_ARCHIVE_PARTS} members besides Markdown and vaults")
    _check_sizes(parts, length)
    _check_overlaps(parts, directory.offset)
    return parts


def _packed(file: IO[bytes], member: Member) -> Iterator[bytes]:
    _, flags, method, _, _, _, _, _, names, extras = _unpack(file, member.offset, _LOCAL, b"PK\x03\x04")
    if file.read(names) != member.name.encode() or method != member.method or flags & _ENCRYPTED:
        raise refuse_archive("must be what the directory says it is", member.name)
    place, left = member.offset + _LOCAL.size + names + extras, member.packed
    while left:
        file.seek(place)  # each time: members are read side by side with nothing else, but lazily
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            raise _not_a_zip()
        place, left = place + len(chunk), left - len(chunk)
        yield chunk


def _inflated(file: IO[bytes], member: Member) -> Iterator[bytes]:
    if member.method == _STORED:
        yield from _packed(file, member)
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    for chunk in _packed(file, member):
        due = chunk
        while due and not inflate.eof:
            yield inflate.decompress(due, _CHUNK)
            due = inflate.unconsumed_tail
        if inflate.unused_data:
            break
    while not inflate.eof and (more := inflate.decompress(inflate.unconsumed_tail, _CHUNK)):
        yield more
    if not inflate.eof or inflate.unused_data:
        raise refuse_archive("must be deflated data of the announced size", member.name)


def read_member(file: IO[bytes], member: Member) -> Iterator[bytes]:
    """Yield the bytes of a member in chunks of at most 64 KiB, checked against size and CRC-32 of the directory.

    Raises:
        MalformedRequestError: they do not inflate, or to something else.
    """
    crc, left = 0, member.size
    try:
        for chunk in _inflated(file, member):
            left -= len(chunk)
            if left < 0:
                break
            crc = zlib.crc32(chunk, crc)
            yield chunk
    except zlib.error:
        raise refuse_archive("must be deflated data", member.name) from None
    if left or crc != member.crc:
        raise refuse_archive("must have the size and checksum that the directory says", member.name)
