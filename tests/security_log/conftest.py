"""A log of ten sealed events, and a superuser to tamper with it."""

from typing import Any

import psycopg
import pytest

from tests.security_log.support import seal, write


@pytest.fixture
def admin(database: Any) -> Any:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def ten(database: Any, keys: Any) -> Any:
    """The database with ten sealed events."""
    write(database.app_url, keys, 10)
    assert seal(database.app_url, keys).rows == 10
    return database
