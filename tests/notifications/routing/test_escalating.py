"""An alert goes through the steps of a policy until somebody acknowledges it, each step once."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from alerts import store as alerts
from alerts.store import Alert
from notifications.outbox import pause
from notifications.outbox.composing import Composer, find_channel
from notifications.outbox.deliveries import Delivery
from notifications.outbox.pool_share import PoolShare
from notifications.outbox.queue import LeasedAddress, following
from notifications.routing.planner import Planner
from tests.notifications.routing.routed import KEYS, START, Routed

TWO_STEPS = ("person:ana", "5m"), ("channel:boss", "10m")
Sent = list[tuple[float, str, str, int]]


@pytest.fixture
async def escalated(routed: Routed) -> Routed:
    """A route that leads to a policy: ana, after five minutes the channel of the boss."""
    for channel in ("phone", "boss"):
        await routed.channel(channel)
    await routed.contact("ana", "phone")
    await routed.policy(*TWO_STEPS)
    await routed.route(channels=[], policy="p")
    return routed


async def sent(routed: Routed) -> Sent:
    """Return minute, channel, event and step of each message."""
    return [
        (minute(one), one.channel, one.event, one.step)
        for one in await routed.deliveries()
        if one.group_id is None
    ]


def minute(delivery: Delivery) -> float:
    return round((delivery.created_at - START) / timedelta(minutes=1), 1)


async def test_the_steps_are_taken_in_order_and_each_once(escalated: Routed) -> None:
    await escalated.open("a")
    await escalated.pass_to(6)
    await escalated.pass_to(40, step=1)

    assert await sent(escalated) == [(0.1, "phone", "opened", 1), (5, "boss", "opened", 2)]


async def test_the_key_of_each_message_names_alert_transition_and_step(escalated: Routed) -> None:
    [alert_id] = await escalated.open("a")
    await escalated.pass_to(6)

    keys = [one.key for one in await escalated.deliveries()]
    assert len(set(keys)) == 2
    assert all(key.startswith(f"alert-{alert_id}-") for key in keys)


async def test_an_acknowledgement_stops_the_steps_and_those_who_were_told_hear_of_it(
    escalated: Routed,
) -> None:
    await escalated.open("a")
    await escalated.pass_to(2)
    await escalated.acknowledge("a")
    await escalated.pass_to(60, step=1)

    assert await sent(escalated) == [
        (0.1, "phone", "opened", 1),
        (2, "phone", "acknowledged", 0),
    ]


async def test_an_alert_that_is_over_takes_no_further_step(escalated: Routed) -> None:
    await escalated.open("a")
    await escalated.pass_to(2)
    await escalated.resolve("a")
    await escalated.pass_to(60, step=1)

    assert await sent(escalated) == [(0.1, "phone", "opened", 1), (2, "phone", "resolved", 0)]


async def test_an_acknowledgement_that_expires_makes_the_alert_fire_again_and_the_steps_go_on(
    escalated: Routed,
) -> None:
    [alert_id] = await escalated.open("a")
    await escalated.pass_to(2)
    await escalated.acknowledge("a")
    await escalated.pass_to(130, step=1)

    assert (await sent(escalated))[2:] == [(122, "phone", "opened", 1), (127, "boss", "opened", 2)]
    async with escalated.pool.connection() as connection:
        [alert] = await alerts.read(connection, [alert_id])
        audit = await alerts.transitions(connection, alert_id)
    assert (alert.state, alert.acknowledged_by) == ("firing", None)
    assert [(one.type, one.actor) for one in audit] == [
        ("opened", "auto"),
        ("acknowledged", "ann"),
        ("acknowledgement_expired", "auto"),
    ]


async def test_an_acknowledgement_expires_during_a_pause_and_the_steps_go_on_after_it(
    escalated: Routed,
) -> None:
    [alert_id] = await escalated.open("a")
    await escalated.pass_to(2)
    await escalated.acknowledge("a")
    async with escalated.pool.connection() as connection:
        await pause.pause(connection, escalated.now, "ann", "")
    await escalated.pass_to(121, step=1)
    assert (await alert_of(escalated, alert_id)).state == "acknowledged"

    await escalated.pass_to(200, step=1)
    assert (await alert_of(escalated, alert_id)).state == "firing"
    assert [one[2] for one in await sent(escalated)] == ["opened", "acknowledged"]
    async with escalated.pool.connection() as connection:
        audit = await alerts.transitions(connection, alert_id)
        assert (audit[-1].type, audit[-1].time) == ("acknowledgement_expired", escalated.at(122))
        await pause.resume(connection, escalated.now, "ann")
    await escalated.pass_to(201, step=1)
    assert (await sent(escalated))[2:] == [(201, "phone", "opened", 1), (201, "boss", "opened", 2)]


async def alert_of(routed: Routed, alert_id: int) -> Alert:
    async with routed.pool.connection() as connection:
        [alert] = await alerts.read(connection, [alert_id])
    return alert


async def test_the_message_says_which_step_it_is_and_whose_acknowledgement_expired(
    escalated: Routed,
) -> None:
    await escalated.open("a")
    await escalated.pass_to(6)
    first = await message_of(escalated, "boss")
    await escalated.acknowledge("a")
    await escalated.pass_to(127, step=1)
    async with escalated.pool.connection() as connection:
        await connection.execute(
            "UPDATE deliveries SET state = 'sent' WHERE id < (SELECT max(id) FROM deliveries)"
        )
    again = await message_of(escalated, "boss")

    assert (first.step, "Step 2 of 2" in first.text) == (2, True)
    assert (again.step, "ann" in again.text, "2 h" in again.text) == (2, True, True)


async def message_of(routed: Routed, name: str) -> Any:
    """Return the message that a channel would be sent next."""
    pool, number = PoolShare(routed.pool, 2), routed.channel_ids[name]
    async with routed.pool.connection() as connection:
        delivery = await following(connection, LeasedAddress(number, "", 0), routed.now)
    assert delivery is not None
    channel = await find_channel(pool, KEYS, number, "")
    composer = Composer(pool=pool, url="https://vigia.example", keys=KEYS)
    return await composer.compose(channel, delivery, (), routed.now)


async def test_after_a_pause_each_address_is_told_once_of_the_newest_step(
    escalated: Routed,
) -> None:
    await escalated.open("a")
    escalated.restart()
    escalated.minute = 30
    await escalated.plan()
    await escalated.pass_to(60, step=1)

    assert await sent(escalated) == [(30, "phone", "opened", 1), (30, "boss", "opened", 2)]


async def test_a_restart_between_two_steps_takes_the_second_at_its_time(escalated: Routed) -> None:
    await escalated.open("a")
    await escalated.pass_to(3)
    escalated.restart()
    await escalated.pass_to(20)

    assert await sent(escalated) == [(0.1, "phone", "opened", 1), (5, "boss", "opened", 2)]


async def test_two_replicas_take_a_step_once(escalated: Routed) -> None:
    await escalated.open("a")
    others = [
        Planner(pool=escalated.pool, announce=lambda: None, on_transitions=[]) for _ in range(2)
    ]
    await asyncio.gather(*(other.run(escalated.at(1)) for other in others))

    assert [(one.channel, one.step) for one in await escalated.deliveries()] == [("phone", 1)]


async def test_a_step_that_reaches_nobody_is_followed_by_the_next_at_once(routed: Routed) -> None:
    await routed.channel("phone")
    await routed.contact("ana", "phone", mute_until=routed.at(600))
    await routed.policy(("person:ana", "5m"), ("channel:ops", "5m"))
    await routed.route(channels=[], policy="p")
    await routed.open("a")
    await routed.pass_to(1)

    assert await sent(routed) == [(0.1, "ops", "opened", 2)]


async def test_only_a_step_that_reaches_nobody_is_reported(routed: Routed) -> None:
    await routed.contact("ana", "ops", mute_until=routed.at(600))
    await routed.policy(("person:ana", "5m"), ("channel:ops", "5m"), ("channel:ops", "5m"))
    await routed.route(channels=[], policy="p")
    [alert_id] = await routed.open("a")
    routed.minute = 30
    with capture_logs() as logged:
        await routed.plan()

    assert await sent(routed) == [(30, "ops", "opened", 3)]
    assert [one for one in logged if one["event"] == "step_reaches_nobody"] == [
        {
            "event": "step_reaches_nobody",
            "log_level": "warning",
            "alert": alert_id,
            "policy": "p",
            "step": 1,
            "nobody_on_call": (),
        }
    ]


async def test_the_steps_are_repeated_as_often_as_the_policy_says(routed: Routed) -> None:
    await routed.policy(("channel:ops", "5m"), repeat=2)
    await routed.route(channels=[], policy="p")
    await routed.open("a")
    await routed.pass_to(60, step=1)

    assert [one[0] for one in await sent(routed)] == [1, 5, 10]


async def test_an_alert_that_two_routes_send_to_two_policies_takes_the_steps_of_both(
    routed: Routed,
) -> None:
    await routed.channel("boss")
    await routed.policy(("channel:ops", "5m"), name="one")
    await routed.policy(("channel:boss", "5m"), name="two")
    await routed.route("first", channels=[], policy="one", **{"continue": True})
    await routed.route("second", channels=[], policy="two")
    await routed.open("a")
    await routed.pass_to(1)

    assert sorted(one[1] for one in await sent(routed)) == ["boss", "ops"]


async def test_an_acknowledgement_without_expiry_stops_the_steps_for_good(routed: Routed) -> None:
    await routed.policy(("channel:ops", "5m"), repeat=5, acknowledgement_expires="0s")
    await routed.route(channels=[], policy="p")
    await routed.open("a")
    await routed.pass_to(1)
    await routed.acknowledge("a")
    await routed.pass_to(600, step=10)

    assert [one[2] for one in await sent(routed)] == ["opened", "acknowledged"]


async def test_more_escalations_than_one_transaction_takes_are_taken_in_one_run(
    routed: Routed,
) -> None:
    await routed.policy(("channel:ops", "5m"))
    await routed.route(channels=[], policy="p")
    await routed.open(*(f"c{number}" for number in range(250)))
    await routed.pass_to(0.1)

    assert len(await routed.deliveries()) == 250
