"""History answers from the tier that fits, and the answer does not depend on which that is."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db import history, tiers
from db.queries import Connection, Pool
from db.series import SeriesNumbers
from db.writer import insert
from vigia.model import Sample, Series

RESET = (Path(__file__).parent.parent / "reset.sql").read_bytes()
START = datetime(2026, 1, 1, tzinfo=UTC)
SERIES = Series(metric="m", component="a")


async def put(connection: Connection, values: dict[int, float]) -> int:
    samples = [Sample(SERIES, START + timedelta(seconds=s), v) for s, v in values.items()]
    numbers = SeriesNumbers()
    await insert(connection, numbers, samples)
    return (await numbers.of(connection, [SERIES]))[SERIES]


@pytest.mark.parametrize(
    ("step_s", "name"),
    [
        (15, "raw"),
        (60, "1m"),
        (90, "raw"),
        (300, "5m"),
        (3600, "1h"),
        (5400, "5m"),
        (7 * 86400, "1d"),
    ],
)
async def test_the_coarsest_tier_that_folds_into_the_step_answers(
    pool: Pool, step_s: int, name: str
) -> None:
    async with pool.connection() as connection:
        assert await history.tier(connection, START, step_s) == name


async def test_a_tier_that_no_longer_has_the_start_gives_way_to_one_that_has(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("UPDATE tiers SET dropped_to = '2026-02-01' WHERE name = '1m'")
        assert await history.tier(connection, START, 60) == "raw"

        await connection.execute("UPDATE tiers SET dropped_to = '2026-01-15' WHERE name = 'raw'")
        assert await history.tier(connection, START, 60) == "raw"
        assert await history.tier(connection, START, 3600) == "1h"
        assert await history.tier(connection, datetime(2026, 2, 2, tzinfo=UTC), 60) == "1m"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.dictionaries(
        st.integers(0, 3 * 86400), st.integers(-1000, 1000).map(lambda n: n / 4), max_size=60
    ),
    step_s=st.sampled_from([1, 7, 60, 90, 300, 1800, 3600, 7200, 86400]),
    rolled_up_h=st.integers(0, 96),
)
async def test_every_bucket_equals_a_recomputation_rolled_up_or_not(
    pool: Pool, values: dict[int, float], step_s: int, rolled_up_h: int
) -> None:
    async with pool.connection() as connection:
        await connection.execute(RESET)
        series_id = await put(connection, values)
        await tiers.maintain(connection, START + timedelta(hours=rolled_up_h))
        first = START.timestamp() // step_s * step_s
        start, end = datetime.fromtimestamp(first, UTC), START + timedelta(days=4)
        tier = await history.tier(connection, start, step_s)
        found = await history.buckets(connection, tier, [series_id], start, end, step_s, 100_000)

    expected: dict[int, list[float]] = defaultdict(list)
    for second, value in sorted(values.items()):
        expected[int((START.timestamp() + second) // step_s * step_s)].append(value)
    assert [(b.time, b.count, b.sum, b.min, b.max, b.first, b.last) for b in found] == [
        (time, len(v), sum(v), min(v), max(v), v[0], v[-1]) for time, v in sorted(expected.items())
    ]


async def test_analysts_get_the_same_from_the_function_in_sql(pool: Pool) -> None:
    async with pool.connection() as connection:
        await put(connection, {0: 1.0, 15: 3.0, 60: 10.0})
        cursor = await connection.execute(
            "SELECT time, component, avg, count FROM history('m', %s, %s, interval '1 minute')",
            [START, START + timedelta(minutes=5)],
        )
        assert await cursor.fetchall() == [
            (START, "a", 2.0, 2),
            (START + timedelta(minutes=1), "a", 10.0, 1),
        ]


async def test_a_document_per_component_and_time_holds_every_metric(pool: Pool) -> None:
    disk = Series(metric="disk", component="a", labels=(("mount", "/"),))
    async with pool.connection() as connection:
        await insert(
            connection, SeriesNumbers(), [Sample(SERIES, START, 1), Sample(disk, START, 2)]
        )
        cursor = await connection.execute("SELECT component, metrics FROM metrics_json")
        assert await cursor.fetchall() == [("a", {"m": 1, 'disk{mount="/"}': 2})]
