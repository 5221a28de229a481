"""What the other tests leave room for: exact words of refusals, values at a limit, every field that is passed on.

Found by mutation testing (docs/mutation.md): each test here fails for a change of the core that no other test sees.
"""

import copy
import os
import pickle
from dataclasses import replace
from uuid import UUID, uuid4

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hushtag._opaque import ServerSetup
from hushtag.enrollment import accept_enrollment, answer_enrollment, start_enrollment
from hushtag.errors import LimitError, MalformedError, MisuseError, RollbackError, StateError
from hushtag.head import VaultHead, open_head, seal_head
from hushtag.messages import (
    MAX_GENERATION,
    MAX_KEY_VERSION,
    Located,
    RegistrationStarted,
    decode_binary,
    encode_binary,
)
from hushtag.objects import (
    MAX_FRAME_BYTES,
    MAX_META_BYTES,
    MAX_ROW_BYTES,
    ROW_OVERHEAD,
    ObjectMeta,
    ObjectRow,
    open_object,
    seal_object,
)
from hushtag.streams import MAX_STREAM_SIZE
from hushtag.suites import HUSHTAG_V1
from hushtag.tag_label import MAX_LABEL_BYTES, open_label, seal_label
from hushtag.types import DataKey, Record, SessionKey
from hushtag.unlock import UnlockedTag, start_unlock
from hushtag.unlock_server import LiveSetup, LocatedState, ProvingState, evaluate_located
from tests.core.ceremony import KEYS, SESSION, World, unlocked_message
from tests.core.refusals import reject as _reject

VAULT, OBJECT = uuid4(), uuid4()
_META = msgspec.msgpack.encode(ObjectMeta("n", "t", 1, 4))
_U32_META = len(_META).to_bytes(4) + _META
LATER = replace(HUSHTAG_V1, id="hushtag-v9")


def _meta(size: int, *, encoded: int | None = None) -> ObjectMeta:
    """Metadata of a body of `size` bytes, padded to `encoded` bytes by its name."""
    meta = ObjectMeta(name="n" * 300, content_type="t", created_at=1, size=size)
    if encoded is None:
        return meta
    for _ in range(2):  # a shorter name may have a shorter header
        over = len(msgspec.msgpack.encode(meta)) - encoded
        meta = msgspec.structs.replace(meta, name="n" * (len(meta.name) - over))
    return meta


def _seal(meta: ObjectMeta, body: bytes, *, key_version: int = 1, revision: int = 1) -> ObjectRow:
    place = {"vault_id": VAULT, "object_id": OBJECT, "key_version": key_version, "revision": revision}
    return seal_object(DataKey(bytes(32)), meta=meta, body=body, **place)  # type: ignore[arg-type]


def _open(row: ObjectRow) -> bytes:
    return open_object(DataKey(bytes(32)), row, vault_id=VAULT, object_id=OBJECT).body


def test_a_head_says_what_is_wrong_with_a_listing() -> None:
    head = VaultHead(3, 1, 1, bytes(32))
    _reject("listing has 2 objects, the vault head counts 1", RollbackError, lambda: head.verify([bytes(32)] * 2))
    words = "listing does not match the vault head: an object was swapped, replayed or rolled back"
    _reject(words, RollbackError, lambda: head.verify([b"\1" * 32]))
    words = "vault head counts no object that could be removed"
    _reject(words, LimitError, lambda: VaultHead.first().with_change(removed=bytes(32), added=None))


@pytest.mark.parametrize(
    ("key_version", "revision"), [(0, 1), (1, 0), (MAX_KEY_VERSION + 1, 1), (1, MAX_GENERATION + 1), (-1, 1)]
)
def test_numbers_of_a_row_have_a_range(key_version: int, revision: int) -> None:
    words = "key version or revision is out of range"
    body = bytes(ROW_OVERHEAD)
    numbers = {"key_version": key_version, "revision": revision}
    _reject(words, MalformedError, lambda: ObjectRow.decode(body, **numbers))
    _reject(words, LimitError, lambda: _seal(_meta(1), b"x", **numbers))


