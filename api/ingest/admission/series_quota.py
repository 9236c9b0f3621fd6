"""The quota of new series that each key may create in a minute."""

import asyncio
import time
from collections.abc import Callable

from msgspec import Struct, field

from model.limits import NEW_SERIES_A_MINUTE_MAX

KEYS_MAX = 1000
PAUSE_S = 1.0
"""Delay of the response to a request that exceeds its quota. Requests of one key are delayed one
after the other, which slows down a flood."""


class Bucket(Struct):
    """The token bucket of a key: what is left of its quota at a time (monotonic, s)."""

    left: float
    at: float
    pausing: asyncio.Lock = field(default_factory=asyncio.Lock)


class SeriesQuota:
    """A token bucket for each key, which refills within a minute; the least recent is dropped.

    Concurrent requests see the same remaining quota, so a key can exceed it by the number of
    requests that are stored at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def remaining(self, key: str) -> int:
        """Return how many new series a key may create now."""
        now = self._clock()
        bucket = self._buckets.pop(key, None) or Bucket(NEW_SERIES_A_MINUTE_MAX, now)
        filled = bucket.left + (now - bucket.at) / 60 * NEW_SERIES_A_MINUTE_MAX
        bucket.left, bucket.at = min(filled, NEW_SERIES_A_MINUTE_MAX), now
        self._buckets[key] = bucket
        if len(self._buckets) > KEYS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return max(0, int(bucket.left))

    def count(self, key: str, brought: int) -> None:
        """Subtract series that a key created from its quota."""
        if key in self._buckets:
            self._buckets[key].left -= brought

    async def pause(self, key: str) -> None:
        """Delay a key that exceeded its quota."""
        if key in self._buckets:
            async with self._buckets[key].pausing:
                await asyncio.sleep(PAUSE_S)
