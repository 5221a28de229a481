"""The events of the vault side: what each is called, how it can end, and how its statement tells which it was."""

from typing import Final, LiteralString, NamedTuple

__all__ = [
    "ENROLMENT_CHECKED",
    "ENROLMENT_STARTED",
    "EVENTS",
    "KEY_REWRAPPED",
    "MOVE_REFUSED",
    "OBJECTS_DELETED",
    "OBJECTS_LISTED",
    "OBJECTS_PUT",
    "OBJECT_DELETED",
    "OBJECT_PUT",
    "OBJECT_READ",
    "OLD_KEYS_FORGOTTEN",
    "OLD_KEYS_READ",
    "ORDERS_PUT",
    "PHRASE_ADDED",
    "SEGMENTS_LISTED",
    "SEGMENTS_READ",
    "SEGMENT_PUT",
    "SEGMENT_REFUSED",
    "SESSION_ENDED",
    "STREAM_ENDED",
    "TAGS_LISTED",
    "TAG_ENROLLED",
    "TAG_MOVED",
    "UNLOCK_FINISHED",
    "UNLOCK_LOCATED",
    "UNLOCK_STARTED",
    "VAULTS_EXPORTED",
    "VAULT_DESTROYED",
    "VAULT_LOCKED",
    "VAULT_READ",
    "VAULT_ROTATED",
    "Event",
    "Outcome",
]


class Outcome(NamedTuple):
    """One way in which an event ends. No error: it was done."""

    message: str
    error_code: str | None = None
    severity: str = "info"


class Event(NamedTuple):
    """A kind of event.

    `choice` is SQL over the columns of the statement that does the step, and yields the name of the outcome; of one
    that is not listed here, as `unauthenticated`, nothing is written: nothing happened, and anybody can cause it.
    `sensitive`: it shows that somebody has a secret tag.
    """

    name: str
    category: str
    choice: LiteralString
    outcomes: dict[str, Outcome]
    sensitive: bool = False


_CHARGED: Final[LiteralString] = (
    "CASE WHEN d.account_session_id IS NULL THEN NULL WHEN d.retry_after IS NULL THEN 'done'"
    " ELSE 'too_many_guesses' END"
)
_NO_GUESSES: Final = Outcome("the guess budget is spent", "too_many_guesses", "warning")
_FAILED: Final = Outcome("late, repeated, out of order, or no proof", "ceremony_failed", "warning")
_UNKNOWN: Final = Outcome("no such vault or object for this tag", "not_found", "warning")
_CONFLICTS: Final = {
    "revision_conflict": Outcome("another revision is stored", "revision_conflict"),
    "generation_conflict": Outcome("the vault has another generation", "generation_conflict"),
    "not_found": _UNKNOWN,
}

