"""The fixtures of the server's tests, and an account with every kind of content."""

from typing import Any

import pytest

from tests.stretching import stretched_once

__all__ = ["stretched_once"]


@pytest.fixture
async def ada(app_client: Any, sign_in: Any) -> Any:
    return await sign_in(app_client, "ada@example.org")


@pytest.fixture
async def bob(app_client: Any, sign_in: Any) -> Any:
    return await sign_in(app_client, "bob@example.org")
