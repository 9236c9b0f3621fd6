"""Wrong keys: whoever shows many is answered slowly, and nobody else is."""

import asyncio
import time

from litestar.types import Scope
from msgspec import Struct

from api.connections import client_of, group_of

FREE_FAILURES = 20
DELAY_S = 1.0
DELAY_S_MAX = 10.0
"""Of an address that tries many keys side by side: the number of its connections is limited."""
FORGOTTEN_S = 900.0
ADDRESSES_MAX = 10_000


class _Failures(Struct):
    count: int = 0
    last: float = 0.0
    next_at: float = 0.0
    """When the answer to the next failure may be sent."""


class Throttle:
    """Counts failures by address, and delays the answers to those beyond the free ones.

    A valid key is never delayed, from whatever address: it is looked up before anything is counted.
    """

    def __init__(self) -> None:
        self.delayed = 0
        self._failures: dict[str, _Failures] = {}

    def delay_s(self, address: str, now: float) -> float:
        """Count a failure, and return how long its answer waits."""
        known = self._failures.pop(address, None)
        if known is None or now - known.last > FORGOTTEN_S:
            known = _Failures()
        if len(self._failures) >= ADDRESSES_MAX:
            # The address that failed the longest ago.
            del self._failures[next(iter(self._failures))]
        self._failures[address] = known
        known.count, known.last = known.count + 1, now
        if known.count <= FREE_FAILURES:
            return 0.0
        known.next_at = min(max(known.next_at, now) + DELAY_S, now + DELAY_S_MAX)
        return known.next_at - now

    async def wait(self, scope: Scope) -> None:
        """Wait as long as the answer to a failure has to."""
        host, _ = scope.get("client") or ("", 0)
        address = client_of(host)
        if address is None:
            return
        if delay_s := self.delay_s(group_of(address), time.monotonic()):
            self.delayed += 1
            await asyncio.sleep(delay_s)

    def forget(self) -> None:
        self._failures.clear()
