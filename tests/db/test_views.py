"""Views and functions for analysts equal a recomputation with numpy, rolled up or not."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from db.queries import Connection, Pool
from model.series import Kind, Sample, Series
from retention import tiers
from samples.insert import insert
from samples.series import SeriesNumbers

RESET = (Path(__file__).parent.parent / "reset.sql").read_bytes()
START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=4)
GAUGE = Series(metric="load", component="a")
COUNTER = Series(metric="sent_total", component="a", kind=Kind.COUNTER)
DISTRIBUTION = Series(metric="wait_ms", component="a", kind=Kind.DISTRIBUTION)
OTHER = Series(metric="wait_ms", component="b", kind=Kind.DISTRIBUTION)
STEPS_S = [7, 60, 90, 300, 1800, 3600, 7200, 86400]
TIERS_S = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86400}

Values = Mapping[int, float]
"""Values by second since the start."""

random_values = st.dictionaries(
    st.integers(0, 3 * 86400), st.integers(-1000, 1000).map(lambda n: 1e6 + n / 4), max_size=60
)
random_counts = st.dictionaries(st.integers(0, 3 * 86400), st.integers(0, 50), max_size=60)
random_waits = st.dictionaries(
    st.integers(0, 2 * 86400), st.floats(-1e4, 1e4, allow_subnormal=False), max_size=60
)


class Stored(Struct, frozen=True):
    """What a test has stored, and up to when it was rolled up."""

    loads: Values
    sent: Values
    waits: Values
    waits_of_other: Values
    moment: datetime


stored = st.builds(
    Stored,
    random_values,
    random_counts,
    random_waits,
    random_waits,
    st.integers(0, 96).map(lambda hours: START + timedelta(hours=hours)),
)


async def store(connection: Connection, moment: datetime, values: Mapping[Series, Values]) -> None:
    """Store samples in an empty database, and roll up what is older than a moment."""
    await connection.execute(RESET)
    samples = [
        Sample(series, START + timedelta(seconds=second), value)
        for series, some in values.items()
        for second, value in some.items()
    ]
    async with connection.transaction():
        await insert(connection, SeriesNumbers(), samples)
    await tiers.maintain(connection, moment)


async def rows(connection: Connection, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, arguments)).fetchall()


def bucketed(values: Values, step_s: int) -> dict[datetime, list[float]]:
    found: dict[datetime, list[float]] = defaultdict(list)
    for second, value in sorted(values.items()):
        found[bucket(second, step_s)].append(value)
    return dict(found)


def bucket(second: int, step_s: int) -> datetime:
    return datetime.fromtimestamp((START.timestamp() + second) // step_s * step_s, UTC)


def folded(values: Values, step_s: int) -> Iterator[tuple[Any, ...]]:
    """Yield time, avg, min, max, sum, count, first, last and stddev of each bucket."""
    for time, some in bucketed(values, step_s).items():
        figures = np.mean(some), min(some), max(some), sum(some), len(some), some[0], some[-1]
        yield time, *figures, np.std(some)


def assert_alike(found: Sequence[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]]) -> None:
    """Numbers are equal but for the order in which they were added up."""
    assert [row[0] for row in found] == [row[0] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one[1:] == pytest.approx(other[1:], rel=1e-9, abs=1e-6)


async def check_history(connection: Connection, given: Stored, step_s: int) -> None:
    found = await rows(
        connection,
        "SELECT time, avg, min, max, sum, count, first, last, stddev "
        "FROM history('load', %s, %s, %s)",
        *(START, END, timedelta(seconds=step_s)),
    )
    assert_alike(found, list(folded(given.loads, step_s)))


async def check_roll_ups(connection: Connection, given: Stored) -> None:
    for name, width_s in TIERS_S.items():
        found = await rows(
            connection,
            "SELECT time, avg, min, max, sum, count, first, last, stddev "
            f"FROM metrics_{name} WHERE metric = 'load' ORDER BY time",
        )
        assert_alike(found, list(folded(given.loads, width_s)))


def increases(values: Values, step_s: int) -> dict[datetime, tuple[float, float]]:
    """Return increase and seconds of each bucket, from each sample to the next one."""
    found = dict.fromkeys(bucketed(values, step_s), (0.0, 0.0))
    for (earlier, before), (second, value) in pairwise(sorted(values.items())):
        time, step = bucket(second, step_s), timedelta(seconds=step_s)
        if bucket(earlier, step_s) >= time - step:
            grown = value if value < before else value - before
            found[time] = found[time][0] + grown, found[time][1] + second - earlier
    return found


async def check_rate(connection: Connection, given: Stored, step_s: int) -> None:
    found = await rows(
        connection,
        "SELECT time, increase, rate FROM rate('sent_total', %s, %s, %s)",
        *(START, END, timedelta(seconds=step_s)),
    )
    expected = increases(given.sent, step_s)
    assert [row[0] for row in found] == list(expected)
    for (_, increase, rate), (grown, seconds) in zip(found, expected.values(), strict=True):
        assert increase == pytest.approx(grown)
        assert rate == (pytest.approx(grown / seconds) if seconds else None)


async def check_counters(connection: Connection, given: Stored) -> None:
    for name in ("5m", "1h", "1d"):
        found = await rows(
            connection, f"SELECT time, increase, first, last FROM counters_{name} ORDER BY time"
        )
        assert found == [
            (time, sum(b if b < a else b - a for a, b in pairwise(some)), some[0], some[-1])
            for time, some in bucketed(given.sent, TIERS_S[name]).items()
        ]


QUANTILES = [0.0, 0.1, 0.5, 0.95, 1.0]


def assert_within_one_percent(found: float, values: Sequence[float], quantile: float) -> None:
    """Between two values, each of which is known within 1 %, as numpy's "linear" has it."""
    exact = float(np.quantile(values, quantile))
    below, above = (float(np.quantile(values, quantile, method=way)) for way in ("lower", "higher"))
    assert math.isclose(found, exact, abs_tol=0.0101 * max(abs(below), abs(above)) + 1e-150)


