"""A preview says what the planner then does."""

from datetime import timedelta
from typing import Any

from model.series import Category
from model.severity import Level
from notifications.preview.model import Preview
from notifications.preview.previewing import preview
from notifications.routing.matching import RoutedAlert
from tests.notifications.routing.routed import START, Routed

Told = list[tuple[float, str, str | None, int]]
NIGHT = [{"start": "22:00", "end": "03:10"}]


async def previewed(
    routed: Routed, component: str = "a", level: Level = Level.CRITICAL, **fields: Any
) -> Preview:
    alert = RoutedAlert(
        rule="cpu", level=level, category=Category.SYSTEM, component=component, **fields
    )
    async with routed.pool.connection() as connection:
        return await preview(connection, alert, routed.now, routed.now)


def told(found: Preview) -> Told:
    return sorted(
        (round((one.at - START) / timedelta(minutes=1), 1), one.channel, one.person, one.step or 0)
        for one in found.messages
    )


async def sent(routed: Routed) -> Told:
    return sorted(
        (round((one.next_at - START) / timedelta(minutes=1), 1), one.channel, one.person, one.step)
        for one in await routed.deliveries()
    )


async def test_without_routes_every_channel_of_the_level_is_told_at_once(routed: Routed) -> None:
    await routed.channel("all", min_level=Level.INFO)
    await routed.channel("off", enabled=False)
    found = await previewed(routed, level=Level.INFO)

    assert not found.has_routes
    assert told(found) == [(0, "all", None, 0)]
    await routed.open("a", level="info")
    assert await sent(routed) == told(found)


async def test_a_group_waits_and_a_policy_takes_its_steps(routed: Routed) -> None:
    await routed.channel("phone")
    await routed.contact("ana", "phone")
    await routed.policy(("person:ana", "5m"), ("channel:ops", "10m"))
    await routed.route(policy="p", group_wait="1m")
    found = await previewed(routed)

    assert told(found) == [(0, "phone", "ana", 1), (1, "ops", None, 0), (5, "ops", None, 2)]
    assert found.is_complete
    await routed.open("a")
    await routed.plan()
    await routed.pass_to(20, step=0.5)
    assert await sent(routed) == told(found)


async def test_an_alert_that_joins_a_group_waits_for_its_next_time(routed: Routed) -> None:
    await routed.route(group_wait="1m")
    await routed.open("first")
    await routed.pass_to(2, step=0.5)
    found = await previewed(routed)

    assert found.routes[0].is_group_open
    assert [one[0] for one in told(found)] == [6]
    await routed.open("a")
    await routed.pass_to(7, step=0.5)
    assert [minute for minute, _, _ in await routed.sent()] == [1, 6]


async def test_quiet_hours_of_a_route_delay_group_and_policy(routed: Routed) -> None:
    await routed.channel("phone")
    await routed.contact("ana", "phone")
    await routed.policy(("person:ana", "5m"))
    await routed.route(policy="p", quiet_hours=NIGHT)
    found = await previewed(routed)

    assert found.routes[0].quiet_until == routed.at(10)
    assert told(found) == [(10, "ops", None, 0), (10, "phone", "ana", 1)]


async def test_quiet_hours_of_a_person_delay_what_is_less_than_critical(routed: Routed) -> None:
    await routed.contact("ana", quiet_hours=NIGHT)
    await routed.policy(("person:ana", "5m"))
    await routed.route(channels=[], policy="p")

    assert told(await previewed(routed, level=Level.WARNING)) == [(10, "ops", "ana", 1)]
    assert told(await previewed(routed)) == [(0, "ops", "ana", 1)]


async def test_a_step_that_reaches_nobody_says_so_and_the_next_follows(routed: Routed) -> None:
    await routed.contact("ana", mute_until=routed.at(60))
    await routed.policy(("person:ana", "5m"), ("channel:ops", "5m"))
    await routed.route(channels=[], policy="p")
    found = await previewed(routed)

    assert [(one.step, one.messages, list(one.unreached)) for one in found.steps] == [
        (1, 0, ["ana"]), (2, 1, []),
    ]  # fmt: skip
    assert told(found) == [(0, "ops", None, 2)]


async def test_a_policy_that_goes_on_for_longer_is_not_complete(routed: Routed) -> None:
    await routed.policy(("channel:ops", "8h"), repeat=5)
    await routed.route(channels=[], policy="p")
    found = await previewed(routed)

    assert [(one.round, one.messages) for one in found.steps] == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert not found.is_complete


async def test_routes_that_continue_tell_a_channel_once_and_begin_a_policy_once(
    routed: Routed,
) -> None:
    await routed.policy(("channel:ops", "5m"))
    await routed.route("slow", policy="p", **{"continue": True})
    await routed.route("fast", policy="p", group_wait="0s")
    found = await previewed(routed)

    assert [one.name for one in found.routes] == ["slow", "fast"]
    assert [(one.route, one.step) for one in found.messages] == [("fast", None), ("slow", 1)]
