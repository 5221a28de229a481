"""Every field a client or server sends and every column the server stores, and what a guesser gains by it.

The tables are closed: a field or column that they do not name fails a test, so nobody adds one without saying here
what it is to someone who guesses phrases.
"""

from typing import Final, Literal

Kind = Literal["free", "blinded", "guess"]
"""`free`: no function of the phrase. `blinded`: uniformly distributed whatever the phrase is. `guess`: a function of
the phrase, whose test costs the OPRF key and both stretches."""

Part = tuple[str, int, Kind]
Table = dict[str, dict[str, "Kind | list[Part]"]]

_RESPONSE: Final[list[Part]] = [("evaluated_element", 32, "blinded"), ("server_public_key", 32, "free")]
RECORD: Final[list[Part]] = [
    ("client_public_key", 32, "guess"),
    ("masking_key", 64, "guess"),
    ("envelope_nonce", 32, "free"),
    ("envelope_tag", 64, "guess"),
]
# The label's plaintext is sealed under the data key; only the tag covers the public key, which comes of the phrase.
_LABEL: Final[list[Part]] = [("iv", 12, "free"), ("ciphertext", 288, "free"), ("tag", 16, "guess")]
_KE1: Final[list[Part]] = [
    ("blinded_element", 32, "blinded"),
    ("client_nonce", 32, "free"),
    ("client_keyshare", 32, "free"),
]
_KE2: Final[list[Part]] = [
    ("evaluated_element", 32, "blinded"),
    ("masking_nonce", 32, "free"),
    ("masked_response", 128, "guess"),
    ("server_nonce", 32, "free"),
    ("server_keyshare", 32, "free"),
    ("server_mac", 64, "guess"),
]

CEREMONY: Final[Table] = {
    "StartRegistration": {"suite": "free", "registration_request": "blinded"},
    "RegistrationStarted": {"session_id": "free", "registration_response": _RESPONSE},
    "NewVault": {"vault_id": "free", "head": "free"},
    "NewWrappedKey": {"wrapped_key_id": "free", "wrapped_key": "guess", "key_purpose": "free", "key_version": "free"},
    "EnrolTag": {
        "session_id": "free",
        "suite": "free",
        "tag_id": "free",
        "tag_name": "free",
        "phrase_hash": "guess",
        "salt": "free",
        "record": RECORD,
        "public_key": "guess",
        "sealed_label": _LABEL,
    },
    "TagEnrolled": {"tag_id": "free", "vault_id": "free"},
    "Locate": {"suite": "free", "elements": "blinded"},
    "Located": {"session_id": "free", "responses": _RESPONSE},
    "Candidate": {"phrase_hash": "guess", "ke1": _KE1},
    "StartUnlock": {"session_id": "free"},
    "UnlockStarted": {"session_id": "free", "state": "free", "ke2": _KE2},
    "FinishUnlock": {"session_id": "free", "state": "free", "candidate": "free", "ke3": "guess"},
    "VaultKey": {
        "vault_id": "free",
        "wrapped_key_id": "free",
        "wrapped_key": "guess",
        "key_purpose": "free",
        "key_version": "free",
        "generation": "free",
        "head": "free",
    },
    "Unlocked": {"suite": "free", "tag_id": "free", "salt": "free", "expires_at": "free"},
    "VaultState": {"vault_id": "free", "generation": "free", "key_version": "free", "head": "free"},
    "TagInfo": {
        "tag_id": "free",
        "sealed_label": _LABEL,
        "public_key": "guess",
        "created_at": "free",
        "current": "free",
    },
    "ObjectEntry": {
        "object_id": "free",
        "revision": "free",
        "key_version": "free",
        "content_size": "free",
        "digest": "free",
        "created_at": "free",
        "updated_at": "free",
    },
}
"""Messages of an enrolment, an unlock and an open vault; a run makes each of them."""

NESTED: Final = {
    "EnrolTag": {"vault", "wrapped_key"},
    "StartUnlock": {"candidates"},
    "Unlocked": {"vaults"},
}
"""Members that are messages themselves, classified under their own name."""

APART: Final[dict[str, set[str]]] = {
    "SignUp": {"email", "password", "first_name", "last_name"},
    "SignUpAccepted": {"next"},
    "LogIn": {"email", "password"},
    "ChangePassword": {"current_password", "new_password"},
    "SessionOpened": {"token", "user_id", "session_id", "expires_at", "suite", "phrase_salt"},
    "Account": {
        "user_id",
        "email",
        "first_name",
        "last_name",
        "created_at",
        "last_login",
        "suite",
        "phrase_salt",
    },
    "SessionInfo": {
        "session_id",
        "created_at",
        "last_activity",
        "expires_at",
        "ip_address",
        "user_agent",
        "current",
    },
    "SessionList": {"sessions", "next"},
    "TagList": {"tags", "next"},
    "ObjectList": {"generation", "objects", "next"},
    "ObjectStored": {"object_id", "revision", "generation"},
    "NewReminder": {"title", "reminder_time", "id", "description", "priority", "repeat_pattern", "time_zone"},
    "ReminderChange": {"title", "reminder_time", "description", "priority", "repeat_pattern", "time_zone"},
    "Reminder": {
        "id",
        "title",
        "description",
        "reminder_time",
        "is_completed",
        "completed_at",
        "priority",
        "repeat_pattern",
        "time_zone",
        "series_id",
        "snoozed_until",
        "status",
        "version",
        "created_at",
        "updated_at",
    },
    "ReminderList": {"reminders", "next"},
    "ReminderCompleted": {"reminder", "successor"},
    "Snooze": {"until", "minutes"},
    "OccurrenceList": {"occurrences"},
    "FeedOpened": {"url_path", "created_at"},
    "Feed": {"created_at", "last_used"},
    "FieldProblem": {"field", "rule"},
    "Problem": {"type", "title", "status", "code", "detail", "request_id", "retry_after", "fields"},
}
"""Messages made where no phrase, password or key of a vault is at hand: of the account, of listings, of errors."""

