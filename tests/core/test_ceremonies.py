"""Enrolment and unlock: order, single use, and what each side refuses.

Covered: steps twice or out of order, answers that do not fit the question, wrong phrase, decoy, KE1 that was not
located, candidates dropped, added or swapped, forged proofs, keys of other tags, vaults, versions and purposes,
another suite, a device secret missing. Needs a server, so tested there: expiry, double use across processes.
"""

import os
from uuid import uuid4

import msgspec
import pytest

from hushtag._opaque import decoy_record, phrase_hash
from hushtag.enrollment import accept_enrollment, answer_enrollment, start_enrollment
from hushtag.errors import AuthenticationError, LimitError, MalformedError, StateError, UnknownSuiteError
from hushtag.messages import (
    Candidate,
    Locate,
    RegistrationStarted,
    StartUnlock,
    decode_binary,
    encode_binary,
)
from hushtag.rotation import seal_to_tag
from hushtag.suites import suite_by_id
from hushtag.tag_label import open_label
from hushtag.types import DataKey, DeviceSecret, OpaquePassword
from hushtag.unlock import start_unlock
from hushtag.unlock_server import LiveSetup, LocatedState, ProvingState, evaluate_located, verify_candidate
from tests.core.ceremony import KEYS, SESSION, World, password, unlocked_message


def test_the_right_phrase_opens_its_own_vault_among_candidates(world: World) -> None:
    opened = world.unlock("open says me", "close sesame", "clothes sesame")
    tag = next(tag for tag in world.tags.values() if tag.message.tag_id == opened.tag_id)
    assert opened.candidate == 1
    assert opened.vaults[0].vault_id == tag.message.vault.vault_id
    label = open_label(
        opened.vaults[0].data_key,
        tag.sealed_label,
        vault_id=opened.vaults[0].vault_id,
        tag_id=opened.tag_id,
        key_version=1,
        public_key=tag.public_key,
    )
    assert label == "for the letters"
    opened.forget()
    with pytest.raises(StateError):
        opened.vault_token.expose()


def test_an_unknown_phrase_fails_with_no_reason(world: World) -> None:
    with pytest.raises(AuthenticationError) as caught:
        world.prove("open says me")
    assert caught.value.__cause__ is None
    assert "decoy" not in str(caught.value)


def test_each_client_state_works_once(world: World) -> None:
    locating, located, state = world.locate("open sesame")
    proving = locating.finish(located)
    with pytest.raises(StateError):
        locating.finish(located)
    started, proving_state = world.start(proving, state)
    finishing = proving.finish(started)
    with pytest.raises(StateError):
        proving.finish(started)
    _, answer = world.verify(finishing, proving_state)
    finishing.finish(answer)
    with pytest.raises(StateError):
        finishing.finish(answer)


@pytest.mark.parametrize("phrase", ["open sesame", "open says me"])
def test_a_state_that_was_used_has_forgotten_its_secrets(world: World, phrase: str) -> None:
    locating, located, state = world.locate(phrase)
    proving = locating.finish(located)
    started, proving_state = world.start(proving, state)
    if phrase == "open says me":
        with pytest.raises(AuthenticationError):
            proving.finish(started)
    else:
        finishing = proving.finish(started)
        _, answer = world.verify(finishing, proving_state)
        opened = finishing.finish(answer)
        assert finishing._export_key._buffer is None
        assert opened.vault_token.expose()
    assert [attempt.state._buffer for attempt in locating._attempts] == [None]


def test_an_enrolment_state_works_once_even_after_a_failure(world: World) -> None:
    awaiting = start_enrollment(world.password("open sesame"))
    bad = RegistrationStarted(session_id=SESSION, registration_response=encode_binary(bytes(64)))
    with pytest.raises(MalformedError):
        awaiting.finish(bad, label="x")
    with pytest.raises(StateError):
        awaiting.finish(bad, label="x")


def test_an_abandoned_state_is_dead_and_its_secrets_are_gone(world: World) -> None:
    locating, located, _ = world.locate("open sesame")
    locating.abandon()
    locating.abandon()
    with pytest.raises(StateError):
        locating.finish(located)
    assert all(attempt.state._buffer is None for attempt in locating._attempts)


@pytest.mark.parametrize("count", [0, 6])
def test_an_unlock_takes_one_to_five_candidates(world: World, count: int) -> None:
    with pytest.raises(LimitError):
        start_unlock([world.password("open sesame")] * count)


