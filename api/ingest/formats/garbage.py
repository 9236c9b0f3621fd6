"""Keeps the garbage collector away while many objects are made that form no cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Let no garbage collection run in the block.

    It would look at every object of the process again and again, for a second each time, because
    their number grows; and it holds up all threads. Only the thread that reads bodies may use
    this: two blocks that overlap would end each other.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
