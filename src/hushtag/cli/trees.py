"""Directories in a vault: names with slashes, made of what is on the disk, and made harmless on their way back."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from hushtag.cli.failures import UsageError
from hushtag.cli.text import clean_name, safe_file_name, safe_text

if TYPE_CHECKING:
    from hushtag.client import NotFoundError, VaultEntry
    from hushtag.client.stream_files import Reader, Source

__all__ = [
    "DIRECTORY_TYPE",
    "GetItem",
    "PutItem",
    "PutPlan",
    "is_below",
    "make_directories",
    "nothing_below",
    "plan_get",
    "plan_put",
    "tree_lines",
]

DIRECTORY_TYPE: Final = "inode/directory"
"""Type of an object that stands for a directory with nothing in it; its name ends in a slash."""
MAX_DEPTH: Final = 64
"""Directories within each other that are written."""
_NO_UNICODE: Final = "its name is not valid Unicode"


class PutItem(NamedTuple):
    """A file to put, or a directory with nothing in it."""

    path: Path
    name: str
    size: int
    is_directory: bool = False
    is_found: bool = False
    """In a directory, and not named by whoever puts it: it must be a regular file still when it is opened."""
    stream: "Reader | None" = None
    """What is read in the place of a file."""

    def source(self) -> "Source":
        """Return what a vault is given to put."""
        from hushtag.client.stream_files import RegularFile

        if self.is_directory:
            return b""
        if self.stream is not None:
            return self.stream
        return RegularFile(self.path) if self.is_found else self.path


@dataclass
class PutPlan:
    """What is put, and what is not and why."""

    items: list[PutItem] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    missing: int = 0
    """How many of those left out hold what somebody may miss: files and directories, no links or special files."""

    def miss(self, path: Path, why: str) -> None:
        """Leave out a file or directory that ought to be put."""
        self.left_out.append((path, why))
        self.missing += 1


def plan_put(paths: Sequence[Path], *, recursive: bool, replace: bool = False, name: str | None = None) -> PutPlan:
    """Look at what is to be put; of a directory at everything in it, in order of names.

    `name` is that of a single file, in place of its own.

    Raises:
        UsageError: a directory without `recursive`; a file that was named, and whose name is not Unicode; with
            `replace`, two of one name, of which one would be lost.
        OSError: a file that was named cannot be found.
    """
    plan = PutPlan()
    for path in paths:  # what is named may be a link or a pipe, what is found in a directory may not
        if path.is_dir():
            if not recursive:
                raise UsageError(f"{path} is a directory; use -r")
            _plan_directory(plan, path, Path(os.path.abspath(path)).name)
        else:
            plan.items.append(_named(path, name))
    if recursive or replace:
        _check_tree(plan)
    return plan


def _check_tree(plan: PutPlan) -> None:
    """Refuse what could not come out again as it goes in.

    Raises:
        UsageError: two of one name, one that would lie in a file, or one in too many directories; nothing was stored.
    """
    files: dict[str, PutItem] = {}
    for item in plan.items:
        parts = _parts(item.name)
        if parts is None:
            raise UsageError(f"{safe_text(str(item.path)[:100])}… lies in more than {MAX_DEPTH} directories")
        name = "/".join(parts)  # as it comes out again: two names that differ before may not differ then
        other = files.setdefault(name, item)
        if other is not item:
            if other.path == item.path:
                raise UsageError(f"{safe_text(str(item.path))} is named twice, and would be stored twice")
            both = f"{safe_text(str(other.path))} and {safe_text(str(item.path))}"
            raise UsageError(f"{both} would both be called {safe_text(name)}; put them one by one with --name")
    for name in files:
        parents = name.split("/")
        for length in range(1, len(parents)):
            if "/".join(parents[:length]) in files:
                file = files["/".join(parents[:length])].path
                raise UsageError(f"{safe_text(name)} would lie in what {safe_text(str(file))} is called")


def _plan_directory(plan: PutPlan, path: Path, name: str) -> None:
    try:
        inside = sorted(path.iterdir())
    except OSError as error:
        plan.miss(path, error.strerror or "cannot be read")
        return
    if name.count("/") > MAX_DEPTH:
        raise UsageError(f"{safe_text(str(path)[:100])}… lies in more than {MAX_DEPTH} directories")
    if not inside and not _is_unicode(name):
        plan.miss(path, _NO_UNICODE)
    elif not inside:
        plan.items.append(PutItem(path, f"{name}/", 0, is_directory=True))
    for each in inside:
        if _is_directory(each):
            _plan_directory(plan, each, f"{name}/{each.name}")
        else:
            _plan_file(plan, each, f"{name}/{each.name}" if name else each.name)


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat(follow_symlinks=False).st_mode)
    except OSError:
        return False  # why, is said where it is planned as a file


def _named(path: Path, name: str | None) -> PutItem:
    """Return a file that somebody asked for: it is put, or nothing is."""
    if not _is_unicode(path.name if name is None else name):
        if name is not None:
            raise UsageError("the name to put it under is not valid Unicode")
        raise UsageError(f"the name of {safe_text(str(path))} is not valid Unicode; put it by itself with --name")
    return PutItem(path, path.name if name is None else name, path.stat().st_size)


def _plan_file(plan: PutPlan, path: Path, name: str) -> None:
    try:
        found = path.stat(follow_symlinks=False)
    except OSError as error:
        plan.miss(path, error.strerror or "cannot be read")
        return
    if stat.S_ISLNK(found.st_mode):
        plan.left_out.append((path, "a link"))
    elif not stat.S_ISREG(found.st_mode):
        plan.left_out.append((path, "no regular file"))
    elif not os.access(path, os.R_OK):
        plan.miss(path, "cannot be read")
    elif not _is_unicode(name):
        plan.miss(path, _NO_UNICODE)
    else:
        plan.items.append(PutItem(path, name, found.st_size, is_found=True))


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class GetItem(NamedTuple):
    """An object, and where it is written."""

    entry: "VaultEntry"
    path: Path
    is_directory: bool
    replaces: bool = False
    is_renamed: bool = False
    """Its path is not the one it was put with."""


class GetPlan(NamedTuple):
    """What is written where, and what is not and why."""

    items: list[GetItem]
    left_out: "list[tuple[VaultEntry, str]]"


def is_directory(entry: "VaultEntry") -> bool:
    """Tell whether an object stands for a directory; what merely has such a name is a file, and has content."""
    return entry.name.endswith("/") and entry.content_type == DIRECTORY_TYPE and not entry.size


def is_below(name: str, prefix: str) -> bool:
    """Tell whether an object lies in a directory of the vault, or is what the prefix names; `.` is the whole vault."""
    wanted = prefix.strip("/")
    return wanted in ("", ".") or name.rstrip("/") == wanted or name.startswith(f"{wanted}/")


def nothing_below(prefix: str) -> "NotFoundError":
    """Return the error of a prefix that nothing lies below."""
    from hushtag.client import NotFoundError

    return NotFoundError(f"nothing is called {safe_text(prefix)}/…; hushtag ls shows what there is", code="not_found")


def _parts(name: str) -> list[str] | None:
    """Return the parts of a harmless relative path: none hidden at the top, none that leads elsewhere; `None` if there
    are too many.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(parts) > MAX_DEPTH:
        return None
    cleaned = [clean_name(part) for part in parts]
    return [safe_file_name(parts[0]), *cleaned[1:]] if parts else ["object"]


