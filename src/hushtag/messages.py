"""The wire: strict msgspec Structs shared by client and server (SPEC.md, section "Messages").

Binary fields are base64url without padding, in the one canonical spelling: fixed length, and the unused bits
of the last character zero. The pattern alone enforces both, so a value that decodes has exactly one encoding
and nothing can be smuggled beside it. Unknown fields are refused everywhere.

Limits, the kinds of fields and their coding come first, then the messages in the order in which somebody meets them:
account and session, enrolment, unlock, what is done in an open vault, problems. Those of one domain of the server have
modules of their own (`journal_messages`, `stream_messages`, …).
"""

from binascii import a2b_base64, b2a_base64
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import Meta, Struct

from hushtag.errors import MalformedError

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_+/=", b"+/!!!")  # what is no sign of base64url is none of base64 either
_PADDING: Final = (b"", b"===", b"==", b"=")
_LAST: Final = (None, frozenset[str](), frozenset("AQgw"), frozenset("AEIMQUYcgkosw048"))
# By length modulo 4. A run of 3n bytes ends on any character; 3n+1 leaves four unused bits, 3n+2 leaves two.

MAX_CANDIDATES: Final = 5
"""Candidate transcripts in one unlock; each is charged as one guess."""
MAX_SETUPS: Final = 3
"""OPAQUE setups a server may have in use at once; every candidate is evaluated under each."""
MAX_ATTEMPTS: Final = MAX_CANDIDATES * MAX_SETUPS
"""Candidates times setups: entries of the messages between locate and finish."""
MAX_MOVED: Final = 100
"""Vaults of one tag that move with it in one message."""
MAX_PAGE: Final = 1000
"""Entries in one page of any listing."""
MAX_PAGE_WITH_ROWS: Final = 100
"""Entries of a page of a listing that is asked for with rows."""
MAX_LISTED_CONTENT: Final = 4096
"""Content (bytes, padded) of a row that such a page has; longer ones are read one by one."""
MAX_JSON_BYTES: Final = 64 * 1024
"""Bytes of one JSON control message."""
MAX_OBJECTS_TOGETHER: Final = 64
"""Objects that are put in one change."""
MAX_OBJECTS_MESSAGE: Final = 192 * 1024
"""Bytes of the JSON message that puts several objects."""
MAX_STATE: Final = 4096
"""Characters of a sealed server state that a client carries."""
MAX_EMAIL: Final = 254
MIN_PASSWORD: Final = 10
MAX_PASSWORD: Final = 256
MAX_NAME: Final = 100
MAX_DOCUMENT_VERSION: Final = 50
"""Characters of the version of the terms or of the privacy policy somebody consents to."""
MAX_GENERATION: Final = 2**63 - 1
"""Largest generation or revision: what a signed 64-bit database column holds."""
MAX_KEY_VERSION: Final = 2**31 - 1
MAX_FAILED_GUESSES: Final = 2**31 - 1
"""A server that counts further says this many."""
MAX_MEMBERS: Final = 50
"""Phrases that open one vault."""
MAX_ORDERS: Final = 4
"""Orders that a tag bears, each in a place of its own."""
MAX_KEY_STEPS: Final = 1000
"""Rotations of a vault that one of its phrases may sleep through; a further one waits until it is used or revoked."""

END: Final = "(?!\\n)$"
"""Ends the pattern of a text whose length varies: by itself, `$` also matches before a line end that comes last."""

B16 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{21}[AQgw]$", min_length=22, max_length=22)]
B32 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$", min_length=43, max_length=43)]
B40 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{53}[AQgw]$", min_length=54, max_length=54)]
B64 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{85}[AQgw]$", min_length=86, max_length=86)]
B80 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{106}[AEIMQUYcgkosw048]$", min_length=107, max_length=107)]
B92 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{122}[AEIMQUYcgkosw048]$", min_length=123, max_length=123)]
B96 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{128}$", min_length=128, max_length=128)]
B112 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{149}[AQgw]$", min_length=150, max_length=150)]
B192 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{256}$", min_length=256, max_length=256)]
B316 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{421}[AQgw]$", min_length=422, max_length=422)]
B320 = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{426}[AEIMQUYcgkosw048]$", min_length=427, max_length=427)]

