"""Steps that change the phrases of a vault: add, revoke, change; destroy.

Each change is one exchange for one generation, as a put is: the server takes all of it or nothing, and when the answer
is lost, the head tells. A change of the ring is stored exactly if the ring that the head vouches for names it.
"""

import functools
from collections.abc import Callable, Mapping
from typing import TypeVar
from uuid import UUID

from hushtag.client import phrase_changes
from hushtag.client.answers import encode, expect, expect_nothing, problem_of
from hushtag.client.calls import UNTOLD, fetch, outcome_unknown
from hushtag.client.ceremony_steps import check_label, phrase_taken, register
from hushtag.client.contents import VaultPhrase
from hushtag.client.effects import Pause, Request, Steps, compute, exchange
from hushtag.client.errors import (
    ConflictError,
    NotFoundError,
    ServerError,
    SessionExpiredError,
    TransportError,
    UnavailableError,
    VaultLockedError,
)
from hushtag.client.ids import uuid_of
from hushtag.client.phrase_changes import Replacement, Rotated
from hushtag.client.policy import RetryPolicy
from hushtag.client.ring_steps import Ring, RingSteps
from hushtag.client.row_steps import VAULT_DENIED
from hushtag.client.session import Session
from hushtag.client.witness import Seen, Witness
from hushtag.enrollment import AwaitingRegistrationResponse
from hushtag.errors import LimitError, MalformedError, MisuseError, RollbackError
from hushtag.head import VaultHead
from hushtag.messages import (
    AddTag,
    NewTag,
    RegistrationStarted,
    RotateVault,
    VaultState,
    decode_binary,
)
from hushtag.ring import MAX_PHRASES, Member
from hushtag.types import DataKey, DeviceSecret

__all__ = ["PhraseSteps"]

Looked = TypeVar("Looked")


