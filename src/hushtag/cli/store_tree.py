"""put: files and whole directories into a vault, small files many at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any
from uuid import UUID

from hushtag.cli.fetch_tree import counter
from hushtag.cli.here import Here
from hushtag.cli.text import human_size, safe_text
from hushtag.cli.trees import DIRECTORY_TYPE, PutItem, PutPlan
from hushtag.errors import MisuseError

if TYPE_CHECKING:
    from hushtag.client import NewObject, StoredObject, Vault

__all__ = ["Storing"]


@dataclass
class Storing:
    """Stores items of a plan. What is stored, and what is left out, is added to the lists it is given.

    `replaced` has the ids of objects by the names of what takes their place.
    """

    here: Here
    vault: "Vault"
    plan: PutPlan
    content_type: str | None
    replaced: Mapping[str, UUID]
    stored: list[dict[str, Any]]
    left_out: list[str]
    lines: list[str]
    advance: Callable[[int], None]
    _grown: list[PutItem] = field(default_factory=list, init=False)
    _failure: MisuseError | OSError | None = field(default=None, init=False)

    def store(self, items: Sequence[PutItem]) -> None:
        """Store items in their order, small ones that follow each other together.

        Raises:
            As `Vault.put`: what was told of before is stored. What was found in a directory and cannot be read, or
            changes while it is read, is left out instead.
        """
        for small, run in groupby(items, _is_small):
            if small:
                self.vault.put_many(self._read(run), on_stored=self._tell_small)
                if self._failure is not None:
                    raise self._failure
                alone, self._grown = self._grown, []
            else:
                alone = list(run)
            for item in alone:
                self._put(item)

    def _read(self, items: Iterator[PutItem]) -> Iterator["NewObject"]:
        from hushtag.client import NewObject
        from hushtag.client.storing_steps import SMALL_OBJECT_BYTES
        from hushtag.client.stream_files import ContentSource

        for item in items:
            source = ContentSource(item.source())
            try:
                source.open()
                content = source.read_short(SMALL_OBJECT_BYTES)
            except (MisuseError, OSError) as error:
                if not self._leaves_out(item, error):
                    self._failure = error  # once what was read before is stored
                    return
                continue
            finally:
                source.close()
            if content is None:
                self._grown.append(item)  # since it was looked at
            else:
                yield NewObject(content, item.name, self._type_of(item), self.replaced.get(item.name))

    def _put(self, item: PutItem) -> None:
        told = counter(self.advance)
        kind, replace = self._type_of(item), self.replaced.get(item.name)
        try:
            done = self.vault.put(item.source(), name=item.name, content_type=kind, replace=replace, on_progress=told)
        except (MisuseError, OSError) as error:
            if not self._leaves_out(item, error):
                raise
        else:
            self._tell(done)

    def _type_of(self, item: PutItem) -> str | None:
        return DIRECTORY_TYPE if item.is_directory else self.content_type

    def _tell_small(self, done: "StoredObject") -> None:
        self.advance(done.size)
        self._tell(done)

    def _tell(self, done: "StoredObject") -> None:
        self.stored.append(done._asdict())
        self.lines.append(f"{done.object_id}  {human_size(done.size):>10}  {safe_text(done.name)}")

    def _leaves_out(self, item: PutItem, error: MisuseError | OSError) -> bool:
        """Leave out one file of many that an error is about; tell whether it is, any other error is everybody's."""
        from hushtag.client import SourceChangedError

        of_file = isinstance(error, SourceChangedError) or getattr(error, "filename", None) == str(item.path)
        if not (item.is_found and of_file):
            return False
        why = str(getattr(error, "strerror", None) or error)
        self.plan.miss(item.path, why)
        self.here.note(f"left out: {safe_text(str(item.path))} ({why})")
        self.left_out.append(str(item.path))
        return True


def _is_small(item: PutItem) -> bool:
    from hushtag.client.storing_steps import SMALL_OBJECT_BYTES

    if item.stream is not None or item.size > SMALL_OBJECT_BYTES:
        return False
    return item.is_directory or item.is_found or item.path.is_file()  # of a pipe nobody knows how much comes
