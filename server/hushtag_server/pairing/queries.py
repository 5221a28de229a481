"""SQL of the mailbox of pairings. Every statement acts for one session, and is told of nothing that is over."""

from datetime import timedelta
from typing import Final, LiteralString
from uuid import UUID

from hushtag.pairing_messages import MAX_PAIRINGS, PairingOffer, PairingOpened, PairingStep
from hushtag_server.database import Connection

__all__ = ["close_pairing", "list_offers", "open_pairing", "put_message", "take_message"]

_CLEAR: Final = "DELETE FROM pairings WHERE user_id = %(user_id)s AND expires_at <= now()"
# Two at once that find the same place free: one of them gets it, the other is told that there is none.
_OPEN: Final = """
    INSERT INTO pairings (user_id, place, offering_session_id, offer, expires_at)
    SELECT %(user_id)s, min(n), %(session_id)s, %(offer)s, now() + %(lifetime)s FROM generate_series(1, %(most)s) n
    WHERE n NOT IN (SELECT p.place FROM pairings p WHERE p.user_id = %(user_id)s) HAVING min(n) IS NOT NULL
    ON CONFLICT DO NOTHING RETURNING id, expires_at
"""
# An offer that its program did not live to take back would keep every other device from the one that follows.
_SUPERSEDE: Final = """
    UPDATE pairings SET offer = NULL
    WHERE user_id = %(user_id)s AND offering_session_id = %(session_id)s AND id <> %(id)s AND offer IS NOT NULL
"""
_OFFERS: Final = """
    SELECT p.id, p.offer FROM pairings p
    WHERE p.user_id = %(user_id)s AND p.offering_session_id <> %(session_id)s AND p.offer IS NOT NULL
      AND p.expires_at > now()
    ORDER BY p.id
"""
# One answer, of one other session, in the place of the offer; one delivery, of the session that offered.
_PUT: Final[dict[PairingStep, LiteralString]] = {
    "answer": """
        UPDATE pairings SET answer = %(message)s, offer = NULL, accepting_session_id = %(session_id)s
        WHERE user_id = %(user_id)s AND id = %(id)s AND expires_at > now()
          AND offer IS NOT NULL AND offering_session_id <> %(session_id)s
    """,
    "delivery": """
        UPDATE pairings SET delivery = %(message)s, delivered = true
        WHERE user_id = %(user_id)s AND id = %(id)s AND expires_at > now()
          AND accepting_session_id IS NOT NULL AND NOT delivered AND offering_session_id = %(session_id)s
    """,
}
# Read once: what is given out is no longer kept.
_TAKE: Final[dict[PairingStep, LiteralString]] = {
    "answer": """
        WITH found AS (
            SELECT p.id, p.answer AS message FROM pairings p
            WHERE p.user_id = %(user_id)s AND p.id = %(id)s AND p.expires_at > now() AND p.answer IS NOT NULL
              AND p.offering_session_id = %(session_id)s FOR UPDATE
        ), taken AS (UPDATE pairings p SET answer = NULL FROM found f WHERE p.user_id = %(user_id)s AND p.id = f.id)
        SELECT message FROM found
    """,
    "delivery": """
        WITH found AS (
            SELECT p.id, p.delivery AS message FROM pairings p
            WHERE p.user_id = %(user_id)s AND p.id = %(id)s AND p.expires_at > now() AND p.delivery IS NOT NULL
              AND p.accepting_session_id = %(session_id)s FOR UPDATE
        ), taken AS (UPDATE pairings p SET delivery = NULL FROM found f WHERE p.user_id = %(user_id)s AND p.id = f.id)
        SELECT message FROM found
    """,
}
_CLOSE: Final = """
    UPDATE pairings SET offer = NULL, answer = NULL, delivery = NULL, delivered = true
    WHERE user_id = %(user_id)s AND id = %(id)s AND offering_session_id = %(session_id)s
"""


async def open_pairing(
    connection: Connection, user_id: UUID, session_id: UUID, offer: str, lifetime: timedelta
) -> PairingOpened | None:
    """Keep an offer, the only one of its session; None if the account has begun as many as it may within their time."""
    values = {"user_id": user_id, "session_id": session_id, "offer": offer, "lifetime": lifetime, "most": MAX_PAIRINGS}
    await connection.execute(_CLEAR, values)
    row = await (await connection.execute(_OPEN, values)).fetchone()
    if row is None:
        return None
    opened = PairingOpened(*row)
    await connection.execute(_SUPERSEDE, values | {"id": opened.pairing_id})
    return opened


async def list_offers(connection: Connection, user_id: UUID, session_id: UUID) -> list[PairingOffer]:
    """Return the offers of the account's other sessions that nobody has answered."""
    rows = await connection.execute(_OFFERS, {"user_id": user_id, "session_id": session_id})
    return [PairingOffer(*row) for row in await rows.fetchall()]


async def put_message(
    connection: Connection, user_id: UUID, session_id: UUID, pairing_id: UUID, step: PairingStep, message: str
) -> bool:
    """Keep the answer or the delivery; False if there is no pairing that waits for it from this session."""
    values = {"user_id": user_id, "session_id": session_id, "id": pairing_id, "message": message}
    return (await connection.execute(_PUT[step], values)).rowcount == 1


async def take_message(
    connection: Connection, user_id: UUID, session_id: UUID, pairing_id: UUID, step: PairingStep
) -> str | None:
    """Return the answer or the delivery that waits for this session, once; None if there is none."""
    values = {"user_id": user_id, "session_id": session_id, "id": pairing_id}
    row = await (await connection.execute(_TAKE[step], values)).fetchone()
    return None if row is None else str(row[0])


async def close_pairing(connection: Connection, user_id: UUID, session_id: UUID, pairing_id: UUID) -> bool:
    """Forget every message of a pairing of this session, and take none more; its place is free when its time is over.

    False if there is no such pairing.
    """
    values = {"user_id": user_id, "session_id": session_id, "id": pairing_id}
    return (await connection.execute(_CLOSE, values)).rowcount == 1
