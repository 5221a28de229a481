"""Moving a tag to another setup of the server: SPEC.md, section 14, with two setups in use at once.

Covered: which entry of a locate opens, that the move takes no further evaluation, every field of its message, the
heads with and without a ring, what the server checks, and that afterwards the phrase opens under the current setup
alone. Needs a server, so tested there: that all or nothing is stored.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec
import pytest

from hushtag._opaque import ServerSetup, decoy_record
from hushtag.duress import derive_release
from hushtag.enrollment import AcceptedTag
from hushtag.errors import AuthenticationError, LimitError, MalformedError, StateError
from hushtag.head import VaultHead, open_head
from hushtag.keys import derive_kek, derive_tag_key_pair, unwrap_key
from hushtag.messages import Located, MoveTag, Unlocked, UnlockStarted, VaultKey, decode_binary, encode_binary
from hushtag.moving import TagMove, accept_move
from hushtag.pins import derive_tag_pin_key
from hushtag.ring import Member, ring_digest
from hushtag.suites import HUSHTAG_V1
from hushtag.tag_label import open_label
from hushtag.types import DataKey, ExportKey, PhraseHash, Record, WrappedKey
from hushtag.unlock import Finishing, UnlockedTag, start_unlock
from hushtag.unlock_server import LiveSetup, LocatedState, answer_candidates, evaluate_located, verify_candidate
from tests.core.ceremony import SEALED, SESSION, World, unlocked_message

NEW, OLD = UUID(int=21), UUID(int=22)
OFFER = "b2ZmZXI"


@dataclass
class TwoSetups:
    """A server that goes from one setup to another; `tags` are under the earlier, `moved` under the current one."""

    earlier: World
    setup: ServerSetup = field(default_factory=ServerSetup.generate)
    moved: dict[bytes, Record] = field(default_factory=dict)

    def live(self) -> list[LiveSetup]:
        """Both setups, the current one first."""
        return [LiveSetup(NEW, self.setup), LiveSetup(OLD, self.earlier.setup)]

    def _find(self, key_id: UUID, found: PhraseHash) -> Record:
        world = self.earlier
        setup, records = (self.setup, self.moved) if key_id == NEW else (world.setup, world.records())
        return records.get(found, decoy_record(setup, world.decoy_seed, world.credential_id))

    def prove(self, *phrases: str, live: list[LiveSetup] | None = None) -> Finishing:
        """Take an unlock up to its last message, which the server has verified."""
        setups, credential_id = live or self.live(), self.earlier.credential_id
        locating = start_unlock([self.earlier.password(phrase) for phrase in phrases])
        located = LocatedState.of(setups, locating.message)
        responses = evaluate_located(setups, credential_id, located)
        assert len(responses) == len(phrases) * len(setups)
        proving = locating.finish(Located(session_id=SESSION, responses=responses))
        state, ke2 = answer_candidates(setups, credential_id, located, proving.message, self._find)
        finishing = proving.finish(UnlockStarted(session_id=SESSION, state=SEALED, ke2=ke2))
        proven = verify_candidate(state, finishing.message)
        assert proven.newest == setups[0].id
        assert proven.key_id == setups[finishing.message.candidate % len(setups)].id
        return finishing


class Vault(NamedTuple):
    """An open vault, as a move takes it."""

    vault_id: UUID
    wrapped_key_id: UUID
    data_key: DataKey
    head: VaultHead


@pytest.fixture(scope="module")
def two() -> TwoSetups:
    """A user whose two tags are under the earlier setup."""
    world = World()
    world.enrol("open sesame")
    world.enrol("close sesame")
    return TwoSetups(world)


def _tag(two: TwoSetups, at: int = 0) -> AcceptedTag:
    return list(two.earlier.tags.values())[at]


def _unlock(two: TwoSetups, *, move: str | None = OFFER) -> UnlockedTag:
    honest = msgspec.structs.replace(unlocked_message(_tag(two, 1)), move=move)
    return two.prove("open says me", "close sesame").finish(honest)


def _vaults(ring: bytes | None = None) -> list[Vault]:
    heads = VaultHead(9, 4, 2, b"s" * 32, 1, ring), VaultHead(30, 1, 5, b"t" * 32)
    return [Vault(uuid4(), uuid4(), DataKey(os.urandom(32)), head) for head in heads]


def _move(two: TwoSetups) -> TagMove:
    move = _unlock(two).move
    assert move is not None
    return move


def test_an_entry_belongs_to_a_phrase_and_a_setup(two: TwoSetups) -> None:
    """Two phrases under two setups are four entries; the second phrase's tag is under the earlier: the fourth opens."""
    finishing = two.prove("open says me", "close sesame")
    assert finishing.message.candidate == 3
    assert finishing._place.entry == 3
    assert finishing._place.phrase == 1
    opened = _unlock(two)
    assert (opened.candidate, opened.tag_id) == (1, _tag(two, 1).message.tag_id)
    assert opened.move is not None
    assert opened.move.tag_id == opened.tag_id
    opened.forget()
    assert opened.move._export_key._buffer is None
    with pytest.raises(StateError):
        opened.move.finish(_vaults(), "l", {})


