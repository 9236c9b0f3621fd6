"""From a transition to a provider: who is told, once and in order, whatever fails in between."""

import asyncio
from datetime import timedelta

from aiohttp import web

from model.severity import Level
from notifications.outbox.sender import LEASE
from runtime.encryption.secret_keys import SecretKeys
from tests.notifications.outbox.telling import Telling
from tests.notifications.provider import open_provider

CRITICAL, WARNING, INFO = Level.CRITICAL, Level.WARNING, Level.INFO


async def test_every_enabled_channel_is_told_of_alerts_of_at_least_its_level(
    telling: Telling,
) -> None:
    async with open_provider() as pager:
        await telling.channel("chat")
        await telling.channel("pager", pager.url, min_level=CRITICAL)
        await telling.channel("off", enabled=False)
        info, warning, critical = await telling.open(INFO, WARNING, CRITICAL)
        telling.start()
        await telling.until(sent=3)
        paged = [request.body for request in pager.requests]

    assert telling.events() == [("opened", warning), ("opened", critical)]
    assert len(paged) == 1
    assert info < warning


async def test_whoever_heard_of_the_beginning_hears_of_each_step_in_order(
    telling: Telling,
) -> None:
    await telling.channel()
    [alert] = await telling.open(CRITICAL)
    await telling.acknowledge(alert)
    await telling.resolve(alert)
    telling.start()
    await telling.until(sent=3)

    assert telling.events() == [("opened", alert), ("acknowledged", alert), ("resolved", alert)]
    keys = [request.headers["Idempotency-Key"] for request in telling.provider.requests]
    assert len(set(keys)) == len(keys)


async def test_whoever_was_not_told_of_an_alert_is_not_told_of_its_end(telling: Telling) -> None:
    [alert] = await telling.open(CRITICAL)
    await telling.channel()
    await telling.resolve(alert)

    assert await telling.deliveries() == []


async def test_a_failed_try_is_repeated_with_the_same_key_and_what_follows_waits(
    telling: Telling,
) -> None:
    await telling.channel()
    telling.provider.status = 503
    [alert] = await telling.open(CRITICAL)
    await telling.resolve(alert)
    telling.start()
    async with asyncio.timeout(10):
        while len(telling.provider.requests) < 2:
            await asyncio.sleep(0.02)
    telling.provider.status = 200
    await telling.until(sent=2)

    events = [body["event"] for body in telling.received()]
    keys = [request.headers["Idempotency-Key"] for request in telling.provider.requests]
    assert events[-2:] == ["opened", "resolved"]
    assert set(events[:-1]) == {"opened"}
    assert len(set(keys)) == 2


async def test_a_permanent_error_fails_one_delivery_and_holds_up_no_other(
    telling: Telling,
) -> None:
    await telling.channel()
    telling.provider.status, telling.provider.body = 404, b"no such hook"
    await telling.open(CRITICAL)
    telling.start()
    await telling.until(failed=1)
    telling.provider.status = 200
    await telling.open(CRITICAL)
    await telling.until(failed=1, sent=1)

    failed = (await telling.deliveries())[0]
    assert (failed.status, failed.answer) == (404, "no such hook")
    assert failed.last_error == "the provider answered 404"


async def test_after_a_day_of_failures_a_delivery_is_given_up(telling: Telling) -> None:
    await telling.channel()
    telling.provider.status = 500
    await telling.open(CRITICAL)
    telling.later = timedelta(hours=25)
    telling.start()

    await telling.until(failed=1)


async def test_a_provider_that_hangs_delays_no_other_channel(telling: Telling) -> None:
    release = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with open_provider(handler=hang) as hanging:
        await telling.channel("hangs", hanging.url)
        await telling.channel("works")
        await telling.open(CRITICAL, CRITICAL)
        telling.start()
        await telling.until(sent=2, pending=2)
        release.set()
        await telling.until(sent=4)


async def test_two_dispatchers_send_nothing_twice(telling: Telling) -> None:
    await telling.channel()
    telling.start()
    telling.start()
    for _ in range(4):
        await telling.open(CRITICAL, CRITICAL)
    await telling.until(sent=8)

    assert len({body["key"] for body in telling.received()}) == len(telling.received()) == 8


