"""Wrong keys: whoever shows many is answered slowly, and nobody else is."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar.types import Scope
from msgspec import Struct

from api.accounts.lookups import CrowdedError
from api.server.connections import asker_of, delay

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
        self.undelayed = 0
        """Answers that were to be delayed, when too many were already."""
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
        """Wait as long as the answer to a failure has to, or not at all when too many wait.

        An answer costs its sender nothing while it waits, and us a connection: so few wait that
        nobody else lacks one.
        """
        group = asker_of(scope)
        if not group:
            return
        if delay_s := self.delay_s(group, time.monotonic()):
            self.delayed += 1
            if not await delay(scope, group, delay_s):
                self.undelayed += 1

    @asynccontextmanager
    async def looking_up(self, scope: Scope) -> AsyncIterator[None]:
        """Delay the refusal of a look-up for which too many of its address wait.

        Whoever asks again at once would keep the event loop busy with refusals.
        """
        try:
            yield
        except CrowdedError:
            await delay(scope, asker_of(scope), DELAY_S)
            raise

    def forget(self) -> None:
        self._failures.clear()