def test_without_an_offer_nothing_moves_and_what_was_prepared_is_forgotten(two: TwoSetups) -> None:
    finishing = two.prove("open sesame")
    assert finishing._place.registered is not None
    _, prepared = finishing._place.registered
    assert prepared.expose() != finishing._export_key.expose()
    opened = finishing.finish(unlocked_message(_tag(two)))
    assert opened.move is None
    assert prepared._buffer is None
    opened.forget()


def test_an_unlock_that_fails_forgets_what_was_prepared(two: TwoSetups) -> None:
    older = unlocked_message(_tag(two), generation=2)
    for answer in (older, msgspec.structs.replace(older, move=OFFER), None):
        finishing = two.prove("open sesame")
        registered = finishing._place.registered
        assert registered is not None
        if answer is None:
            finishing.abandon()
        else:
            with pytest.raises(AuthenticationError):
                finishing.finish(answer)
        assert [secret._buffer for secret in (registered[1], finishing._export_key, finishing._vault_token)] == [
            None
        ] * 3


def test_a_tag_under_the_current_setup_cannot_be_offered_to_move(two: TwoSetups) -> None:
    finishing = two.prove("open sesame", live=[LiveSetup(OLD, two.earlier.setup), LiveSetup(NEW, two.setup)])
    assert finishing.message.candidate == 0
    assert finishing._place.registered is None
    second = two.prove("open says me", "close sesame", live=two.live()[::-1])
    assert (second.message.candidate, second._place.phrase) == (2, 1)
    assert second._place.registered is None
    words = "answer offers to move a tag that is under the current setup"
    with pytest.raises(MalformedError, match=f"^{words}$"):
        finishing.finish(msgspec.structs.replace(unlocked_message(_tag(two)), move=OFFER))


def _check_key(export_key: ExportKey, message: MoveTag, tag_id: UUID, vault: Vault, at: int) -> VaultHead:
    """Open what a move wrapped and sealed for a vault; returns the head."""
    moved = message.vaults[at]
    assert (moved.vault_id, moved.wrapped_key_id) == (vault.vault_id, vault.wrapped_key_id)
    assert (moved.key_version, moved.generation) == (vault.head.key_version, vault.head.generation + 1)
    kek = derive_kek(
        export_key,
        salt=decode_binary(message.salt),
        tag_id=tag_id,
        vault_id=vault.vault_id,
        key_version=vault.head.key_version,
    )
    assert unwrap_key(kek, WrappedKey(decode_binary(moved.wrapped_key))) == vault.data_key
    return open_head(
        vault.data_key,
        vault.vault_id,
        decode_binary(moved.head),
        generation=moved.generation,
        key_version=moved.key_version,
        ring=None if moved.ring is None else decode_binary(moved.ring),
    )


def test_a_move_wraps_every_key_and_seals_every_head_anew(two: TwoSetups) -> None:
    move = _move(two)
    export_key = ExportKey(move._export_key.expose())
    vaults, other = _vaults(b"r" * 32), Member(uuid4(), b"k" * 32)
    members: Mapping[UUID, Sequence[Member]] = {
        vaults[0].vault_id: [other, Member(move.tag_id, _tag(two, 1).public_key)]
    }
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return os.urandom(size)

    moved = move.finish(vaults, "for the letters", members, _entropy=entropy)
    message = moved.message
    assert drawn == [16, 12, 12, 12]  # salt, and the ivs of the label and of each head
    assert (message.state, message.suite) == (OFFER, HUSHTAG_V1.id)
    private_key, public_key = derive_tag_key_pair(export_key, move.tag_id)
    assert (moved.private_key, message.public_key) == (private_key, encode_binary(public_key))
    assert message.release == encode_binary(derive_release(export_key).expose())
    heads = tuple(_check_key(export_key, message, move.tag_id, vault, at) for at, vault in enumerate(vaults))
    assert heads == moved.heads
    ring = ring_digest(vaults[0].vault_id, [other, Member(move.tag_id, public_key)])
    assert heads == (VaultHead(10, 4, 2, b"s" * 32, 1, ring), VaultHead(31, 1, 5, b"t" * 32))
    assert moved.pin_keys == tuple(derive_tag_pin_key(export_key, move.tag_id, vault.vault_id) for vault in vaults)
    sealed, place = decode_binary(message.sealed_label), {"vault_id": vaults[0].vault_id, "tag_id": move.tag_id}
    label = open_label(vaults[0].data_key, sealed, **place, key_version=2, public_key=public_key)  # type: ignore[arg-type]
    assert label == "for the letters"
    assert move._export_key._buffer is None
    with pytest.raises(StateError):
        move.finish(vaults, "for the letters", members)
    moved.forget()
    assert [secret._buffer for secret in (moved.private_key, *moved.pin_keys)] == [None, None, None]


