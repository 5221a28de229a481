"""The fixtures of the server's tests, on every PostgreSQL of this machine."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from hushtag_server.embedded import EmbeddedPostgres
from tests.schema.clusters import installed, running
from tests.server.conftest import (  # noqa: F401  (fixtures)
    _made_database,
    anyio_backend,
    app_client,
    data_directory,
    database,
    empty_database,
    keys,
    make_setup,
    serve_in_process,
    settings,
    sign_in,
    template,
)

FOUND = installed()


@pytest.fixture(scope="session", params=["embedded", *sorted(FOUND)], ids=lambda name: f"postgres-{name}")
def postgres(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    """A cluster of each version that is here; thrown away, so it may skip the disk."""
    with running(FOUND.get(request.param)) as cluster:
        with psycopg.connect(cluster.admin_url, autocommit=True) as connection:
            for name in ("fsync", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {name} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield cluster


@pytest.fixture(scope="session")
def judged(postgres: EmbeddedPostgres, template: str) -> Iterator[psycopg.Connection[Any]]:  # noqa: F811
    with _made_database(postgres, template) as made, psycopg.connect(made.admin_url) as connection:
        yield connection


@pytest.fixture
def catalogue(judged: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's transaction on a migrated database without rows; what it changes is undone."""
    yield judged
    judged.rollback()
