"""Routes of the unlock. The steps are in `unlock_steps`; in a running server `direct` serves them past Litestar."""

from collections.abc import Awaitable

from litestar import post
from litestar.params import JSONBody

from hushtag.messages import FinishUnlock, Locate, Located, MoveTag, StartUnlock, TagMoved, Unlocked, UnlockStarted
from hushtag_server.auth import ACCOUNT_SECURITY, VAULT_SECURITY, require_account_token
from hushtag_server.direct import DirectCall, DirectRoute
from hushtag_server.services import ServicesDep
from hushtag_server.vault import unlock_steps as steps
from hushtag_server.vault.callers import require_vault_token, vault_caller
from hushtag_server.wire import WireRequest

__all__ = ["DIRECT_ROUTES", "finish_unlock", "locate", "move_tag", "start_unlock"]


def _locate(call: DirectCall) -> Awaitable[Located]:
    return steps.locate(call.services, call.token, call.message, call.scope)


def _start_unlock(call: DirectCall) -> Awaitable[UnlockStarted]:
    return steps.start_unlock(call.services, call.token, call.message, call.scope)


def _finish_unlock(call: DirectCall) -> Awaitable[Unlocked]:
    return steps.finish_unlock(call.services, call.token, call.message, call.scope)


DIRECT_ROUTES = (
    DirectRoute("POST", "/v1/unlock/locate", _locate, Locate),
    DirectRoute("POST", "/v1/unlock/start", _start_unlock, StartUnlock),
    DirectRoute("POST", "/v1/unlock/finish", _finish_unlock, FinishUnlock),
)


@post(
    "/unlock/locate",
    status_code=200,
    summary="Evaluate up to five candidate phrases; costs one guess each",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["unknown_suite", "too_many_guesses"]},
)
async def locate(data: JSONBody[Locate], request: WireRequest, services: ServicesDep) -> Located:
    """Charge every candidate or none, then evaluate them."""
    return await steps.locate(services, request.auth, data, request.scope)


@post(
    "/unlock/start",
    status_code=200,
    summary="Start a login for every located candidate",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["ceremony_failed"]},
)
async def start_unlock(data: JSONBody[StartUnlock], request: WireRequest, services: ServicesDep) -> UnlockStarted:
    """Answer every candidate from its record or from the decoy: same look-up, same work, same shape."""
    return await steps.start_unlock(services, request.auth, data, request.scope)


@post(
    "/unlock/finish",
    status_code=200,
    summary="Prove one candidate and open its vaults",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["ceremony_failed"]},
)
async def finish_unlock(data: JSONBody[FinishUnlock], request: WireRequest, services: ServicesDep) -> Unlocked:
    """Verify the proof. A wrong one uses the state up as well; a right one gives its guess back."""
    return await steps.finish_unlock(services, request.auth, data, request.scope)


@post(
    "/unlock/move",
    status_code=200,
    summary="Move the open tag to the server's current setup",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["ceremony_failed", "already_exists", "generation_conflict", "unknown_suite"]},
)
async def move_tag(data: JSONBody[MoveTag], request: WireRequest, services: ServicesDep) -> TagMoved:
    """Store the same phrase under the setup that was offered, with every key that hangs on it, or nothing."""
    return await steps.move_tag(services, vault_caller(request, services), data, request.scope)
