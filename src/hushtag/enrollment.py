"""Enrolment: a phrase becomes a tag with a new vault (SPEC.md, "Enrolment"). No input or output happens here.

Client: `start_enrollment` → `AwaitingRegistrationResponse` → `Enrolled`.
Server: `answer_enrollment`, then `accept_enrollment`.
"""

import os
from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import structs

from hushtag import _opaque
from hushtag._ceremony import CeremonyState
from hushtag._opaque import ServerSetup
from hushtag.duress import derive_release, expand_release
from hushtag.errors import MalformedError
from hushtag.head import VaultHead, seal_head
from hushtag.keys import SALT_LENGTH, check_tag_public_key, derive_kek, derive_tag_key_pair, generate_data_key, wrap_key
from hushtag.messages import (
    EnrolTag,
    MoveTag,
    NewTag,
    NewVault,
    NewWrappedKey,
    RegistrationStarted,
    StartRegistration,
    decode_binary,
    encode_binary,
)
from hushtag.suites import HUSHTAG_V1, Suite, suite_by_id
from hushtag.tag_label import seal_label
from hushtag.types import (
    CredentialIdentifier,
    DataKey,
    ExportKey,
    OpaquePassword,
    PhraseHash,
    Record,
    RegistrationRequest,
    RegistrationResponse,
    RegistrationState,
    Secret,
    forget_all,
)

__all__ = [
    "AcceptedTag",
    "AwaitingRegistrationResponse",
    "Enrolled",
    "JoinedTag",
    "accept_enrollment",
    "accept_tag",
    "answer_enrollment",
    "checked_record",
    "start_enrollment",
]

FIRST_KEY_VERSION: Final = 1
_Entropy = Callable[[int], bytes]


class Enrolled(NamedTuple):
    """The last message of an enrolment and the ids it makes."""

    message: EnrolTag
    tag_id: UUID
    vault_id: UUID


class AwaitingRegistrationResponse(CeremonyState):
    """The phrase is blinded; `message` goes to the server."""

    def __init__(self, password: OpaquePassword, suite: Suite, entropy: _Entropy) -> None:
        self._password = password
        self._suite = suite
        self._entropy = entropy
        self._state: RegistrationState
        self._state, request = _opaque.start_registration(password)
        self.message = StartRegistration(suite=suite.id, registration_request=encode_binary(request))

    def _secrets(self) -> list[Secret]:
        return [self._state]

    def finish(self, answer: RegistrationStarted, *, label: str) -> Enrolled:
        """Make tag, vault and data key, and wrap the key; `label` (≤ 252 bytes) is what those inside will read.

        Raises:
            StateError: called twice.
            MalformedError: the answer is not a registration response.
            LimitError: the label is too long.
        """
        record, export_key, earlier = self._register(answer)
        data_key = None
        try:
            tag_id, vault_id, key_id = (_uuid4(self._entropy) for _ in range(3))
            salt = self._entropy(SALT_LENGTH)
            data_key = generate_data_key(_entropy=self._entropy)
            head = seal_head(data_key, vault_id, VaultHead.first(), suite=self._suite, _entropy=self._entropy)
            place = _Place(vault_id, data_key, FIRST_KEY_VERSION)
            tag = self._make_tag(answer.session_id, (tag_id, key_id), salt, record, export_key, label, place)
        finally:
            forget_all([export_key, data_key])
        fields = {name: getattr(tag, name) for name in tag.__struct_fields__}
        fields["earlier_hashes"] = earlier
        message = EnrolTag(**fields, vault=NewVault(vault_id=vault_id, head=encode_binary(head)))
        return Enrolled(message, tag_id, vault_id)

    def join(
        self, answer: RegistrationStarted, *, label: str, vault_id: UUID, data_key: DataKey, key_version: int
    ) -> NewTag:
        """Make the tag of a further phrase of an open vault; the data key stays the caller's.

        Raises:
            StateError, MalformedError, LimitError: as for `finish`.
        """
        record, export_key, earlier = self._register(answer)
        try:
            ids = (_uuid4(self._entropy), _uuid4(self._entropy))
            place = _Place(vault_id, data_key, key_version)
            salt = self._entropy(SALT_LENGTH)
            made = self._make_tag(answer.session_id, ids, salt, record, export_key, label, place)
        finally:
            export_key.forget()
        return structs.replace(made, earlier_hashes=earlier)

    def _phrase_hash(self, response: str) -> str:
        """Return what the phrase is found by under another setup of the server, where it may be enrolled already."""
        evaluated = RegistrationResponse(decode_binary(response))
        record, export_key = _opaque.finish_registration(self._password, self._state, evaluated)
        export_key.forget()
        return encode_binary(_opaque.phrase_hash(record.masking_key))

    def _register(self, answer: RegistrationStarted) -> tuple[Record, ExportKey, list[str]]:
        self._spend()
        try:
            earlier = [self._phrase_hash(response) for response in answer.earlier]
            response = RegistrationResponse(decode_binary(answer.registration_response))
            return *_opaque.finish_registration(self._password, self._state, response), earlier
        finally:
            self._state.forget()

    def _make_tag(
        self,
        session_id: str,
        ids: tuple[UUID, UUID],
        salt: bytes,
        record: Record,
        export_key: ExportKey,
        label: str,
        place: "_Place",
    ) -> NewTag:
        tag_id, key_id = ids
        vault_id, data_key, version = place
        private_key, public_key = derive_tag_key_pair(export_key, tag_id)
        release = derive_release(export_key)
        kek = derive_kek(export_key, salt=salt, tag_id=tag_id, vault_id=vault_id, key_version=version)
        try:
            sealed_label = seal_label(
                data_key,
                label,
                vault_id=vault_id,
                tag_id=tag_id,
                key_version=version,
                public_key=public_key,
                suite=self._suite,
                _entropy=self._entropy,
            )
            wrapped = encode_binary(wrap_key(kek, data_key))
            check = expand_release(release).check
        finally:
            forget_all([private_key, kek, release])
        return NewTag(
            session_id=session_id,
            suite=self._suite.id,
            tag_id=tag_id,
            # The column wants a name unique per user; a random one tells the server nothing.
            tag_name=encode_binary(self._entropy(16)),
            phrase_hash=encode_binary(_opaque.phrase_hash(record.masking_key)),
            salt=encode_binary(salt),
            record=encode_binary(record),
            public_key=encode_binary(public_key),
            sealed_label=encode_binary(sealed_label),
            wrapped_key=NewWrappedKey(wrapped_key_id=key_id, wrapped_key=wrapped, key_version=version),
            release_check=encode_binary(check),
        )


