"""The pools of a service: for its own work, for what is asked of it, and for the past."""

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
    """Return how long a pool waits to be opened: only for an engine of our own, which is there."""
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
    """Whether one pool serves requests and the past: the embedded engine has one session."""
    return engine.embedded and settings.database_read_url is None


@asynccontextmanager
async def open_reader(
    settings: Settings, engine: Engine, requests: DatabasePool
) -> AsyncIterator[DatabasePool]:
    """Open the pool for the past, unless it is that of requests."""
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
