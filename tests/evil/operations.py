"""Every operation of the client: how it is called, in which scene, and what of its answer is the server's own word."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import httpx
import msgspec

from hushtag import messages, stream_messages
from hushtag.client import NewObject, NotFoundError, reading_steps
from hushtag.client.restoring_steps import _confirmation
from hushtag.epoch import epoch_code
from tests.client.fake_server import URL
from tests.client.support import EMAIL, OTHER_PHRASE, PASSWORD, PHRASE, UNKNOWN_PHRASE, connect_sync
from tests.evil.man import streamed
from tests.evil.world import FILM, FRESH_PHRASE, GUEST_PHRASE, Scene

ANSWERS: dict[str, type[msgspec.Struct] | str | None] = {
    "POST /v1/accounts": messages.SignUpAccepted,
    "POST /v1/sessions": messages.SessionOpened,
    "GET /v1/sessions": messages.SessionList,
    "DELETE /v1/sessions/current": None,
    "DELETE /v1/sessions/*": None,
    "GET /v1/account": messages.Account,
    "POST /v1/account/password": None,
    "POST /v1/registrations": messages.RegistrationStarted,
    "POST /v1/tags": messages.TagEnrolled,
    "POST /v1/unlock/locate": messages.Located,
    "POST /v1/unlock/start": messages.UnlockStarted,
    "POST /v1/unlock/finish": messages.Unlocked,
    "POST /v1/unlock/move": messages.TagMoved,
    "DELETE /v1/vault-session": None,
    "GET /v1/vaults/*": messages.VaultState,
    "GET /v1/vaults/*/tags": messages.TagList,
    "GET /v1/vaults/*/objects": messages.ObjectList,
    "GET /v1/vaults/*/objects/*": "row",
    "POST /v1/vaults/*/objects": messages.ObjectsStored,
    "POST /v1/vaults/*/objects/deletion": messages.ObjectsDeleted,
    "PUT /v1/vaults/*/objects/*": messages.ObjectStored,
    "DELETE /v1/vaults/*/objects/*": messages.VaultState,
    "POST /v1/vaults/*/tags": messages.VaultState,
    "POST /v1/vaults/*/rotations": messages.VaultState,
    "PUT /v1/vaults/*/keys/*": None,
    "PUT /v1/vaults/*/tags/*/orders": None,
    "GET /v1/vaults/*/old-keys": messages.OldKeys,
    "DELETE /v1/vaults/*/old-keys": None,
    "DELETE /v1/vaults/*": None,
    "PUT /v1/vaults/*/streams/*/segments/*": stream_messages.SegmentStored,
    "GET /v1/vaults/*/streams/*/segments/*": "segment",
    "GET /v1/vaults/*/streams/*/segments": stream_messages.SegmentList,
    "DELETE /v1/vaults/*/streams/*": None,
}
"""What each route answers: a message, an object row, a segment, or nothing."""

REQUESTS = {
    messages.SignUp,
    messages.LogIn,
    messages.ChangePassword,
    messages.StartRegistration,
    messages.NewVault,
    messages.NewWrappedKey,
    messages.EnrolTag,
    messages.Locate,
    messages.Candidate,
    messages.StartUnlock,
    messages.FinishUnlock,
    messages.MovedKey,
    messages.MoveTag,
    messages.NewTag,
    messages.AddTag,
    messages.MemberKey,
    messages.RotateVault,
    messages.RewrapKey,
    messages.TagOrder,
    messages.PutOrders,
    messages.PutObject,
    messages.PutObjects,
    messages.DeleteObject,
    messages.DeleteObjects,
}
"""Messages a client sends: the man may read them, not alter what the client makes of its own."""

OWN_WORD = {
    "SessionOpened.session_id": "names a row of the server",
    "SessionOpened.expires_at": "the server ends its sessions when it likes",
    "SessionOpened.token": "the server's own secret; it must be of the user it names",
    "SessionOpened.suite": "refused when a phrase is to be used, not before",
    "SessionOpened.user_id": "believed at the first login only, then pinned",
    "SessionOpened.phrase_salt": "believed at the first login only, then pinned",
    "Account.email": "plain account data",
    "Account.first_name": "plain account data",
    "Account.last_name": "plain account data",
    "Account.created_at": "plain account data",
    "Account.last_login": "plain account data",
    "SessionInfo.session_id": "plain account data",
    "SessionInfo.created_at": "plain account data",
    "SessionInfo.last_activity": "plain account data",
    "SessionInfo.expires_at": "plain account data",
    "SessionInfo.ip_address": "plain account data",
    "SessionInfo.user_agent": "plain account data",
    "SessionInfo.current": "plain account data",
    "SessionList.sessions": "plain account data: a listing no head sums up",
    "SessionList.next": "plain account data: a listing no head sums up",
    "Unlocked.expires_at": "the server ends its sessions when it likes",
    "Unlocked.failed_guesses": "the server's count; nobody else hears of failed guesses",
    "Unlocked.last_failed_at": "a time of the server's clock",
    "TagInfo.created_at": "a time of the server's clock",
    "ObjectEntry.updated_at": "a time of the server's clock",
    "SegmentStored.digest": "the server's own sum; what it stored is checked when it is read",
    "SegmentEntry.digest": "the server's own sum; what it stored is checked when it is read",
}
"""Fields that nobody but the server can know or vouch for, with the reason. Nothing else may change an answer."""


@dataclass(frozen=True)
class Operation:
    """One call of the client, and what is held against it.

    `covers` names the method of the public surface. `absent`: there is nothing to give, so nothing may be given.
    `forbidden`: errors that would deny what is there. `composed`: of steps that other operations make as well; only
    fields are altered, each time. `pinned`: the device has seen the vault as it is, in an earlier session. `reviewed`:
    it has, and an older state is served, which it looks at.
    `resuming`: it has begun a large upload, of which it remembers how far it came. `in_doubt`: what it may ask besides,
    where it is denied what an honest server has.
    """

    name: str
    covers: str
    run: Callable[[Scene], Any]
    unlocked: bool = False
    warm: bool = False
    absent: bool = False
    composed: bool = False
    shared: bool = False
    forbidden: tuple[type[Exception], ...] = ()
    pinned: bool = False
    reviewed: bool = False
    resuming: bool = False
    in_doubt: tuple[tuple[str, ...], ...] = ()


def _vault(name: str, method: str, run: Callable[[Scene], Any], *, lists: bool = False, **more: Any) -> list[Operation]:
    """The operation in a vault that was just opened, where it `lists` first, and in one that was read."""
    covers = f"Vault.{method}"
    return [
        Operation(name, covers, run, unlocked=True, **(more | {"composed": True} if lists else more)),
        Operation(f"{name}_read_before", covers, run, unlocked=True, warm=True, **more),
    ]


def _shared(name: str, method: str, run: Callable[[Scene], Any], **more: Any) -> list[Operation]:
    """The operation in the vault that two phrases open; whole answers are altered where they are asked for alone."""
    return [Operation(name, f"Vault.{method}", run, unlocked=True, shared=True, composed=True, **more)]


def _log_in(scene: Scene) -> Any:
    session = scene.client.log_in(EMAIL, PASSWORD)
    return session.user_id, session.phrase_salt, session.server


def _log_in_first(scene: Scene) -> Any:
    scene.client._steps._pins._pins.clear()  # type: ignore[attr-defined]
    session = scene.client.log_in(EMAIL, PASSWORD)
    return session.server


def _wrong_password(scene: Scene) -> Any:
    return scene.client.log_in(EMAIL, "not the password")


def _account(scene: Scene) -> Any:
    account = scene.client.account()
    return account.user_id, account.phrase_salt, account.suite


def _sessions(scene: Scene) -> Any:
    scene.client.sessions()
    return "sessions"


def _revoke(scene: Scene) -> Any:
    return scene.client.revoke_session(next(iter(scene.server.tokens.values()))[1])


def _enrol(scene: Scene) -> Any:
    scene.client.enrol(UNKNOWN_PHRASE, label="new")
    return "enrolled"


def _opened(scene: Scene, *phrases: str) -> Any:
    vault = scene.client.unlock(phrases if len(phrases) > 1 else phrases[0])
    return vault.vault_id, vault.tag_id, vault.candidate, vault.object_count, len(vault.vaults)


def _enrol_rotated(scene: Scene) -> Any:
    scene.server.rotate_keys()
    return _enrol(scene)


def _unlock_moving(scene: Scene) -> Any:
    """The server's keys were rotated, so the tag moves; what it opens stays, wherever it then is."""
    scene.server.rotate_keys()
    scene.man.server.setups = scene.server.setups
    return _opened(scene, PHRASE)