ENROLMENT_STARTED: Final = Event(
    "enrolment_started",
    "auth",
    _CHARGED,
    {"done": Outcome("a guess charged for an enrolment"), "too_many_guesses": _NO_GUESSES},
)
TAG_ENROLLED: Final = Event(
    "tag_enrolled",
    "auth",
    "d.outcome",
    {
        "enrolled": Outcome("a tag enrolled with a new vault"),
        "already_exists": Outcome("the phrase or an id is in use", "already_exists", "warning"),
        "ceremony_failed": _FAILED,
    },
    sensitive=True,
)
# The same event, where it ends before anything is stored: by the check that comes first. If that passes, no row.
ENROLMENT_CHECKED: Final = TAG_ENROLLED._replace(
    choice="CASE WHEN d.account_session_id IS NULL THEN NULL WHEN d.key_ids IS NULL THEN 'ceremony_failed'"
    " WHEN d.enrolled THEN 'already_exists' END"
)
UNLOCK_LOCATED: Final = Event(
    "unlock_located",
    "auth",
    _CHARGED,
    {"done": Outcome("guesses charged, candidates evaluated"), "too_many_guesses": _NO_GUESSES},
)
UNLOCK_STARTED: Final = Event(
    "unlock_started",
    "auth",
    "CASE WHEN d.account_session_id IS NULL THEN NULL WHEN d.session_data IS NULL THEN 'ceremony_failed'"
    " ELSE 'done' END",
    {"done": Outcome("candidates answered"), "ceremony_failed": _FAILED},
)
UNLOCK_FINISHED: Final = Event(
    "unlock_finished",
    "auth",
    "CASE WHEN d.tag_id IS NULL THEN 'ceremony_failed' ELSE 'done' END",
    {"done": Outcome("a phrase proven, its vaults opened"), "ceremony_failed": _FAILED},
    sensitive=True,
)
TAG_MOVED: Final = Event(
    "tag_moved",
    "vault",
    "d.hushtag_move_tag",
    {
        "moved": Outcome("the open tag stored under the newest key set"),
        "already_exists": Outcome("the phrase is in use under that key set", "already_exists", "warning"),
        "generation_conflict": Outcome("a vault has another generation, or the tag other keys", "generation_conflict"),
        "ceremony_failed": _FAILED,
    },
    sensitive=True,
)
# The same event, where the offer is not one of this vault session.
MOVE_REFUSED: Final = TAG_MOVED._replace(choice="CASE WHEN d.tag_id IS NOT NULL THEN 'ceremony_failed' END")
VAULT_LOCKED: Final = Event(
    "vault_locked", "session", "'done'", {"done": Outcome("a vault session ended by its holder")}, sensitive=True
)
SESSION_ENDED: Final = Event(
    "vault_session_ended",
    "session",
    "'done'",
    {"ended": Outcome("a vault session is gone"), "expired": Outcome("a vault session is gone, its time was over")},
    sensitive=True,
)
_READ: Final = {"done": Outcome("read"), "not_found": _UNKNOWN}
VAULT_READ: Final = Event("vault_read", "vault", "'done'", _READ, sensitive=True)
TAGS_LISTED: Final = Event("tags_listed", "vault", "'done'", _READ, sensitive=True)
OBJECTS_LISTED: Final = Event(
    "objects_listed",
    "vault",
    "CASE WHEN d.tag_id IS NULL THEN NULL WHEN d.generation IS NULL THEN 'not_found' ELSE 'done' END",
    _READ,
    sensitive=True,
)
VAULTS_EXPORTED: Final = Event("vaults_exported", "vault", "'done'", _READ, sensitive=True)
OBJECT_READ: Final = Event(
    "object_read",
    "vault",
    "CASE WHEN d.tag_id IS NULL THEN NULL WHEN d.body IS NULL THEN 'not_found' ELSE 'done' END",
    _READ,
    sensitive=True,
)
OBJECT_PUT: Final = Event(
    "object_put",
    "vault",
    "replace(d.hushtag_put_object, '_stream', '')",
    {
        "created": Outcome("an object's first revision stored"),
        "replaced": Outcome("an object's next revision stored"),
        "limit_reached": Outcome("the vault is full", "limit_reached"),
        "stream_committed": Outcome("the stream is another object's", "stream_committed"),
        "stream_incomplete": Outcome("segments of the stream are missing", "stream_incomplete"),
        **_CONFLICTS,
    },
    sensitive=True,
)
OBJECTS_PUT: Final = Event(
    "objects_put",
    "vault",
    "replace(d.hushtag_put_objects, '_streams', '')",
    {
        "stored": Outcome("revisions of several objects stored"),
        "limit_reached": Outcome("the vault is full", "limit_reached"),
        **_CONFLICTS,
    },
    sensitive=True,
)
SEGMENT_PUT: Final = Event(
    "segment_put",
    "vault",
    "d.hushtag_finish_segment",
    {
        "stored": Outcome("a segment of a large object stored"),
        "segment_exists": Outcome("other bytes are stored under that number", "segment_exists"),
        "stream_committed": Outcome("the stream takes no more segments", "stream_committed"),
        "limit_reached": Outcome("as many streams or bytes as there may be", "limit_reached"),
        "vault_full": Outcome("as many bytes as the vault may have", "vault_full"),
        "not_found": _UNKNOWN,
    },
    sensitive=True,
)
# The same event, where it ends before the body is read.
SEGMENT_REFUSED: Final = SEGMENT_PUT._replace(choice="CASE WHEN d.outcome NOT IN ('begun', 'known') THEN d.outcome END")
_STREAM_READ: Final[LiteralString] = (
    "CASE WHEN d.tag_id IS NULL THEN NULL WHEN d.state IS NULL THEN 'not_found' ELSE 'done' END"
)
SEGMENTS_LISTED: Final = Event("segments_listed", "vault", _STREAM_READ, _READ, sensitive=True)
SEGMENTS_READ: Final = Event("segments_read", "vault", _STREAM_READ, _READ, sensitive=True)
STREAM_ENDED: Final = Event(
    "stream_ended",
    "vault",
    "d.hushtag_end_stream",
    {
        "ended": Outcome("an upload given up"),
        "stream_committed": Outcome("an object has the stream", "stream_committed"),
        "not_found": _UNKNOWN,
    },
    sensitive=True,
)
_JOINING: Final = {
    "limit_reached": Outcome("the vault has as many phrases or rotations as it may have", "limit_reached"),
    "ceremony_failed": _FAILED,
    "already_exists": Outcome("the phrase or an id is in use", "already_exists", "warning"),
    "generation_conflict": _CONFLICTS["generation_conflict"],
    "not_found": _UNKNOWN,
}
PHRASE_ADDED: Final = Event(
    "phrase_added",
    "vault",
    "d.hushtag_add_tag",
    {"added": Outcome("a further phrase opens the vault"), **_JOINING},
    sensitive=True,
)
VAULT_ROTATED: Final = Event(
    "vault_rotated",
    "vault",
    "d.hushtag_rotate_vault",
    {
        "rotated": Outcome("a phrase revoked, the data key replaced"),
        "malformed": Outcome("not exactly the phrases that stay", "malformed_request", "warning"),
        **_JOINING,
    },
    sensitive=True,
)
KEY_REWRAPPED: Final = Event(
    "key_rewrapped",
    "vault",
    "d.hushtag_rewrap_key",
    {
        "rewrapped": Outcome("the data key wrapped anew for the open phrase"),
        "generation_conflict": _CONFLICTS["generation_conflict"],
        "not_found": _UNKNOWN,
    },
    sensitive=True,
)
ORDERS_PUT: Final = Event(
    "orders_put",
    "vault",
    "d.hushtag_put_orders",
    {
        "put": Outcome("places for orders of a phrase written, with tickets or with nothing"),
        "not_found": _UNKNOWN,
    },
    sensitive=True,
)
OLD_KEYS_READ: Final = Event("old_keys_read", "vault", "'done'", _READ, sensitive=True)
OLD_KEYS_FORGOTTEN: Final = Event(
    "old_keys_forgotten",
    "vault",
    "d.hushtag_forget_old_keys",
    {
        "forgotten": Outcome("every old data key forgotten"),
        "reseal_unfinished": Outcome("an object is sealed under an old data key", "reseal_unfinished"),
        "not_found": _UNKNOWN,
    },
    sensitive=True,
)
VAULT_DESTROYED: Final = Event(
    "vault_destroyed",
    "vault",
    "d.hushtag_destroy_vault",
    {
        "destroyed": Outcome("the keys of the vault destroyed"),
        "phrases_remain": Outcome("other phrases open the vault", "phrases_remain"),
        "generation_conflict": _CONFLICTS["generation_conflict"],
        "not_found": _UNKNOWN,
    },
    sensitive=True,
)
OBJECT_DELETED: Final = Event(
    "object_deleted",
    "vault",
    "replace(d.outcome, '_stream', '')",
    {"deleted": Outcome("an object deleted"), **_CONFLICTS},
    sensitive=True,
)
OBJECTS_DELETED: Final = Event(
    "objects_deleted",
    "vault",
    "replace(d.hushtag_delete_objects, '_streams', '')",
    {"deleted": Outcome("several objects deleted"), **_CONFLICTS},
    sensitive=True,
)

_KINDS: Final = (
    ENROLMENT_STARTED,
    TAG_ENROLLED,
    UNLOCK_LOCATED,
    UNLOCK_STARTED,
    UNLOCK_FINISHED,
    TAG_MOVED,
    VAULT_LOCKED,
    SESSION_ENDED,
    VAULT_READ,
    TAGS_LISTED,
    OBJECTS_LISTED,
    VAULTS_EXPORTED,
    OBJECT_READ,
    OBJECT_PUT,
    OBJECTS_PUT,
    SEGMENT_PUT,
    SEGMENTS_LISTED,
    SEGMENTS_READ,
    STREAM_ENDED,
    PHRASE_ADDED,
    VAULT_ROTATED,
    KEY_REWRAPPED,
    ORDERS_PUT,
    OLD_KEYS_READ,
    OLD_KEYS_FORGOTTEN,
    VAULT_DESTROYED,
    OBJECT_DELETED,
    OBJECTS_DELETED,
)
EVENTS: Final = {event.name: event for event in _KINDS}
"""Every kind of event by its name."""
