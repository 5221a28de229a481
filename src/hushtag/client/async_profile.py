"""Profile, settings, consents and audit trail of the client for an event loop."""

from collections.abc import AsyncGenerator
from datetime import datetime

from msgspec import UNSET, UnsetType

from hushtag.account_messages import (
    AccountSettings,
    AuditEntry,
    ChangeAccount,
    ChangeEmail,
    ChangeSettings,
    Consent,
    DeletionScheduled,
    GiveConsent,
    ProvePassword,
    ReopenAccount,
)
from hushtag.client.batches import each_awaited
from hushtag.client.drivers import AsyncDriver
from hushtag.client.profile_steps import ProfileSteps
from hushtag.messages import Account

__all__ = ["AsyncProfile"]


class AsyncProfile:
    """`Profile` for an event loop: the same calls, arguments and errors, awaited; listings with `async for`."""

    def __init__(self, driver: AsyncDriver, steps: ProfileSteps) -> None:
        self._driver = driver
        self._steps = steps

    async def edit(
        self, *, first_name: str | UnsetType | None = UNSET, last_name: str | UnsetType | None = UNSET
    ) -> Account:
        """As `Profile.edit`."""
        return await self._driver.run(self._steps.edit(ChangeAccount(first_name, last_name)))

    async def settings(self) -> AccountSettings:
        """As `Profile.settings`."""
        return await self._driver.run(self._steps.settings())

    async def change_settings(
        self,
        *,
        time_zone: str | UnsetType = UNSET,
        language: str | UnsetType = UNSET,
        theme: str | UnsetType = UNSET,
    ) -> AccountSettings:
        """As `Profile.change_settings`."""
        return await self._driver.run(self._steps.change_settings(ChangeSettings(time_zone, language, theme)))

    async def change_email(self, current_password: str, email: str) -> None:
        """As `Profile.change_email`."""
        await self._driver.run(self._steps.change_email(ChangeEmail(current_password, email)))

    async def deactivate(self, current_password: str) -> None:
        """As `Profile.deactivate`."""
        await self._driver.run(self._steps.deactivate(ProvePassword(current_password)))

    async def delete(self, current_password: str) -> DeletionScheduled:
        """As `Profile.delete`."""
        return await self._driver.run(self._steps.delete(ProvePassword(current_password)))

    async def reactivate(self, email: str, password: str) -> None:
        """As `Profile.reactivate`."""
        await self._driver.run(self._steps.reactivate(ReopenAccount(email, password)))

    async def restore(self, email: str, password: str) -> None:
        """As `Profile.restore`."""
        await self._driver.run(self._steps.restore(ReopenAccount(email, password)))

    async def give_consent(self, document: str, version: str) -> Consent:
        """As `Profile.give_consent`."""
        return await self._driver.run(self._steps.give_consent(GiveConsent(document, version)))

    def consents(self) -> AsyncGenerator[Consent, None]:
        """As `Profile.consents`."""
        return each_awaited(self._driver, self._steps.consents())

    def audit(
        self,
        *,
        action: str | None = None,
        table: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncGenerator[AuditEntry, None]:
        """As `Profile.audit`."""
        return each_awaited(self._driver, self._steps.audit(action, table, since, until))