SessionId = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", min_length=64, max_length=64)]
ListedRow = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+" + END, min_length=80, max_length=5542)]
SealedRow = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{80,}" + END, min_length=80, max_length=MAX_OBJECTS_MESSAGE)]
SealedState = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]+" + END, min_length=1, max_length=MAX_STATE)]
SuiteId = Annotated[str, Meta(min_length=1, max_length=32, pattern="^[a-z0-9-]+" + END)]
Email = Annotated[str, Meta(min_length=3, max_length=MAX_EMAIL, pattern="^[^@\\s\\x00]+@[^@\\s\\x00]+" + END)]
Password = Annotated[str, Meta(min_length=MIN_PASSWORD, max_length=MAX_PASSWORD)]
PersonName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern="^[^\\x00]*$")]
DocumentVersion = Annotated[str, Meta(min_length=1, max_length=MAX_DOCUMENT_VERSION, pattern="^[^\\x00]*$")]
Revision = Annotated[int, Meta(ge=1, le=MAX_GENERATION)]
Generation = Annotated[int, Meta(ge=1, le=MAX_GENERATION)]
KeyVersion = Annotated[int, Meta(ge=1, le=MAX_KEY_VERSION)]
Purpose = Annotated[str, Meta(pattern="^vault_data" + END, max_length=50)]


