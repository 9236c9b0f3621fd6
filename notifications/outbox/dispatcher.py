"""Sends the deliveries of the outbox: claims addresses, sends, and then stores the result.

Sending happens outside of any transaction. A crash between sending and storing leads to another try
with the same idempotency key. The lease of an address prevents two processes from serving it at the
same time, so that its messages keep their order.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime

import structlog
from msgspec import Struct, field

from db.failures import FAILURES
from notifications.event_feed.following import follow
from notifications.outbox import queue
from notifications.outbox.pool_share import PoolShare
from notifications.outbox.sender import LEASE, Sender
from notifications.watchdog.watchdog import Watchdog

log = structlog.get_logger()

ADDRESSES_AT_ONCE = 32
"""So many that a few providers that do not answer cannot block the others."""
POLL_S = 1.0
"""How often to look for deliveries of other replicas and for tries that are due again."""


class Dispatcher(Struct, kw_only=True):
    """Serves every address that has waiting deliveries. Each replica may run one."""

    pool: PoolShare
    sender: Sender
    now: Callable[[], datetime]
    watchdog: Watchdog | None = None
    """Called for each canary that has got as far as the dispatcher."""
    _awake: asyncio.Event = field(default_factory=asyncio.Event)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)
    _has_begun: bool = False

    def wake(self) -> None:
        """Claim at once, because a transaction with deliveries was committed."""
        self._awake.set()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._claim(group)
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._awake.wait()
        except TimeoutError:
            return
        finally:
            self._awake.clear()

    async def _claim(self, group: asyncio.TaskGroup) -> None:
        """Start to serve as many addresses as there are free places."""
        free, now = ADDRESSES_AT_ONCE - len(self._serving), self.now()
        if not free:
            return
        try:
            async with self.pool.connection() as connection:
                if not self._has_begun:
                    await queue.release_all(connection, self.sender.lease)
                    self._has_begun = True
                if await follow(connection, now):
                    self.wake()
                claimed = await queue.claim(connection, now, self.sender.lease, now + LEASE, free)
                canary = await self.watchdog.claim(connection) if self.watchdog else None
        except FAILURES as error:
            # Deliveries stay in the database and are sent when it is back.
            log.warning("outbox_unreachable", reason=str(error))
            return
        for address in claimed:
            self._begin(group, self.sender.serve(address))
        if self.watchdog and canary:
            self._begin(group, self.watchdog.call(canary))

    def _begin(self, group: asyncio.TaskGroup, serving: Coroutine[None, None, None]) -> None:
        task = group.create_task(serving)
        self._serving.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self.wake()
