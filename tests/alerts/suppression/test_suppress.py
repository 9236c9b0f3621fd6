"""Silences, maintenance windows and dependencies suppress alerts. Time is an argument."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts import store as alerts
from alerts.rules.model import Rule
from alerts.suppression import maintenance as windows
from alerts.suppression import silences, suppress
from alerts.suppression.maintenance import Window
from alerts.suppression.silences import Terms
from alerts.suppression.suppress import Matcher
from config.model import Config
from db.queries import Pool
from events import bus
from model.series import Category, Series
from model.severity import Level
from tests.alerts.simulation import Simulation, instance, minute, rule_of

LOUD, CALM = 15.0, 5.0
UP = "component_up"


class Town(Simulation):
    """Minutes that are evaluated as the service does it, and what is suppressed meanwhile."""

    async def pass_minute(self, *values: float | None) -> None:
        self.now += 1
        await self.measure({instance(i): [v] for i, v in enumerate(values) if v is not None})
        await self.announce()

    async def pass_ups(self, **ups: float) -> None:
        """Let a minute pass in which only this is known: which components are up."""
        self.now += 1
        await self.measure(
            {Series(metric=UP, component=c): [rank_breached] for c, rank_breached in ups.items()}
        )
        await self.announce()

    async def suppressed(self) -> dict[str, list[str]]:
        return {alert.component: alert.suppressed_by for alert in await self.active()}

    async def silence(self, start: int, end: int, **matcher: Any) -> int:
        terms = Terms(Matcher(**matcher), minute(start), minute(end), "new shop")
        return await silences.insert(self.connection, terms, minute(self.now), "ana")

    async def apply_suppression(self, actor: str = "auto") -> list[str]:
        transitions = await suppress.apply_suppression(
            self.connection, minute(self.now), self.dependencies, actor
        )
        return [transition.transition for transition in transitions]

    async def audit(self) -> list[tuple[str, str, str]]:
        cursor = await self.connection.execute(
            "SELECT type, actor, comment FROM system_alert_events ORDER BY id"
        )
        return list(await cursor.fetchall())


@pytest.fixture
async def town(pool: Pool) -> AsyncIterator[Town]:
    async with pool.connection() as connection:
        made = Town(connection)
        await made.add(rule_of(made.terms))
        yield made


async def test_a_silence_holds_what_opens_until_it_ends(town: Town) -> None:
    number = await town.silence(1, 3, component="thing-00")

    await town.pass_minute(LOUD, LOUD)
    assert await town.suppressed() == {"thing-00": [f"silence:{number}"], "thing-01": []}
    await town.pass_minute(25.0, LOUD)
    await town.pass_minute(25.0, LOUD)
    assert await town.suppressed() == {"thing-00": [], "thing-01": []}

    assert await town.audit() == [
        ("opened", "auto", ""),
        ("opened", "auto", ""),
        ("suppressed", "auto", f"silence:{number} by ana: new shop"),
        ("escalated", "auto", ""),
        ("unsuppressed", "auto", f"silence:{number}"),
    ]


async def test_everybody_hears_of_what_is_suppressed_and_unsuppressed(town: Town) -> None:
    await town.pass_minute(LOUD)
    number = await town.silence(1, 3, rule="load")
    for _ in range(3):
        await town.pass_minute(LOUD)

    reported: list[Any] = [event.payload for event in await bus.after(town.connection, 0, 10)]
    assert [alert["suppressed_by"] for message in reported for alert in message["alerts"]] == [
        [], [f"silence:{number}"], [],
    ]  # fmt: skip


async def test_an_alert_resolved_while_suppressed_stays_marked(town: Town) -> None:
    await town.silence(0, 9, rule="load")
    await town.pass_minute(LOUD, LOUD)
    await town.pass_minute(CALM, LOUD)

    assert await town.suppressed() == {"thing-01": ["silence:1"]}
    [resolved, open_one] = await town.read([1, 2])
    assert (resolved.state, resolved.suppressed_by) == ("resolved", ["silence:1"])
    town.now = 9
    assert await town.apply_suppression("ana") == ["unsuppressed"]
    [resolved, open_one] = await town.read([1, 2])
    assert (resolved.suppressed_by, open_one.suppressed_by) == (["silence:1"], [])
    assert (await town.audit())[-1] == ("unsuppressed", "ana", "silence:1")


MATCHERS: list[tuple[dict[str, Any], bool]] = [
    ({"rule": "load"}, True),
    ({"rule": ["x", "load"]}, True),
    ({"rule": "loa"}, False),
    ({"component": ["thing-00"]}, True),
    ({"component": "thing-01"}, False),
    ({"category": [Category.SYSTEM, Category.TRADING]}, True),
    ({"category": Category.TRADING}, False),
    ({"level": Level.WARNING}, True),
    ({"level": [Level.CRITICAL]}, False),
    ({"labels": {"host": "a"}}, True),
    ({"labels": {"host": "a", "zone": "eu"}}, True),
    ({"labels": {"host": "b"}}, False),
    ({"labels": {"zone": "eu", "rack": "1"}}, False),
    ({"rule": "load", "level": Level.WARNING, "labels": {"zone": "eu"}}, True),
    ({"rule": "load", "level": Level.CRITICAL, "labels": {"zone": "eu"}}, False),
]


@pytest.mark.parametrize(("matcher", "holds_it"), MATCHERS)
async def test_a_matcher_needs_everything_that_it_names(
    town: Town, matcher: dict[str, Any], holds_it: bool
) -> None:
    labels = (("host", "a"), ("zone", "eu"))
    town.now = 1
    await town.measure({Series(metric="load", component="thing-00", labels=labels): [LOUD]})
    await town.silence(0, 5, **matcher)

    await town.announce()

    assert await town.suppressed() == {"thing-00": ["silence:1"] if holds_it else []}


async def test_a_silence_may_begin_later_and_end_early(town: Town) -> None:
    number = await town.silence(2, 9, level="warning")
    await town.pass_minute(LOUD)
    assert await town.suppressed() == {"thing-00": []}
    [pending] = await silences.read(town.connection, minute(1), number)
    await town.pass_minute(LOUD)
    assert await town.suppressed() == {"thing-00": [f"silence:{number}"]}
    [active] = await silences.read(town.connection, minute(2), active=True)

    assert await silences.finish(town.connection, number, minute(2), "ben")
    assert await town.apply_suppression("ben") == ["unsuppressed"]

    [ended] = await silences.read(town.connection, minute(2), number)
    assert [s.state for s in (pending, active, ended)] == ["pending", "active", "ended"]
    assert (ended.created_by, ended.updated_by, ended.ends_at) == ("ana", "ben", minute(2))
    assert not await silences.finish(town.connection, number, minute(3), "ben")
    assert await silences.read(town.connection, minute(2), active=True) == []


NIGHT = Window(
    name="backup",
    matcher=Matcher(component="thing-00"),
    repeat="daily",
    tz="Europe/Berlin",
    time="02:30",
    duration="1h",
)


@pytest.mark.parametrize(
    ("day", "begins"),
    [
        (datetime(2026, 3, 28, tzinfo=UTC), "01:30"),
        (datetime(2026, 3, 29, tzinfo=UTC), "01:30"),
        (datetime(2026, 3, 30, tzinfo=UTC), "00:30"),
        (datetime(2026, 10, 24, tzinfo=UTC), "00:30"),
        (datetime(2026, 10, 25, tzinfo=UTC), "00:30"),
        (datetime(2026, 10, 26, tzinfo=UTC), "01:30"),
    ],
)
async def test_a_night_s_work_holds_alerts_for_its_hour_when_the_clocks_change(
    town: Town, day: datetime, begins: str
) -> None:
    """Minute by minute around the change, as the service evaluates them."""
    await windows.insert(town.connection, NIGHT, minute(0), "ana")
    hour, half = map(int, begins.split(":"))
    start = day.replace(hour=hour, minute=half)
    first = start - timedelta(hours=1, minutes=30)
    town.now = int((first - minute(0)).total_seconds()) // 60
    suppressed = set()
    for _ in range(0, 240, 10):
        town.now += 10
        await town.measure({instance(0): [LOUD], instance(1): [LOUD]})
        await town.announce()
        found = await town.suppressed()
        assert found["thing-01"] == []
        if found["thing-00"] == ["maintenance:backup"]:
            suppressed.add(minute(town.now))

    assert suppressed == {start + timedelta(minutes=m) for m in range(0, 60, 10)}
    said = [
        transition
        for transition in await town.audit()
        if transition[0] in {"suppressed", "unsuppressed"}
    ]
    assert said == [
        ("suppressed", "auto", "maintenance:backup by ana: "),
        ("unsuppressed", "auto", "maintenance:backup"),
    ]


async def test_a_window_without_a_matcher_holds_everything(town: Town) -> None:
    for name, enabled in (("move", True), ("never", False)):
        span = {"starts_at": minute(1), "ends_at": minute(2), "enabled": enabled}
        window = Window(name=name, **span)  # type: ignore[arg-type]
        await windows.insert(town.connection, window, minute(0), "ana")

    await town.pass_minute(LOUD, LOUD)

    assert await town.suppressed() == {f"thing-0{i}": ["maintenance:move"] for i in (0, 1)}


DOWN = Rule(name="down", metric=UP, op="<=", levels={Level.CRITICAL: 0.5})
STACK = Config(
    dependencies={"app": ("database", "cache"), "database": ("server",), "shop": ("app",)}
)


async def test_alerts_of_direct_and_indirect_dependents_of_a_down_component_are_suppressed(
    town: Town,
) -> None:
    await town.add(DOWN)
    town.dependencies = STACK.all_dependencies()

    await town.pass_ups(server=1, database=0, app=0, shop=0, other=0, cache=1)
    assert await town.suppressed() == {
        "database": [],
        "app": ["dependency:database"],
        "shop": ["dependency:app", "dependency:database"],
        "other": [],
    }
    await town.pass_ups(server=0, database=0, app=0, shop=0)
    assert (await town.suppressed())["shop"] == [
        f"dependency:{c}" for c in ("app", "database", "server")
    ]
    assert (await town.suppressed())["server"] == []
    assert (await town.suppressed())["database"] == ["dependency:server"]

    await town.pass_ups(server=1, database=1, app=0, shop=0)
    assert await town.suppressed() == {"app": [], "shop": ["dependency:app"], "other": []}
    town.dependencies = {}
    assert await town.apply_suppression() == ["unsuppressed"]


async def test_only_the_component_as_a_whole_counts_as_down(town: Town) -> None:
    """One host of many, or another rule of the parent, holds nothing."""
    await town.add(DOWN)
    town.dependencies = {"thing-01": ["thing-00"]}
    town.now = 1
    host = Series(metric=UP, component="thing-00", labels=(("host", "a"),))
    await town.measure({host: [0], instance(0): [LOUD], instance(1): [LOUD]})

    await town.announce()

    assert {(a.rule, a.component): a.suppressed_by for a in await town.active()} == {
        ("down", "thing-00"): [],
        ("load", "thing-00"): [],
        ("load", "thing-01"): [],
    }


async def test_several_causes_suppress_one_alert_and_each_ends_by_itself(town: Town) -> None:
    await town.silence(0, 2, rule="load")
    span = Window(name="move", starts_at=minute(0), ends_at=minute(3))
    await windows.insert(town.connection, span, minute(0), "ana")

    found = []
    for _ in range(3):
        await town.pass_minute(LOUD)
        found.append((await town.suppressed())["thing-00"])

    assert found == [["maintenance:move", "silence:1"], ["maintenance:move"], []]
    assert [kind for kind, *_ in await town.audit()] == [
        "opened", "suppressed", "suppressed", "unsuppressed", "unsuppressed",
    ]  # fmt: skip


async def test_lists_show_what_is_and_what_was_held(town: Town) -> None:
    await town.silence(0, 2, component="thing-00")
    for _ in range(2):
        await town.pass_minute(LOUD, LOUD)
    await town.silence(2, 9, component="thing-01")
    await town.pass_minute(LOUD, LOUD, LOUD)

    async def names(found: list[alerts.Alert]) -> list[str]:
        return sorted(alert.component for alert in found)

    for suppressed, now, ever in (
        (True, ["thing-01"], ["thing-00", "thing-01"]),
        (False, ["thing-00", "thing-02"], ["thing-02"]),
        (None, *[["thing-00", "thing-01", "thing-02"]] * 2),
    ):
        wanted = alerts.Filter(suppressed=suppressed)
        found = await alerts.active(town.connection, wanted, 10)
        assert await names(found) == now
        found = await alerts.past(town.connection, wanted, minute(0), minute(99), 10)
        assert await names(found) == ever


async def test_a_minute_without_news_writes_nothing(town: Town) -> None:
    await town.silence(0, 9, component="thing-00")
    await town.pass_minute(LOUD, LOUD)
    before = await town.audit()

    assert await town.apply_suppression() == []
    await town.pass_minute(LOUD, LOUD)
    assert await town.audit() == before