COLUMNS: Final[dict[str, dict[str, str]]] = {
    "secret_tags": {
        "phrase_hash": "EnrolTag.phrase_hash",
        "salt": "EnrolTag.salt",
        "verifier_kv": "EnrolTag.record.client_public_key",
        "opaque_envelope": "EnrolTag.record.masking_key EnrolTag.record.envelope_nonce EnrolTag.record.envelope_tag",
        "suite": "EnrolTag.suite",
        "tag_name": "EnrolTag.tag_name",
        "sealed_label": "EnrolTag.sealed_label.iv EnrolTag.sealed_label.ciphertext EnrolTag.sealed_label.tag",
        "public_key": "EnrolTag.public_key",
    },
    "vaults": {
        "generation": "VaultState.generation",
        "head": "NewVault.head VaultState.head",
        "key_version": "VaultState.key_version",
    },
    "wrapped_keys": {
        "tag_id": "EnrolTag.tag_id",
        "vault_id": "NewVault.vault_id",
        "wrapped_key": "NewWrappedKey.wrapped_key",
        "key_purpose": "NewWrappedKey.key_purpose",
        "key_version": "NewWrappedKey.key_version",
    },
    "vault_blobs": {
        "vault_id": "NewVault.vault_id",
        "object_id": "ObjectEntry.object_id",
        "wrapped_key_id": "NewWrappedKey.wrapped_key_id",
        "iv": "row.iv",
        "ciphertext": "row.ciphertext",
        "auth_tag": "row.auth_tag",
        "content_size": "ObjectEntry.content_size",
        "key_version": "ObjectEntry.key_version",
        "revision": "ObjectEntry.revision",
        "row_digest": "ObjectEntry.digest",
    },
    "opaque_sessions": {
        "session_id": "RegistrationStarted.session_id",
        "tag_id": "EnrolTag.tag_id",
        "phrase_hash": "EnrolTag.phrase_hash",
        # Sealed under a key of the server; classified as if that key were known.
        "session_data": "state.located state.login state.vault_token state.vault_token_hash",
    },
}
"""Columns that hold what a ceremony or an open vault sent or led to, and which fields those are."""

COLUMNS_APART: Final[dict[str, set[str]]] = {
    "server_keys": {"id", "fingerprint", "created_at"},
    "users": {
        "id",
        "email",
        "password_hash",
        "first_name",
        "last_name",
        "is_active",
        "last_login",
        "phrase_salt",
        "opaque_credential_id",
        "deleted_at",
        "created_at",
        "updated_at",
    },
    "user_sessions": {
        "user_id",
        "id",
        "token_hash",
        "ip_address",
        "user_agent",
        "expires_at",
        "last_activity",
        "created_at",
        "updated_at",
    },
    "user_settings": {"user_id", "time_zone", "language", "theme", "created_at", "updated_at"},
    "audit_logs": {
        "user_id",
        "id",
        "action",
        "table_name",
        "record_id",
        "old_values",
        "new_values",
        "ip_address",
        "user_agent",
        "created_at",
    },
    "reminders": {
        "user_id",
        "id",
        "title",
        "description",
        "reminder_time",
        "snoozed_until",
        "due_at",
        "is_completed",
        "completed_at",
        "priority",
        "repeat_pattern",
        "time_zone",
        "series_id",
        "series_start",
        "occurrence_time",
        "occurrence_number",
        "follows",
        "version",
        "created_at",
        "updated_at",
    },
    "reminder_deliveries": {
        "user_id",
        "session_id",
        "reminder_id",
        "due_at",
        "position",
        "created_at",
        "updated_at",
    },
    "reminder_feeds": {"user_id", "secret_hash", "last_used", "created_at", "updated_at"},
    "secret_tags": {"user_id", "id", "color_code", "server_key_id", "created_at", "updated_at"},
    "vaults": {"user_id", "id", "object_count", "created_at", "updated_at"},
    "wrapped_keys": {"user_id", "id", "created_at", "updated_at"},
    "vault_blobs": {"user_id", "id", "content_type", "stream_id", "created_at", "updated_at"},
    "vault_segments": {"user_id", "id", "vault_id", "stream_id", "seq", "bytes", "created_at", "updated_at"},
    "opaque_sessions": {
        "user_id",
        "user_session_id",
        "session_state",
        "expires_at",
        "last_activity",
        "created_at",
        "updated_at",
    },
    "unlock_budget": {"user_id", "tokens", "refilled_at", "failures", "locked_until", "created_at", "updated_at"},
    "security_audit_logs": {
        "id",
        "event_type",
        "event_category",
        "severity",
        "user_id_hash",
        "session_id_hash",
        "correlation_id",
        "request_id",
        "ip_address_hash",
        "user_agent_hash",
        "event_data",
        "event_message",
        "log_signature",
        "is_sensitive",
        "timestamp",
        "processing_time_ms",
        "success",
        "error_code",
    },
    "login_attempts": {"scope", "key_hash", "tokens", "refilled_at"},
}
"""Columns no phrase, password or vault key ever reaches: the account's, the server's own, times and counts."""

STATES: Final[dict[str, Kind]] = {
    "state.located": "blinded",
    "state.login": "guess",
    "state.vault_token": "guess",
    "state.vault_token_hash": "guess",
    "row.iv": "free",
    "row.ciphertext": "free",
    "row.auth_tag": "free",
}
"""What is stored or sent without being the field of a message: ceremony states, the vault token, an object's row."""
