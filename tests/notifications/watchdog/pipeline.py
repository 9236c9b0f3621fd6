"""The parts that a canary goes through, driven minute by minute; each of them can be frozen."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus

from aiohttp import web

from alerts.evaluation.catch_up import Evaluations
from alerts.evaluation.evaluator import evaluate
from config.model import Config
from model.times import utc_now
from notifications.outbox import pause
from notifications.outbox.dispatcher import Dispatcher
from notifications.outbox.pool_share import PoolShare
from notifications.watchdog.canary import SENT_WITHIN, confirm, sample_of
from notifications.watchdog.watchdog import Watchdog
from runtime.settings import Secret
from samples.writer import Writer
from tests.notifications.outbox.telling import Telling

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
INTERVAL = timedelta(minutes=5)
MAINTENANCE = timedelta(minutes=5)
STORED_WITHIN_S = SENT_WITHIN_S = 10.0
WAITS = b"""
SELECT d.id FROM deliveries d JOIN notifications n ON n.id = d.notification_id
WHERE n.kind = 'canary' AND d.state = 'pending' AND n.time > %(since)s
  AND (d.attempts = 0 OR %(is_taken)s)
  AND NOT EXISTS (SELECT FROM notification_pause)
"""
MAINTAIN = b"CALL maintain(NULL, jsonb_build_object('now', %(now)s::timestamptz))"


class Pipeline:
    """Writer, maintenance, evaluation and dispatcher, with one clock; `frozen` names those at rest.

    `calls` are the times at which the watchdog was called.
    """

    def __init__(self, telling: Telling) -> None:
        self.now = START
        self.frozen: set[str] = set()
        self.calls: list[datetime] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.telling = telling
        self.pool = telling.pool
        telling.provider.handler = self._answer
        self.writer = Writer(self.pool, lambda _: None)
        self.evaluations = Evaluations(
            pool=self.pool,
            config=Config,
            renew_config=_nothing,
            wait_until_stored=self.writer.wait_until_stored,
            announce=lambda: None,
            evaluate=partial(evaluate, on_transitions=[]),
            confirm=confirm,
        )
        self.dispatcher: Dispatcher
        self.watchdog = Watchdog(
            pool=PoolShare(self.pool, 1),
            egress=telling.egress,
            url=Secret(f"{telling.provider.url}/ping/x"),
            now=lambda: self.now,
        )

    async def _answer(self, _: web.Request) -> web.Response:
        self.calls.append(self.now)
        return web.Response(status=self.telling.provider.status)

    async def run(self, minutes: int) -> None:
        """Let time go on; whatever is not frozen does what it does in each minute."""
        for _ in range(minutes):
            self.now += MINUTE
            await self._minute()

    def start(self) -> None:
        """Begin with everything at work."""
        for part in ("writer", "dispatcher"):
            self.thaw(part)

    def freeze(self, part: str) -> None:
        self.frozen.add(part)
        if part in self._tasks:
            self._tasks.pop(part).cancel()

    def thaw(self, part: str) -> None:
        self.frozen.discard(part)
        if part == "writer":
            self._tasks[part] = asyncio.create_task(self.writer.run())
        if part == "dispatcher":
            self.dispatcher = self._dispatcher()
            self._tasks[part] = asyncio.create_task(self.dispatcher.run())

    async def stop(self) -> None:
        for part in list(self._tasks):
            task = self._tasks[part]
            self.freeze(part)
            await asyncio.wait([task])

    async def _minute(self) -> None:
        if _is_slot(self.now, MAINTENANCE) and "maintenance" not in self.frozen:
            async with self.pool.connection() as connection:
                await connection.execute(MAINTAIN, {"now": self.now})
        if "evaluation" not in self.frozen:
            await self.evaluations.run(self.now)
        if "dispatcher" not in self.frozen:
            await self._send()
        if _is_slot(self.now, INTERVAL):
            self.writer.put([sample_of(self.now)])
            if "writer" not in self.frozen:
                assert await self.writer.wait_until_stored(STORED_WITHIN_S)

    async def _send(self) -> None:
        """Let the dispatcher look, and wait until it has sent what it may send."""
        self.dispatcher.wake()
        async with asyncio.timeout(SENT_WITHIN_S):
            while await self._waits():
                await asyncio.sleep(0.02)

    def _takes_calls(self) -> bool:
        return self.telling.provider.status == HTTPStatus.OK

    async def _waits(self) -> bool:
        async with self.pool.connection() as connection:
            parameters = {"since": self.now - SENT_WITHIN, "is_taken": self._takes_calls()}
            cursor = await connection.execute(WAITS, parameters)
            return await cursor.fetchone() is not None

    def _dispatcher(self) -> Dispatcher:
        few = PoolShare(self.pool, 2)
        sender = self.telling.dispatcher().sender
        return Dispatcher(pool=few, sender=sender, now=lambda: self.now, watchdog=self.watchdog)

    async def pause(self) -> None:
        async with self.pool.connection() as connection:
            await pause.pause(connection, utc_now(), "test", "")


def _is_slot(time: datetime, every: timedelta) -> bool:
    return (time - START) % every == timedelta(0)


async def _nothing() -> None:
    """There are no settings to read."""
