"""Suite id, stretch, phrase key, KEK, wrapping, tag key pair, vault token (SPEC.md sections 2, 5 and 7)."""

from typing import Any

from .suite_support import curve, spec
from .suite_support.fixed import (
    DATA_KEY,
    EXPORT_KEY,
    OTHER_TAG,
    OTHER_VAULT,
    PHRASE_SALT,
    SESSION_KEY,
    TAG,
    TAG_SALT,
    VAULT,
    flipped,
    octets,
)
from .suite_support.shape import Cases, Vector, accepted, document, forged, malformed

_PARAMETERS = {
    "phrase_form": "phrase-v1",
    "word_list": "words-v1",
    "stretch_memory_kib": 65536,
    "stretch_passes": 3,
    "stretch_lanes": 4,
    "stretch_length": 32,
    "salt_length": 16,
}
_WRAPPING = {
    "export_key": EXPORT_KEY,
    "salt": TAG_SALT,
    "tag_id": TAG,
    "vault_id": VAULT,
    "key_version": 1,
    "purpose": "vault_data",
}
_KEK = spec.kek(EXPORT_KEY, TAG_SALT, TAG, VAULT, 1)
_WRAPPED = spec.wrap(_KEK, DATA_KEY)


def _suites() -> list[Vector]:
    unknown = {"next_version": "hushtag-v2", "upper_case": "HUSHTAG-V1", "empty": "", "trailing_space": "hushtag-v1 "}
    return [
        accepted("suite_known", "the one suite", "suite.parameters", {"suite": "hushtag-v1"}, _PARAMETERS),
        *(
            malformed(f"suite_unknown_{name}", "a suite id that is refused", "suite.parameters", {"suite": suite})
            for name, suite in unknown.items()
        ),
    ]


def _stretches() -> list[Vector]:
    known = {
        "ascii": ("open sesame", PHRASE_SALT),
        "not_ascii": ("gün doğmadan neler doğar", PHRASE_SALT),
        "other_salt": ("open sesame", octets("other phrase salt", 16)),
    }
    return [
        *(
            accepted(
                f"stretch_{name}",
                "Argon2id of a canonical phrase",
                "suite.stretch",
                {"canonical": canonical, "salt": salt},
                {"stretch": spec.stretch(canonical, salt)},
            )
            for name, (canonical, salt) in known.items()
        ),
        *(
            malformed(
                f"stretch_salt_{len(salt)}_bytes",
                "a phrase salt has 16 bytes",
                "suite.stretch",
                {"canonical": "open sesame", "salt": salt},
            )
            for salt in (b"", PHRASE_SALT[:15], PHRASE_SALT + b"\0")
        ),
    ]


def _phrase_keys() -> list[Vector]:
    stretch, secret = octets("stretch", 32), octets("device secret", 32)
    cases = [
        ("plain", "no device secret", stretch, None),
        ("device_secret", "with a device secret", stretch, secret),
        ("zero_device_secret", "32 zero bytes are a device secret, not none", stretch, bytes(32)),
    ]
    refused = [
        ("stretch_short", "a stretch has 32 bytes", stretch[:31], None),
        ("device_secret_short", "a device secret has 32 bytes", stretch, secret[:31]),
        ("device_secret_empty", "a device secret that is there has 32 bytes", stretch, b""),
    ]
    return [
        *(
            accepted(
                f"phrase_key_{name}",
                why,
                "suite.phrase_key",
                {"stretch": stretched, "device_secret": device},
                {"opaque_password": spec.opaque_password(stretched, device or b"").decode()},
            )
            for name, why, stretched, device in cases
        ),
        *(
            malformed(f"phrase_key_{name}", why, "suite.phrase_key", {"stretch": stretched, "device_secret": device})
            for name, why, stretched, device in refused
        ),
    ]


def _keks() -> list[Vector]:
    largest = 2**31 - 1
    return [
        accepted("kek_first", "key version 1", "suite.kek", _WRAPPING, {"kek": _KEK}),
        accepted(
            "kek_largest_version",
            "the largest key version",
            "suite.kek",
            {**_WRAPPING, "key_version": largest},
            {"kek": spec.kek(EXPORT_KEY, TAG_SALT, TAG, VAULT, largest)},
        ),
        malformed("kek_salt_short", "a tag salt has 16 bytes", "suite.kek", {**_WRAPPING, "salt": TAG_SALT[:15]}),
        malformed(
            "kek_export_key_short",
            "an export key has 64 bytes",
            "suite.kek",
            {**_WRAPPING, "export_key": EXPORT_KEY[:63]},
        ),
    ]


