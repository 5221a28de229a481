"""Routes that take the password: changes a session alone may not make, and the ways back into a closed account."""

from typing import Any, Final

from litestar import Request, post
from litestar.params import JSONBody

from hushtag.account_messages import (
    ChangeEmail,
    DeletionScheduled,
    EmailChangeAccepted,
    ProvePassword,
    ReopenAccepted,
    ReopenAccount,
)
from hushtag.messages import ChangePassword
from hushtag_server.accounts import changes, credential_queries
from hushtag_server.auth import ACCOUNT_SECURITY, require_account_token
from hushtag_server.peer import client_peer
from hushtag_server.services import ServicesDep

__all__ = ["CREDENTIAL_ROUTES"]

AccountRequest = Request[Any, Any, Any]
_PROBLEMS: Final = {"problems": ["login_failed", "too_many_attempts"]}


@post(
    "/account/password",
    status_code=204,
    summary="Change the password; every other session ends",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt=_PROBLEMS,
)
async def replace_password(data: JSONBody[ChangePassword], request: AccountRequest, services: ServicesDep) -> None:
    """Take the current password once more, replace it and end every session but this one."""
    await changes.change_password(request, services, data)


@post(
    "/account/email",
    status_code=202,
    summary="Change the email; every other session ends",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt=_PROBLEMS,
)
async def replace_email(
    data: JSONBody[ChangeEmail], request: AccountRequest, services: ServicesDep
) -> EmailChangeAccepted:
    """Take the password once more and change the email. One that somebody else has gets the same answer."""
    await changes.change_email(request, services, data)
    return EmailChangeAccepted()


@post(
    "/account/deactivation",
    status_code=204,
    summary="Deactivate the account; every session ends",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt=_PROBLEMS,
)
async def deactivate_account(data: JSONBody[ProvePassword], request: AccountRequest, services: ServicesDep) -> None:
    """Take the password once more and close the account. Its rows stay; a reactivation opens it again."""
    await changes.deactivate(request, services, data.current_password)


@post(
    "/account/deletion",
    status_code=202,
    summary="Delete the account; every session ends, every secret tag is lost",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt=_PROBLEMS,
)
async def delete_account(
    data: JSONBody[ProvePassword], request: AccountRequest, services: ServicesDep
) -> DeletionScheduled:
    """Take the password once more, close the account and make its secret tags useless at once and for ever.

    Its rows are erased when the grace ends. Until then a restoration brings the plain side back, never the tags.
    """
    return DeletionScheduled(await changes.delete_account(request, services, data.current_password))


@post(
    "/accounts/reactivation",
    status_code=202,
    summary="Open a deactivated account again",
    opt={"problems": ["too_many_attempts"]},
)
async def reactivate_account(
    data: JSONBody[ReopenAccount], request: AccountRequest, services: ServicesDep
) -> ReopenAccepted:
    """Open it if the password is right. The answer is the same if it is not, or if there is no such account."""
    await changes.reopen(services, data, client_peer(request, services.settings), credential_queries.reactivate)
    return ReopenAccepted()


@post(
    "/accounts/restoration",
    status_code=202,
    summary="Cancel the deletion of an account",
    opt={"problems": ["too_many_attempts"]},
)
async def restore_account(
    data: JSONBody[ReopenAccount], request: AccountRequest, services: ServicesDep
) -> ReopenAccepted:
    """Cancel it within the grace if the password is right. The answer is the same if it is not, or there is none."""
    await changes.reopen(services, data, client_peer(request, services.settings), credential_queries.restore)
    return ReopenAccepted()


CREDENTIAL_ROUTES: Final = [
    replace_password,
    replace_email,
    deactivate_account,
    delete_account,
    reactivate_account,
    restore_account,
]
