"""The HTTP contract in memory, on the core's server halves: fast, and as obedient or as faulty as a test wants.

`transport()` serves httpx without a network. `faults` break single exchanges before or after the server acted;
`rewrite` lets a test play the malicious server and change any answer. Nothing expires unless a test says so.
"""

import copy
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2s
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
from blake3 import blake3

from hushtag._opaque import ServerSetup, decoy_record
from hushtag.duress import TICKETS_PER_VERDICT, Released, Verdict, expand_release
from hushtag.enrollment import AcceptedTag, accept_enrollment, accept_tag, answer_enrollment
from hushtag.errors import AuthenticationError, MalformedError, UnknownSuiteError
from hushtag.messages import (
    MAX_LISTED_CONTENT,
    MAX_MEMBERS,
    MAX_PAGE_WITH_ROWS,
    Account,
    AddTag,
    ChangePassword,
    DeleteObjects,
    EnrolTag,
    FinishUnlock,
    KeyStep,
    Locate,
    Located,
    LogIn,
    MoveTag,
    NewTag,
    NewVault,
    ObjectEntry,
    ObjectList,
    ObjectsDeleted,
    ObjectsStored,
    ObjectStored,
    OldKey,
    OldKeys,
    Problem,
    PutObjects,
    PutOrders,
    RegistrationStarted,
    RewrapKey,
    RotateVault,
    SessionInfo,
    SessionList,
    SessionOpened,
    SignUp,
    SignUpAccepted,
    StartRegistration,
    StartUnlock,
    TagEnrolled,
    TagInfo,
    TagList,
    TagMoved,
    Unlocked,
    UnlockStarted,
    VaultKey,
    VaultState,
    decode_binary,
    encode_binary,
)
from hushtag.moving import accept_move
from hushtag.objects import ObjectRow, row_digest
from hushtag.pairing_messages import (
    MAX_PAIRINGS,
    OpenPairing,
    PairingMessage,
    PairingOffer,
    PairingOffers,
    PairingOpened,
)
from hushtag.stream_messages import (
    MAX_SEGMENT_BYTES,
    STREAM_HEADER,
    STREAM_SEGMENTS_HEADER,
    STREAM_SIZE_HEADER,
    SegmentEntry,
    SegmentList,
    SegmentStored,
)
from hushtag.types import CredentialIdentifier, Record, Release, ServerSeed
from hushtag.unlock_server import (
    LiveSetup,
    LocatedState,
    ProvingState,
    answer_candidates,
    evaluate_located,
    verify_candidate,
)

SEALED = "c2VhbGVk"  # what a client carries and cannot read; this server keeps the state itself
KEYS = UUID(int=7)
SETUP = ServerSetup.generate()
NEXT = (UUID(int=8), ServerSetup.generate())  # the setup of a server whose keys were rotated
START = datetime(2025, 1, 1, tzinfo=UTC)
URL = "http://localhost:8123"


def _released(text: str) -> Released:
    release = Release(decode_binary(text))
    try:
        return expand_release(release)
    finally:
        release.forget()


class RefusedError(Exception):
    """A problem of the contract."""

    def __init__(self, status: int, code: str, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.retry_after = retry_after


@dataclass
class Stored:
    row: ObjectRow
    created_at: datetime
    updated_at: datetime


@dataclass
class FakeStream:
    """Segments by number; `owner` is the object that has it."""

    segments: dict[int, bytes] = field(default_factory=dict)
    owner: UUID | None = None


@dataclass
class FakeVault:
    generation: int
    head: str
    key_version: int = 1
    objects: dict[UUID, Stored] = field(default_factory=dict)
    ring: str | None = None
    labels: dict[UUID, str] = field(default_factory=dict)
    wrapped: dict[UUID, RewrapKey] = field(default_factory=dict)
    sealed: dict[UUID, dict[int, str]] = field(default_factory=dict)
    proofs: dict[int, str] = field(default_factory=dict)
    old_keys: dict[int, str] = field(default_factory=dict)
    streams: dict[UUID, FakeStream] = field(default_factory=dict)

    def stream_of(self, object_id: UUID) -> UUID | None:
        return next((key for key, stream in self.streams.items() if stream.owner == object_id), None)

    def is_short(self, object_id: UUID) -> bool:
        return self.objects[object_id].row.content_size <= MAX_LISTED_CONTENT

    def state(self, vault_id: UUID) -> VaultState:
        return VaultState(vault_id, self.generation, self.key_version, self.head, self.ring)

    def steps(self, tag_id: UUID) -> list[KeyStep]:
        return [KeyStep(key, self.proofs[version]) for version, key in sorted(self.sealed.get(tag_id, {}).items())]


@dataclass
class User:
    user_id: UUID
    email: str
    password: str
    phrase_salt: bytes
    credential_id: CredentialIdentifier = field(default_factory=lambda: CredentialIdentifier(uuid4().bytes * 2))
    guesses: int = 1000
    suite: str = "hushtag-v1"
    pairings: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    tags: dict[bytes, AcceptedTag] = field(default_factory=dict)
    vaults: dict[UUID, FakeVault] = field(default_factory=dict)
    orders: dict[tuple[UUID, int], bytes] = field(default_factory=dict)  # what a tag bears in a place
    locked: dict[bytes, AcceptedTag] = field(default_factory=dict)
    tickets: dict[UUID, tuple[bytes, ...]] = field(default_factory=dict)  # those of a tag's release, once it was told
    under: dict[bytes, UUID] = field(default_factory=dict)  # which key set a tag is under, if not the first


@dataclass
class Fault:
    """Breaks exchanges whose method and path match, before or after the server has acted, or answers in its place."""

    method: str
    path: str
    when: str = "before"
    failure: type[httpx.TransportError] = httpx.ReadError
    answer: httpx.Response | None = None
    times: int = 1

    def matches(self, request: httpx.Request) -> bool:
        return self.times > 0 and request.method == self.method and re.search(self.path, request.url.path) is not None


def _streamed(response: httpx.Response) -> httpx.Response:
    # As from a socket: not read yet.
    return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(response.content))


