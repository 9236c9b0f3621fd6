"""Checks that the database accepts a write. The write is rolled back."""

import asyncio

from db.failures import FAILURES
from db.queries import Pool
from samples.database.incarnation import try_write


async def check_write(pool: Pool, timeout_s: float, *, with_sample: bool = False) -> None:
    """Try a write. Raises psycopg.Error, or TimeoutError after `timeout_s` seconds.

    Without a deadline, a silent connection would keep all samples in the spool for ever.
    """
    async with asyncio.timeout(timeout_s), pool.connection() as connection:
        await try_write(connection, with_sample=with_sample)


async def takes_samples(pool: Pool, timeout_s: float) -> bool:
    """Return whether the database accepts a sample now.

    If it does, an earlier failure was caused by the data of that write.
    """
    try:
        await check_write(pool, timeout_s, with_sample=True)
    except FAILURES:
        return False
    return True
