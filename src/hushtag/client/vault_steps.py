"""Steps of an open vault as both clients offer them, and the tag that opened it."""

import functools
from typing import Final
from uuid import UUID

from hushtag.client.answers import encode, expect_nothing
from hushtag.client.calls import post, send_quietly
from hushtag.client.ceremony_steps import accepted_phrase, copied_secret, stretched, text_of
from hushtag.client.contents import FailedAttempts, VaultPhrase
from hushtag.client.duress_steps import checked_verdict
from hushtag.client.effects import Request, Steps, exchange
from hushtag.client.errors import IntegrityError, ServerError, SessionExpiredError, TransportError, UnavailableError
from hushtag.client.pin_file import PinStore
from hushtag.client.pinning import Pages, PinnedVault
from hushtag.client.policy import RetryPolicy
from hushtag.client.restoring_steps import check_codes
from hushtag.client.session import Session
from hushtag.client.storing_steps import StoringSteps
from hushtag.client.upload_pages import UploadPages
from hushtag.client.witness import Witness
from hushtag.epoch import EpochCode
from hushtag.errors import MalformedError
from hushtag.messages import TagMoved, decode_binary, encode_binary
from hushtag.moving import MovedTag, TagMove
from hushtag.phrase import DrawnPhrase, filter_candidates
from hushtag.recovery import RecoveryCode
from hushtag.ring import Member
from hushtag.types import DeviceSecret, forget_all
from hushtag.unlock import UnlockedTag

__all__ = ["OpenTag", "VaultSteps"]

VAULT_TOKEN: Final = "htv_"  # noqa: S105 - the public prefix of every vault token, no token


class VaultSteps(StoringSteps):
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

    def set_duress(
        self,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        tag_id: UUID | None,
        phrase_only: bool,
        lock_days: int | None,
        place: int,
        device_secret: DeviceSecret | bytes | None,
    ) -> Steps[None]:
        """Let the unlock of another phrase shred or lock this vault or one of its phrases."""
        verdict = checked_verdict(phrase_only=phrase_only, lock_days=lock_days, place=place)
        prepare = functools.partial(_transcript_of, phrase)
        secret = copied_secret(device_secret)
        yield from self.order_duress(prepare, verdict, place=place, tag_id=tag_id, device_secret=secret)


def _transcript_of(phrase: str | DrawnPhrase | RecoveryCode) -> list[str]:
    if isinstance(phrase, RecoveryCode):
        return [phrase.canonical]
    return filter_candidates([text_of(phrase)])


class OpenTag:
    """An unlocked tag: its keys, its vaults and the token that names them to the server."""

    def __init__(
        self,
        opened: UnlockedTag,
        session: Session,
        candidate: int,
        retry: RetryPolicy,
        store: PinStore | None = None,
        upload_pages: UploadPages | None = None,
    ) -> None:
        self.expires_at = opened.expires_at
        self.failed_attempts = FailedAttempts(opened.failed_guesses, opened.last_failed_at)
        self.candidate = candidate
        self.locked = False
        self._opened = opened
        self._token = VAULT_TOKEN + encode_binary(session.user_id.bytes + opened.vault_token.expose())
        own = Member(opened.tag_id, opened.tag_public_key)
        self.vaults = tuple(
            VaultSteps(Witness(vault), own, self._token, retry, session, self.end) for vault in opened.vaults
        )
        for steps in self.vaults:
            steps.upload_pages = upload_pages
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

    def rewrap(self) -> Steps[None]:
        """Tell the server each rotated data key as this phrase wraps it now; if that is lost, the next unlock does."""
        for vault, opened in zip(self.vaults, self._opened.vaults, strict=True):
            if opened.rewrap is None or vault.witness.suspicion is not None:
                continue
            path = f"{vault.path}/keys/{opened.wrapped_key_id}"
            yield from send_quietly(Request("PUT", path, self._token, encode(opened.rewrap), "application/json"))

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
            moved = yield from self._prepare_move(offered)
            try:
                message = moved.message
                answer = yield from post("/v1/unlock/move", message, self._token, 200, TagMoved, changes=False)
                moved_id = answer.tag_id
            except (TransportError, UnavailableError):
                if not (yield from self._has_moved(moved)):
                    moved.forget()
                    return
                moved_id = self._opened.tag_id
            except BaseException:
                moved.forget()
                raise
        except (TransportError, ServerError):
            return
        finally:
            offered.abandon()
        self._adopt(moved)
        if moved_id != self._opened.tag_id:
            raise MalformedError("answer names another tag than was moved")
        for vault in self.vaults:
            yield from vault.pin()

    def _prepare_move(self, offered: TagMove) -> Steps[MovedTag]:
        opened, members, label = [], {}, ""
        for vault, kept in zip(self.vaults, self._opened.vaults, strict=True):
            ring = yield from vault.ring()
            members[vault.witness.vault_id] = ring.members
            opened.append(kept._replace(head=ring.head))
            label = label or next(each.told().label for each in ring.known if each.phrase.current)
        return (yield from stretched(functools.partial(offered.finish, opened, label, members)))

    def _moved_member(self, moved: MovedTag) -> Member:
        return Member(self._opened.tag_id, decode_binary(moved.message.public_key))

    def _has_moved(self, moved: MovedTag) -> Steps[bool]:
        """Tell after a lost answer whether the tag is listed with its new public key, which nobody else has made."""
        vault = self.vaults[0]
        before, vault.own = vault.own, self._moved_member(moved)
        try:
            yield from vault.ring()
        except (IntegrityError, TransportError, ServerError):
            vault.own = before
            return False
        return True

    def _adopt(self, moved: MovedTag) -> None:
        self._opened.tag_private_key.forget()
        own = self._moved_member(moved)
        opened = [
            vault._replace(head=head, pin_key=pin_key)
            for vault, head, pin_key in zip(self._opened.vaults, moved.heads, moved.pin_keys, strict=True)
        ]
        forget_all([vault.pin_key for vault in self._opened.vaults])
        self._opened = self._opened._replace(
            tag_private_key=moved.private_key, vaults=tuple(opened), move=None, tag_public_key=own.public_key
        )
        for vault, now in zip(self.vaults, opened, strict=True):
            vault.own = own
            vault.witness.adopt_ring(now.head)
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
