"""Exact words of refusals, values at a limit, and fields that are passed on: the second part of `test_exact.py`.

Found by mutation testing (docs/mutation.md): each test here fails for a change of the core that no other test sees.
"""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from uuid import UUID, uuid4

import msgspec
import pytest

from hushtag import _opaque, tag_label
from hushtag._kdf import lp, u32, u64
from hushtag._sealing import check_length, open_sealed, seal
from hushtag._stretch import stretch_phrase
from hushtag.enrollment import accept_enrollment, answer_enrollment, start_enrollment
from hushtag.errors import (
    AuthenticationError,
    LimitError,
    MalformedError,
    RollbackError,
    StateError,
    UnknownSuiteError,
)
from hushtag.head import MAX_OBJECT_COUNT, MAX_RESTORATIONS, VaultHead, _aad, _info, open_head, seal_head
from hushtag.keys import derive_kek, unwrap_key
from hushtag.messages import (
    Located,
    RegistrationStarted,
    UnlockStarted,
    decode_binary,
    encode_binary,
)
from hushtag.objects import (
    ObjectMeta,
    shape_of,
)
from hushtag.streams import StreamShape
from hushtag.suites import HUSHTAG_V1, suite_by_id
from hushtag.tag_label import open_label
from hushtag.types import KE1, DataKey, ExportKey, Record, RegistrationRequest, WrappedKey
from hushtag.unlock import Locating, start_unlock
from hushtag.unlock_server import (
    LiveSetup,
    LocatedState,
    ProvingState,
    answer_candidates,
    evaluate_located,
)
from tests.core.ceremony import SESSION, World
from tests.core.refusals import reject

VAULT, OBJECT = uuid4(), uuid4()


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (bytes([0, 0, 0, 253]) + b"x" * 252, "label frame has the wrong length or padding"),
        (bytes([0, 0, 0, 1]) + b"xy" + bytes(250), "label frame has the wrong length or padding"),
        (bytes([0, 0, 0, 1]) + b"x" + bytes(250) + b"y", "label frame has the wrong length or padding"),
        (bytes([0, 0, 0, 1]) + b"\xff" + bytes(251), "label is not UTF-8"),
    ],
)
def test_a_crafted_label_is_refused_in_words(frame: bytes, words: str) -> None:
    """Only who has the data key can make one."""
    key, public_key = DataKey(bytes(32)), bytes(32)
    aad = tag_label._aad(HUSHTAG_V1, VAULT, OBJECT, 1, public_key)
    sealed = bytes(seal(key.expose(), bytes(12), tag_label._info(VAULT, OBJECT, 1), [frame], aad))
    place = {"vault_id": VAULT, "tag_id": OBJECT, "key_version": 1, "public_key": public_key}
    reject(words, MalformedError, lambda: open_label(key, sealed, **place))  # type: ignore[arg-type]


def test_a_head_counts_to_its_limits() -> None:
    most = VaultHead(1, MAX_OBJECT_COUNT, 1, bytes(32), MAX_RESTORATIONS)
    assert VaultHead.decode(most.encode()) == most
    words = "vault head counts more restorations or objects than it can hold"
    for field, value in (("restorations", 2**16), ("restorations", -1), ("object_count", 2**48), ("object_count", -1)):
        reject(words, LimitError, replace(most, **{field: value}).encode)  # type: ignore[arg-type]


def test_a_head_for_another_generation_inside_is_refused_in_words() -> None:
    """Only who has the data key can make one; the seal is of generation 2, the head inside of 1."""
    key, head = DataKey(bytes(32)), VaultHead.first()
    inside = replace(head, generation=2)
    crafted = bytes(
        seal(key.expose(), bytes(12), _info(VAULT, 1, 2), [head.encode()], _aad(HUSHTAG_V1, VAULT, 1, 2, None))
    )
    words = "vault head names another generation or key version than it was sealed for"
    reject(words, RollbackError, lambda: open_head(key, VAULT, crafted, generation=2, key_version=1))
    assert open_head(key, VAULT, seal_head(key, VAULT, inside), generation=2, key_version=1) == inside


def test_an_object_without_a_stream_has_no_shape() -> None:
    reject("object has no stream", MalformedError, lambda: shape_of(ObjectMeta("n", "t", 1, 1)))


