"""What every folder may ask for: a database of its own, the server in this process, a real one, somebody logged in.

Nothing here skips: where PostgreSQL cannot run, the tests fail.
"""

import copy
import functools
import gc
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher
from httpx._config import create_ssl_context
from httpx._transports import default as httpx_transports
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from litestar import Litestar
from litestar.events import SimpleEventEmitter

from hushtag._opaque import ServerSetup
from hushtag_server.accounts import passwords
from hushtag_server.app import create_app
from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.keyfile import KeyRing, ensure_keys
from hushtag_server.settings import Settings
from tests import live_server
from tests.canaries import WATCH, pytest_runtest_makereport
from tests.databases import Database, administer, made_database, make_template, stop_syncing
from tests.order import pytest_collection_modifyitems
from tests.people import PASSWORD, SignedIn

# The hooks that look for secrets in what a test said, and that say which tests begin first.
__all__ = ["pytest_collection_modifyitems", "pytest_runtest_makereport"]

# No example is failed for what a busy machine makes of its time.
hypothesis_settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("tests")
# `make mutation` runs the quick tests thousands of times: few examples, and always the same ones.
hypothesis_settings.register_profile(
    "mutation", max_examples=25, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)

# Tests that run in the background may have these ignored (POSIX, 2.12); what a test starts must not inherit that.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# httpx reads the system's certificates anew for every client it makes; what a test sets in the environment counts.
_read_certificates = functools.cache(lambda _places, *given: create_ssl_context(*given))


def _trust(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    places = tuple(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    context: ssl.SSLContext = _read_certificates(places, verify, cert, trust_env)
    return context


httpx_transports.create_ssl_context = _trust  # type: ignore[attr-defined]

# No test may touch the keyring of whoever runs it, not even in a process of its own.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end; the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)  # a run makes much and keeps little; the defaults would look 30 times as often


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def _hash_with(monkeypatch: pytest.MonkeyPatch, hasher: PasswordHasher) -> None:
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    monkeypatch.setattr(passwords, "_dummy", [])


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most tests sign people in and are about something else: hash under parameters that cost nothing."""
    _hash_with(monkeypatch, PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def real_hashes(monkeypatch: pytest.MonkeyPatch, cheap_hashes: None) -> None:
    """The parameters of production; name it before whatever starts the application."""
    _hash_with(monkeypatch, PasswordHasher())


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """An empty directory that the user who runs PostgreSQL can reach."""
    with live_server.temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The cluster of this run."""
    # Room for a hundred writers at once, beside whoever watches them.
    with live_server.temporary_directory() as directory, EmbeddedPostgres(directory, max_connections=150) as running:
        stop_syncing(running)
        yield running


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """A migrated database without rows, to be copied."""
    return make_template(postgres)


@pytest.fixture(scope="session")
def administrator_of() -> Iterator[Callable[[EmbeddedPostgres], "psycopg.Connection[Any]"]]:
    """The superuser's connection to a cluster, always the same one, that makes and drops the tests' databases."""
    with ExitStack() as stack:
        yield functools.cache(lambda cluster: stack.enter_context(closing(administer(cluster))))


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres, administrator_of: Callable[..., Any]) -> Iterator[Database]:
    """A database without tables."""
    with made_database(postgres, administrator=administrator_of(postgres)) as made:
        yield made


@pytest.fixture
def database(postgres: EmbeddedPostgres, template: str, administrator_of: Callable[..., Any]) -> Iterator[Database]:
    """A migrated database of this test alone."""
    with made_database(postgres, template, administrator_of(postgres)) as made:
        yield made


@pytest.fixture
def settings(database: Database, data_directory: Path) -> Settings:
    """Default settings on this test's database, but for the pace of one address: a test is no flood."""
    return Settings(database_url=database.app_url, data=data_directory, requests_per_address=0)


@pytest.fixture
def make_setup() -> Callable[[], bytes]:
    """Make an OPAQUE server setup of 128 bytes."""
    return lambda: ServerSetup.generate().expose()


@pytest.fixture
def keys(database: Database, settings: Settings, make_setup: Callable[[], bytes]) -> KeyRing:
    """Fresh server keys, registered in this test's database."""
    return ensure_keys(database.app_url, settings, make_setup)


async def _hear(response: httpx.Response) -> None:
    """Collect what a server says of its failures and of itself."""
    if response.request.url.path == "/metrics" or "problem" in response.headers.get("content-type", ""):
        WATCH.hear("an answer of the server", (await response.aread()).decode("utf-8", "replace"))


_routed: list[Litestar] = []


def _litestar(**options: Any) -> Litestar:
    """Return an application with its own state and lifespan around the routes of the first one of this process.

    To register the routes takes most of the time in which an application is made, and is the same every time.
    """
    if not _routed:
        _routed.append(Litestar(**options))
    app = copy.copy(_routed[0])
    app.state = options["state"]
    app._lifespan_managers = options["lifespan"]
    app.event_emitter = SimpleEventEmitter([])
    return app


@asynccontextmanager
async def _serve_in_process(settings: Settings, keys: KeyRing, address: str = "192.0.2.1") -> AsyncIterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hushtag_server.app.Litestar", _litestar)
        app = create_app(settings, keys)
    async with app.application.application.lifespan():  # type: ignore[attr-defined]
        transport = httpx.ASGITransport(app, client=(address, 1))  # type: ignore[arg-type]
        hooks: dict[str, list[Any]] = {"response": [_hear]}
        async with httpx.AsyncClient(transport=transport, base_url="http://hushtag.test", event_hooks=hooks) as client:
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


@pytest.fixture(scope="session")
def real_server() -> Iterator[live_server.RunningServer]:
    """One real server for all tests of this process that ask for it: each makes its own account."""
    with live_server.temporary_directory(in_memory=False) as directory:
        directory.chmod(0o755)  # the user that runs PostgreSQL passes through it
        # The bucket of sign-ups is the address's: which tests share this server must not decide how many pass.
        with live_server.run_server(directory, HUSHTAG_LOGIN_ATTEMPTS_PER_ADDRESS="100000") as running:
            yield running


@pytest.fixture
def real_url(real_server: live_server.RunningServer) -> str:
    """Its address."""
    return real_server.url


@pytest.fixture
def run_server() -> Callable[..., AbstractContextManager[live_server.RunningServer]]:
    """`with run_server(directory, "--workers", "2", HUSHTAG_X="…") as server`: a real server with its own database."""
    return live_server.run_server
