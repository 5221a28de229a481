"""One device of the machine: what it keeps between two runs of the program, and the vault it may have open."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hushtag.client import Client, PinFile, Session, Vault
from tests.client.dying import DyingDriver
from tests.machine.model import Key, Node, Pins, Served
from tests.machine.past import Row
from tests.machine.world import Wire, World

__all__ = ["Device", "Open"]


@dataclass
class Open:
    """A vault that is open, and what this session has seen: `views` are the heads one of which is the newest seen.

    `shown`: the row of an object that its user was last shown, on which a change is based; None if that is not known.
    """

    vault: Vault
    vault_id: UUID
    tag: UUID
    pin_tag: UUID  # the tag whose phrase opened it: pins stay under its key
    data_key: int
    views: list[Node]
    tainted: bool  # it was shown a state that is no later one of what the device had seen
    ended: bool = False
    shown: dict[UUID, Row | None] = field(default_factory=dict)
    may_hold: set[int] = field(default_factory=set)  # data keys of rotations whose outcome this session may know

    @property
    def pin_keys(self) -> list[Key]:
        return [("vault", self.data_key), ("tag", self.pin_tag)]

    def sees(self, served: Served) -> bool:
        """Whether an honest server could serve this: a later state of what was seen, and all of it."""
        return served.whole and all(served.head.follows(view) for view in self.views)

    def is_current(self, served: Served) -> bool:
        """Whether what is served can be used on in this session: same data key, no restored backup between."""
        same = all(view.restorations == served.head.restorations for view in self.views)
        return same and served.data_key == self.data_key

    def holds(self, served: Served) -> bool:
        """Whether this session may have the data key of what is served."""
        return served.data_key == self.data_key or served.data_key in self.may_hold

    def went_back(self, served: Served) -> bool:
        """Whether what is served lies behind everything this session has seen."""
        return all(view.generation > served.head.generation and view.follows(served.head) for view in self.views)


@dataclass
class Device:
    """A device: a file of pins, an account session, and a program that may run."""

    number: int
    world: World
    store: PinFile
    session: Session
    pins: Pins = field(default_factory=Pins)
    accepted: dict[UUID, list[tuple[Node, list[Key]]]] = field(default_factory=dict)
    open: Open | None = None
    client: Client | None = None
    wire: Wire | None = None
    driver: DyingDriver | None = None

    def start(self) -> Client:
        """Start the program, if it does not run."""
        if self.client is None:
            self.client, self.wire, self.driver = self.world.client(self.store, self.session)
        return self.client

    def end(self) -> None:
        """The program is gone without a word to the server."""
        if self.client is not None:
            self.client._driver.close()
        self.open = self.client = self.wire = self.driver = None

    def remember(self, opened: Open, head: Node) -> None:
        """This device has accepted a state, and pinned it."""
        self.accepted.setdefault(opened.vault_id, []).append((head, opened.pin_keys))

    def may_refuse(self, vault_id: UUID, head: Node) -> bool:
        """Whether a listing may be held against rows of another branch: not everything seen leads to this state."""
        return not all(head.follows(node) for node, _ in self.accepted.get(vault_id, []))

    def must_refuse(self, vault_id: UUID, head: Node, keys: list[Key]) -> bool:
        """Whether a head takes back what this device has accepted and finds again: the promise itself (P5)."""
        return any(
            node.generation > head.generation and node.follows(head) and set(found) & set(keys)
            for node, found in self.accepted.get(vault_id, [])
        )

    def __repr__(self) -> str:
        return f"device {self.number}"


def vault_steps(vault: Any) -> Any:
    """The steps behind an open vault, for what only they know."""
    return vault._steps
