"""Name and text form of a device secret."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushtag._pairing_keys import pairing_keys
from hushtag._words import WORDS
from hushtag.device_secret import NAME_WORDS, TEXT_PREFIX, device_name, from_text, generate_device_secret, to_text
from hushtag.errors import AuthenticationError, HushtagError, MalformedError
from hushtag.types import DeviceSecret

USER = UUID("8f14e45f-ceea-467f-ab12-3c4d5e6f7a8b")
QR_ALPHANUMERIC = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


def test_secrets_are_fresh_and_their_names_are_words() -> None:
    one, other = generate_device_secret(), generate_device_secret()
    assert one != other
    assert device_name(one) != device_name(other)
    assert device_name(one) == device_name(DeviceSecret(one.expose()))
    words = device_name(one).split(" ")
    assert len(words) == NAME_WORDS
    assert set(words) <= set(WORDS)


def test_the_text_form_comes_back_however_it_is_written() -> None:
    secret = generate_device_secret()
    text = to_text(secret, USER)
    assert len(text) == 93
    assert set(text) <= QR_ALPHANUMERIC
    assert from_text(text, USER) == secret
    assert from_text(f"  {text[:40].lower()}\n{text[40:]} ", USER) == secret


def test_the_text_of_another_account_is_refused() -> None:
    with pytest.raises(AuthenticationError, match="another account"):
        from_text(to_text(generate_device_secret(), uuid4()), USER)


def test_every_misread_character_is_noticed() -> None:
    text = to_text(DeviceSecret(bytes(range(32))), USER)
    # The last character carries one bit of the check and four that base32 leaves over.
    for at in range(len(TEXT_PREFIX), len(text) - 1):
        other = "A" if text[at] != "A" else "B"
        with pytest.raises(MalformedError):
            from_text(text[:at] + other + text[at + 1 :], USER)
    for wrong in (text[:-1], text + "A", text.removeprefix(TEXT_PREFIX), "HUSHTAG2:" + text.removeprefix(TEXT_PREFIX)):
        with pytest.raises(MalformedError):
            from_text(wrong, USER)


@given(st.one_of(st.text(max_size=120), st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=84, max_size=84)))
def test_any_text_is_a_typed_error(text: str) -> None:
    for given_text in (text, TEXT_PREFIX + text):
        with pytest.raises(HushtagError):
            from_text(given_text, USER)


def test_a_refusal_is_said_in_these_words() -> None:
    text = to_text(DeviceSecret(bytes(range(32))), USER)
    body = text.removeprefix(TEXT_PREFIX)
    none, misread = "not the text of a device secret", "the text of the device secret was misread"
    for wrong, words in (
        (body, none),
        (text[:-1], none),
        (TEXT_PREFIX + "1" + body[1:], none),
        (TEXT_PREFIX + "\u00e4" + body[1:], none),
        (text.replace("S", "\u017f", 1), none),  # a long s, whose capital is S
        (TEXT_PREFIX + ("A" if body[0] != "A" else "B") + body[1:], misread),
    ):
        with pytest.raises(MalformedError, match=f"^{words}$"):
            from_text(wrong, USER)
    with pytest.raises(AuthenticationError, match=r"^the device secret belongs to another account$"):
        from_text(text, UUID(int=1))


def test_a_secret_is_drawn_once_from_the_source_given() -> None:
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return bytes(range(size))

    assert generate_device_secret(_entropy=entropy) == DeviceSecret(bytes(range(32)))
    assert drawn == [32]


def test_the_keys_of_a_pairing_do_not_show_themselves() -> None:
    keys = pairing_keys(bytes(32), USER, bytes(16))
    assert repr(keys) == f"{keys}" == "PairingKeys(<redacted>)"
