"""The fixtures of the server's tests, and reminders."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest


@pytest.fixture
async def ada(app_client: Any, sign_in: Any) -> Any:
    return await sign_in(app_client, "ada@example.org")


@pytest.fixture
def soon() -> str:
    """A time an hour from now."""
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()
