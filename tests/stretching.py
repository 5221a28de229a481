"""What a phrase costs to try is paid once in a process: the same values as ever, for whoever asks for them again."""

import functools
from typing import Any, Final

import pytest

from hushtag import _opaque
from hushtag._stretch import stretch_phrase
from hushtag.client import ceremony_steps
from hushtag.types import (
    ExportKey,
    LoginState,
    MaskingKey,
    OpaquePassword,
    Record,
    RegistrationResponse,
    RegistrationState,
    Stretch,
)
from tests.reference.ristretto import ELEMENT_BYTES, ORDER, DecodeError, Element, decode_scalar

__all__ = ["remember_stretches", "stretched_once"]

_finish_registration: Final = _opaque.finish_registration
_locate_masking_key: Final = _opaque.locate_masking_key
_masking_keys: Final[dict[tuple[bytes, ...], bytes]] = {}


@functools.lru_cache(maxsize=4096)
def _stretched(canonical: str, salt: bytes, suite: Any) -> bytes:
    stretch = stretch_phrase(canonical, salt, suite)
    try:
        return stretch.expose()
    finally:
        stretch.forget()


def _stretched_with(
    password: OpaquePassword, state: LoginState | RegistrationState, response: RegistrationResponse
) -> tuple[bytes, ...] | None:
    """Return all that OPAQUE's Argon2id and a registration's masking key depend on; None: the binding shall judge."""
    try:
        blind, element = decode_scalar(state.expose()[:ELEMENT_BYTES]), Element.decode(response[:ELEMENT_BYTES])
    except DecodeError:
        return None
    return password.expose(), (pow(blind, -1, ORDER) * element).encode(), response[ELEMENT_BYTES:]


def _noting(
    password: OpaquePassword, state: RegistrationState, response: RegistrationResponse
) -> tuple[Record, ExportKey]:
    record, export_key = _finish_registration(password, state, response)
    if (known := _stretched_with(password, state, response)) is not None:
        _masking_keys[known] = record.masking_key.expose()
    return record, export_key


def _remembering(password: OpaquePassword, state: LoginState, response: RegistrationResponse) -> MaskingKey:
    known = _stretched_with(password, state, response)
    masking_key = None if known is None else _masking_keys.get(known)
    return _locate_masking_key(password, state, response) if masking_key is None else MaskingKey(masking_key)


def remember_stretches(patch: pytest.MonkeyPatch) -> None:
    """Let clients in this process take what was computed before: stretches, and what locates a record."""
    patch.setattr(ceremony_steps, "stretch_phrase", lambda *known: Stretch(_stretched(*known)))
    patch.setattr(_opaque, "finish_registration", _noting)
    patch.setattr(_opaque, "locate_masking_key", _remembering)


@pytest.fixture(autouse=True)
def stretched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import this where clients unlock again and again and what a guess costs is not the matter."""
    remember_stretches(monkeypatch)
