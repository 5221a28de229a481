"""Wiring: settings and keys in, ASGI application out."""

import gc
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache

import anyio
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from hushtag.messages import MAX_JSON_BYTES
from hushtag_server.accounts.passwords import prepare_dummy
from hushtag_server.accounts.routes import ACCOUNT_ROUTES
from hushtag_server.audit.routes import AUDIT_ROUTES
from hushtag_server.auth import provide_account, provide_vault
from hushtag_server.database import check_role, missing_migrations
from hushtag_server.direct import DirectRoutes
from hushtag_server.docs import DOCS_ROUTES, Documents, make_documents
from hushtag_server.edge import Edge
from hushtag_server.errors import StartError
from hushtag_server.hash_queue import HashQueue
from hushtag_server.health import HEALTH_ROUTES
from hushtag_server.journal.direct_routes import DIRECT_ROUTES as ENTRY_ROUTES
from hushtag_server.journal.routes import JOURNAL_ROUTES
from hushtag_server.journal.searches import Searches
from hushtag_server.keyfile import KeyRing
from hushtag_server.observability import Metrics
from hushtag_server.openapi import build_document
from hushtag_server.pairing.routes import PAIRING_ROUTES
from hushtag_server.pool import make_pool
from hushtag_server.problems import answer_error
from hushtag_server.query_rules import refuse_unknown_query
from hushtag_server.reminders.bell import Bell
from hushtag_server.reminders.calendars import Calendars
from hushtag_server.reminders.routes import REMINDER_ROUTES
from hushtag_server.security_log.audit_keys import audit_keys
from hushtag_server.security_log.sealer import Sealer
from hushtag_server.services import Services, provide_services
from hushtag_server.settings import Settings
from hushtag_server.streams.bodies import Lanes
from hushtag_server.streams.removing import Remover
from hushtag_server.streams.routes import STREAM_ROUTES
from hushtag_server.streams.stores import SegmentStores
from hushtag_server.transfer.routes import TRANSFER_ROUTES
from hushtag_server.vault.routes import VAULT_ROUTES
from hushtag_server.vault.routes_unlock import DIRECT_ROUTES as UNLOCK_ROUTES
from hushtag_server.wire import WireRequest

__all__ = ["create_app"]

_THREADS = 4
_RULE_THREADS = 2  # of their own: dear rules take a quarter of a second each
_GC_THRESHOLDS = (5_000, 20, 20)  # a request leaves no cycles; the defaults would look for them many times a second
_making_documents = threading.Lock()
_ROUTES: Sequence[ControllerRouterHandler] = (
    *ACCOUNT_ROUTES,
    *AUDIT_ROUTES,
    *JOURNAL_ROUTES,
    *PAIRING_ROUTES,
    *REMINDER_ROUTES,
    *STREAM_ROUTES,
    *TRANSFER_ROUTES,
    *VAULT_ROUTES,
    *HEALTH_ROUTES,
)
_DEPENDENCIES = {
    "services": Provide(provide_services),
    "account": Provide(provide_account),
    "vault": Provide(provide_vault),
}


@cache
def _made_documents() -> Documents:
    # Of these routes whatever the settings are.
    return make_documents(build_document(_ROUTES, _DEPENDENCIES))


def _documents() -> Documents:
    # Whoever asks first waits a quarter of a second in a thread of its own, and whoever asks meanwhile waits for that.
    with _making_documents:
        return _made_documents()


def create_app(settings: Settings, keys: KeyRing, *, settle: bool = False) -> Edge:
    """Return the ASGI application; its lifespan opens the pool and refuses a database it must not serve.

    With `settle` what stands when it begins to serve stands until the process ends, and the garbage collector does not
    walk through it again and again: for a process that serves nothing else, and may have turned the collector off.

    `settings.database_url` must be set. The Litestar application inside is `create_app(…).application.application`.
    """
    url = settings.database_url
    if url is None:
        raise StartError("the application needs HUSHTAG_DATABASE_URL; `hushtag-server serve` sets it itself")
    metrics = Metrics()
    sealer = Sealer(keys, settings.audit_checkpoints)
    bell = Bell(url)
    segments = SegmentStores(settings)
    remover = Remover(settings, segments)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with make_pool(url, settings) as pool:
            await pool.wait(timeout=30)
            async with pool.connection() as connection:
                await check_role(connection)
                if missing := await missing_migrations(connection):
                    raise StartError(f"the database lacks {', '.join(missing)}; run `hushtag-server migrate`")
            await prepare_dummy()
            await segments.start(pool)
            app.state["services"] = Services(
                settings=settings,
                keys=keys,
                audit=audit_keys(keys.current),
                pool=pool,
                metrics=metrics,
                threads=anyio.CapacityLimiter(_THREADS),
                rules=anyio.CapacityLimiter(_RULE_THREADS),
                calendars=Calendars(),
                passwords=HashQueue(
                    settings.password_hashes_at_once, settings.password_hashes_waiting, settings.password_wait
                ),
                searches=Searches(settings.pool_size),
                sealer=sealer,
                segments=segments,
                remover=remover,
                lanes=Lanes(settings.pool_size),
            )
            if settle:
                gc.collect()
                gc.freeze()
                gc.set_threshold(*_GC_THRESHOLDS)
                gc.enable()
            async with metrics.watching(pool.get_stats), sealer.running(pool), bell.listening(), remover.running(pool):
                yield

    application = Litestar(
        route_handlers=[*_ROUTES, *DOCS_ROUTES],
        dependencies=_DEPENDENCIES,
        exception_handlers={Exception: answer_error},
        before_request=refuse_unknown_query,
        lifespan=[lifespan],
        state=State(),
        request_class=WireRequest,
        request_max_body_size=MAX_JSON_BYTES,
        openapi_config=None,
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )
    application.state["bell"] = bell
    application.state["documents"] = _documents
    return Edge(
        DirectRoutes(application, [*UNLOCK_ROUTES, *ENTRY_ROUTES]),
        metrics,
        settings.request_timeout.total_seconds(),
        settings,
    )
