"""The machine: what devices, bad luck and the adversary do, in any order, and what must come of it.

Every rule says what it expects of the real system before it looks. Where the session that acts has seen nothing but
honest states, the expectation is exact. Where the adversary has put another state under an open session, an action may
end in a typed error; if it does not, what comes back must be what the server really has, and be vouched for. What
became of an action that was cut off is read from the database, as all or nothing of each change.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hushtag.client import (
    ConflictError,
    EpochError,
    IntegrityError,
    NotFoundError,
    PinFile,
    Vault,
    VaultEntry,
    VaultRolledBackError,
)
from hushtag.errors import AuthenticationError, HushtagError, MisuseError, RollbackError
from hushtag.phrase import draw_phrase
from hushtag.recovery import RecoveryCode, draw_recovery_code
from tests.client.dying import DeathError
from tests.client.support import PASSWORD
from tests.machine.device import Device, Open, vault_steps
from tests.machine.model import Content, Node, Served, verdicts
from tests.machine.past import Look, Past, Row
from tests.machine.world import Cut, World

__all__ = ["Machine"]

PHRASES: list[str | RecoveryCode] = [*(draw_phrase().text for _ in range(3)), draw_recovery_code()]
SALT = bytes(range(16))
DEVICES, VAULTS = 3, 2
_BROKEN = (HushtagError, DeathError)

devices = st.integers(0, DEVICES - 1)
phrases = st.integers(0, len(PHRASES) - 1)
any_number = st.integers(0, 11)
bodies = st.binary(max_size=300)
cuts = st.builds(Cut, st.integers(0, 8), st.sampled_from(["before", "after"]), st.booleans(), st.booleans())
deaths = st.tuples(st.integers(0, 14), st.booleans())
# Mostly nothing goes wrong, or nobody would get far.
trouble = st.one_of(st.none(), st.none(), st.none(), cuts, deaths)


class Before(NamedTuple):
    """What was so before an action: whether its session knows only honest states, and what is served."""

    exact: bool
    served: Served
    back: bool  # the session has seen a later state than is served, and its tag still stands
    other_key: bool  # the session has another data key than the server hands out
    troubled: bool  # something will go wrong


class DisagreementError(AssertionError):
    """Model and real system say different things."""


class Machine(RuleBasedStateMachine):
    """Three devices of one account, four phrases, two vaults, one server and one adversary."""

    def __init__(self, world: World, past: Past, directory: Path) -> None:
        super().__init__()
        self.world, self.past = world, past
        self.email = f"{uuid4().hex}@example.org"
        client, _, _ = world.client(None)
        client.sign_up(self.email, PASSWORD)
        self.user_id = client.log_in(self.email, PASSWORD).user_id
        client._driver.close()
        self.past.alike(self.user_id, SALT)
        self.devices = [self._device(number, directory / uuid4().hex) for number in range(DEVICES)]
        self.served: dict[UUID, Served] = {}
        self.chaos: set[UUID] = set()  # vaults of which only safety is asked any more
        self.looks: dict[UUID, Look] = {}
        self.contents: dict[bytes, Content | None] = {}
        self.kept: list[tuple[int, dict[UUID, Served], dict[UUID, Look]]] = []
        self.codes: list[tuple[str, UUID, Node]] = []
        self.keep_state()

    def _device(self, number: int, directory: Path) -> Device:
        store = PinFile(directory)
        client, _, _ = self.world.client(store)
        session = client.log_in(self.email, PASSWORD)
        client._driver.close()
        return Device(number, self.world, store, session)

    # --- what is there ----------------------------------------------------------------------------------------

    def keep_state(self) -> None:
        self.kept.append((self.past.keep(self.user_id), dict(self.served), dict(self.looks)))

    def holder(self, phrase: int) -> tuple[UUID, UUID] | None:
        """The vault and the tag that a phrase opens, as the server has it."""
        for vault_id, served in self.served.items():
            for tag in served.tags:
                if served.phrases[tag] == phrase:
                    return vault_id, tag
        return None

    def opened(self, device: int) -> Open:
        found = self.devices[device].open
        assert found is not None
        return found

    def any_open(self) -> bool:
        return any(device.open is not None for device in self.devices)

    def acting(self, number: int) -> tuple[Device, Open] | None:
        """The device of that number if it has a vault open, else any that has."""
        order = [*self.devices[number:], *self.devices[:number]]
        return next(((device, device.open) for device in order if device.open is not None), None)

    def exact(self, opened: Open) -> bool:
        served = self.served[opened.vault_id]
        calm = not opened.tainted and not opened.ended and opened.vault_id not in self.chaos
        return calm and opened.sees(served) and opened.is_current(served)

    def content(self, row: Row) -> Content | None:
        return self.contents[row.digest]

    # --- acting -----------------------------------------------------------------------------------------------

    @contextmanager
    def troubled(self, device: Device, going_wrong: Any) -> Iterator[None]:
        device.start()
        assert device.wire is not None
        assert device.driver is not None
        if isinstance(going_wrong, Cut):
            device.wire.cut = Cut(going_wrong.left, going_wrong.when, going_wrong.lasting, going_wrong.restart)
        elif going_wrong is not None:
            device.driver.left, device.driver.after = going_wrong
            device.driver.armed = True
        wire, driver = device.wire, device.driver
        try:
            yield
        finally:
            wire.cut, driver.armed = None, False

    def attempt(self, device: Device, going_wrong: Any, act: Callable[[], Any]) -> Any:
        """Act, and return what came of it: a result, or the error that ended it."""
        with self.troubled(device, going_wrong):
            try:
                return act()
            except DeathError as death:
                return death
            except HushtagError as error:
                return error

    def changed(self, vault_id: UUID) -> Look | None:
        """What the database has of a vault, if its head is another than before; all other vaults must be as before."""
        found = self.past.look(self.user_id)
        for other, look in found.items():
            if other != vault_id and look != self.looks.get(other):
                raise DisagreementError(f"a change of {vault_id} changed {other}")
        look = found.get(vault_id)
        if look is None or look == self.looks.get(vault_id):
            return None
        self.looks[vault_id] = look
        return look

    def wrote(
        self,
        device: Device,
        opened: Open,
        outcome: Any,
        content: Callable[[UUID, Row], Content | None],
        *,
        rotated: bool = False,
        phrase: int | None = None,
        many: bool = False,
    ) -> bool:
        """Take what a change has left in the database into the model; tell whether anything has changed."""
        vault_id, before = opened.vault_id, self.served[opened.vault_id]
        look = self.changed(vault_id)
        if look is None or isinstance(outcome, BaseException):
            self.may_have_seen(device, opened, before.head)
        if look is None:
            return False
        for object_id, row in look.rows.items():
            if row.digest not in self.contents:
                self.contents[row.digest] = content(object_id, row)
        steps = look.generation - before.head.generation
        if steps < 1 or (steps > 1 and not many):
            raise DisagreementError(f"the server took {steps} generations for one change")
        known = {**before.phrases, **dict.fromkeys(look.tags - before.tags, -1 if phrase is None else phrase)}
        nodes = self._led_to(self._base(opened, before), before, look, steps, rotated=rotated)
        node = nodes[-1]
        data_key = node.data_key if rotated else before.data_key
        ring = before.ring if look.tags == before.tags else node.ring
        self.served[vault_id] = Served(node, look.rows, look.tags, ring, data_key, known)
        self.end_sessions()
        # Who has revoked the own phrase knows no key any more under which to pin.
        if isinstance(outcome, BaseException) or opened.vault.locked:
            self._may_have_written(device, opened, nodes, rotated=rotated)
        else:
            opened.data_key, opened.views = node.data_key, [node]
            device.pins.keep(opened.pin_keys, node)
            device.remember(opened, node)
        self.keep_state()
        return True

    def _led_to(self, base: Node, before: Served, look: Look, steps: int, *, rotated: bool) -> list[Node]:
        """The states that a change went through, the last of which is there now."""
        gone = before.rows.keys() - look.rows.keys()
        mine = {key: row for key, row in look.rows.items() if before.rows.get(key) != row}
        tags = None
        if look.tags != before.tags:
            tags = (base.tags - (before.tags - look.tags)) | (look.tags - before.tags)
        nodes, node = [], base
        for step in range(steps):
            done = sorted(mine, key=lambda key: key.int)[: step + 1] if step < steps - 1 else list(mine)
            rows = {key: row for key, row in node.rows.items() if key not in gone}
            rows |= {key: mine[key] for key in done}
            node = node.next(rows, tags=tags, rotated=rotated, restorations=self._restorations)
            nodes.append(node)
        return nodes

    def _may_have_written(self, device: Device, opened: Open, nodes: list[Node], *, rotated: bool) -> None:
        """A change was stored, and the client that made it may know so, or not."""
        for node in nodes:
            keys = {*opened.pin_keys, ("vault", node.data_key)} if rotated else opened.pin_keys
            device.pins.keep(keys, node, surely=False)
        opened.views = [*opened.views, nodes[-1]]
        opened.tainted = opened.tainted or rotated
        if rotated:
            opened.may_hold |= {node.data_key for node in nodes}

    _restorations: int | None = None

    def _base(self, opened: Open, served: Served) -> Node:
        """On which state a client has based the head of a change that was taken."""
        here = [view for view in opened.views if view.generation == served.head.generation]
        if any(view.print == served.head.print for view in here) or not here:
            return served.head
        if len(opened.views) > 1:
            self.chaos.add(opened.vault_id)
        return here[0]

    def end_sessions(self) -> None:
        """Whose tag is gone has no session any more."""
        for device in self.devices:
            if device.open is not None and device.open.tag not in self.served[device.open.vault_id].tags:
                device.open.ended = True

    def settle(self, device: Device, outcome: Any) -> None:
        """After an action: the program may be dead, or have locked the vault by itself."""
        if isinstance(outcome, DeathError):
            device.end()
        elif device.open is not None and device.open.vault.locked:
            device.open = None

    def disagree(self, expected: object, outcome: object) -> None:
        raise DisagreementError(f"expected {expected}, came to {outcome!r}")

    # --- rules: coming and going ------------------------------------------------------------------------------

    @initialize(phrase=phrases, second=phrases)
    def settle_in(self, phrase: int, second: int) -> None:
        """One vault with an object, which a second phrase opens too unless it is the same."""
        self.enrol(0, phrase, None)
        self.unlock(0, phrase, None)
        self.put(0, b"the first", None)
        if second != phrase:
            self.add_phrase(0, second, None)

    @precondition(lambda self: len(self.served) < VAULTS)
    @rule(device=devices, phrase=phrases, going_wrong=trouble)
    def enrol(self, device: int, phrase: int, going_wrong: Any) -> None:
        who, holder = self.devices[device], self.holder(phrase)
        outcome = self.attempt(who, going_wrong, lambda: who.start().enrol(PHRASES[phrase], label=str(phrase)))
        found = self.past.look(self.user_id)
        new = found.keys() - self.looks.keys()
        if holder is not None and (new or not isinstance(outcome, _BROKEN)):
            self.disagree("a conflict", outcome)
        if holder is None and going_wrong is None and isinstance(outcome, BaseException):
            self.disagree("an enrolment", outcome)
        if holder is not None and going_wrong is None and not isinstance(outcome, ConflictError):
            self.disagree("a conflict", outcome)
        for vault_id in new:
            self.looks[vault_id] = found[vault_id]
            (tag,) = found[vault_id].tags
            self.served[vault_id] = Served.of(Node.first(vault_id, tag), {tag: phrase})
            self.keep_state()
        self.settle(who, outcome)

    @rule(device=devices, phrase=phrases, going_wrong=trouble)
    def unlock(self, device: int, phrase: int, going_wrong: Any) -> None:
        who = self.devices[device]
        if who.open is not None:
            who.end()
        outcome = self.attempt(who, going_wrong, lambda: who.start().unlock(PHRASES[phrase]))
        self.judge_unlock(who, phrase, outcome, going_wrong)
        self.settle(who, outcome)

    def judge_unlock(self, who: Device, phrase: int, outcome: Any, going_wrong: Any) -> None:
        """Hold the outcome of an unlock against the model: exact, whatever the adversary has done."""
        holder = self.holder(phrase)
        if holder is None:
            if isinstance(outcome, Vault) or (going_wrong is None and not isinstance(outcome, AuthenticationError)):
                self.disagree("nothing that opens", outcome)
            return
        vault_id, tag = holder
        served = self.served[vault_id]
        if vault_id in self.chaos:
            self._open_in_chaos(who, vault_id, tag, outcome)
            return
        keys = [("vault", served.data_key), ("tag", tag)]
        possible = who.pins.possible(keys)
        expected = verdicts(possible, served.head) if served.opens else {"damaged"}
        verdict = self._verdict(outcome)
        if verdict not in expected and not (going_wrong is not None and verdict in {"cut", "dead"}):
            self.disagree(expected, outcome)
        if served.opens and expected == {None}:
            # Also what was cut off may have come as far as the pins.
            who.pins.keep(keys, served.head, surely=verdict is None)
        elif verdict is None or verdict in {"cut", "dead"}:
            who.pins.keep(keys, served.head, surely=False)
        if verdict is None:
            self._opened(who, outcome, served, tag, possible)

    @staticmethod
    def _verdict(outcome: Any) -> str | None:
        if isinstance(outcome, Vault):
            return None
        if isinstance(outcome, VaultRolledBackError):
            return outcome.change
        if isinstance(outcome, IntegrityError):
            return "damaged"
        if isinstance(outcome, DeathError):
            return "dead"
        return "cut" if isinstance(outcome, HushtagError) and not isinstance(outcome, RollbackError) else "?"

    def _opened(self, who: Device, vault: Vault, served: Served, tag: UUID, possible: list[list[Node]]) -> None:
        vault_id, head = served.head.vault_id, served.head
        keys = [("vault", served.data_key), ("tag", tag)]
        if (vault.vault_id, vault.tag_id) != (vault_id, tag) or vault.object_count != len(head.rows):
            self.disagree(head, (vault.vault_id, vault.tag_id, vault.object_count))
        if who.must_refuse(vault_id, head, keys):
            self.disagree("a refusal: this device has accepted a later state", "an open vault")
        if (vault.pinned is None) not in {not pins for pins in possible}:
            self.disagree(possible, vault.pinned)
        tainted = who.may_refuse(vault_id, head) or not served.whole
        who.open = Open(vault, vault_id, tag, tag, served.data_key, [head], tainted)
        who.remember(who.open, head)

    def _open_in_chaos(self, who: Device, vault_id: UUID, tag: UUID, outcome: Any) -> None:
        served = self.served[vault_id]
        if isinstance(outcome, Vault):
            who.open = Open(outcome, vault_id, tag, tag, served.data_key, [served.head], True)
        who.pins.keep([("vault", served.data_key), ("tag", tag)], served.head, surely=False)

    @precondition(lambda self: self.any_open())
    @rule(device=devices, going_wrong=trouble)
    def lock(self, device: int, going_wrong: Any) -> None:
        who, opened, _ = self._acting(device)
        outcome = self.attempt(who, going_wrong, opened.vault.lock)
        if not opened.vault.locked and not isinstance(outcome, DeathError):
            self.disagree("a locked vault", outcome)
        who.open = None
        self.settle(who, outcome)

    @rule(device=devices)
    def program_ends(self, device: int) -> None:
        self.devices[device].end()

    @rule()
    def server_restarts(self) -> None:
        self.world.restart()

    # --- rules: objects ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.any_open())
    @rule(device=devices, body=bodies, going_wrong=trouble)
    def put(self, device: int, body: bytes, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        content = Content(f"thing {len(self.contents)}", body)
        outcome = self.attempt(who, going_wrong, lambda: opened.vault.put(body, name=content.name))
        stored = self.wrote(who, opened, outcome, lambda *_: content)
        if before.exact and not before.troubled and isinstance(outcome, BaseException):
            self.disagree("a stored object", outcome)
        if not isinstance(outcome, BaseException):
            if not stored or outcome.object_id not in self.served[opened.vault_id].rows:
                self.disagree("a stored object", outcome)
            opened.shown[outcome.object_id] = self.served[opened.vault_id].rows[outcome.object_id]
        self.judge_change(opened, before, outcome, stored)
        self.settle(who, outcome)

    @precondition(lambda self: self.any_open())
    @rule(device=devices, which=any_number, body=bodies, going_wrong=trouble)
    def overwrite(self, device: int, which: int, body: bytes, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        object_id = self.any_object(opened, which)
        if object_id is None:
            return
        allowed = self.may_change(opened, object_id, ConflictError)
        content = Content(f"again {len(self.contents)}", body)
        outcome = self.attempt(who, going_wrong, lambda: opened.vault.put(body, name=content.name, replace=object_id))
        stored = self.wrote(who, opened, outcome, lambda *_: content)
        if before.exact and not before.troubled:
            self.among(allowed, outcome)
        if not isinstance(outcome, BaseException):
            opened.shown[object_id] = self.served[opened.vault_id].rows[object_id]
        self.judge_change(opened, before, outcome, stored)
        self.settle(who, outcome)

    @precondition(lambda self: self.any_open())
    @rule(device=devices, which=any_number, going_wrong=trouble)
    def delete(self, device: int, which: int, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        object_id = self.any_object(opened, which)
        if object_id is None:
            return
        allowed = self.may_change(opened, object_id, type(None))
        outcome = self.attempt(who, going_wrong, lambda: opened.vault.delete(object_id))
        stored = self.wrote(who, opened, outcome, lambda *_: None)
        if before.exact and not before.troubled:
            self.among(allowed, outcome)
        if not isinstance(outcome, BaseException):
            if before.exact and object_id in self.served[opened.vault_id].rows:
                self.disagree("a deleted object", outcome)
            opened.shown.pop(object_id, None)
        self.judge_change(opened, before, outcome, stored)
        self.settle(who, outcome)

    def _acting(self, number: int, going_wrong: Any = None) -> tuple[Device, Open, Before]:
        found = self.acting(number)
        assert found is not None
        who, opened = found
        served = self.served[opened.vault_id]
        calm = served.whole and not opened.ended and opened.vault_id not in self.chaos
        back, other_key = calm and opened.went_back(served), not opened.holds(served)
        before = Before(self.exact(opened), served, back, other_key, going_wrong is not None)
        return who, opened, before

    def any_object(self, opened: Open, which: int) -> UUID | None:
        """An object of the vault, sometimes one that is gone."""
        rows = self.served[opened.vault_id].rows
        known = [*sorted(rows, key=lambda key: rows[key].digest), *(key for key in opened.shown if key not in rows)]
        return known[which % len(known)] if known else None

    def may_change(self, opened: Open, object_id: UUID, gone: type) -> set[type]:
        """What a change of an object may come to: by what its user was last shown of it."""
        now = self.served[opened.vault_id].rows.get(object_id)
        if now is None:
            return {NotFoundError, gone}
        if object_id not in opened.shown or opened.shown[object_id] is None:
            return {object, ConflictError}
        return {object} if opened.shown[object_id] == now else {ConflictError}

    def among(self, allowed: set[type], outcome: Any) -> None:
        kind = type(outcome) if isinstance(outcome, BaseException) or outcome is None else object
        if kind is type(None) and object in allowed:
            return
        if not any(kind is each or (each is not object and issubclass(kind, each)) for each in allowed):
            self.disagree(allowed, outcome)

    def judge_change(self, opened: Open, before: Before, outcome: Any, stored: bool) -> None:
        """What holds for every change: a session that is shown an earlier state notices, and changes nothing."""
        if before.back:
            if stored or not isinstance(outcome, BaseException):
                self.disagree("a refusal: this session has seen a later state", outcome)
            if not before.troubled:
                self.among({RollbackError, NotFoundError, ConflictError, MisuseError}, outcome)
        if stored and not isinstance(outcome, BaseException) and before.other_key:
            base = self.served[opened.vault_id].head.parent
            if base is before.served.head:
                self.disagree("a refusal: the vault has another data key", outcome)

    @precondition(lambda self: self.any_open())
    @rule(device=devices, going_wrong=trouble)
    def list(self, device: int, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        served = before.served
        outcome = self.attempt(who, going_wrong, opened.vault.list)
        if self.changed(opened.vault_id) is not None:
            self.disagree("a vault as it was", outcome)
        if isinstance(outcome, tuple):
            self.check_listing(opened, before, outcome)
            opened.shown = dict(served.rows)
            self.saw(who, opened, served.head)
        else:
            self.may_have_seen(who, opened, served.head)
            if before.exact and not before.troubled:
                self.disagree("a listing", outcome)
            if before.back and not before.troubled:
                self.among({RollbackError}, outcome)
        self.settle(who, outcome)

    def saw(self, who: Device, opened: Open, head: Node) -> None:
        """A listing was believed: its head is the newest seen, unless that is another one of the same rows."""
        if any(view.generation == head.generation and view.print != head.print for view in opened.views):
            return
        opened.views = [head]
        who.pins.keep(opened.pin_keys, head)
        who.remember(opened, head)

    def may_have_seen(self, who: Device, opened: Open, head: Node) -> None:
        """An action that failed may have taken a later head all the same."""
        if head.data_key == opened.data_key and not any(view.print == head.print for view in opened.views):
            who.pins.keep(opened.pin_keys, head, surely=False)
            if all(head.follows(view) for view in opened.views):
                opened.views = [*opened.views, head]
            elif any(head.generation > view.generation for view in opened.views):
                opened.views = [*opened.views, head]
                opened.tainted = True

    def check_listing(self, opened: Open, before: Before, listing: tuple[VaultEntry, ...]) -> None:
        """A listing is what is there, and what a head vouches for."""
        served = before.served
        if opened.ended:
            self.disagree("a refusal: the tag is gone", listing)
        if before.back:
            self.disagree("a refusal: this session has seen a later state", listing)
        vouched = [node for node in (served.head, *opened.views) if node.rows == served.rows]
        found = {entry.object_id: entry for entry in listing}
        if not vouched or found.keys() != served.rows.keys():
            self.disagree(served.rows, listing)
        for object_id, row in served.rows.items():
            content = self.content(row)
            if found[object_id].revision != row.revision or (content and found[object_id].name != content.name):
                self.disagree(content, found[object_id])

    @precondition(lambda self: self.any_open())
    @rule(device=devices, which=any_number, going_wrong=trouble)
    def get(self, device: int, which: int, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        object_id = self.any_object(opened, which)
        if object_id is None:
            return
        served = before.served
        outcome = self.attempt(who, going_wrong, lambda: opened.vault.get(object_id))
        if self.changed(opened.vault_id) is not None:
            self.disagree("a vault as it was", outcome)
        row = served.rows.get(object_id)
        if isinstance(outcome, BaseException):
            self.may_have_seen(who, opened, served.head)
            if before.exact and not before.troubled and not (row is None and isinstance(outcome, NotFoundError)):
                self.disagree(row, outcome)
        else:
            content = self.content(row) if row else None
            vouched = any(node.rows.get(object_id) == row for node in (served.head, *opened.views))
            if row is None or not vouched or outcome.revision != row.revision or opened.ended:
                self.disagree(row, outcome)
            if content is not None and (outcome.name, outcome.body) != content:
                self.disagree(content, outcome)
            opened.shown[object_id] = row
            self.may_have_seen(who, opened, served.head)
        self.settle(who, outcome)

    # --- rules: phrases ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.any_open())
    @rule(device=devices, going_wrong=trouble)
    def list_phrases(self, device: int, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        served = before.served
        outcome = self.attempt(who, going_wrong, opened.vault.phrases)
        if isinstance(outcome, tuple):
            told = {each.tag_id: each.label for each in outcome}
            if told.keys() != served.tags or opened.ended:
                self.disagree(served.tags, outcome)
        elif before.exact and not before.troubled:
            self.disagree("the phrases", outcome)
        self.may_have_seen(who, opened, served.head)
        self.settle(who, outcome)

    @precondition(lambda self: self.any_open())
    @rule(device=devices, phrase=phrases, going_wrong=trouble)
    def add_phrase(self, device: int, phrase: int, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        holder = self.holder(phrase)
        add = lambda: opened.vault.add_phrase(PHRASES[phrase], label=str(phrase))  # noqa: E731
        outcome = self.attempt(who, going_wrong, add)
        stored = self.wrote(who, opened, outcome, lambda *_: None, phrase=phrase)
        if holder is not None and stored:
            self.disagree("a conflict", outcome)
        if before.exact and not before.troubled:
            self.among({object} if holder is None else {ConflictError}, outcome)
        self.judge_change(opened, before, outcome, stored)
        self.settle(who, outcome)

    @precondition(lambda self: self.any_open())
    @rule(device=devices, which=any_number, going_wrong=trouble)
    def revoke(self, device: int, which: int, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        tag = self.any_tag(opened, which)
        served = before.served
        outcome = self.attempt(who, going_wrong, lambda: opened.vault.revoke_phrase(tag))
        stored = self.wrote(who, opened, outcome, lambda *_: None, rotated=True)
        if before.exact and not before.troubled:
            self.among({object} if len(served.tags) > 1 else {MisuseError}, outcome)
        if not isinstance(outcome, BaseException) and (not stored or tag in self.served[opened.vault_id].tags):
            self.disagree("a revoked phrase", outcome)
        self.judge_change(opened, before, outcome, stored)
        self.settle(who, outcome)

    @precondition(lambda self: self.any_open())
    @rule(device=devices, which=any_number, phrase=phrases, going_wrong=trouble)
    def change_phrase(self, device: int, which: int, phrase: int, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        tag, holder = self.any_tag(opened, which), self.holder(phrase)
        outcome = self.attempt(
            who, going_wrong, lambda: opened.vault.change_phrase(tag, PHRASES[phrase], label=str(phrase))
        )
        own, tags = tag == opened.tag, self.served[opened.vault_id].tags
        if own and not isinstance(outcome, BaseException):
            opened.tag = outcome.tag_id
        stored = self.wrote(who, opened, outcome, lambda *_: None, rotated=True, phrase=phrase)
        if (
            own and stored and isinstance(outcome, BaseException)
        ):  # the server's session goes on with the new tag, whatever the client knows
            (opened.tag,) = self.served[opened.vault_id].tags - tags
            opened.ended = False
        if holder is not None and stored:
            self.disagree("a conflict", outcome)
        if before.exact and not before.troubled:
            self.among({object} if holder is None else {ConflictError}, outcome)
        self.judge_change(opened, before, outcome, stored)
        self.settle(who, outcome)

    def any_tag(self, opened: Open, which: int) -> UUID:
        served = self.served[opened.vault_id]
        tags = sorted(served.tags, key=lambda tag: served.phrases[tag])
        return tags[which % len(tags)]

    @precondition(lambda self: self.any_open())
    @rule(device=devices, going_wrong=trouble)
    def reseal(self, device: int, going_wrong: Any) -> None:
        who, opened, before = self._acting(device, going_wrong)
        served = before.served
        old = {key for key, row in served.rows.items() if row.key_version < served.head.key_version}
        outcome = self.attempt(who, going_wrong, opened.vault.reseal)
        self.wrote(who, opened, outcome, lambda key, _: self.content(served.rows[key]), many=True)
        if before.exact and not before.troubled and outcome != len(old):
            self.disagree(len(old), outcome)
        opened.shown = {key: None if key in old else row for key, row in opened.shown.items()}
        if not isinstance(outcome, BaseException) and opened.vault_id not in self.chaos:
            after = self.served[opened.vault_id]
            if any(row.key_version < after.head.key_version for row in after.rows.values()):
                self.disagree("everything under the present key", after.rows)
        else:
            self.may_have_seen(who, opened, self.served[opened.vault_id].head)
        self.settle(who, outcome)

    # --- rules: the adversary, and what stands against it ----------------------------------------------------

    @rule(which=st.integers(0, 1000))
    def goes_back(self, which: int) -> None:
        """The adversary serves everything as it once was."""
        number, served, looks = self.kept[which % len(self.kept)]
        if not served or served.keys() != self.served.keys():
            return  # a vault that is not there at all is denied, not taken back
        self.past.bring_back(self.user_id, number)
        self.served, self.looks = dict(served), dict(looks)
        self.end_sessions()
        self.keep_state()

    @precondition(lambda self: len(self.served) > 1)
    @rule(which=st.integers(0, 1000), first=st.booleans())
    def takes_one_back(self, which: int, first: bool) -> None:
        """The adversary serves one vault as it once was, beside the other of today."""
        number, served, looks = self.kept[which % len(self.kept)]
        vault_id, other = list(self.served) if first else list(self.served)[::-1]
        if vault_id not in served:
            return
        known = self.served[other]
        taken = {known.phrases[tag] for tag in known.tags}
        if taken & {served[vault_id].phrases[tag] for tag in served[vault_id].tags}:
            return  # one phrase cannot be behind two tags
        self.past.bring_back(self.user_id, number, vault_id)
        self.served |= {vault_id: served[vault_id]}
        self.looks |= {vault_id: looks[vault_id]}
        self.end_sessions()
        self.keep_state()

    @rule(device=devices, phrase=phrases, going_wrong=trouble)
    def accept_restored(self, device: int, phrase: int, going_wrong: Any) -> None:
        """The honest restore: a person looks at what is lost, and gives it up."""
        who, holder = self.devices[device], self.holder(phrase)
        if holder is None or holder[0] in self.chaos:
            return
        vault_id, tag = holder
        served = self.served[vault_id]
        keys = [("vault", served.data_key), ("tag", tag)]
        expected = verdicts(who.pins.possible(keys), served.head)
        if not served.whole or None in expected:
            return
        who.end()
        outcome = self.attempt(who, None, lambda: who.start().unlock(PHRASES[phrase], review_restored=True))
        if not isinstance(outcome, Vault):
            self.disagree("a vault to review", outcome)
        refused = self.attempt(who, None, outcome.list)
        if not isinstance(refused, VaultRolledBackError) or refused.change not in expected:
            self.disagree(expected, refused)
        self._accept(who, outcome, served, tag, going_wrong)

    def _accept(self, who: Device, vault: Vault, served: Served, tag: UUID, going_wrong: Any) -> None:
        vault_id, doubted = served.head.vault_id, vault.restoration()
        if doubted is None or doubted.served_generation != served.head.generation:
            self.disagree(served.head.generation, doubted)
        assert doubted is not None
        opened = Open(vault, vault_id, tag, tag, served.data_key, [served.head], True)
        possible = who.pins.possible(opened.pin_keys)
        newest = {pins[0].restorations for pins in possible if pins}
        outcome = self.attempt(who, going_wrong, lambda: vault.accept_restored(doubted.confirmation))
        counts = {max(served.head.restorations, each) + 1 for each in newest}
        head = vault_steps(vault).witness.head
        self._restorations = head.restorations if head.restorations in counts else min(counts)
        stored = self.wrote(who, opened, RollbackError(""), lambda *_: None)
        self._restorations = None
        if stored and len(counts) > 1 and isinstance(outcome, BaseException):
            self.chaos.add(vault_id)  # which it was, only a device that opens it can tell
        if doubted.change == "restored" and stored:
            self.disagree("nothing to write: another device has told it", outcome)
        if isinstance(outcome, BaseException):
            if going_wrong is None:
                self.disagree("an accepted state", outcome)
            who.pins.keep(opened.pin_keys, self.served[vault_id].head, surely=False)
            who.end()
            return
        now = self.served[vault_id].head
        who.pins.force(opened.pin_keys, now)
        who.accepted[vault_id] = []
        opened.views, opened.tainted = [now], False
        who.open = opened
        who.remember(opened, now)

    @precondition(lambda self: self.any_open())
    @rule(device=devices)
    def note_code(self, device: int) -> None:
        """Somebody reads the epoch code on a device and remembers it."""
        who, opened, before = self._acting(device)
        served = before.served
        outcome = self.attempt(who, None, opened.vault.epoch_code)
        if isinstance(outcome, str):
            if opened.vault_id not in self.chaos and not opened.ended and served.opens:
                self.codes.append((outcome, opened.vault_id, served.head))
        elif before.exact:
            self.disagree("a code", outcome)
        self.may_have_seen(who, opened, served.head)
        self.settle(who, outcome)

    @precondition(lambda self: bool(self.codes))
    @rule(which=any_number, phrase=phrases)
    def fresh_device_with_code(self, which: int, phrase: int) -> None:
        """A device that has seen nothing is given a code with the unlock."""
        code, vault_id, noted = self.codes[-1 - which % len(self.codes)]
        holder = self.holder(phrase)
        if holder is None or holder[0] in self.chaos:
            return
        served = self.served[holder[0]]
        client, _, _ = self.world.client(None, self.devices[0].session)
        outcome: Any
        try:
            outcome = client.unlock(PHRASES[phrase], epoch_code=code)
        except HushtagError as error:
            outcome = error
        client._driver.close()
        if not served.opens:
            self.among({IntegrityError}, outcome)
            return
        head = served.head
        if holder[0] != vault_id or head.data_key != noted.data_key:
            # One in a thousand times a code of another key passes for one of this; else it is refused.
            return
        if head.generation == noted.generation:
            expected = {object} if head.print == noted.print else {EpochError}
        else:
            expected = {object} if head.generation > noted.generation else {EpochError}
        self.among(expected, outcome)

    # --- always -----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_changes_by_itself(self) -> None:
        if self.past.look(self.user_id) != self.looks:
            raise DisagreementError("the database is not what the model says")

    def teardown(self) -> None:
        """What is there at the end opens for every phrase that opens it, whole, and for no other."""
        for device in self.devices:
            device.end()
        client, _, _ = self.world.client(None, self.devices[0].session)
        for number, phrase in enumerate(PHRASES):
            holder = self.holder(number)
            try:
                vault = client.unlock(phrase)
            except AuthenticationError:
                if holder and self.served[holder[0]].opens and holder[0] not in self.chaos:
                    self.disagree("a vault", "nothing")
                continue
            if holder is None:
                self.disagree("nothing", vault)
            self._audit(vault, self.served[vault.vault_id])
        client._driver.close()

    def _audit(self, vault: Vault, served: Served) -> None:
        try:
            found = {entry.object_id: vault.get(entry.object_id) for entry in vault.list()}
        except HushtagError as error:
            if served.whole and served.head.vault_id not in self.chaos:
                self.disagree(served.rows, error)
            return
        if found.keys() != served.rows.keys():
            self.disagree(served.rows, found)
        for object_id, row in served.rows.items():
            content = self.content(row)
            if content is not None and (found[object_id].name, found[object_id].body) != content:
                self.disagree(content, found[object_id])