def _put(scene: Scene) -> Any:
    return _stored(scene.vault.put(b"a new thing", name="new"))  # type: ignore[union-attr]


def _replace(scene: Scene) -> Any:
    return scene.vault.put(b"a third letter", name="letter", replace=scene.ids["letter"])  # type: ignore[union-attr]


def _put_many(scene: Scene) -> Any:
    news = [NewObject(b"a new thing", "new"), NewObject(b"another", "newer")]
    return [_stored(each) for each in scene.vault.put_many(news)]  # type: ignore[union-attr]


def _replace_many(scene: Scene) -> Any:
    both = [NewObject(b"a third letter", "letter", replace=scene.ids["letter"]), NewObject(b"", "new")]
    first, second = scene.vault.put_many(both)  # type: ignore[union-attr]
    return first, _stored(second)


def _delete_many(scene: Scene) -> Any:
    return scene.vault.delete_many([scene.ids["photo"], scene.ids["letter"]])  # type: ignore[union-attr]


def _put_late(scene: Scene) -> Any:
    """Another device has changed the vault meanwhile, so the first try is late."""
    with connect_sync(URL, httpx.MockTransport(lambda request: streamed(scene.server.respond(request)))) as other:
        other.log_in(EMAIL, PASSWORD)
        other.unlock(PHRASE).put(b"from another device", name="theirs")
        return _put(scene)


