"""Who lives on the server under attack, and the states it had: what the man can replay, swap and splice.

Ada has two phrases, each with a vault of its own; Eve has an account with the same phrase as Ada. What is computed of
phrases (the stretch, OPAQUE) is remembered within a process: the same values as ever, computed once.
"""

import atexit
import functools
import os
import pickle
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import pytest

from hushtag import _opaque
from hushtag._stretch import opaque_password, stretch_phrase
from hushtag.client import (
    Client,
    MemoryPins,
    MemoryPinStore,
    MemoryUploadPages,
    Vault,
    ceremony_steps,
    sending_steps,
    storing_steps,
)
from hushtag.phrase import canonicalize, draw_phrase
from tests.client.fake_server import URL, FakeServer, User, problem
from tests.client.support import EMAIL, OTHER_PHRASE, PASSWORD, PHRASE, connect_sync
from tests.evil.man import Man
from tests.stretching import remember_stretches

T = TypeVar("T")

EVE = "eve@example.org"
SHARED_PHRASE, GUEST_PHRASE, REVOKED_PHRASE, FRESH_PHRASE = (draw_phrase().text for _ in range(4))
LABEL = "for the diary"
SEGMENT = 16 * 1024
FILM = bytes(range(256)) * 100
"""Two segments of a large object."""


class Remembering:
    """The OPAQUE binding, each call made once: equal arguments give the first result, its random part included."""

    def __init__(self, binding: Any) -> None:
        self._binding = binding

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._binding, name)
        if callable(found) and not isinstance(found, type):
            found = functools.cache(found)
        setattr(self, name, found)
        return found


_binding = Remembering(_opaque.binding)


@contextmanager
def remembered() -> Iterator[None]:
    """Compute each stretch and each step of OPAQUE once in this process; what a man alters is computed for real.

    Segments are small and go one after the other, so that every run sends the same requests in the same order.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storing_steps, "SEGMENT_SIZE", SEGMENT)
        patch.setattr(storing_steps, "SMALL_OBJECT_BYTES", SEGMENT)
        patch.setattr(sending_steps, "SEGMENTS_AT_ONCE", 1)
        patch.setattr(_opaque, "binding", _binding)
        remember_stretches(patch)
        yield


class HonestServer(FakeServer):
    """The server in memory, which refuses an altered login state as a real one does."""

    def respond(self, request: httpx.Request) -> httpx.Response:
        try:
            return self._respond(request)
        except AssertionError:  # a client handed back another state than the server's
            return problem(401, "ceremony_failed")


def copied(store: MemoryPinStore) -> MemoryPinStore:
    """Another device that has seen the same."""
    other = MemoryPinStore()
    other._pages = dict(store._pages)
    return other


@dataclass
class Scene:
    """One client in one state of the world, and the man between."""

    server: HonestServer
    man: Man
    client: Client
    vault: Vault | None
    ids: dict[str, UUID]
    film: Path


class KilledError(Exception):
    """The client is gone, from one request to the next."""


def copied_state(state: T) -> T:
    """Return another of the same; a hundred thousand are made, and pickle does it in a fifth of deepcopy's time."""
    copy: T = pickle.loads(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))
    return copy


def copied_pages(pages: MemoryUploadPages) -> MemoryUploadPages:
    """Another device that was killed at the same place."""
    other = MemoryUploadPages()
    other._pages = copied_state(pages._pages)
    return other


def clone(server: FakeServer) -> HonestServer:
    """A server in the same state, open vault sessions included."""
    other = HonestServer()
    other.users, other.tokens, other.vault_tokens = copied_state((server.users, server.tokens, server.vault_tokens))
    other.page, other.setups = server.page, server.setups
    return other


def at_another_time(server: FakeServer, users: dict[str, User]) -> HonestServer:
    """The server with everybody's tags and vaults as in `users`, and the sessions it has now."""
    other = HonestServer()
    other.page, other.setups = server.page, server.setups
    other.users = copied_state(users)
    other.tokens = {token: (other.users[user.email], session) for token, (user, session) in server.tokens.items()}
    for token, (user, tag, session) in server.vault_tokens.items():
        owner = other.users[user.email]
        if tag.phrase_hash in owner.tags:
            other.vault_tokens[token] = (owner, owner.tags[tag.phrase_hash], session)
    other.ceremonies = server.ceremonies
    return other


