"""Transitions take routes where there are any; whoever was told of an alert hears of its end."""

from notifications.routing import route_store
from notifications.routing.flushing import flush_route
from tests.notifications.routing.routed import Routed

FIRING, RESOLVED = "firing", "resolved"
AT_ONCE = {"group_wait": "0s", "group_interval": "1m"}


async def test_without_an_enabled_route_every_channel_is_told_at_once(routed: Routed) -> None:
    await routed.channel("chat")
    await routed.route(enabled=False)
    await routed.open("a")

    assert await routed.sent("ops") == [(0, "opened", {"a": FIRING})]
    assert await routed.sent("chat") == [(0, "opened", {"a": FIRING})]


async def test_an_alert_that_no_route_takes_goes_nowhere(routed: Routed) -> None:
    await routed.route(matcher={"rule": "disk"})
    await routed.open("a")
    await routed.pass_to(1)
    await routed.resolve("a")
    await routed.pass_to(10)

    assert await routed.deliveries() == []


async def test_a_route_sends_what_its_channel_s_lowest_level_would_hold_back(
    routed: Routed,
) -> None:
    await routed.route(**AT_ONCE)
    await routed.open("a", level="info")
    await routed.pass_to(1)

    assert await routed.sent() == [(0.1, "opened", {"a": FIRING})]


async def test_a_suppressed_alert_takes_its_route_when_it_is_no_longer_suppressed(
    routed: Routed,
) -> None:
    await routed.route("night", matcher={"hours": [{"start": "00:00", "end": "03:05"}]}, **AT_ONCE)
    await routed.channel("chat")
    await routed.route("day", channels=["chat"], **AT_ONCE)
    silence = await routed.silence(100, component="a")
    async with routed.changing() as connection:
        await routed.open_in(connection, "a")
        await routed.suppress_in(connection)
    await routed.pass_to(6)
    await routed.unsilence(silence)
    await routed.pass_to(8)

    assert await routed.sent("ops") == []
    assert await routed.sent("chat") == [(6.1, "opened", {"a": FIRING})]


async def test_an_alert_that_becomes_more_severe_takes_another_route_and_keeps_the_first(
    routed: Routed,
) -> None:
    await routed.channel("pager")
    await routed.route("pager", channels=["pager"], matcher={"min_level": "critical"}, **AT_ONCE)
    await routed.route("rest", **AT_ONCE)
    await routed.open("a", level="warning")
    await routed.pass_to(2)
    await routed.set_level("a", "critical", "escalated")
    await routed.pass_to(4)
    await routed.set_level("a", "warning", "lowered")
    await routed.pass_to(6)
    await routed.resolve("a")
    await routed.pass_to(8)

    events = ["escalated", "lowered", "resolved"]
    assert [event for _, event, _ in await routed.sent("ops")] == ["opened", *events]
    assert [event for _, event, _ in await routed.sent("pager")] == events


async def test_who_was_told_before_there_were_routes_hears_of_the_end_at_once(
    routed: Routed,
) -> None:
    await routed.channel("chat")
    await routed.open("a")
    await routed.route(matcher={"rule": "disk"})
    routed.minute = 5
    await routed.resolve("a")

    for channel in ("ops", "chat"):
        assert await routed.sent(channel) == [
            (0, "opened", {"a": FIRING}),
            (5, "resolved", {"a": RESOLVED}),
        ]


async def test_a_route_that_is_deleted_sends_what_waits_and_its_channel_hears_of_the_end(
    routed: Routed,
) -> None:
    await routed.route(group_wait="1h")
    await routed.route("other", matcher={"rule": "disk"})
    await routed.open("a")
    routed.minute = 5
    async with routed.pool.connection() as connection, connection.transaction():
        await flush_route(connection, "r", routed.now)
        await route_store.delete(connection, "r")
    routed.minute = 7
    await routed.resolve("a")
    await routed.plan()

    assert await routed.sent() == [
        (5, "opened", {"a": FIRING}),
        (7, "resolved", {"a": RESOLVED}),
    ]


async def test_a_channel_that_a_group_tells_is_not_told_besides(routed: Routed) -> None:
    await routed.open("a")
    await routed.route("first", matcher={"rule": "disk"})
    await routed.resolve("a")
    await routed.route("rest", **AT_ONCE)
    await routed.open("b")
    await routed.pass_to(1)
    await routed.resolve("b")
    await routed.pass_to(3)

    messages = [(event, names) for _, event, names in await routed.sent() if "b" in names]
    assert messages == [("opened", {"b": FIRING}), ("resolved", {"b": RESOLVED})]


async def test_quiet_hours_wait_also_with_what_was_due_before(routed: Routed) -> None:
    hours = [{"start": "03:01", "end": "03:10"}, {"start": "03:10", "end": "03:20"}]
    await routed.route(group_wait="2m", quiet_hours=hours)
    await routed.open("a")
    await routed.pass_to(25)

    assert await routed.sent() == [(20, "opened", {"a": FIRING})]


async def test_the_newest_transition_carries_the_others_of_its_alert(routed: Routed) -> None:
    await routed.route(group_wait="1m")
    await routed.open("a", level="warning")
    await routed.set_level("a", "critical", "escalated")
    await routed.acknowledge("a")
    await routed.pass_to(2)

    opened, escalated, acknowledged = sorted(await routed.deliveries(), key=lambda one: one.key)
    assert [opened.group_id, escalated.group_id] == [acknowledged.id] * 2
    assert (acknowledged.event, acknowledged.group_id) == ("acknowledged", None)