def test_numbers_of_a_row_reach_to_their_limit() -> None:
    row = _seal(_meta(1), b"x", key_version=MAX_KEY_VERSION, revision=MAX_GENERATION)
    again = ObjectRow.decode(bytes(row.encoded), key_version=MAX_KEY_VERSION, revision=MAX_GENERATION)
    assert _open(again) == b"x"


def test_a_row_is_put_together_from_its_columns() -> None:
    row = _seal(_meta(1), b"x", key_version=3, revision=7)
    parts = (row.iv, bytes(row.ciphertext), row.auth_tag)
    assert ObjectRow.from_columns(*parts, key_version=3, revision=7) == row._replace(encoded=bytes(row.encoded))


def test_metadata_and_frames_reach_to_their_limit() -> None:
    assert _open(_seal(_meta(0, encoded=252), b"")) == b""  # fills the shortest frame, without a body
    assert _open(_seal(_meta(0, encoded=MAX_META_BYTES), b"")) == b""
    words = f"object metadata is {MAX_META_BYTES + 1} bytes, at most {MAX_META_BYTES}; shorten the name"
    _reject(words, LimitError, lambda: _seal(_meta(0, encoded=MAX_META_BYTES + 1), b""))
    most = MAX_FRAME_BYTES - 4 - 252
    row = _seal(_meta(most, encoded=252), bytes(most))
    assert row.content_size == MAX_FRAME_BYTES
    assert len(_open(row)) == most
    words = f"object is {most + 1} bytes; with its padding the limit is {MAX_FRAME_BYTES}"
    _reject(words, LimitError, lambda: _seal(_meta(most + 1, encoded=252), bytes(most + 1)))


def test_an_object_says_why_it_cannot_be_sealed() -> None:
    _reject("metadata says 2 bytes, the body has 1", LimitError, lambda: _seal(_meta(2), b"x"))
    for size in (-1, MAX_STREAM_SIZE + 1):
        words = f"metadata says {size} bytes, at most {MAX_STREAM_SIZE}"
        _reject(words, LimitError, lambda size=size: _seal(_meta(size), b"x"))
    bad = msgspec.structs.replace(_meta(1), name="\ud800")
    _reject("object name or type is not valid Unicode", LimitError, lambda: _seal(bad, b"x"))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"", "object frame is too short"),
        (bytes(3), "object frame is too short"),
        (bytes(4), "object metadata does not parse"),
        (b"\0\0\0\1", "object metadata is longer than its frame or the limit"),
        ((MAX_META_BYTES + 1).to_bytes(4) + bytes(8192), "object metadata is longer than its frame or the limit"),
        (b"\0\0\0\1\xc1", "object metadata does not parse"),
        (bytes(256), "object metadata does not parse"),
        (_U32_META + b"body" + bytes(1), "object frame has the wrong length or padding"),
    ],
)
def test_a_crafted_frame_is_refused_in_words(frame: bytes, words: str) -> None:
    from hushtag import objects

    _reject(words, MalformedError, lambda: objects._unframe(frame))


def test_an_abandoned_ceremony_is_dead_though_nothing_was_forgotten_yet(world: World) -> None:
    awaiting = start_enrollment(world.password("open sesame"))
    assert repr(awaiting) == "AwaitingRegistrationResponse(<redacted>)"
    answer = RegistrationStarted(session_id=SESSION, registration_response=encode_binary(bytes(64)))
    awaiting.abandon()
    words = "AwaitingRegistrationResponse was already used; start again"
    _reject(words, StateError, lambda: awaiting.finish(answer, label="x"))


