"""The blocking client. What it does is in the steps; this only runs them."""

import ssl
from typing import Self
from uuid import UUID

import httpx

from hushtag.client.archive_file import Exported, Place, Progress
from hushtag.client.client_steps import ClientSteps, Phrases
from hushtag.client.contents import EnrolledTag
from hushtag.client.device import Device
from hushtag.client.device_secrets import DeviceSecrets
from hushtag.client.drivers import SyncDriver
from hushtag.client.journal import Journals
from hushtag.client.pin_file import PinStore
from hushtag.client.policy import RetryPolicy, Timeouts
from hushtag.client.profile import Profile
from hushtag.client.reminders import Reminders
from hushtag.client.session import Pins, Session
from hushtag.client.transport import connection_options, typed_environment
from hushtag.client.upload_pages import UploadPages
from hushtag.client.vault import Vault
from hushtag.messages import Account, ChangePassword, LogIn, SessionInfo, SignUp
from hushtag.phrase import FLOOR_BITS, DrawnPhrase, PhraseKind
from hushtag.recovery import RecoveryCode
from hushtag.transfer_messages import ImportDone
from hushtag.types import DeviceSecret

__all__ = ["Client"]

_DEFAULT_TIMEOUTS = Timeouts()
_DEFAULT_RETRY = RetryPolicy()