def _wrapped_keys() -> list[Vector]:
    other: Cases = [
        ("wrong_export_key", "another phrase", {"export_key": octets("other export key", 64)}),
        ("wrong_salt", "the salt of another tag", {"salt": octets("other tag salt", 16)}),
        ("wrong_tag", "moved to another tag", {"tag_id": OTHER_TAG}),
        ("wrong_vault", "moved to another vault", {"vault_id": OTHER_VAULT}),
        ("tag_and_vault_swapped", "the two ids exchanged", {"tag_id": VAULT, "vault_id": TAG}),
        ("wrong_version", "named with another key version", {"key_version": 2}),
        ("wrong_purpose", "named with another purpose", {"purpose": "vault_head"}),
    ]
    given = {**_WRAPPING, "wrapped_key": _WRAPPED}
    return [
        accepted(
            "wrap_data_key",
            "AES-KW of a data key",
            "suite.wrap_key",
            {"kek": _KEK, "data_key": DATA_KEY},
            {"wrapped_key": _WRAPPED},
        ),
        malformed(
            "wrap_key_short", "a data key has 32 bytes", "suite.wrap_key", {"kek": _KEK, "data_key": DATA_KEY[:31]}
        ),
        malformed("wrap_kek_short", "a KEK has 32 bytes", "suite.wrap_key", {"kek": _KEK[:31], "data_key": DATA_KEY}),
        accepted("unwrap_data_key", "the data key comes back", "suite.unwrap_key", given, {"data_key": DATA_KEY}),
        *(forged(f"unwrap_{name}", why, "suite.unwrap_key", {**given, **change}) for name, why, change in other),
        *(
            forged(
                f"unwrap_bit_flipped_{position}",
                f"the lowest bit of byte {position}",
                "suite.unwrap_key",
                {**given, "wrapped_key": flipped(_WRAPPED, position)},
            )
            for position in (0, 7, 8, 39)
        ),
        *(
            malformed(
                f"unwrap_{len(wrapped)}_bytes",
                "a wrapped key has 40 bytes",
                "suite.unwrap_key",
                {**given, "wrapped_key": wrapped},
            )
            for wrapped in (b"", _WRAPPED[:32], _WRAPPED[:39], _WRAPPED + bytes(8))
        ),
    ]


def _derived_from_keys() -> list[Vector]:
    private_key = spec.tag_private_key(EXPORT_KEY, TAG)
    return [
        accepted(
            "tag_key_pair",
            "the X25519 key pair of a tag",
            "suite.tag_key_pair",
            {"export_key": EXPORT_KEY, "tag_id": TAG},
            {"private_key": private_key, "public_key": curve.public_key(private_key)},
        ),
        malformed(
            "tag_key_pair_export_key_short",
            "an export key has 64 bytes",
            "suite.tag_key_pair",
            {"export_key": EXPORT_KEY[:63], "tag_id": TAG},
        ),
        accepted(
            "vault_token",
            "both sides derive it",
            "suite.vault_token",
            {"session_key": SESSION_KEY},
            {"vault_token": spec.vault_token(SESSION_KEY)},
        ),
        malformed(
            "vault_token_session_key_short",
            "a session key has 64 bytes",
            "suite.vault_token",
            {"session_key": SESSION_KEY[:63]},
        ),
    ]


def _releases() -> list[Vector]:
    given = {"first": EXPORT_KEY, "other": octets("other export key", 64)}
    found = []
    for name, export_key in given.items():
        release = spec.release(export_key)
        check, tickets = spec.released(release)
        expected = {"release": release, "release_check": check, "tickets": tickets}
        why = "what every finish sends, and what it expands to"
        found.append(accepted(f"release_{name}", why, "suite.release", {"export_key": export_key}, expected))
    short = {"export_key": EXPORT_KEY[:63]}
    found.append(malformed("release_export_key_short", "an export key has 64 bytes", "suite.release", short))
    return found


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    vectors = [*_suites(), *_stretches(), *_phrase_keys(), *_keks(), *_wrapped_keys(), *_derived_from_keys()]
    vectors += _releases()
    return document("keys", "SPEC.md sections 2, 5, 7 and 24, implemented apart from the library", vectors)
