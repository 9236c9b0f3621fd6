"""The law: ingested, late, paused, refreshed, compressed or dropped, no sample is lost."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from db import tiers
from db.config import Retention
from db.queries import Connection, Pool
from db.series import SeriesNumbers
from db.writer import insert
from retention.plan import plan
from vigia.model import Sample, Series

START = datetime(2026, 1, 1, tzinfo=UTC)
RESET = (Path(__file__).parent.parent / "reset.sql").read_bytes()
SERIES = [Series(metric="m_percent", component=c, resolution=2**-6) for c in ("a", "b")]
WIDTHS_S = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86400}

Key = tuple[int, datetime]


class World:
    """A simulated clock, the database, and what it has acknowledged."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.now = START
        self.numbers = SeriesNumbers()
        self.acknowledged: dict[Key, float] = {}
        self.batches: list[list[Sample]] = []

    async def retain(self, raw_days: int, rollup_days: int) -> None:
        retention = Retention(
            raw_days=raw_days,
            rollup_1m_days=min(raw_days, 2),
            rollup_5m_days=max(raw_days, rollup_days),
            compress_after_days=1,
        )
        for wanted in plan(retention):
            await tiers.want(self.connection, wanted)

    async def ingest(self, age_s: int, count: int, spacing_s: int) -> None:
        newest = self.now - timedelta(seconds=age_s)
        await self.send(
            [
                Sample(SERIES[i % 2], newest - timedelta(seconds=i * spacing_s), (i * 7) % 101 / 4)
                for i in range(count)
            ]
        )

    async def replay(self) -> None:
        for batch in self.batches[-2:]:
            await self.send(batch)

    async def send(self, batch: list[Sample]) -> None:
        """Send what the horizon lets through, and remember the first value of each key."""
        horizon = await tiers.accepted_from(self.connection, self.now)
        taken = [s for s in batch if horizon is None or s.time >= horizon]
        before = len(self.acknowledged)
        async with self.connection.transaction():
            accepted = await insert(self.connection, self.numbers, taken)
        for sample in taken:
            key = (SERIES.index(sample.series), sample.time)
            self.acknowledged.setdefault(key, sample.value)
        assert accepted == len(self.acknowledged) - before
        self.batches.append(batch)

    async def maintain(self) -> None:
        await tiers.maintain(self.connection, self.now)

    async def verify(self) -> None:
        dropped = {
            t.name: t.dropped_to or START.min.replace(tzinfo=UTC)
            for t in await tiers.read(self.connection)
        }
        for name, width_s in WIDTHS_S.items():
            expected = recompute(self.acknowledged, width_s, dropped[name])
            assert await read_tier(self.connection, name, dropped[name]) == expected, name


def recompute(
    samples: Mapping[Key, float], width_s: int, dropped_to: datetime
) -> dict[Key, tuple[Any, ...]]:
    """Roll samples up in plain Python, leaving out buckets that were dropped."""
    buckets: dict[Key, list[float]] = defaultdict(list)
    for (series, time), value in sorted(samples.items()):
        start = datetime.fromtimestamp(time.timestamp() // width_s * width_s, UTC)
        if start >= dropped_to:
            buckets[series, start].append(value)
    return {k: (len(v), sum(v), min(v), max(v), v[0], v[-1]) for k, v in buckets.items()}


async def read_tier(
    connection: Connection, name: str, dropped_to: datetime
) -> dict[Key, tuple[Any, ...]]:
    cursor = await connection.execute(
        f"SELECT component, time, count, sum, min, max, first, last FROM metrics_{name}"
    )
    return {
        ("ab".index(row[0]), row[1]): row[2:]
        for row in await cursor.fetchall()
        if row[1] >= dropped_to
    }


DAY_S = 86400

STEPS = st.one_of(
    st.tuples(st.just("ingest"), st.integers(0, 600), st.integers(1, 200), st.integers(1, 90)),
    st.tuples(
        st.just("ingest"), st.integers(0, 9 * DAY_S), st.integers(1, 50), st.integers(1, 9000)
    ),
    st.tuples(st.just("replay")),
    st.tuples(st.just("pause"), st.integers(1, 3 * DAY_S)),
    st.tuples(st.just("maintain")),
    st.tuples(st.just("retain"), st.integers(4, 9), st.integers(4, 12)),
)


@pytest.mark.timeout(600)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=3, max_size=14))
@example(
    steps=[
        ("retain", 5, 5),
        ("ingest", 0, 200, 60),
        ("maintain",),
        ("pause", 6 * DAY_S),
        ("maintain",),
        ("pause", 3600),
        ("maintain",),
        ("retain", 9, 12),
        ("ingest", 6 * DAY_S, 20, 600),
        ("maintain",),
    ]
)
@example(
    steps=[
        ("retain", 4, 4),
        ("ingest", 0, 50, 60),
        ("maintain",),
        ("pause", DAY_S),
        ("ingest", DAY_S, 50, 30),
        ("maintain",),
        ("pause", 3 * DAY_S),
        ("maintain",),
        ("maintain",),
        ("replay",),
        ("maintain",),
    ]
)
async def test_tiers_never_lose_or_invent_a_sample(
    pool: Pool, steps: list[tuple[Any, ...]]
) -> None:
    async with pool.connection() as connection:
        await connection.execute(RESET)
        world = World(connection)
        for name, *arguments in steps:
            if name == "pause":
                world.now += timedelta(seconds=arguments[0])
            else:
                await getattr(world, name)(*arguments)

        world.now += timedelta(minutes=20)
        await world.maintain()
        await world.verify()
        await world.maintain()
        await world.verify()
