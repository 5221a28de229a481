"""Profile, settings, consents and audit trail of the blocking client."""

from collections.abc import Generator
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
from hushtag.client.batches import each
from hushtag.client.drivers import SyncDriver
from hushtag.client.profile_steps import ProfileSteps
from hushtag.messages import Account

__all__ = ["Profile"]


class Profile:
    """The plain side of an account: `client.profile`. Reading it is `client.account()`.

    The calls raise what every call of `Client` may; those that take the password `LoginError` if it is wrong and
    `BudgetError` after too many attempts, and they are never sent twice.
    """

    def __init__(self, driver: SyncDriver, steps: ProfileSteps) -> None:
        self._driver = driver
        self._steps = steps

    def edit(self, *, first_name: str | UnsetType | None = UNSET, last_name: str | UnsetType | None = UNSET) -> Account:
        """Change the names that are given; None clears one."""
        return self._driver.run(self._steps.edit(ChangeAccount(first_name, last_name)))

    def settings(self) -> AccountSettings:
        """Return time zone, language and theme."""
        return self._driver.run(self._steps.settings())

    def change_settings(
        self,
        *,
        time_zone: str | UnsetType = UNSET,
        language: str | UnsetType = UNSET,
        theme: str | UnsetType = UNSET,
    ) -> AccountSettings:
        """Change what is given: an IANA time zone, a language of the search (`english`, `german`, …), a theme (system,
        light or dark).

        Raises:
            ServerError: the server knows no such zone or language; `fields` names those it knows.
        """
        return self._driver.run(self._steps.change_settings(ChangeSettings(time_zone, language, theme)))

    def change_email(self, current_password: str, email: str) -> None:
        """Change the email one logs in with; every other session ends. One that somebody else has changes nothing,
        and the answer does not tell.
        """
        self._driver.run(self._steps.change_email(ChangeEmail(current_password, email)))

    def deactivate(self, current_password: str) -> None:
        """Close the account; every session ends, this one too. `reactivate` opens it again."""
        self._driver.run(self._steps.deactivate(ProvePassword(current_password)))

    def delete(self, current_password: str) -> DeletionScheduled:
        """Delete the account and end every session. Secret tags are lost at once and for ever.

        `restore` brings the plain side back until the time that is returned.
        """
        return self._driver.run(self._steps.delete(ProvePassword(current_password)))

    def reactivate(self, email: str, password: str) -> None:
        """Open a deactivated account again; then log in. The answer does not tell whether there was one."""
        self._driver.run(self._steps.reactivate(ReopenAccount(email, password)))

    def restore(self, email: str, password: str) -> None:
        """Cancel the deletion of an account; then log in. The answer does not tell whether there was one."""
        self._driver.run(self._steps.restore(ReopenAccount(email, password)))

    def give_consent(self, document: str, version: str) -> Consent:
        """Record that one consents to a version of the `terms` or of the `privacy` policy; nothing takes it back."""
        return self._driver.run(self._steps.give_consent(GiveConsent(document, version)))

    def consents(self) -> Generator[Consent, None, None]:
        """List what was consented to, the newest first."""
        return each(self._driver, self._steps.consents())

    def audit(
        self,
        *,
        action: str | None = None,
        table: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Generator[AuditEntry, None, None]:
        """List what happened to the account, the newest first: changes of its plain rows, and logins.

        `action`: CREATE, UPDATE, DELETE, LOGIN, LOGOUT or FAILED_LOGIN. Times have their zone.
        """
        return each(self._driver, self._steps.audit(action, table, since, until))