class World:
    """The state every attack begins in, and the older ones."""

    def __init__(self) -> None:
        self.server = HonestServer()
        self.server.page = 2
        self.ids: dict[str, UUID] = {}
        self.older: dict[str, dict[str, User]] = {}
        self._pins: MemoryPinStore | None = None
        with connect_sync(URL, self.server.transport()) as client:
            self._settle(client, EMAIL, PHRASE)
            self._settle(client, EVE, PHRASE)
            client.log_in(EMAIL, PASSWORD)
            client.enrol(OTHER_PHRASE, label="another")
            with client.unlock(OTHER_PHRASE) as other:
                self.ids["elsewhere"] = other.put(b"in the other vault", name="letter").object_id
            self._remember("no objects")
            with client.unlock(PHRASE) as vault:
                self._fill(vault)
            self._share(client)
            self._break_off()
        self.server.tokens.clear()
        self.server.vault_tokens.clear()

    def _settle(self, client: Client, email: str, phrase: str) -> None:
        client.sign_up(email, PASSWORD)
        client.log_in(email, PASSWORD)
        client.enrol(phrase, label=LABEL)
        if email == EVE:
            with client.unlock(phrase) as vault:
                vault.put(FILM[::-1], name="her film")
                self.ids["hers"] = vault.put(b"what Eve wrote", name="letter").object_id

    def _fill(self, vault: Vault) -> None:
        for name in ("letter", "gone", "photo", "song"):
            self.ids[name] = vault.put(f"the first {name}".encode(), name=name).object_id
        self._remember("before the change")
        vault.put(b"the second letter", name="letter", replace=self.ids["letter"])
        self._remember("before the deletion")
        vault.delete(self.ids["gone"])

    def _share(self, client: Client) -> None:
        """A third vault: two phrases open it and one was revoked; one of its objects is not re-sealed yet."""
        client.enrol(SHARED_PHRASE, label="hers")
        with client.unlock(SHARED_PHRASE) as vault:
            vault.add_phrase(GUEST_PHRASE, label="a guest's")
            revoked = vault.add_phrase(REVOKED_PHRASE, label="revoked").tag_id
            for name in ("shared letter", "shared photo"):
                self.ids[name] = vault.put(f"the {name}".encode(), name=name).object_id
            with pytest.MonkeyPatch.context() as patch:  # first in every listing: it alone has all of an entry's fields
                patch.setattr(storing_steps, "uuid4", lambda: UUID(int=1))
                self.ids["film"] = vault.put(FILM[1:], name="film").object_id
            self._remember("before the revocation")
            vault.revoke_phrase(revoked)
            vault.put(b"the second shared photo", name="shared photo", replace=self.ids["shared photo"])
            vault.put(FILM, name="film", replace=self.ids["film"])

    def _break_off(self) -> None:
        """A device of Ada's was killed when it had sent the first of two segments."""
        self.film = Path(tempfile.mkdtemp(prefix="hushtag-test-")) / "film"
        atexit.register(shutil.rmtree, self.film.parent, ignore_errors=True)
        self.film.write_bytes(FILM)
        self._made = self.film.stat().st_mtime_ns
        self.pages = MemoryUploadPages()

        def kill(request: httpx.Request) -> None:
            if request.method == "PUT" and request.url.path.endswith("/segments/1"):
                raise KilledError

        with connect_sync(URL, self.server.transport(), upload_pages=self.pages) as client:
            client.log_in(EMAIL, PASSWORD)
            vault = client.unlock(PHRASE)
            self.server.on_request = kill
            with suppress(KilledError):
                vault.put(self.film)
            self.server.on_request = None

    def _remember(self, name: str) -> None:
        self.older[name] = copied_state(self.server.users)

    def pins(self) -> MemoryPinStore:
        """What a device of Ada's has pinned that has listed her vault as it is at last."""
        if self._pins is None:
            self._pins = MemoryPinStore()
            with connect_sync(URL, clone(self.server).transport(), vault_pins=self._pins) as client:
                client.log_in(EMAIL, PASSWORD)
                client.unlock(PHRASE).list()
        return copied(self._pins)

    def reviewed(self, when: str = "before the deletion") -> Scene:
        """Ada's device has seen her vault as it is, and looks at an older state that is served now."""
        server = HonestServer()
        server.users, server.page = copied_state(self.older[when]), self.server.page
        man = Man(server)
        client = connect_sync(URL, man.transport(), vault_pins=self.pins())
        client.log_in(EMAIL, PASSWORD)
        vault = client.unlock(PHRASE, review_restored=True)
        man.arm(None)
        return Scene(server, man, client, vault, self.ids, self.film)

    def scene(
        self,
        *,
        unlocked: bool = False,
        warm: bool = False,
        pinned: bool = False,
        email: str = EMAIL,
        phrase: str = PHRASE,
        resuming: bool = False,
    ) -> Scene:
        """Ada logs in; if `unlocked`, opens her vault; if `warm`, reads all of it. Nobody interferes yet."""
        server = clone(self.server)
        man = Man(server)
        store = self.pins() if pinned else None
        os.utime(self.film, ns=(self._made, self._made))
        pages = copied_pages(self.pages) if resuming else None
        client = connect_sync(URL, man.transport(), pins=MemoryPins(), vault_pins=store, upload_pages=pages)
        client.log_in(email, PASSWORD)
        vault = client.unlock(phrase) if unlocked else None
        if vault is not None and warm:
            vault.list()
        man.arm(None)
        return Scene(server, man, client, vault, self.ids, self.film)


def canaries(phrase: str, salt: bytes) -> dict[str, bytes]:
    """What of a phrase no request may hold, in any spelling."""
    canonical = canonicalize(phrase)
    stretch = stretch_phrase(canonical, salt, ceremony_steps.suite_by_id("hushtag-v1"))
    password = opaque_password(stretch, None)
    return {
        "phrase": canonical.encode(),
        "half of the phrase": canonical[: len(canonical) // 2].encode(),
        "stretch": stretch.expose(),
        "password": password.expose(),
        "phrase key": bytes.fromhex(password.expose().decode()),
    }
