"""Secrets do not leak by accident; messages have one length."""

import copy
import json
import logging
import pickle

import msgspec
import pytest

from hushtag import types
from hushtag._opaque import ServerSetup
from hushtag.errors import MalformedError, MisuseError, StateError
from hushtag.types import FixedBytes, Secret

SECRETS = [value for value in vars(types).values() if isinstance(value, type) and issubclass(value, Secret)]
SECRETS.remove(Secret)
MESSAGES = [value for value in vars(types).values() if isinstance(value, type) and issubclass(value, FixedBytes)]
MESSAGES.remove(FixedBytes)


def _value(secret: type[Secret]) -> bytes:
    return bytes(range(65, 65 + 26)) * 8 if secret.LENGTH > 208 else (bytes(range(65, 91)) * 8)[: secret.LENGTH]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_text_form_of_a_secret_holds_its_bytes(secret: type[Secret], caplog: pytest.LogCaptureFixture) -> None:
    held = secret(_value(secret))
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r %s", held, held, [held])
    texts = [repr(held), str(held), f"{held}", f"{held!r:>90}", caplog.text, repr({"k": held})]
    canary = _value(secret)[:8]
    assert all(canary.decode() not in text and canary.hex() not in text for text in texts)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_refuses_to_be_pickled_copied_or_encoded(secret: type[Secret]) -> None:
    held = secret(_value(secret))
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(MisuseError):
            attempt(held)
    for encode in (json.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises((TypeError, MisuseError)):
            encode(held)
    with pytest.raises(TypeError):
        bytes(held)  # type: ignore[call-overload]  # the point of the test
    with pytest.raises(TypeError):
        hash(held)


@pytest.mark.parametrize("kind", [*SECRETS, *MESSAGES])
def test_every_type_has_exactly_one_length(kind: type[Secret] | type[FixedBytes]) -> None:
    for wrong in (0, kind.LENGTH - 1, kind.LENGTH + 1):
        with pytest.raises(MalformedError, match=f"{wrong} bytes, expected {kind.LENGTH}"):
            kind(bytes(wrong))


@pytest.mark.parametrize("secret", SECRETS)
def test_a_forgotten_secret_is_overwritten_and_dead(secret: type[Secret]) -> None:
    held = secret(_value(secret))
    buffer = held._buffer
    assert buffer is not None
    held.forget()
    held.forget()
    assert bytes(buffer) == bytes(secret.LENGTH)
    with pytest.raises(StateError, match="forgotten"):
        held.expose()


def test_secrets_of_different_types_are_never_equal() -> None:
    assert types.DataKey(bytes(32)) == types.DataKey(bytes(32))
    assert types.DataKey(bytes(32)) != types.DataKey(bytes(31) + b"\1")
    assert types.DataKey(bytes(32)) != types.KeyEncryptionKey(bytes(32))


def test_a_server_setup_is_redacted_and_refuses_pickling() -> None:
    setup = ServerSetup.generate()
    assert setup.expose().hex()[:16] not in repr(setup)
    with pytest.raises(MisuseError):
        pickle.dumps(setup)
    with pytest.raises(MalformedError):
        ServerSetup(bytes(127))
    with pytest.raises(MalformedError):
        ServerSetup(b"\xff" * 128)


def test_a_secret_that_is_forgotten_while_it_is_read_is_no_zeros() -> None:
    """Another thread may lock the vault while this one is about to seal: nothing may be sealed under zeros."""
    secret = types.DataKey(_value(types.DataKey))

    class Meanwhile(bytearray):
        def __bytes__(self) -> bytes:
            secret.forget()
            return bytes(bytearray(self))

    assert secret._buffer is not None
    secret._buffer = Meanwhile(secret._buffer)
    with pytest.raises(StateError):
        secret.expose()
