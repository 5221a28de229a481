"""Steps of the two ceremonies. None is ever sent again: each answer costs a guess, and each state serves once."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Final, Self, TypeVar

from hushtag._stretch import opaque_password, stretch_phrase
from hushtag.client.answers import check_times
from hushtag.client.calls import post
from hushtag.client.effects import Steps, compute
from hushtag.client.errors import ConflictError, IntegrityError, ServerError
from hushtag.client.policy import MAX_LIST_BYTES
from hushtag.client.session import Session
from hushtag.client.threads import FewAtATime
from hushtag.duress import Released
from hushtag.enrollment import AwaitingRegistrationResponse, Enrolled, start_enrollment
from hushtag.errors import AuthenticationError, LimitError, MalformedError, MisuseError
from hushtag.messages import Located, RegistrationStarted, TagEnrolled, Unlocked, UnlockStarted, decode_binary
from hushtag.phrase import DrawnPhrase, canonicalize, check_phrase
from hushtag.recovery import RECOVERY_MARK, RecoveryCode
from hushtag.ring import Member
from hushtag.suites import Suite, suite_by_id
from hushtag.tag_label import MAX_LABEL_BYTES
from hushtag.types import DeviceSecret, OpaquePassword, forget_all
from hushtag.unlock import Finishing, UnlockedTag, start_unlock

__all__ = [
    "accepted_phrase",
    "check_label",
    "copied_secret",
    "enrol",
    "phrase_taken",
    "register",
    "release",
    "stretched",
    "text_of",
    "unlock",
]

T = TypeVar("T")

STRETCHES: Final = FewAtATime(max(2, (os.cpu_count() or 1) // 2))
"""Runs of Argon2id of this process, whatever number of clients and threads it has: each takes up to 64 MiB and several
processors, so that more at a time would be done no sooner."""


def stretched(work: Callable[[], T]) -> Steps[T]:
    """Return what `work` returns, which runs Argon2id, when there is a place for it."""

    def run() -> T:
        with STRETCHES:
            return work()

    return (yield from compute(run))


def text_of(phrase: str | DrawnPhrase) -> str:
    """Return the text of a phrase."""
    return phrase.text if isinstance(phrase, DrawnPhrase) else phrase


def accepted_phrase(phrase: str | DrawnPhrase | RecoveryCode, floor_bits: float) -> str:
    """Return the canonical form of a phrase that may be enrolled.

    Raises:
        PhraseError: it has no canonical form.
        WeakPhraseError: it is below the floor; the message says what to add.
        LimitError: the floor is below 50 bits.
    """
    if isinstance(phrase, RecoveryCode):
        return phrase.canonical
    canonical = canonicalize(text_of(phrase))
    check_phrase(canonical, floor_bits=floor_bits)
    return canonical


def copied_secret(value: DeviceSecret | bytes | None) -> DeviceSecret | None:
    """Return a copy, which the ceremony forgets; the caller's own stays the caller's.

    Raises:
        MisuseError: it is no secret and no bytes.
    """
    given: object = value
    if not isinstance(given, DeviceSecret | bytes | bytearray | memoryview | None):
        raise MisuseError(f"a device secret is a DeviceSecret or its bytes, not {type(given).__name__}")
    return None if value is None else DeviceSecret(value.expose() if isinstance(value, DeviceSecret) else value)


def check_label(label: object) -> None:
    """Refuse a label that cannot be sealed, before a guess is spent on it.

    Raises:
        LimitError: over 252 bytes of UTF-8, or not valid Unicode.
        MisuseError: it is not a `str`.
    """
    if not isinstance(label, str):
        raise MisuseError(f"a label is a str, not {type(label).__name__}")
    try:
        length = len(label.encode("utf-8"))
    except UnicodeEncodeError:
        raise LimitError("label is not valid Unicode") from None
    if length > MAX_LABEL_BYTES:
        raise LimitError(f"label is {length} bytes, at most {MAX_LABEL_BYTES}")


class _Passwords:
    """The stretched candidates of one ceremony, kept from the moment they exist, so that leaving forgets them all.

    The device secret is the ceremony's own copy and is forgotten as well.
    """

    def __init__(self, session: Session, suite: Suite, device_secret: DeviceSecret | None) -> None:
        self._salt = decode_binary(session.phrase_salt)
        self._suite = suite
        self._device_secret = device_secret
        self.kept: list[OpaquePassword] = []

    def add(self, canonical: str) -> None:
        """Stretch one canonical phrase: a tenth of a second and 64 MiB."""
        stretch = stretch_phrase(canonical, self._salt, self._suite)
        try:
            # A recovery code is what remains when the devices are lost; its 129 bits need no device secret.
            secret = None if canonical.startswith(RECOVERY_MARK) else self._device_secret
            self.kept.append(opaque_password(stretch, secret))
        finally:
            stretch.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        forget_all([*self.kept, self._device_secret])


def enrol(
    session: Session, phrase: Callable[[], str], *, label: str, device_secret: DeviceSecret | None
) -> Steps[Enrolled]:
    """Enrol the canonical phrase that `phrase` returns; it is asked for only when the suite is known.

    Raises:
        UnknownSuiteError: the server names another suite; the phrase was not touched.
        PhraseError, LimitError: the phrase or the label is refused; nothing was sent.
        ConflictError: the phrase opens a vault of this account already.
        TransportError: whether the phrase is enrolled now is known once it is unlocked.
    """
    check_label(label)
    finish = functools.partial(AwaitingRegistrationResponse.finish, label=label)
    enrolled = yield from register(session, phrase, finish, device_secret=device_secret)
    try:
        answer = yield from post("/v1/tags", enrolled.message, session.token, 201, TagEnrolled)
    except ConflictError as error:
        raise phrase_taken(error) from None
    if (answer.tag_id, answer.vault_id) != (enrolled.tag_id, enrolled.vault_id):
        raise MalformedError("answer names another tag or vault than was enrolled")
    return enrolled


def phrase_taken(error: ServerError) -> ServerError:
    """Return what it means to whoever enrols a phrase that something exists already; other refusals as they are."""
    if error.code != "already_exists":
        return error
    text = "the phrase opens a vault of this account already; choose another one"
    return ConflictError(text, code=error.code, status=error.status, request_id=error.request_id)


def register(
    session: Session,
    phrase: Callable[[], str],
    finish: Callable[[AwaitingRegistrationResponse, RegistrationStarted], T],
    *,
    device_secret: DeviceSecret | None,
) -> Steps[T]:
    """Register the canonical phrase that `phrase` returns, and return what `finish` makes of it.

    Raises:
        UnknownSuiteError, PhraseError: as for `enrol`.
        BudgetError: no guesses are left.
    """
    suite = suite_by_id(session.suite)
    canonical = yield from compute(phrase)
    with _Passwords(session, suite, device_secret) as passwords:
        yield from stretched(functools.partial(passwords.add, canonical))
        awaiting = start_enrollment(passwords.kept[0], suite=suite)
        try:
            started = yield from post(
                "/v1/registrations", awaiting.message, session.token, 201, RegistrationStarted, changes=False
            )
            return (yield from stretched(functools.partial(finish, awaiting, started)))
        finally:
            awaiting.abandon()


def unlock(
    session: Session, phrases: Callable[[], Sequence[str]], *, device_secret: DeviceSecret | None
) -> Steps[UnlockedTag]:
    """Open whatever one of the canonical phrases opens; `phrases` is asked for them when the suite is known.

    Raises:
        UnknownSuiteError: the server names another suite; the phrases were not touched.
        AuthenticationError: none of them opens anything here.
        IntegrityError: the phrase is right, and what the server keeps behind it is not authentic.
        BudgetError: no guesses are left.
        CeremonyError: a step came too late.
    """
    finishing = yield from _prove_one(session, phrases, device_secret)
    try:
        answer = yield from post(
            "/v1/unlock/finish",
            finishing.message,
            session.token,
            200,
            Unlocked,
            max_answer=MAX_LIST_BYTES,
            changes=False,
        )
        check_times(answer.expires_at, answer.last_failed_at)
        return (yield from compute(functools.partial(_open, finishing, answer)))
    except BaseException:
        finishing.abandon()
        raise


def release(
    session: Session,
    phrases: Callable[[], Sequence[str]],
    members: Sequence[Member],
    *,
    device_secret: DeviceSecret | None,
) -> Steps[Released]:
    """Return what the release of a phrase gives, without unlocking: the proof is not sent, the guess not given back.

    Raises:
        MisuseError: the phrase is one of `members`.
        UnknownSuiteError, AuthenticationError, BudgetError, CeremonyError: as for `unlock`.
    """
    finishing = yield from _prove_one(session, phrases, device_secret)
    try:
        return finishing.give_up(members)
    finally:
        finishing.abandon()


def _prove_one(
    session: Session, phrases: Callable[[], Sequence[str]], device_secret: DeviceSecret | None
) -> Steps[Finishing]:
    # The phrases are asked for when the suite is known, and stretched one after the other.
    suite = suite_by_id(session.suite)
    candidates = yield from compute(phrases)
    with _Passwords(session, suite, device_secret) as passwords:
        for canonical in candidates:
            yield from stretched(functools.partial(passwords.add, canonical))
        return (yield from _prove(session, passwords.kept, suite))


def _prove(session: Session, passwords: Sequence[OpaquePassword], suite: Suite) -> Steps[Finishing]:
    locating = yield from compute(functools.partial(start_unlock, passwords, suite=suite))
    try:
        located = yield from post("/v1/unlock/locate", locating.message, session.token, 200, Located, changes=False)
        proving = yield from stretched(functools.partial(locating.finish, located))
        started = yield from post("/v1/unlock/start", proving.message, session.token, 200, UnlockStarted, changes=False)
        return (yield from stretched(functools.partial(proving.finish, started)))
    finally:
        # The login states are shared by both states, so this ends either of them.
        locating.abandon()


def _open(finishing: Finishing, answer: Unlocked) -> UnlockedTag:
    try:
        return finishing.finish(answer)
    except AuthenticationError:
        raise IntegrityError("what the server keeps behind this phrase") from None