class PhraseSteps(RingSteps):
    """The phrases of one open vault. `ended` is called when the phrase that is open opens it no more."""

    def __init__(
        self,
        witness: Witness,
        own: Member,
        token: str,
        retry: RetryPolicy,
        session: Session,
        ended: Callable[[], object],
    ) -> None:
        super().__init__(witness, own, token, retry)
        self._session = session
        self._ended = ended

    def add_phrase(
        self, accepted: Callable[[], str], *, label: str, device_secret: DeviceSecret | None
    ) -> Steps[VaultPhrase]:
        """Let a further phrase open the vault.

        Raises:
            LimitError: the vault has 50 phrases, or the label is too long; nothing was sent.
            PhraseError, BudgetError: as for an enrolment.
            ConflictError: the phrase opens a vault of this account already, or the vault's key was rotated.
            TransportError: the connection is gone, and nothing was changed.
            OutcomeUnknownError: the connection is gone and what became of it is not known.
            StoredNotPinnedError: the phrase is added, and that could not be pinned on this device.
        """
        check_label(label)
        if len((yield from self.ring()).known) >= MAX_PHRASES:
            raise LimitError(f"the vault has {MAX_PHRASES} phrases; revoke one first")
        version = self.witness.head.key_version
        tag = yield from self._register(accepted, label, device_secret, self.witness.data_key, version)
        ring = yield from self.ring()
        lost: TransportError | None = None
        for attempt in range(self.retry.changes):
            if ring.head.key_version != version:
                raise lost or ConflictError("the vault has a new key; unlock it again", code="key_rotated")
            proposed, message = phrase_changes.addition(self.witness, ring.head, ring.members, tag)
            try:
                stored = yield from self._send("tags", message)
            except (TransportError, UnavailableError):
                lost, stored = outcome_unknown(), False
            if stored:
                lost = outcome_unknown()  # a connection that breaks from here on must not say that nothing was stored
                self.witness.adopt_ring(proposed)
                yield from self.pin_stored("the phrase is added")
            else:
                yield Pause(self.retry.pause(attempt))
                yield from self._look(self.refresh(), lost)
            ring = yield from self._look(self.ring(), lost)
            found = [each for each in ring.known if each.phrase.tag_id == tag.tag_id]
            if found:
                return found[0].told()
        raise lost or ConflictError("the vault changes faster than it can be written; try again", code="busy")

    @staticmethod
    def _look(steps: Steps[Looked], lost: TransportError | None) -> Steps[Looked]:
        """Look at the vault; if the line breaks and a change may be stored by then, that is told: `lost`.

        So it is if somebody has replaced the key: nobody can tell any more whether the change came before that.
        """
        try:
            return (yield from steps)
        except (*UNTOLD, ConflictError) as error:
            raise lost or error from None

    def _register(
        self, accepted: Callable[[], str], label: str, secret: DeviceSecret | None, key: DataKey, version: int
    ) -> Steps[NewTag]:
        vault_id = self.witness.vault_id

        def finish(awaiting: AwaitingRegistrationResponse, started: RegistrationStarted) -> NewTag:
            return awaiting.join(started, label=label, vault_id=vault_id, data_key=key, key_version=version)

        return (yield from register(self._session, accepted, finish, device_secret=secret))

    def _send(self, place: str, message: AddTag | RotateVault) -> Steps[bool]:
        """Send a change once; tell whether it is stored, or its generation was taken."""
        request = Request("POST", f"{self.path}/{place}", self.token, encode(message), "application/json")
        response = yield from exchange(request)
        if response.status != 201:
            error = problem_of(response)
            if isinstance(error, NotFoundError):
                raise RollbackError(VAULT_DENIED)
            if isinstance(error, ServerError) and error.code == "generation_conflict":
                return False
            raise phrase_taken(error) if isinstance(error, ServerError) else error
        state = expect(response, (201,), VaultState)
        version = message.key_version if isinstance(message, RotateVault) else self.witness.head.key_version
        expected = VaultState(self.witness.vault_id, message.generation, version, message.head, message.ring)
        if state != expected:
            raise MalformedError("answer names another state of the vault than it was to make")
        return True

    def revoke_phrase(self, tag_id: UUID) -> Steps[None]:
        """Let a phrase open the vault no more, and replace the data key, so that it opens nothing that comes.

        Raises:
            NotFoundError: no phrase of the vault has this id.
            MisuseError: it is the last one.
            ConflictError: the vault's key was rotated by somebody else, or the vault changes too fast.
            OutcomeUnknownError: the connection is gone and what became of it is not known.
        """
        tag_id = uuid_of(tag_id)
        ring = yield from self.ring()
        self._find(ring, tag_id)
        if len(ring.known) == 1:
            raise MisuseError("this is the last phrase of the vault; to end both, destroy the vault")
        yield from self._rotate(Replacement(tag_id), ring)

    def change_phrase(
        self, tag_id: UUID, accepted: Callable[[], str], *, label: str | None, device_secret: DeviceSecret | None
    ) -> Steps[VaultPhrase]:
        """Put a new phrase in the place of one, in one step; without a label it takes over the old one's.

        Raises:
            NotFoundError, OutcomeUnknownError: as for `revoke_phrase`.
            PhraseError, BudgetError, ConflictError: as for `add_phrase`.
            IntegrityError: the old one's label is to be taken over, and does not open.
        """
        tag_id = uuid_of(tag_id)
        ring = yield from self.ring()
        old = self._find(ring, tag_id)
        label = old.told().label if label is None else label
        check_label(label)
        change = Replacement(tag_id)
        version = ring.head.key_version + 1
        try:
            change.tag = yield from self._register(accepted, label, device_secret, change.data_key, version)
        except BaseException:
            change.data_key.forget()
            raise
        yield from self._rotate(change, ring)
        # Stored by now: a connection that breaks must not say that nothing was.
        return self._find((yield from self._look(self.ring(), outcome_unknown())), change.tag.tag_id).told()

    def _rotate(self, change: Replacement, ring: Ring) -> Steps[None]:
        try:
            rotated, head = yield from self._try_rotation(change, ring)
        except BaseException:
            change.data_key.forget()
            raise
        if change.revoked == self.tag_id and change.tag is None:
            change.data_key.forget()
            self._ended()
            return
        done = "the phrase is revoked" if change.tag is None else "the phrase is changed"
        try:
            self.witness.adopt_rotation(change.data_key, head)
        except VaultLockedError:  # meanwhile
            change.data_key.forget()
            yield from self.pin_stored(done)
            return
        if change.revoked == self.tag_id and change.tag is not None:
            self.own = Member(change.tag.tag_id, decode_binary(change.tag.public_key))
        if head != rotated.head:
            self.witness.rows = None  # somebody has gone on under our key already
        if self.pinned is not None:
            self.pinned.follow(change.data_key)
        yield from self.pin_stored(done)

    def _try_rotation(self, change: Replacement, ring: Ring) -> Steps[tuple[Rotated, VaultHead]]:
        """Try until the rotation is stored; returns what was stored, and the vault's head now."""
        lost: TransportError | None = None
        version = ring.head.key_version
        for attempt in range(self.retry.changes):
            if self.witness.rows is None:
                yield from self._look(self.listing(), lost)
            if self.witness.head != ring.head:
                # Whoever stays may have another public key by now: one that is sealed to the old one opens nothing.
                ring = yield from self._look(self.ring(), lost)
            self._find(ring, change.revoked)
            if ring.head.key_version != version:
                raise ConflictError("the vault has a new key; unlock it again", code="key_rotated")
            rows = self.witness.rows
            if rows is None:
                continue  # the vault went on once more, while its phrases were read
            rotated = yield from compute(functools.partial(self._prepare, change, ring, rows))
            try:
                if (yield from self._send("rotations", rotated.message)):
                    return rotated, rotated.head
            except (TransportError, UnavailableError):
                lost = outcome_unknown()
            yield Pause(self.retry.pause(attempt))
            head = yield from self._find_rotation(change, rotated, lost)
            if head is not None:
                return rotated, head
            yield from self._look(self.refresh(), lost)
        raise lost or ConflictError("the vault changes faster than it can be written; try again", code="busy")

    def _prepare(self, change: Replacement, ring: Ring, rows: Mapping[UUID, Seen]) -> Rotated:
        stay = [
            (each.member, each.phrase.label if each.labelled else None)
            for each in ring.known
            if each.member.tag_id != change.revoked
        ]
        return phrase_changes.rotation(self.witness, ring.head, rows, change, stay)

    def _find_rotation(
        self, change: Replacement, rotated: Rotated, lost: TransportError | None
    ) -> Steps[VaultHead | None]:
        """Return the vault's head if it is under our new key, `None` if it is under the old one still.

        Nobody else can make a head under our key, unless it was given to them by our rotation.
        """
        try:
            response = yield from fetch(Request("GET", self.path, self.token), self.retry)
            state = expect(response, (200,), VaultState)
        except NotFoundError:
            raise RollbackError(VAULT_DENIED) from None
        except (*UNTOLD, SessionExpiredError) as error:
            # A phrase that revoked itself cannot ask any more whether it did.
            raise lost or error from None
        if state.key_version < rotated.head.key_version:
            return None
        if state.key_version > rotated.head.key_version and lost is not None:
            raise lost  # ours or another one may have come before the last
        return phrase_changes.open_rotated(self.witness.vault_id, change.data_key, state, rotated)

    def destroy(self, confirm: UUID | str) -> Steps[None]:
        """Destroy the vault with its last phrase: the keys first, then every object.

        Raises:
            MisuseError: `confirm` is not the vault's id; nothing was sent.
            ConflictError: other phrases open the vault, or somebody has changed it meanwhile.
            OutcomeUnknownError: the connection broke; if the phrase opens nothing any more, it is done.
        """
        if str(confirm) != str(self.witness.vault_id):
            raise MisuseError("to destroy a vault, confirm with its id")
        if len((yield from self.ring()).known) > 1:
            raise ConflictError("other phrases open the vault; revoke them first", code="phrases_remain")
        headers = {
            "Hushtag-Generation": str(self.witness.head.generation),
            "Hushtag-Confirm": str(self.witness.vault_id),
        }
        try:
            response = yield from exchange(Request("DELETE", self.path, self.token, headers=headers))
            if response.status >= 500:
                raise problem_of(response)
        except (TransportError, UnavailableError):
            raise outcome_unknown() from None
        try:
            expect_nothing(response)
        except NotFoundError:
            raise RollbackError(VAULT_DENIED) from None
        self._ended()
