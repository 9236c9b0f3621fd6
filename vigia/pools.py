"""The connection pools: for the service's own work, for requests, and for history."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from db.engine import Engine
from db.pool import (
    OPEN_TIMEOUT_S,
    READER,
    READER_CONNECTIONS_MAX,
    REQUESTS,
    REQUESTS_CONNECTIONS_MAX,
    SERVICE_CONNECTIONS_MAX,
    DatabasePool,
    open_pool,
)
from runtime.settings import Settings
from samples.database.incarnation import Incarnations, refuse_restoring


def open_own(
    engine: Engine, incarnations: Incarnations
) -> AbstractAsyncContextManager[DatabasePool]:
    return open_pool(
        engine.dsn,
        embedded=engine.embedded,
        connections_max=SERVICE_CONNECTIONS_MAX,
        open_timeout_s=_open_timeout_s(engine),
        configure=incarnations.verify,
    )


def _open_timeout_s(engine: Engine) -> float:
    """Return how long to wait for a connection at the start.

    An embedded engine already runs, so the pool waits for it. A server may be unavailable, so the
    pool opens without a connection.
    """
    return OPEN_TIMEOUT_S if engine.embedded else 0.0


def open_requests(settings: Settings, engine: Engine) -> AbstractAsyncContextManager[DatabasePool]:
    for_the_past = READER_CONNECTIONS_MAX if _is_shared(settings, engine) else 0
    return open_pool(
        engine.dsn,
        embedded=engine.embedded,
        name=REQUESTS,
        connections_max=REQUESTS_CONNECTIONS_MAX + for_the_past,
        open_timeout_s=_open_timeout_s(engine),
        configure=refuse_restoring,
    )


def _is_shared(settings: Settings, engine: Engine) -> bool:
    """Return whether one pool serves requests and history: the embedded engine has one session."""
    return engine.embedded and settings.database_read_url is None


@asynccontextmanager
async def open_reader(
    settings: Settings, engine: Engine, requests: DatabasePool
) -> AsyncIterator[DatabasePool]:
    """Open the pool for history, or yield the pool of requests if they share one."""
    if _is_shared(settings, engine):
        yield requests
        return
    url = settings.database_read_url
    async with open_pool(
        url.reveal() if url else engine.dsn,
        embedded=False,
        reading=True,
        name=READER,
        connections_max=READER_CONNECTIONS_MAX,
        open_timeout_s=0.0,
        configure=refuse_restoring,
    ) as own:
        yield own