def _stored(stored: Any) -> Any:
    return stored.name, stored.content_type, stored.size, stored.revision


def _put_film(scene: Scene) -> Any:
    return _stored(scene.vault.put(FILM, name="a film"))  # type: ignore[union-attr]


def _put_film_again(scene: Scene) -> Any:
    return _stored(scene.vault.put(scene.film))  # type: ignore[union-attr]


def _put_changed_film(scene: Scene) -> Any:
    os.utime(scene.film, (1, 1))
    return _put_film_again(scene)


def _get_to(scene: Scene) -> Any:
    target = io.BytesIO()
    return scene.vault.get_to(scene.ids["film"], target), target.getvalue()  # type: ignore[union-attr]


def _get_to_path(scene: Scene) -> Any:
    target = scene.film.with_name("fetched")
    try:
        found = scene.vault.get_to(scene.ids["film"], target, force=True)  # type: ignore[union-attr]
        return found, target.read_bytes()
    finally:
        left = [path.name for path in scene.film.parent.iterdir()]
        target.unlink(missing_ok=True)
        assert set(left) <= {scene.film.name, "fetched"}


def _open(scene: Scene) -> Any:
    with scene.vault.open(scene.ids["film"]) as file:  # type: ignore[union-attr]
        file.seek(-20, 2)
        return file.size, file.name, file.read(10), file.seek(5), file.read(100)


def _entry(entry: Any) -> Any:
    return entry._replace(updated_at=None)


def _list(scene: Scene) -> Any:
    return tuple(_entry(entry) for entry in scene.vault.list())  # type: ignore[union-attr]


def _list_with_rows(scene: Scene) -> Any:
    """As in a vault of more objects than are read one by one."""
    with patch.object(reading_steps, "FEW_ROWS", 0):
        return _list(scene)


def _phrases(scene: Scene) -> Any:
    return tuple(phrase._replace(created_at=None) for phrase in scene.vault.phrases())  # type: ignore[union-attr]


def _get(name: str) -> Callable[[Scene], Any]:
    return lambda scene: scene.vault.get(scene.ids[name])  # type: ignore[union-attr]


