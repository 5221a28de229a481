"""Steps of an open vault as both clients offer them, and the tag that opened it."""

import functools
import mimetypes
import os
import time
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from hushtag.client.answers import expect_nothing
from hushtag.client.calls import post, send_quietly
from hushtag.client.contents import FailedAttempts, StoredObject
from hushtag.client.effects import Request, Steps, compute, exchange
from hushtag.client.errors import ServerError, SessionExpiredError, TransportError
from hushtag.client.pin_file import PinStore
from hushtag.client.pinning import Pages, PinnedVault
from hushtag.client.policy import RetryPolicy
from hushtag.client.restoring_steps import RestoringSteps, check_codes
from hushtag.client.witness import Witness
from hushtag.epoch import EpochCode
from hushtag.errors import LimitError, MalformedError, MisuseError
from hushtag.messages import TagMoved, encode_binary
from hushtag.moving import MovedTag
from hushtag.objects import CONTENT_TYPE, MAX_FRAME_BYTES, ObjectMeta
from hushtag.types import forget_all
from hushtag.unlock import UnlockedTag

__all__ = ["OpenTag", "Source", "VaultSteps"]

Source = bytes | bytearray | memoryview | os.PathLike[str]
"""What can be put: bytes, or the path of a file."""

VAULT_TOKEN: Final = "htv_"  # noqa: S105 - the public prefix of every vault token, no token


class VaultSteps(RestoringSteps):
    """One open vault."""

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

    def __init__(
        self,
        opened: UnlockedTag,
        user_id: UUID,
        candidate: int,
        retry: RetryPolicy,
        store: PinStore | None = None,
    ) -> None:
        self.tag_id = opened.tag_id
        self.expires_at = opened.expires_at
        self.failed_attempts = FailedAttempts(opened.failed_guesses, opened.last_failed_at)
        self.candidate = candidate
        self.locked = False
        self._opened = opened
        self._token = VAULT_TOKEN + encode_binary(user_id.bytes + opened.vault_token.expose())
        self.vaults = tuple(VaultSteps(Witness(vault), self.tag_id, self._token, retry) for vault in opened.vaults)
        if store is not None:
            for steps, vault in zip(self.vaults, opened.vaults, strict=True):
                steps.pinned = PinnedVault(store, vault)

    def admit(self, pages: Pages | None, code: EpochCode | None, *, review: bool) -> Steps[None]:
        """Hold every vault against its pin and one against an epoch code, and pin them; all before anything is used.

        Raises:
            VaultRolledBackError: a vault takes back what was pinned; with `review` it opens for a review only.
            EpochError: no vault is in the code's state, or in a later one.
        """
        for vault in self.vaults:
            if pages is not None:
                yield from vault.admit(pages, review=review)
        if code is not None:
            check_codes([vault.judge(code) for vault in self.vaults])
        for vault in self.vaults:
            if vault.witness.suspicion is None:
                yield from vault.pin()

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

    def move(self) -> Steps[None]:
        """Move the tag to the server's current setup, if it offered that; phrase, vaults and objects stay as they are.

        If it cannot be done now, the tag is as good where it is, and the next unlock tries again. After a lost answer
        it is under one setup or the other, and the phrase opens it either way.

        Raises:
            IntegrityError, RollbackError, MalformedError: the server's list of phrases, or its answer, is not right.
        """
        offered = self._opened.move
        if offered is None:
            return
        if any(vault.witness.suspicion for vault in self.vaults):
            offered.abandon()  # nothing is built on a state that may be taken back
            return
        try:
            phrases = yield from self.vaults[0].phrases()
            label = next(phrase.label for phrase in phrases if phrase.current)
            moved = yield from compute(functools.partial(offered.finish, self._opened.vaults, label))
            try:
                answer = yield from post("/v1/unlock/move", moved.message, self._token, 200, TagMoved)
            except BaseException:
                moved.forget()
                raise
        except (TransportError, ServerError):
            return
        finally:
            offered.abandon()
        self._adopt(moved)
        if answer.tag_id != self.tag_id:
            raise MalformedError("answer names another tag than was moved")
        for vault in self.vaults:
            yield from vault.pin()

    def _adopt(self, moved: MovedTag) -> None:
        self._opened.tag_private_key.forget()
        opened = [
            vault._replace(head=head, pin_key=pin_key)
            for vault, head, pin_key in zip(self._opened.vaults, moved.heads, moved.pin_keys, strict=True)
        ]
        forget_all([vault.pin_key for vault in self._opened.vaults])
        self._opened = self._opened._replace(tag_private_key=moved.private_key, vaults=tuple(opened), move=None)
        for vault, now in zip(self.vaults, opened, strict=True):
            vault.witness.advance(now.head)
            if vault.pinned is not None:
                vault.pinned.move(now.pin_key)

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
