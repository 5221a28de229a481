"""What prints itself prints without its secrets: a log, a debugger or a traceback with locals may print anything."""

import importlib
import pkgutil
from dataclasses import is_dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import hushtag
import hushtag_server
from hushtag.client.contents import VaultObject
from hushtag.messages import LogIn, SessionOpened
from hushtag.objects import ObjectMeta, OpenedObject
from hushtag.streams import StreamInfo

SECRET = {
    "audit_key",
    "check_key",
    "current_password",
    "decoy_seed",
    "new_password",
    "opaque_setup",
    "owner_url",
    "password",
    "password_hash",
    "phrase",
    "release",
    "seal",
    "sealing",
    "sealing_key",
    "secrets",
    "token",
    "url_path",
}
"""Names of fields that hold something secret as plain text or bytes."""
ELSEWHERE = {"DirectCall.token", "Known.phrase", "MoveOffer.release", "_Attempt.password", "_Place.phrase"}
"""Fields of these names that hold something else: a `Secret`, which prints redacted, or nothing secret."""
CANARY = "canary-3141592653"


def kinds() -> list[type[Any]]:
    """Every class of ours that prints its fields."""
    found = set()
    for package in (hushtag, hushtag_server):
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not each.name.endswith("__main__"):
                found |= {kind for kind in vars(importlib.import_module(each.name)).values() if isinstance(kind, type)}
    return sorted((kind for kind in found if kind.__module__.startswith("hushtag") and names(kind)), key=str)


def names(kind: type[Any]) -> tuple[str, ...]:
    if is_dataclass(kind):
        return tuple(kind.__dataclass_fields__)
    fields: tuple[str, ...] = getattr(kind, "__struct_fields__", None) or getattr(kind, "_fields", ())
    return fields


def test_what_holds_a_secret_prints_without_it() -> None:
    held = [kind for kind in kinds() if {n for n in names(kind) if f"{kind.__name__}.{n}" not in ELSEWHERE} & SECRET]
    assert {"LogIn", "SignUp", "ChangePassword", "FinishUnlock", "MoveTag", "Session", "ServerKeys", "LoginRow"} <= {
        kind.__name__ for kind in held
    }
    shown = []
    for kind in held:
        values = {name: CANARY if name in SECRET else None for name in names(kind)}
        made = kind(**values)
        rich = list(made.__rich_repr__()) if hasattr(made, "__rich_repr__") else []
        shown += [kind.__qualname__ for text in (repr(made), str(made), f"{made}", repr(rich)) if CANARY in text]
    assert shown == []


def test_a_message_prints_what_is_no_secret() -> None:
    assert repr(LogIn("ada@example.org", CANARY)) == "LogIn(email='ada@example.org', password='<redacted>')"
    at = datetime(2026, 1, 2, tzinfo=UTC)
    opened = SessionOpened(CANARY, UUID(int=1), UUID(int=2), at, "hushtag-v1", "salt")
    assert CANARY not in repr([opened])
    assert "hushtag-v1" in repr(opened)


def test_what_a_vault_holds_is_not_printed() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    fetched = VaultObject(UUID(int=1), CANARY, "text/plain", at, 3, CANARY.encode())
    opened = OpenedObject(ObjectMeta(CANARY, "text/plain", 0, 17), CANARY.encode())
    stream = StreamInfo(bytes(16), CANARY.encode().ljust(32), 1, 2**14, bytes(32))
    rich = [list(each.__rich_repr__()) for each in (stream, ObjectMeta("a film", "video/mp4", 0, 17, stream))]
    assert CANARY not in f"{stream!r}{rich[0]}{rich[1]}"
    for each in (fetched, opened):
        assert CANARY not in f"{each} {each!r}"
        assert "17 bytes" in repr(each)