def _get_by_name(scene: Scene) -> Any:
    return scene.vault.get_by_name("letter")  # type: ignore[union-attr]


def _find(scene: Scene) -> Any:
    return _entry(scene.vault.find("letter"))  # type: ignore[union-attr]


def _code(scene: Scene) -> str:
    """What another device of Ada's shows of the newest state."""
    witness = scene.vault._steps.witness  # type: ignore[union-attr]
    return epoch_code(witness.data_key, witness.vault_id, witness.head)


def _accept_restored(scene: Scene) -> Any:
    vault: Any = scene.vault
    return vault.accept_restored(_confirmation(vault._steps.witness.suspicion))


def _tag_of(scene: Scene, label: str) -> Any:
    return next(each.tag_id for each in scene.vault.phrases() if each.label == label)  # type: ignore[union-attr]


def _add_phrase(scene: Scene) -> Any:
    added = scene.vault.add_phrase(FRESH_PHRASE, label="new")  # type: ignore[union-attr]
    return added.label, added.current


def _revoke_phrase(scene: Scene) -> Any:
    return scene.vault.revoke_phrase(_tag_of(scene, "a guest's"))  # type: ignore[union-attr]


def _change_phrase(scene: Scene) -> Any:
    tag_id = scene.vault.tag_id  # type: ignore[union-attr]
    changed = scene.vault.change_phrase(tag_id, FRESH_PHRASE)  # type: ignore[union-attr]
    return changed.label, changed.current


def _set_duress(scene: Scene) -> Any:
    return scene.vault.set_duress(OTHER_PHRASE, lock_days=7)  # type: ignore[union-attr]


def _set_duress_on_a_guest(scene: Scene) -> Any:
    guest = _tag_of(scene, "a guest's")
    return scene.vault.set_duress(OTHER_PHRASE, tag_id=guest, phrase_only=True)  # type: ignore[union-attr]


def _destroy(scene: Scene) -> Any:
    return scene.vault.destroy(confirm=scene.vault.vault_id)  # type: ignore[union-attr]


def _unlock_shared(scene: Scene) -> Any:
    return _opened(scene, GUEST_PHRASE)[2:]


def _close(scene: Scene) -> Any:
    scene.client.close()
    return scene.vault.locked if scene.vault is not None else None


