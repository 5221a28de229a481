"""What ought to be: the states a vault has had, what the server serves, and what each device has seen of it.

Nothing here knows a key, a byte of ciphertext or a file. A state (`Node`) is what a head vouches for; its parent is the
state it was made from, so that an older state and a fork are told apart by ancestry alone, not by the rules that the
client follows.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from tests.machine.past import Row

__all__ = ["Content", "Node", "Pins", "Served", "judge", "verdicts"]

_numbers = itertools.count(1)


class Content(NamedTuple):
    """Name and body of an object; None is what the client wrote by itself and the model does not know."""

    name: str
    body: bytes


@dataclass(eq=False)
class Node:
    """One state of a vault, as its head vouches for it. `data_key` is the number of a data key."""

    vault_id: UUID
    generation: int
    key_version: int
    data_key: int
    rows: dict[UUID, Row]
    tags: frozenset[UUID]
    ring: frozenset[UUID] | None
    restorations: int = 0
    parent: "Node | None" = None

    @property
    def print(self) -> tuple[object, ...]:
        """What two heads of one data key have in common exactly if they are the same head."""
        rows = frozenset((object_id, *row[:2]) for object_id, row in self.rows.items())
        return self.generation, self.restorations, self.key_version, self.data_key, rows, self.ring

    @property
    def order(self) -> tuple[int, int]:
        return self.restorations, self.generation

    def line(self) -> "Iterator[Node]":
        """This state and those it came of."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def follows(self, other: "Node") -> bool:
        """Tell whether this is the other state, or came of it."""
        return any(each.print == other.print for each in self.line())

    def next(
        self,
        rows: dict[UUID, Row],
        *,
        tags: frozenset[UUID] | None = None,
        rotated: bool = False,
        restorations: int | None = None,
    ) -> "Node":
        """The state after a change made on this one."""
        return Node(
            self.vault_id,
            self.generation + 1,
            self.key_version + rotated,
            next(_numbers) if rotated else self.data_key,
            rows,
            self.tags if tags is None else tags,
            self.ring if tags is None else tags,
            self.restorations if restorations is None else restorations,
            self,
        )

    @classmethod
    def first(cls, vault_id: UUID, tag: UUID) -> "Node":
        return cls(vault_id, 1, 1, next(_numbers), {}, frozenset([tag]), None)


@dataclass(frozen=True)
class Served:
    """What the server has of one vault: a head, and beside it what the head ought to vouch for.

    An adversary who changes the rows under an open session makes the two differ: the client writes the head of what it
    knows, the server adds the change to what it has. `phrases` says which phrase (by number) is behind a tag.
    """

    head: Node
    rows: dict[UUID, Row]
    tags: frozenset[UUID]
    ring: frozenset[UUID] | None
    data_key: int
    phrases: dict[UUID, int]

    @property
    def opens(self) -> bool:
        """Whether the head is of the data key and the ring that the server hands out with it."""
        return self.head.data_key == self.data_key and self.head.ring == self.ring

    @property
    def whole(self) -> bool:
        """Whether the head vouches for just what is there."""
        return self.opens and self.head.tags == self.tags and self.head.rows == self.rows

    @classmethod
    def of(cls, node: Node, phrases: dict[UUID, int]) -> "Served":
        return cls(node, node.rows, node.tags, node.ring, node.data_key, phrases)


def judge(pin: Node, head: Node) -> str | None:
    """What SPEC.md, section 22, says of a head that is held against a pin; None: it is accepted."""
    if head.restorations > pin.restorations:
        return "restored"
    if head.order < pin.order or head.key_version < pin.key_version:
        return "older"
    if head.generation == pin.generation and head.print != pin.print:
        return "forked"
    return None


Key = tuple[str, object]


@dataclass
class Pins:
    """What one device may have pinned, by the key it is found under. After a crash there are several possibilities."""

    by_key: dict[Key, set[Node | None]] = field(default_factory=dict)

    def possible(self, keys: Iterable[Key]) -> list[list[Node]]:
        """Every set of pins that the keys may find, the newest first in each."""
        choices = [self.by_key.get(key, {None}) for key in keys]
        found = [[pin for pin in chosen if pin is not None] for chosen in itertools.product(*choices)]
        return [sorted(pins, key=lambda pin: pin.order, reverse=True) for pins in found]

    def keep(self, keys: Iterable[Key], head: Node, *, surely: bool = True) -> None:
        """Pin a head under the keys, unless a newer one is pinned under one of them."""
        keys = list(keys)
        kept: set[Node | None] = set()
        for pins in self.possible(keys):
            kept.add(pins[0] if pins and pins[0].order > head.order else head)
        for key in keys:
            self.by_key[key] = kept | (set() if surely else self.by_key.get(key, {None}))

    def force(self, keys: Iterable[Key], head: Node) -> None:
        """What was accepted in spite of the pins is pinned."""
        for key in keys:
            self.by_key[key] = {head}


def verdicts(possible: list[list[Node]], head: Node) -> set[str | None]:
    """What an unlock may come to: None if it opens, else what it says of the state."""
    found: set[str | None] = set()
    for pins in possible:
        failures = [verdict for verdict in (judge(pin, head) for pin in pins) if verdict is not None]
        found.add(failures[0] if failures else None)
    return found