async def check_percentiles(connection: Connection, given: Stored, step_s: int) -> None:
    found = await rows(
        connection,
        "SELECT time, quantile, value FROM percentiles('wait_ms', %s, %s, %s, %s, 'a')",
        *(START, END, timedelta(seconds=step_s), QUANTILES),
    )
    expected = bucketed(given.waits, step_s)
    assert [row[:2] for row in found] == [(time, q) for time in expected for q in QUANTILES]
    for time, quantile, value in found:
        assert_within_one_percent(value, expected[time], quantile)


async def check_percentile(connection: Connection, given: Stored) -> None:
    """Two series, and days, put together by an analyst."""
    together = [*given.waits.values(), *given.waits_of_other.values()]
    for name in ("5m", "1h", "1d"):
        [(median, high, count)] = await rows(
            connection,
            "SELECT percentile(0.5, array_agg(log_bucket), array_agg(count)), "
            "percentile(0.95, array_agg(log_bucket), array_agg(count)), "
            f"coalesce(sum(count), 0) FROM distributions_{name}",
        )
        assert count == len(together)
        if together:
            assert_within_one_percent(median, together, 0.5)
            assert_within_one_percent(high, together, 0.95)
        else:
            assert (median, high) == (None, None)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=stored, step_s=st.sampled_from(STEPS_S))
async def test_views_and_functions_equal_a_recomputation_from_samples(
    pool: Pool, data: Stored, step_s: int
) -> None:
    values = {
        GAUGE: data.loads,
        COUNTER: data.sent,
        DISTRIBUTION: data.waits,
        OTHER: data.waits_of_other,
    }
    async with pool.connection() as connection:
        await store(connection, data.moment, values)
        await check_history(connection, data, step_s)
        await check_roll_ups(connection, data)
        await check_rate(connection, data, step_s)
        await check_counters(connection, data)
        await check_percentiles(connection, data, step_s)
        await check_percentile(connection, data)


async def test_percentiles_of_anything_else_come_from_its_samples(pool: Pool) -> None:
    values = {second: float(second % 97) for second in range(0, 7200, 15)}
    async with pool.connection() as connection:
        await store(connection, END, {GAUGE: values})
        found = await rows(
            connection,
            "SELECT time, value FROM percentiles('load', %s, %s, '1 hour', '{0.9}')",
            *(START, END),
        )

    expected = bucketed(values, 3600)
    assert found == [
        (time, pytest.approx(np.quantile(some, 0.9))) for time, some in expected.items()
    ]


