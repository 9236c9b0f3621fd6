"""A message says what its alert is about: the limit, the last hour, the link that acts."""

from datetime import timedelta

from alerts.rules import store as rules
from alerts.rules.model import Rule
from model.series import Category, Sample, Series
from model.severity import Level
from notifications.message import Message
from notifications.outbox import queue
from notifications.outbox.composing import find_channel
from notifications.outbox.queue import LeasedAddress
from samples.insert import insert
from samples.series import SeriesNumbers
from tests.notifications.outbox.telling import Telling

CPU = Series(metric="server_cpu_percent", component="web", category=Category.SYSTEM, unit="percent")
RULE = Rule(name="cpu-high", metric=CPU.metric, levels={Level.CRITICAL: 80.0}, runbook="Restart it")


async def alert_of_a_series(telling: Telling) -> int:
    """Open an alert of a rule whose series was measured during the last hour."""
    [alert_id] = await telling.open(Level.CRITICAL)
    now = telling.now()
    samples = [
        Sample(CPU, now - timedelta(minutes=minute), 20.0 + minute) for minute in range(1, 59)
    ]
    async with telling.pool.connection() as connection, connection.transaction():
        await insert(connection, SeriesNumbers(), samples)
        await rules.insert(connection, RULE, now, "test")
        await connection.execute(
            "UPDATE system_alerts SET rule = 'cpu-high', value = 97.7, threshold = 80,"
            " series_id = (SELECT id FROM series WHERE metric = 'server_cpu_percent')"
        )
    return alert_id


async def message_of(telling: Telling, channel_id: int) -> Message:
    """Return the message that the channel would be sent next."""
    async with telling.pool.connection() as connection:
        delivery = await queue.following(
            connection, LeasedAddress(channel_id, "", 0), telling.now()
        )
    assert delivery is not None
    channel = await find_channel(telling.pool, telling.keys, channel_id, "")
    return await telling.composer().compose(channel, delivery, (), telling.now())


async def test_a_channel_that_shows_pictures_gets_the_last_hour_as_one(telling: Telling) -> None:
    chat = await telling.channel("chat", type="discord", url="https://discord.com/api/webhooks/1/x")
    await alert_of_a_series(telling)

    message = await message_of(telling, chat)

    assert message.picture is not None
    assert message.picture.startswith(b"\x89PNG")
    assert "▁" not in message.text


async def test_others_get_it_as_a_line_of_blocks(telling: Telling) -> None:
    hook = await telling.channel()
    await alert_of_a_series(telling)

    message = await message_of(telling, hook)

    assert message.picture is None
    assert "█" in message.text
    assert "Restart it" in message.text


async def test_an_alert_without_a_series_is_told_without_a_background(telling: Telling) -> None:
    hook = await telling.channel()
    [alert_id] = await telling.open(Level.WARNING)

    message = await message_of(telling, hook)

    assert message.links.alert == f"https://vigia.example/?alert={alert_id}"
    assert message.links.acknowledge.startswith("https://vigia.example/l/")
    assert message.thread == f"alert-{alert_id}"
    assert message.picture is None


async def test_a_step_of_level_names_the_level_before(telling: Telling) -> None:
    hook = await telling.channel()
    [alert_id] = await telling.open(Level.WARNING)
    await telling.escalate(alert_id, Level.CRITICAL)
    telling.start()
    await telling.until(sent=2)

    [_, escalated] = telling.received()
    assert escalated["event"] == "escalated"
    assert "warning" in escalated["title"].lower()
    assert hook


async def test_messages_are_in_the_language_of_the_channel(telling: Telling) -> None:
    await telling.channel(language="pt-BR", tz="America/Sao_Paulo")
    [alert_id] = await telling.open(Level.CRITICAL)
    await telling.resolve(alert_id)
    telling.start()
    await telling.until(sent=2)

    assert "UTC-3" in telling.received()[0]["text"]
    assert "resolvido" in telling.received()[1]["title"].lower()
