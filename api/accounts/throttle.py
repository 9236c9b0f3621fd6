"""Delays the responses to an address that sends many invalid keys, and to no other."""

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
"""The longest delay. An address cannot avoid it with many connections: their number is limited."""
FORGOTTEN_S = 900.0
ADDRESSES_MAX = 10_000


class _Failures(Struct):
    count: int = 0
    last: float = 0.0
    next_at: float = 0.0
    """When the response to the next failure may be sent."""


class Throttle:
    """Counts failures by address, and delays responses after the first FREE_FAILURES.

    A valid key is never delayed, whatever its address: only failed look-ups are counted.
    """

    def __init__(self) -> None:
        self.delayed = 0
        self.undelayed = 0
        """Responses that were sent at once because too many others were being delayed."""
        self._failures: dict[str, _Failures] = {}

    def delay_s(self, address: str, now: float) -> float:
        """Count a failure of an address; return the delay of its response in seconds."""
        known = self._failures.pop(address, None)
        if known is None or now - known.last > FORGOTTEN_S:
            known = _Failures()
        if len(self._failures) >= ADDRESSES_MAX:
            # Dictionaries keep their order: the first address failed the longest ago.
            del self._failures[next(iter(self._failures))]
        self._failures[address] = known
        known.count, known.last = known.count + 1, now
        if known.count <= FREE_FAILURES:
            return 0.0
        known.next_at = min(max(known.next_at, now) + DELAY_S, now + DELAY_S_MAX)
        return known.next_at - now

    async def wait(self, scope: Scope) -> None:
        """Wait before the response to a failure, or not at all if too many responses wait.

        A delayed response occupies a connection. Their number is limited, so that other clients
        always find a free one.
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
        """Delay the refusal of a look-up if too many are waiting.

        A client that retries at once would otherwise keep the event loop busy with refusals.
        """
        try:
            yield
        except CrowdedError:
            await delay(scope, asker_of(scope), DELAY_S)
            raise

    def forget(self) -> None:
        self._failures.clear()
