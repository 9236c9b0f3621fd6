"""A few of a pool's connections, for work that must not take them all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db.queries import Connection, Pool


class PoolShare:
    """Lends connections of a pool, so many at the same time; whoever comes later waits here."""

    def __init__(self, pool: Pool, at_most: int) -> None:
        self._pool = pool
        self._free = asyncio.Semaphore(at_most)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection. Raises what the pool raises when there is none."""
        async with self._free, self._pool.connection() as connection:
            yield connection
