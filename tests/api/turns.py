"""Measures the CPU time that the event loop uses in one turn, however busy the machine is."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def short_turns(ms_max: float) -> AsyncIterator[None]:
    """Fail when one turn of the loop took longer in the block, by the clock of its own thread."""
    longest_s = 0.0

    async def watch() -> None:
        nonlocal longest_s
        while True:
            began_s = time.thread_time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - began_s)

    # As the service does once it has started: what there is already is not looked at again.
    gc.collect()
    gc.freeze()
    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        gc.unfreeze()
    assert 1000 * longest_s < ms_max, f"{1000 * longest_s:.0f} ms"
