"""From an event of the bus to a receiver: each once, in order, whatever fails in between."""

import asyncio
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

from aiohttp import web

from audit import counting
from audit import log as audit_log
from events import bus
from model.severity import Level
from notifications import channel_store
from notifications.channel_store import Terms
from notifications.event_feed import following
from notifications.outbox import deliveries, pause
from tests.notifications.outbox.telling import Telling
from tests.notifications.provider import Request, open_provider

SECRET = "whsec_for_tests"
DAY = timedelta(days=1)


async def feed(telling: Telling, **terms: Any) -> int:
    return await telling.channel("feed", **{"type": "events", "secret": SECRET, **terms})


READABLE = {"component": "app", "components": {"app": {}}, "alerts": [{"component": "app"}]}
"""What the live hub reads of events: that of another test may still follow the bus."""


async def happen(telling: Telling, count: int, kind: str = "health", **data: Any) -> None:
    """Put events on the bus in one transaction."""
    events = [(kind, {**READABLE, "number": number, **data}) for number in range(count)]
    async with telling.pool.connection() as connection, connection.transaction():
        await bus.append(connection, telling.now(), events)


async def follow(telling: Telling) -> None:
    async with telling.pool.connection() as connection:
        await following.follow(connection, telling.now())


async def resumed(telling: Telling, **changed: Any) -> None:
    """Replace the channel."""
    async with telling.pool.connection() as connection, connection.transaction():
        before = await channel_store.read_named(connection, "feed")
        assert before is not None
        terms = Terms(**{"name": "feed", "type": "events", **changed})
        now = telling.now()
        await channel_store.update(connection, telling.keys, before, terms, now, "test")


def numbers(telling: Telling) -> list[int]:
    return [event["data"]["number"] for body in telling.received() for event in body["events"]]


def is_signed(request: Request) -> bool:
    version, sent_at, digest = request.headers["X-Vigia-Signature"].split(",")
    signed = sent_at.removeprefix("t=").encode() + b"." + request.body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    return (version, digest) == ("v1", f"s={expected}")


async def test_an_alert_arrives_as_it_is_on_the_bus(telling: Telling) -> None:
    await feed(telling)
    [alert] = await telling.open(Level.INFO)
    await telling.resolve(alert)
    telling.start()
    await telling.until(sent=1)

    [body] = telling.received()
    [request] = telling.provider.requests
    opened, resolved = body["events"]
    assert (opened["type"], resolved["type"]) == ("alerts", "alert_resolved")
    assert [one["id"] for one in opened["data"]["alerts"]] == [alert]
    assert resolved["data"]["resolved_by"] == "ann"
    assert opened["seq"] < resolved["seq"]
    assert request.headers["Idempotency-Key"] == body["key"]
    assert is_signed(request)


async def test_events_come_in_order_and_a_hundred_to_a_request(telling: Telling) -> None:
    await feed(telling)
    await happen(telling, 950)
    telling.start()
    await telling.until(sent=10)

    assert numbers(telling) == list(range(950))
    seqs = [event["seq"] for body in telling.received() for event in body["events"]]
    assert seqs == sorted(set(seqs))
    assert [len(body["events"]) for body in telling.received()] == [100] * 9 + [50]


async def test_large_events_share_a_request_only_while_they_fit(telling: Telling) -> None:
    await feed(telling)
    await happen(telling, 5, text="x" * 450_000)
    await happen(telling, 1, text="x" * 1_200_000)
    telling.start()
    await telling.until(sent=4)

    assert [len(body["events"]) for body in telling.received()] == [2, 2, 1, 1]


async def test_a_channel_sends_only_the_types_that_it_names(telling: Telling) -> None:
    async with open_provider() as other:
        await feed(telling, settings={"types": ["alert_*"]})
        await telling.channel("health", other.url, type="events", settings={"types": ["health"]})
        for kind in ("alerts", "alert_resolved", "health", "alertxresolved", "alerts"):
            await happen(telling, 1, kind)
        telling.start()
        await telling.until(sent=2)
        bodies = [*telling.received(), json.loads(other.requests[0].body)]

    types = [[event["type"] for event in body["events"]] for body in bodies]
    assert types == [["alert_resolved"], ["health"]]


async def test_after_a_500_the_same_request_comes_again_and_what_follows_waits(
    telling: Telling,
) -> None:
    await feed(telling)
    telling.provider.status = 500
    await happen(telling, 150)
    telling.start()
    async with asyncio.timeout(10):
        while len(telling.provider.requests) < 2:
            await asyncio.sleep(0.02)
    await happen(telling, 1)
    telling.provider.status = 200
    await telling.until(sent=3)

    keys = [body["key"] for body in telling.received()]
    bodies: dict[str, set[bytes]] = {}
    for request in telling.provider.requests:
        bodies.setdefault(request.headers["Idempotency-Key"], set()).add(request.body)
    assert set(keys[:-2]) == {keys[0]}
    assert len(set(keys)) == 3
    assert all(len(texts) == 1 for texts in bodies.values())


async def test_events_of_a_hanging_receiver_delay_no_other_channel(telling: Telling) -> None:
    release = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with open_provider(handler=hang) as hanging:
        await feed(telling, url=hanging.url)
        await telling.channel("ops")
        await telling.open(Level.CRITICAL)
        telling.start()
        await telling.until(sent=1, pending=1)
        assert [body["event"] for body in telling.received()] == ["opened"]
        release.set()
        await telling.until(sent=2)


