"""The device secret (SPEC.md, "Device secret"): made once, named by four words, and its text form for a QR image."""

import base64
import binascii
import os
from collections.abc import Callable
from hashlib import blake2s
from typing import Final
from uuid import UUID

from hushtag import _labels
from hushtag._words import WORDS
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.types import DeviceSecret

__all__ = ["NAME_WORDS", "TEXT_PREFIX", "device_name", "from_text", "generate_device_secret", "to_text"]

NAME_WORDS: Final = 4
TEXT_PREFIX: Final = "HUSHTAG1:"
_USER: Final = 16
_CHECK: Final = 4
_TEXT_BYTES: Final = _USER + DeviceSecret.LENGTH + _CHECK
_TEXT_CHARACTERS: Final = 84


def generate_device_secret(*, _entropy: Callable[[int], bytes] = os.urandom) -> DeviceSecret:
    """Return 32 fresh random bytes."""
    return DeviceSecret(_entropy(DeviceSecret.LENGTH))


def device_name(secret: DeviceSecret) -> str:
    """Return four words by which a person tells whether two devices hold the same secret.

    A hash of 256 random bits gives nothing away that could be guessed; about 40 bits of it make a chance meeting
    unlikely. It is for comparing, and proves nothing to anybody.
    """
    digest = blake2s(secret.expose(), person=_labels.DEVICE_NAME_PERSON).digest()
    return " ".join(WORDS[int.from_bytes(digest[8 * at : 8 * at + 8], "big") % len(WORDS)] for at in range(NAME_WORDS))


def _check_of(content: bytes) -> bytes:
    return blake2s(content, digest_size=_CHECK, person=_labels.DEVICE_TEXT_PERSON).digest()


def to_text(secret: DeviceSecret, user_id: UUID) -> str:
    """Return the secret as 93 characters of the alphanumeric QR alphabet; it is the secret itself.

    `HUSHTAG1:` and base32 (RFC 4648, without padding) of user id(16) || secret(32) || check(4).
    """
    content = user_id.bytes + secret.expose()
    return TEXT_PREFIX + base64.b32encode(content + _check_of(content)).decode("ascii").rstrip("=")


def from_text(text: str, user_id: UUID) -> DeviceSecret:
    """Return the secret of a text form; spaces, line ends and case do not matter.

    Raises:
        MalformedError: no text form of this version, or misread.
        AuthenticationError: it belongs to another account.
    """
    given = "".join(text.split())
    bare = given.upper()  # which makes ASCII of letters that are not, such as the long s
    body = bare.removeprefix(TEXT_PREFIX)
    if not given.isascii() or body == bare or len(body) != _TEXT_CHARACTERS:
        raise MalformedError("not the text of a device secret")
    try:
        content = base64.b32decode(body + "=" * (-len(body) % 8))
    except (binascii.Error, ValueError):
        raise MalformedError("not the text of a device secret") from None
    if len(content) != _TEXT_BYTES or content[-_CHECK:] != _check_of(content[:-_CHECK]):
        raise MalformedError("the text of the device secret was misread")
    if content[:_USER] != user_id.bytes:
        raise AuthenticationError("the device secret belongs to another account")
    return DeviceSecret(content[_USER:-_CHECK])
