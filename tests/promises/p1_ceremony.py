"""One enrolment, one unlock and one put, with all chance fixed: every field is a function of the phrase and its price.

The ceremonies are the library's own; only its OPAQUE binding is replaced by the reference, because the binding draws
its own randomness and fixes its stretch.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from unittest import mock
from uuid import UUID

from msgspec import Struct

from hushtag import _opaque
from hushtag._opaque import ServerSetup
from hushtag._stretch import opaque_password, stretch_phrase
from hushtag.duress import expand_release
from hushtag.enrollment import AcceptedTag, accept_enrollment, answer_enrollment, start_enrollment
from hushtag.head import VaultHead, seal_head, set_element, set_key
from hushtag.messages import (
    AddTag,
    DeleteObject,
    DeleteObjects,
    KeyStep,
    Located,
    MemberKey,
    ObjectEntry,
    OldKey,
    OldKeys,
    PutObject,
    PutObjects,
    PutOrders,
    RegistrationStarted,
    RotateVault,
    TagEnrolled,
    TagInfo,
    TagMoved,
    TagOrder,
    Unlocked,
    UnlockStarted,
    VaultKey,
    VaultState,
    decode_binary,
    encode_binary,
)
from hushtag.moving import TagMove, accept_move
from hushtag.objects import ObjectMeta, row_digest, seal_object
from hushtag.phrase import canonicalize
from hushtag.ring import Member, ring_digest
from hushtag.rotation import prove_succession, seal_old_key
from hushtag.suites import HUSHTAG_V1
from hushtag.tag_label import seal_label
from hushtag.types import (
    KE1,
    KE2,
    KE3,
    CredentialIdentifier,
    DataKey,
    ExportKey,
    LoginState,
    OpaquePassword,
    Record,
    RegistrationRequest,
    RegistrationResponse,
    RegistrationState,
    Release,
    ServerLoginState,
    SessionKey,
)
from hushtag.unlock import UnlockedTag, start_unlock
from hushtag.unlock_server import LiveSetup, LocatedState, answer_candidates, evaluate_located, verify_candidate
from tests.reference import envelope, key_schedule, opaque, oprf
from tests.reference.opaque import ClientLoginState, Configuration
from vectors.generators.suite_support import hpke, spec

SESSION = "5" * 64
SEALED = "c2VhbGVk"  # what a client carries for the server and cannot read
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OBJECT = UUID("0b3ec700-0000-4000-8000-000000000001")
STREAM = UUID("0b3ec700-0000-4000-8000-000000000002")


def chance(name: str, length: int = 32) -> bytes:
    """Fixed bytes in the place of random ones, at most 64."""
    return hashlib.sha512(b"chance: " + name.encode()).digest()[:length]


PHRASE_SALT = chance("phrase salt", 16)
CREDENTIAL_ID = CredentialIdentifier(chance("credential id"))
SERVER = oprf.derive_key_pair(chance("server"), b"test")
DECOY = oprf.derive_key_pair(chance("decoy"), b"test")


def scalar(name: str) -> bytes:
    """A fixed blind."""
    return oprf.derive_key_pair(chance(name), b"test").private_key


@dataclass(frozen=True)
class Price:
    """What a guess costs. Each part can be taken away alone, and so can the blinds be changed."""

    oprf_seed: bytes = chance("oprf seed", 64)
    stretch_passes: int = HUSHTAG_V1.stretch_passes
    ksf: Callable[[bytes], bytes] = key_schedule.suite_ksf
    blind: str = "blind"

    @property
    def setup(self) -> bytes:
        """The server's OPAQUE setup."""
        return self.oprf_seed + SERVER.private_key + DECOY.public_key