OPERATIONS: list[Operation] = [
    Operation("sign_up", "Client.sign_up", lambda scene: scene.client.sign_up("new@example.org", PASSWORD)),
    Operation("log_in", "Client.log_in", _log_in),
    Operation("log_in_first", "Client.log_in", _log_in_first),
    Operation("log_in_wrong_password", "Client.log_in", _wrong_password, absent=True),
    Operation("log_out", "Client.log_out", lambda scene: scene.client.log_out(), unlocked=True),
    Operation("account", "Client.account", _account),
    Operation("change_password", "Client.change_password", lambda s: s.client.change_password(PASSWORD, PASSWORD)),
    Operation("sessions", "Client.sessions", _sessions),
    Operation("revoke_session", "Client.revoke_session", _revoke),
    Operation("enrol", "Client.enrol", _enrol),
    Operation("unlock", "Client.unlock", lambda scene: _opened(scene, PHRASE)),
    Operation(
        "unlock_two_candidates",
        "Client.unlock",
        lambda scene: _opened(scene, UNKNOWN_PHRASE, OTHER_PHRASE),
        composed=True,
    ),
    Operation("enrol_rotated", "Client.enrol", _enrol_rotated, composed=True),
    Operation("unlock_moving", "Client.unlock", _unlock_moving, composed=True),
    Operation("unlock_wrong_phrase", "Client.unlock", lambda scene: _opened(scene, UNKNOWN_PHRASE), absent=True),
    Operation("unlock_pinned", "Client.unlock", lambda scene: _opened(scene, PHRASE), pinned=True, composed=True),
    Operation("close", "Client.close", _close, unlocked=True),
    *_vault("put", "put", _put),
    *_vault("put_late", "put", _put_late, composed=True),
    *_vault("replace", "put", _replace, lists=True, forbidden=(NotFoundError,)),
    *_vault("put_many", "put_many", _put_many),
    *_vault("replace_many", "put_many", _replace_many, lists=True, forbidden=(NotFoundError,)),
    *_vault("get", "get", _get("letter"), forbidden=(NotFoundError,)),
    *_vault("get_deleted", "get", _get("gone"), absent=True),
    *_vault(
        "get_by_name", "get_by_name", lambda s: s.vault.get_by_name("letter"), composed=True, forbidden=(NotFoundError,)
    ),  # type: ignore[union-attr]
    *_vault("find", "find", _find, composed=True, forbidden=(NotFoundError,)),
    *_vault("list", "list", _list),
    Operation("list_with_rows", "Vault.list", _list_with_rows, unlocked=True),
    *_vault("delete_many", "delete_many", _delete_many, lists=True),
    *_vault("delete", "delete", lambda s: s.vault.delete(s.ids["photo"]), lists=True, forbidden=(NotFoundError,)),  # type: ignore[union-attr]
    *_vault("phrases", "phrases", _phrases),
    Operation("epoch_code", "Vault.epoch_code", lambda s: s.vault.epoch_code(), unlocked=True),  # type: ignore[union-attr]
    Operation(
        "check_epoch", "Vault.check_epoch", lambda s: s.vault.check_epoch(_code(s)), unlocked=True, composed=True
    ),  # type: ignore[union-attr]
    Operation("restoration", "Vault.restoration", lambda s: s.vault.restoration(), reviewed=True, composed=True),  # type: ignore[union-attr]
    Operation("accept_restored", "Vault.accept_restored", _accept_restored, reviewed=True),
    *_shared("phrases_shared", "phrases", _phrases),
    *_vault("old_streams", "old_streams", lambda s: [entry.name for entry in s.vault.old_streams()]),  # type: ignore[union-attr]
    *_shared("old_streams_shared", "old_streams", lambda s: [entry.name for entry in s.vault.old_streams()]),  # type: ignore[union-attr]
    *_shared("get_not_resealed", "get", _get("shared letter"), forbidden=(NotFoundError,)),
    *_shared("add_phrase", "add_phrase", _add_phrase),
    *_shared("revoke_phrase", "revoke_phrase", _revoke_phrase, forbidden=(NotFoundError,)),
    *_shared("change_phrase", "change_phrase", _change_phrase, forbidden=(NotFoundError,)),
    Operation("set_duress", "Vault.set_duress", _set_duress, unlocked=True, composed=True),
    *_shared("set_duress_on_a_guest", "set_duress", _set_duress_on_a_guest, forbidden=(NotFoundError,)),
    Operation(
        "clear_duress",
        "Vault.clear_duress",
        lambda s: s.vault.clear_duress(),  # type: ignore[union-attr]
        unlocked=True,
        in_doubt=(("GET /v1/vaults/*/tags", "authorization"),),
    ),
    *_shared("reseal", "reseal", lambda s: s.vault.reseal()),  # type: ignore[union-attr]
    Operation("put_film", "Vault.put", _put_film, unlocked=True),
    Operation("put_film_again", "Vault.put", _put_film_again, unlocked=True, resuming=True),
    Operation("put_changed_film", "Vault.put", _put_changed_film, unlocked=True, resuming=True, composed=True),
    *_shared("get_to_path", "get_to", _get_to_path, forbidden=(NotFoundError,)),
    Operation("get_to", "Vault.get_to", _get_to, unlocked=True, shared=True, forbidden=(NotFoundError,)),
    *_shared("open", "open", _open, forbidden=(NotFoundError,)),
    Operation("unlock_after_rotation", "Client.unlock", _unlock_shared, composed=True),
    Operation("destroy", "Vault.destroy", _destroy, unlocked=True),
    Operation("lock", "Vault.lock", lambda s: s.vault.lock(), unlocked=True),  # type: ignore[union-attr]
]


def surface(kind: type) -> set[str]:
    """Return the public methods of a class, by `Class.method`."""
    return {
        f"{kind.__name__}.{name}"
        for name, member in vars(kind).items()
        if not name.startswith("_") and callable(member)
    }
