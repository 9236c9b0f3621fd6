"""Suspends the garbage collector while many objects without cycles are created."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Suspend garbage collection in the block.

    The growing number of objects would trigger full collections, each of which stops all threads
    for up to a second. Only the thread that parses bodies may use this: the first of two
    overlapping blocks to end would enable collection for the other.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