def plan_get(entries: "Iterable[VaultEntry]", prefix: str, target: Path, *, force: bool) -> GetPlan:
    """Return where everything below a prefix goes; a directory that is named several times is one.

    Raises:
        UsageError: the target is no directory, two objects would go to one place, or something is there already;
            nothing was written.
    """
    if os.path.lexists(target) and not target.is_dir():
        raise UsageError(f"{safe_text(str(target))} is no directory; name one to write into, or a new one")
    found, plan = [], GetPlan([], [])
    for entry in sorted(entries, key=lambda each: (each.name, each.object_id)):
        if not entry.readable:
            if is_below("", prefix):
                plan.left_out.append((entry, "sealed by a client that broke the rules"))
        elif is_below(entry.name, prefix):
            parts = _parts(entry.name)
            if parts is None:
                plan.left_out.append((entry, f"in more than {MAX_DEPTH} directories; get it by its id"))
            else:
                name = entry.name.removesuffix("/") if is_directory(entry) else entry.name
                path, renamed = target.joinpath(*parts), "/".join(parts) != name
                found.append(GetItem(entry, path, is_directory(entry), is_renamed=renamed))
    files = {item.path for item in found if not item.is_directory}
    seen: dict[Path, GetItem] = {}
    for item in found:
        before = seen.setdefault(item.path, item)
        if before is not item and item.is_directory and before.is_directory:
            continue
        if before is not item or (item.is_directory and item.path in files):
            raise UsageError(f"several objects would be written to {safe_text(str(item.path))}; get them by their ids")
        if any(parent in files for parent in item.path.parents):
            raise UsageError(f"{safe_text(str(item.path))} would lie in a file; get it by its id")
        taken = _check_free(item, target, force=force)
        plan.items.append(item._replace(replaces=taken and not item.is_directory))
    _check_one_file_each(plan)
    return plan


