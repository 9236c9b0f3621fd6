"""Rules fire, escalate and resolve minute by minute. The tests choose the time, an argument."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import store as db_alerts
from alerts.evaluation.evaluator import add_built_in_rules, built_in_rules, drop_component, evaluate
from alerts.rules import store as rules
from alerts.rules.model import Rule
from alerts.store import Alert, Filter
from config.model import Config
from db.queries import Connection, Pool
from events import bus
from model.series import Category, Sample, Series, labels_of
from model.severity import Level
from retention import tiers
from samples.insert import insert
from samples.series import SeriesNumbers
from samples.write_batch import write_batch_of
from samples.writer import Writer

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
CPU = Series(metric="server_cpu_percent", component="server", unit="percent")
THRESHOLDS = Config().thresholds_document()


class Story:
    """Minutes that pass: each is filled with four samples and then evaluated."""

    def __init__(self, connection: Connection, pool: Pool) -> None:
        self.pool = pool
        self.connection = connection
        self.minute = 0

    @property
    def now(self) -> datetime:
        return START + timedelta(minutes=self.minute)

    async def pass_minute(self, value: float | None, series: Series = CPU) -> list[str]:
        """Let a minute of samples around `value` pass; None: nothing was measured."""
        if value is not None:
            samples = [
                Sample(series, self.now + timedelta(seconds=15 * i), value + offset)
                for i, offset in enumerate((-1.0, 1.0, -0.5, 0.5))
            ]
            await insert(self.connection, SeriesNumbers(), samples)
        self.minute += 1
        return [
            transition.transition
            for transition in await evaluate(
                self.connection, self.now, THRESHOLDS, on_transitions=[]
            )
        ]

    async def active(self) -> list[Alert]:
        return await db_alerts.active(self.connection, Filter(), 100)


@pytest.fixture
async def story(pool: Pool) -> AsyncIterator[Story]:
    async with pool.connection() as connection:
        await add_built_in_rules(connection)
        yield Story(connection, pool)


async def test_load_opens_a_warning_escalates_to_critical_and_resolves_by_itself(
    story: Story,
) -> None:
    reported = [
        (20, []),
        (70, ["opened"]),
        (75, []),
        (95, ["escalated"]),
        (None, []),
        (90, []),
        (65, ["lowered"]),
        (30, ["resolved"]),
        (30, []),
        (85, ["opened"]),
    ]
    for value, transitions in reported:
        assert await story.pass_minute(value) == transitions, (story.minute, value)

    [again] = await story.active()
    [first] = await db_alerts.past(
        story.connection, Filter(before=again.id), START, story.now, limit=10
    )
    assert (again.level, again.state, again.value, again.threshold) == (
        Level.CRITICAL,
        "firing",
        85,
        80,
    )
    assert (first.state, first.resolved_by) == ("resolved", "auto")
    assert first.opened_at == START + timedelta(minutes=2)
    assert first.resolved_at == START + timedelta(minutes=8)


async def test_every_step_is_in_the_audit_with_its_value_and_limit(story: Story) -> None:
    for value in (70, 95, 10):
        await story.pass_minute(value)

    [alert] = await db_alerts.past(story.connection, Filter(), START, story.now, 10)
    transitions = await db_alerts.transitions(story.connection, alert.id)
    assert [(s.type, s.level, s.value, s.threshold, s.actor) for s in transitions] == [
        ("opened", "warning", 70, 60, "auto"),
        ("escalated", "critical", 95, 80, "auto"),
        ("resolved", "critical", 10, 80, "auto"),
    ]


async def test_transitions_are_on_the_bus_with_the_whole_alert(story: Story) -> None:
    for value in (70, 95, 10):
        await story.pass_minute(value)

    found = await bus.after(story.connection, 0, 10)
    assert [event.type for event in found] == ["alerts", "alerts", "alert_resolved"]
    assert [event.seq for event in found] == [1, 2, 3]
    assert found[2].payload["state"] == "resolved"
    assert found[1].payload["snapshot"] is False


async def test_evaluating_an_instant_again_changes_nothing(story: Story) -> None:
    await story.pass_minute(95)

    assert await evaluate(story.connection, story.now, THRESHOLDS, on_transitions=[]) == []


async def test_the_message_says_what_was_measured_against_which_limit(story: Story) -> None:
    await story.pass_minute(70)

    [alert] = await story.active()
    assert alert.message == ("CPU at 70 % (limit 60 %), average of 1 min")
    assert (alert.title, alert.category) == ("server: cpu", Category.SYSTEM)


async def test_one_rule_covers_every_series_that_matches(story: Story) -> None:
    rule = Rule(
        metric="disk_percent", name="disk", category=Category.SYSTEM, levels={Level.INFO: 5}
    )
    await rules.insert(story.connection, rule, START, "ana")
    for mount in ("/", "/data"):
        series = Series(metric="disk_percent", component="a", labels=labels_of({"mount": mount}))
        await story.pass_minute(10, series)

    assert [a.labels for a in await story.active()] == [{"mount": "/data"}, {"mount": "/"}]


async def test_a_component_down_for_half_a_minute_alerts_in_its_own_category(
    story: Story,
) -> None:
    rank_breached = Series(metric="component_up", component="binance", category=Category.EXTERNAL)

    async def probe(*outcomes: float) -> list[str]:
        samples = [
            Sample(
                rank_breached,
                story.now + timedelta(seconds=15 * i),
                outcome,
                "" if outcome else "refused",
            )
            for i, outcome in enumerate(outcomes)
        ]
        async with Writer(story.pool, lambda _: None) as writer:
            await writer.store(write_batch_of(samples))
        return await story.pass_minute(None)

    assert await probe(1, 1, 0, 1) == []
    assert await probe(1, 1, 0, 0) == ["opened"]
    [alert] = await story.active()
    assert (alert.rule, alert.category, alert.level, alert.title, alert.message) == (
        "component-down",
        Category.EXTERNAL,
        Level.CRITICAL,
        "binance is down",
        "refused",
    )
    assert await probe(0, 1, 1, 1) == ["resolved"]


async def test_alerts_of_a_component_that_is_no_longer_watched_are_resolved(story: Story) -> None:
    rank_breached = Series(metric="component_up", component="binance", category=Category.EXTERNAL)
    await story.pass_minute(-1, rank_breached)
    assert await drop_component(story.connection, "binance", story.now, [])
    assert not await drop_component(story.connection, "binance", story.now, [])

    assert await story.active() == []
    [alert] = await db_alerts.past(story.connection, Filter(), START, story.now + SECOND, 10)
    assert (await db_alerts.transitions(story.connection, alert.id))[
        -1
    ].comment == "no longer watched"
    assert (await bus.after(story.connection, 0, 10))[-1].type == "alert_resolved"


async def test_a_rule_without_thresholds_rests_until_they_are_set(story: Story) -> None:
    pnl = Series(metric="trading_pnl_24h", component="trading", category=Category.TRADING)
    thresholds = {"trading_pnl_24h": {"op": "<", "warning": -100}}

    assert await story.pass_minute(-500, pnl) == []
    transitions = await evaluate(story.connection, story.now, thresholds, on_transitions=[])
    assert [transition.transition for transition in transitions] == ["opened"]
    transitions = await evaluate(story.connection, story.now, {}, on_transitions=[])
    assert [transition.transition for transition in transitions] == ["resolved"]


@pytest.mark.parametrize(
    ("agg", "op", "limit", "fires"),
    [
        ("min", "<", 9.5, True),
        ("max", ">=", 11.0, True),
        ("sum", ">", 40.0, False),
        ("count", "<=", 4.0, True),
        ("last", ">", 10.4, True),
        ("avg", "<", 10.0, False),
    ],
)
async def test_a_rule_compares_the_aggregate_it_names(
    story: Story, agg: str, op: str, limit: float, *, fires: bool
) -> None:
    rule = Rule(
        name="own",
        metric="m",
        category=Category.TRADING,
        agg=agg,  # type: ignore[arg-type]
        op=op,  # type: ignore[arg-type]
        levels={Level.EMERGENCY: limit},
    )
    await rules.insert(story.connection, rule, START, "ana")

    transitions = await story.pass_minute(10, Series(metric="m", component="a"))
    assert transitions == (["opened"] if fires else [])


async def test_a_window_of_several_minutes_is_averaged_once_over_all_samples(story: Story) -> None:
    rule = Rule(
        name="own", metric="m", category=Category.SYSTEM, window="3m", levels={Level.INFO: 20}
    )
    await rules.insert(story.connection, rule, START, "ana")
    series = Series(metric="m", component="a")

    reported = [await story.pass_minute(value, series) for value in (10, 20, 29, 12, 26)]
    assert reported == [[], [], [], ["opened"], []]


async def test_samples_are_seen_whether_they_are_rolled_up_or_not(story: Story) -> None:
    await story.pass_minute(70)
    story.minute += 60
    await tiers.maintain(story.connection, story.now)

    assert await story.pass_minute(10) == ["resolved"]


async def test_shipped_rules_are_inserted_once_and_never_overwritten(story: Story) -> None:
    await story.connection.execute("UPDATE alert_rules SET enabled = false")
    await add_built_in_rules(story.connection)

    assert await story.pass_minute(99) == []
    cursor = await story.connection.execute("SELECT count(*) FROM alert_rules WHERE enabled")
    assert await cursor.fetchone() == (0,)
    without = {rule.metric for rule in built_in_rules() if rule.levels is None} - set(THRESHOLDS)
    assert without == {"trading_pnl_24h"}


async def test_a_manually_resolved_alert_opens_anew_when_it_still_holds(story: Story) -> None:
    await story.pass_minute(95)
    [alert] = await story.active()
    assert await db_alerts.resolve(story.connection, alert.id, story.now, "ana")
    assert not await db_alerts.resolve(story.connection, alert.id, story.now, "ana")

    assert await story.pass_minute(95) == ["opened"]


def reference_model(values: list[float | None]) -> list[str]:
    """What plain Python says of a day of minutes under 60/80."""
    level, reported = 0, []
    for value in values:
        if value is None:
            continue
        new = 2 if value > 80 else 1 if value > 60 else 0
        if new != level:
            reported.append(
                "opened" if not level else "resolved" if not new
                else "escalated" if new > level else "lowered"
            )  # fmt: skip
        level = new
    return reported


VALUES = st.lists(st.none() | st.integers(0, 100).map(float), min_size=1, max_size=12)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=VALUES)
async def test_any_course_of_values_is_told_as_plain_python_tells_it(
    pool: Pool, values: list[float | None]
) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "TRUNCATE system_metrics, system_alerts, system_alert_events, series CASCADE"
        )
        await connection.execute("UPDATE evaluation_clock SET evaluated_at = NULL")
        await add_built_in_rules(connection)
        story = Story(connection, pool)
        reported = [transition for value in values for transition in await story.pass_minute(value)]

    assert reported == reference_model(values)
