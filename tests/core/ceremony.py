"""A whole enrolment and unlock without a server process: the two halves of the core, joined by hand."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from hushtag._opaque import ServerSetup, decoy_record
from hushtag._stretch import opaque_password, stretch_phrase
from hushtag.enrollment import AcceptedTag, accept_enrollment, answer_enrollment, start_enrollment
from hushtag.messages import Located, RegistrationStarted, Unlocked, UnlockStarted, VaultKey
from hushtag.suites import HUSHTAG_V1
from hushtag.types import CredentialIdentifier, DeviceSecret, OpaquePassword, Record, ServerSeed
from hushtag.unlock import Finishing, Locating, Proving, UnlockedTag, start_unlock
from hushtag.unlock_server import (
    LiveSetup,
    LocatedState,
    ProvenCandidate,
    ProvingState,
    answer_candidates,
    evaluate_located,
    verify_candidate,
)

SESSION = "0" * 64
KEYS = UUID(int=7)
SEALED = "c2VhbGVk"  # what a client carries for the server and cannot read
_PASSWORDS: dict[tuple[str, bytes, bytes], bytes] = {}


def password(phrase: str, salt: bytes, device_secret: DeviceSecret | None = None) -> OpaquePassword:
    """Return the OPAQUE password of a phrase; the stretch is paid once per test run."""
    key = (phrase, salt, device_secret.expose() if device_secret else b"")
    if key not in _PASSWORDS:
        _PASSWORDS[key] = opaque_password(stretch_phrase(phrase, salt, HUSHTAG_V1), device_secret).expose()
    return OpaquePassword(_PASSWORDS[key])


@dataclass
class World:
    """One user on one server."""

    setup: ServerSetup = field(default_factory=ServerSetup.generate)
    credential_id: CredentialIdentifier = field(default_factory=lambda: CredentialIdentifier(os.urandom(32)))
    salt: bytes = bytes(16)
    decoy_seed: ServerSeed = field(default_factory=lambda: ServerSeed(os.urandom(32)))
    tags: dict[bytes, AcceptedTag] = field(default_factory=dict)

    def password(self, phrase: str) -> OpaquePassword:
        return password(phrase, self.salt)

    def enrol(self, phrase: str, label: str = "label") -> AcceptedTag:
        awaiting = start_enrollment(self.password(phrase))
        response = answer_enrollment(self.setup, self.credential_id, awaiting.message)
        answer = RegistrationStarted(session_id=SESSION, registration_response=response)
        accepted = accept_enrollment(awaiting.finish(answer, label=label).message)
        self.tags[accepted.phrase_hash] = accepted
        return accepted

    def records(self) -> dict[bytes, Record]:
        return {found: tag.record for found, tag in self.tags.items()}

    def locate(self, *phrases: str) -> tuple[Locating, Located, LocatedState]:
        locating = start_unlock([self.password(phrase) for phrase in phrases])
        setups = [LiveSetup(KEYS, self.setup)]
        state = LocatedState.of(setups, locating.message)
        responses = evaluate_located(setups, self.credential_id, state)
        return locating, Located(session_id=SESSION, responses=responses), state

    def start(self, proving: Proving, located: LocatedState) -> tuple[UnlockStarted, ProvingState]:
        decoy = decoy_record(self.setup, self.decoy_seed, self.credential_id)
        state, ke2 = answer_candidates(
            [LiveSetup(KEYS, self.setup)],
            self.credential_id,
            located,
            proving.message,
            lambda _, found: self.records().get(found, decoy),
        )
        return UnlockStarted(session_id=SESSION, state=SEALED, ke2=ke2), state

    def prove(self, *phrases: str) -> tuple[Finishing, ProvingState]:
        locating, answer, located = self.locate(*phrases)
        proving = locating.finish(answer)
        started, state = self.start(proving, located)
        return proving.finish(started), state

    def verify(self, finishing: Finishing, state: ProvingState) -> tuple[ProvenCandidate, Unlocked]:
        proven = verify_candidate(ProvingState.decode(state.encode()), finishing.message)
        return proven, unlocked_message(self.tags[proven.phrase_hash])

    def unlock(self, *phrases: str) -> UnlockedTag:
        finishing, state = self.prove(*phrases)
        proven, answer = self.verify(finishing, state)
        opened = finishing.finish(answer)
        assert proven.vault_token == opened.vault_token
        return opened


def unlocked_message(tag: AcceptedTag, **changes: object) -> Unlocked:
    """Return the honest last answer for a tag, with fields of its one vault key changed at will."""
    message = tag.message
    key = VaultKey(
        vault_id=message.vault.vault_id,
        wrapped_key_id=message.wrapped_key.wrapped_key_id,
        wrapped_key=message.wrapped_key.wrapped_key,
        key_purpose=message.wrapped_key.key_purpose,
        key_version=message.wrapped_key.key_version,
        generation=1,
        head=message.vault.head,
    )
    fields = {name: getattr(key, name) for name in key.__struct_fields__} | changes
    return Unlocked(
        suite=message.suite,
        tag_id=message.tag_id,
        salt=message.salt,
        vaults=[VaultKey(**fields)],
        expires_at=datetime.now(UTC),
        failed_guesses=0,
        last_failed_at=None,
    )


__all__ = ["KEYS", "SESSION", "World", "password", "unlocked_message"]
