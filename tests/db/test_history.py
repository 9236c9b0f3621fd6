"""The past is the same from whichever tier it is read: what numpy makes of the samples."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from db import history, tiers
from db.grid import Grid
from db.history import About, Family, Reading, Selector, Tier
from db.queries import Connection, Pool
from db.series import SeriesNumbers
from db.writer import insert
from tests.api.recomputation import Samples, differences
from vigia.model import Kind, Sample, Series, labels_of

RESET = (Path(__file__).parent.parent / "reset.sql").read_bytes()
START = datetime(2026, 1, 1, tzinfo=UTC)
BASE = int(START.timestamp())
GAUGE = Series(metric="m", component="a")
STEPS_S = (7, 60, 90, 300, 1800, 3600, 7200, 86400, 2 * 86400)
NAMES = {"g": Kind.GAUGE, "n": Kind.COUNTER, "d": Kind.DISTRIBUTION}
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


def member(name: str, number: int) -> Series:
    return Series(
        metric=name, component="a", labels=labels_of({"n": str(number)}), kind=NAMES[name]
    )


async def put(
    connection: Connection, numbers: SeriesNumbers, series: Series, samples: Samples
) -> None:
    await insert(
        connection,
        numbers,
        [Sample(series, datetime.fromtimestamp(t, UTC), v) for t, v in samples.items()],
    )


def grid(start_s: int, end_s: int, step_s: int) -> Grid:
    """Return the buckets of a step that cover a range of seconds from START."""
    first = (BASE + start_s) // step_s * step_s
    last = -(-(BASE + end_s) // step_s) * step_s
    return Grid(range(first, last + 1, step_s), step_s, first - step_s)


async def about(connection: Connection, *metrics: str) -> About:
    return await history.about(connection, metrics, None, [], 100)


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
    assert found.carries(family)


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
        found = await history.about(connection, ["m"], None, selectors, 100)

    assert "".join(one.component for one in found.series) == chosen


class Told(Struct):
    """What was told the database, and when it was rolled up."""

    samples: dict[tuple[str, int], dict[float, float]]
    late: dict[tuple[str, int], dict[float, float]]
    rolled_up_h: int | None
    compressed: bool

    @property
    def all(self) -> dict[tuple[str, int], dict[float, float]]:
        """What must be known in the end: of two values at a time the first."""
        return {key: self.late[key] | self.samples[key] for key in self.samples}


MAGNITUDES = st.floats(-12, 12).map(lambda exponent: 10.0**exponent)
VALUES = {
    "g": st.one_of(
        st.integers(-1000, 1000).map(lambda n: n / 4), st.floats(0, 9).map(lambda x: 1e9 + x)
    ),
    "n": st.one_of(st.integers(0, 50).map(float), st.floats(0, 1e6)),
    "d": st.one_of(MAGNITUDES, MAGNITUDES.map(lambda x: -x), st.just(0.0)),
}
SECONDS = st.one_of(
    st.integers(0, 3 * 86400 * 4), st.integers(0, 5000 * 4), st.integers(86400 * 4, 90000 * 4)
).map(lambda quarter: BASE + quarter / 4)


@st.composite
def histories(draw: st.DrawFn) -> Told:
    keys = [(name, number) for name in NAMES for number in (0, 1)]
    samples = {
        key: draw(st.dictionaries(SECONDS, VALUES[key[0]], max_size=60 >> key[1])) for key in keys
    }
    late = {key: draw(st.dictionaries(SECONDS, VALUES[key[0]], max_size=8)) for key in keys}
    again = {key: dict.fromkeys(list(samples[key])[:3], 777.0) for key in keys}
    return Told(
        samples,
        {key: late[key] | again[key] for key in keys},
        draw(st.one_of(st.none(), st.integers(0, 96))),
        draw(st.booleans()),
    )


async def tell(connection: Connection, told: Told) -> None:
    """Store all of it, with maintenance before and after the late samples."""
    await connection.execute(RESET)
    numbers = SeriesNumbers()
    if told.compressed:
        for tier in await tiers.read(connection):
            await tiers.want(connection, tiers.Wanted(tier.name, None, timedelta(hours=1)))
    for part in (told.samples, told.late):
        for key, samples in part.items():
            await put(connection, numbers, member(*key), samples)
        if told.rolled_up_h is not None:
            await tiers.maintain(connection, START + timedelta(hours=told.rolled_up_h))


def days_of_a_calendar() -> Grid:
    """Return days of which one has 23 and one has 25 hours, that begin an hour after UTC's."""
    hours = [1, 25, 48, 73, 97]
    return Grid([BASE + 3600 * h for h in hours], 86400, BASE - 23 * 3600, is_calendar=True)


def aggregates(tier: Tier, family: Family) -> tuple[str, ...]:
    """Return what a tier tells of a family; samples tell percentiles too."""
    exact = history.PERCENTILE_AGGREGATES
    return (*OF_KIND[family], *(exact if tier.relation == "system_metrics" else ()))


async def read_all(
    connection: Connection, family: Family, reading: Reading, names: Sequence[str]
) -> dict[str, list[list[float | None]]]:
    """Return aggregates as columns, one for each who."""
    if family is Family.COUNTERS:
        names, rows = ["rate"], await history.rates(connection, reading)
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
    connection: Connection, found: About, tier: Tier, family: Family, buckets: Grid, told: Told
) -> None:
    """Hold a tier against numpy: each series for itself, and all of them as one group."""
    metric = {kind: name for name, kind in NAMES.items()}[KINDS[family]]
    ids = [one.id for one in found.series if one.metric == metric]
    each = [told.all[metric, int(s.labels["n"])] for s in found.series if s.metric == metric]
    sketch = family is Family.DISTRIBUTIONS
    names = aggregates(tier, family)
    single = await read_all(connection, family, Reading(tier, buckets, ids), names)
    group = Reading(tier, buckets, ids, [7] * len(ids))
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
@given(told=histories(), steps_s=st.lists(st.sampled_from(STEPS_S), min_size=2, max_size=3))
async def test_every_tier_tells_of_any_samples_what_numpy_makes_of_them(
    pool: Pool, told: Told, steps_s: list[int]
) -> None:
    """Gaps, late samples, duplicates, compressed or not, rolled up up to any moment or not."""
    grids = [grid(0, 6000 if step_s < 60 else 4 * 86400, step_s) for step_s in steps_s]
    async with pool.connection() as connection:
        await tell(connection, told)
        found = await about(connection, *NAMES)
        for buckets in [*grids, days_of_a_calendar()]:
            for family in Family:
                for tier in found.tiers:
                    if tier.carries(family) and buckets.unit_s % (tier.width_s or 1) == 0:
                        await check_tier(connection, found, tier, family, buckets, told)


async def test_analysts_get_the_same_from_the_function_in_sql(pool: Pool) -> None:
    async with pool.connection() as connection:
        await put(connection, SeriesNumbers(), GAUGE, {BASE: 1.0, BASE + 15: 3.0, BASE + 60: 10.0})
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