def test_a_moved_phrase_opens_under_the_current_setup_alone(two: TwoSetups) -> None:
    opened = _unlock(two)
    assert opened.move is not None
    message = opened.move.finish(opened.vaults, "l", {}).message
    accepted = accept_move(message)
    assert (accepted.message, encode_binary(accepted.phrase_hash)) == (message, message.phrase_hash)
    assert encode_binary(accepted.record) == message.record
    after = TwoSetups(two.earlier, two.setup, {accepted.phrase_hash: accepted.record})
    finishing = after.prove("close sesame", live=after.live()[:1])
    key = message.vaults[0]
    fields = {name: getattr(key, name) for name in key.__struct_fields__}
    vault = VaultKey(**fields, key_purpose="vault_data")
    honest = unlocked_message(_tag(two, 1))
    answer: Unlocked = msgspec.structs.replace(honest, salt=message.salt, vaults=[vault])
    again = finishing.finish(answer)
    assert (again.tag_id, again.move) == (opened.tag_id, None)
    assert again.vaults[0].data_key == opened.vaults[0].data_key
    assert encode_binary(again.tag_public_key) == message.public_key


def test_a_move_names_its_own_suite(two: TwoSetups) -> None:
    """A later suite is another id; a move under it seals label and heads under that one and no other."""
    later = replace(HUSHTAG_V1, id="hushtag-v9")
    finishing = two.prove("open sesame")
    finishing._suite = later
    offered = finishing._move(msgspec.structs.replace(unlocked_message(_tag(two)), move=OFFER))
    assert offered is not None
    assert offered._suite is later
    prepared, vaults = _move(two), _vaults()
    export_key = ExportKey(prepared._export_key.expose())
    move = TagMove(OFFER, prepared.tag_id, prepared._record, export_key, suite=later)
    message = move.finish(vaults, "l", {}).message
    assert message.suite == later.id
    first = vaults[0]
    sealed, version = decode_binary(message.vaults[0].head), first.head.key_version
    head = open_head(first.data_key, first.vault_id, sealed, generation=10, key_version=version, suite=later)
    assert head.generation == 10
    label = open_label(
        first.data_key,
        decode_binary(message.sealed_label),
        vault_id=first.vault_id,
        tag_id=move.tag_id,
        key_version=version,
        public_key=decode_binary(message.public_key),
        suite=later,
    )
    assert label == "l"


def test_a_tag_that_a_ring_does_not_count_does_not_move(two: TwoSetups) -> None:
    for listed in ([], [Member(uuid4(), bytes(32))]):
        move, vaults = _move(two), _vaults(b"r" * 32)
        named: dict[UUID, list[Member]] = {vaults[0].vault_id: listed} if listed else {}
        with pytest.raises(MalformedError, match=r"^the tag that moves is not in the ring of its vault$"):
            move.finish(vaults, "l", named)
        assert move._export_key._buffer is None


def test_a_label_that_is_too_long_ends_a_move(two: TwoSetups) -> None:
    move = _move(two)
    with pytest.raises(LimitError):
        move.finish(_vaults(), "x" * 253, {})
    assert move._export_key._buffer is None


def test_the_server_says_what_is_wrong_with_a_move(two: TwoSetups) -> None:
    message = _move(two).finish(_vaults(), "l", {}).message
    twice = msgspec.structs.replace(message, vaults=message.vaults[:1] * 2)
    with pytest.raises(MalformedError, match=r"^move names one vault twice$"):
        accept_move(twice)
    forged = msgspec.structs.replace(message, phrase_hash=encode_binary(bytes(16)))
    with pytest.raises(MalformedError, match=r"^phrase hash does not belong to the record$"):
        accept_move(forged)
