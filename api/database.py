"""Connections for answering: each use has a deadline."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db.queries import Connection, Pool

DEADLINE_S = 5.0
LONG_DEADLINE_S = 15.0
"""Of what reads the past, or changes much at once."""


@asynccontextmanager
async def connect(pool: Pool, deadline_s: float = DEADLINE_S) -> AsyncIterator[Connection]:
    """Lend a connection. Raises TimeoutError when what is done with it takes too long."""
    async with asyncio.timeout(deadline_s), pool.connection() as connection:
        yield connection