def problem(status: int, code: str, **more: Any) -> httpx.Response:
    body = Problem(f"urn:hushtag:problem:{code}", "a title", status, code, **more)
    return httpx.Response(
        status, content=msgspec.json.encode(body), headers={"Content-Type": "application/problem+json"}
    )


def answer(status: int, message: msgspec.Struct) -> httpx.Response:
    return httpx.Response(status, content=msgspec.json.encode(message), headers={"Content-Type": "application/json"})


class FakeServer:
    """One server of many users; `log` holds method and path of every request."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.tokens: dict[str, tuple[User, UUID]] = {}
        self.vault_tokens: dict[bytes, tuple[User, AcceptedTag, UUID]] = {}
        self.ceremonies: dict[str, tuple[str, Any]] = {}
        self.faults: list[Fault] = []
        self.rewrite: Callable[[httpx.Request, httpx.Response], httpx.Response] | None = None
        self.on_request: Callable[[httpx.Request], None] | None = None
        self.log: list[str] = []
        self.headers: list[httpx.Headers] = []
        self.page = 1000
        self.setups = [LiveSetup(KEYS, SETUP)]
        self._turn = threading.RLock()

    def clone(self) -> "FakeServer":
        """A server in the same state, which goes its own way from here."""
        other = FakeServer()
        other.users, other.tokens = copy.deepcopy((self.users, self.tokens))
        other.setups = self.setups
        return other

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(lambda request: _streamed(self.serve(request)))

    def serve(self, request: httpx.Request) -> httpx.Response:
        with self._turn:
            self.log.append(f"{request.method} {request.url.path}")
            self.headers.append(request.headers)
            if self.on_request is not None:
                self.on_request(request)
            fault = next((fault for fault in self.faults if fault.matches(request)), None)
            if fault is not None:
                fault.times -= 1
                if fault.when == "after":
                    self._respond(request)
                if fault.answer is not None:
                    return fault.answer
                raise fault.failure("broken by the test", request=request)
            response = self._respond(request)
            return response if self.rewrite is None else self.rewrite(request, response)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        try:
            for method, pattern, route in ROUTES:
                found = re.fullmatch(pattern, request.url.path)
                if method == request.method and found:
                    return route(
                        self, request, *(int(part) if part.isdigit() else UUID(part) for part in found.groups())
                    )
            return problem(404, "not_found")
        except RefusedError as refused:
            return problem(refused.status, refused.code, retry_after=refused.retry_after)
        except UnknownSuiteError:
            return problem(422, "unknown_suite")
        except (MalformedError, msgspec.DecodeError):
            return problem(400, "malformed_request")
        except AuthenticationError:
            return problem(401, "ceremony_failed")

    # --- tokens ---------------------------------------------------------------------------------------------

    def _account(self, request: httpx.Request) -> tuple[User, UUID]:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            raise RefusedError(401, "unauthenticated")
        return self.tokens[token]

    def _vault(self, request: httpx.Request, vault_id: UUID) -> tuple[User, AcceptedTag, FakeVault]:
        user, tag = self._tag(request)
        if vault_id not in user.vaults or tag.message.vault.vault_id != vault_id:
            raise RefusedError(404, "not_found")
        return user, tag, user.vaults[vault_id]

    @staticmethod
    def _vault_token(request: httpx.Request) -> bytes:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token.startswith("htv_"):
            raise RefusedError(401, "unauthenticated")
        return blake2s(decode_binary(token.removeprefix("htv_"), 48)[16:]).digest()

    def _tag(self, request: httpx.Request) -> tuple[User, AcceptedTag]:
        hashed = self._vault_token(request)
        if hashed not in self.vault_tokens:
            raise RefusedError(401, "unauthenticated")
        return self.vault_tokens[hashed][:2]

    # --- accounts -------------------------------------------------------------------------------------------

    def sign_up(self, request: httpx.Request) -> httpx.Response:
        message = msgspec.json.decode(request.content, type=SignUp)
        # Another one for each user, and the same for the first, second, … of every server: what the tests of a process
        # stretch, they stretch once.
        salt = blake2s(b"salt", person=len(self.users).to_bytes(8, "big")).digest()[:16]
        self.users.setdefault(message.email, User(uuid4(), message.email, message.password, salt))
        return answer(202, SignUpAccepted())

    def log_in(self, request: httpx.Request) -> httpx.Response:
        message = msgspec.json.decode(request.content, type=LogIn)
        user = self.users.get(message.email)
        if user is None or user.password != message.password:
            raise RefusedError(401, "login_failed")
        session_id = uuid4()
        token = "hta_" + encode_binary(user.user_id.bytes + uuid4().bytes + uuid4().bytes)
        self.tokens[token] = (user, session_id)
        expires = START + timedelta(days=36500)
        return answer(
            201,
            SessionOpened(token, user.user_id, session_id, expires, user.suite, encode_binary(user.phrase_salt)),
        )

    def account(self, request: httpx.Request) -> httpx.Response:
        user, _ = self._account(request)
        salt = encode_binary(user.phrase_salt)
        account = Account(user_id=user.user_id, email=user.email, created_at=START, suite=user.suite, phrase_salt=salt)
        return answer(200, account)

    def sessions(self, request: httpx.Request) -> httpx.Response:
        user, current = self._account(request)
        mine = sorted(session for owner, session in self.tokens.values() if owner is user)
        page, following = self._page(request, mine)
        times = {"created_at": START, "last_activity": START, "expires_at": START}
        infos = [SessionInfo(session_id=key, **times, user_agent="agent", current=key == current) for key in page]
        return answer(200, SessionList(infos, following))

    def log_out(self, request: httpx.Request) -> httpx.Response:
        _, session_id = self._account(request)
        return self._end(session_id)

    def revoke(self, request: httpx.Request, session_id: UUID) -> httpx.Response:
        user, _ = self._account(request)
        if (user, session_id) not in self.tokens.values():
            raise RefusedError(404, "not_found")
        return self._end(session_id)

    def change_password(self, request: httpx.Request) -> httpx.Response:
        user, current = self._account(request)
        message = msgspec.json.decode(request.content, type=ChangePassword)
        if user.password != message.current_password:
            raise RefusedError(401, "login_failed")
        user.password = message.new_password
        for other in [session for owner, session in self.tokens.values() if owner is user and session != current]:
            self._end(other)
        return httpx.Response(204)

    def _end(self, session_id: UUID) -> httpx.Response:
        for user in self.users.values():
            user.pairings = {
                key: kept
                for key, kept in user.pairings.items()
                if session_id not in (kept["offering"], kept.get("accepting"))
            }
        self.tokens = {token: held for token, held in self.tokens.items() if held[1] != session_id}
        self.vault_tokens = {key: held for key, held in self.vault_tokens.items() if held[2] != session_id}
        return httpx.Response(204)

    def _page(self, request: httpx.Request, ids: list[UUID]) -> tuple[list[UUID], UUID | None]:
        after = request.url.params.get("after")
        rest = [key for key in ids if after is None or key > UUID(after)]
        size = min(self.page, int(request.url.params.get("limit", "100")))
        return rest[:size], rest[size - 1] if len(rest) > size else None

    # --- pairings -------------------------------------------------------------------------------------------

    def open_pairing(self, request: httpx.Request) -> httpx.Response:
        user, session = self._account(request)
        message = msgspec.json.decode(request.content, type=OpenPairing)
        if len(user.pairings) >= MAX_PAIRINGS:
            raise RefusedError(409, "limit_reached")
        for kept in user.pairings.values():
            if kept["offering"] == session:
                kept.pop("offer", None)
        pairing_id = uuid4()
        user.pairings[pairing_id] = {"offer": message.offer, "offering": session}
        return answer(201, PairingOpened(pairing_id, START + timedelta(seconds=300)))

    def offers(self, request: httpx.Request) -> httpx.Response:
        user, session = self._account(request)
        others = {key: kept for key, kept in user.pairings.items() if kept["offering"] != session and "offer" in kept}
        return answer(200, PairingOffers([PairingOffer(key, kept["offer"]) for key, kept in others.items()]))

    def put_answer(self, request: httpx.Request, pairing_id: UUID) -> httpx.Response:
        user, session = self._account(request)
        kept = user.pairings.get(pairing_id, {})
        if "offer" not in kept or kept["offering"] == session:
            raise RefusedError(404, "not_found")
        del kept["offer"]
        message = msgspec.json.decode(request.content, type=PairingMessage).message
        kept |= {"answer": message, "accepting": session}
        return httpx.Response(204)

    def put_delivery(self, request: httpx.Request, pairing_id: UUID) -> httpx.Response:
        user, session = self._account(request)
        kept = user.pairings.get(pairing_id, {})
        if "accepting" not in kept or kept["offering"] != session or "delivered" in kept:
            raise RefusedError(404, "not_found")
        message = msgspec.json.decode(request.content, type=PairingMessage).message
        kept |= {"delivery": message, "delivered": True}
        return httpx.Response(204)

    def take_answer(self, request: httpx.Request, pairing_id: UUID) -> httpx.Response:
        return self._take_pairing(request, pairing_id, "answer", "offering")

    def take_delivery(self, request: httpx.Request, pairing_id: UUID) -> httpx.Response:
        return self._take_pairing(request, pairing_id, "delivery", "accepting")

    def _take_pairing(self, request: httpx.Request, pairing_id: UUID, step: str, side: str) -> httpx.Response:
        user, session = self._account(request)
        kept = user.pairings.get(pairing_id, {})
        if kept.get(side) != session or step not in kept:
            raise RefusedError(404, "not_found")
        return answer(200, PairingMessage(kept.pop(step)))

    def close_pairing(self, request: httpx.Request, pairing_id: UUID) -> httpx.Response:
        user, session = self._account(request)
        kept = user.pairings.get(pairing_id, {})
        if kept.get("offering") != session:
            raise RefusedError(404, "not_found")
        for name in ("offer", "answer", "delivery"):
            kept.pop(name, None)
        kept["delivered"] = True
        return httpx.Response(204)

    # --- ceremonies -----------------------------------------------------------------------------------------

    def _charge(self, user: User, guesses: int) -> None:
        if user.guesses < guesses:
            raise RefusedError(429, "too_many_guesses", retry_after=4320)
        user.guesses -= guesses

    def _keep(self, kind: str, state: Any) -> str:
        session_id = (uuid4().bytes + uuid4().bytes).hex()
        self.ceremonies[session_id] = (kind, state)
        return session_id

    def _take(self, kind: str, session_id: str) -> Any:
        found, state = self.ceremonies.pop(session_id, ("", None))
        if found != kind:
            raise RefusedError(401, "ceremony_failed")
        return state

    def register(self, request: httpx.Request) -> httpx.Response:
        user, _ = self._account(request)
        message = msgspec.json.decode(request.content, type=StartRegistration)
        self._charge(user, 1)
        current, *earlier = [answer_enrollment(live.setup, user.credential_id, message) for live in self.setups]
        return answer(201, RegistrationStarted(self._keep("enrol", self.setups[0].id), current, earlier))

    def rotate_keys(self) -> None:
        """Go on with another setup, beside the one that tags are under."""
        self.setups = [LiveSetup(*NEXT), LiveSetup(KEYS, SETUP)]

    def enrol(self, request: httpx.Request) -> httpx.Response:
        user, _ = self._account(request)
        message = msgspec.json.decode(request.content, type=EnrolTag)
        key_id = self._take("enrol", message.session_id)
        accepted = accept_enrollment(message)
        if len(message.earlier_hashes) != len(self.setups) - 1:
            raise RefusedError(401, "ceremony_failed")
        if {accepted.phrase_hash, *map(decode_binary, message.earlier_hashes)} & set(user.tags):
            raise RefusedError(409, "already_exists")
        user.under[accepted.phrase_hash] = key_id
        user.tags[accepted.phrase_hash] = accepted
        user.vaults[message.vault.vault_id] = FakeVault(1, message.vault.head)
        return answer(201, TagEnrolled(message.tag_id, message.vault.vault_id))

    def locate(self, request: httpx.Request) -> httpx.Response:
        user, _ = self._account(request)
        message = msgspec.json.decode(request.content, type=Locate)
        self._charge(user, len(message.elements))
        state = LocatedState.of(self.setups, message)
        responses = evaluate_located(self.setups, user.credential_id, state)
        return answer(200, Located(self._keep("located", state.encode()), responses))

    def start(self, request: httpx.Request) -> httpx.Response:
        user, _ = self._account(request)
        message = msgspec.json.decode(request.content, type=StartUnlock)
        located = LocatedState.decode(self._take("located", message.session_id))
        records = {bytes(found): tag.record for found, tag in user.tags.items()}
        live = {setup.id: setup for setup in self.setups}
        setups = [live[key_id] for key_id in located.key_ids]
        decoys = {each.id: decoy_record(each.setup, ServerSeed(bytes(32)), user.credential_id) for each in setups}

        def find(key_id: UUID, found: bytes) -> Record:
            return records[found] if self._is_under(user, found, key_id) else decoys[key_id]

        proving, ke2 = answer_candidates(setups, user.credential_id, located, message, find)
        return answer(200, UnlockStarted(self._keep("proving", proving.encode()), SEALED, ke2))

    def finish(self, request: httpx.Request) -> httpx.Response:
        user, session_id = self._account(request)
        message = msgspec.json.decode(request.content, type=FinishUnlock)
        assert message.state == SEALED, "a client hands the state back as it came"
        proven = verify_candidate(ProvingState.decode(self._take("proving", message.session_id)), message)
        tag = user.tags.get(proven.phrase_hash)
        released = _released(message.release)
        if tag is None or released.check != decode_binary(tag.message.release_check):
            raise RefusedError(401, "ceremony_failed")
        self._carry_out(user, tag, released.tickets)
        user.tickets[tag.message.tag_id] = released.tickets
        self.vault_tokens[blake2s(proven.vault_token.expose()).digest()] = (user, tag, session_id)
        user.guesses += 1
        unlocked = self._unlocked(user, tag)
        if proven.key_id != proven.newest:
            unlocked = msgspec.structs.replace(unlocked, move=SEALED)
        return answer(200, unlocked)

    def _carry_out(self, user: User, opened: AcceptedTag, tickets: tuple[bytes, ...]) -> None:
        for (tag_id, _), ticket in list(user.orders.items()):
            if ticket not in tickets or tag_id == opened.message.tag_id:
                continue
            verdict = Verdict(tickets.index(ticket) // TICKETS_PER_VERDICT)
            named = [tag for tag in user.tags.values() if tag.message.tag_id == tag_id]
            vaults = {tag.message.vault.vault_id for tag in named} - {opened.message.vault.vault_id}
            whole = [tag for tag in user.tags.values() if tag.message.vault.vault_id in vaults]
            for tag in whole if verdict.value % 2 else named:
                del user.tags[tag.phrase_hash]
                self._end_tag(tag.message.tag_id)
                if verdict.value >= 2:
                    user.locked[tag.phrase_hash] = tag

    def put_orders(self, request: httpx.Request, vault_id: UUID, tag_id: UUID) -> httpx.Response:
        user, _, _ = self._vault(request, vault_id)
        message = msgspec.json.decode(request.content, type=PutOrders)
        if tag_id not in self._members(user, vault_id):
            raise RefusedError(404, "not_found")
        user.orders |= {(tag_id, each.place): decode_binary(each.ticket) for each in message.orders}
        return httpx.Response(204)

    @staticmethod
    def _is_under(user: User, found: bytes, key_id: UUID) -> bool:
        return found in user.tags and user.under.get(found, KEYS) == key_id

    def move(self, request: httpx.Request) -> httpx.Response:
        user, tag = self._tag(request)
        message = msgspec.json.decode(request.content, type=MoveTag)
        assert message.state == SEALED, "a client hands the offer back as it came"
        accepted, (key,) = accept_move(message), message.vaults
        vault = user.vaults[key.vault_id]
        if self._is_under(user, tag.phrase_hash, self.setups[0].id) or key.vault_id != tag.message.vault.vault_id:
            raise RefusedError(401, "ceremony_failed")
        waiting = vault.sealed.get(tag.message.tag_id) or key.key_version != vault.key_version
        if key.generation != vault.generation + 1 or waiting or (key.ring is None) != (vault.ring is None):
            raise RefusedError(409, "generation_conflict")
        before, after = user.tickets[tag.message.tag_id], _released(message.release)
        follow = dict(zip(before, after.tickets, strict=True))
        user.orders = {place: follow.get(ticket, ticket) for place, ticket in user.orders.items()}
        kept = {
            name: getattr(message, name) for name in ("salt", "record", "public_key", "sealed_label", "phrase_hash")
        }
        wrapped = msgspec.structs.replace(
            tag.message.wrapped_key, wrapped_key=key.wrapped_key, key_version=key.key_version
        )
        kept["release_check"] = encode_binary(after.check)
        vault.wrapped.pop(tag.message.tag_id, None)
        vault.labels.pop(tag.message.tag_id, None)
        moved = tag._replace(
            message=msgspec.structs.replace(tag.message, wrapped_key=wrapped, **kept),
            phrase_hash=accepted.phrase_hash,
            record=accepted.record,
        )
        del user.tags[tag.phrase_hash]
        user.tags[moved.phrase_hash], user.under[moved.phrase_hash] = moved, self.setups[0].id
        vault.generation, vault.head, vault.ring = key.generation, key.head, key.ring
        sessions = {token: (user, moved, own) for token, (_, old, own) in self.vault_tokens.items() if old is tag}
        self.vault_tokens.update(sessions)
        return answer(200, TagMoved(tag.message.tag_id))

    @staticmethod
    def _unlocked(user: User, tag: AcceptedTag) -> Unlocked:
        message = tag.message
        vault = user.vaults[message.vault.vault_id]
        wrapped = message.wrapped_key
        anew = vault.wrapped.get(message.tag_id, RewrapKey(wrapped.key_version, wrapped.wrapped_key))
        key = VaultKey(
            message.vault.vault_id,
            wrapped.wrapped_key_id,
            anew.wrapped_key,
            wrapped.key_purpose,
            anew.key_version,
            vault.generation,
            vault.head,
            vault.ring,
            vault.steps(message.tag_id),
        )
        return Unlocked("hushtag-v1", message.tag_id, message.salt, [key], START + timedelta(days=36500), 0, None)

    # --- in the vault ---------------------------------------------------------------------------------------

    def lock(self, request: httpx.Request) -> httpx.Response:
        self._tag(request)
        del self.vault_tokens[self._vault_token(request)]
        return httpx.Response(204)

    def vault(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        return answer(200, self._vault(request, vault_id)[2].state(vault_id))

    def tags(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        user, current, _ = self._vault(request, vault_id)
        mine = self._members(user, vault_id)
        labels = user.vaults[vault_id].labels
        page, following = self._page(request, sorted(mine))
        infos = [
            TagInfo(
                key,
                labels.get(key, mine[key].message.sealed_label),
                mine[key].message.public_key,
                START,
                key == current.message.tag_id,
            )
            for key in page
        ]
        return answer(200, TagList(infos, following))

    @staticmethod
    def _members(user: User, vault_id: UUID) -> dict[UUID, AcceptedTag]:
        return {tag.message.tag_id: tag for tag in user.tags.values() if tag.message.vault.vault_id == vault_id}

    def _join(self, user: User, vault_id: UUID, message: NewTag) -> AcceptedTag:
        accepted = accept_tag(message)
        key_id = self._take("enrol", message.session_id)
        if len(message.earlier_hashes) != len(self.setups) - 1:
            raise RefusedError(401, "ceremony_failed")
        if {accepted.phrase_hash, *map(decode_binary, message.earlier_hashes)} & set(user.tags):
            raise RefusedError(409, "already_exists")
        user.under[accepted.phrase_hash] = key_id
        fields = {name: getattr(message, name) for name in message.__struct_fields__}
        head = user.vaults[vault_id].head
        tag = AcceptedTag(
            EnrolTag(**fields, vault=NewVault(vault_id, head)), *accepted[1:6], decode_binary(head), accepted[6]
        )
        user.tags[tag.phrase_hash] = tag
        return tag

    def add_tag(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        user, _, vault = self._vault(request, vault_id)
        message = msgspec.json.decode(request.content, type=AddTag)
        if (message.generation, message.tag.wrapped_key.key_version) != (vault.generation + 1, vault.key_version):
            raise RefusedError(409, "generation_conflict")
        if len(self._members(user, vault_id)) >= MAX_MEMBERS:
            raise RefusedError(409, "limit_reached")
        self._join(user, vault_id, message.tag)
        vault.generation, vault.head, vault.ring = message.generation, message.head, message.ring
        return answer(201, vault.state(vault_id))

    def rotate(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        user, current, vault = self._vault(request, vault_id)
        message = msgspec.json.decode(request.content, type=RotateVault)
        if (message.generation, message.key_version) != (vault.generation + 1, vault.key_version + 1):
            raise RefusedError(409, "generation_conflict")
        members = self._members(user, vault_id)
        stay = set(members) - {message.revoked}
        given = {each.tag_id for each in message.members}
        if message.revoked not in members or stay != given or not (stay or message.added):
            raise RefusedError(400, "malformed_request")
        joined = None if message.added is None else self._join(user, vault_id, message.added)
        version = vault.key_version = message.key_version
        vault.proofs[version], vault.old_keys[version] = message.proof, message.old_key
        for each in message.members:
            vault.sealed.setdefault(each.tag_id, {})[version] = each.sealed_key
            vault.labels[each.tag_id] = each.sealed_label
        user.orders = {place: ticket for place, ticket in user.orders.items() if place[0] not in members}
        del user.tags[members[message.revoked].phrase_hash]
        mine = self._vault_token(request)
        if joined is not None and current.message.tag_id == message.revoked:
            self.vault_tokens[mine] = (user, joined, self.vault_tokens[mine][2])
        self._end_tag(message.revoked)
        vault.generation, vault.head, vault.ring = message.generation, message.head, message.ring
        return answer(201, vault.state(vault_id))

    def _end_tag(self, tag_id: UUID) -> None:
        self.vault_tokens = {key: held for key, held in self.vault_tokens.items() if held[1].message.tag_id != tag_id}

    def rewrap(self, request: httpx.Request, vault_id: UUID, key_id: UUID) -> httpx.Response:
        _, current, vault = self._vault(request, vault_id)
        message = msgspec.json.decode(request.content, type=RewrapKey)
        if key_id != current.message.wrapped_key.wrapped_key_id:
            raise RefusedError(404, "not_found")
        if message.key_version != vault.key_version:
            raise RefusedError(409, "generation_conflict")
        vault.wrapped[current.message.tag_id] = message
        vault.sealed.pop(current.message.tag_id, None)
        return httpx.Response(204)

    def list_old_keys(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        vault = self._vault(request, vault_id)[2]
        return answer(200, OldKeys([OldKey(*each) for each in sorted(vault.old_keys.items(), reverse=True)]))

    def forget_old_keys(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        vault = self._vault(request, vault_id)[2]
        if any(stored.row.key_version < vault.key_version for stored in vault.objects.values()):
            raise RefusedError(409, "reseal_unfinished")
        vault.old_keys.clear()
        return httpx.Response(204)

    def destroy(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        user, current, vault = self._vault(request, vault_id)
        if request.headers["hushtag-confirm"] != str(vault_id):
            raise RefusedError(400, "malformed_request")
        if len(self._members(user, vault_id)) > 1:
            raise RefusedError(409, "phrases_remain")
        if int(request.headers["hushtag-generation"]) != vault.generation:
            raise RefusedError(409, "generation_conflict")
        del user.tags[current.phrase_hash], user.vaults[vault_id]
        self._end_tag(current.message.tag_id)
        return httpx.Response(204)

    def objects(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        vault = self._vault(request, vault_id)[2]
        page, following = self._page(request, sorted(vault.objects))
        with_rows = "rows" in request.url.params
        if with_rows and int(request.url.params["limit"]) > MAX_PAGE_WITH_ROWS:
            raise RefusedError(400, "malformed_request")
        entries = [
            ObjectEntry(
                key,
                vault.objects[key].row.revision,
                vault.objects[key].row.key_version,
                vault.objects[key].row.content_size,
                encode_binary(row_digest(vault.objects[key].row)),
                vault.objects[key].created_at,
                vault.objects[key].updated_at,
                vault.stream_of(key),
                encode_binary(vault.objects[key].row.encoded) if with_rows and vault.is_short(key) else None,
            )
            for key in page
        ]
        return answer(200, ObjectList(vault.generation, entries, following))

    def get(self, request: httpx.Request, vault_id: UUID, object_id: UUID) -> httpx.Response:
        vault = self._vault(request, vault_id)[2]
        if object_id not in vault.objects:
            raise RefusedError(404, "not_found")
        return octets(vault.objects[object_id].row, vault.stream_of(object_id))

    def put(self, request: httpx.Request, vault_id: UUID, object_id: UUID) -> httpx.Response:
        vault = self._vault(request, vault_id)[2]
        revision = int(request.headers["hushtag-revision"])
        version = int(request.headers["hushtag-key-version"])
        row = ObjectRow.decode(request.content, key_version=version, revision=revision)
        held = vault.objects.get(object_id)
        if revision != (1 if held is None else held.row.revision + 1):
            raise RefusedError(409, "revision_conflict")
        if version != vault.key_version:
            raise RefusedError(409, "generation_conflict")
        stream = self._stream_of_put(request, vault, object_id)
        self._advance(request, vault)
        before = vault.stream_of(object_id)
        if stream is not None:
            vault.streams[stream].owner = object_id
        if before not in (None, stream):
            del vault.streams[before]  # type: ignore[arg-type]
        vault.objects[object_id] = Stored(row, START if held is None else held.created_at, START)
        stored = ObjectStored(object_id, revision, vault.generation)
        return answer(201 if held is None else 200, stored)

    def put_several(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        vault = self._vault(request, vault_id)[2]
        message = msgspec.json.decode(request.content, type=PutObjects)
        rows = {}
        for each in message.objects:
            held = vault.objects.get(each.object_id)
            if each.revision != (1 if held is None else held.row.revision + 1):
                raise RefusedError(409, "revision_conflict")
            encoded = decode_binary(each.row)
            row = ObjectRow.decode(encoded, key_version=message.key_version, revision=each.revision)
            rows[each.object_id] = Stored(row, START if held is None else held.created_at, START)
        assert len(rows) == len(message.objects)
        if message.key_version != vault.key_version or message.generation != vault.generation + 1:
            raise RefusedError(409, "generation_conflict")
        for object_id in rows:
            vault.streams.pop(vault.stream_of(object_id), None)  # type: ignore[arg-type]
        vault.generation, vault.head = message.generation, message.head
        vault.objects |= rows
        return answer(200, ObjectsStored(vault.generation, len(rows)))

    def delete_several(self, request: httpx.Request, vault_id: UUID) -> httpx.Response:
        vault = self._vault(request, vault_id)[2]
        message = msgspec.json.decode(request.content, type=DeleteObjects)
        if any(each.object_id not in vault.objects for each in message.objects):
            raise RefusedError(404, "not_found")
        if any(vault.objects[each.object_id].row.revision != each.revision for each in message.objects):
            raise RefusedError(409, "revision_conflict")
        if message.generation != vault.generation + 1:
            raise RefusedError(409, "generation_conflict")
        for each in message.objects:
            vault.streams.pop(vault.stream_of(each.object_id), None)  # type: ignore[arg-type]
            del vault.objects[each.object_id]
        vault.generation, vault.head = message.generation, message.head
        return answer(200, ObjectsDeleted(vault.generation, len(message.objects)))

    def delete(self, request: httpx.Request, vault_id: UUID, object_id: UUID) -> httpx.Response:
        vault = self._vault(request, vault_id)[2]
        held = vault.objects.get(object_id)
        if held is None:
            raise RefusedError(404, "not_found")
        if int(request.headers["hushtag-revision"]) != held.row.revision:
            raise RefusedError(409, "revision_conflict")
        self._advance(request, vault)
        del vault.objects[object_id]
        vault.streams.pop(vault.stream_of(object_id), None)  # type: ignore[arg-type]
        return answer(200, vault.state(vault_id))

    @staticmethod
    def _stream_of_put(request: httpx.Request, vault: FakeVault, object_id: UUID) -> UUID | None:
        if STREAM_HEADER not in request.headers:
            return None
        stream_id = UUID(request.headers[STREAM_HEADER])
        stream = vault.streams.get(stream_id, FakeStream())
        count, size = (int(request.headers[name]) for name in (STREAM_SEGMENTS_HEADER, STREAM_SIZE_HEADER))
        if set(stream.segments) != set(range(count)) or sum(map(len, stream.segments.values())) != size:
            raise RefusedError(409, "stream_incomplete")
        if stream.owner not in (None, object_id):
            raise RefusedError(409, "stream_committed")
        return stream_id

    def put_segment(self, request: httpx.Request, vault_id: UUID, stream_id: UUID, seq: int) -> httpx.Response:
        stream = self._vault(request, vault_id)[2].streams.setdefault(stream_id, FakeStream())
        if stream.owner is not None:
            raise RefusedError(409, "stream_committed")
        body, held = request.content, stream.segments.get(seq)
        if not 0 < len(body) <= MAX_SEGMENT_BYTES or request.headers.get("content-length") != str(len(body)):
            raise RefusedError(413, "body_too_large")
        if held not in (None, body):
            raise RefusedError(409, "segment_exists")
        stream.segments[seq] = body
        stored = SegmentStored(seq, len(body), encode_binary(blake3(body).digest()))
        return answer(201 if held is None else 200, stored)

    def _stream(self, request: httpx.Request, vault_id: UUID, stream_id: UUID) -> FakeStream:
        found = self._vault(request, vault_id)[2].streams.get(stream_id)
        if found is None:
            raise RefusedError(404, "not_found")
        return found

    def list_segments(self, request: httpx.Request, vault_id: UUID, stream_id: UUID) -> httpx.Response:
        stream = self._stream(request, vault_id, stream_id)
        after = int(request.url.params.get("after", "-1"))
        rest = [seq for seq in sorted(stream.segments) if seq > after]
        page = rest[: self.page]
        entries = [
            SegmentEntry(seq, len(stream.segments[seq]), encode_binary(blake3(stream.segments[seq]).digest()))
            for seq in page
        ]
        following = page[-1] if len(rest) > len(page) else None
        return answer(200, SegmentList(stream.owner is not None, entries, following))

    def get_segment(self, request: httpx.Request, vault_id: UUID, stream_id: UUID, seq: int) -> httpx.Response:
        found = self._stream(request, vault_id, stream_id).segments.get(seq)
        if found is None:
            raise RefusedError(404, "not_found")
        headers = {"Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if asked is None:
            return httpx.Response(200, content=found, headers=headers)
        headers["Content-Range"] = f"bytes {asked[1]}-{len(found) - 1}/{len(found)}"
        return httpx.Response(206, content=found[int(asked[1]) :], headers=headers)

    def drop_stream(self, request: httpx.Request, vault_id: UUID, stream_id: UUID) -> httpx.Response:
        if self._stream(request, vault_id, stream_id).owner is not None:
            raise RefusedError(409, "stream_committed")
        del self._vault(request, vault_id)[2].streams[stream_id]
        return httpx.Response(204)

    @staticmethod
    def _advance(request: httpx.Request, vault: FakeVault) -> None:
        if int(request.headers["hushtag-generation"]) != vault.generation + 1:
            raise RefusedError(409, "generation_conflict")
        decode_binary(request.headers["hushtag-head"], 112)
        vault.generation += 1
        vault.head = request.headers["hushtag-head"]


def octets(row: ObjectRow, stream_id: UUID | None = None) -> httpx.Response:
    headers = {} if stream_id is None else {STREAM_HEADER: str(stream_id)}
    headers |= {
        "Content-Type": "application/octet-stream",
        "Hushtag-Revision": str(row.revision),
        "Hushtag-Key-Version": str(row.key_version),
    }
    return httpx.Response(200, content=bytes(row.encoded), headers=headers)


_ID = "([0-9a-f-]{36})"
ROUTES: list[tuple[str, str, Callable[..., httpx.Response]]] = [
    ("POST", "/v1/accounts", FakeServer.sign_up),
    ("POST", "/v1/sessions", FakeServer.log_in),
    ("GET", "/v1/sessions", FakeServer.sessions),
    ("DELETE", "/v1/sessions/current", FakeServer.log_out),
    ("DELETE", f"/v1/sessions/{_ID}", FakeServer.revoke),
    ("POST", "/v1/account/password", FakeServer.change_password),
    ("GET", "/v1/account", FakeServer.account),
    ("POST", "/v1/registrations", FakeServer.register),
    ("POST", "/v1/tags", FakeServer.enrol),
    ("POST", "/v1/unlock/locate", FakeServer.locate),
    ("POST", "/v1/unlock/start", FakeServer.start),
    ("POST", "/v1/unlock/finish", FakeServer.finish),
    ("POST", "/v1/unlock/move", FakeServer.move),
    ("DELETE", "/v1/vault-session", FakeServer.lock),
    ("GET", f"/v1/vaults/{_ID}", FakeServer.vault),
    ("DELETE", f"/v1/vaults/{_ID}", FakeServer.destroy),
    ("GET", f"/v1/vaults/{_ID}/tags", FakeServer.tags),
    ("POST", f"/v1/vaults/{_ID}/tags", FakeServer.add_tag),
    ("POST", f"/v1/vaults/{_ID}/rotations", FakeServer.rotate),
    ("PUT", f"/v1/vaults/{_ID}/keys/{_ID}", FakeServer.rewrap),
    ("POST", "/v1/pairings", FakeServer.open_pairing),
    ("GET", "/v1/pairings", FakeServer.offers),
    ("PUT", f"/v1/pairings/{_ID}/answer", FakeServer.put_answer),
    ("GET", f"/v1/pairings/{_ID}/answer", FakeServer.take_answer),
    ("PUT", f"/v1/pairings/{_ID}/delivery", FakeServer.put_delivery),
    ("GET", f"/v1/pairings/{_ID}/delivery", FakeServer.take_delivery),
    ("DELETE", f"/v1/pairings/{_ID}", FakeServer.close_pairing),
    ("PUT", f"/v1/vaults/{_ID}/tags/{_ID}/orders", FakeServer.put_orders),
    ("GET", f"/v1/vaults/{_ID}/old-keys", FakeServer.list_old_keys),
    ("DELETE", f"/v1/vaults/{_ID}/old-keys", FakeServer.forget_old_keys),
    ("GET", f"/v1/vaults/{_ID}/objects", FakeServer.objects),
    ("POST", f"/v1/vaults/{_ID}/objects", FakeServer.put_several),
    ("POST", f"/v1/vaults/{_ID}/objects/deletion", FakeServer.delete_several),
    ("GET", f"/v1/vaults/{_ID}/objects/{_ID}", FakeServer.get),
    ("PUT", f"/v1/vaults/{_ID}/objects/{_ID}", FakeServer.put),
    ("DELETE", f"/v1/vaults/{_ID}/objects/{_ID}", FakeServer.delete),
    ("GET", f"/v1/vaults/{_ID}/streams/{_ID}/segments", FakeServer.list_segments),
    ("PUT", f"/v1/vaults/{_ID}/streams/{_ID}/segments/([0-9]+)", FakeServer.put_segment),
    ("GET", f"/v1/vaults/{_ID}/streams/{_ID}/segments/([0-9]+)", FakeServer.get_segment),
    ("DELETE", f"/v1/vaults/{_ID}/streams/{_ID}", FakeServer.drop_stream),
]


def the_vault(server: FakeServer) -> FakeVault:
    """Return the first vault of the first account."""
    return next(vault for user in server.users.values() for vault in user.vaults.values())
