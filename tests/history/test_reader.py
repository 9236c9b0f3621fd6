"""History is the same from every tier, and equals numpy's aggregates of the samples."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.queries import Connection, Pool
from history import reader as history
from history.grid import Grid
from history.reader import Family, Selector, SeriesAndTiers, Tier, TierRead
from model.series import Kind, Series, labels_of
from samples.series import SeriesNumbers
from tests.api.metrics.recomputation import differences
from tests.history.histories import BASE, NAMES, START, Expected, grid, histories, put, tell

GAUGE = Series(metric="m", component="a")
STEPS_S = (7, 60, 90, 300, 1800, 3600, 7200, 86400, 2 * 86400)
KINDS = {
    Family.METRICS: Kind.GAUGE,
    Family.COUNTERS: Kind.COUNTER,
    Family.DISTRIBUTIONS: Kind.DISTRIBUTION,
}
OF_KIND = {
    Family.METRICS: history.FOLDED_AGGREGATES,
    Family.COUNTERS: ("rate",),
    Family.DISTRIBUTIONS: history.PERCENTILE_AGGREGATES,
}


async def about(connection: Connection, *metrics: str) -> SeriesAndTiers:
    return await history.series_and_tiers(connection, metrics, None, [], 100)


@pytest.mark.parametrize(
    ("family", "step_s", "name"),
    [
        (Family.METRICS, 15, "raw"),
        (Family.METRICS, 60, "1m"),
        (Family.METRICS, 90, "raw"),
        (Family.METRICS, 300, "5m"),
        (Family.METRICS, 3600, "1h"),
        (Family.METRICS, 5400, "5m"),
        (Family.METRICS, 7 * 86400, "1d"),
        (Family.COUNTERS, 60, "raw"),
        (Family.COUNTERS, 600, "5m"),
        (Family.COUNTERS, 86400, "1d"),
        (Family.DISTRIBUTIONS, 60, "raw"),
        (Family.DISTRIBUTIONS, 7200, "1h"),
    ],
)
async def test_the_coarsest_tier_that_can_be_put_together_to_the_step_answers(
    pool: Pool, family: Family, step_s: int, name: str
) -> None:
    async with pool.connection() as connection:
        found = (await about(connection)).tier(family, grid(0, 86400, step_s))

    assert found.name == name


async def test_buckets_that_begin_off_the_hour_are_put_together_from_a_finer_tier(
    pool: Pool,
) -> None:
    half_hours = Grid(range(BASE + 1800, BASE + 86400, 3600), 3600, BASE - 1800)
    async with pool.connection() as connection:
        assert (await about(connection)).tier(Family.METRICS, half_hours).name == "5m"


async def test_a_tier_that_no_longer_has_the_start_gives_way_to_one_that_has(pool: Pool) -> None:
    minutes, hours = grid(0, 3600, 60), grid(0, 3600, 3600)
    async with pool.connection() as connection:
        await connection.execute("UPDATE tiers SET dropped_to = '2026-02-01' WHERE name = '1m'")
        assert (await about(connection)).tier(Family.METRICS, minutes).name == "raw"

        await connection.execute("UPDATE tiers SET dropped_to = '2026-01-15' WHERE name = 'raw'")
        found = await about(connection)
        assert found.tier(Family.METRICS, minutes).name == "raw"
        assert found.tier(Family.METRICS, hours).name == "1h"
        assert found.tier(Family.METRICS, grid(40 * 86400, 41 * 86400, 60)).name == "1m"
        assert not found.samples.has(START)
        assert found.samples.has(datetime(2026, 1, 15, tzinfo=UTC))


@pytest.mark.parametrize(
    ("selectors", "chosen"),
    [
        ([], "abcd"),
        ([Selector("host", ["x"])], "ab"),
        ([Selector("host", ["x"], negated=True)], "cd"),
        ([Selector("host", ["x", "y"])], "abc"),
        ([Selector("host", [""])], "d"),
        ([Selector("host", [""], negated=True)], "abc"),
        ([Selector("host", [])], ""),
        ([Selector("host", [], negated=True)], "abcd"),
        ([Selector("host", ["x"]), Selector("disk", [""])], "b"),
        ([Selector("host", ["x"]), Selector("host", ["y"])], ""),
        ([Selector("nobody has this", ["x"], negated=True)], "abcd"),
        ([Selector("' OR true --", ["x"])], ""),
    ],
)
async def test_selectors_choose_series_and_an_absent_label_is_empty(
    pool: Pool, selectors: Sequence[Selector], chosen: str
) -> None:
    labels: Mapping[str, dict[str, str]] = {
        "a": {"host": "x", "disk": "sda"},
        "b": {"host": "x"},
        "c": {"host": "y", "disk": ""},
        "d": {},
    }
    async with pool.connection() as connection:
        for name, pairs in labels.items():
            one = Series(metric="m", component=name, labels=labels_of(pairs))
            await put(connection, SeriesNumbers(), one, {BASE: 1.0})
        found = await history.series_and_tiers(connection, ["m"], None, selectors, 100)

    assert "".join(one.component for one in found.series) == chosen


def days_of_a_calendar() -> Grid:
    """Return days of which one has 23 and one has 25 hours, that begin an hour after UTC's."""
    hours = [1, 25, 48, 73, 97]
    return Grid([BASE + 3600 * h for h in hours], 86400, BASE - 23 * 3600, is_calendar=True)


