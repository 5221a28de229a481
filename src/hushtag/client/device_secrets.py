"""Where a device keeps its device secrets: the operating system's keyring, or else a file that only its owner reads.

Every device has a secret from its first login on, whether or not any phrase uses it, and nothing here says which do:
whoever holds the unlocked device learns from it only that somebody logged in.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

import msgspec

from hushtag.client.errors import StateFileError
from hushtag.client.private_file import locked, replace_private
from hushtag.client.state import read_private
from hushtag.device_secret import generate_device_secret
from hushtag.types import DeviceSecret

__all__ = [
    "MAX_DEVICE_SECRETS",
    "DeviceSecretStore",
    "DeviceSecrets",
    "Held",
    "Keyring",
    "MemoryDeviceSecrets",
    "first_secret",
    "system_keyring",
]

MAX_DEVICE_SECRETS: Final = 8
"""Of one account on one device: its own, and those it was given."""
_SERVICE: Final = "hushtag"
_MADE: Final = b"made\n"
_NO_KEYRING: Final = (
    "this machine has no keyring that works: the device secret lies in a file that everything you run can read"
)

T = TypeVar("T")
Held = tuple[DeviceSecret, ...]
_Hex = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
_Several = Annotated[tuple[_Hex, ...], msgspec.Meta(min_length=1, max_length=MAX_DEVICE_SECRETS)]


class DeviceSecrets(Protocol):
    """Where device secrets are kept; the methods may block and are called in a worker thread by `AsyncClient`."""

    def knows(self, account: str) -> bool:
        """Tell whether an account has secrets here, without reading them."""

    def held(self, account: str) -> Held:
        """Return the secrets of an account, the one in use first; none before the first login."""

    def change(self, account: str, change: Callable[[Held], Sequence[DeviceSecret]]) -> None:
        """Keep what `change` makes of them; nobody else changes them meanwhile."""


class Keyring(Protocol):
    """What is used of the library `keyring`."""

    def get_password(self, service: str, username: str) -> str | None:
        """Return a secret text, if there is one."""

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a secret text."""


def system_keyring() -> Keyring | None:
    """Return the operating system's keyring as the library `keyring` reaches it; `None` if that is not installed."""
    try:
        import keyring
    except ImportError:
        return None
    return keyring.get_keyring()


def first_secret(held: Held) -> Sequence[DeviceSecret]:
    """The change that gives a device its own secret and leaves one that has some alone."""
    return held or (generate_device_secret(),)


