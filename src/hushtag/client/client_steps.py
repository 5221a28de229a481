"""Steps of a client as both clients offer them: the account, and the ceremonies over it."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from hushtag.client import ceremony_steps
from hushtag.client.account_steps import AccountSteps
from hushtag.client.calls import send_quietly
from hushtag.client.ceremony_steps import accepted_phrase, copied_secret, text_of
from hushtag.client.contents import EnrolledTag
from hushtag.client.device_secrets import DeviceSecrets, MemoryDeviceSecrets
from hushtag.client.device_steps import DeviceSteps
from hushtag.client.effects import Steps, compute
from hushtag.client.errors import ClientClosedError, InsecureServerError, PinsNotWrittenError
from hushtag.client.journal_steps import JournalSteps
from hushtag.client.pin_file import PinStore
from hushtag.client.pinning import Pages
from hushtag.client.policy import RetryPolicy, server_url
from hushtag.client.profile_steps import ProfileSteps
from hushtag.client.reminder_steps import ReminderSteps
from hushtag.client.session import MemoryPins, Pins, Session
from hushtag.client.tag_steps import TagSteps
from hushtag.client.transfer_steps import TransferSteps
from hushtag.client.upload_pages import UploadPages
from hushtag.client.vault_steps import OpenTag
from hushtag.epoch import parse_code
from hushtag.errors import HushtagError, MisuseError, PhraseError
from hushtag.messages import LogIn
from hushtag.phrase import (
    MAX_CANDIDATES_IN,
    DrawnPhrase,
    PhraseKind,
    candidate_form,
    filter_candidates,
    looks_drawn,
    passes_self_check,
)
from hushtag.recovery import CODE_WORDS, RecoveryCode, parse_recovery_code
from hushtag.types import DeviceSecret

__all__ = ["ClientSteps", "Phrases", "candidate_phrases"]


Phrases = str | DrawnPhrase | RecoveryCode | Sequence[str | DrawnPhrase]
"""A phrase, or several transcripts of one, best first."""


def _kept(phrases: Phrases) -> Phrases:
    """Return the phrases; of an iterator, which gives them only once, what it gave."""
    given: object = phrases
    return list(islice(given, MAX_CANDIDATES_IN + 1)) if isinstance(given, Iterator) else phrases


def candidate_phrases(phrases: Phrases, kind: PhraseKind | None) -> list[str]:
    """Return the canonical candidates of one phrase or of several transcripts of it, best first.

    Raises:
        PhraseError: there is no candidate.
        ListedWordError: it is a mistyped recovery code.
        MisuseError: it is neither a phrase nor a collection.
    """
    if isinstance(phrases, RecoveryCode):
        return [phrases.canonical]
    if isinstance(phrases, str | DrawnPhrase):
        form = candidate_form(text_of(phrases))  # its error says what is wrong with this one
        if _fails_as_code(form):
            parse_recovery_code(form)  # its error says which word
        return filter_candidates([text_of(phrases)], kind=kind)
    given: object = phrases
    if not isinstance(given, Iterable):
        raise MisuseError(f"a phrase is a str, and several transcripts of one are a list, not {type(given).__name__}")
    return filter_candidates(map(text_of, phrases), kind=kind)


def _fails_as_code(form: str) -> bool:
    # Nothing that looks drawn and fails the self-check can have been enrolled: there is nothing else it may be. The
    # form of a code does not look drawn.
    return len(form.split(" ")) == CODE_WORDS and looks_drawn(form) and not passes_self_check(form)


def _index(phrases: Phrases, canonical: str) -> int:
    if not isinstance(phrases, str | DrawnPhrase | RecoveryCode):
        for index, transcript in enumerate(phrases):
            with suppress(PhraseError):
                if candidate_form(text_of(transcript)) == canonical:
                    return index
    return 0


class ClientSteps(AccountSteps):
    """One account on one server, and the tags it has open."""

    def __init__(
        self,
        server: str,
        session: Session | None,
        pins: Pins | None,
        device_secrets: DeviceSecrets | None,
        retry: RetryPolicy,
        *,
        allow_insecure: bool,
        vault_pins: PinStore | None = None,
        upload_pages: UploadPages | None = None,
    ) -> None:
        self.url = server_url(server, allow_insecure=allow_insecure)
        if session is not None and session.server != str(self.url):
            raise InsecureServerError("the session belongs to another server; its token is not sent to this one")
        super().__init__(str(self.url), session, MemoryPins() if pins is None else pins, retry)
        self._open: list[OpenTag] = []
        self._closed = False
        self._vault_pins = vault_pins
        self._upload_pages = upload_pages
        self.journal = JournalSteps(self)
        self.tags = TagSteps(self)
        self.reminders = ReminderSteps(self)
        self.profile = ProfileSteps(self)
        self.transfer = TransferSteps(self)
        self.device = DeviceSteps(self, MemoryDeviceSecrets() if device_secrets is None else device_secrets)

    def enrol(
        self,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        label: str,
        device_secret: DeviceSecret | bytes | None,
        floor_bits: float,
    ) -> Steps[EnrolledTag]:
        """Enrol a phrase that is strong enough."""
        accepted = functools.partial(accepted_phrase, phrase, floor_bits)
        secret = copied_secret(device_secret)
        enrolled = yield from ceremony_steps.enrol(self.current(), accepted, label=label, device_secret=secret)
        return EnrolledTag(enrolled.tag_id, enrolled.vault_id)

    def log_in(self, message: LogIn, *, accept_new_salt: bool) -> Steps[Session]:
        """Open a session. From now on the device has a device secret and pages of pins, used or not."""
        session = yield from super().log_in(message, accept_new_salt=accept_new_salt)
        yield from self.device.prepare()
        if self._vault_pins is not None:
            with suppress(PinsNotWrittenError):  # who opens a vault is told; a login needs no pins of vaults
                yield from compute(self._vault_pins.renew)
        if self._upload_pages is not None:
            yield from compute(self._upload_pages.renew)
        return session

    def unlock(
        self,
        phrases: Phrases,
        *,
        device_secret: DeviceSecret | bytes | None,
        kind: PhraseKind | None,
        epoch_code: str | None = None,
        review_restored: bool = False,
    ) -> Steps[OpenTag]:
        """Open the tag that one of the candidates opens, if its vaults take back nothing."""
        session = self.current()
        code = None if epoch_code is None else parse_code(epoch_code)
        store = self._vault_pins
        # Read before the server is asked: what another process pins meanwhile may be newer than an honest answer.
        pages = None if store is None else (yield from compute(functools.partial(Pages.of, store)))
        candidates: list[str] = []

        def prepare() -> list[str]:
            nonlocal phrases
            phrases = _kept(phrases)
            candidates.extend(candidate_phrases(phrases, kind))
            return candidates

        opened = yield from ceremony_steps.unlock(session, prepare, device_secret=copied_secret(device_secret))
        heard = _index(phrases, candidates[opened.candidate])
        tag = OpenTag(opened, session, heard, self.retry, store, self._upload_pages)
        try:
            yield from tag.admit(pages, code, review=review_restored)
            self._keep(tag)
            yield from tag.rewrap()
            yield from tag.move()
        except HushtagError:
            yield from tag.leave()
            raise
        except BaseException:
            tag.end()
            raise
        return tag

    def _keep(self, tag: OpenTag) -> None:
        self._open = [other for other in self._open if not other.locked] + [tag]
        if self._closed:  # looked at after who closes can see the tag: one of the two ends it
            raise ClientClosedError("the client was closed")

    def log_out(self) -> Steps[None]:
        """Forget every key and the session, then end the session, and with it its vault sessions, on the server."""
        self._end_tags()
        yield from super().log_out()

    def forget(self) -> None:
        """Forget every key and the session, which has ended on the server with everything under it."""
        self._end_tags()
        super().forget()

    def _end_tags(self) -> None:
        for tag in self._open:
            tag.end()

    def close(self) -> Steps[None]:
        """Forget every key, then tell the server as far as it can be told; the account session goes on."""
        self._closed = True
        requests = [request for request in [tag.end() for tag in self._open] if request is not None]
        self._open.clear()
        for request in requests:
            yield from send_quietly(request)
