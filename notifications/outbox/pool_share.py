"""Limits how many connections of a pool one kind of work may use at the same time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db.queries import Connection, Pool


class PoolShare:
    """Hands out at most `at_most` connections of a pool at the same time; further callers wait."""

    def __init__(self, pool: Pool, at_most: int) -> None:
        self._pool = pool
        self._free = asyncio.Semaphore(at_most)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Yield a connection. Raises what the pool raises if it has none."""
        async with self._free, self._pool.connection() as connection:
            yield connection
