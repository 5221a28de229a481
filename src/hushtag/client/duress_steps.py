"""Steps of duress: what another phrase's unlock does to the phrases of this vault (SPEC.md, "Duress").

The duress phrase is asked for its release and not unlocked: an unlock would carry out what it orders already.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from uuid import UUID

from hushtag.client.answers import encode, expect_nothing
from hushtag.client.calls import fetch
from hushtag.client.ceremony_steps import release
from hushtag.client.effects import Request, Steps
from hushtag.client.errors import NotFoundError
from hushtag.client.ids import uuid_of
from hushtag.client.phrase_steps import PhraseSteps
from hushtag.client.row_steps import VAULT_DENIED
from hushtag.duress import LOCK_DAYS, ORDER_PLACES, TICKET_LENGTH, Verdict
from hushtag.errors import MisuseError, RollbackError
from hushtag.messages import PutOrders, TagOrder, encode_binary
from hushtag.types import DeviceSecret

__all__ = ["DuressSteps", "checked_verdict"]

_PLACES: Final = range(1, ORDER_PLACES + 1)


def checked_verdict(*, phrase_only: bool, lock_days: int | None, place: int) -> Verdict:
    """Return the verdict that is meant, before anything is sent.

    Raises:
        MisuseError: no such length of a lock, or no such place.
    """
    if lock_days is not None and lock_days not in LOCK_DAYS:
        raise MisuseError(f"a lock lasts {', '.join(map(str, LOCK_DAYS))} days, not {lock_days}")
    if place not in _PLACES:
        raise MisuseError(f"a phrase has places 1 to {ORDER_PLACES} for orders, not {place}")
    return Verdict.of(vault=not phrase_only, lock_days=lock_days)


class DuressSteps(PhraseSteps):
    """The orders that the phrases of one open vault bear."""

    def order_duress(
        self,
        prepare: Callable[[], Sequence[str]],
        verdict: Verdict,
        *,
        place: int,
        tag_id: UUID | None,
        device_secret: DeviceSecret | None,
    ) -> Steps[None]:
        """Let the unlock of another phrase carry out a verdict on a phrase of this vault.

        Raises:
            NotFoundError: no phrase of the vault has this id.
            AuthenticationError: the duress phrase opens nothing in this account.
            MisuseError: the duress phrase opens this vault itself.
        """
        wanted = None if tag_id is None else uuid_of(tag_id)
        ring = yield from self.ring()
        borne_by = self.tag_id if wanted is None else self._find(ring, wanted).phrase.tag_id
        released = yield from release(self._session, prepare, ring.members, device_secret=device_secret)
        yield from self._put_orders(borne_by, [(place, secrets.choice(released.of(verdict)))])

    def clear_duress(self, tag_id: UUID | None, place: int | None) -> Steps[None]:
        """Put nothing, drawn at random, into one place for orders of a phrase, or into all.

        Raises:
            NotFoundError: no phrase of the vault has this id.
            MisuseError: no such place.
        """
        if place is not None and place not in _PLACES:
            raise MisuseError(f"a phrase has places 1 to {ORDER_PLACES} for orders, not {place}")
        borne_by = self.tag_id
        if tag_id is not None:
            tag_id = uuid_of(tag_id)
            borne_by = self._find((yield from self.ring()), tag_id).phrase.tag_id
        places = _PLACES if place is None else (place,)
        yield from self._put_orders(borne_by, [(each, secrets.token_bytes(TICKET_LENGTH)) for each in places])

    def _put_orders(self, tag_id: UUID, orders: Iterable[tuple[int, bytes]]) -> Steps[None]:
        message = PutOrders([TagOrder(place, encode_binary(ticket)) for place, ticket in orders])
        path = f"{self.path}/tags/{tag_id}/orders"
        response = yield from fetch(Request("PUT", path, self.token, encode(message), "application/json"), self.retry)
        try:
            expect_nothing(response)
        except NotFoundError:
            # Revoked since the list was read, or denied: the list says which.
            if tag_id not in [each.member.tag_id for each in (yield from self.ring()).known]:
                raise
            raise RollbackError(VAULT_DENIED) from None
