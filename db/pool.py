"""The pool of connections, sized and guarded for the engine behind it."""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg_pool import AsyncConnectionPool

from db.queries import Connection, Pool

CONNECTIONS_MAX = 8
CONNECTIONS_MIN = 2
CHECKOUT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_S = 30
SESSION = f"-c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_S}s"
READING = (
    f"{SESSION} -c default_transaction_read_only=on -c plan_cache_mode=force_custom_plan"
    " -c random_page_cost=1.1 -c jit=off"
)
"""A plan for any time opens every chunk; with its times known, only those it needs. What is read is
in memory or on a disk without a head to move, and no answer is long enough to pay for compiling."""


@asynccontextmanager
async def open_pool(
    dsn: str, *, embedded: bool, reading: bool = False, open_timeout_s: float = 30.0
) -> AsyncIterator[Pool]:
    """Open the pool. A checkout that takes longer than 3 s raises PoolTimeout: the API says 503.

    Every connection is in autocommit: a transaction is always said. Statements are never prepared
    by name on the embedded engine, where all connections share one session.
    """
    kwargs: dict[str, Any] = {
        "autocommit": True,
        "application_name": "vigia",
        "options": READING if reading else SESSION,
    }
    if embedded:
        kwargs["prepare_threshold"] = None
    pool: Pool = AsyncConnectionPool(
        dsn,
        min_size=CONNECTIONS_MIN,
        max_size=CONNECTIONS_MAX,
        timeout=CHECKOUT_TIMEOUT_S,
        kwargs=kwargs,
        check=_check,
        open=False,
        name="vigia",
    )
    await pool.open(wait=True, timeout=open_timeout_s)
    try:
        yield pool
    finally:
        await pool.close()


async def _check(connection: Connection) -> None:
    """Ask a connection whether it still answers, if its server has sent something unasked.

    A server that ended has closed its side, which can be read; otherwise nothing can, and the
    question would cost as much as a small query.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool[Connection].check_connection(connection)