class _Reference:
    """The functions of `hushtag._opaque` that draw chance or stretch, over the reference."""

    def __init__(self, price: Price) -> None:
        self._config = Configuration(ksf=price.ksf)
        self._price = price
        self._setup = opaque.ServerSetup(price.oprf_seed, SERVER)
        self._identifier = b"hushtag-v1/credential/" + CREDENTIAL_ID

    def start_registration(self, password: OpaquePassword) -> tuple[RegistrationState, RegistrationRequest]:
        blind = scalar(f"{self._price.blind} of the registration")
        request = opaque.create_registration_request(password.expose(), blind)
        return RegistrationState(blind + request), RegistrationRequest(request)

    def finish_registration(
        self, password: OpaquePassword, state: RegistrationState, response: RegistrationResponse
    ) -> tuple[Record, ExportKey]:
        blind = state.expose()[:32]
        nonce = chance("envelope nonce")
        done = opaque.finalize_registration_request(self._config, password.expose(), blind, response, nonce)
        return Record(done.upload), ExportKey(done.export_key)

    def start_login(self, password: OpaquePassword) -> tuple[LoginState, KE1]:
        blind, nonce = scalar(f"{self._price.blind} of the login"), chance("client nonce")
        keyshare = envelope.derive_diffie_hellman_key_pair(chance("client key share"))
        ke1 = opaque.generate_ke1(password.expose(), blind, nonce, keyshare).ke1
        return LoginState(blind + ke1 + keyshare.private_key + nonce), KE1(ke1)

    def finish_login(self, password: OpaquePassword, state: LoginState, ke2: KE2) -> tuple[KE3, SessionKey, ExportKey]:
        held = state.expose()
        client = ClientLoginState(password.expose(), held[:32], held[32:128], held[128:160])
        done = opaque.generate_ke3(self._config, client, ke2)
        return KE3(done.ke3), SessionKey(done.keys.session_key), ExportKey(done.export_key)

    def answer_registration(
        self, setup: ServerSetup, credential_id: CredentialIdentifier, request: RegistrationRequest
    ) -> RegistrationResponse:
        assert (setup.expose(), credential_id) == (self._price.setup, CREDENTIAL_ID)
        return RegistrationResponse(opaque.create_registration_response(self._setup, request, self._identifier))

    def start_server_login(
        self, setup: ServerSetup, credential_id: CredentialIdentifier, record: Record, ke1: KE1
    ) -> tuple[ServerLoginState, KE2]:
        assert (setup.expose(), credential_id) == (self._price.setup, CREDENTIAL_ID)
        keyshare = envelope.derive_diffie_hellman_key_pair(chance("server key share"))
        nonces = chance("masking nonce"), chance("server nonce")
        login = opaque.generate_ke2(self._config, self._setup, record, ke1, self._identifier, *nonces, keyshare)
        return ServerLoginState(login.keys.session_key + login.keys.client_mac), KE2(login.ke2)


_REPLACED = (
    "start_registration",
    "finish_registration",
    "start_login",
    "finish_login",
    "answer_registration",
    "start_server_login",
)


@contextmanager
def replaced_binding(price: Price) -> Iterator[None]:
    """Let the library's ceremonies run on the reference."""
    reference = _Reference(price)
    with mock.patch.multiple(_opaque, **{name: getattr(reference, name) for name in _REPLACED}):
        yield


@dataclass(frozen=True)
class Trace:
    """Everything that was sent, stored or could be stored, and the client's secrets for comparison."""

    messages: list[Struct]
    states: dict[str, bytes]
    password: OpaquePassword
    stretch: bytes


def _enrol(password: OpaquePassword, setup: ServerSetup) -> tuple[list[Struct], AcceptedTag, DataKey]:
    drawn: list[bytes] = []

    def entropy(length: int) -> bytes:
        drawn.append(chance(f"entropy {len(drawn)}", length))
        return drawn[-1]

    awaiting = start_enrollment(password, _entropy=entropy)
    response = answer_enrollment(setup, CREDENTIAL_ID, awaiting.message)
    answer = RegistrationStarted(session_id=SESSION, registration_response=response, earlier=[response])
    enrolled = awaiting.finish(answer, label="label")
    done = TagEnrolled(tag_id=enrolled.tag_id, vault_id=enrolled.vault_id)
    (data_key,) = (DataKey(value) for value in drawn if len(value) == DataKey.LENGTH)
    return [awaiting.message, answer, enrolled.message, done], accept_enrollment(enrolled.message), data_key


