"""The operation `suite.unlock`: from a transcript to an opened object, through every layer of the core."""

from typing import Final
from uuid import UUID

import msgspec

from hushtag import _opaque
from hushtag._stretch import opaque_password, stretch_phrase
from hushtag.head import VaultHead, open_head, set_element, set_key
from hushtag.keys import PURPOSE_VAULT_DATA, derive_kek, derive_tag_key_pair, derive_vault_token, unwrap_key
from hushtag.objects import ObjectRow, open_object, row_digest
from hushtag.phrase import canonicalize
from hushtag.suites import suite_by_id
from hushtag.tag_label import open_label
from hushtag.types import (
    KE2,
    DataKey,
    DeviceSecret,
    ExportKey,
    OpaquePassword,
    RegistrationResponse,
    WrappedKey,
)
from hushtag.vectors._opaque import login_state
from hushtag.vectors._operation import Implementation, Octets


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    """What passed between client and server, and what of it was the client's chance."""

    blind: Octets
    client_keyshare_private_key: Octets
    ke1: Octets
    registration_response: Octets
    ke2: Octets


class _Tag(msgspec.Struct, forbid_unknown_fields=True):
    tag_id: UUID
    salt: Octets
    public_key: Octets
    sealed_label: Octets


class _Vault(msgspec.Struct, forbid_unknown_fields=True):
    vault_id: UUID
    key_version: int
    wrapped_key: Octets
    generation: int
    sealed_head: Octets


class _Object(msgspec.Struct, forbid_unknown_fields=True):
    object_id: UUID
    revision: int
    row: Octets


_Result = dict[str, object]


def _prove(password: OpaquePassword, login: _Login) -> tuple[ExportKey, _Result]:
    state = login_state(login.blind, login.ke1, login.client_keyshare_private_key)
    response = RegistrationResponse(login.registration_response)
    masking_key = _opaque.locate_masking_key(password, state, response)
    ke3, session_key, export_key = _opaque.finish_login(password, state, KE2(login.ke2))
    return export_key, {
        "masking_key": masking_key.expose(),
        "phrase_hash": _opaque.phrase_hash(masking_key),
        "ke3": ke3,
        "session_key": session_key.expose(),
        "export_key": export_key.expose(),
        "vault_token": derive_vault_token(session_key).expose(),
    }


def _open_vault(export_key: ExportKey, tag: _Tag, vault: _Vault) -> tuple[DataKey, VaultHead, _Result]:
    version = vault.key_version
    kek = derive_kek(
        export_key,
        salt=tag.salt,
        tag_id=tag.tag_id,
        vault_id=vault.vault_id,
        key_version=version,
        purpose=PURPOSE_VAULT_DATA,
    )
    data_key = unwrap_key(kek, WrappedKey(vault.wrapped_key))
    head = open_head(data_key, vault.vault_id, vault.sealed_head, generation=vault.generation, key_version=version)
    private_key, public_key = derive_tag_key_pair(export_key, tag.tag_id)
    label = open_label(
        data_key,
        tag.sealed_label,
        vault_id=vault.vault_id,
        tag_id=tag.tag_id,
        key_version=version,
        public_key=public_key,
    )
    values = {
        "kek": kek.expose(),
        "data_key": data_key.expose(),
        "tag_private_key": private_key.expose(),
        "label": label,
        "object_count": head.object_count,
    }
    return data_key, head, values


def _open_only_object(data_key: DataKey, head: VaultHead, vault: _Vault, entry: _Object) -> _Result:
    row = ObjectRow.decode(entry.row, key_version=vault.key_version, revision=entry.revision)
    digest = row_digest(row)
    key = set_key(data_key, vault.vault_id, vault.key_version)
    head.verify([set_element(key, entry.object_id, entry.revision, digest)])
    opened = open_object(data_key, row, vault_id=vault.vault_id, object_id=entry.object_id)
    return {
        "set_key": key,
        "row_digest": digest,
        "set_hash": head.set_hash,
        "name": opened.meta.name,
        "content_type": opened.meta.content_type,
        "created_at": opened.meta.created_at,
        "body": opened.body,
    }


def _unlock(
    suite: str,
    transcript: str,
    phrase_salt: Octets,
    login: _Login,
    tag: _Tag,
    vault: _Vault,
    object: _Object,  # noqa: A002  # the vector's own name for it
    device_secret: Octets | None = None,
) -> _Result:
    known = suite_by_id(suite)
    canonical = canonicalize(transcript)
    stretch = stretch_phrase(canonical, phrase_salt, known)
    password = opaque_password(stretch, None if device_secret is None else DeviceSecret(device_secret))
    export_key, proof = _prove(password, login)
    data_key, head, keys = _open_vault(export_key, tag, vault)
    return {
        "canonical": canonical,
        "stretch": stretch.expose(),
        "opaque_password": password.expose().decode("ascii"),
        **proof,
        **keys,
        **_open_only_object(data_key, head, vault, object),
    }


OPERATIONS: Final[dict[str, Implementation]] = {"suite.unlock": _unlock}
