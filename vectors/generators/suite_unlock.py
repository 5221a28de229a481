"""One unlock from transcript to opened object, with every value on the way (SPEC.md sections 4 to 14)."""

from typing import Any

from .suite_support import curve, opaque, spec
from .suite_support.fixed import (
    CREDENTIAL_ID,
    DATA_KEY,
    DECOY_CLIENT,
    DECOY_SEED,
    OBJECT,
    PHRASE_SALT,
    TAG,
    TAG_SALT,
    VAULT,
    octets,
)
from .suite_support.shape import Vector, accepted, document, forged, malformed

_TRANSCRIPT = "Twenty-One Pelicans sing, uh, at dawn!"
_CANONICAL = "twenty one pelicans sing at dawn"
_OTHER = "twenty two pelicans sing at dawn"
_SECRET = octets("device secret", 32)
_CREATED = 1_767_225_600
_BODY = b"What the pelicans sang.\n"
_LABEL = "pelicans"


def _sealed_vault(export_key: bytes) -> tuple[dict[str, object], dict[str, object]]:
    """What the server holds for the tag (given), and what the client makes of it (expected)."""
    kek = spec.kek(export_key, TAG_SALT, TAG, VAULT, 1)
    private_key = spec.tag_private_key(export_key, TAG)
    public_key = curve.public_key(private_key)
    encoded = spec.metadata("song.txt", "text/plain", _CREATED, len(_BODY))
    row = spec.seal_object(DATA_KEY, octets("object iv", 12), spec.frame(encoded, _BODY), VAULT, OBJECT, 1, 1)
    digest = spec.row_digest(row, 1, 1)
    key = spec.set_key(DATA_KEY, VAULT, 1)
    element = spec.set_element(key, OBJECT, 1, digest)
    frame = spec.lp(_LABEL.encode()).ljust(256, b"\0")
    label = spec.seal_label(DATA_KEY, octets("label iv", 12), frame, VAULT, TAG, 1, public_key)
    head = spec.seal_head(DATA_KEY, octets("head iv", 12), spec.head(2, 1, 1, element), VAULT, 1, 2)
    wrapped = spec.wrap(kek, DATA_KEY)
    given: dict[str, object] = {
        "tag": {"tag_id": TAG, "salt": TAG_SALT, "public_key": public_key, "sealed_label": label},
        "vault": {"vault_id": VAULT, "key_version": 1, "wrapped_key": wrapped, "generation": 2, "sealed_head": head},
        "object": {"object_id": OBJECT, "revision": 1, "row": row},
    }
    expected: dict[str, object] = {
        "kek": kek,
        "data_key": DATA_KEY,
        "tag_private_key": private_key,
        "label": _LABEL,
        "object_count": 1,
        "set_key": key,
        "row_digest": digest,
        "set_hash": element,
        "name": "song.txt",
        "content_type": "text/plain",
        "created_at": _CREATED,
        "body": _BODY,
    }
    return given, expected


def _unlock(name: str, why: str, device_secret: bytes | None) -> tuple[Vector, dict[str, Any]]:
    stretch = spec.stretch(_CANONICAL, PHRASE_SALT)
    recorded = opaque.record(spec.opaque_password(stretch, device_secret or b""))
    values = recorded.values
    response, masking_key = opaque.locate(recorded.password)
    sealed, opened = _sealed_vault(values["export_key"])
    given: dict[str, Any] = {
        "suite": "hushtag-v1",
        "transcript": _TRANSCRIPT,
        "phrase_salt": PHRASE_SALT,
        "device_secret": device_secret,
        "login": {
            "blind": opaque.BLIND_LOGIN,
            "client_keyshare_private_key": recorded.client_keyshare.private_key,
            "ke1": values["KE1"],
            "registration_response": response,
            "ke2": values["KE2"],
        },
        **sealed,
    }
    expected = {
        "canonical": _CANONICAL,
        "stretch": stretch,
        "opaque_password": recorded.password.decode(),
        "masking_key": masking_key,
        "phrase_hash": spec.phrase_hash(masking_key),
        "ke3": values["KE3"],
        "session_key": values["session_key"],
        "export_key": values["export_key"],
        "vault_token": spec.vault_token(values["session_key"]),
        **opened,
    }
    return accepted(f"unlock_{name}", why, "suite.unlock", given, expected), given


def _refusals(given: dict[str, Any]) -> list[Vector]:
    password = spec.opaque_password(spec.stretch(_OTHER, PHRASE_SALT))
    ke1 = opaque.start_login(password).ke1
    decoy = spec.decoy_record(DECOY_CLIENT.public_key, DECOY_SEED, CREDENTIAL_ID)
    login = {
        **given["login"],
        "ke1": ke1,
        "registration_response": opaque.locate(password)[0],
        "ke2": opaque.answer_login(decoy, ke1).ke2,
    }
    unknown = {**given, "transcript": _OTHER, "login": login}
    older = {**given, "vault": {**given["vault"], "generation": 3}}
    return [
        forged(
            "unlock_unknown_phrase", "a phrase that opens nothing, answered from the decoy", "suite.unlock", unknown
        ),
        forged(
            "unlock_wrong_device_secret",
            "the right phrase on a stranger's device",
            "suite.unlock",
            {**given, "device_secret": _SECRET},
        ),
        forged("unlock_older_head", "an older head under the newest generation", "suite.unlock", older),
        malformed(
            "unlock_unknown_suite",
            "refused before the phrase is touched",
            "suite.unlock",
            {**given, "suite": "hushtag-v0"},
        ),
        malformed(
            "unlock_no_canonical_phrase", "a transcript without a word", "suite.unlock", {**given, "transcript": "…"}
        ),
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    plain, given = _unlock("plain", "a phrase and nothing else", None)
    bound, _ = _unlock("device_secret", "a phrase and a device secret", _SECRET)
    source = "SPEC.md sections 4 to 14, implemented apart from the library"
    return document("unlock", source, [plain, bound, *_refusals(given)])
