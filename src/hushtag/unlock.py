"""Unlock, the client's half: from candidate phrases to an open tag (SPEC.md, "Unlock"). No input or output here.

`start_unlock` → `Locating` → `Proving` → `Finishing` → `UnlockedTag`. Each state's `message` goes to the server, its
`finish` takes the answer; a state is used once. The server's half is in `hushtag.unlock_server`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from hushtag import _opaque
from hushtag._ceremony import CeremonyState
from hushtag.errors import AuthenticationError, LimitError, MalformedError
from hushtag.head import VaultHead, open_head
from hushtag.keys import PURPOSE_VAULT_DATA, derive_kek, derive_tag_key_pair, derive_vault_token, unwrap_key, wrap_key
from hushtag.messages import (
    MAX_CANDIDATES,
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


class OpenVault(NamedTuple):
    """A vault whose data key is unwrapped and whose head is authentic.

    `rewrap`: the key was rotated since the tag last wrapped it; this tells the server the present one under the tag's
    own KEK.
    """

    vault_id: UUID
    wrapped_key_id: UUID
    data_key: DataKey
    head: VaultHead
    rewrap: RewrapKey | None = None


class UnlockedTag(NamedTuple):
    """The result of an unlock; `candidate` is the index of the phrase that opened it."""

    tag_id: UUID
    candidate: int
    vault_token: VaultToken
    tag_private_key: TagPrivateKey
    vaults: tuple[OpenVault, ...]
    expires_at: datetime
    tag_public_key: bytes = b""

    def forget(self) -> None:
        """Forget every key."""
        forget_all([self.vault_token, self.tag_private_key, *(vault.data_key for vault in self.vaults)])


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
        """Derive each candidate's phrase hash; one run of OPAQUE's Argon2id per candidate.

        Raises:
            StateError: called twice.
            MalformedError: the answer does not fit the question.
        """
        self._spend()
        if len(answer.responses) != len(self._attempts):
            raise MalformedError(f"located {len(answer.responses)} candidates, asked for {len(self._attempts)}")
        pairs = zip(self._attempts, answer.responses, strict=True)
        candidates = [self._candidate(attempt, response) for attempt, response in pairs]
        return Proving(self._attempts, self._suite, answer.session_id, candidates)

    @staticmethod
    def _candidate(attempt: _Attempt, response: str) -> Candidate:
        evaluated = RegistrationResponse(decode_binary(response))
        masking_key = _opaque.locate_masking_key(attempt.password, attempt.state, evaluated)
        found = _opaque.phrase_hash(masking_key)
        masking_key.forget()
        return Candidate(phrase_hash=encode_binary(found), ke1=encode_binary(attempt.ke1))


class Proving(_Attempting):
    """The phrase hashes are known; `message` starts one login per candidate."""

    def __init__(self, attempts: list[_Attempt], suite: Suite, session_id: str, candidates: list[Candidate]) -> None:
        super().__init__(attempts, suite)
        self.message = StartUnlock(session_id=session_id, candidates=candidates)

    def finish(self, answer: UnlockStarted) -> "Finishing":
        """Open the envelope of whichever candidate is enrolled.

        Raises:
            StateError: called twice.
            MalformedError: the answer does not fit the question.
            AuthenticationError: no candidate opens anything; a decoy and a forgery look the same.
        """
        self._spend()
        if len(answer.ke2) != len(self._attempts):
            raise MalformedError(f"answered {len(answer.ke2)} candidates, asked for {len(self._attempts)}")
        ke2s = [KE2(decode_binary(text)) for text in answer.ke2]
        try:
            for index, (attempt, ke2) in enumerate(zip(self._attempts, ke2s, strict=True)):
                try:
                    proof = _opaque.finish_login(attempt.password, attempt.state, ke2)
                except AuthenticationError:
                    continue
                return Finishing(self._suite, answer, index, *proof)
        finally:
            forget_all(self._secrets())
        raise AuthenticationError("the phrase opens nothing here")


class Finishing(CeremonyState):
    """One candidate proved itself to the client; `message` proves it to the server."""

    def __init__(
        self,
        suite: Suite,
        started: UnlockStarted,
        candidate: int,
        ke3: KE3,
        session_key: SessionKey,
        export_key: ExportKey,
    ) -> None:
        self._suite = suite
        self._export_key = export_key
        self._candidate = candidate
        self._vault_token = derive_vault_token(session_key)
        session_key.forget()
        self.message = FinishUnlock(
            session_id=started.session_id, state=started.state, candidate=candidate, ke3=encode_binary(ke3)
        )

    def _secrets(self) -> list[Secret]:
        return [self._export_key, self._vault_token]

    def finish(self, answer: Unlocked) -> UnlockedTag:
        """Unwrap every vault's data key and open its head.

        Raises:
            StateError: called twice.
            MalformedError: another suite or purpose, or a vault named twice.
            AuthenticationError: a key or head is not authentic.
        """
        self._spend()
        private_key, public_key = derive_tag_key_pair(self._export_key, answer.tag_id)
        try:
            vaults = self._open_vaults(answer, private_key)
        except BaseException:
            forget_all([*self._secrets(), private_key])
            raise
        self._export_key.forget()
        return UnlockedTag(
            answer.tag_id, self._candidate, self._vault_token, private_key, vaults, answer.expires_at, public_key
        )

    def _open_vaults(self, answer: Unlocked, private_key: TagPrivateKey) -> tuple[OpenVault, ...]:
        if answer.suite != self._suite.id:
            raise MalformedError("tag was enrolled under another suite")
        if len({key.vault_id for key in answer.vaults}) != len(answer.vaults):
            raise MalformedError("answer names one vault twice")
        opened: list[OpenVault] = []
        try:
            for key in answer.vaults:
                opened.append(self._open_vault(answer, key, private_key))  # noqa: PERF401 - a failure must find the ones before it
        except BaseException:
            forget_all(vault.data_key for vault in opened)
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
        return OpenVault(key.vault_id, key.wrapped_key_id, data_key, head, rewrap)

    def _rewrap(self, answer: Unlocked, vault_id: UUID, version: int, data_key: DataKey) -> RewrapKey:
        kek = self._kek(answer, vault_id, version)
        try:
            return RewrapKey(key_version=version, wrapped_key=encode_binary(wrap_key(kek, data_key)))
        finally:
            kek.forget()