def test_the_shape_of_an_object_has_the_segments_its_own_metadata_names() -> None:
    meta = SimpleNamespace(size=40_000, stream=SimpleNamespace(segment_size=16_384))
    assert shape_of(meta) == StreamShape(40_000, 16_384)  # type: ignore[arg-type]  # only these two are read


def test_a_phrase_salt_of_another_length_is_refused_in_words() -> None:
    for size in (0, 15, 17):
        words = f"phrase salt is {size} bytes, expected 16"
        reject(words, MalformedError, lambda size=size: stretch_phrase("open sesame", bytes(size), HUSHTAG_V1))


def test_numbers_fill_their_fields() -> None:
    assert (u32(1), u32(2**32 - 1)) == (b"\0\0\0\1", b"\xff" * 4)
    assert (u64(1), u64(2**64 - 1)) == (b"\0\0\0\0\0\0\0\1", b"\xff" * 8)
    assert (lp(b""), lp(b"ab")) == (bytes(4), b"\0\0\0\2ab")


def test_bytes_that_do_not_parse_are_refused_in_these_words(world: World) -> None:
    wrong = b"\xff" * 32
    tag = next(iter(world.tags.values()))
    refusals: list[tuple[str, Callable[[], object]]] = [
        (
            "blinded element is not a group element",
            lambda: _opaque.answer_registration(world.setup, world.credential_id, RegistrationRequest(wrong)),
        ),
        (
            "ke1 does not parse",
            lambda: _opaque.start_server_login(world.setup, world.credential_id, tag.record, KE1(wrong * 3)),
        ),
        ("sealed value is 59 bytes, expected at least 60", lambda: open_sealed(bytes(32), bytes(59), b"", b"")),
        ("sealed value is 91 bytes, expected 92", lambda: check_length(bytes(91), 32)),
        ("binary field is not base64url", lambda: decode_binary("\u00e4")),
        ("binary field is not base64url", lambda: decode_binary("A")),
        ("binary field is not in canonical base64url", lambda: decode_binary("AB")),
        ("binary field is 1 bytes, expected 2", lambda: decode_binary("AA", 2)),
        ("DataKey is 31 bytes, expected 32", lambda: DataKey(bytes(31))),
        ("Record is 31 bytes, expected 192", lambda: Record(bytes(31))),
    ]
    for words, call in refusals:
        reject(words, MalformedError, call)
    unknown = "the server asks for a suite this version does not implement"
    reject(unknown, UnknownSuiteError, lambda: suite_by_id("hushtag-v2"))


def test_keys_are_refused_in_these_words() -> None:
    place = {"tag_id": OBJECT, "vault_id": VAULT, "key_version": 1}
    export_key, forgotten = ExportKey(bytes(64)), DataKey(bytes(32))
    words = "tag salt is 15 bytes, expected 16"
    reject(words, MalformedError, lambda: derive_kek(export_key, salt=bytes(15), **place))  # type: ignore[arg-type]
    kek = derive_kek(export_key, salt=bytes(16), **place)  # type: ignore[arg-type]
    reject("wrapped key does not open", AuthenticationError, lambda: unwrap_key(kek, WrappedKey(bytes(40))))
    forgotten.forget()
    reject("DataKey was forgotten", StateError, forgotten.expose)


def test_the_server_stores_of_an_enrolment_what_the_message_says(world: World) -> None:
    message = next(iter(world.tags.values())).message
    accepted = accept_enrollment(message)
    assert accepted.message is message
    named = ("phrase_hash", "salt", "record", "public_key", "sealed_label")
    assert [encode_binary(getattr(accepted, name)) for name in named] == [getattr(message, name) for name in named]