def _check_one_file_each(plan: GetPlan) -> None:
    """Refuse to replace one file by two objects, where names that differ in case are one."""
    known: dict[tuple[str, int, int], Path] = {}
    for item in plan.items:
        if item.replaces:
            is_now = item.path.lstat()
            other = known.setdefault((str(item.path).casefold(), is_now.st_dev, is_now.st_ino), item.path)
            if other != item.path:
                raise UsageError(f"{safe_text(str(item.path))} and {safe_text(str(other))} are one file here")


def _check_free(item: GetItem, target: Path, *, force: bool) -> bool:
    """Tell whether something is there that may be replaced."""
    for parent in _below(target, item.path.parent):
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            raise UsageError(f"{safe_text(str(parent))} is a link or a file; nothing was written")
    taken = os.path.lexists(item.path)
    if item.is_directory:
        if taken and (item.path.is_symlink() or not item.path.is_dir()):
            raise UsageError(f"{safe_text(str(item.path))} is no directory; nothing was written")
    elif taken and (not force or (item.path.is_dir() and not item.path.is_symlink())):
        raise UsageError(f"{safe_text(str(item.path))} exists; use --force to replace files")
    return taken


def _below(target: Path, path: Path) -> Iterator[Path]:
    here = target
    for part in path.relative_to(target).parts:
        here /= part
        yield here


def make_directories(target: Path, path: Path) -> None:
    """Make the directories from `target` down to `path` (mode 0700 where they are new), through no link.

    Raises:
        UsageError: a link or a file is in the way.
    """
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in _below(target, path):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            if each.is_symlink() or not each.is_dir():
                raise UsageError(f"{safe_text(str(each))} is a link or a file") from None


_Branch = dict[tuple[str, str], "_Branch | VaultEntry"]
"""What lies in a directory by name, and by id where names are equal."""


def tree_lines(entries: "Iterable[VaultEntry]") -> Iterator[str]:
    """Yield the lines of a tree of directories, what people see of it made harmless."""
    root: _Branch = {}
    for entry in entries:
        *parents, last = entry.name.rstrip("/").split("/", MAX_DEPTH)
        place = root
        for parent in parents:
            below = place.setdefault((parent + "/", ""), {})
            place = below if isinstance(below, dict) else {}
        if is_directory(entry):
            place.setdefault((f"{last}/", ""), {})
        else:
            place[last, str(entry.object_id)] = entry
    yield from _branches(root, "")


def _branches(place: "_Branch", before: str) -> Iterator[str]:
    from hushtag.cli.text import human_size

    for number, (key, value) in enumerate(sorted(place.items()), start=1):
        last = number == len(place)
        name = safe_text(key[0])
        size = "" if isinstance(value, dict) else f"  {human_size(value.size)}"
        yield f"{before}{'└── ' if last else '├── '}{name}{size}"
        if isinstance(value, dict):
            yield from _branches(value, before + ("    " if last else "│   "))