def encode_binary(value: bytes) -> str:
    """Return base64url without padding (RFC 4648, section 5)."""
    return b2a_base64(value, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def decode_binary(text: str, length: int | None = None) -> bytes:
    """Return the bytes of canonical base64url; inverse of `encode_binary` and of nothing else.

    Raises:
        MalformedError: not canonical base64url, or not `length` bytes.
    """
    rest = len(text) % 4
    try:
        value = a2b_base64(text.encode("ascii").translate(_FROM_URL) + _PADDING[rest], strict_mode=True)
    except ValueError:
        raise MalformedError("binary field is not base64url") from None
    # The decoder refuses every other sign, but drops unused bits; only where those are zero is it the one spelling.
    last = _LAST[rest]
    if last is not None and text[-1] not in last:
        raise MalformedError("binary field is not in canonical base64url")
    if length is not None and len(value) != length:
        raise MalformedError(f"binary field is {len(value)} bytes, expected {length}")
    return value


_NOT_SHOWN: Final = frozenset({"password", "current_password", "new_password", "token", "release", "url_path"})


class Message(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every JSON message: immutable, and unknown fields are refused. Prints without passwords and tokens."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what may be shown of each field; whoever prints a message, or a traceback with locals, comes here."""
        held = [(name, getattr(self, name)) for name in self.__struct_fields__]
        return [(name, "<redacted>" if name in _NOT_SHOWN and value is not None else value) for name, value in held]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"


class SignUp(Message, frozen=True):
    """`POST /v1/accounts`; the versions are of what its user consents to with it."""

    email: Email
    password: Password
    first_name: PersonName | None = None
    last_name: PersonName | None = None
    terms_version: DocumentVersion | None = None
    privacy_version: DocumentVersion | None = None


class SignUpAccepted(Message, frozen=True):
    """Answer to `SignUp`: the same whether or not the email was already known."""

    next: str = "log in"


class LogIn(Message, frozen=True):
    """`POST /v1/sessions`."""

    email: Email
    password: Annotated[str, Meta(min_length=1, max_length=MAX_PASSWORD)]


class ChangePassword(Message, frozen=True):
    """`POST /v1/account/password`."""

    current_password: Annotated[str, Meta(min_length=1, max_length=MAX_PASSWORD)]
    new_password: Password


class SessionOpened(Message, frozen=True):
    """Answer to `LogIn`. `token` is shown once; the server keeps only its BLAKE2s-256."""

    token: str
    user_id: UUID
    session_id: UUID
    expires_at: datetime
    suite: SuiteId
    phrase_salt: B16


class Account(Message, frozen=True, kw_only=True):
    """`GET /v1/account`: the plain profile and what a client needs before it may touch a phrase."""

    user_id: UUID
    email: str
    first_name: str | None = None
    last_name: str | None = None
    created_at: datetime
    last_login: datetime | None = None
    suite: SuiteId
    phrase_salt: B16


class SessionInfo(Message, frozen=True, kw_only=True):
    """One session of the account."""

    session_id: UUID
    created_at: datetime
    last_activity: datetime
    expires_at: datetime
    ip_address: str | None = None
    user_agent: str | None = None
    current: bool


class SessionList(Message, frozen=True):
    """`GET /v1/sessions`."""

    sessions: list[SessionInfo]
    next: UUID | None = None


class StartRegistration(Message, frozen=True):
    """`POST /v1/registrations`: RegistrationRequest (RFC 9807, section 5.1), 32 bytes."""

    suite: SuiteId
    registration_request: B32


class RegistrationStarted(Message, frozen=True):
    """Answer to `StartRegistration`: RegistrationResponse, 64 bytes; `earlier` has those of the other setups in use."""

    session_id: SessionId
    registration_response: B64
    earlier: Annotated[list[B64], Meta(max_length=MAX_SETUPS - 1)] = []


class NewVault(Message, frozen=True):
    """The vault an enrolment makes, at generation 1 and key version 1."""

    vault_id: UUID
    head: B112


class NewWrappedKey(Message, frozen=True):
    """The vault's data key under the tag's KEK: 40 bytes of AES-KW (RFC 3394)."""

    wrapped_key_id: UUID
    wrapped_key: B40
    key_purpose: Purpose = "vault_data"
    key_version: KeyVersion = 1


class EnrolTag(Message, frozen=True):
    """`POST /v1/tags`: everything an enrolment stores, in one transaction.

    `earlier_hashes` holds the phrase hashes under the other setups, in the order of `RegistrationStarted.earlier`, so
    that a phrase that is enrolled under one of them is not enrolled a second time.
    """

    session_id: SessionId
    suite: SuiteId
    tag_id: UUID
    tag_name: B16
    phrase_hash: B16
    salt: B16
    record: B192
    public_key: B32
    sealed_label: B316
    vault: NewVault
    wrapped_key: NewWrappedKey
    release_check: B32
    earlier_hashes: Annotated[list[B16], Meta(max_length=MAX_SETUPS - 1)] = []


class TagEnrolled(Message, frozen=True):
    """Answer to `EnrolTag`."""

    tag_id: UUID
    vault_id: UUID


class Locate(Message, frozen=True):
    """`POST /v1/unlock/locate`: one blinded element (32 bytes) per candidate."""

    suite: SuiteId
    elements: Annotated[list[B32], Meta(min_length=1, max_length=MAX_CANDIDATES)]


class Located(Message, frozen=True):
    """Answer to `Locate`: per element, in order, one RegistrationResponse (64 bytes) of each setup in use.

    The first of each element is of the current setup; the order of the others is the server's.
    """

    session_id: SessionId
    responses: Annotated[list[B64], Meta(min_length=1, max_length=MAX_ATTEMPTS)]


class Candidate(Message, frozen=True):
    """One candidate under one setup: the phrase hash it has there, and its KE1, whose first 32 bytes were located."""

    phrase_hash: B16
    ke1: B96


class StartUnlock(Message, frozen=True):
    """`POST /v1/unlock/start`: exactly the located candidates, one per response of `Located`, in its order."""

    session_id: SessionId
    candidates: Annotated[list[Candidate], Meta(min_length=1, max_length=MAX_ATTEMPTS)]


class UnlockStarted(Message, frozen=True):
    """Answer to `StartUnlock`: one KE2 (320 bytes) per candidate, from its record or from the decoy.

    `state` is the server's own, sealed for itself; the client hands it back in `FinishUnlock` as it came.
    """

    session_id: SessionId
    state: SealedState
    ke2: Annotated[list[B320], Meta(min_length=1, max_length=MAX_ATTEMPTS)]


class FinishUnlock(Message, frozen=True):
    """`POST /v1/unlock/finish`: the KE3 (64 bytes) of the candidate whose envelope opened, and its release."""

    session_id: SessionId
    state: SealedState
    candidate: Annotated[int, Meta(ge=0, lt=MAX_ATTEMPTS)]
    ke3: B64
    release: B32


class KeyStep(Message, frozen=True):
    """A rotation that the tag has not wrapped for itself yet: the next data key sealed to it, and its proof."""

    sealed_key: B80
    proof: B32


class VaultKey(Message, frozen=True, omit_defaults=True):
    """A vault the unlocked tag opens: its wrapped key and its current sealed head.

    `key_version` is the wrapped key's; each of the `steps` leads to the next, the last to the head's. `ring` is the
    digest of the phrases that open the vault, absent if there was never more than one.
    """

    vault_id: UUID
    wrapped_key_id: UUID
    wrapped_key: B40
    key_purpose: str
    key_version: KeyVersion
    generation: Generation
    head: B112
    ring: B32 | None = None
    steps: Annotated[list[KeyStep], Meta(max_length=MAX_KEY_STEPS)] = []


class Unlocked(Message, frozen=True):
    """Answer to `FinishUnlock`. The vault token is not in it: both sides derive it.

    `move` is there if the tag is under an earlier setup: with it the client may move it to the current one.
    """

    suite: SuiteId
    tag_id: UUID
    salt: B16
    vaults: Annotated[list[VaultKey], Meta(min_length=1, max_length=MAX_PAGE)]
    expires_at: datetime
    failed_guesses: Annotated[int, Meta(ge=0, le=MAX_FAILED_GUESSES)]
    last_failed_at: datetime | None = None
    move: SealedState | None = None


class MovedKey(Message, frozen=True, omit_defaults=True):
    """A vault of a tag that moves: its data key wrapped anew, and the next head, of the same objects.

    `ring` is as in `VaultKey`, with the tag's new public key.
    """

    vault_id: UUID
    wrapped_key_id: UUID
    wrapped_key: B40
    key_version: KeyVersion
    generation: Generation
    head: B112
    ring: B32 | None = None


class MoveTag(Message, frozen=True):
    """`POST /v1/unlock/move`: the same phrase, registered under the server's current setup.

    `state` is the offer of `Unlocked`, as it came.
    """

    state: SealedState
    suite: SuiteId
    phrase_hash: B16
    salt: B16
    record: B192
    public_key: B32
    sealed_label: B316
    release: B32
    vaults: Annotated[list[MovedKey], Meta(min_length=1, max_length=MAX_MOVED)]


class TagMoved(Message, frozen=True):
    """Answer to `MoveTag`."""

    tag_id: UUID


class VaultState(Message, frozen=True, omit_defaults=True):
    """`GET /v1/vaults/{vault_id}`, and the answer to every change. `ring` is as in `VaultKey`."""

    vault_id: UUID
    generation: Generation
    key_version: KeyVersion
    head: B112
    ring: B32 | None = None


class TagInfo(Message, frozen=True):
    """One phrase that opens the vault, as those inside may see it."""

    tag_id: UUID
    sealed_label: B316
    public_key: B32
    created_at: datetime
    current: bool


class TagList(Message, frozen=True):
    """`GET /v1/vaults/{vault_id}/tags`."""

    tags: list[TagInfo]
    next: UUID | None = None


class NewTag(Message, frozen=True):
    """The tag of a further phrase: what `EnrolTag` holds of a tag, with the vault's data key wrapped for it."""

    session_id: SessionId
    suite: SuiteId
    tag_id: UUID
    tag_name: B16
    phrase_hash: B16
    salt: B16
    record: B192
    public_key: B32
    sealed_label: B316
    wrapped_key: NewWrappedKey
    release_check: B32
    earlier_hashes: Annotated[list[B16], Meta(max_length=MAX_SETUPS - 1)] = []


class AddTag(Message, frozen=True):
    """`POST /v1/vaults/{vault_id}/tags`: a further phrase, with the head and ring that count it."""

    tag: NewTag
    generation: Generation
    head: B112
    ring: B32


class MemberKey(Message, frozen=True):
    """What a rotation makes for a tag that stays: the new data key sealed to it, and its label under that key."""

    tag_id: UUID
    sealed_key: B80
    sealed_label: B316


class RotateVault(Message, frozen=True):
    """`POST /v1/vaults/{vault_id}/rotations`: a phrase is revoked, and the data key replaced, all or nothing.

    `members` are all tags that stay, `added` the one that takes the revoked one's place, if any.
    """

    revoked: UUID
    generation: Generation
    key_version: KeyVersion
    head: B112
    ring: B32
    proof: B32
    old_key: B92
    members: Annotated[list[MemberKey], Meta(max_length=MAX_MEMBERS)]
    added: NewTag | None = None


class RewrapKey(Message, frozen=True):
    """`PUT /v1/vaults/{vault_id}/keys/{wrapped_key_id}`: the vault's present data key under the tag's own KEK."""

    key_version: KeyVersion
    wrapped_key: B40


class TagOrder(Message, frozen=True):
    """A ticket (16 bytes) in one of the places that every tag has for orders."""

    place: Annotated[int, Meta(ge=1, le=MAX_ORDERS)]
    ticket: B16


class PutOrders(Message, frozen=True):
    """`PUT /v1/vaults/{vault_id}/tags/{tag_id}/orders`: what stood in these places of the tag is replaced."""

    orders: Annotated[list[TagOrder], Meta(min_length=1, max_length=MAX_ORDERS)]


class OldKey(Message, frozen=True):
    """The data key before `key_version`, sealed under the one of `key_version`."""

    key_version: KeyVersion
    old_key: B92


class OldKeys(Message, frozen=True):
    """`GET /v1/vaults/{vault_id}/old-keys`: newest first, down to the oldest that an object may still need."""

    old_keys: Annotated[list[OldKey], Meta(max_length=MAX_KEY_STEPS)]


class ObjectEntry(Message, frozen=True, omit_defaults=True):
    """One row of a listing. `digest` is the BLAKE3 row digest (32 bytes) that the vault head covers.

    `stream_id` is there if the row is the descriptor of a large object; the descriptor itself says so too, sealed.
    `row` is the row itself (iv || ciphertext || auth_tag), if rows were asked for and its content is short.
    """

    object_id: UUID
    revision: Revision
    key_version: KeyVersion
    content_size: Annotated[int, Meta(ge=0)]
    digest: B32
    created_at: datetime
    updated_at: datetime
    stream_id: UUID | None = None
    row: ListedRow | None = None


class ObjectList(Message, frozen=True):
    """`GET /v1/vaults/{vault_id}/objects`: a page ordered by object id, and the generation it was read at."""

    generation: Generation
    objects: list[ObjectEntry]
    next: UUID | None = None


class ObjectStored(Message, frozen=True):
    """Answer to a put."""

    object_id: UUID
    revision: Revision
    generation: Generation


class PutObject(Message, frozen=True):
    """One of several objects that are put: 1 must not exist, r replaces r - 1. `row` is iv || ciphertext || auth_tag.

    It is no descriptor of a large object; a stream that the object had before ends.
    """

    object_id: UUID
    revision: Revision
    row: SealedRow


class PutObjects(Message, frozen=True):
    """`POST /v1/vaults/{vault_id}/objects`: all or none, under one new head (112 bytes) of the next generation."""

    generation: Generation
    key_version: KeyVersion
    head: B112
    objects: Annotated[list[PutObject], Meta(min_length=1, max_length=MAX_OBJECTS_TOGETHER)]


class ObjectsStored(Message, frozen=True):
    """Answer to `PutObjects`: how many objects were stored, and the vault's generation since."""

    generation: Generation
    objects: Annotated[int, Meta(ge=1, le=MAX_OBJECTS_TOGETHER)]


class DeleteObject(Message, frozen=True):
    """One of several objects that are deleted, and the revision it has."""

    object_id: UUID
    revision: Revision


class DeleteObjects(Message, frozen=True):
    """`POST /v1/vaults/{vault_id}/objects/deletion`: all or none, under one new head of the next generation."""

    generation: Generation
    head: B112
    objects: Annotated[list[DeleteObject], Meta(min_length=1, max_length=MAX_OBJECTS_TOGETHER)]


class ObjectsDeleted(Message, frozen=True):
    """Answer to `DeleteObjects`: how many objects were deleted, and the vault's generation since."""

    generation: Generation
    objects: Annotated[int, Meta(ge=1, le=MAX_OBJECTS_TOGETHER)]


class FieldProblem(Message, frozen=True):
    """One field of the request and the rule it broke; never its value."""

    field: str
    rule: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem. `code` is stable and is what a program reads."""

    type: str
    title: str
    status: int
    code: str
    detail: str | None = None
    request_id: str | None = None
    retry_after: int | None = None
    fields: list[FieldProblem] | None = None