def test_answers_that_do_not_fit_the_question_are_refused(world: World) -> None:
    locating, located, state = world.locate("open sesame", "other")
    with pytest.raises(MalformedError):
        locating.finish(msgspec.structs.replace(located, responses=located.responses[:1]))
    locating, located, state = world.locate("open sesame", "other")
    proving = locating.finish(located)
    started, _ = world.start(proving, state)
    with pytest.raises(MalformedError):
        proving.finish(msgspec.structs.replace(started, ke2=started.ke2[:1]))


def test_a_ke1_that_was_not_located_is_not_evaluated(world: World) -> None:
    _, _, state = world.locate("open sesame")
    locating, located, _ = world.locate("open sesame")
    with pytest.raises(AuthenticationError):
        world.start(locating.finish(located), state)


def test_candidates_cannot_be_dropped_added_or_swapped_after_locating(world: World) -> None:
    locating, located, state = world.locate("open sesame", "other")
    message = locating.finish(located).message
    first, second = message.candidates
    for candidates in ([first], [second, first], [first, first], [first, second, second]):
        changed = StartUnlock(session_id=SESSION, candidates=candidates)

        class _Changed:
            message = changed

        with pytest.raises(AuthenticationError):
            world.start(_Changed, state)  # type: ignore[arg-type]  # only its message is read