async def test_arguments_have_names_and_choose_among_series(pool: Pool) -> None:
    disks = [
        Series(metric="disk", component=component, labels=(("host", "h"), ("mount", mount)))
        for component, mount in (("a", "/"), ("a", "/data"), ("b", "/"))
    ]
    async with pool.connection() as connection:
        await store(connection, START, {disk: {60: 1.0} for disk in disks})

        async def found(more: str) -> list[tuple[Any, ...]]:
            query = (
                "SELECT component, labels ->> 'mount' FROM history("
                f"metric => 'disk', start => %s, \"end\" => %s, step => '1 hour'{more})"
            )
            return await rows(connection, query, START, END)

        assert await found("") == [("a", "/"), ("a", "/data"), ("b", "/")]
        assert await found(", component => 'a'") == [("a", "/"), ("a", "/data")]
        assert await found(""", labels => '{"mount": "/"}'""") == [("a", "/"), ("b", "/")]
        assert await found(", component => 'c'") == []


async def test_months_are_those_of_the_calendar(pool: Pool) -> None:
    async with pool.connection() as connection:
        await store(connection, END, {GAUGE: {0: 1.0, 86400 * 30: 2.0, 86400 * 31: 4.0}})
        found = await rows(
            connection,
            "SELECT time, sum FROM history('load', %s, %s, '1 month')",
            *(START, START + timedelta(days=40)),
        )

    assert found == [(START, 3.0), (datetime(2026, 2, 1, tzinfo=UTC), 4.0)]


async def test_whole_buckets_answer_whichever_tier_they_come_from(pool: Pool) -> None:
    """A start and an end inside of buckets are widened to them, from samples as from roll-ups."""
    values = dict.fromkeys(range(0, 7200, 15), 1.0)
    start, end = START + timedelta(minutes=20), START + timedelta(minutes=80)
    async with pool.connection() as connection:
        await store(connection, END, {GAUGE: values})
        for step_s in (3600, 3601):
            found = await rows(
                connection,
                "SELECT time, count FROM history('load', %s, %s, %s)",
                *(start, end, timedelta(seconds=step_s)),
            )
            expected = bucketed(values, step_s)
            assert found == [
                (time, len(some))
                for time, some in expected.items()
                if start - timedelta(seconds=step_s) < time < end
            ]


async def test_a_tier_that_lost_the_start_gives_way_to_one_that_has_it(pool: Pool) -> None:
    async with pool.connection() as connection:
        await store(connection, END, {GAUGE: {0: 1.0, 86400: 2.0}})
        tier = "SELECT name FROM tier_for('system_metrics', %s, '1 minute')"
        assert await rows(connection, tier, START) == [("1m",)]
        lose = "UPDATE tiers SET dropped_to = %s WHERE name = %s"
        await connection.execute(lose, [START + timedelta(days=9), "1m"])
        assert await rows(connection, tier, START) == [("raw",)]
        await connection.execute(lose, [START + timedelta(days=5), "raw"])
        assert await rows(connection, tier, START) == [("raw",)]
        await connection.execute(lose, [START + timedelta(days=10), "raw"])
        assert await rows(connection, tier, START) == [("1m",)]


async def test_a_spread_that_is_not_known_is_null(pool: Pool) -> None:
    async with pool.connection() as connection:
        await store(connection, END, {GAUGE: {0: 1.0, 30: 2.0}})
        [(table,)] = await rows(
            connection,
            "SELECT format('%%I.%%I', materialization_hypertable_schema, "
            "materialization_hypertable_name) FROM timescaledb_information.continuous_aggregates "
            "WHERE view_name = 'system_metrics_1h'",
        )
        await connection.execute(f"UPDATE {table} SET m2 = 'NaN'".encode())

        view = "SELECT avg, stddev FROM metrics_1h"
        assert await rows(connection, view) == [(1.5, None)]
        function = "SELECT avg, stddev FROM history('load', %s, %s, '2 hours')"
        assert await rows(connection, function, START, END) == [(1.5, None)]


async def test_the_catalogue_has_every_series_and_its_newest_value(pool: Pool) -> None:
    async with pool.connection() as connection:
        await store(connection, START, {GAUGE: {0: 1.0, 30: 2.0}, COUNTER: {}})
        await SeriesNumbers().of(connection, [COUNTER])
        found = await rows(
            connection,
            "SELECT metric, kind, first_time, last_time, last_value FROM catalogue ORDER BY metric",
        )

    assert found == [
        ("load", "gauge", START, START + timedelta(seconds=30), 2.0),
        ("sent_total", "counter", None, None, None),
    ]
