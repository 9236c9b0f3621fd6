"""The SQL functions for analysts return the same as the API, from the same tier."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.queries import Connection, Pool
from history import reader as history
from history.grid import Grid
from history.reader import Family, SeriesAndTiers, Tier, TierRead
from tests.history.histories import START, Expected, grid, histories, tell

STEPS_S = (7, 60, 90, 300, 1800, 3600, 86400)
FUNCTIONS = {
    "g": (
        Family.METRICS,
        history.FOLDED_AGGREGATES,
        (
            "SELECT (labels ->> 'n')::integer, time, avg, min, max, sum, count, first, last, "
            "stddev FROM history('g', %s, %s, %s)"
        ),
    ),
    "n": (
        Family.COUNTERS,
        ("increase", "rate"),
        "SELECT (labels ->> 'n')::integer, time, increase, rate FROM rate('n', %s, %s, %s)",
    ),
}
"""Of a metric: its family, aggregates, and the function that answers these."""
Columns = Mapping[tuple[int, int], Sequence[float | None]]
"""Values by the label of a series and the start of a bucket."""

DAYS = st.integers(0, 40).map(lambda days: START + timedelta(days=days))


async def about(connection: Connection, *metrics: str) -> SeriesAndTiers:
    return await history.series_and_tiers(connection, metrics, None, [], 100)


async def ask_api(connection: Connection, metric: str, buckets: Grid) -> Columns:
    family, names, _ = FUNCTIONS[metric]
    found = await about(connection, metric)
    read = history.rates if family is Family.COUNTERS else history.fold
    reading = TierRead(found.tier(family, buckets), buckets, [one.id for one in found.series])
    labels = {one.id: int(one.labels["n"]) for one in found.series}
    return {
        (labels[who], buckets.times[slot]): values
        for who, slots, *columns in await read(connection, reading, names)
        for slot, *values in zip(slots, *columns, strict=True)
    }


async def ask_function(connection: Connection, metric: str, buckets: Grid) -> Columns:
    step = timedelta(seconds=buckets.step_s)
    cursor = await connection.execute(
        FUNCTIONS[metric][2].encode(), [buckets.start, buckets.end, step]
    )
    return {(n, int(time.timestamp())): values for n, time, *values in await cursor.fetchall()}


@pytest.mark.timeout(300)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(reported=histories(), step_s=st.sampled_from(STEPS_S))
async def test_analysts_get_the_same_from_the_functions_in_sql(
    pool: Pool, reported: Expected, step_s: int
) -> None:
    buckets = grid(0, 6000 if step_s < 60 else 4 * 86400, step_s)
    async with pool.connection() as connection:
        await tell(connection, reported)
        for metric in FUNCTIONS:
            asked = await ask_api(connection, metric, buckets)
            answered = await ask_function(connection, metric, buckets)
            assert answered.keys() == asked.keys()
            for where, values in asked.items():
                for one, other in zip(answered[where], values, strict=True):
                    assert (one is None) == (other is None), (where, one, other)
                    assert one is None or one == pytest.approx(other, rel=1e-9, abs=1e-9), where


def expected_tier(found: SeriesAndTiers, family: Family, buckets: Grid) -> Tier:
    """Return the coarsest tier that fits and has the start; else the one that reaches back most."""
    written = Family.METRICS if family is Family.COUNTERS else family
    fitting = [
        tier
        for tier in found.tiers
        if tier.family is (family if tier.width_s else written)
        and buckets.step_s % (tier.width_s or 1) == 0
    ]
    coarsest = sorted(fitting, key=lambda tier: -tier.width_s)
    whole = [tier for tier in coarsest if tier.has(buckets.start)]
    oldest = datetime.min.replace(tzinfo=UTC)
    return whole[0] if whole else min(coarsest, key=lambda tier: tier.kept_from or oldest)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    dropped=st.lists(st.none() | DAYS, min_size=14, max_size=14),
    start_s=st.integers(0, 40 * 86400),
    step_s=st.sampled_from((*STEPS_S, 5400, 7 * 86400)),
)
async def test_the_api_and_the_functions_choose_the_same_tier(
    pool: Pool, dropped: list[datetime | None], start_s: int, step_s: int
) -> None:
    buckets = grid(start_s, start_s + step_s, step_s)
    lose = (
        "UPDATE tiers SET dropped_to = coalesce(%s::timestamptz, '-infinity') WHERE position = %s"
    )
    choose = "SELECT relation FROM tier_for(%s, %s, %s)"
    async with pool.connection() as connection:
        for position, time in enumerate(dropped):
            await connection.execute(lose, [time, position])
        found = await about(connection)
        for family in Family:
            given = [family, buckets.start, timedelta(seconds=step_s)]
            [(relation,)] = await (await connection.execute(choose, given)).fetchall()
            assert relation == found.tier(family, buckets).relation
            assert relation == expected_tier(found, family, buckets).relation
