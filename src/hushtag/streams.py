"""Large objects: C2SP chunked encryption, Cobblestone-256, under a key of their own (SPEC.md, "Large objects").

16 KiB chunks of AES-256-GCM, key-committing, seekable. Key and context name the same stream, so a segment moved to
another stream, vault or key version opens nowhere.
"""

from collections.abc import Iterable, Iterator
from uuid import UUID

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from hushtag import _labels
from hushtag._kdf import hkdf_sha512, u32
from hushtag.errors import AuthenticationError
from hushtag.types import DataKey, StreamKey

__all__ = ["derive_stream_key", "open_stream", "seal_stream", "stream_context"]


def stream_context(vault_id: UUID, stream_id: UUID, key_version: int) -> bytes:
    """Return the context both key and chunks are bound to: label || vault_id || stream_id || u32(key_version)."""
    return _labels.STREAM + vault_id.bytes + stream_id.bytes + u32(key_version)


def derive_stream_key(data_key: DataKey, vault_id: UUID, stream_id: UUID, key_version: int) -> StreamKey:
    """Return the 32-byte input key of one stream."""
    context = stream_context(vault_id, stream_id, key_version)
    return StreamKey(hkdf_sha512(data_key.expose(), b"", context, StreamKey.LENGTH))


def seal_stream(key: StreamKey, context: bytes, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the ciphertext of `parts` as it becomes ready, in constant memory."""
    encryptor = Cobblestone256Encryptor(key.expose(), context)
    for part in parts:
        yield encryptor.update(part)
    yield encryptor.finalize()


def open_stream(key: StreamKey, context: bytes, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield authenticated plaintext, chunk by chunk; the end is authentic only when the iterator ends normally.

    Raises:
        AuthenticationError: a chunk is not authentic, or the stream was cut short.
    """
    try:
        decryptor = Cobblestone256Decryptor(key.expose(), context)
        for part in parts:
            yield decryptor.update(part)
        yield decryptor.finalize()
    except (InvalidTag, ValueError):
        raise AuthenticationError from None
