"""What a client opens of a vault, and the messages of a ceremony: rows, heads, labels, keys, streams, OPAQUE."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

from fuzz.target import hold, target
from hushtag import _labels, _opaque, _sealing, objects, tag_label, types
from hushtag._kdf import lp
from hushtag._opaque import ServerSetup
from hushtag.errors import AuthenticationError, HushtagError, LimitError, MalformedError
from hushtag.head import HEAD_LENGTH, VaultHead, open_head, seal_head
from hushtag.keys import unwrap_key, wrap_key
from hushtag.objects import ObjectRow, open_object, seal_object
from hushtag.stream_index import GrowingIndex, StreamIndex, segment_digest
from hushtag.streams import DIGEST_BYTES, SegmentKind, open_segment, segment_context
from hushtag.types import (
    CredentialIdentifier,
    DataKey,
    FixedBytes,
    KeyEncryptionKey,
    OpaquePassword,
    StreamKey,
    WrappedKey,
)
from hushtag.unlock_server import LocatedState, ProvingState
from hushtag.uploads import Upload

__all__: list[str] = []

_VAULT, _THING = UUID(int=1), UUID(int=2)
_PLACE: dict[str, Any] = {"vault_id": _VAULT, "tag_id": _THING, "key_version": 1, "public_key": bytes(32)}
_NO_ENTROPY: Callable[[int], bytes] = bytes  # the same bytes every time, so that a finding can be repeated


def _key() -> DataKey:
    return DataKey(bytes(range(32)))


@target
def object_rows(octets: bytes) -> None:
    """No bytes of a server are an object, and a row says of itself what it is."""
    with suppress(MalformedError):
        row = ObjectRow.decode(octets, key_version=1, revision=1)
        hold(row.iv + bytes(row.ciphertext) + row.auth_tag == octets, "a row is its parts")
        hold(row.content_size == len(octets) - objects.ROW_OVERHEAD, "a row has the size of its plaintext")
        with suppress(AuthenticationError):
            open_object(_key(), row, vault_id=_VAULT, object_id=_THING)
            hold(False, "bytes that nobody sealed do not open")


@target
def object_frames(octets: bytes) -> None:
    """An authentic frame that somebody crafted is malformed or an object, and what was opened can be sealed again."""
    sealed = _sealed_frame(octets)
    try:
        opened = open_object(_key(), sealed, vault_id=_VAULT, object_id=_THING)
    except MalformedError:
        return
    hold(opened.meta.size == len(opened.body), "an object has the size it says")
    with suppress(HushtagError):  # a name that cannot be encoded as UTF-8 is no name to seal
        again = seal_object(
            _key(),
            vault_id=_VAULT,
            object_id=_THING,
            key_version=1,
            revision=1,
            meta=opened.meta,
            body=opened.body,
            _entropy=_NO_ENTROPY,
        )
        hold(open_object(_key(), again, vault_id=_VAULT, object_id=_THING) == opened, "an object survives sealing")


def _sealed_frame(frame: bytes) -> ObjectRow:
    row_ids = objects._ROW_IDS.pack(1, 1)
    aad = objects._aad(objects.HUSHTAG_V1, _VAULT, _THING, row_ids, len(frame))
    info = _labels.OBJECT + _VAULT.bytes + _THING.bytes + row_ids
    return ObjectRow(_sealing.seal(_key().expose(), bytes(12), info, [frame], aad), 1, 1)


@target
def sealed_values(octets: bytes) -> None:
    """Whatever was sealed opens, and whatever was not does not."""
    for info in (b"", b"info"):
        sealed = bytes(_sealing.seal(_key().expose(), bytes(12), info, [octets], b"aad"))
        hold(_sealing.open_sealed(_key().expose(), sealed, info, b"aad") == octets, "what was sealed opens")
    with suppress(HushtagError):
        _sealing.open_sealed(_key().expose(), octets, b"info", b"aad")
        hold(False, "bytes that nobody sealed do not open")


@target
def vault_heads(octets: bytes) -> None:
    """A head is authentic and of its generation, or refused; one of any numbers and any ring opens again."""
    with suppress(HushtagError):
        open_head(_key(), _VAULT, octets, generation=1, key_version=1)
        hold(False, "bytes that nobody sealed are no head")
    if len(octets) >= 52:
        ring = octets[52:84] if len(octets) >= 84 else None
        head = replace(VaultHead.decode(octets[:52]), ring=ring)
        hold(head.encode() == octets[:52], "a head has one form")
        sealed = seal_head(_key(), _VAULT, head, _entropy=_NO_ENTROPY)
        hold(len(sealed) == HEAD_LENGTH, "every head has one length")
        place = {"generation": head.generation, "key_version": head.key_version}
        hold(open_head(_key(), _VAULT, sealed, ring=ring, **place) == head, "a head survives sealing")
        with suppress(HushtagError):
            open_head(_key(), _VAULT, sealed, ring=None if ring else bytes(32), **place)
            hold(False, "a head opens beside its own ring alone")
    with suppress(LimitError):
        counted = VaultHead(1, int.from_bytes(octets[:8]), 1, bytes(32), int.from_bytes(octets[8:16]))
        hold(VaultHead.decode(counted.encode()) == counted, "counts fit their fields or are refused")


@target
def tag_labels(octets: bytes) -> None:
    """A label is UTF-8 of a bounded length in a frame padded with zeros, or refused."""
    with suppress(HushtagError):
        tag_label.open_label(_key(), octets, **_PLACE)
        hold(False, "bytes that nobody sealed are no label")
    frame = octets[: tag_label._FRAME].ljust(tag_label._FRAME, b"\0")
    aad = tag_label._aad(tag_label.HUSHTAG_V1, _VAULT, _THING, 1, bytes(32))
    sealed = bytes(_sealing.seal(_key().expose(), bytes(12), tag_label._info(_VAULT, _THING, 1), [frame], aad))
    with suppress(MalformedError):
        label = tag_label.open_label(_key(), sealed, **_PLACE)
        hold(frame == lp(label.encode()).ljust(tag_label._FRAME, b"\0"), "a label has one frame")


@target
def wrapped_keys(octets: bytes) -> None:
    """Only what a key wrapped unwraps."""
    kek = KeyEncryptionKey(bytes(range(32, 64)))
    with suppress(HushtagError):
        unwrap_key(kek, WrappedKey(octets))
        hold(False, "bytes that nobody wrapped are no key")
    if len(octets) >= 32:
        key = DataKey(octets[:32])
        hold(unwrap_key(kek, wrap_key(kek, key)) == key, "a key survives wrapping")


@target
def large_objects(octets: bytes) -> None:
    """No bytes of a server are a segment of a stream, wherever it says they belong."""
    context = segment_context(_VAULT, _THING, 1, len(octets) % 7, SegmentKind(len(octets) % 3))
    with suppress(AuthenticationError, MalformedError):
        open_segment(StreamKey(bytes(32)), context, memoryview(octets), bytearray(len(octets)))
        hold(False, "bytes that nobody sealed are no segment")


@target
def stream_indexes(octets: bytes) -> None:
    """No bytes are the index of another stream; of the stream they are the index of, they name each segment once."""
    segments = max(1, len(octets) // DIGEST_BYTES)
    with suppress(AuthenticationError, MalformedError):
        StreamIndex.open(bytes(DIGEST_BYTES), segments, octets)
        hold(False, "the root of nothing vouches for nothing")
    growing, parts = GrowingIndex(), [octets[seq::segments] for seq in range(segments)]
    for part in parts:
        growing.add(part)
    index = StreamIndex.open(growing.root, segments, growing.encoded)
    for seq, part in enumerate(parts):
        index.check(seq, segment_digest(part))
        with suppress(AuthenticationError):
            index.check(seq, segment_digest(part + b"\0"))
            hold(False, "a segment is none with something behind it")
    with suppress(AuthenticationError):
        index.check(segments, segment_digest(b""))
        hold(False, "nothing is behind the last segment")


@target
def upload_headers(octets: bytes) -> None:
    """A page of uploads that is not in use says nothing, whatever it holds."""
    hold(Upload.open(_key(), _VAULT, octets) is None, "bytes that nobody sealed remember no upload")


@target
def typed_messages(octets: bytes) -> None:
    """A message of OPAQUE and a secret have one length and nothing else is one."""
    for kind in _KINDS:
        try:
            made = kind(octets)
        except MalformedError:
            hold(len(octets) != kind.LENGTH, "every value of the right length is taken")
            continue
        hold(len(octets) == kind.LENGTH, "only one length is taken")
        hold(isinstance(made, FixedBytes) or octets not in repr(made).encode(), "a secret is not shown")


_KINDS = [
    kind
    for kind in vars(types).values()
    if isinstance(kind, type) and issubclass(kind, types.Secret | types.FixedBytes) and kind.LENGTH
]


@cache
def _setup() -> ServerSetup:
    return ServerSetup.generate()


@target
def opaque_server(octets: bytes) -> None:
    """The server refuses each message that is not one, with its own error; nothing of the binding gets out."""
    credential = CredentialIdentifier(bytes(32))
    steps: dict[int, Callable[[], object]] = {
        32: lambda: _opaque.answer_registration(_setup(), credential, types.RegistrationRequest(octets)),
        64: lambda: _opaque.finish_server_login(types.ServerLoginState(bytes(128)), types.KE3(octets)),
        96: lambda: _opaque.start_server_login(_setup(), credential, _decoy(), types.KE1(octets)),
        128: lambda: ServerSetup(octets),
        192: lambda: _opaque.check_record(types.Record(octets)),
    }
    with suppress(HushtagError):
        steps.get(len(octets), lambda: None)()


def _decoy() -> types.Record:
    return _opaque.decoy_record(_setup(), types.ServerSeed(bytes(32)), CredentialIdentifier(bytes(32)))


@target
def opaque_client(octets: bytes) -> None:
    """The client refuses each answer that is not one, with its own error."""
    password = OpaquePassword(b"0" * 64)
    with suppress(HushtagError):
        if len(octets) == types.RegistrationResponse.LENGTH:
            state, _ = _opaque.start_registration(password)
            _opaque.finish_registration(password, state, types.RegistrationResponse(octets))
        if len(octets) == types.KE2.LENGTH:
            login, _ = _opaque.start_login(password)
            _opaque.finish_login(password, login, types.KE2(octets))
            hold(False, "bytes that no server made prove nothing")


@target
def ceremony_states(octets: bytes) -> None:
    """The server's states between the steps survive storage; bytes of another length are none."""
    for kind in (LocatedState, ProvingState):
        with suppress(MalformedError):
            hold(kind.decode(octets).encode() == octets, "a state survives storage")
