"""The shared fixtures, on every PostgreSQL of this machine."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from hushtag_server.embedded import EmbeddedPostgres
from tests.databases import made_database, make_template, stop_syncing
from tests.schema.clusters import installed, running

FOUND = installed()


@pytest.fixture(scope="session", params=["embedded", *sorted(FOUND)], ids=lambda name: f"postgres-{name}")
def postgres(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    """A cluster of each version that is here; thrown away, so it may skip the disk."""
    with running(FOUND.get(request.param)) as cluster:
        stop_syncing(cluster)
        yield cluster


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """A migrated database of each version."""
    return make_template(postgres)


@pytest.fixture(scope="session")
def judged(postgres: EmbeddedPostgres, template: str) -> Iterator[psycopg.Connection[Any]]:
    with made_database(postgres, template) as made, psycopg.connect(made.admin_url) as connection:
        yield connection


@pytest.fixture
def catalogue(judged: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's transaction on a migrated database without rows; what it changes is undone."""
    yield judged
    judged.rollback()