def _share(password: OpaquePassword, setup: ServerSetup, tag: AcceptedTag, data_key: DataKey) -> list[Struct]:
    """Add a phrase to the vault and revoke it again; the first one stays and is sealed the next data key."""
    numbers = count()
    joining = start_enrollment(password, _entropy=lambda length: chance(f"joining {next(numbers)}", length))
    response = answer_enrollment(setup, CREDENTIAL_ID, joining.message)
    started = RegistrationStarted(SESSION, response, earlier=[response])
    vault_id, own = tag.message.vault.vault_id, Member(tag.message.tag_id, tag.public_key)
    new = joining.join(started, label="another", vault_id=vault_id, data_key=data_key, key_version=1)
    both = ring_digest(vault_id, [own, Member(new.tag_id, decode_binary(new.public_key))])
    head = VaultHead.first().with_ring(both)
    sealed = seal_head(data_key, vault_id, head, _entropy=lambda length: chance("added head", length))
    added = AddTag(new, head.generation, encode_binary(sealed), encode_binary(both))

    second, alone = DataKey(chance("second data key")), ring_digest(vault_id, [own])
    head = head.rotated(summary=bytes(32), ring=alone)
    sealed = seal_head(second, vault_id, head, _entropy=lambda length: chance("rotated head", length))
    ids: dict[str, UUID] = {"vault_id": vault_id, "tag_id": own.tag_id}
    label = seal_label(
        second,
        "label",
        **ids,
        key_version=2,
        public_key=own.public_key,
        _entropy=lambda length: chance("second label", length),
    )
    # The library draws the sender's key pair itself; this is the same sealing with one that is given.
    to_own = hpke.seal(
        chance("ephemeral"), own.public_key, spec.sealed_key_info(vault_id, own.tag_id, 2), second.expose()
    )
    old_key = seal_old_key(
        second, data_key, vault_id=vault_id, key_version=2, _entropy=lambda length: chance("old key", length)
    )
    rotated = RotateVault(
        revoked=new.tag_id,
        generation=head.generation,
        key_version=2,
        head=encode_binary(sealed),
        ring=encode_binary(alone),
        proof=encode_binary(prove_succession(data_key, second, vault_id=vault_id, key_version=2)),
        old_key=encode_binary(old_key),
        members=[MemberKey(own.tag_id, encode_binary(to_own), encode_binary(label))],
    )
    return [added, rotated, OldKeys([OldKey(2, rotated.old_key)])]


def _unlocked(tag: AcceptedTag, rotated: RotateVault) -> Unlocked:
    message = tag.message
    key = VaultKey(
        vault_id=message.vault.vault_id,
        wrapped_key_id=message.wrapped_key.wrapped_key_id,
        wrapped_key=message.wrapped_key.wrapped_key,
        key_purpose=message.wrapped_key.key_purpose,
        key_version=message.wrapped_key.key_version,
        generation=rotated.generation,
        head=rotated.head,
        ring=rotated.ring,
        steps=[KeyStep(rotated.members[0].sealed_key, rotated.proof)],
    )
    return Unlocked(
        suite=message.suite,
        tag_id=message.tag_id,
        salt=message.salt,
        vaults=[key],
        expires_at=NOW,
        failed_guesses=0,
        last_failed_at=None,
    )


def _unlock(
    password: OpaquePassword, setup: ServerSetup, tag: AcceptedTag, rotated: RotateVault
) -> tuple[list[Struct], dict[str, bytes], UnlockedTag]:
    locating = start_unlock([password])
    setups = [LiveSetup(UUID(int=7), setup)]
    asked = LocatedState.of(setups, locating.message)
    located = Located(session_id=SESSION, responses=evaluate_located(setups, CREDENTIAL_ID, asked))
    proving = locating.finish(located)
    records = {bytes(tag.phrase_hash): tag.record}
    state, ke2 = answer_candidates(
        setups,
        CREDENTIAL_ID,
        asked,
        proving.message,
        lambda _, found: records.get(found, Record(bytes(192))),
    )
    started = UnlockStarted(session_id=SESSION, state=SEALED, ke2=ke2)
    finishing = proving.finish(started)
    proven = verify_candidate(state, finishing.message)
    answer = _unlocked(tag, rotated)
    opened = finishing.finish(answer)
    assert proven.vault_token == opened.vault_token
    token = opened.vault_token.expose()
    states = {
        "state.located": b"".join(asked.elements),
        "state.login": state.encode(),
        "state.vault_token": token,
        "state.vault_token_hash": hashlib.blake2s(token).digest(),
    }
    rewrap = opened.vaults[0].rewrap
    assert rewrap is not None
    tickets = expand_release(Release(decode_binary(finishing.message.release))).tickets
    orders = PutOrders([TagOrder(1, encode_binary(tickets[0]))])
    sent = [locating.message, located, proving.message, started, finishing.message, answer, rewrap, orders]
    return sent, states, opened


