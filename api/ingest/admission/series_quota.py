"""How many new series each key may bring in a minute."""

import asyncio
import time
from collections.abc import Callable

from msgspec import Struct, field

from model.limits import NEW_SERIES_A_MINUTE_MAX

KEYS_MAX = 1000
PAUSE_S = 1.0
"""After this a request that brought too many is answered, one of a key after the other: a flood is
read no faster, and leaves the processor to others."""


class Bucket(Struct):
    """What a key may still bring, as of a time of the clock."""

    left: float
    at: float
    line: asyncio.Lock = field(default_factory=asyncio.Lock)


class SeriesQuota:
    """A bucket for each key, which fills again within a minute; the one not used longest goes.

    Requests that come together see the same room, so a key may exceed it by as many requests as
    are stored at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def remaining(self, key: str) -> int:
        """Return how many new series a key may bring now."""
        now = self._clock()
        bucket = self._buckets.pop(key, None) or Bucket(NEW_SERIES_A_MINUTE_MAX, now)
        filled = bucket.left + (now - bucket.at) / 60 * NEW_SERIES_A_MINUTE_MAX
        bucket.left, bucket.at = min(filled, NEW_SERIES_A_MINUTE_MAX), now
        self._buckets[key] = bucket
        if len(self._buckets) > KEYS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return max(0, int(bucket.left))

    def count(self, key: str, brought: int) -> None:
        """Count series that a key has brought."""
        if key in self._buckets:
            self._buckets[key].left -= brought

    async def pause(self, key: str) -> None:
        """Hold up a key that has brought too many."""
        if key in self._buckets:
            async with self._buckets[key].line:
                await asyncio.sleep(PAUSE_S)
