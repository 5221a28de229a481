"""Pairing: the secret arrives exactly where the code was typed right, once, and nothing in between helps anybody."""

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spake2 import SPAKE2_A, SPAKE2_B
from spake2.ed25519_basic import Base, L

from hushtag._pairing_keys import pairing_keys
from hushtag._words import WORDS
from hushtag.client.pairing import CODE_WORDS, PAIRING_SECONDS, AcceptingDevice, OfferingDevice, _derive, _identities
from hushtag.device_secret import generate_device_secret
from hushtag.errors import AuthenticationError, HushtagError, ListedWordError, MalformedError, PhraseError, StateError
from hushtag.messages import decode_binary, encode_binary
from hushtag.types import DeviceSecret
from tests.vectors.documents import vectors

USER = UUID("8f14e45f-ceea-467f-ab12-3c4d5e6f7a8b")


@pytest.fixture
def secret() -> DeviceSecret:
    return generate_device_secret()


@pytest.fixture
def offering(secret: DeviceSecret) -> OfferingDevice:
    return OfferingDevice(secret, USER, 100.0)


def other_code(code: str) -> str:
    first, *rest = code.split(" ")
    return " ".join([next(word for word in WORDS if word != first), *rest])


EXCHANGES = [vector for vector in vectors("suite/device") if vector["operation"] == "suite.spake2"]


@pytest.mark.parametrize("vector", EXCHANGES, ids=lambda vector: vector["name"])
def test_an_exchange_is_as_the_vectors_have_it(vector: dict[str, Any]) -> None:
    given_ = {
        name: value if name in {"code", "side"} else bytes.fromhex(value.replace("-", ""))
        for name, value in vector["given"].items()
    }
    kind = {"A": SPAKE2_A, "B": SPAKE2_B}[given_["side"]]
    user, pairing = UUID(bytes=given_["user_id"]), given_["pairing_id"]
    ends = _identities(user, pairing)
    side = kind(given_["code"].encode(), *ends, entropy_f=lambda size: given_["scalar"].rjust(size, b"\0"))
    sent = side.start()
    if vector["expect"] == "malformed":
        with pytest.raises(MalformedError):
            _derive(side, given_["inbound"], user, pairing)
        return
    shared = bytes.fromhex(vector["expected"]["spake2_key"])
    assert sent.hex() == vector["expected"]["message"]
    assert _derive(side, given_["inbound"], user, pairing) == pairing_keys(shared, user, pairing)


def altered(message: str, at: int) -> str:
    """The message with one bit of one byte changed."""
    prefix, _, body = message.partition(".")
    content = bytearray(decode_binary(body))
    content[at % len(content)] ^= 1
    return f"{prefix}.{encode_binary(bytes(content))}"


def test_the_secret_arrives(secret: DeviceSecret, offering: OfferingDevice) -> None:
    accepting = AcceptingDevice(USER, f"  {offering.code.upper()}. ", offering.offer + "\n")
    assert accepting.finish(offering.deliver(accepting.answer, 100.0 + PAIRING_SECONDS)) == secret


def test_a_code_is_three_words_of_the_list_and_another_one_each_time(secret: DeviceSecret) -> None:
    codes = {OfferingDevice(secret, USER, 0.0).code for _ in range(5)}
    assert len(codes) == 5
    assert all(len(code.split(" ")) == CODE_WORDS and set(code.split(" ")) <= set(WORDS) for code in codes)


def test_no_message_holds_the_secret_or_the_code(secret: DeviceSecret, offering: OfferingDevice) -> None:
    accepting = AcceptingDevice(USER, offering.code, offering.offer)
    messages = [offering.offer, accepting.answer, offering.deliver(accepting.answer, 101.0)]
    for message in messages:
        assert re.fullmatch(r"htp1[oad]\.[A-Za-z0-9_-]+", message)
        content = decode_binary(message.partition(".")[2])
        assert secret.expose() not in content
        assert not any(word.encode() in content for word in offering.code.split(" "))
    assert secret.expose().hex() not in repr(offering)
    assert offering.code not in repr(offering) + repr(accepting)


def test_a_refusal_says_that_the_code_was_another_and_is_of_one_pairing(offering: OfferingDevice) -> None:
    accepting, other = (AcceptingDevice(USER, offering.code, offering.offer) for _ in range(2))
    with pytest.raises(AuthenticationError, match="another code"):
        accepting.finish(f" {offering.refusal}\n")
    with pytest.raises(StateError):
        accepting.finish(offering.refusal)
    with pytest.raises(MalformedError):
        other.finish(OfferingDevice(generate_device_secret(), USER, 0.0).refusal)


def test_a_wrong_code_ends_the_pairing(offering: OfferingDevice) -> None:
    guessing = AcceptingDevice(USER, other_code(offering.code), offering.offer)
    with pytest.raises(AuthenticationError, match="another code"):
        offering.deliver(guessing.answer, 101.0)
    right = AcceptingDevice(USER, offering.code, offering.offer)
    with pytest.raises(StateError, match="already used"):
        offering.deliver(right.answer, 102.0)