def _move(password: OpaquePassword, setup: ServerSetup, opened: UnlockedTag, tag: AcceptedTag) -> list[Struct]:
    state, request = _opaque.start_registration(password)
    response = _opaque.answer_registration(setup, CREDENTIAL_ID, request)
    record, export_key = _opaque.finish_registration(password, state, response)
    numbers = count()
    members = {vault.vault_id: [Member(opened.tag_id, tag.public_key)] for vault in opened.vaults}
    moved = TagMove(SEALED, opened.tag_id, record, export_key).finish(
        opened.vaults, "label", members, _entropy=lambda length: chance(f"moved {next(numbers)}", length)
    )
    accept_move(moved.message)
    return [moved.message, TagMoved(tag_id=opened.tag_id)]


def _put(opened: UnlockedTag, tag: AcceptedTag, rotated: RotateVault) -> tuple[list[Struct], dict[str, bytes]]:
    vault = opened.vaults[0]
    row = seal_object(
        vault.data_key,
        vault_id=vault.vault_id,
        object_id=OBJECT,
        key_version=2,
        revision=1,
        meta=ObjectMeta("name", "text/plain", 1, 4),
        body=b"body",
        _entropy=lambda length: chance("object iv", length),
    )
    digest = row_digest(row)
    element = set_element(set_key(vault.data_key, vault.vault_id, 2), OBJECT, 1, digest)
    assert vault.head.with_change(removed=None, added=element).object_count == 1
    entry = ObjectEntry(
        object_id=OBJECT,
        revision=1,
        key_version=2,
        content_size=row.content_size,
        digest=encode_binary(digest),
        created_at=NOW,
        updated_at=NOW,
        stream_id=STREAM,
        row=encode_binary(row.encoded),
    )
    put = PutObject(OBJECT, 1, encode_binary(row.encoded))
    several = PutObjects(rotated.generation, 2, rotated.head, [put])
    gone = DeleteObjects(rotated.generation, rotated.head, [DeleteObject(OBJECT, 1)])
    state = VaultState(vault.vault_id, rotated.generation, 2, rotated.head, rotated.ring)
    info = TagInfo(
        tag_id=tag.message.tag_id,
        sealed_label=tag.message.sealed_label,
        public_key=tag.message.public_key,
        created_at=NOW,
        current=True,
    )
    columns = {"row.iv": row.iv, "row.ciphertext": bytes(row.ciphertext), "row.auth_tag": row.auth_tag}
    return [state, info, entry, put, several, gone], columns


def run(transcript: str, price: Price) -> Trace:
    """Enrol a phrase, add another to its vault and revoke that, unlock with the first, move its tag, put one object."""
    suite = replace(HUSHTAG_V1, stretch_passes=price.stretch_passes)
    stretch = stretch_phrase(canonicalize(transcript), PHRASE_SALT, suite)
    password = opaque_password(stretch, None)
    setup = ServerSetup(price.setup)
    with replaced_binding(price):
        enrolment, tag, data_key = _enrol(password, setup)
        shared = _share(password, setup, tag, data_key)
        rotated = next(message for message in shared if isinstance(message, RotateVault))
        unlock, states, opened = _unlock(password, setup, tag, rotated)
        move = _move(password, setup, opened, tag)
    put, columns = _put(opened, tag, rotated)
    return Trace([*enrolment, *shared, *unlock, *move, *put], {**states, **columns}, password, stretch.expose())
