"""Groups reach their channels once, whoever plans and whatever happens in between."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from alerts.announcing import announce
from alerts.clock import lock
from db.queries import Connection
from notifications.outbox.deliveries import State
from notifications.outbox.pacing import GROUP_ALERTS_MAX
from notifications.routing.enqueue import enqueue
from notifications.routing.flushing import flush_due
from tests.notifications.routing.routed import Routed

EACH = {"group_by": ["..."]}
FIRING = "firing"
OPEN_MANY = b"""
WITH opened AS (
    INSERT INTO system_alerts (rule, level, category, component, labels, title, message, opened_at)
    SELECT 'cpu', 'critical', 'system', 'host-' || n, '{}', 'cpu', '', %(now)s
    FROM generate_series(1, %(count)s::integer) n
    RETURNING id
)
INSERT INTO system_alert_events (alert_id, time, type, level, actor, comment)
SELECT id, %(now)s, 'opened', 'critical', 'auto', '' FROM opened
"""


@contextmanager
def counted(connection: Connection) -> Iterator[Counter[str]]:
    """Count the statements that a connection sends; others in this process may send some too."""
    found: Counter[str] = Counter()
    send = psycopg.AsyncCursor.execute

    async def count(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        found["statements"] += self.connection is connection
        return await send(self, query, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.AsyncCursor, "execute", count)
        yield found


async def open_many(connection: Connection, routed: Routed, count: int) -> int:
    """Open alerts in one transaction and announce them; return how many statements that took."""
    async with connection.transaction():
        await lock(connection)
        await connection.execute(OPEN_MANY, {"now": routed.now, "count": count})
        found: Counter[str] = Counter()

        async def count(*arguments: Any) -> None:
            with counted(connection) as statements:
                await enqueue(*arguments)
            found.update(statements)

        await announce(connection, routed.now, [count])
    return found["statements"]


@pytest.mark.parametrize("grouping", [{"group_by": ["rule"]}, EACH], ids=["together", "each"])
async def test_a_storm_takes_as_many_statements_as_a_few_alerts(
    routed: Routed, grouping: dict[str, Any]
) -> None:
    await routed.route(**grouping)
    taken = []
    async with routed.pool.connection() as connection:
        for count in (2, 2000):
            taken.append([await open_many(connection, routed, count)])
            routed.minute += 1
            with counted(connection) as found:
                assert await flush_due(connection, routed.now)
            taken[-1].append(found["statements"])
            await connection.execute("TRUNCATE system_alerts, notification_groups CASCADE")

    few, many = taken
    assert few == many
    assert max(few) <= 12


async def test_a_storm_of_one_group_is_one_message_that_lists_all(routed: Routed) -> None:
    await routed.route(group_by=["rule"])
    async with routed.pool.connection() as connection:
        await open_many(connection, routed, 2000)
    await routed.pass_to(1)

    states = Counter(one.state for one in await routed.deliveries())
    assert states == {State.PENDING: 1, State.GROUPED: 2000}
    [carrier] = [one for one in await routed.deliveries() if one.event == "group"]
    assert len(await routed.listed(carrier)) == 2000


async def test_a_group_that_is_too_large_for_a_message_is_sent_in_several(routed: Routed) -> None:
    await routed.route(group_wait="1m")
    async with routed.pool.connection() as connection:
        await open_many(connection, routed, GROUP_ALERTS_MAX + 3)
    await routed.pass_to(1)

    carriers = [one for one in await routed.deliveries() if one.event == "group"]
    listed = [{alert["id"] for alert in await routed.listed(one)} for one in carriers]
    assert [len(ids) for ids in listed] == [GROUP_ALERTS_MAX, 3]
    assert not listed[0] & listed[1]


async def test_two_planners_send_nothing_twice(routed: Routed) -> None:
    await routed.channel("chat")
    await routed.route(channels=["ops", "chat"], **EACH)
    await routed.open(*[f"host-{number}" for number in range(250)])
    routed.minute = 1

    async def plan() -> None:
        async with routed.pool.connection() as connection:
            while await flush_due(connection, routed.now):
                pass

    await asyncio.gather(plan(), plan(), plan())

    assert Counter(one.event for one in await routed.deliveries()) == {"opened": 500}


async def test_two_routes_to_one_channel_send_each_transition_once(routed: Routed) -> None:
    await routed.route("first", **{"continue": True}, group_by=["rule"])
    await routed.route("second", group_wait="1m", **EACH)
    await routed.open("a", "b")
    await routed.pass_to(2)
    await routed.resolve("a")
    await routed.pass_to(12)

    keys = [one.key for one in await routed.deliveries() if one.key.startswith("alert-")]
    assert len(keys) == len(set(keys)) == 3
    assert await routed.sent() == [
        (0.5, "group", {"a": FIRING, "b": FIRING}),
        (5.5, "group", {"a": "resolved", "b": FIRING}),
    ]


async def test_a_transition_that_comes_while_the_planner_runs_is_not_lost(routed: Routed) -> None:
    await routed.route(group_wait="1m", group_interval="1m")
    await routed.open("a")
    routed.minute = 1
    async with routed.pool.connection() as connection, connection.transaction():
        assert await flush_due(connection, routed.now) == 1
        ending = asyncio.create_task(routed.resolve("a"))
        await asyncio.sleep(0.2)
        assert not ending.done()
    await ending
    await routed.pass_to(3)

    assert await routed.sent() == [(1, "opened", {"a": FIRING}), (2, "resolved", {"a": "resolved"})]


async def test_what_a_planner_has_not_committed_another_sends(routed: Routed) -> None:
    await routed.route(group_wait="1m")
    await routed.open("a")
    routed.minute = 1
    async with routed.pool.connection() as connection, connection.transaction(force_rollback=True):
        assert await flush_due(connection, routed.now) == 1
    assert await routed.deliveries() == []
    await routed.plan()

    assert await routed.sent() == [(1, "opened", {"a": FIRING})]


async def test_a_channel_that_is_off_gets_no_message(routed: Routed) -> None:
    await routed.channel("off", enabled=False)
    await routed.route(channels=["off", "ops"])
    await routed.open("a")
    await routed.pass_to(1)

    assert [one.channel for one in await routed.deliveries()] == ["ops"]


# Which alerts a route takes, and its channels.
ROUTES: list[dict[str, Any]] = [
    {"matcher": {"min_level": "critical"}, "channels": ["pager", "ops"], **EACH, "continue": True},
    {"matcher": {"labels": {"host": "a"}}, "channels": ["ops"], "group_by": ["host"]},
    {"matcher": {"rule": "disk"}, "channels": ["chat"], "group_wait": "2m"},
]
HOSTS, RULES, LEVELS = ("a", "b"), ("cpu", "disk"), ("warning", "critical")


def channels_of(rule: str, host: str, level: str) -> set[str]:
    """Return where an alert of this level goes, as the list above is read."""
    found: set[str] = {"pager", "ops"} if level == "critical" else set()
    if host == "a":
        return found | {"ops"}
    return found | ({"chat"} if rule == "disk" else set())


class AlertHistory:
    """A random life of some alerts, and what each address is to hear of it."""

    def __init__(self, routed: Routed, seed: int) -> None:
        self.routed, self.chance = routed, random.Random(seed)
        self.open: dict[str, tuple[str, str, str]] = {}
        self.told: dict[str, set[str]] = {}
        self.acknowledged: set[str] = set()
        self.expected: Counter[tuple[str, str]] = Counter()

    def _hear(self, name: str) -> None:
        self.expected.update((name, channel) for channel in self.told[name])

    async def live(self, acts: int) -> None:
        for number in range(acts):
            await self.routed.pass_to(self.routed.minute + self.chance.choice([0.1, 0.5, 2]), 0.1)
            if not self.open or self.chance.random() < 0.4:
                await self._open_one(f"alert-{number}")
            else:
                await self._change_one(self.chance.choice(sorted(self.open)))
        await self.routed.pass_to(self.routed.minute + 12, 0.5)

    async def _open_one(self, name: str) -> None:
        rule, host = self.chance.choice(RULES), self.chance.choice(HOSTS)
        level = self.chance.choice(LEVELS)
        self.open[name] = (rule, host, level)
        self.told[name] = channels_of(rule, host, level)
        self._hear(name)
        await self.routed.open(name, rule=rule, level=level, labels={"host": host})

    async def _change_one(self, name: str) -> None:
        rule, host, level = self.open[name]
        match self.chance.choice(["resolve", "acknowledge", "level"]):
            case "level":
                other = "critical" if level == "warning" else "warning"
                kind = "escalated" if other == "critical" else "lowered"
                self.open[name] = (rule, host, other)
                if kind == "escalated":
                    self.told[name] |= channels_of(rule, host, other)
                self._hear(name)
                await self.routed.set_level(name, other, kind)
            case "acknowledge" if name not in self.acknowledged:
                self.acknowledged.add(name)
                self._hear(name)
                await self.routed.acknowledge(name)
            case "resolve":
                self._hear(name)
                await self.routed.resolve(name)
                del self.open[name]


@pytest.mark.parametrize("seed", range(10))
async def test_each_transition_of_an_alert_reaches_each_address_of_its_routes_once(
    routed: Routed, seed: int
) -> None:
    for name in ("pager", "chat"):
        await routed.channel(name)
    for number, fields in enumerate(ROUTES):
        await routed.route(f"r{number}", **fields)
    history = AlertHistory(routed, seed)
    await history.live(40)

    names = {alert_id: name for name, alert_id in routed.ids.items()}
    deliveries = await routed.deliveries()
    about_one = [one for one in deliveries if one.key.startswith("alert-")]
    found = Counter((names[one.alert["id"]], one.channel) for one in about_one if one.alert)
    assert found == history.expected
    assert len({one.key for one in deliveries}) == len(deliveries)
    carriers = {one.id: one for one in deliveries if one.group_id is None}
    for one in deliveries:
        if one.state is State.GROUPED:
            assert one.group_id is not None
            assert carriers[one.group_id].channel == one.channel
