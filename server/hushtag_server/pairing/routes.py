"""Routes of the mailbox of pairings. All take the account token, and none touches what a phrase opens."""

from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Router, delete, get, post, put
from litestar.params import FromPath, JSONBody, PathParameter

from hushtag.pairing_messages import (
    PAIRING_SECONDS,
    OpenPairing,
    PairingMessage,
    PairingOffers,
    PairingOpened,
    PairingStep,
)
from hushtag_server.auth import ACCOUNT_SECURITY, account_transaction, require_account_token
from hushtag_server.database import retry_conflicts
from hushtag_server.errors import LimitReachedError, NotFoundError
from hushtag_server.pairing import queries
from hushtag_server.services import ServicesDep

__all__ = ["PAIRING_ROUTES"]

_ACCOUNT: Final[dict[str, Any]] = {"guards": [require_account_token], "security": ACCOUNT_SECURITY}
_LIFETIME: Final = timedelta(seconds=PAIRING_SECONDS)
_STEPS: Final[dict[str, PairingStep]] = {"answer": "answer", "delivery": "delivery"}
StepName = Annotated[str, PathParameter(name="step", schema_extra={"enum": list(_STEPS)})]


def _step(name: str) -> PairingStep:
    if name not in _STEPS:
        raise NotFoundError("no such step")
    return _STEPS[name]


@post("/pairings", status_code=201, summary="Begin a pairing", opt={"problems": ["limit_reached"]}, **_ACCOUNT)
async def open_pairing(
    data: JSONBody[OpenPairing], request: Request[Any, Any, Any], services: ServicesDep
) -> PairingOpened:
    """Keep the offer for the other sessions of the account, for five minutes."""

    async def attempt() -> PairingOpened | None:
        async with account_transaction(request, services) as (connection, user_id, session_id):
            return await queries.open_pairing(connection, user_id, session_id, data.offer, _LIFETIME)

    opened = await retry_conflicts(attempt)
    if opened is None:
        raise LimitReachedError("as many pairings as there may be were begun within their time")
    return opened


@get("/pairings", summary="List what other sessions offer", **_ACCOUNT)
async def list_offers(request: Request[Any, Any, Any], services: ServicesDep) -> PairingOffers:
    """Offers of this very session, and those that somebody has answered, are not among them."""
    async with account_transaction(request, services) as (connection, user_id, session_id):
        return PairingOffers(await queries.list_offers(connection, user_id, session_id))


@put(
    "/pairings/{pairing_id:uuid}/{step:str}",
    status_code=204,
    summary="Answer an offer, or deliver to who answered",
    opt={"problems": ["not_found"]},
    **_ACCOUNT,
)
async def put_message(
    pairing_id: FromPath[UUID],
    step: StepName,
    data: JSONBody[PairingMessage],
    request: Request[Any, Any, Any],
    services: ServicesDep,
) -> None:
    """The first answer is the only one. What is over, another's or out of order looks like what never was."""

    async def attempt() -> None:
        async with account_transaction(request, services) as (connection, user_id, session_id):
            if not await queries.put_message(connection, user_id, session_id, pairing_id, _step(step), data.message):
                raise NotFoundError("no pairing that waits for it")

    await retry_conflicts(attempt)


@get(
    "/pairings/{pairing_id:uuid}/{step:str}",
    summary="Take the answer, or the delivery, once",
    opt={"problems": ["not_found"]},
    **_ACCOUNT,
)
async def take_message(
    pairing_id: FromPath[UUID], step: StepName, request: Request[Any, Any, Any], services: ServicesDep
) -> PairingMessage:
    """404 until it is there, and after it was read."""

    async def attempt() -> str | None:
        async with account_transaction(request, services) as (connection, user_id, session_id):
            return await queries.take_message(connection, user_id, session_id, pairing_id, _step(step))

    message = await retry_conflicts(attempt)
    if message is None:
        raise NotFoundError("nothing waits")
    return PairingMessage(message)


@delete(
    "/pairings/{pairing_id:uuid}",
    status_code=204,
    summary="Give a pairing up",
    opt={"problems": ["not_found"]},
    **_ACCOUNT,
)
async def close_pairing(pairing_id: FromPath[UUID], request: Request[Any, Any, Any], services: ServicesDep) -> None:
    """Forget its messages. Its place is taken until its time is over."""

    async def attempt() -> None:
        async with account_transaction(request, services) as (connection, user_id, session_id):
            if not await queries.close_pairing(connection, user_id, session_id, pairing_id):
                raise NotFoundError("no such pairing of this session")

    await retry_conflicts(attempt)


PAIRING_ROUTES = [
    Router(
        path="/v1",
        route_handlers=[open_pairing, list_offers, put_message, take_message, close_pairing],
        tags=["pairing"],
    )
]
