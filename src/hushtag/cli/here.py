"""What every subcommand works with: options that all of them take, state, server, terminal, and the open vault."""

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.secret_input import SecretInput
from hushtag.cli.text import local_time, safe_text

if TYPE_CHECKING:
    from hushtag.client import Client, Session, Vault
    from hushtag.client.pin_file import PinFile
    from hushtag.client.state import StateFile
    from hushtag.client.upload_pages import UploadPageFiles

__all__ = ["Here"]


class Here:
    """The surroundings of one command."""

    def __init__(self, *, as_json: bool, server: str | None, state: Path | None, allow_insecure: bool) -> None:
        self.as_json = as_json
        self.server = server
        self.secrets = SecretInput()
        self.vault_id: UUID | None = None
        self.opened: Vault | None = None  # the vault of a shell
        self._state = state
        self._allow_insecure = allow_insecure

    @functools.cached_property
    def state(self) -> "StateFile":
        """The local state."""
        from hushtag.client.state import StateFile

        if self._state is not None:
            return StateFile(self._state)
        from platformdirs import user_state_path

        return StateFile(user_state_path("hushtag", appauthor=False))

    @functools.cached_property
    def vault_pins(self) -> "PinFile":
        """What this device has seen of vaults."""
        from hushtag.client.pin_file import PinFile

        return PinFile(self.state.directory)

    @functools.cached_property
    def upload_pages(self) -> "UploadPageFiles":
        """What this device remembers of unfinished uploads."""
        from hushtag.client.upload_pages import UploadPageFiles

        return UploadPageFiles(self.state.directory)

    def client(self, server: str, session: "Session | None" = None) -> "Client":
        """Return a client of a server whose pins are kept in the state."""
        from hushtag.client import Client, DeviceSecretStore

        return Client(
            server,
            session=session,
            pins=self.state,
            vault_pins=self.vault_pins,
            upload_pages=self.upload_pages,
            device_secrets=DeviceSecretStore(self.state.directory, self.note),
            allow_insecure=self._allow_insecure,
        )

    def session(self) -> "Session":
        """Return the session kept in the state.

        Raises:
            NotLoggedInError: there is none.
            UsageError: another server was asked for than the one we are logged in to.
        """
        from hushtag.client import NotLoggedInError
        from hushtag.client.policy import server_url

        session = self.state.load().session
        if session is None:
            raise NotLoggedInError("not logged in")
        if self.server is not None and str(server_url(self.server, allow_insecure=True)) != session.server:
            raise UsageError(f"logged in to {session.server}, not to {self.server}; log in there first")
        return session

    @contextmanager
    def logged_in(self) -> "Iterator[Client]":
        """A client with the kept session."""
        session = self.session()
        self.renew_pages()
        with self.client(session.server, session) as client:
            yield client

    def renew_pages(self) -> None:
        """Write anew what this device keeps of vaults: by every command, so that the time of the last tells of none.

        Where it cannot be written, that is said each time and stops nobody: what is pinned is held against the server
        all the same, and of a state that is newer nothing is shown before it is pinned.
        """
        from hushtag.client import PinsNotWrittenError
        from hushtag.client.private_file import is_unwritable

        try:
            self.vault_pins.renew()
            self.upload_pages.renew()
        except (PinsNotWrittenError, OSError) as error:
            if isinstance(error, OSError) and not is_unwritable(error):
                raise
            self.note(
                f"The state in {safe_text(str(self.state.directory))} cannot be written. A vault can be read if "
                "nothing of it is newer than what this device has pinned; a change of it may be stored and not pinned."
            )

    def this_device_secret(self) -> bytes:
        """Return the 32 bytes of the device secret in use here."""
        with self.logged_in() as client:
            return client.device.secret().expose()

    @contextmanager
    def ready_for_phrase(self) -> "Iterator[Client]":
        """As `logged_in`, and the suite is one this program knows: checked before any phrase is asked for."""
        from hushtag.suites import suite_by_id

        suite_by_id(self.session().suite)
        with self.logged_in() as client:
            yield client

    def say(self, text: str, **fields: Any) -> None:
        """Write the outcome: `text` for a person, `fields` as one JSON object for a program."""
        click.echo(json.dumps(fields, default=_plain) if self.as_json else text)

    def say_once(self, text: str, secret: str, **fields: Any) -> None:
        """Say what has a secret that is shown nowhere else; the secret goes to stderr if that cannot be written."""
        try:
            self.say(text, **fields)
        except OSError:
            click.echo(f"It is done, but could not be written. Shown this once:\n\n    {secret}\n", err=True)
            raise

    @contextmanager
    def telling(self, **fields: Any) -> "Iterator[list[str]]":
        """Say what was done one by one, from the lines added meanwhile and the lists among `fields`.

        What is done is said even if a later one fails: nobody knows otherwise where to go on.
        """
        lines: list[str] = []
        try:
            yield lines
        except BaseException:
            if lines:
                self.say("\n".join(lines), **fields)
            raise
        self.say("\n".join(lines), **fields)

    def note(self, text: str, *, needed: bool = False) -> None:
        """Write a remark to stderr, for a person; the command fails where it cannot be written and is `needed`."""
        if self.as_json:
            return
        with nullcontext() if needed else suppress(OSError):
            click.echo(text, err=True)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something that cannot be taken back, unless `yes`.

        Raises:
            UsageError: there is nobody to ask.
        """
        if yes:
            return
        if self.as_json or not sys.stdin.isatty():
            raise UsageError("nobody to ask; use --yes")
        click.confirm(question, abort=True, err=True)

    def working(self, what: str) -> Any:
        """Show that something is going on, while the context lasts, if somebody is watching."""
        if self.as_json or not sys.stderr.isatty():
            return nullcontext()
        from rich.console import Console

        return Console(stderr=True).status(what)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Yield a function that counts work done; a bar appears once it takes longer than a second."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _done: None
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        task = bar.add_task(what, total=total)
        started = time.monotonic()

        def advance(done: int) -> None:
            bar.update(task, advance=done)
            if time.monotonic() - started > 1 and not bar.live.is_started:
                bar.start()

        try:
            yield advance
        finally:
            bar.stop()

    @contextmanager
    def counting(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Yield what is told how many are done and how many there are; a bar shows it, if somebody is watching."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _done, _total: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    @contextmanager
    def open_vault(self, *, epoch_code: str | None = None, review_restored: bool = False) -> "Iterator[Vault]":
        """Ask for the phrase, unlock, and lock again at the end; inside a shell, the vault that is open already."""
        if self.opened is not None:
            yield self.opened
            return
        with self.ready_for_phrase() as client:
            phrases = self.secrets.phrases()
            device_secret = self.secrets.device_secret()
            with self.working("stretching the phrase"):
                first = client.unlock(
                    phrases, device_secret=device_secret, epoch_code=epoch_code, review_restored=review_restored
                )
            with first:
                self._tell_failed(first)
                vault = _chosen(first, self.vault_id)
                if vault.pinned is None:
                    self.note(
                        "This device opens this vault for the first time; if another device knows it, compare "
                        "`hushtag epoch show` of both."
                    )
                yield vault

    def _tell_failed(self, vault: "Vault") -> None:
        failed = vault.failed_attempts
        if failed.last_at is not None:
            what = "1 guess" if failed.guesses == 1 else f"{failed.guesses} guesses"
            self.note(f"Since the last unlock {what} opened nothing, the last at {local_time(failed.last_at)}.")


def _chosen(first: "Vault", vault_id: UUID | None) -> "Vault":
    """Return the vault of that id among those the phrase opened; the first if none is asked for.

    Raises:
        NotFoundError: the phrase does not open it.
    """
    from hushtag.client import NotFoundError

    found = next((vault for vault in first.vaults if vault_id in (None, vault.vault_id)), None)
    if found is None:
        raise NotFoundError("this phrase does not open that vault", code="not_found")
    return found


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
