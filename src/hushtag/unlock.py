"""Unlock, the client's half: from candidate phrases to an open tag (SPEC.md, "Unlock"). No input or output here.

`start_unlock` → `Locating` → `Proving` → `Finishing` → `UnlockedTag`. Each state's `message` goes to the server, its
`finish` takes the answer; a state is used once. The server's half is in `hushtag.unlock_server`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from hushtag import _opaque
from hushtag._ceremony import CeremonyState
from hushtag.duress import Released, derive_release, expand_release
from hushtag.errors import AuthenticationError, LimitError, MalformedError, MisuseError
from hushtag.head import VaultHead, open_head
from hushtag.keys import PURPOSE_VAULT_DATA, derive_kek, derive_tag_key_pair, derive_vault_token, unwrap_key, wrap_key
from hushtag.messages import (
    MAX_CANDIDATES,
    MAX_SETUPS,
    Candidate,
    FinishUnlock,
    Locate,
    Located,
    RewrapKey,
    StartUnlock,
    Unlocked,
    UnlockStarted,
    VaultKey,
    decode_binary,
    encode_binary,
)
from hushtag.moving import TagMove
from hushtag.pins import derive_tag_pin_key
from hushtag.ring import Member
from hushtag.rotation import KeyStep, follow
from hushtag.suites import HUSHTAG_V1, Suite
from hushtag.types import (
    KE1,
    KE2,
    KE3,
    DataKey,
    ExportKey,
    KeyEncryptionKey,
    LoginState,
    OpaquePassword,
    PinKey,
    Record,
    RegistrationResponse,
    Secret,
    SessionKey,
    TagPrivateKey,
    VaultToken,
    WrappedKey,
    forget_all,
)

__all__ = ["Finishing", "Locating", "OpenVault", "Proving", "UnlockedTag", "start_unlock"]


class _Attempt(NamedTuple):
    """One candidate between KE1 and KE2."""

    password: OpaquePassword
    state: LoginState
    ke1: KE1


class _Place(NamedTuple):
    """Which entry opened, of which phrase, and what the phrase registers as where it does not lie yet."""

    entry: int
    phrase: int
    registered: tuple[Record, ExportKey] | None


class OpenVault(NamedTuple):
    """A vault whose data key is unwrapped and whose head is authentic.

    `rewrap`: the key was rotated since the tag last wrapped it; this tells the server the present one under the tag's
    own KEK.
    """

    vault_id: UUID
    wrapped_key_id: UUID
    data_key: DataKey
    head: VaultHead
    pin_key: PinKey
    rewrap: RewrapKey | None = None


def _secrets_of(vaults: Iterable[OpenVault]) -> list[Secret]:
    return [secret for vault in vaults for secret in (vault.data_key, vault.pin_key)]


class UnlockedTag(NamedTuple):
    """The result of an unlock; `candidate` is the index of the phrase that opened it.

    `failed_guesses`: how many guesses nobody proved since the last unlock, by the server's count; `last_failed_at`:
    when the last of them was, None if there was none. `move` is there if the tag is under an earlier setup of the
    server and may move to the current one.
    """

    tag_id: UUID
    candidate: int
    vault_token: VaultToken
    tag_private_key: TagPrivateKey
    vaults: tuple[OpenVault, ...]
    expires_at: datetime
    failed_guesses: int = 0
    last_failed_at: datetime | None = None
    move: TagMove | None = None
    tag_public_key: bytes = b""

    def forget(self) -> None:
        """Forget every key."""
        if self.move is not None:
            self.move.abandon()
        forget_all([self.vault_token, self.tag_private_key, *_secrets_of(self.vaults)])


def start_unlock(passwords: Sequence[OpaquePassword], *, suite: Suite = HUSHTAG_V1) -> "Locating":
    """Begin an unlock with 1 to 5 candidates, each charged as one guess; the passwords stay the caller's to forget.

    Raises:
        LimitError: no candidate, or more than 5.
    """
    if not 1 <= len(passwords) <= MAX_CANDIDATES:
        raise LimitError(f"an unlock takes 1 to {MAX_CANDIDATES} candidates, not {len(passwords)}")
    return Locating([_Attempt(password, *_opaque.start_login(password)) for password in passwords], suite)


class _Attempting(CeremonyState):
    """A state that still holds one login state per candidate."""

    def __init__(self, attempts: list[_Attempt], suite: Suite) -> None:
        self._attempts = attempts
        self._suite = suite

    def _secrets(self) -> list[Secret]:
        return [attempt.state for attempt in self._attempts]


class Locating(_Attempting):
    """Every candidate is blinded; `message` asks for their evaluation."""

    def __init__(self, attempts: list[_Attempt], suite: Suite) -> None:
        super().__init__(attempts, suite)
        elements = [encode_binary(attempt.ke1.blinded_element) for attempt in attempts]
        self.message = Locate(suite=suite.id, elements=elements)

    def finish(self, answer: Located) -> "Proving":
        """Derive each candidate's phrase hash under each setup; one run of OPAQUE's Argon2id for each.

        Raises:
            StateError: called twice.
            MalformedError: the answer does not fit the question.
        """
        self._spend()
        setups, rest = divmod(len(answer.responses), len(self._attempts))
        if rest or not 1 <= setups <= MAX_SETUPS:
            raise MalformedError(f"located {len(answer.responses)} candidates, asked for {len(self._attempts)}")
        attempts = [attempt for attempt in self._attempts for _ in range(setups)]
        pairs = zip(attempts, answer.responses, strict=True)
        candidates = [self._candidate(attempt, response) for attempt, response in pairs]
        return Proving(self._attempts, self._suite, answer, candidates)

    @staticmethod
    def _candidate(attempt: _Attempt, response: str) -> Candidate:
        evaluated = RegistrationResponse(decode_binary(response))
        masking_key = _opaque.locate_masking_key(attempt.password, attempt.state, evaluated)
        found = _opaque.phrase_hash(masking_key)
        masking_key.forget()
        return Candidate(phrase_hash=encode_binary(found), ke1=encode_binary(attempt.ke1))


class Proving(_Attempting):
    """The phrase hashes are known; `message` starts one login per candidate and setup."""

    def __init__(self, attempts: list[_Attempt], suite: Suite, located: Located, candidates: list[Candidate]) -> None:
        super().__init__(attempts, suite)
        self._responses = located.responses
        self._setups = len(candidates) // len(attempts)
        self.message = StartUnlock(session_id=located.session_id, candidates=candidates)

    def finish(self, answer: UnlockStarted) -> "Finishing":
        """Open the envelope of whichever candidate is enrolled.

        Raises:
            StateError: called twice.
            MalformedError: the answer does not fit the question.
            AuthenticationError: no candidate opens anything; a decoy and a forgery look the same.
        """
        self._spend()
        if len(answer.ke2) != len(self._responses):
            raise MalformedError(f"answered {len(answer.ke2)} candidates, asked for {len(self._responses)}")
        ke2s = [KE2(decode_binary(text)) for text in answer.ke2]
        try:
            for index, ke2 in enumerate(ke2s):
                attempt = self._attempts[index // self._setups]
                try:
                    proof = _opaque.finish_login(attempt.password, attempt.state, ke2)
                except AuthenticationError:
                    continue
                place = _Place(index, index // self._setups, self._registered(index, attempt))
                return Finishing(self._suite, answer, place, *proof)
        finally:
            forget_all(self._secrets())
        raise AuthenticationError("the phrase opens nothing here")

    def _registered(self, index: int, attempt: _Attempt) -> tuple[Record, ExportKey] | None:
        """Return a record of the phrase under the current setup, made of what was located, if it opened under another.

        It takes no further evaluation: the current setup's answer is the first of each candidate's.
        """
        if index % self._setups == 0:
            return None
        current = self._responses[index - index % self._setups]
        return _opaque.register_located(attempt.password, attempt.state, RegistrationResponse(decode_binary(current)))


class Finishing(CeremonyState):
    """One candidate proved itself to the client; `message` proves it to the server."""

    def __init__(
        self,
        suite: Suite,
        started: UnlockStarted,
        place: _Place,
        ke3: KE3,
        session_key: SessionKey,
        export_key: ExportKey,
    ) -> None:
        self._suite = suite
        self._export_key = export_key
        self._place = place
        self._vault_token = derive_vault_token(session_key)
        session_key.forget()
        release = derive_release(export_key)
        self.message = FinishUnlock(
            session_id=started.session_id,
            state=started.state,
            candidate=place.entry,
            ke3=encode_binary(ke3),
            release=encode_binary(release.expose()),
        )
        release.forget()

    def _secrets(self) -> list[Secret]:
        moved = [self._place.registered[1]] if self._place.registered else []
        return [self._export_key, self._vault_token, *moved]

    def give_up(self, members: Sequence[Member]) -> Released:
        """Return what the phrase's release gives, and end the unlock here: the server has no proof, and opens nothing.

        Raises:
            StateError: the ceremony is over.
            MisuseError: the phrase is one of these members of a vault.
        """
        self._spend()
        release = derive_release(self._export_key)
        try:
            for member in members:
                private_key, public_key = derive_tag_key_pair(self._export_key, member.tag_id)
                private_key.forget()
                if public_key == member.public_key:
                    raise MisuseError("that phrase opens this vault itself; it can order nothing of it")
            return expand_release(release)
        finally:
            forget_all([release, *self._secrets()])

    def finish(self, answer: Unlocked) -> UnlockedTag:
        """Unwrap every vault's data key and open its head.

        Raises:
            StateError: called twice.
            MalformedError: another suite or purpose, a vault named twice, or failed guesses without a time.
            AuthenticationError: a key or head is not authentic.
        """
        self._spend()
        private_key, public_key = derive_tag_key_pair(self._export_key, answer.tag_id)
        try:
            move = self._move(answer)
            vaults = self._open_vaults(answer, private_key)
        except BaseException:
            forget_all([*self._secrets(), private_key])
            raise
        self._export_key.forget()
        return UnlockedTag(
            answer.tag_id,
            self._place.phrase,
            self._vault_token,
            private_key,
            vaults,
            answer.expires_at,
            answer.failed_guesses,
            answer.last_failed_at,
            move,
            public_key,
        )

    def _move(self, answer: Unlocked) -> TagMove | None:
        registered = self._place.registered
        if registered is None:
            # Nothing was prepared, and nothing is: a tag under the current setup has nowhere to go.
            if answer.move is not None:
                raise MalformedError("answer offers to move a tag that is under the current setup")
            return None
        if answer.move is None:
            registered[1].forget()
            return None
        return TagMove(answer.move, answer.tag_id, *registered, suite=self._suite)

    def _open_vaults(self, answer: Unlocked, private_key: TagPrivateKey) -> tuple[OpenVault, ...]:
        if answer.suite != self._suite.id:
            raise MalformedError("tag was enrolled under another suite")
        if len({key.vault_id for key in answer.vaults}) != len(answer.vaults):
            raise MalformedError("answer names one vault twice")
        if (answer.failed_guesses == 0) != (answer.last_failed_at is None):
            raise MalformedError("answer counts failed guesses without the time of the last, or names one of none")
        opened: list[OpenVault] = []
        try:
            for key in answer.vaults:
                opened.append(self._open_vault(answer, key, private_key))  # noqa: PERF401 - a failure must find the ones before it
        except BaseException:
            forget_all(_secrets_of(opened))
            raise
        return tuple(opened)

    def _kek(self, answer: Unlocked, vault_id: UUID, key_version: int) -> KeyEncryptionKey:
        salt = decode_binary(answer.salt)
        return derive_kek(self._export_key, salt=salt, tag_id=answer.tag_id, vault_id=vault_id, key_version=key_version)

    def _open_vault(self, answer: Unlocked, key: VaultKey, private_key: TagPrivateKey) -> OpenVault:
        if key.key_purpose != PURPOSE_VAULT_DATA:
            raise MalformedError("wrapped key has an unknown purpose")
        kek = self._kek(answer, key.vault_id, key.key_version)
        try:
            wrapped = unwrap_key(kek, WrappedKey(decode_binary(key.wrapped_key)))
        finally:
            kek.forget()
        # The wrapped key is what this tag itself has vouched for; each later one must follow from it.
        steps = [KeyStep(decode_binary(step.sealed_key), decode_binary(step.proof)) for step in key.steps]
        ids = {"vault_id": key.vault_id, "tag_id": answer.tag_id}
        data_key = follow(wrapped, private_key, steps, key_version=key.key_version, **ids)
        version = key.key_version + len(steps)
        try:
            head = open_head(
                data_key,
                key.vault_id,
                decode_binary(key.head),
                generation=key.generation,
                key_version=version,
                ring=None if key.ring is None else decode_binary(key.ring),
                suite=self._suite,
            )
            rewrap = self._rewrap(answer, key.vault_id, version, data_key) if steps else None
        except BaseException:
            data_key.forget()
            raise
        pin_key = derive_tag_pin_key(self._export_key, answer.tag_id, key.vault_id)
        return OpenVault(key.vault_id, key.wrapped_key_id, data_key, head, pin_key, rewrap)

    def _rewrap(self, answer: Unlocked, vault_id: UUID, version: int, data_key: DataKey) -> RewrapKey:
        kek = self._kek(answer, vault_id, version)
        try:
            return RewrapKey(key_version=version, wrapped_key=encode_binary(wrap_key(kek, data_key)))
        finally:
            kek.forget()
