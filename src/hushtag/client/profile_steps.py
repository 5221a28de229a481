"""Steps of the profile: names, settings, email, consents, the audit trail, and closing the account."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from hushtag.account_messages import (
    AccountSettings,
    AuditEntry,
    AuditPage,
    ChangeAccount,
    ChangeEmail,
    ChangeSettings,
    Consent,
    ConsentList,
    DeletionScheduled,
    EmailChangeAccepted,
    GiveConsent,
    ProvePassword,
    ReopenAccepted,
    ReopenAccount,
)
from hushtag.client.account_steps import AccountSteps
from hushtag.client.answers import encode, expect, expect_nothing
from hushtag.client.batches import Pages
from hushtag.client.calls import fetch, post
from hushtag.client.effects import Request, Steps, exchange
from hushtag.errors import MisuseError
from hushtag.messages import Account

__all__ = ["ProfileSteps"]

_PATH: Final = "/v1/account"
_SETTINGS: Final = f"{_PATH}/settings"


class ProfileSteps:
    """The plain profile of one account."""

    def __init__(self, account: AccountSteps) -> None:
        self._account = account

    @property
    def _token(self) -> str:
        return self._account.current().token

    def edit(self, wanted: ChangeAccount) -> Steps[Account]:
        """Change the names; sent twice, it does so once."""
        request = Request("PATCH", _PATH, self._token, encode(wanted), "application/json")
        response = yield from fetch(request, self._account.retry)
        return self._account.check_mine(expect(response, (200,), Account))

    def settings(self) -> Steps[AccountSettings]:
        """Read the settings."""
        request = Request("GET", _SETTINGS, self._token)
        return expect((yield from fetch(request, self._account.retry)), (200,), AccountSettings)

    def change_settings(self, wanted: ChangeSettings) -> Steps[AccountSettings]:
        """Change settings; sent twice, it does so once."""
        request = Request("PATCH", _SETTINGS, self._token, encode(wanted), "application/json")
        return expect((yield from fetch(request, self._account.retry)), (200,), AccountSettings)

    def change_email(self, wanted: ChangeEmail) -> Steps[None]:
        """Change the email. Sent once."""
        yield from post(f"{_PATH}/email", wanted, self._token, 202, EmailChangeAccepted)

    def deactivate(self, proof: ProvePassword) -> Steps[None]:
        """Close the account. Sent once."""
        request = Request("POST", f"{_PATH}/deactivation", self._token, encode(proof), "application/json")
        expect_nothing((yield from exchange(request)))
        self._account.forget()

    def delete(self, proof: ProvePassword) -> Steps[DeletionScheduled]:
        """Delete the account. Sent once."""
        scheduled = yield from post(f"{_PATH}/deletion", proof, self._token, 202, DeletionScheduled)
        self._account.forget()
        return scheduled

    def reactivate(self, proof: ReopenAccount) -> Steps[None]:
        """Open a deactivated account again. Sent once."""
        yield from post("/v1/accounts/reactivation", proof, None, 202, ReopenAccepted)

    def restore(self, proof: ReopenAccount) -> Steps[None]:
        """Cancel a deletion. Sent once."""
        yield from post("/v1/accounts/restoration", proof, None, 202, ReopenAccepted)

    def give_consent(self, consent: GiveConsent) -> Steps[Consent]:
        """Record a consent. Sent once: each is one of its own."""
        return (yield from post(f"{_PATH}/consents", consent, self._token, 201, Consent))

    def consents(self) -> Pages[ConsentList, Consent]:
        """List consents."""
        path, retry = f"{_PATH}/consents", self._account.retry
        return Pages(path, self._token, ConsentList, lambda page: (page.consents, page.next), retry, {})

    def audit(
        self, action: str | None, table: str | None, since: datetime | None, until: datetime | None
    ) -> Pages[AuditPage, AuditEntry]:
        """List what happened to the account."""
        moments = {"from": since, "to": until}
        for moment in moments.values():
            if moment is not None and not isinstance(moment, datetime):
                raise MisuseError(f"since and until are a datetime, not {type(moment).__name__}")
        query: dict[str, str | Sequence[str]] = {
            name: moment.isoformat() for name, moment in moments.items() if moment is not None
        }
        query |= {name: value for name, value in (("action", action), ("table", table)) if value is not None}
        path, retry = f"{_PATH}/audit", self._account.retry
        return Pages(path, self._token, AuditPage, lambda page: (page.entries, page.next), retry, query)