class MemoryDeviceSecrets:
    """Device secrets that live as long as this object."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def knows(self, account: str) -> bool:
        """Tell whether an account has secrets here."""
        return account in self._held

    def held(self, account: str) -> Held:
        """Return the secrets of an account, the one in use first."""
        return self._held.get(account, ())

    def change(self, account: str, change: Callable[[Held], Sequence[DeviceSecret]]) -> None:
        """Keep what `change` makes of them."""
        self._held[account] = tuple(change(self.held(account)))


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    place: Literal["keyring", "file"]
    secrets: _Several | None = None

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("place", self.place)]

    def __repr__(self) -> str:
        return f"_Entry(place={self.place!r}, not shown)"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1] = 1
    accounts: dict[str, _Entry] = msgspec.field(default_factory=dict)


def _texts(secrets: Sequence[DeviceSecret]) -> tuple[str, ...]:
    return tuple(secret.expose().hex() for secret in secrets)


def _kept_texts(text: str | None) -> tuple[str, ...]:
    try:
        return msgspec.convert((text or "").split(), _Several)
    except msgspec.ValidationError:
        raise StateFileError("the keyring does not hold this device's secret any more") from None


def _secrets(texts: Sequence[str]) -> Held:
    return tuple(DeviceSecret(bytes.fromhex(each)) for each in texts)


class DeviceSecretStore:
    """Device secrets of one state directory, safe for several processes.

    Its file says for each account, under a hashed name, where the secrets lie; once in a place they stay there, so that
    a keyring that is locked today is never taken for one that has nothing. The keyring is one for all state directories
    of a user: what it holds of an account is taken over by a directory that does not know the account yet, and never
    written over. The lock file remembers that there was a file: one that is missing then was lost with the secrets in
    it, and is never begun anew unasked. `tell` is given a sentence for a person when a file has to do.

    Raises:
        StateFileError: file or keyring cannot be read or written, or hold no secrets.
    """

    def __init__(
        self,
        directory: Path,
        tell: Callable[[str], None],
        keyring: Callable[[], Keyring | None] = system_keyring,
    ) -> None:
        self._directory = directory
        self._path = directory / "device-secrets.json"
        self._lock = directory / "device-secrets.lock"
        self._tell = tell
        self._keyring = keyring

    def knows(self, account: str) -> bool:
        """Tell whether an account has secrets here, without asking the keyring."""
        return account in self._load().accounts

    def held(self, account: str) -> Held:
        """Return the secrets of an account, the one in use first."""
        entry = self._load().accounts.get(account)
        if entry is None:
            return ()
        found = entry.secrets if entry.place == "file" else _kept_texts(self._asked_for(account))
        if not found:
            raise StateFileError(f"{self._path} names no device secret where there must be one")
        return _secrets(found)

    def change(self, account: str, change: Callable[[Held], Sequence[DeviceSecret]]) -> None:
        """Keep what `change` makes of them."""
        with self._turn() as lock:
            file = self._load()
            before = file.accounts.get(account)
            if before is None:
                entry = self._first(account, change)
            elif before.place == "keyring":
                self._into_keyring(account, change(self.held(account)))
                return
            else:
                entry = _Entry("file", _texts(change(self.held(account))))
            self._store(_File(accounts={**file.accounts, account: entry}))
            os.pwrite(lock, _MADE, 0)
            os.fsync(lock)

    def _first(self, account: str, change: Callable[[Held], Sequence[DeviceSecret]]) -> _Entry:
        try:
            # Of another directory, or of this one before it was emptied: phrases may need what lies there.
            left = self._asked_for(account)
            self._into_keyring(account, change(_secrets(_kept_texts(left)) if left else ()))
        except StateFileError:
            self._tell(_NO_KEYRING)
            return _Entry("file", _texts(change(())))
        return _Entry("keyring")

    def _asked_for(self, account: str) -> str | None:
        return self._ask(lambda ring: ring.get_password(_SERVICE, account))

    def _into_keyring(self, account: str, secrets: Sequence[DeviceSecret]) -> None:
        kept = " ".join(_texts(secrets))
        self._ask(lambda ring: ring.set_password(_SERVICE, account, kept))
        if self._ask(lambda ring: ring.get_password(_SERVICE, account)) != kept:
            raise StateFileError("the keyring does not keep what it is given")

    def _ask(self, what: Callable[[Keyring], T]) -> T:
        try:
            ring = self._keyring()
            if ring is not None:
                return what(ring)
        except Exception as error:  # backends raise what they like; none of it may hold the secret
            raise StateFileError(f"the keyring refuses ({type(error).__name__})") from None
        raise StateFileError("there is no keyring; install hushtag[device]")

    def _load(self) -> _File:
        try:
            return msgspec.json.decode(read_private(self._path), type=_File)
        except FileNotFoundError:
            if self._lock.exists() and self._lock.stat().st_size:
                raise StateFileError(
                    f"{self._path} is gone, and with it what phrases of this device need: put it back from a copy, or "
                    f"give it up by removing {self._lock} as well"
                ) from None
            return _File()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise StateFileError(f"{self._path} is damaged; restore it from a copy if you can") from None

    @contextmanager
    def _turn(self) -> Iterator[int]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._lock) as lock:
            yield lock

    def _store(self, file: _File) -> None:
        content = msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
        replace_private(self._path, content, prefix="device-secrets.")
