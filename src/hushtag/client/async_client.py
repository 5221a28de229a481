"""The client for an event loop: the surface of `client.py`, awaited. Stretch and OPAQUE run in worker threads."""

import ssl
from typing import Self
from uuid import UUID

import anyio
import httpx

from hushtag.client.archive_file import Exported, Place, Progress
from hushtag.client.async_device import AsyncDevice
from hushtag.client.async_journal import AsyncJournals
from hushtag.client.async_profile import AsyncProfile
from hushtag.client.async_reminders import AsyncReminders
from hushtag.client.async_vault import LEAVE_SECONDS, AsyncVault
from hushtag.client.client_steps import ClientSteps, Phrases
from hushtag.client.contents import EnrolledTag
from hushtag.client.device_secrets import DeviceSecrets
from hushtag.client.drivers import AsyncDriver
from hushtag.client.pin_file import PinStore
from hushtag.client.policy import RetryPolicy, Timeouts
from hushtag.client.session import Pins, Session
from hushtag.client.transport import connection_options, typed_environment
from hushtag.client.upload_pages import UploadPages
from hushtag.messages import Account, ChangePassword, LogIn, SessionInfo, SignUp
from hushtag.phrase import FLOOR_BITS, DrawnPhrase, PhraseKind
from hushtag.recovery import RecoveryCode
from hushtag.transfer_messages import ImportDone
from hushtag.types import DeviceSecret

__all__ = ["AsyncClient"]

_DEFAULT_TIMEOUTS = Timeouts()
_DEFAULT_RETRY = RetryPolicy()


class AsyncClient:
    """`Client` for an event loop: the same calls, arguments and errors, awaited.

    async with AsyncClient("https://vault.example.org") as client:
        await client.log_in("ada@example.org", password)
        async with await client.unlock(phrase) as vault:
            await vault.put(Path("letter.pdf"))

    A client belongs to the event loop it was first used in: in another one, also one of a later `asyncio.run`, every
    call is a `MisuseError`. A session that was kept (`session`) goes on in a client made there.
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
        transport: httpx.AsyncBaseTransport | None = None,
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
            http = httpx.AsyncClient(transport=transport, **connection_options(url, timeouts, ssl_context))
        self._driver = AsyncDriver(url, http, timeouts)

    @property
    def session(self) -> Session | None:
        """As `Client.session`."""
        return self._steps.session

    @property
    def journal(self) -> AsyncJournals:
        """As `Client.journal`."""
        return AsyncJournals(self._driver, self._steps.journal, self._steps.tags)

    @property
    def reminders(self) -> AsyncReminders:
        """As `Client.reminders`."""
        return AsyncReminders(self._driver, self._steps.reminders)

    @property
    def profile(self) -> AsyncProfile:
        """As `Client.profile`."""
        return AsyncProfile(self._driver, self._steps.profile)

    @property
    def device(self) -> AsyncDevice:
        """As `Client.device`."""
        return AsyncDevice(self._driver, self._steps.device)

    @property
    def server(self) -> str:
        """As `Client.server`."""
        return self._steps.server

    async def sign_up(
        self,
        email: str,
        password: str,
        *,
        first_name: str | None = None,
        last_name: str | None = None,
        terms_version: str | None = None,
        privacy_version: str | None = None,
    ) -> None:
        """As `Client.sign_up`."""
        message = SignUp(email, password, first_name, last_name, terms_version, privacy_version)
        await self._driver.run(self._steps.sign_up(message))

    async def log_in(self, email: str, password: str, *, accept_new_salt: bool = False) -> Session:
        """As `Client.log_in`."""
        return await self._driver.run(self._steps.log_in(LogIn(email, password), accept_new_salt=accept_new_salt))

    async def log_out(self) -> None:
        """As `Client.log_out`."""
        await self._driver.run(self._steps.log_out())

    async def account(self) -> Account:
        """As `Client.account`."""
        return await self._driver.run(self._steps.account())

    async def change_password(self, current: str, new: str) -> None:
        """As `Client.change_password`."""
        await self._driver.run(self._steps.change_password(ChangePassword(current, new)))

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """As `Client.sessions`."""
        return await self._driver.run(self._steps.sessions())

    async def revoke_session(self, session_id: UUID) -> None:
        """As `Client.revoke_session`."""
        await self._driver.run(self._steps.revoke_session(session_id))

    async def export_data(
        self, place: Place, *, vault: AsyncVault | None = None, on_progress: Progress | None = None, force: bool = False
    ) -> Exported:
        """As `Client.export_data`; files are written and `on_progress` is called in a worker thread."""
        token = None if vault is None else vault.token
        return await self._driver.run(self._steps.transfer.export_data(place, token, on_progress, force=force))

    async def import_data(self, place: Place, on_progress: Progress | None = None) -> ImportDone:
        """As `Client.import_data`; files are read and `on_progress` is called in a worker thread."""
        return await self._driver.run(self._steps.transfer.import_data(place, on_progress))

    async def enrol(
        self,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        label: str = "",
        device_secret: DeviceSecret | bytes | None = None,
        floor_bits: float = FLOOR_BITS,
    ) -> EnrolledTag:
        """As `Client.enrol`."""
        steps = self._steps.enrol(phrase, label=label, device_secret=device_secret, floor_bits=floor_bits)
        return await self._driver.run(steps)

    async def unlock(
        self,
        phrases: Phrases,
        *,
        device_secret: DeviceSecret | bytes | None = None,
        kind: PhraseKind | None = None,
        epoch_code: str | None = None,
        review_restored: bool = False,
    ) -> AsyncVault:
        """As `Client.unlock`."""
        steps = self._steps.unlock(
            phrases,
            device_secret=device_secret,
            kind=kind,
            epoch_code=epoch_code,
            review_restored=review_restored,
        )
        tag = await self._driver.run(steps)
        vaults: list[AsyncVault] = []
        vaults += [AsyncVault(self._driver, tag, each, vaults) for each in tag.vaults]
        return vaults[0]

    async def close(self) -> None:
        """As `Client.close`."""
        with anyio.move_on_after(LEAVE_SECONDS, shield=True):
            await self._driver.run(self._steps.close())
        with anyio.CancelScope(shield=True):
            await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
