"""Asks whether the database takes another write, which is rolled back."""

import asyncio

from db.failures import FAILURES
from db.queries import Pool
from samples.database.incarnation import try_write


async def check_write(pool: Pool, timeout_s: float, *, with_sample: bool = False) -> None:
    """Try a write. Raises what the database says, and TimeoutError.

    Without a deadline, a connection that went silent would keep everything on disk for ever.
    """
    async with asyncio.timeout(timeout_s), pool.connection() as connection:
        await try_write(connection, with_sample=with_sample)


async def takes_samples(pool: Pool, timeout_s: float) -> bool:
    """Whether the database takes a sample now, so that a failure concerns what was written."""
    try:
        await check_write(pool, timeout_s, with_sample=True)
    except FAILURES:
        return False
    return True
