"""SQL of the leases that let a user run one export and one import at a time."""

from datetime import timedelta
from typing import Final, Literal
from uuid import UUID, uuid4

from hushtag_server.database import Connection
from hushtag_server.errors import TransferRunningError

__all__ = ["Kind", "begin_transfer", "end_transfer", "renew_transfer"]

Kind = Literal["export", "import"]

_BEGIN: Final = """
    INSERT INTO transfers AS t (user_id, kind, lease_id, until)
    VALUES (%(user_id)s, %(kind)s, %(lease_id)s, clock_timestamp() + %(lease)s)
    ON CONFLICT (user_id, kind) DO UPDATE SET lease_id = excluded.lease_id, until = excluded.until
    WHERE t.until <= clock_timestamp()
"""
_WAIT: Final = """
    SELECT ceil(extract(epoch FROM until - clock_timestamp()))::integer FROM transfers
    WHERE user_id = %(user_id)s AND kind = %(kind)s
"""


async def begin_transfer(connection: Connection, user_id: UUID, kind: Kind, lease: timedelta) -> UUID:
    """Take the user's lease of this kind and return its id.

    Raises:
        TransferRunningError: another transfer holds it.
    """
    values = {"user_id": user_id, "kind": kind, "lease_id": uuid4(), "lease": lease}
    if (await connection.execute(_BEGIN, values)).rowcount == 1:
        return values["lease_id"]  # type: ignore[return-value]  # the one UUID among them
    row = await (await connection.execute(_WAIT, values)).fetchone()
    raise TransferRunningError(1 if row is None else row[0])


async def renew_transfer(connection: Connection, user_id: UUID, kind: Kind, lease_id: UUID, lease: timedelta) -> None:
    """Hold the lease for another while.

    Raises:
        TransferRunningError: it ran out, and another transfer has it.
    """
    done = await connection.execute(
        "UPDATE transfers SET until = clock_timestamp() + %s WHERE user_id = %s AND kind = %s AND lease_id = %s",
        [lease, user_id, kind, lease_id],
    )
    if done.rowcount == 0:
        raise TransferRunningError(1)


async def end_transfer(connection: Connection, user_id: UUID, kind: Kind, lease_id: UUID) -> None:
    """Give the lease back, if it is still this one."""
    await connection.execute(
        "DELETE FROM transfers WHERE user_id = %s AND kind = %s AND lease_id = %s", [user_id, kind, lease_id]
    )