def test_a_record_that_parses_to_another_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such record is known: the binding refuses other encodings. A later one might not."""
    record = next(iter(world.tags.values())).record

    class _Lenient:
        @staticmethod
        def server_registration_finish(given: bytes) -> "_Lenient":
            return _Lenient()

        @staticmethod
        def get_password_file() -> bytes:
            return bytes(192)

    monkeypatch.setattr(_opaque, "binding", _Lenient)
    reject("registration record is not in canonical form", MalformedError, lambda: _opaque.check_record(record))


def test_an_enrolment_that_gets_no_randomness_fails_with_that(world: World) -> None:
    def entropy(size: int) -> bytes:
        raise OSError("no randomness")

    awaiting = start_enrollment(world.password("open sesame"), _entropy=entropy)
    response = answer_enrollment(world.setup, world.credential_id, awaiting.message)
    answer = RegistrationStarted(session_id=SESSION, registration_response=response)
    with pytest.raises(OSError, match=r"^no randomness$"):
        awaiting.finish(answer, label="l")


def test_a_state_between_steps_says_how_long_it_is() -> None:
    for decode in (LocatedState.decode, ProvingState.decode):
        for size in (0, 3):
            reject(
                f"ceremony state is {size} bytes", MalformedError, lambda decode=decode, size=size: decode(bytes(size))
            )


def _evaluated(world: World, locating: Locating, setups: int) -> tuple[LocatedState, list[str]]:
    live = [LiveSetup(UUID(int=number), world.setup) for number in range(setups)]
    state = LocatedState.of(live, locating.message)
    return state, evaluate_located(live, world.credential_id, state)


@pytest.mark.parametrize(("asked", "answered"), [(1, 4), (2, 1), (2, 3), (2, 5)])
def test_answers_to_a_locate_are_counted(world: World, asked: int, answered: int) -> None:
    locating = start_unlock([world.password("open sesame")] * asked)
    response = _evaluated(world, locating, 1)[1][0]
    words = f"located {answered} candidates, asked for {asked}"
    answer = Located(session_id=SESSION, responses=[response] * answered)
    reject(words, MalformedError, lambda: locating.finish(answer))


def test_every_step_names_the_session_of_the_answer_before_it(world: World) -> None:
    """Under three setups, the most there may be; here they are one, so the first entry opens."""
    locating = start_unlock([world.password("open sesame")])
    state, responses = _evaluated(world, locating, 3)
    proving = locating.finish(Located(session_id="c" * 64, responses=responses))
    assert proving.message.session_id == "c" * 64
    assert len(proving.message.candidates) == 3
    live = [LiveSetup(key_id, world.setup) for key_id in state.key_ids]
    _, ke2 = answer_candidates(
        live, world.credential_id, state, proving.message, lambda _, found: world.records()[found]
    )
    finishing = proving.finish(UnlockStarted(session_id="d" * 64, state="c3RhdGU", ke2=ke2))
    message = finishing.message
    assert (message.session_id, message.state, message.candidate) == ("d" * 64, "c3RhdGU", 0)


def test_an_unlock_that_opens_nothing_says_no_more_than_that(world: World) -> None:
    reject("the phrase opens nothing here", AuthenticationError, lambda: world.prove("open says me"))
    locating, located, state = world.locate("open sesame", "other")
    proving = locating.finish(located)
    started, _ = world.start(proving, state)
    short = msgspec.structs.replace(started, ke2=started.ke2[:1])
    reject("answered 1 candidates, asked for 2", MalformedError, lambda: proving.finish(short))


def test_a_server_refuses_what_was_not_located_in_these_words(world: World) -> None:
    _, _, elsewhere = world.locate("open sesame")
    locating, located, _ = world.locate("open sesame")
    proving = locating.finish(located)
    reject("ke1 was not located", AuthenticationError, lambda: world.start(proving, elsewhere))
    two = elsewhere._replace(elements=elsewhere.elements * 2)
    reject("not the located candidates", AuthenticationError, lambda: world.start(proving, two))


def test_an_unlock_takes_five_candidates_and_says_so(world: World) -> None:
    assert len(start_unlock([world.password("open sesame")] * 5).message.elements) == 5
    for count in (0, 6):
        words = f"an unlock takes 1 to 5 candidates, not {count}"
        reject(words, LimitError, lambda count=count: start_unlock([world.password("open sesame")] * count))


class PanicException(BaseException):
    """As the binding names what a panic of its own becomes; no input is known that makes one."""


def test_whatever_the_binding_raises_becomes_the_refusal_and_an_interrupt_gets_through() -> None:
    failure = AuthenticationError()
    assert str(failure) == "authentication failed"
    for raised in (ValueError("says why"), PanicException("says where")):

        def fail(raised: BaseException = raised) -> None:
            raise raised

        with pytest.raises(AuthenticationError) as caught:
            _opaque._call(fail, failure)
        assert caught.value is failure
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _opaque._call(interrupt, failure)
