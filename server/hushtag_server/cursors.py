"""Cursors of listings: where a page ended, sealed against change. Opaque to clients; good for one user's one listing.

A cursor is base64url(BLAKE2s-128 of what follows, keyed || msgpack of the position). It is signed, not encrypted: all
it holds is what its user has just been shown.
"""

import hashlib
import hmac
from binascii import Error as Base64Error
from typing import Any, Final
from uuid import UUID

import msgspec

from hushtag.errors import MalformedError
from hushtag.messages import FieldProblem, decode_binary, encode_binary
from hushtag_server.errors import MalformedRequestError
from hushtag_server.keyfile import KeyRing

__all__ = ["MAX_CURSOR", "open_cursor", "seal_cursor"]

MAX_CURSOR: Final = 1024
_TAG: Final = 16


def _tag(key: bytes, user_id: UUID, listing: str, body: bytes) -> bytes:
    bound = user_id.bytes + len(listing).to_bytes(4, "big") + listing.encode() + body
    return hashlib.blake2s(bound, digest_size=_TAG, key=key, person=b"cursor-1").digest()


def seal_cursor(keys: KeyRing, user_id: UUID, listing: str, position: tuple[Any, ...]) -> str:
    """Return the cursor behind `position`. `listing` names the route with its filters and order: where it is good."""
    body = msgspec.msgpack.encode(position)
    return encode_binary(_tag(keys.current.audit_key, user_id, listing, body) + body)


def open_cursor(keys: KeyRing, user_id: UUID, listing: str, cursor: str, kind: Any) -> Any:
    """Return the position, of the tuple type `kind`.

    Raises:
        MalformedRequestError: not a cursor of this user's listing with these filters and this order.
    """
    refused = MalformedRequestError([FieldProblem(field="cursor", rule="must be the `next` of this same listing")])
    if len(cursor) > MAX_CURSOR:
        raise refused
    try:
        sealed = decode_binary(cursor)
    except (MalformedError, Base64Error, UnicodeError):
        raise refused from None
    tag, body = sealed[:_TAG], sealed[_TAG:]
    # Any of the ring's keys: a cursor outlives a change of keys.
    if not any(hmac.compare_digest(tag, _tag(item.audit_key, user_id, listing, body)) for item in keys.by_id.values()):
        raise refused
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError:
        raise refused from None  # of an earlier version
