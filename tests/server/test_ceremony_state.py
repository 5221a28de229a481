"""Sealed ceremony state opens for its own user, session and step only."""

import secrets
from collections.abc import Callable
from uuid import uuid4

import pytest

from hushtag_server.ceremony_state import SEALING_OVERHEAD, open_state, seal_state
from hushtag_server.errors import CeremonyFailedError
from hushtag_server.keyfile import KeyRing, new_keys

STATE = b"\x01\x02\x03" * 40


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return new_keys(lambda: secrets.token_bytes(128))


def test_a_state_opens_again(ring: KeyRing) -> None:
    user, session = uuid4(), secrets.token_hex(32)
    sealed = seal_state(ring.current, user, session, "located", STATE)
    assert len(sealed) == len(STATE) + SEALING_OVERHEAD
    assert open_state(ring, user, session, "located", sealed) == STATE


def test_sealing_twice_gives_two_ciphertexts(ring: KeyRing) -> None:
    user, session = uuid4(), secrets.token_hex(32)
    assert len({seal_state(ring.current, user, session, "located", STATE) for _ in range(8)}) == 8


@pytest.mark.parametrize(
    "other",
    [
        lambda user, session, name: (uuid4(), session, name),
        lambda user, session, name: (user, secrets.token_hex(32), name),
        lambda user, session, name: (user, session, "login_started"),
    ],
    ids=["another user", "another session", "another step"],
)
def test_a_state_does_not_move(ring: KeyRing, other: Callable[..., tuple[object, str, str]]) -> None:
    user, session = uuid4(), secrets.token_hex(32)
    sealed = seal_state(ring.current, user, session, "located", STATE)
    with pytest.raises(CeremonyFailedError):
        open_state(ring, *other(user, session, "located"), sealed)  # type: ignore[arg-type]


def test_every_flipped_bit_is_noticed(ring: KeyRing) -> None:
    user, session = uuid4(), secrets.token_hex(32)
    sealed = seal_state(ring.current, user, session, "located", b"state")
    for position in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[position // 8] ^= 1 << position % 8
        with pytest.raises(CeremonyFailedError):
            open_state(ring, user, session, "located", bytes(altered))


@pytest.mark.parametrize("length", [0, 1, 15, 16, 43])
def test_a_short_state_is_refused(ring: KeyRing, length: int) -> None:
    with pytest.raises(CeremonyFailedError):
        open_state(ring, uuid4(), secrets.token_hex(32), "located", bytes(length))


def test_other_keys_do_not_open_it(ring: KeyRing) -> None:
    user, session = uuid4(), secrets.token_hex(32)
    sealed = seal_state(ring.current, user, session, "located", STATE)
    with pytest.raises(CeremonyFailedError):
        open_state(new_keys(lambda: bytes(128)), user, session, "located", sealed)
