"""A further phrase of a vault that is there, the ring, and the next data key: SPEC.md, section 23, step by step.

Covered: what a new tag of an open vault holds, and that its phrase opens the vault; the phrase hashes under other
setups; what the server checks of it; the head under another ring and another key; an unlock after rotations, and what
it wraps for itself. Attacks on ring and succession stand in the vectors (`suite/rotation`).
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec
import pytest

from hushtag import _opaque
from hushtag._opaque import ServerSetup
from hushtag.duress import derive_release, expand_release
from hushtag.enrollment import AcceptedTag, accept_tag, answer_enrollment, start_enrollment
from hushtag.errors import AuthenticationError, LimitError, MalformedError, RollbackError, StateError
from hushtag.head import VaultHead, open_head, seal_head
from hushtag.keys import derive_kek, derive_tag_key_pair, generate_data_key, unwrap_key
from hushtag.messages import KeyStep as WireStep
from hushtag.messages import NewTag, RegistrationStarted, Unlocked, VaultKey, decode_binary, encode_binary
from hushtag.pins import derive_tag_pin_key
from hushtag.ring import Member, check_ring, ring_digest
from hushtag.rotation import (
    KeyStep,
    follow,
    open_old_key,
    open_to_tag,
    prove_succession,
    seal_old_key,
    seal_to_tag,
)
from hushtag.tag_label import open_label
from hushtag.types import DataKey, ExportKey, WrappedKey
from hushtag.unlock import UnlockedTag
from tests.core.ceremony import SESSION, World

VAULT = uuid4()
KEY = bytes(range(32))
VERSION = 7


class Joined(NamedTuple):
    """A tag that was made for the vault, and how many random bytes were drawn for it, in order."""

    message: NewTag
    asked: list[int]


def _join(world: World, *, earlier: tuple[ServerSetup, ...] = ()) -> Joined:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    awaiting = start_enrollment(world.password("third sesame"), _entropy=entropy)
    answers = [answer_enrollment(setup, world.credential_id, awaiting.message) for setup in (world.setup, *earlier)]
    answer = RegistrationStarted(session_id="b" * 64, registration_response=answers[0], earlier=answers[1:])
    data_key = DataKey(KEY)
    message = awaiting.join(answer, label="for both", vault_id=VAULT, data_key=data_key, key_version=VERSION)
    assert data_key.expose() == KEY  # the caller goes on with it
    assert awaiting._state._buffer is None
    with pytest.raises(StateError):
        awaiting.join(answer, label="for both", vault_id=VAULT, data_key=data_key, key_version=VERSION)
    return Joined(message, asked)


@pytest.fixture(scope="module")
def joined(world: World) -> Joined:
    """A further phrase of the vault, under a server with two setups beside the current one."""
    return _join(world, earlier=(ServerSetup(world.setup.expose()), ServerSetup.generate()))


def _with(world: World, message: NewTag) -> World:
    """The same account with the new tag among its own."""
    tag = accept_tag(message)
    stored = AcceptedTag(*tag[:6], head=b"", wrapped_key=tag.wrapped_key)  # type: ignore[arg-type]  # as it is stored
    return World(world.setup, world.credential_id, decoy_seed=world.decoy_seed, tags={tag.phrase_hash: stored})


class Opened(NamedTuple):
    """An unlock of the new tag, and the export key it had."""

    tag: UnlockedTag
    export_key: ExportKey


def _answer(message: NewTag, **vault: object) -> Unlocked:
    key = VaultKey(
        vault_id=VAULT,
        wrapped_key_id=message.wrapped_key.wrapped_key_id,
        wrapped_key=message.wrapped_key.wrapped_key,
        key_purpose="vault_data",
        key_version=VERSION,
        generation=1,
        head="",
    )
    return Unlocked(
        suite=message.suite,
        tag_id=message.tag_id,
        salt=message.salt,
        vaults=[msgspec.structs.replace(key, **vault)],
        expires_at=datetime.now(UTC),
        failed_guesses=0,
        last_failed_at=None,
    )


def _unlock(world: World, answer: Unlocked) -> Opened:
    finishing, _ = world.prove("third sesame")
    export_key = ExportKey(finishing._export_key.expose())
    return Opened(finishing.finish(answer), export_key)


def _head(version: int, *, key: bytes = KEY, ring: bytes | None = None) -> tuple[VaultHead, str]:
    head = VaultHead(9, 0, version, bytes(32), ring=ring)
    return head, encode_binary(seal_head(DataKey(key), VAULT, head))


# --- a further phrase -----------------------------------------------------------------------------------------


def test_a_further_phrase_has_a_tag_of_its_own(world: World, joined: Joined) -> None:
    message = joined.message
    assert message.session_id == "b" * 64
    assert message.suite == "hushtag-v1"
    assert message.wrapped_key.key_version == VERSION
    assert message.wrapped_key.key_purpose == "vault_data"
    ids = [message.tag_id, message.wrapped_key.wrapped_key_id]
    assert [each.version for each in ids] == [4, 4]
    assert len({*ids, VAULT}) == 3
    # Two ids, salt, the label's iv, the name: all from the one source. No data key and no head are made.
    assert joined.asked == [16, 16, 16, 12, 16]
    assert msgspec.json.decode(msgspec.json.encode(message), type=NewTag) == message
    label = open_label(
        DataKey(KEY),
        decode_binary(message.sealed_label),
        vault_id=VAULT,
        tag_id=message.tag_id,
        key_version=VERSION,
        public_key=decode_binary(message.public_key),
    )
    assert label == "for both"


def test_a_further_phrase_opens_the_vault(world: World, joined: Joined) -> None:
    head, sealed = _head(VERSION, ring=b"r" * 32)
    answer = _answer(joined.message, generation=9, head=sealed, ring=encode_binary(b"r" * 32))
    opened, export_key = _unlock(_with(world, joined.message), answer)
    vault = opened.vaults[0]
    assert (vault.vault_id, vault.head, vault.rewrap) == (VAULT, head, None)
    assert vault.data_key == DataKey(KEY)
    assert vault.pin_key == derive_tag_pin_key(export_key, joined.message.tag_id, VAULT)
    private_key, public_key = derive_tag_key_pair(export_key, joined.message.tag_id)
    assert (opened.tag_id, opened.tag_public_key) == (joined.message.tag_id, public_key)
    assert opened.tag_private_key == private_key
    assert encode_binary(public_key) == joined.message.public_key
    assert (opened.candidate, opened.move, opened.failed_guesses, opened.last_failed_at) == (0, None, 0, None)
    assert opened.expires_at == answer.expires_at
    check = expand_release(derive_release(export_key)).check
    assert encode_binary(check) == joined.message.release_check


def test_the_failed_guesses_are_those_the_server_counted(world: World, joined: Joined) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    _, sealed = _head(VERSION)
    honest = _answer(joined.message, generation=9, head=sealed)
    told = msgspec.structs.replace(honest, failed_guesses=3, last_failed_at=at)
    opened, _ = _unlock(_with(world, joined.message), told)
    assert (opened.failed_guesses, opened.last_failed_at) == (3, at)
    words = "answer counts failed guesses without the time of the last, or names one of none"
    for wrong in ({"failed_guesses": 1}, {"last_failed_at": at}):
        with pytest.raises(MalformedError, match=f"^{words}$"):
            _unlock(_with(world, joined.message), msgspec.structs.replace(honest, **wrong))


def test_a_phrase_is_looked_for_under_every_other_setup(world: World, joined: Joined) -> None:
    """The first of the two setups beside the current one is its copy here, so the hash there is known."""
    hashes = joined.message.earlier_hashes
    assert hashes[0] == joined.message.phrase_hash
    assert hashes[1] != hashes[0]
    assert [len(decode_binary(found)) for found in hashes] == [16, 16]
    assert _join(world).message.earlier_hashes == []


def test_an_enrolment_looks_under_every_other_setup_too(world: World) -> None:
    awaiting = start_enrollment(world.password("third sesame"))
    other = ServerSetup.generate()
    answers = [answer_enrollment(setup, world.credential_id, awaiting.message) for setup in (world.setup, other)]
    answer = RegistrationStarted(session_id=SESSION, registration_response=answers[0], earlier=answers[1:])
    enrolled = awaiting.finish(answer, label="l")
    # What a locate under the other setup would find.
    password = world.password("third sesame")
    state, request = _opaque.start_registration(password)
    evaluated = _opaque.answer_registration(other, world.credential_id, request)
    record, _ = _opaque.finish_registration(password, state, evaluated)
    assert enrolled.message.earlier_hashes == [encode_binary(_opaque.phrase_hash(record.masking_key))]


def test_an_answer_for_a_further_phrase_that_does_not_parse_ends_it(world: World) -> None:
    good = answer_enrollment(world.setup, world.credential_id, start_enrollment(world.password("third sesame")).message)
    bad = encode_binary(bytes(64))
    for answer in (
        RegistrationStarted(session_id=SESSION, registration_response=bad),
        RegistrationStarted(session_id=SESSION, registration_response=good, earlier=[bad]),
    ):
        awaiting = start_enrollment(world.password("third sesame"))
        with pytest.raises(MalformedError, match=r"^registration response does not parse$"):
            awaiting.join(answer, label="x", vault_id=VAULT, data_key=DataKey(KEY), key_version=1)
        assert awaiting._state._buffer is None


def test_the_server_stores_of_a_further_phrase_what_the_message_says(joined: Joined) -> None:
    message = joined.message
    tag = accept_tag(message)
    assert tag.message is message
    named = {
        "phrase_hash": tag.phrase_hash,
        "salt": tag.salt,
        "record": tag.record,
        "public_key": tag.public_key,
        "sealed_label": tag.sealed_label,
    }
    assert {name: encode_binary(value) for name, value in named.items()} == {
        name: getattr(message, name) for name in named
    }
    assert encode_binary(tag.wrapped_key) == message.wrapped_key.wrapped_key
    forged = msgspec.structs.replace(message, phrase_hash=encode_binary(bytes(16)))
    with pytest.raises(MalformedError, match=r"^phrase hash does not belong to the record$"):
        accept_tag(forged)
    with pytest.raises(MalformedError):
        accept_tag(msgspec.structs.replace(message, suite="hushtag-v2"))


# --- the head under another ring or key -----------------------------------------------------------------------


def test_a_ring_and_a_rotation_make_the_next_generation_of_the_same_objects() -> None:
    head = VaultHead(41, 5, 3, b"s" * 32, restorations=2, ring=b"r" * 32)
    assert head.with_ring(b"q" * 32) == VaultHead(42, 5, 3, b"s" * 32, restorations=2, ring=b"q" * 32)
    rotated = head.rotated(summary=b"t" * 32, ring=b"q" * 32)
    assert rotated == VaultHead(42, 5, 4, b"t" * 32, restorations=2, ring=b"q" * 32)
    key = DataKey(KEY)
    sealed = seal_head(key, VAULT, rotated)
    assert open_head(key, VAULT, sealed, generation=42, key_version=4, ring=b"q" * 32) == rotated
    with pytest.raises(MalformedError, match=r"^ring digest is 31 bytes, expected 32$"):
        open_head(key, VAULT, sealed, generation=42, key_version=4, ring=b"q" * 31)


def test_a_ring_says_what_is_wrong_with_a_list() -> None:
    own, other = Member(UUID(int=1), b"k" * 32), Member(UUID(int=2), b"l" * 32)
    ring = ring_digest(VAULT, [other, own])
    check_ring(VAULT, [own, other], ring, own)
    check_ring(VAULT, [own], None, own)
    fifty = [Member(UUID(int=number), bytes(32)) for number in range(50)]
    assert len(ring_digest(VAULT, fifty)) == 32
    too_many = [*fifty, Member(UUID(int=50), bytes(32))]
    lacking = "list of phrases lacks the one that is open, or gives it another key"
    unlike = "list of phrases does not match the vault head: one was hidden, added or brought back"
    refusals: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (LimitError, "a vault is opened by 1 to 50 phrases, not 0", lambda: ring_digest(VAULT, [])),
        (LimitError, "a vault is opened by 1 to 50 phrases, not 51", lambda: ring_digest(VAULT, too_many)),
        (MalformedError, "ring names a tag twice", lambda: ring_digest(VAULT, [own, own])),
        (
            MalformedError,
            "public key of a tag is not 32 bytes",
            lambda: ring_digest(VAULT, [own, Member(UUID(int=3), bytes(31))]),
        ),
        (RollbackError, lacking, lambda: check_ring(VAULT, [other], ring, own)),
        (RollbackError, unlike, lambda: check_ring(VAULT, [own], ring, own)),
        (RollbackError, unlike, lambda: check_ring(VAULT, [own, other], None, own)),
    ]
    for error, words, call in refusals:
        with pytest.raises(error, match=f"^{words}$"):
            call()


# --- the next data key ----------------------------------------------------------------------------------------


def test_a_data_key_goes_to_one_tag_for_one_version() -> None:
    private_key, public_key = derive_tag_key_pair(ExportKey(os.urandom(64)), UUID(int=1))
    place = {"vault_id": VAULT, "tag_id": UUID(int=1), "key_version": 2}
    sealed = seal_to_tag(DataKey(KEY), public_key, **place)  # type: ignore[arg-type]
    assert len(sealed) == 80
    assert sealed != seal_to_tag(DataKey(KEY), public_key, **place)  # type: ignore[arg-type]
    assert open_to_tag(private_key, sealed, **place) == DataKey(KEY)  # type: ignore[arg-type]
    for changed in ({"vault_id": uuid4()}, {"tag_id": uuid4()}, {"key_version": 3}):
        with pytest.raises(AuthenticationError, match=r"^sealed data key does not open$"):
            open_to_tag(private_key, sealed, **(place | changed))  # type: ignore[arg-type]
    for short in (sealed[:79], sealed + b"\0"):
        with pytest.raises(MalformedError, match=f"^sealed data key is {len(short)} bytes, expected 80$"):
            open_to_tag(private_key, short, **place)  # type: ignore[arg-type]
    for key in (bytes(31), bytes(32)):
        with pytest.raises(MalformedError, match=r"^public key of a tag is none$"):
            seal_to_tag(DataKey(KEY), key, **place)  # type: ignore[arg-type]


def test_the_key_before_is_read_with_the_one_after_it() -> None:
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return bytes(size)

    new, old = generate_data_key(), generate_data_key()
    sealed = seal_old_key(new, old, vault_id=VAULT, key_version=2, _entropy=entropy)
    assert (len(sealed), drawn) == (92, [12])
    assert open_old_key(new, sealed, vault_id=VAULT, key_version=2) == old
    with pytest.raises(AuthenticationError):
        open_old_key(new, sealed, vault_id=VAULT, key_version=3)


def _step(message: NewTag, old: bytes, new: bytes, version: int) -> KeyStep:
    place = {"vault_id": VAULT, "tag_id": message.tag_id, "key_version": version}
    sealed = seal_to_tag(DataKey(new), decode_binary(message.public_key), **place)  # type: ignore[arg-type]
    return KeyStep(sealed, prove_succession(DataKey(old), DataKey(new), vault_id=VAULT, key_version=version))


def _wire(steps: list[KeyStep]) -> list[WireStep]:
    return [WireStep(sealed_key=encode_binary(step.sealed_key), proof=encode_binary(step.proof)) for step in steps]


def test_a_phrase_that_slept_through_two_rotations_opens_and_wraps_the_last_key(world: World, joined: Joined) -> None:
    message, second, third = joined.message, os.urandom(32), os.urandom(32)
    steps = [_step(message, KEY, second, VERSION + 1), _step(message, second, third, VERSION + 2)]
    head, sealed = _head(VERSION + 2, key=third)
    answer = _answer(message, generation=9, head=sealed, steps=_wire(steps))
    opened, export_key = _unlock(_with(world, message), answer)
    vault = opened.vaults[0]
    assert (vault.data_key, vault.head) == (DataKey(third), head)
    assert vault.wrapped_key_id == message.wrapped_key.wrapped_key_id
    assert vault.rewrap is not None
    assert vault.rewrap.key_version == VERSION + 2
    kek = derive_kek(
        export_key,
        salt=decode_binary(message.salt),
        tag_id=message.tag_id,
        vault_id=VAULT,
        key_version=VERSION + 2,
    )
    assert unwrap_key(kek, WrappedKey(decode_binary(vault.rewrap.wrapped_key))) == DataKey(third)


def test_a_step_that_nobody_vouches_for_is_not_followed(world: World, joined: Joined) -> None:
    message, second = joined.message, os.urandom(32)
    step = _step(message, KEY, second, VERSION + 1)
    _, sealed = _head(VERSION + 1, key=second)
    imposed = step._replace(proof=bytes(32))
    with pytest.raises(AuthenticationError, match=r"^data key does not follow the one before it$"):
        _unlock(_with(world, message), _answer(message, generation=9, head=sealed, steps=_wire([imposed])))
    # The head has to be under the last key, and under its version.
    _, stale = _head(VERSION)
    with pytest.raises(AuthenticationError):
        _unlock(_with(world, message), _answer(message, generation=9, head=stale, steps=_wire([step])))


def test_following_forgets_every_key_on_the_way(joined: Joined) -> None:
    private_key, public_key = derive_tag_key_pair(ExportKey(os.urandom(64)), joined.message.tag_id)
    message = msgspec.structs.replace(joined.message, public_key=encode_binary(public_key))
    known, second = DataKey(KEY), os.urandom(32)
    place = {"vault_id": VAULT, "tag_id": message.tag_id, "key_version": 1}
    last = follow(known, private_key, [_step(message, KEY, second, 2)], **place)  # type: ignore[arg-type]
    assert last == DataKey(second)
    with pytest.raises(StateError):
        known.expose()
    unmoved = DataKey(KEY)
    assert follow(unmoved, private_key, [], **place) is unmoved  # type: ignore[arg-type]