def test_an_answer_serves_once_and_in_time(secret: DeviceSecret, offering: OfferingDevice) -> None:
    accepting = AcceptingDevice(USER, offering.code, offering.offer)
    with pytest.raises(StateError, match="run out"):
        offering.deliver(accepting.answer, 100.0 + PAIRING_SECONDS + 0.1)
    with pytest.raises(StateError, match="already used"):
        offering.deliver(accepting.answer, 101.0)


def test_a_delivery_is_taken_once(offering: OfferingDevice) -> None:
    accepting = AcceptingDevice(USER, offering.code, offering.offer)
    delivery = offering.deliver(accepting.answer, 101.0)
    accepting.finish(delivery)
    with pytest.raises(StateError):
        accepting.finish(delivery)


def test_devices_of_two_accounts_do_not_pair(offering: OfferingDevice) -> None:
    stranger = AcceptingDevice(uuid4(), offering.code, offering.offer)
    with pytest.raises(AuthenticationError):
        offering.deliver(stranger.answer, 101.0)


def test_who_sits_in_between_gets_nothing_though_both_devices_talk_to_them(secret: DeviceSecret) -> None:
    """The man in the middle offers and answers by himself, with a code of his own."""
    offering = OfferingDevice(secret, USER, 0.0)
    his_offer = OfferingDevice(generate_device_secret(), USER, 0.0)
    victim = AcceptingDevice(USER, offering.code, his_offer.offer)
    with pytest.raises(AuthenticationError):
        his_offer.deliver(victim.answer, 1.0)
    his_answer = AcceptingDevice(USER, his_offer.code, offering.offer)
    with pytest.raises(AuthenticationError):
        offering.deliver(his_answer.answer, 1.0)


def test_messages_of_two_pairings_do_not_mix(secret: DeviceSecret, offering: OfferingDevice) -> None:
    other = OfferingDevice(secret, USER, 100.0)
    accepting = AcceptingDevice(USER, offering.code, offering.offer)
    with pytest.raises(MalformedError, match="another pairing"):
        other.deliver(accepting.answer, 101.0)
    third = OfferingDevice(secret, USER, 100.0)
    theirs = AcceptingDevice(USER, third.code, third.offer)
    delivery = third.deliver(theirs.answer, 101.0)
    with pytest.raises(MalformedError, match="another pairing"):
        accepting.finish(delivery)


def test_a_reflected_offer_is_no_answer(offering: OfferingDevice) -> None:
    content = decode_binary(offering.offer.partition(".")[2])
    with pytest.raises(MalformedError):
        offering.deliver("htp1a." + encode_binary(content + bytes(32)), 101.0)


@pytest.mark.parametrize(
    "element",
    [
        bytes(32),
        (1).to_bytes(32, "little"),
        b"\xff" * 32,
        (2).to_bytes(32, "little"),
        Base.scalarmult(L - 1).to_bytes(),
    ],
    ids=["order 4", "zero", "no field element", "not on the curve", "right group, wrong side"],
)
def test_an_element_outside_the_group_is_refused(offering: OfferingDevice, element: bytes) -> None:
    content = decode_binary(offering.offer.partition(".")[2])
    side = b"B" if element == Base.scalarmult(L - 1).to_bytes() else b"A"
    with pytest.raises(MalformedError):
        AcceptingDevice(USER, offering.code, "htp1o." + encode_binary(content[:16] + side + element))


@settings(max_examples=25, deadline=None)
@given(at=st.integers(min_value=0, max_value=200), which=st.sampled_from(["offer", "answer", "delivery"]))
def test_every_altered_byte_of_every_message_ends_in_an_error(at: int, which: str) -> None:
    secret = generate_device_secret()
    offering = OfferingDevice(secret, USER, 0.0)

    def sent(kind: str, message: str) -> str:
        return altered(message, at) if kind == which else message

    def pair() -> None:
        accepting = AcceptingDevice(USER, offering.code, sent("offer", offering.offer))
        accepting.finish(sent("delivery", offering.deliver(sent("answer", accepting.answer), 1.0)))

    with pytest.raises((MalformedError, AuthenticationError)):
        pair()


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=80), st.from_regex(r"htp1[oad]\.[A-Za-z0-9_-]{0,80}", fullmatch=True)))
def test_any_text_for_a_message_is_a_typed_error(text: str) -> None:
    offering = OfferingDevice(DeviceSecret(bytes(32)), USER, 0.0)
    with pytest.raises(HushtagError):
        offering.deliver(text, 1.0)
    with pytest.raises(MalformedError):
        AcceptingDevice(USER, "abruptly acrobat woodland", text)


def test_a_mistyped_code_is_noticed_before_anything_is_spent(offering: OfferingDevice) -> None:
    words = offering.code.split(" ")
    typed = words[1][:-1] + "qx"
    with pytest.raises(ListedWordError) as caught:
        AcceptingDevice(USER, f"{words[0]} {typed} {words[2]}", offering.offer)
    assert list(caught.value.near) == [2]
    assert not any(word in str(caught.value) for word in [*words, typed])
    with pytest.raises(PhraseError, match="2 words, expected 3"):
        AcceptingDevice(USER, " ".join(words[:2]), offering.offer)
    accepting = AcceptingDevice(USER, offering.code, offering.offer)
    assert offering.deliver(accepting.answer, 101.0)