def test_every_flipped_bit_of_a_proof_is_refused(world: World) -> None:
    finishing, state = world.prove("open sesame")
    ke3 = decode_binary(finishing.message.ke3)
    for bit in range(len(ke3) * 8):
        forged = bytearray(ke3)
        forged[bit // 8] ^= 1 << bit % 8
        message = msgspec.structs.replace(finishing.message, ke3=encode_binary(bytes(forged)))
        with pytest.raises(AuthenticationError):
            verify_candidate(state, message)
    assert verify_candidate(state, finishing.message).phrase_hash in world.tags


def test_a_proof_counts_only_for_its_own_candidate(world: World) -> None:
    finishing, state = world.prove("other", "open sesame")
    for candidate in (0, 2, 4):
        with pytest.raises(AuthenticationError):
            verify_candidate(state, msgspec.structs.replace(finishing.message, candidate=candidate))


def test_every_flipped_bit_of_an_answer_from_the_record_is_refused(world: World) -> None:
    locating, located, state = world.locate("open sesame")
    started, _ = world.start(locating.finish(located), state)
    ke2 = decode_binary(started.ke2[0])
    # Each refusal costs the client OPAQUE's Argon2id, so one bit per byte of the message.
    for index in range(0, len(ke2), 8):
        locating, located, state = world.locate("open sesame")
        proving = locating.finish(located)
        started, _ = world.start(proving, state)
        forged = bytearray(decode_binary(started.ke2[0]))
        forged[index] ^= 1 << index % 8
        with pytest.raises(AuthenticationError):
            proving.finish(msgspec.structs.replace(started, ke2=[encode_binary(bytes(forged))]))


@pytest.mark.parametrize(
    "change",
    [
        {"vault_id": uuid4()},
        {"key_version": 2},
        {"generation": 2},
        {"wrapped_key": encode_binary(os.urandom(40))},
        {"head": encode_binary(os.urandom(112))},
        {"key_purpose": "vault_index"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_field_of_a_vault_key_can_be_changed(world: World, change: dict[str, object]) -> None:
    finishing, state = world.prove("open sesame")
    tag = world.tags[verify_candidate(state, finishing.message).phrase_hash]
    with pytest.raises((AuthenticationError, MalformedError)):
        finishing.finish(unlocked_message(tag, **change))
    assert finishing._export_key._buffer is None


def test_keys_of_another_tag_do_not_open(world: World) -> None:
    finishing, state = world.prove("open sesame")
    mine = world.tags[verify_candidate(state, finishing.message).phrase_hash]
    other = next(tag for tag in world.tags.values() if tag is not mine)
    spliced = msgspec.structs.replace(unlocked_message(mine), vaults=unlocked_message(other).vaults)
    with pytest.raises(AuthenticationError):
        finishing.finish(spliced)


def test_a_vault_named_twice_and_another_suite_are_refused(world: World) -> None:
    for change in ("twice", "suite"):
        finishing, state = world.prove("open sesame")
        honest = unlocked_message(world.tags[verify_candidate(state, finishing.message).phrase_hash])
        forged = (
            msgspec.structs.replace(honest, vaults=honest.vaults * 2)
            if change == "twice"
            else msgspec.structs.replace(honest, suite="hushtag-v0")
        )
        with pytest.raises(MalformedError):
            finishing.finish(forged)


def test_a_missing_device_secret_fails_like_a_wrong_phrase(world: World) -> None:
    with_secret = World(salt=world.salt)
    secret = DeviceSecret(os.urandom(32))
    with_secret.password = lambda phrase: password(phrase, world.salt, secret)  # type: ignore[method-assign]
    with_secret.enrol("open sesame")
    assert with_secret.unlock("open sesame").candidate == 0
    with_secret.password = lambda phrase: password(phrase, world.salt)  # type: ignore[method-assign]
    with pytest.raises(AuthenticationError):
        with_secret.unlock("open sesame")


def test_an_unknown_suite_is_refused_on_both_sides(world: World) -> None:
    with pytest.raises(UnknownSuiteError):
        suite_by_id("hushtag-v2")
    locating, _, _ = world.locate("open sesame")
    message = msgspec.structs.replace(locating.message, suite="hushtag-v2")
    with pytest.raises(UnknownSuiteError):
        LocatedState.of([LiveSetup(KEYS, world.setup)], message)
    tag = next(iter(world.tags.values()))
    with pytest.raises(UnknownSuiteError):
        accept_enrollment(msgspec.structs.replace(tag.message, suite="hushtag-v2"))


def test_the_server_refuses_a_phrase_hash_that_is_not_the_records(world: World) -> None:
    tag = next(iter(world.tags.values()))
    for change in (
        {"phrase_hash": encode_binary(os.urandom(16))},
        {"record": encode_binary(tag.record[:32] + os.urandom(64) + tag.record[96:])},
        {"record": encode_binary(b"\xff" * 32 + tag.record[32:])},
        {"record": encode_binary(bytes(32) + tag.record[32:])},
    ):
        with pytest.raises(MalformedError):
            accept_enrollment(msgspec.structs.replace(tag.message, **change))


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little"), (2**255 - 20).to_bytes(32, "little")])
def test_the_server_refuses_a_public_key_that_no_data_key_can_be_sealed_to(world: World, point: bytes) -> None:
    """Two such tags would make each other, and every phrase of the vault, impossible to revoke."""
    tag = next(iter(world.tags.values()))
    with pytest.raises(MalformedError):
        seal_to_tag(DataKey(bytes(32)), point, vault_id=uuid4(), tag_id=uuid4(), key_version=2)
    with pytest.raises(MalformedError, match=r"^public key of a tag is none$"):
        accept_enrollment(msgspec.structs.replace(tag.message, public_key=encode_binary(point)))


def test_the_server_refuses_elements_that_are_not_in_the_group(world: World) -> None:
    for element in (bytes(32), b"\xff" * 32, b"\x01" + bytes(31)):
        request = encode_binary(element)
        with pytest.raises(MalformedError):
            answer_enrollment(
                world.setup,
                world.credential_id,
                msgspec.structs.replace(
                    start_enrollment(OpaquePassword(bytes(64))).message, registration_request=request
                ),
            )
        setups = [LiveSetup(KEYS, world.setup)]
        state = LocatedState.of(setups, Locate(suite="hushtag-v1", elements=[request]))
        with pytest.raises(MalformedError):
            evaluate_located(setups, world.credential_id, state)


def test_server_states_survive_storage_and_refuse_other_lengths(world: World) -> None:
    _, state = world.prove("open sesame")
    assert ProvingState.decode(state.encode()).encode() == state.encode()
    for decode, size in ((LocatedState.decode, 32), (ProvingState.decode, 144)):
        for length in (0, size - 1, size + 1, size * 6):
            with pytest.raises(MalformedError):
                decode(bytes(length))


def test_a_decoy_answers_like_a_record_and_opens_for_no_one(world: World) -> None:
    decoy = decoy_record(world.setup, world.decoy_seed, world.credential_id)
    assert decoy == decoy_record(world.setup, world.decoy_seed, world.credential_id)
    locating, located, state = world.locate("never enrolled")
    proving = locating.finish(located)
    # Even a phrase hash that is the decoy's own finds no record and no key.
    hashed = encode_binary(phrase_hash(decoy.masking_key))
    proving.message = StartUnlock(
        session_id=SESSION, candidates=[Candidate(phrase_hash=hashed, ke1=proving.message.candidates[0].ke1)]
    )
    started, _ = world.start(proving, state)
    with pytest.raises(AuthenticationError):
        proving.finish(started)