def _enrol(world: World) -> tuple[object, list[int]]:
    asked: list[int] = []

    def entropy(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    awaiting = start_enrollment(world.password("open sesame"), _entropy=entropy)
    response = answer_enrollment(world.setup, world.credential_id, awaiting.message)
    return awaiting.finish(RegistrationStarted(session_id="a" * 64, registration_response=response), label="l"), asked


def test_an_enrolment_passes_on_every_field(world: World) -> None:
    enrolled, asked = _enrol(world)
    message = enrolled.message  # type: ignore[attr-defined]
    assert (message.session_id, message.tag_id, message.vault.vault_id) == (
        "a" * 64,
        enrolled.tag_id,  # type: ignore[attr-defined]
        enrolled.vault_id,  # type: ignore[attr-defined]
    )
    ids = [message.tag_id, message.vault.vault_id, message.wrapped_key.wrapped_key_id]
    assert [each.version for each in ids] == [4, 4, 4]
    assert len(set(ids)) == 3
    # Two ids and one of the key, salt, data key, head's iv, label's iv, name: all from the one source.
    assert asked == [16, 16, 16, 16, 32, 12, 12, 16]
    assert msgspec.json.decode(msgspec.json.encode(message), type=type(message)) == message
    accepted = accept_enrollment(message)
    assert (encode_binary(accepted.head), encode_binary(accepted.wrapped_key)) == (
        message.vault.head,
        message.wrapped_key.wrapped_key,
    )


def test_what_is_sealed_names_its_own_suite(world: World) -> None:
    """A later suite is another id; whatever is sealed and opened under it must name that one and no other."""
    asked: list[bytes] = []

    def entropy(size: int) -> bytes:
        asked.append(os.urandom(size))
        return asked[-1]

    awaiting = start_enrollment(world.password("open sesame"), suite=LATER, _entropy=entropy)
    now = msgspec.structs.replace(awaiting.message, suite=HUSHTAG_V1.id)
    response = answer_enrollment(world.setup, world.credential_id, now)
    message = awaiting.finish(
        RegistrationStarted(session_id=SESSION, registration_response=response), label="l"
    ).message
    assert (awaiting.message.suite, message.suite) == (LATER.id, LATER.id)
    place = {"vault_id": message.vault.vault_id, "tag_id": message.tag_id, "key_version": 1}
    sealed, public = decode_binary(message.sealed_label), decode_binary(message.public_key)
    assert open_label(DataKey(asked[4]), sealed, **place, public_key=public, suite=LATER) == "l"  # type: ignore[arg-type]
    tag = accept_enrollment(msgspec.structs.replace(message, suite=HUSHTAG_V1.id))._replace(message=message)
    opened = _unlock_later(World(world.setup, world.credential_id, tags={tag.phrase_hash: tag}))
    assert opened.vaults[0].head == VaultHead.first()


def _unlock_later(world: World) -> UnlockedTag:
    locating = start_unlock([world.password("open sesame")], suite=LATER)
    now = msgspec.structs.replace(locating.message, suite=HUSHTAG_V1.id)
    setups = [LiveSetup(KEYS, world.setup)]
    state = LocatedState.of(setups, now)
    responses = evaluate_located(setups, world.credential_id, state)
    proving = locating.finish(Located(session_id=SESSION, responses=responses))
    finishing = proving.finish(world.start(proving, state)[0])
    return finishing.finish(unlocked_message(next(iter(world.tags.values()))))


def test_the_server_says_what_is_wrong_with_an_enrolment(world: World) -> None:
    tag = next(iter(world.tags.values()))
    forged = msgspec.structs.replace(tag.message, phrase_hash=encode_binary(bytes(16)))
    _reject("phrase hash does not belong to the record", MalformedError, lambda: accept_enrollment(forged))
    broken = msgspec.structs.replace(tag.message, record=encode_binary(Record(b"\xff" * 32 + tag.record[32:])))
    _reject("registration record does not parse", MalformedError, lambda: accept_enrollment(broken))


def test_states_between_steps_hold_five_candidates_under_three_key_sets() -> None:
    elements = tuple(bytes([number]) * 32 for number in range(5))
    sets = tuple(UUID(int=number) for number in range(3))
    located = LocatedState(sets, elements)
    assert LocatedState.decode(located.encode()) == located
    proving = ProvingState.decode(bytes([3]) + bytes(3 * 16) + bytes(15 * 144))
    assert len(proving.key_ids) == 3
    assert len(proving.logins) == 15
    for short in (b"", bytes(192), bytes([1]) + bytes(16), bytes([4]) + bytes(4 * 16 + 32)):
        with pytest.raises(MalformedError):
            LocatedState.decode(short)


def test_a_setup_says_what_is_wrong_with_it() -> None:
    _reject("opaque setup is 127 bytes, expected 128", MalformedError, lambda: ServerSetup(bytes(127)))
    _reject("opaque setup does not parse", MalformedError, lambda: ServerSetup(b"\xff" * 128))
    setup = ServerSetup.generate()
    assert repr(setup) == "ServerSetup(<redacted>)"
    _reject("ServerSetup must not be pickled or copied", MisuseError, lambda: pickle.dumps(setup))


def test_a_secret_says_which_it_is() -> None:
    held = SessionKey(os.urandom(64))
    assert f"{held}" == repr(held) == "SessionKey(<redacted>)"
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        _reject("SessionKey must not be pickled or copied", MisuseError, lambda attempt=attempt: attempt(held))


def test_a_sealed_head_holds_what_it_says() -> None:
    head = VaultHead(2**40, 7, 3, os.urandom(32))
    sealed = seal_head(DataKey(bytes(32)), VAULT, head)
    assert open_head(DataKey(bytes(32)), VAULT, sealed, generation=2**40, key_version=3) == head


def test_an_open_vault_is_what_the_server_named(world: World) -> None:
    opened = world.unlock("open sesame")
    message = next(tag.message for tag in world.tags.values() if tag.message.tag_id == opened.tag_id)
    vault = opened.vaults[0]
    assert (vault.vault_id, vault.wrapped_key_id) == (message.vault.vault_id, message.wrapped_key.wrapped_key_id)
    assert vault.head == VaultHead.first()
    public = X25519PrivateKey.from_private_bytes(opened.tag_private_key.expose()).public_key().public_bytes_raw()
    assert encode_binary(public) == message.public_key
    assert opened.expires_at.tzinfo is not None
    opened.forget()
    with pytest.raises(StateError):
        vault.data_key.expose()


def test_a_vault_key_for_another_purpose_is_refused_in_words(world: World) -> None:
    finishing, _ = world.prove("open sesame")
    answer = unlocked_message(next(iter(world.tags.values())), key_purpose="vault_index")
    _reject("wrapped key has an unknown purpose", MalformedError, lambda: finishing.finish(answer))
    honest = unlocked_message(next(iter(world.tags.values())))
    for words, forged in (
        ("tag was enrolled under another suite", msgspec.structs.replace(honest, suite=LATER.id)),
        ("answer names one vault twice", msgspec.structs.replace(honest, vaults=honest.vaults * 2)),
    ):
        finishing, _ = world.prove("open sesame")
        _reject(words, MalformedError, lambda finishing=finishing, forged=forged: finishing.finish(forged))


def test_a_label_says_why_it_cannot_be_sealed_and_reaches_to_its_limit() -> None:
    place = {"vault_id": VAULT, "tag_id": OBJECT, "key_version": 1, "public_key": bytes(32)}
    key = DataKey(bytes(32))
    words = f"label is {MAX_LABEL_BYTES + 1} bytes, at most {MAX_LABEL_BYTES}"
    _reject(words, LimitError, lambda: seal_label(key, "x" * (MAX_LABEL_BYTES + 1), **place))  # type: ignore[arg-type]
    _reject("label is not valid Unicode", LimitError, lambda: seal_label(key, "\ud800", **place))  # type: ignore[arg-type]
    longest = "x" * MAX_LABEL_BYTES
    assert open_label(key, seal_label(key, longest, **place), **place) == longest  # type: ignore[arg-type]


def test_a_row_says_how_long_it_is() -> None:
    words = f"object row is 0 bytes, expected {ROW_OVERHEAD} to {MAX_ROW_BYTES}"
    _reject(words, MalformedError, lambda: ObjectRow.decode(b"", key_version=1, revision=1))
