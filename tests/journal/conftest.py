"""A server in this process with two people who keep a journal."""

from typing import Any

import pytest

from tests.journal.support import Writer


@pytest.fixture
async def ada(app_client: Any, sign_in: Any, database: Any) -> Writer:
    """Somebody who writes."""
    return Writer(app_client, await sign_in(app_client, "ada@example.org"), database)


@pytest.fixture
async def eve(app_client: Any, sign_in: Any, database: Any) -> Writer:
    """Somebody else."""
    return Writer(app_client, await sign_in(app_client, "eve@example.org"), database)
