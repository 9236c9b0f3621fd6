"""Ten thousand alerts at once: few messages, none late, and each alert in one of them."""

import asyncio
from collections import Counter

import pytest

from db.queries import Pool
from model.severity import Level
from model.times import utc_now
from notifications.outbox import queue
from tests.notifications.outbox.telling import Telling

COUNT = 10_000
SOON_S = 10.0
"""The contract: each alert within so many seconds of its commit."""


def messages_of_each(telling: Telling) -> Counter[int]:
    """Return how many messages are about each alert."""
    bodies = telling.received()
    return Counter(
        alert["id"] for body in bodies for alert in body.get("alerts") or [body["alert"]]
    )


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_ten_thousand_alerts_are_ten_messages_a_minute_and_each_is_in_one(
    telling: Telling,
) -> None:
    await telling.channel()
    opened = await telling.open(*[Level.CRITICAL] * COUNT)
    telling.start()

    async with asyncio.timeout(SOON_S):
        while not telling.provider.requests:
            await asyncio.sleep(0.02)
    async with asyncio.timeout(50):
        while sum(messages_of_each(telling).values()) < COUNT:
            await asyncio.sleep(0.2)

    assert messages_of_each(telling) == dict.fromkeys(opened, 1)
    assert len(telling.provider.requests) <= 10
    async with asyncio.timeout(SOON_S):
        while not (await telling.states()).keys() <= {"sent", "grouped"}:
            await asyncio.sleep(0.2)


async def test_the_next_delivery_is_found_by_looks_into_indexes(pool: Pool) -> None:
    """A join would compare each waiting delivery with each other one."""
    parameters = {"channel_id": 1, "address": "", "now": utc_now()}
    async with pool.connection() as connection:
        cursor = await connection.execute(b"EXPLAIN " + queue.NEXT, parameters)
        plan = "\n".join(line for (line,) in await cursor.fetchall())

    assert "deliveries_pending_of_alert" in plan
    assert "Anti Join" not in plan
