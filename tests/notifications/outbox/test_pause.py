"""A pause: nothing is sent, nothing is lost, and what is out of date is not sent afterwards."""

import asyncio
from datetime import timedelta

import pytest

from audit import log as audit_log
from model.errors import ConflictError
from model.severity import Level
from notifications.outbox import pause
from notifications.outbox.deliveries import State
from notifications.outbox.dispatcher import POLL_S
from notifications.outbox.sender import LEASE
from tests.notifications.outbox.telling import Telling

CRITICAL = Level.CRITICAL


async def begin(telling: Telling) -> None:
    async with telling.pool.connection() as connection:
        await pause.pause(connection, telling.now(), "ann", "we move")


async def end(telling: Telling) -> pause.Pause:
    async with telling.pool.connection() as connection:
        return await pause.resume(connection, telling.now(), "bob")


async def test_nothing_is_sent_during_a_pause_and_open_alerts_are_told_after_it(
    telling: Telling,
) -> None:
    await telling.channel()
    await begin(telling)
    dispatcher = telling.start()
    [alert] = await telling.open(CRITICAL)
    dispatcher.wake()
    await asyncio.sleep(1.5 * POLL_S)
    assert await telling.states() == {"pending": 1}
    assert telling.events() == []

    assert (await end(telling)).waiting == 1
    dispatcher.wake()
    await telling.until(sent=1)
    assert telling.events() == [("opened", alert)]


async def test_nobody_hears_of_an_alert_that_began_and_ended_during_the_pause(
    telling: Telling,
) -> None:
    await telling.channel()
    await begin(telling)
    over, still = await telling.open(CRITICAL, CRITICAL)
    await telling.resolve(over)
    await end(telling)
    telling.start()
    await telling.until(sent=1, skipped=2)

    assert telling.events() == [("opened", still)]
    skipped = [one for one in await telling.deliveries() if one.state is State.SKIPPED]
    assert {one.last_error for one in skipped} == {
        "the alert was resolved while notifications were paused"
    }


async def test_whoever_was_told_before_the_pause_hears_of_the_end_after_it(
    telling: Telling,
) -> None:
    await telling.channel()
    [alert] = await telling.open(CRITICAL)
    telling.start()
    await telling.until(sent=1)
    await begin(telling)
    await telling.acknowledge(alert)
    await telling.resolve(alert)
    await end(telling)
    await telling.until(sent=2, skipped=1)

    assert telling.events() == [("opened", alert), ("resolved", alert)]


async def test_an_alert_that_is_open_is_told_by_its_newest_message_alone(
    telling: Telling,
) -> None:
    await telling.channel()
    await begin(telling)
    [alert] = await telling.open(Level.WARNING)
    await telling.escalate(alert, CRITICAL)
    await end(telling)
    telling.start()
    await telling.until(sent=1, skipped=1)

    assert telling.events() == [("escalated", alert)]


async def test_what_waited_for_days_is_given_up_a_day_after_the_pause(telling: Telling) -> None:
    await telling.channel()
    await begin(telling)
    await telling.open(CRITICAL)
    telling.later = timedelta(days=3)
    await end(telling)
    telling.provider.status = 503
    telling.start()
    async with asyncio.timeout(10):
        while not telling.provider.requests:
            await asyncio.sleep(0.02)
    telling.provider.status = 200
    telling.later += LEASE

    await telling.until(sent=1)


async def test_a_pause_stops_an_address_that_is_being_served(telling: Telling) -> None:
    await telling.channel()
    await telling.open(*[CRITICAL] * 5)
    paused: list[None] = []

    def reach(point: str) -> None:
        if point == "after_mark" and not paused:
            paused.append(None)
            task = asyncio.ensure_future(begin(telling))
            telling.tasks.append(task)

    dispatcher = telling.dispatcher(reach)
    telling.tasks.append(asyncio.create_task(dispatcher.run()))
    await asyncio.sleep(3 * POLL_S)

    states = await telling.states()
    assert states["pending"] > 0
    assert len(telling.received()) == states["sent"] < 5


async def test_it_is_begun_and_ended_once_and_both_are_in_the_audit(telling: Telling) -> None:
    async with telling.pool.connection() as connection:
        await pause.pause(connection, telling.now(), "ann", "we move")
        with pytest.raises(ConflictError, match="paused already"):
            await pause.pause(connection, telling.now(), "ann", "")
        found = await pause.read(connection)
        await pause.resume(connection, telling.now(), "bob")
        with pytest.raises(ConflictError, match="not paused"):
            await pause.resume(connection, telling.now(), "bob")
        logged = await audit_log.past(
            connection, None, telling.now() - timedelta(days=1),
            telling.now() + timedelta(days=1), 2**62, 10,
        )  # fmt: skip

    assert (found.paused, found.paused_by, found.reason, found.waiting) == (
        True, "ann", "we move", 0,
    )  # fmt: skip
    assert [(one.type, one.actor, one.detail) for one in logged] == [
        ("notifications_resumed", "bob", "0 to send, 0 skipped"),
        ("notifications_paused", "ann", "we move"),
    ]
