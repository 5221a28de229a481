"""Real PostgreSQL for every test: one embedded cluster per run, one database per test copied from a migrated template.

Nothing here skips: where PostgreSQL cannot run, the tests fail.
"""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from hushtag._opaque import ServerSetup
from hushtag_server.app import create_app
from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.keyfile import KeyRing, ensure_keys
from hushtag_server.migrate import migrate
from hushtag_server.settings import Settings
from tests import live_server

PASSWORD = "correct horse battery"

RunningServer = live_server.RunningServer
_run_server = live_server.run_server
_temporary_directory = live_server.temporary_directory


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """An empty directory that the user who runs PostgreSQL can reach."""
    with _temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The cluster of this run; thrown away with it, so it may skip the disk."""
    with _temporary_directory() as directory, EmbeddedPostgres(directory) as running:
        with psycopg.connect(running.admin_url, autocommit=True) as connection:
            for name in ("fsync", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {name} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield running


@dataclass(frozen=True)
class Database:
    """URLs of one test's database: owner of the tables, the server's role, superuser."""

    name: str
    owner_url: str
    app_url: str
    admin_url: str


def _database(postgres: EmbeddedPostgres, name: str) -> Database:
    return Database(name, *(postgres.url(role, name) for role in ("hushtag_owner", "hushtag_app", "postgres")))


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """A migrated database without rows, to be copied."""
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_of_tests OWNER hushtag_owner")
    migrate(_database(postgres, "template_of_tests").owner_url)
    return "template_of_tests"


_numbers = itertools.count()


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A database without tables."""
    with _made_database(postgres, "template1") as made:
        yield made


@contextmanager
def _made_database(postgres: EmbeddedPostgres, template: str) -> Iterator[Database]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER hushtag_owner TEMPLATE {template}")
        try:
            yield _database(postgres, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres: EmbeddedPostgres, template: str) -> Iterator[Database]:
    """A migrated database of this test alone."""
    with _made_database(postgres, template) as made:
        yield made


@pytest.fixture
def settings(database: Database, data_directory: Path) -> Settings:
    """Default settings on this test's database."""
    return Settings(database_url=database.app_url, data=data_directory)


@pytest.fixture
def make_setup() -> Callable[[], bytes]:
    """Make an OPAQUE server setup of 128 bytes."""
    return lambda: ServerSetup.generate().expose()


@pytest.fixture
def keys(database: Database, settings: Settings, make_setup: Callable[[], bytes]) -> KeyRing:
    """Fresh server keys, registered in this test's database."""
    return ensure_keys(database.app_url, settings, make_setup)


@asynccontextmanager
async def _serve_in_process(settings: Settings, keys: KeyRing, address: str = "192.0.2.1") -> AsyncIterator[Any]:
    app = create_app(settings, keys)
    async with app.application.application.lifespan():  # type: ignore[attr-defined]
        transport = httpx.ASGITransport(app, client=(address, 1))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://hushtag.test") as client:
            client.app = app  # type: ignore[attr-defined]
            yield client


@pytest.fixture
def serve_in_process() -> Callable[..., AbstractAsyncContextManager[Any]]:
    """`async with serve_in_process(settings, keys, address) as client`."""
    return _serve_in_process


@pytest.fixture
async def app_client(settings: Settings, keys: KeyRing) -> AsyncIterator[httpx.AsyncClient]:
    """The application in this process with default settings; `app_client.app` is the ASGI application."""
    async with _serve_in_process(settings, keys) as client:
        yield client


@dataclass(frozen=True)
class SignedIn:
    """A logged-in account."""

    email: str
    user_id: str
    session_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture
def sign_in() -> Callable[..., Any]:
    """`await sign_in(client, email)`: sign up (unless known) and log in."""

    async def do(client: httpx.AsyncClient, email: str = "ada@example.org") -> SignedIn:
        credentials = {"email": email, "password": PASSWORD}
        assert (await client.post("/v1/accounts", json=credentials)).status_code == 202
        answer = await client.post("/v1/sessions", json=credentials)
        assert answer.status_code == 201, answer.text
        body = answer.json()
        return SignedIn(email, body["user_id"], body["session_id"], body["token"])

    return do


@pytest.fixture
def run_server() -> Callable[..., AbstractContextManager[RunningServer]]:
    """`with run_server(directory, "--workers", "2", HUSHTAG_X="…") as server`: a real server with its own database."""
    return _run_server


@pytest.fixture
def server(data_directory: Path) -> Iterator[RunningServer]:
    """A real server (granian, one worker) with an embedded database of its own; `server.url`."""
    with _run_server(data_directory) as running:
        yield running
