"""get -r: whole directories out of a vault, small files side by side."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.text import human_size, safe_text
from hushtag.cli.trees import GetItem, make_directories, nothing_below, plan_get

if TYPE_CHECKING:
    from hushtag.client import ContentLostError, IntegrityError, Vault, VaultEntry

__all__ = ["FILES_AT_ONCE", "counter", "fetch_tree"]

FILES_AT_ONCE: Final = 8
"""Small files fetched side by side: over a network each costs its wait for the server, and little else."""
_GROUP: Final = 64


def counter(advance: Callable[[int], None]) -> Callable[[int, int], None]:
    """Return what counts on from where one transfer is."""
    before = 0

    def count(done: int, _total: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return count


def _groups(items: Sequence[GetItem]) -> Iterator[list[GetItem]]:
    """Yield the items in their order: small ones that follow each other together, each large one alone: it comes in
    segments, several at a time already.
    """
    from hushtag.client.storing_steps import SMALL_OBJECT_BYTES

    group: list[GetItem] = []
    for item in items:
        is_large = item.entry.size > SMALL_OBJECT_BYTES
        if group and (is_large or len(group) == _GROUP):
            yield group
            group = []
        group.append(item)
        if is_large:
            yield group
            group = []
    if group:
        yield group


class _Fetching:
    """Fetches items of a plan, and keeps what became of each."""

    def __init__(self, vault: "Vault", advance: Callable[[int], None]) -> None:
        self._vault = vault
        self._advance = advance
        self.fetched: set[GetItem] = set()
        self.failed: dict[GetItem, ContentLostError | IntegrityError] = {}

    def fetch(self, item: GetItem) -> None:
        """Write one file. May be called by several threads."""
        from hushtag.client import ContentLostError, IntegrityError

        told = counter(self._advance)
        try:
            self._vault.get_to(item.entry.object_id, item.path, on_progress=told, force=item.replaces)
        except (ContentLostError, IntegrityError) as error:  # all the others can still be saved
            self.failed[item] = error
        else:
            self.fetched.add(item)

    def fetch_group(self, group: Sequence[GetItem], target: Path) -> None:
        """Write the files of a group, and make the directories they need."""
        from hushtag.client.threads import Crew

        files = []
        for item in group:
            make_directories(target, item.path if item.is_directory else item.path.parent)
            if item.is_directory:
                self.fetched.add(item)
            else:
                files.append(item)
        if len(files) == 1:  # in this thread, which an interrupt ends in good order
            self.fetch(files[0])
        elif files:
            Crew([partial(self.fetch, item) for item in files], FILES_AT_ONCE, None).run()


def fetch_tree(here: Here, vault: "Vault", prefix: str, target: Path, *, force: bool) -> None:
    """Write everything below a prefix into a directory and say what was written.

    Raises:
        UsageError: something is there already, or nothing of it can be written.
        NotFoundError: nothing is called so.
        ContentLostError: the server has lost bytes of some; all the others are written.
        IntegrityError: some are not what was put; all the others are written.
    """
    with here.working("reading the vault"):
        items, left_out = plan_get(vault.list(), prefix, target, force=force)
    left: list[str] = []

    def leave_out(entry: "VaultEntry", why: object) -> None:
        here.note(f"left out: {entry.object_id}  {safe_text(entry.name[:100])} ({why})")
        left.append(str(entry.object_id))

    for each in left_out:
        leave_out(*each)
    if left_out and not items:
        raise UsageError(f"nothing was fetched: all of it is left out: {left_out[0][1]}")
    from hushtag.client import ContentLostError, IntegrityError

    if not items:
        raise nothing_below(prefix)
    told: list[dict[str, Any]] = []
    total = sum(item.entry.size for item in items)
    with here.telling(fetched=told, left_out=left) as lines, here.progress("fetching", total) as advance:
        fetching = _Fetching(vault, advance)
        for group in _groups(items):
            try:
                fetching.fetch_group(group, target)
            finally:
                for item in group:
                    if item in fetching.fetched:
                        told.append({**item.entry._asdict(), "path": item.path})
                        lines.append(f"{safe_text(str(item.path))}  {human_size(item.entry.size)}")
                        if item.is_renamed:
                            here.note(f"written as {safe_text(str(item.path))}: {safe_text(item.entry.name[:300])}")
                    elif item in fetching.failed:
                        leave_out(item.entry, fetching.failed[item])
        if forged := sum(isinstance(error, IntegrityError) for error in fetching.failed.values()):
            raise IntegrityError(f"content of {forged} of {len(items)} objects")
        if fetching.failed:
            count = f"{len(fetching.failed)} of {len(items)}"
            raise ContentLostError(f"the server has lost bytes of {count}", code="segment_lost")
