"""Steps of an open vault as both clients offer them, and the tag that opened it."""

import functools
import mimetypes
import os
import time
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from hushtag.client.answers import encode, expect_nothing
from hushtag.client.calls import send_quietly
from hushtag.client.ceremony_steps import accepted_phrase, copied_secret
from hushtag.client.contents import StoredObject, VaultPhrase
from hushtag.client.effects import Request, Steps, compute, exchange
from hushtag.client.errors import SessionExpiredError
from hushtag.client.phrase_steps import PhraseSteps
from hushtag.client.policy import RetryPolicy
from hushtag.client.session import Session
from hushtag.client.witness import Witness
from hushtag.errors import LimitError, MisuseError
from hushtag.messages import encode_binary
from hushtag.objects import CONTENT_TYPE, MAX_FRAME_BYTES, ObjectMeta
from hushtag.phrase import DrawnPhrase
from hushtag.recovery import RecoveryCode
from hushtag.ring import Member
from hushtag.types import DeviceSecret
from hushtag.unlock import UnlockedTag

__all__ = ["OpenTag", "Source", "VaultSteps"]

Source = bytes | bytearray | memoryview | os.PathLike[str]
"""What can be put: bytes, or the path of a file."""

VAULT_TOKEN: Final = "htv_"  # noqa: S105 - the public prefix of every vault token, no token


class VaultSteps(PhraseSteps):
    """One open vault."""

    def add(
        self,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        label: str,
        device_secret: DeviceSecret | bytes | None,
        floor_bits: float,
    ) -> Steps[VaultPhrase]:
        """Let a further phrase open the vault, if it is strong enough."""
        accepted = functools.partial(accepted_phrase, phrase, floor_bits)
        return (yield from self.add_phrase(accepted, label=label, device_secret=copied_secret(device_secret)))

    def change(
        self,
        tag_id: UUID,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        label: str | None,
        device_secret: DeviceSecret | bytes | None,
        floor_bits: float,
    ) -> Steps[VaultPhrase]:
        """Put another phrase in the place of one, if it is strong enough."""
        accepted = functools.partial(accepted_phrase, phrase, floor_bits)
        secret = copied_secret(device_secret)
        return (yield from self.change_phrase(tag_id, accepted, label=label, device_secret=secret))

    def put_source(
        self, source: Source, name: str | None, content_type: str | None, replace: UUID | None
    ) -> Steps[StoredObject]:
        """Store bytes or a file; the name of a file is its own unless another is given.

        Raises:
            MisuseError: bytes without a name, or neither bytes nor a path.
            LimitError: over 16 MiB with padding.
            OSError: the file cannot be read.
        """
        if isinstance(source, os.PathLike):
            name = Path(source).name if name is None else name
            body = yield from compute(functools.partial(_read_file, Path(source)))
        elif isinstance(source, bytes | bytearray | memoryview):
            body = bytes(source)
        else:
            raise MisuseError("put takes bytes or a path; wrap a file name in pathlib.Path")
        if not name:
            raise MisuseError("bytes need a name")
        kind = content_type or mimetypes.guess_type(name)[0] or CONTENT_TYPE
        meta = ObjectMeta(name=name, content_type=kind, created_at=int(time.time()), size=len(body))
        object_id = replace or uuid4()
        revision = yield from self.put(object_id, meta, body, replace=replace is not None)
        return StoredObject(object_id, name, kind, len(body), revision)


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        body = file.read(MAX_FRAME_BYTES + 1)
    if len(body) > MAX_FRAME_BYTES:
        raise LimitError(f"file is longer than {MAX_FRAME_BYTES} bytes")
    return body


class OpenTag:
    """An unlocked tag: its keys, its vaults and the token that names them to the server."""

    def __init__(self, opened: UnlockedTag, session: Session, candidate: int, retry: RetryPolicy) -> None:
        self.expires_at = opened.expires_at
        self.candidate = candidate
        self.locked = False
        self._opened = opened
        self._token = VAULT_TOKEN + encode_binary(session.user_id.bytes + opened.vault_token.expose())
        own = Member(opened.tag_id, opened.tag_public_key)
        self.vaults = tuple(
            VaultSteps(Witness(vault), own, self._token, retry, session, self.end) for vault in opened.vaults
        )

    def rewraps(self, opened: UnlockedTag) -> list[Request]:
        """Return the requests that tell the server each rotated data key as this phrase wraps it now."""
        return [
            Request(
                "PUT",
                f"/v1/vaults/{vault.vault_id}/keys/{vault.wrapped_key_id}",
                self._token,
                encode(vault.rewrap),
                "application/json",
            )
            for vault in opened.vaults
            if vault.rewrap is not None
        ]

    def end(self) -> Request | None:
        """Forget every key of the tag, and return the request that tells the server; `None` if it was locked before."""
        if self.locked:
            return None
        request = Request("DELETE", "/v1/vault-session", self._token)
        self.locked = True
        self._token = ""
        self._opened.forget()
        for vault in self.vaults:
            vault.forget()
        return request

    def lock(self) -> Steps[None]:
        """Forget every key, then end the session on the server; harmless when called twice.

        Raises:
            TransportError, ServerError: the server could not be told; its side ends by itself.
        """
        request = self.end()
        if request is None:
            return
        response = yield from exchange(request)
        try:
            expect_nothing(response)
        except SessionExpiredError:
            return

    def leave(self) -> Steps[None]:
        """Lock, and keep silent if the server could not be told: for leaving a context."""
        request = self.end()
        if request is not None:
            yield from send_quietly(request)