class _Place(NamedTuple):
    """The vault a tag is made for: its id, data key and that key's version."""

    vault_id: UUID
    data_key: DataKey
    key_version: int


def _uuid4(entropy: _Entropy) -> UUID:
    return UUID(bytes=entropy(16), version=4)


def start_enrollment(
    password: OpaquePassword, *, suite: Suite = HUSHTAG_V1, _entropy: _Entropy = os.urandom
) -> AwaitingRegistrationResponse:
    """Begin an enrolment; the password is the caller's to forget afterwards."""
    return AwaitingRegistrationResponse(password, suite, _entropy)


class AcceptedTag(NamedTuple):
    """A checked enrolment, ready to store; lengths are exact."""

    message: EnrolTag
    phrase_hash: PhraseHash
    record: Record
    salt: bytes
    public_key: bytes
    sealed_label: bytes
    head: bytes
    wrapped_key: bytes


def answer_enrollment(setup: ServerSetup, credential_id: CredentialIdentifier, message: StartRegistration) -> str:
    """Server: evaluate the request; the caller has charged one guess. Returns base64url of 64 bytes.

    Raises:
        UnknownSuiteError, MalformedError: the message is not one of this suite.
    """
    suite_by_id(message.suite)
    request = RegistrationRequest(decode_binary(message.registration_request))
    return encode_binary(_opaque.answer_registration(setup, credential_id, request))


class JoinedTag(NamedTuple):
    """A checked tag of a vault that is there already; lengths are exact."""

    message: NewTag
    phrase_hash: PhraseHash
    record: Record
    salt: bytes
    public_key: bytes
    sealed_label: bytes
    wrapped_key: bytes


def checked_record(message: EnrolTag | NewTag | MoveTag) -> tuple[PhraseHash, Record]:
    """Server: return phrase hash and record of a tag that is to be stored.

    Raises:
        UnknownSuiteError: the suite is not this version's.
        MalformedError: a record that cannot log in, a phrase hash that is not the record's, or a public key that no
            data key can be sealed to.
    """
    suite_by_id(message.suite)
    record = Record(decode_binary(message.record))
    _opaque.check_record(record)
    check_tag_public_key(decode_binary(message.public_key))
    stated = PhraseHash(decode_binary(message.phrase_hash))
    if stated != _opaque.phrase_hash(record.masking_key):
        raise MalformedError("phrase hash does not belong to the record")
    return stated, record


def accept_tag(message: NewTag) -> JoinedTag:
    """Server: check a further phrase as `accept_enrollment` checks the first.

    Raises:
        UnknownSuiteError, MalformedError: as for `accept_enrollment`.
    """
    stated, record = checked_record(message)
    return JoinedTag(
        message=message,
        phrase_hash=stated,
        record=record,
        salt=decode_binary(message.salt),
        public_key=decode_binary(message.public_key),
        sealed_label=decode_binary(message.sealed_label),
        wrapped_key=decode_binary(message.wrapped_key.wrapped_key),
    )


def accept_enrollment(message: EnrolTag) -> AcceptedTag:
    """Server: check everything that can be checked without a key.

    Raises:
        UnknownSuiteError, MalformedError: as for `checked_record`.
    """
    stated, record = checked_record(message)
    return AcceptedTag(
        message=message,
        phrase_hash=stated,
        record=record,
        salt=decode_binary(message.salt),
        public_key=decode_binary(message.public_key),
        sealed_label=decode_binary(message.sealed_label),
        head=decode_binary(message.vault.head),
        wrapped_key=decode_binary(message.wrapped_key.wrapped_key),
    )
