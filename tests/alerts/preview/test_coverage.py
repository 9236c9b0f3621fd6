"""A preview sees late samples that live evaluation missed, and reports them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import nullcontext
from datetime import datetime, timedelta

import numpy as np
import pytest

from alerts.evaluation.evaluator import evaluate
from alerts.preview import coverage, preview
from alerts.preview.coverage import Late
from alerts.rules import store as rules
from alerts.rules.model import Rule
from config.model import Retention
from db.engine import Engine
from db.queries import Connection, Pool
from model.series import Histogram, Kind, Sample, Series, columns_of
from model.severity import Level
from model.times import utc_now
from samples.insert import insert, insert_batch
from samples.series import SeriesNumbers
from samples.write_batch import WriteBatch
from tests.alerts.simulation import START, Simulation, instance, minute
from vigia.housekeeping import expire

NOW = 40
HIGH = Rule(name="high", metric="load", levels={Level.WARNING: 10})
LOADS = [
    Series(metric="load", component=f"thing-{i:02}", labels=(("disk", "a"),)) for i in range(2)
]
TOTAL = Series(metric="total", component="thing-00", labels=(("disk", "a"),))
OTHER = Series(metric="idle", component="thing-00", labels=(("disk", "a"),))


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.connection() as opened:
        yield opened


@pytest.fixture
async def looked(connection: Connection) -> Connection:
    """A database whose alerts have looked at minute NOW."""
    await evaluate(connection, minute(NOW), {}, on_transitions=[])
    return connection


async def store(
    connection: Connection, some: Iterable[Series], *times: datetime, value: float = 1.0
) -> int:
    samples = [Sample(series, time, value) for series in some for time in times]
    return await insert(connection, SeriesNumbers(), samples)


async def noted(connection: Connection) -> list[tuple[object, ...]]:
    cursor = await connection.execute(
        "SELECT s.metric, l.start_time, l.end_time, l.samples::int"
        " FROM late_samples l JOIN series s ON s.id = l.series_id ORDER BY s.id, l.day"
    )
    return await cursor.fetchall()


async def test_a_preview_names_the_late_samples_that_it_sees_and_nobody_saw(
    connection: Connection, pool: Pool
) -> None:
    simulation = Simulation(connection)
    await simulation.add(HIGH)
    for number in range(NOW):
        await simulation.pass_minute(None if 10 <= number < 20 else 5.0, 5.0)

    as_seen = await preview.run(pool.connection, HIGH, {}, minute(1), minute(NOW))
    before = utc_now()
    await store(connection, [instance(0)], *map(minute, range(10, 20)), value=25.0)
    previewed = await preview.run(pool.connection, HIGH, {}, minute(1), minute(NOW))

    assert (as_seen.messages, as_seen.late, as_seen.late_total) == (0, [], 0)
    assert await simulation.active() == []
    assert [(a.opened_at, a.component) for a in previewed.alerts] == [(minute(11), "thing-00")]
    [events] = previewed.late
    assert events == Late("load", "thing-00", {}, minute(10), minute(19), events.arrived_at, 10)
    assert before - timedelta(seconds=1) <= events.arrived_at <= utc_now() + timedelta(seconds=1)
    assert previewed.late_total == 1


async def test_only_what_lies_before_the_newest_minute_is_late(looked: Connection) -> None:
    await store(looked, [LOADS[0]], minute(NOW), minute(NOW) + timedelta(seconds=50))
    assert await noted(looked) == []

    end = minute(NOW) - timedelta(microseconds=1)
    await store(looked, [LOADS[0]], end, minute(NOW - 3), minute(NOW + 1))
    assert await noted(looked) == [("load", minute(NOW - 3), end, 2)]


async def test_nothing_is_late_while_nobody_looks(connection: Connection) -> None:
    await store(connection, LOADS, minute(1))

    assert await noted(connection) == []


async def test_samples_stored_during_an_evaluation_are_late(
    looked: Connection, pool: Pool, engine: Engine
) -> None:
    if engine.embedded:
        pytest.skip("it does one transaction at a time")
    at = minute(NOW + 1)
    async with pool.connection() as other, other.transaction():
        await evaluate(other, at, {}, on_transitions=[])
        await store(looked, [OTHER], minute(NOW))

    assert await noted(looked) == [("idle", minute(NOW), minute(NOW), 1)]


async def test_samples_that_waited_for_another_batch_until_the_evaluation_are_late(
    looked: Connection, pool: Pool, engine: Engine
) -> None:
    if engine.embedded:
        pytest.skip("it does one transaction at a time")
    first, second, third = (minute(NOW) + timedelta(seconds=n) for n in (10, 20, 30))
    await store(looked, [OTHER], first)
    known = (await SeriesNumbers().of(looked, [OTHER])).known
    loads = [WriteBatch(columns_of([Sample(OTHER, time, 1.0)])) for time in (second, third)]
    async with (
        asyncio.timeout(10),
        asyncio.TaskGroup() as group,
        pool.connection() as other,
        pool.connection() as evaluating,
        other.transaction(),
    ):
        await insert_batch(other, known, loads[0], can_copy=False)
        group.create_task(insert_batch(looked, known, loads[1], can_copy=False))
        while not await waits(evaluating, looked):
            await asyncio.sleep(0.01)
        await evaluate(evaluating, minute(NOW + 1), {}, on_transitions=[])

    assert await noted(looked) == [("idle", third, third, 1)]


async def waits(connection: Connection, other: Connection) -> bool:
    cursor = await connection.execute(
        "SELECT cardinality(pg_blocking_pids(%s)) > 0", [other.info.backend_pid]
    )
    return await cursor.fetchone() == (True,)


async def test_duplicates_are_not_counted_as_late_again(looked: Connection) -> None:
    for _ in range(2):
        await store(looked, [OTHER], minute(3), minute(4))

    assert await noted(looked) == [("idle", minute(3), minute(4), 2)]


async def test_only_new_samples_of_a_repeated_batch_are_late(
    looked: Connection,
) -> None:
    await store(looked, LOADS, *map(minute, range(NOW, NOW + 5)))
    await evaluate(looked, minute(NOW + 5), {}, on_transitions=[])

    await store(looked, [*LOADS, OTHER], *map(minute, range(NOW + 1, NOW + 6)))

    assert await noted(looked) == [("idle", minute(NOW + 1), minute(NOW + 4), 4)]


async def test_when_a_gap_is_filled_all_that_came_with_it_counts(looked: Connection) -> None:
    await store(looked, [OTHER], minute(NOW), minute(NOW + 2))
    await evaluate(looked, minute(NOW + 5), {}, on_transitions=[])

    await store(looked, [OTHER], *map(minute, range(NOW, NOW + 4)))

    assert await noted(looked) == [("idle", minute(NOW), minute(NOW + 3), 4)]


async def test_distributions_and_histograms_are_late_too(looked: Connection) -> None:
    sketch = Series(metric="latency_ms", component="a", kind=Kind.DISTRIBUTION)
    time_us = int(minute(5).timestamp()) * 1_000_000
    counted = Histogram(sketch, time_us, np.array([3, 4], np.int32), np.array([1, 2], np.int64))
    known = (await SeriesNumbers().of(looked, [sketch])).known
    for _ in range(2):
        stored = await insert_batch(looked, known, WriteBatch([], [counted]), can_copy=False)
        assert stored.accepted <= 1
    assert await noted(looked) == [("latency_ms", minute(5), minute(5), 1)]

    await store(looked, [sketch], minute(7))
    assert await noted(looked) == [("latency_ms", minute(5), minute(7), 2)]


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (HIGH, LOADS),
        (Rule(name="one", metric="load", component="thing-01", levels={Level.INFO: 1}), LOADS[1:]),
        (Rule(name="disk", metric="load", labels={"disk": "b"}, levels={Level.INFO: 1}), []),
        (
            Rule(name="part", kind="ratio", metric="load", over="total", levels={Level.INFO: 1}),
            [LOADS[0], TOTAL, LOADS[1]],
        ),
        (Rule(name="both", kind="composite", any_of=("low",), none_of=("gone",)), [OTHER]),
    ],
)
async def test_only_series_that_a_rule_looks_at_are_named(
    looked: Connection, rule: Rule, named: list[Series]
) -> None:
    for name, metric in (("low", "idle"), ("gone", "nothing")):
        named_rule = Rule(name=name, metric=metric, levels={Level.INFO: 1})
        await rules.insert(looked, named_rule, START, "a")
    for number, series in enumerate([LOADS[0], TOTAL, LOADS[1], OTHER]):
        await store(looked, [series], minute(5 + number))

    previewed = await preview.run(lambda: nullcontext(looked), rule, {}, minute(1), minute(NOW))

    assert [(events.metric, events.component, events.labels) for events in previewed.late] == [
        (series.metric, series.component, dict(series.labels)) for series in named
    ]


async def test_late_samples_that_only_the_saved_rule_sees_are_named_too(
    looked: Connection,
) -> None:
    await rules.insert(looked, HIGH, START, "a")
    await store(looked, [OTHER, instance(0)], minute(5))
    draft = Rule(name=HIGH.name, metric="idle", levels={Level.INFO: 1})

    previewed = await preview.run(lambda: nullcontext(looked), draft, {}, minute(1), minute(NOW))

    assert [events.metric for events in previewed.late] == ["idle", "load"]


@pytest.mark.parametrize(
    ("fields", "start", "end", "is_named"),
    [
        ({}, 11, 30, True),
        ({}, 12, 30, False),
        ({"window": "5m"}, 15, 30, True),
        ({"window": "5m"}, 16, 30, False),
        ({"kind": "change", "offset": "10m"}, 21, 30, True),
        ({}, 1, 11, True),
        ({}, 1, 10, False),
    ],
)
async def test_late_samples_are_named_when_a_window_of_the_range_has_them(
    looked: Connection, fields: dict[str, str], start: int, end: int, *, is_named: bool
) -> None:
    await store(looked, [instance(0)], minute(10))
    rule = Rule(name="high", metric="load", levels={Level.WARNING: 10}, **fields)  # type: ignore[arg-type]

    _, total = await coverage.of_rules(looked, [rule], minute(start), minute(end))

    assert total == is_named


async def test_however_much_comes_late_there_is_a_row_per_series_and_day(
    looked: Connection,
) -> None:
    for number in range(300):
        await store(looked, [OTHER], minute(10) - timedelta(minutes=4 * number))
    days = [START - timedelta(days=1), START]
    assert [row[3] for row in await noted(looked)] == [297, 3]

    many = [instance(number) for number in range(11)]
    await store(looked, many, *(day + timedelta(minutes=m) for day in days for m in range(30)))

    assert len(await noted(looked)) == 2 + 22
    events, total = await coverage.of_rules(looked, [HIGH], days[0], minute(NOW))
    assert (len(events), total) == (coverage.SHOWN_MAX, 22)
    assert [one.start for one in events] == sorted(one.start for one in events)


@pytest.mark.parametrize(
    ("evaluated", "gaps"),
    [
        ((10, 11, 12), []),
        ((10, 12, 13, 73), [(11, 12), (14, 73)]),
        # The clock was set forward by mistake, and back.
        ((10, 900, 12, 13), [(11, 12)]),
        ((10, 200, 300, 100, 101), [(11, 100)]),
        # Another replica is behind.
        ((10, 20, 30, 15, 16), [(11, 20), (21, 30)]),
        ((10, 900, 11, 12), []),
    ],
)
async def test_minutes_that_are_never_evaluated_are_known(
    connection: Connection, evaluated: list[int], gaps: list[tuple[int, int]]
) -> None:
    for number in evaluated:
        await evaluate(connection, minute(number), {}, on_transitions=[])

    found, total = await coverage.gaps(connection, minute(0), minute(1000))

    assert [(gap.start, gap.end) for gap in found] == [(minute(a), minute(b)) for a, b in gaps]
    assert total == len(gaps)


async def test_time_before_the_first_evaluation_is_tried_all_the_same(
    connection: Connection, pool: Pool
) -> None:
    await store(connection, [instance(0)], minute(10), value=25.0)
    await evaluate(connection, minute(NOW), {}, on_transitions=[])

    previewed = await preview.run(pool.connection, HIGH, {}, minute(1), minute(NOW))

    assert (len(previewed.alerts), previewed.not_evaluated) == (1, [])


async def test_only_gaps_that_touch_the_range_are_named(connection: Connection) -> None:
    for number in (10, 20):
        await evaluate(connection, minute(number), {}, on_transitions=[])

    for start, end, total in ((0, 10, 0), (0, 11, 1), (19, 30, 1), (20, 30, 0)):
        assert (await coverage.gaps(connection, minute(start), minute(end)))[1] == total


async def test_however_many_gaps_there_are_the_first_are_named(connection: Connection) -> None:
    for number in range(22):
        await evaluate(connection, minute(2 * number), {}, on_transitions=[])

    found, total = await coverage.gaps(connection, minute(0), minute(100))

    assert (len(found), total) == (coverage.SHOWN_MAX, 21)


async def test_late_samples_and_gaps_are_known_for_as_long_as_they_can_be_previewed(
    looked: Connection, pool: Pool
) -> None:
    await store(looked, [OTHER], START - timedelta(days=3), minute(1))
    await looked.execute(
        "INSERT INTO evaluation_gaps SELECT at, at + interval '1 hour' FROM unnest(%s) AS gap (at)",
        [[START - timedelta(days=3), START]],
    )
    for tier, left in (("1m", 2), ("raw", 1)):
        await looked.execute(
            "UPDATE tiers SET dropped_to = %s WHERE name = %s", [START - timedelta(days=1), tier]
        )
        await expire(pool, minute(NOW), Retention())
        assert len(await noted(looked)) == left
        assert (await coverage.gaps(looked, START - timedelta(days=9), minute(NOW)))[1] == left
