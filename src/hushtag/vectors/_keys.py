"""The operations on suite ids, stretch and keys."""

from typing import Final
from uuid import UUID

from hushtag._stretch import opaque_password, stretch_phrase
from hushtag.duress import derive_release, expand_release
from hushtag.keys import derive_kek, derive_tag_key_pair, derive_vault_token, unwrap_key, wrap_key
from hushtag.suites import HUSHTAG_V1, suite_by_id
from hushtag.types import DataKey, DeviceSecret, ExportKey, KeyEncryptionKey, SessionKey, Stretch, WrappedKey
from hushtag.vectors._operation import Implementation, Octets

_Result = dict[str, object]


def _parameters(suite: str) -> _Result:
    found = suite_by_id(suite)
    return {
        "phrase_form": found.phrase_form,
        "word_list": found.word_list,
        "stretch_memory_kib": found.stretch_memory,
        "stretch_passes": found.stretch_passes,
        "stretch_lanes": found.stretch_lanes,
        "stretch_length": found.stretch_length,
        "salt_length": found.salt_length,
    }


def _stretch(canonical: str, salt: Octets) -> _Result:
    return {"stretch": stretch_phrase(canonical, salt, HUSHTAG_V1).expose()}


def _phrase_key(stretch: Octets, device_secret: Octets | None = None) -> _Result:
    secret = None if device_secret is None else DeviceSecret(device_secret)
    return {"opaque_password": opaque_password(Stretch(stretch), secret).expose().decode("ascii")}


def _kek(export_key: Octets, salt: Octets, tag_id: UUID, vault_id: UUID, key_version: int, purpose: str) -> _Result:
    key = ExportKey(export_key)
    found = derive_kek(key, salt=salt, tag_id=tag_id, vault_id=vault_id, key_version=key_version, purpose=purpose)
    return {"kek": found.expose()}


def _wrap_key(kek: Octets, data_key: Octets) -> _Result:
    return {"wrapped_key": wrap_key(KeyEncryptionKey(kek), DataKey(data_key))}


def _unwrap_key(
    export_key: Octets, salt: Octets, tag_id: UUID, vault_id: UUID, key_version: int, purpose: str, wrapped_key: Octets
) -> _Result:
    key = ExportKey(export_key)
    kek = derive_kek(key, salt=salt, tag_id=tag_id, vault_id=vault_id, key_version=key_version, purpose=purpose)
    return {"data_key": unwrap_key(kek, WrappedKey(wrapped_key)).expose()}


def _tag_key_pair(export_key: Octets, tag_id: UUID) -> _Result:
    private_key, public_key = derive_tag_key_pair(ExportKey(export_key), tag_id)
    return {"private_key": private_key.expose(), "public_key": public_key}


def _release(export_key: Octets) -> _Result:
    release = derive_release(ExportKey(export_key))
    released = expand_release(release)
    return {"release": release.expose(), "release_check": released.check, "tickets": released.joined}


def _vault_token(session_key: Octets) -> _Result:
    return {"vault_token": derive_vault_token(SessionKey(session_key)).expose()}


OPERATIONS: Final[dict[str, Implementation]] = {
    "suite.parameters": _parameters,
    "suite.stretch": _stretch,
    "suite.phrase_key": _phrase_key,
    "suite.kek": _kek,
    "suite.wrap_key": _wrap_key,
    "suite.unwrap_key": _unwrap_key,
    "suite.tag_key_pair": _tag_key_pair,
    "suite.release": _release,
    "suite.vault_token": _vault_token,
}