async def test_an_end_of_the_process_at_any_point_loses_nothing(telling: Telling) -> None:
    await feed(telling)
    for count, point in enumerate(["before_send", "after_send", "after_mark"]):
        await happen(telling, 1, round=count)
        ended = asyncio.Event()

        def reach(name: str, point: str = point, ended: asyncio.Event = ended) -> None:
            if name == point:
                ended.set()
                raise asyncio.CancelledError

        task = asyncio.create_task(telling.dispatcher(reach).run())
        await asyncio.wait_for(ended.wait(), 10)
        task.cancel()
        await asyncio.wait([task])
        telling.later += timedelta(minutes=1)
    await happen(telling, 1, round=3)
    telling.start()
    await telling.until(sent=4)

    by_key = {body["key"]: body["events"] for body in telling.received()}
    sent = [event["data"]["round"] for events in by_key.values() for event in events]
    assert sent == [0, 1, 2, 3]


async def test_two_processes_that_follow_at_once_write_each_event_once(telling: Telling) -> None:
    await feed(telling)
    await happen(telling, 1000)
    await asyncio.gather(*(follow(telling) for _ in range(4)))

    written = await telling.deliveries()
    assert sum(one.events or 0 for one in written) == 1000
    assert len({one.key for one in written}) == len(written)


async def test_a_long_outage_fills_the_outbox_no_further_than_its_limit(telling: Telling) -> None:
    await feed(telling)
    await happen(telling, 100 * (following.WAITING_MAX + 5))
    for _ in range(10):
        await follow(telling)

    assert len(await telling.deliveries()) == following.WAITING_MAX


async def test_events_that_wait_for_more_than_a_day_are_lost_and_can_be_sent_by_hand(
    telling: Telling,
) -> None:
    await feed(telling)
    await happen(telling, 150)
    telling.later = DAY + timedelta(minutes=1)
    await happen(telling, 50)
    telling.start()
    await telling.until(failed=1, sent=1)

    lost, mixed = await telling.deliveries()
    assert (lost.state, lost.last_error, lost.events) == ("failed", following.LOST, 100)
    assert mixed.events == 100
    async with telling.pool.connection() as connection:
        await deliveries.replay(connection, lost.id, telling.now())
    await telling.until(sent=2)
    assert telling.received()[-1]["key"] == lost.key


async def test_a_day_of_failures_leaves_the_batch_as_failed(telling: Telling) -> None:
    await feed(telling)
    await happen(telling, 2)
    await follow(telling)
    telling.provider.status = 503
    telling.later = DAY + timedelta(minutes=1)
    telling.start()
    await telling.until(failed=1)

    [failed] = await telling.deliveries()
    assert (failed.events, failed.last_error) == (2, "the provider answered 503")


async def test_what_the_bus_keeps_no_longer_cannot_be_sent_again(telling: Telling) -> None:
    await feed(telling)
    await happen(telling, 2)
    telling.start()
    await telling.until(sent=1)
    [sent] = await telling.deliveries()
    async with telling.pool.connection() as connection:
        await bus.drop_old(connection, telling.now() + DAY)
        await deliveries.replay(connection, sent.id, telling.now())
    await telling.until(failed=1)

    [failed] = await telling.deliveries()
    assert failed.last_error == "2 of 2 events are older than what the bus keeps"


async def test_a_channel_begins_with_what_happens_after_it_was_made_or_enabled(
    telling: Telling,
) -> None:
    await happen(telling, 1, when="before")
    await feed(telling)
    await happen(telling, 1, when="enabled")
    await follow(telling)
    await resumed(telling, enabled=False)
    await happen(telling, 1, when="disabled")
    await resumed(telling, enabled=True)
    await happen(telling, 1, when="enabled again")
    telling.start()
    await telling.until(sent=2)

    sent = [event["data"]["when"] for body in telling.received() for event in body["events"]]
    assert sent == ["enabled", "enabled again"]


async def test_after_a_pause_everything_is_sent_that_happened_meanwhile(telling: Telling) -> None:
    await feed(telling)
    await happen(telling, 1)
    await follow(telling)
    async with telling.pool.connection() as connection:
        await pause.pause(connection, telling.now(), "ann", "")
    await happen(telling, 1)
    telling.later = timedelta(hours=3)
    telling.start()
    async with telling.pool.connection() as connection:
        await pause.resume(connection, telling.now(), "ann")
    await telling.until(sent=2)

    assert len(numbers(telling)) == 2


async def test_a_channel_of_events_gets_no_messages_about_alerts(telling: Telling) -> None:
    await feed(telling, settings={"types": ["health"]})
    await telling.open(Level.EMERGENCY)
    await follow(telling)

    assert await telling.deliveries() == []


async def test_what_the_audit_records_reaches_a_channel_that_wants_it(telling: Telling) -> None:
    await feed(telling, settings={"types": ["security.*"]})
    async with telling.pool.connection() as connection:
        for kind in (audit_log.Type.RULE_CHANGED, audit_log.Type.FORBIDDEN):
            event = audit_log.Event(telling.now(), kind, "ana", "192.0.2.7", "why", 3)
            await audit_log.log(connection, event)
        await counting.count(connection, telling.now())
    await happen(telling, 1)
    telling.start()
    await telling.until(sent=1)

    [body] = telling.received()
    [changed, refused] = body["events"]
    assert (changed["type"], refused["type"]) == ("security.rule_changed", "security.forbidden")
    del changed["data"]["id"], changed["data"]["time"]
    assert changed["data"] == {
        "type": "rule_changed", "actor": "ana", "address": "192.0.2.7", "detail": "why", "count": 3,
    }  # fmt: skip
