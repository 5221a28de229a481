"""The migration of large objects, there and back again, with one of them."""

import asyncio
from uuid import uuid4

import pytest

from hushtag_server.migrate import migrate, rollback
from hushtag_server.migration_names import known_migrations
from tests.server.vault_support import run_sql

pytestmark = pytest.mark.anyio


async def test_it_can_be_rolled_back_and_applied_again_over_a_large_object(streams, database) -> None:
    stream_id, object_id = await streams.upload(b"one", b"two"), uuid4()
    assert (await streams.commit(stream_id, 2, 6, object_id=object_id)).status_code == 201
    names = known_migrations()
    last = names[names.index("0017_streams") :]
    assert await asyncio.to_thread(rollback, database.owner_url, len(last)) == last[::-1]
    assert run_sql(database, "SELECT object_id, stream_id FROM vault_blobs") == [(object_id, None)]
    forced = "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'vault_blobs'"
    assert run_sql(database, forced) == [(True,)]
    assert await asyncio.to_thread(migrate, database.owner_url) == last
    assert run_sql(database, "SELECT object_id, stream_id FROM vault_blobs") == [(object_id, None)]