def aggregates(tier: Tier, family: Family) -> tuple[str, ...]:
    """Return what a tier tells of a family; samples tell percentiles too."""
    exact = history.PERCENTILE_AGGREGATES
    return (*OF_KIND[family], *(exact if tier.relation == "system_metrics" else ()))


async def read_all(
    connection: Connection, family: Family, reading: TierRead, names: Sequence[str]
) -> dict[str, list[list[float | None]]]:
    """Return aggregates as columns, one for each who."""
    if family is Family.COUNTERS:
        names, rows = ["rate"], await history.rates(connection, reading, ["rate"])
    elif family is Family.DISTRIBUTIONS:
        rows = await history.percentiles(connection, reading, names)
    else:
        rows = await history.fold(connection, reading, names)
    whos = list(dict.fromkeys(reading.series_ids if reading.groups is None else reading.groups))
    columns: dict[str, list[list[float | None]]] = {
        name: [[None] * reading.grid.points for _ in whos] for name in names
    }
    assert len({row[0] for row in rows}) == len(rows)
    for who, indexes, *found in rows:
        assert len(set(indexes)) == len(indexes)
        for name, values in zip(names, found, strict=True):
            for index, value in zip(indexes, values, strict=True):
                columns[name][whos.index(who)][index] = value
    return columns


async def check_tier(
    connection: Connection,
    found: SeriesAndTiers,
    tier: Tier,
    family: Family,
    buckets: Grid,
    reported: Expected,
) -> None:
    """Hold a tier against numpy: each series for itself, and all of them as one group."""
    metric = {kind: name for name, kind in NAMES.items()}[KINDS[family]]
    ids = [one.id for one in found.series if one.metric == metric]
    each = [reported.all[metric, int(s.labels["n"])] for s in found.series if s.metric == metric]
    sketch = family is Family.DISTRIBUTIONS
    names = aggregates(tier, family)
    single = await read_all(connection, family, TierRead(tier, buckets, ids), names)
    group = TierRead(tier, buckets, ids, [7] * len(ids))
    together = await read_all(connection, family, group, names) if ids else {}
    for name, columns in single.items():
        where = (name, tier.relation, buckets.step_s)
        for samples, values in zip(each, columns, strict=True):
            assert not differences(name, values, [samples], buckets, sketch=sketch), where
        if name not in {"first", "last"} and ids:
            [values] = together[name]
            assert not differences(name, values, each, buckets, sketch=sketch), (where, "group")


@pytest.mark.timeout(300)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(reported=histories(), steps_s=st.lists(st.sampled_from(STEPS_S), min_size=2, max_size=3))
async def test_every_tier_tells_of_any_samples_what_numpy_makes_of_them(
    pool: Pool, reported: Expected, steps_s: list[int]
) -> None:
    """Gaps, late samples, duplicates, compressed or not, rolled up up to any moment or not."""
    grids = [grid(0, 6000 if step_s < 60 else 4 * 86400, step_s) for step_s in steps_s]
    async with pool.connection() as connection:
        await tell(connection, reported)
        found = await about(connection, *NAMES)
        for buckets in [*grids, days_of_a_calendar()]:
            for family, relation in dict.fromkeys((c.family, c.relation) for c in found.choices):
                [tier] = [tier for tier in found.tiers if tier.relation == relation]
                if tier.adds_up_to(buckets.unit_s):
                    await check_tier(connection, found, tier, family, buckets, reported)


async def test_a_document_per_component_and_time_holds_every_metric(pool: Pool) -> None:
    disk = Series(metric="disk", component="a", labels=(("mount", "/"),))
    numbers = SeriesNumbers()
    async with pool.connection() as connection:
        await put(connection, numbers, GAUGE, {BASE: 1.0})
        await put(connection, numbers, disk, {BASE: 2.0})
        cursor = await connection.execute("SELECT component, metrics FROM metrics_json")
        assert await cursor.fetchall() == [("a", {"m": 1, 'disk{mount="/"}': 2})]


@pytest.mark.parametrize(("relation", "time"), [("series", "time"), ("system_metrics", "value")])
def test_only_relations_of_tiers_can_be_read(relation: str, time: str) -> None:
    with pytest.raises(ValueError, match="not a tier"):
        history.compose(
            history.FOLD,
            ("avg",),
            "samples",
            relation=relation,
            time=time,
            who="series",
            slot="step",
        )
