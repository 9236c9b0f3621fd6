"""Whatever ends at whatever point, each transition is told; repetitions have the same key."""

import asyncio
import random
from collections import defaultdict

import pytest

from alerts.announcing import announce
from alerts.clock import lock
from db.queries import Connection
from model.severity import Level
from notifications.routing.enqueue import enqueue
from tests.notifications.outbox.telling import WAIT_S, Telling

POINTS = ("before_commit", "after_commit", "before_send", "after_send", "after_mark")


class CrashError(Exception):
    """The process ends here."""


async def open_once(telling: Telling, point: str) -> None:
    """Open an alert in a transaction that may end before its commit."""

    async def crash(_connection: Connection, _now: object, _ids: object) -> None:
        raise CrashError

    followers = [enqueue, crash] if point == "before_commit" else [enqueue]
    async with telling.pool.connection() as connection, connection.transaction():
        await lock(connection)
        await telling.add(connection, Level.CRITICAL)
        await announce(connection, telling.now(), followers)


async def serve_until(telling: Telling, point: str) -> None:
    """Run a dispatcher until it comes to a point, at which its process ends; or for a moment."""
    ended = asyncio.Event()

    async def run() -> None:
        await dispatcher.run()

    def reach(name: str) -> None:
        if name == point:
            ended.set()
            raise asyncio.CancelledError

    dispatcher = telling.dispatcher(reach=reach)
    task = asyncio.create_task(run())
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait([task, waiting], timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
    for one in (task, waiting):
        one.cancel()
    await asyncio.wait([task, waiting])


async def crash_many(telling: Telling, crashes: int, seed: int) -> None:
    chance = random.Random(seed)
    telling.unlimited()
    await telling.channel()
    committed = 0
    for _ in range(crashes):
        point = chance.choice(POINTS)
        try:
            await open_once(telling, point)
            committed += 1
        except CrashError:
            continue
        if point != "after_commit":
            await serve_until(telling, point)
    telling.start()
    await telling.until(within_s=WAIT_S + crashes, sent=committed)

    bodies = defaultdict(set)
    for request in telling.provider.requests:
        bodies[request.headers["Idempotency-Key"]].add(telling.said(request))
    logged = {delivery.key for delivery in await telling.deliveries()}
    assert set(bodies) == logged
    assert len(logged) == committed
    assert all(len(said) == 1 for said in bodies.values())


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_crash_loses_a_transition_or_changes_a_key(telling: Telling, seed: int) -> None:
    await crash_many(telling, 25, seed)


@pytest.mark.long
async def test_a_thousand_crashes_lose_no_transition(telling: Telling) -> None:
    await crash_many(telling, 1000, 3)
