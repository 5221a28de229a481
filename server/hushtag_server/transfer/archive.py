"""An archive that is to be imported: opened, checked as a whole, then read row by row.

Everything here runs in a worker thread, and checks before a single row is written. What is read afterwards are the
same bytes again, from a file that nobody else can reach.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import IO, Any, Final, NamedTuple, TypeVar

import msgspec

from hushtag.field_rules import field_problem
from hushtag.messages import FieldProblem, Message
from hushtag.transfer_messages import (
    ARCHIVE_FORMAT,
    MAX_ARCHIVE_LINE,
    MAX_ARCHIVE_PARTS,
    MAX_ARCHIVE_PROBLEMS,
    ArchivedAccount,
    ArchivedJournal,
    ArchivedReminder,
    ArchivedTag,
    Manifest,
)
from hushtag_server.errors import MalformedRequestError
from hushtag_server.transfer.checks import Checks
from hushtag_server.transfer.zip_reader import Member, is_part, read_directory, read_member, refuse_archive

__all__ = ["Archive", "Row"]

M = TypeVar("M", bound=Message)

_REQUIRED: Final = ("manifest.json", "SHA256SUMS", "account.json", "tags.ndjson")
_SUM: Final = re.compile(r"([0-9a-f]{64})  (\S.*)")
_decoders: Final[dict[type[Message], msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (ArchivedTag, ArchivedJournal, ArchivedReminder)
}


class Row(NamedTuple):
    """A row and the bytes of its line."""

    message: Any
    size: int


def _decode(octets: bytes, decoder: "msgspec.json.Decoder[M]", place: str) -> M:
    try:
        return decoder.decode(octets)
    except msgspec.ValidationError as error:
        found = field_problem(str(error), decoder.type)
        raise refuse_archive(found.rule, f"{place} {found.field}") from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise refuse_archive("must be JSON in UTF-8", place) from None


def _lines(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        yield from complete
        if len(rest) > MAX_ARCHIVE_LINE:
            raise refuse_archive(f"must have lines of at most {MAX_ARCHIVE_LINE} bytes", name)
    if rest:
        yield rest


class Archive:
    """The archive in `file`, of `length` bytes.

    Raises:
        MalformedRequestError: from everything here; names member, line, field and rule.
    """

    def __init__(self, file: IO[bytes], length: int) -> None:
        self._file = file
        self._length = length
        self._parts: dict[str, Member] = {}
        self.manifest: Manifest
        self.account: ArchivedAccount
        self.tag_names: list[str] = []

    def check(self) -> None:
        """Look at every byte that an import would use."""
        self._parts = read_directory(self._file, self._length)
        for name in _REQUIRED:
            if name not in self._parts:
                raise refuse_archive(f"must have a member {name}")
        self.manifest = self._whole("manifest.json", Manifest)
        if self.manifest.format != ARCHIVE_FORMAT:
            raise refuse_archive(f"must be {ARCHIVE_FORMAT}", "manifest.json $.format")
        self._check_sums()
        self.account = self._whole("account.json", ArchivedAccount)
        self._check_rows()

    def _whole(self, name: str, kind: type[M]) -> M:
        part = self._parts[name]
        if part.size > 16 * MAX_ARCHIVE_LINE:
            raise refuse_archive(f"must have at most {16 * MAX_ARCHIVE_LINE} bytes", name)
        return _decode(b"".join(read_member(self._file, part)), msgspec.json.Decoder(kind), name)

    def _hash(self, name: str) -> str:
        digest = hashlib.sha256()
        for chunk in read_member(self._file, self._parts[name]):
            digest.update(chunk)
        return digest.hexdigest()

    def _check_sums(self) -> None:
        if self._hash("SHA256SUMS") != self.manifest.sums_sha256:
            raise refuse_archive("must have the checksum that manifest.json names", "SHA256SUMS")
        named: dict[str, str] = {}
        for line in _lines(read_member(self._file, self._parts["SHA256SUMS"]), "SHA256SUMS"):
            found = _SUM.fullmatch(line.decode("utf-8", "replace"))
            if found is None:
                raise refuse_archive("must have lines of a checksum, two spaces and a name", "SHA256SUMS")
            if is_part(found[2]):
                named[found[2]] = found[1]
            if len(named) > MAX_ARCHIVE_PARTS:
                raise refuse_archive(f"must name at most {MAX_ARCHIVE_PARTS} members that are read", "SHA256SUMS")
        for name in named.keys() - self._parts.keys():
            raise refuse_archive("must be there, as SHA256SUMS names it", name)
        for name in self._parts.keys() - {"manifest.json", "SHA256SUMS"}:
            if named.get(name) != self._hash(name):
                raise refuse_archive("must have the checksum that SHA256SUMS names", name)

    def _names(self, kind: str) -> list[str]:
        return sorted(name for name in self._parts if name.startswith(f"{kind}/"))

    def _numbered(self, name: str) -> Iterator[tuple[str, bytes]]:
        for number, line in enumerate(_lines(read_member(self._file, self._parts[name]), name), 1):
            yield f"{name}:{number}", line

    def _rows(self, name: str, kind: type[Message]) -> Iterator[Row]:
        for place, line in self._numbered(name):
            yield Row(_decode(line, _decoders[kind], place), len(line))

    def tags(self) -> list[ArchivedTag]:
        """Return the tags; they are at most as many as an account may have."""
        return [row.message for row in self._rows("tags.ndjson", ArchivedTag)]

    def journals(self) -> Iterator[Row]:
        """Yield the entries."""
        for name in self._names("journals"):
            yield from self._rows(name, ArchivedJournal)

    def reminders(self) -> Iterator[Row]:
        """Yield the reminders."""
        for name in self._names("reminders"):
            yield from self._rows(name, ArchivedReminder)

    def _check_rows(self) -> None:
        checks = Checks()
        problems: list[FieldProblem] = []
        kinds: tuple[tuple[list[str], type[Message], Callable[[Any], None]], ...] = (
            (["tags.ndjson"], ArchivedTag, checks.look_at_tag),
            (self._names("journals"), ArchivedJournal, checks.look_at_journal),
            (self._names("reminders"), ArchivedReminder, checks.look_at_reminder),
        )
        for names, kind, look in kinds:
            for name in names:
                problems += self._problems(name, kind, look, MAX_ARCHIVE_PROBLEMS - len(problems))
                if len(problems) >= MAX_ARCHIVE_PROBLEMS:
                    raise MalformedRequestError(problems)
        if problems:
            raise MalformedRequestError(problems)
        self.tag_names = checks.tag_names()

    def _problems(self, name: str, kind: type[Message], look: Callable[[Any], None], most: int) -> list[FieldProblem]:
        """Return up to `most` faults of a part: every line is looked at, unless its bytes themselves are broken."""
        found: list[FieldProblem] = []
        for place, line in self._numbered(name):
            try:
                look(_decode(line, _decoders[kind], place))
            except MalformedRequestError as error:
                found += _placed(error, place).fields or []
                if len(found) >= most:
                    break
        return found[:most]


def _placed(error: MalformedRequestError, place: str) -> MalformedRequestError:
    fields = error.fields or []
    return MalformedRequestError(
        [each if each.field.startswith(place) else FieldProblem(f"{place} {each.field}", each.rule) for each in fields]
    )
