"""Alerts that change, and a dispatcher that tells a provider on loopback of them."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from alerts import store as alerts
from alerts.announcing import announce
from alerts.clock import lock
from db.queries import Connection, Pool
from model.series import Category
from model.severity import Level
from model.times import utc_now
from notifications import channel_store
from notifications.channel_store import Terms
from notifications.outbox.composing import Composer, find_channel
from notifications.outbox.deliveries import Delivery, Filter, read_all
from notifications.outbox.dispatcher import Dispatcher
from notifications.outbox.pool_share import PoolShare
from notifications.outbox.sender import Sender
from notifications.routing.enqueue import enqueue
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress
from tests.notifications.provider import Provider, Request

WAIT_S = 20.0


class Telling:
    """The way from a transition to a provider; `later` moves the clock of the dispatcher."""

    def __init__(self, pool: Pool, egress: Egress, provider: Provider, keys: SecretKeys) -> None:
        self.pool, self.egress, self.provider, self.keys = pool, egress, provider, keys
        self.later = timedelta()
        self.lease = uuid4()
        self.is_unlimited = False
        self.tasks: list[asyncio.Task[None]] = []

    def now(self) -> datetime:
        if self.is_unlimited:
            self.later += timedelta(seconds=2)
        return utc_now() + self.later

    async def channel(self, name: str = "ops", url: str = "", **terms: Any) -> int:
        """Make a webhook, which leads to the provider unless an address is given."""
        wanted = Terms(
            **{"name": name, "type": "webhook", "url": url or self.provider.url, **terms}
        )
        async with self.pool.connection() as connection:
            return await channel_store.insert(connection, self.keys, wanted, self.now(), "test")

    async def open(self, *levels: Level) -> list[int]:
        """Open alerts in one transaction, and announce them."""
        async with self._changing() as connection:
            return [
                await self._open(connection, number, level) for number, level in enumerate(levels)
            ]

    async def open_and_resolve(self, level: Level) -> int:
        """Open an alert that ends before anybody was told."""
        async with self._changing() as connection:
            alert_id = await self._open(connection, 0, level)
            await self._act(connection, alert_id, alerts.resolve, "resolved")
        return alert_id

    async def _open(self, connection: Connection, number: int, level: Level) -> int:
        now = self.now()
        alert_id = await alerts.open_test(
            connection, now, level, Category.SYSTEM, "web", f"alert {number}", "hot"
        )
        await alerts.log_transition(connection, alert_id, now, "opened", "auto")
        return alert_id

    async def _act(
        self, connection: Connection, alert_id: int, change: Callable[..., Any], kind: str
    ) -> None:
        now = self.now()
        assert await change(connection, alert_id, now, "ann")
        await alerts.log_transition(connection, alert_id, now, kind, "ann")

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Connection]:
        async with self.pool.connection() as connection, connection.transaction():
            await lock(connection)
            yield connection
            await announce(connection, self.now(), [enqueue])

    async def act(self, alert_id: int, change: Callable[..., Any], kind: str) -> None:
        """Let somebody act on an alert."""
        async with self._changing() as connection:
            await self._act(connection, alert_id, change, kind)

    async def acknowledge(self, alert_id: int) -> None:
        await self.act(alert_id, alerts.acknowledge, "acknowledged")

    async def resolve(self, alert_id: int) -> None:
        await self.act(alert_id, alerts.resolve, "resolved")

    async def add(self, connection: Connection, level: Level) -> int:
        """Open an alert in somebody's transaction."""
        return await self._open(connection, 0, level)

    async def escalate(self, alert_id: int, level: Level) -> None:
        """Let an alert go up, as the evaluation does."""

        async def raise_level(connection: Connection, *_: object) -> bool:
            query = "UPDATE system_alerts SET level = %s WHERE id = %s"
            await connection.execute(query, [level.value, alert_id])
            return True

        await self.act(alert_id, raise_level, "escalated")

    def composer(self) -> Composer:
        return Composer(pool=PoolShare(self.pool, 2), url="https://vigia.example", keys=self.keys)

    def unlimited(self) -> None:
        """Let each message come long after the one before, so that none waits for a limit."""
        self.is_unlimited = True

    def said(self, request: Request) -> str:
        """Return what a request is about, without the link, which is another one on each try."""
        body = json.loads(request.body)
        return json.dumps([body["key"], body["event"], body["alert"]["id"], body["title"]])

    def dispatcher(self, reach: Callable[[str], None] = lambda _: None) -> Dispatcher:
        few = PoolShare(self.pool, 2)
        sender = Sender(
            pool=few,
            egress=self.egress,
            find_channel=partial(find_channel, few, self.keys),
            compose=self.composer().compose,
            now=self.now,
            reach=reach,
            lease=self.lease,
        )
        return Dispatcher(pool=few, sender=sender, now=self.now)

    def start(self) -> Dispatcher:
        """Run another dispatcher."""
        dispatcher = self.dispatcher()
        self.tasks.append(asyncio.create_task(dispatcher.run()))
        return dispatcher

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)
        self.tasks = []

    async def deliveries(self) -> list[Delivery]:
        """Return the delivery log, oldest first."""
        async with self.pool.connection() as connection:
            return (await read_all(connection, Filter(), 100_000))[::-1]

    async def states(self) -> Counter[str]:
        return Counter(delivery.state.value for delivery in await self.deliveries())

    async def until(self, within_s: float = WAIT_S, **states: int) -> None:
        """Wait until the deliveries are in these states."""
        async with asyncio.timeout(within_s):
            while await self.states() != Counter(states):
                await asyncio.sleep(0.02)

    def received(self) -> list[dict[str, Any]]:
        """Return the bodies that the provider got, oldest first."""
        return [json.loads(request.body) for request in self.provider.requests]

    def events(self) -> list[tuple[str, int]]:
        """Return what the provider was told of single alerts."""
        return [(body["event"], body["alert"]["id"]) for body in self.received()]
