"""An open vault, and the routes of its large objects."""

import pytest

from tests.server.vault_support import open_vault
from tests.streams.support import Streams
from tests.stretching import stretched_once

__all__ = ["stretched_once"]


@pytest.fixture
async def streams(app_client, sign_in) -> Streams:
    """An account with one open vault."""
    return Streams(await open_vault(app_client, await sign_in(app_client)))
