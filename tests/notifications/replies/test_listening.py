"""A text in the chat of a Telegram channel acts, for as long as the channel is there."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from db.queries import Pool
from model.severity import Level
from notifications import channel_store
from notifications.outbox.pool_share import PoolShare
from notifications.replies.acting import Acting
from notifications.replies.listening import Listeners
from notifications.routing.enqueue import enqueue
from runtime.encryption.secret_keys import SecretKeys
from runtime.network.egress import Egress
from tests.notifications.outbox.telling import Telling
from tests.notifications.provider import Provider

KEYS = SecretKeys(["a" * 32])
CHAT = 77


class Chat:
    """Telegram, as far as a bot sees it: what people write, and what the bot says."""

    def __init__(self) -> None:
        self.updates: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()

    def write(self, text: str) -> None:
        number = len(self.updates) + 1
        message = {
            "message_id": number,
            "from": {"id": 5, "first_name": "Ann"},
            "chat": {"id": CHAT},
            "text": text,
        }
        self.updates.append({"update_id": number, "message": message})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        method = request.path.rpartition("/")[2]
        self.asked[method] += 1
        if method != "getUpdates":
            return web.json_response({"ok": True, "result": {"message_id": 1}})
        offset = json.loads(await request.read())["offset"]
        found = [one for one in self.updates if one["update_id"] >= offset]
        await asyncio.sleep(0.02)
        return web.json_response({"ok": True, "result": found})


@pytest.fixture
async def telling(pool: Pool, egress: Egress, provider: Provider) -> AsyncIterator[Telling]:
    reported = Telling(pool, egress, provider, KEYS)
    yield reported
    await reported.stop()


def listeners(telling: Telling) -> Listeners:
    few = PoolShare(telling.pool, 1)

    def on_reply_of(channel_id: int) -> Any:
        return Acting(
            pool=few,
            keys=KEYS,
            channel_id=channel_id,
            on_transitions=[enqueue],
            announce=lambda: None,
            now=telling.now,
        ).on_reply

    return Listeners(
        pool=few, egress=telling.egress, keys=KEYS, on_reply_of=on_reply_of, now=telling.now
    )


async def state_of(telling: Telling, alert_id: int) -> str:
    async with telling.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT state FROM system_alerts WHERE id = %s", [alert_id]
        )
        row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


async def test_a_text_in_the_chat_acknowledges_until_the_channel_is_deleted(
    telling: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifications.replies.listening.LOOK_EVERY_S", 0.05)
    chat = Chat()
    telling.provider.handler = chat.answer
    channel_id = await telling.channel(
        "bot", type="telegram", secret="1:" + "x" * 35, settings={"chat_id": CHAT}
    )
    first, second = await telling.open(Level.CRITICAL, Level.CRITICAL)
    task = asyncio.create_task(listeners(telling).run())
    try:
        chat.write(f"/ack {first}")
        async with asyncio.timeout(10):
            while await state_of(telling, first) != "acknowledged":
                await asyncio.sleep(0.02)
        async with telling.pool.connection() as connection:
            await channel_store.delete(connection, channel_id)
        asked = -1
        async with asyncio.timeout(10):
            while asked != chat.asked["getUpdates"]:
                asked = chat.asked["getUpdates"]
                await asyncio.sleep(0.3)
        chat.write(f"/ack {second}")
        await asyncio.sleep(0.3)
    finally:
        task.cancel()
        await asyncio.wait([task])

    assert await state_of(telling, second) == "firing"
    assert chat.asked["sendMessage"] == 1