class Client:
    """One account on one server; `AsyncClient` is the same for an event loop.

        with Client("https://vault.example.org") as client:
            client.log_in("ada@example.org", password)
            with client.unlock(phrase) as vault:
                vault.put(Path("letter.pdf"))

    Every call may raise `TransportError` (no answer), `ServerError` and its kinds (a refusal), `SessionExpiredError`
    (log in again), `MalformedError` (an answer outside the contract; `MalformedOutcomeError` to a change, which may be
    made). Leaving the context locks every open vault and keeps the account session, which `session` holds and a later
    `Client` can be given. Several threads may use one; a process that was forked makes its own: in it, this one asks
    nothing.

    Args:
        server: `https://…`; `http://` only on this machine, unless `allow_insecure`.
        session: what an earlier `log_in` on the same server returned.
        pins: where user id and phrase salt of an account are kept; by default only in memory.
        vault_pins: where the newest state seen of each vault is kept across sessions, so that an older one is
            refused (`PinFile`); by default nowhere, and only a session remembers.
        upload_pages: where unfinished uploads of large files are remembered, so that they are gone on with after the
            end of the program (`UploadPageFiles`); by default nowhere.
        device_secrets: where device secrets are kept; by default only in memory.
        ssl_context: other trust than the system's; certificates are verified in any case.
        transport: an httpx transport to use in place of the network.

    Raises:
        InsecureServerError: the URL would show tokens to the network, or the session is another server's.
        MisuseError: the environment names a proxy or certificates that cannot be used.
    """

    def __init__(
        self,
        server: str,
        *,
        session: Session | None = None,
        pins: Pins | None = None,
        vault_pins: PinStore | None = None,
        upload_pages: UploadPages | None = None,
        device_secrets: DeviceSecrets | None = None,
        timeouts: Timeouts = _DEFAULT_TIMEOUTS,
        retry: RetryPolicy = _DEFAULT_RETRY,
        allow_insecure: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._steps = ClientSteps(
            server,
            session,
            pins,
            device_secrets,
            retry,
            allow_insecure=allow_insecure,
            vault_pins=vault_pins,
            upload_pages=upload_pages,
        )
        url = self._steps.url
        with typed_environment():
            http = httpx.Client(transport=transport, **connection_options(url, timeouts, ssl_context))
        self._driver = SyncDriver(url, http, timeouts)

    @property
    def session(self) -> Session | None:
        """The account session, if logged in. It holds the token: keep it as you would a password."""
        return self._steps.session

    @property
    def journal(self) -> Journals:
        """The journal."""
        return Journals(self._driver, self._steps.journal, self._steps.tags)

    @property
    def reminders(self) -> Reminders:
        """The reminders."""
        return Reminders(self._driver, self._steps.reminders)

    @property
    def profile(self) -> Profile:
        """Names, settings, consents, audit trail, and closing the account."""
        return Profile(self._driver, self._steps.profile)

    @property
    def device(self) -> Device:
        """The device secret, which makes a phrase useless without this device."""
        return Device(self._driver, self._steps.device)

    @property
    def server(self) -> str:
        """The server's URL as tokens and pins are bound to it."""
        return self._steps.server

    def sign_up(
        self,
        email: str,
        password: str,
        *,
        first_name: str | None = None,
        last_name: str | None = None,
        terms_version: str | None = None,
        privacy_version: str | None = None,
    ) -> None:
        """Make an account; an email that is known already gets the same answer and keeps its account.

        The versions are of the terms and the privacy policy its owner consents to with it.

        Raises:
            LimitError: a field is outside its limits (password: 10 to 256 characters); nothing was sent.
            BudgetError: too many attempts from here.
        """
        message = SignUp(email, password, first_name, last_name, terms_version, privacy_version)
        self._driver.run(self._steps.sign_up(message))

    def log_in(self, email: str, password: str, *, accept_new_salt: bool = False) -> Session:
        """Open a session and hold the account against what is pinned of it.

        Raises:
            LoginError: unknown email or wrong password; which is not told.
            BudgetError: too many attempts.
            PinChangedError: user id or phrase salt are not the pinned ones. `accept_new_salt` pins the new ones: only
                if you know why they changed.
        """
        return self._driver.run(self._steps.log_in(LogIn(email, password), accept_new_salt=accept_new_salt))

    def log_out(self) -> None:
        """Forget keys and session, then end the session on the server.

        Raises:
            NotLoggedInError: there is no session.
            TransportError: the server could not be told; everything here is forgotten all the same.
        """
        self._driver.run(self._steps.log_out())

    def account(self) -> Account:
        """Return the profile of the account.

        Raises:
            PinChangedError: it is another user's, or its phrase salt changed since the login.
        """
        return self._driver.run(self._steps.account())

    def change_password(self, current: str, new: str) -> None:
        """Change the password of the account; every other session ends, this one stays.

        Phrases and vaults do not depend on it. After a lost answer, log in with the new password to find out.

        Raises:
            LimitError: the new password is outside its limits (10 to 256 characters); nothing was sent.
            LoginError: the current password is wrong.
            BudgetError: too many attempts.
        """
        self._driver.run(self._steps.change_password(ChangePassword(current, new)))

    def sessions(self) -> tuple[SessionInfo, ...]:
        """Return every living session of the account."""
        return self._driver.run(self._steps.sessions())

    def revoke_session(self, session_id: UUID) -> None:
        """End one session of the account, and its vault sessions.

        Raises:
            NotFoundError: the account has no such session.
        """
        self._driver.run(self._steps.revoke_session(session_id))

    def export_data(
        self, place: Place, *, vault: Vault | None = None, on_progress: Progress | None = None, force: bool = False
    ) -> Exported:
        """Write everything plain of the account into a ZIP: to a path (mode 0600), or into an open binary file.

        With an open vault of this account the ciphertext of what its phrase opens comes along; without one nothing in
        the archive tells whether there are vaults. `on_progress(done, total)` counts members, of about `total`. An
        archive at a path has been verified; `force` lets it replace what is there.

        Raises:
            MisuseError: something is at the path already; nothing was asked for.
            MalformedError: the export broke off, is not whole or over 64 GiB; nothing is left at the path.
            TimedOutError: it does not end within about an hour; nothing is left at the path.
            BudgetError: an export of this account is running.
            SessionExpiredError: the session has ended, or the vault was locked on the server.
        """
        token = None if vault is None else vault.token
        return self._driver.run(self._steps.transfer.export_data(place, token, on_progress, force=force))

    def import_data(self, place: Place, on_progress: Progress | None = None) -> ImportDone:
        """Bring an exported ZIP into this account, from a path or an open binary file.

        What is missing is made under its own id; what is there stays as it is, so importing again does no harm.
        `on_progress(done, total)` counts the bytes sent; checking and writing take their time after the last.

        Raises:
            ServerError: the archive is not in order; `fields` name member, line, field and rule. Nothing was written.
            LimitReachedError: it is too large, or would make too many tags; nothing was written.
            BudgetError: an import of this account is running.
            LimitError: it is empty; nothing was sent.
        """
        return self._driver.run(self._steps.transfer.import_data(place, on_progress))

    def enrol(
        self,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        label: str = "",
        device_secret: DeviceSecret | bytes | None = None,
        floor_bits: float = FLOOR_BITS,
    ) -> EnrolledTag:
        """Make a vault that this phrase opens. Costs one guess of the account's budget.

        `label` (at most 252 bytes) is what those inside the vault read of this phrase. `device_secret` is 32 random
        bytes without which the phrase opens nothing; nobody can restore a lost one.

        Raises:
            WeakPhraseError: the phrase is below the floor, which may be raised above 50 bits but not lowered.
            PhraseError: the phrase has no canonical form.
            UnknownSuiteError: the server wants another suite; the phrase was not touched.
            ConflictError: the phrase opens a vault of this account already.
            BudgetError: no guesses are left.
        """
        steps = self._steps.enrol(phrase, label=label, device_secret=device_secret, floor_bits=floor_bits)
        return self._driver.run(steps)

    def unlock(
        self,
        phrases: Phrases,
        *,
        device_secret: DeviceSecret | bytes | None = None,
        kind: PhraseKind | None = None,
        epoch_code: str | None = None,
        review_restored: bool = False,
    ) -> Vault:
        """Open what a phrase opens; several transcripts of one utterance, best first, cost one guess each (at most 5).

        `kind` tells whether the phrase sought was drawn or chosen freely, if that is known: for a drawn one most
        mishearings are then dropped before the server is asked.

        With `vault_pins` a vault is held against what this device has pinned of it, and pinned. `epoch_code`: five
        words shown by another device, to which a vault of the phrase must be equal, or later. `review_restored` opens
        a vault that takes back what was pinned as well, but only for `Vault.restoration` and `Vault.accept_restored`.

        Raises:
            VaultRolledBackError: a vault is older, or other, than this device has seen; it says what changed.
            EpochError: the vault is older, or other, than the epoch code stands for.
            EpochCodeError: that is no epoch code; nothing was asked.
            PinStoreError: the pins of this device are damaged or lost; nothing was asked.
            AuthenticationError: no candidate opens anything here.
            PhraseError: no transcript can be a phrase.
            ListedWordError: a mistyped recovery code; nobody was asked.
            IntegrityError: the phrase is right, and what the server keeps behind it is not authentic. It is an
                AuthenticationError too: tell it apart first.
            UnknownSuiteError, BudgetError: as for `enrol`.
            CeremonyError: a step came too late; try again.
        """
        steps = self._steps.unlock(
            phrases,
            device_secret=device_secret,
            kind=kind,
            epoch_code=epoch_code,
            review_restored=review_restored,
        )
        tag = self._driver.run(steps)
        vaults: list[Vault] = []
        vaults += [Vault(self._driver, tag, each, vaults) for each in tag.vaults]
        return vaults[0]

    def close(self) -> None:
        """Lock every open vault, as far as the server can be told, and close the connections."""
        try:
            self._driver.run(self._steps.close())
        finally:
            self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
