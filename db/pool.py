"""The pool of connections, sized and guarded for the engine behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg_pool import AsyncConnectionPool

from db.queries import Connection, Pool

CONNECTIONS_MAX = 8
CONNECTIONS_MIN = 2
CHECKOUT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_S = 30


@asynccontextmanager
async def open_pool(
    dsn: str, *, embedded: bool, open_timeout_s: float = 30.0
) -> AsyncIterator[Pool]:
    """Open the pool. A checkout that takes longer than 3 s raises PoolTimeout: the API says 503.

    Every connection is in autocommit: a transaction is always said. Statements are never prepared
    by name on the embedded engine, where all connections share one session.
    """
    kwargs: dict[str, Any] = {
        "autocommit": True,
        "application_name": "vigia",
        "options": f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_S}s",
    }
    if embedded:
        kwargs["prepare_threshold"] = None
    pool: Pool = AsyncConnectionPool(
        dsn,
        min_size=CONNECTIONS_MIN,
        max_size=CONNECTIONS_MAX,
        timeout=CHECKOUT_TIMEOUT_S,
        kwargs=kwargs,
        check=AsyncConnectionPool[Connection].check_connection,
        open=False,
        name="vigia",
    )
    await pool.open(wait=True, timeout=open_timeout_s)
    try:
        yield pool
    finally:
        await pool.close()