async def test_of_a_process_that_died_another_takes_over_after_the_lease(
    telling: Telling,
) -> None:
    async def die(_: web.Request) -> web.StreamResponse:
        for task in telling.tasks:
            task.cancel()
        return web.Response()

    await telling.channel()
    telling.provider.handler = die
    await telling.open(CRITICAL)
    telling.start()
    await asyncio.wait(telling.tasks)
    telling.provider.handler = None
    telling.later = LEASE
    telling.start()
    await telling.until(sent=1)

    assert len({body["key"] for body in telling.received()}) == 1


async def test_above_ten_messages_a_minute_the_rest_go_as_one_group(telling: Telling) -> None:
    await telling.channel()
    ids = await telling.open(*[CRITICAL] * 25)
    telling.start()
    await telling.until(sent=9, grouped=0, pending=16)
    telling.later = timedelta(seconds=6)
    await telling.until(sent=26)

    *singles, group = telling.received()
    listed = [alert["id"] for alert in group["alerts"]]
    assert [body["event"] for body in singles] == ["opened"] * 9
    assert group["event"] == "group"
    assert sorted([body["alert"]["id"] for body in singles] + listed) == ids


async def test_what_follows_of_an_alert_waits_for_the_group_that_tells_of_it(
    telling: Telling,
) -> None:
    async def refuse_groups(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503 if (await request.json())["event"] == "group" else 200)

    await telling.channel()
    telling.provider.handler = refuse_groups
    ids = await telling.open(*[CRITICAL] * 25)
    telling.later = timedelta(seconds=6)
    telling.start()
    await telling.until(sent=9, grouped=16, pending=1)
    async with asyncio.timeout(10):
        while len(telling.provider.requests) < 10:
            await asyncio.sleep(0.02)
    await telling.stop()
    telling.provider.handler = None
    telling.later = timedelta(minutes=10)
    await telling.resolve(ids[-1])
    telling.start()
    await telling.until(sent=27)

    assert [body["event"] for body in telling.received()][-2:] == ["group", "resolved"]


async def test_an_alert_that_opens_and_ends_before_it_was_announced_is_told_whole(
    telling: Telling,
) -> None:
    await telling.channel()
    alert = await telling.open_and_resolve(CRITICAL)
    telling.start()
    await telling.until(sent=2)

    assert telling.events() == [("opened", alert), ("resolved", alert)]


async def test_one_message_that_a_provider_always_refuses_holds_up_no_other(
    telling: Telling,
) -> None:
    async def refuse_the_first(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return web.Response(status=500 if body["alert"]["id"] == first else 200)

    await telling.channel()
    telling.provider.handler = refuse_the_first
    first, second, third = await telling.open(CRITICAL, CRITICAL, CRITICAL)
    await telling.resolve(first)
    await telling.resolve(third)
    telling.start()
    await telling.until(sent=3, pending=2)

    taken = [event for event in telling.events() if event[1] != first]
    assert taken == [("opened", second), ("opened", third), ("resolved", third)]
    assert {event for event in telling.events() if event[1] == first} == {("opened", first)}


async def test_a_message_that_cannot_be_made_fails_alone(telling: Telling) -> None:
    await telling.channel()
    broken, good = await telling.open(CRITICAL, CRITICAL)
    async with telling.pool.connection() as connection:
        await connection.execute(
            'UPDATE notifications SET payload = \'{"alert": {"id": "x"}}\' WHERE alert_id = %s',
            [broken],
        )
    telling.start()
    await telling.until(failed=1, sent=1)

    assert telling.events() == [("opened", good)]
    assert "could not make this message" in str((await telling.deliveries())[0].last_error)


async def test_a_channel_whose_secret_cannot_be_read_says_so(telling: Telling) -> None:
    await telling.channel(secret="s3cret")
    await telling.open(CRITICAL)
    telling.keys = SecretKeys(["z" * 32])
    telling.start()
    async with asyncio.timeout(10):
        while not (await telling.deliveries())[0].last_error:
            await asyncio.sleep(0.02)

    [waiting] = await telling.deliveries()
    assert waiting.state == "pending"
    assert "VIGIA_SECRET_KEY" in str(waiting.last_error)
