"""A simulated clock, a database, and what it has acknowledged, to be compared at any time."""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from config import store as config
from config.model import MetricRetention, Retention
from db.queries import Connection
from model.series import Kind, Sample, Series
from retention import tiers
from retention.plan import plan
from samples.insert import insert
from samples.series import SeriesNumbers

START = datetime(2026, 1, 1, tzinfo=UTC)
EVER = datetime.min.replace(tzinfo=UTC)
RESET = (Path(__file__).parent.parent / "reset.sql").read_bytes()
SERIES = [
    Series(metric="m_percent", component="a", resolution=2**-6),
    Series(metric="m_percent", component="b", resolution=2**-6),
    Series(metric="n_total", component="a", kind=Kind.COUNTER),
    Series(metric="d_ms", component="a", kind=Kind.DISTRIBUTION),
]
COUNTER, DISTRIBUTION = 2, 3
METRICS = ("m_percent", "n_total", "d_ms")

Key = tuple[int, datetime]
Rows = dict[tuple[Any, ...], tuple[Any, ...]]
Values = Sequence[tuple[datetime, float]]


class Simulation:
    """A simulated clock, the database, and what it has acknowledged."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.now = START
        self.numbers = SeriesNumbers()
        self.acknowledged: dict[Key, float] = {}
        self.batches: list[list[Sample]] = []
        self.retention = Retention()

    async def retain(self, raw_days: float, rollup_days: float) -> None:
        """Change how long the tiers are kept."""
        await self.apply(
            msgspec.structs.replace(
                self.retention,
                raw_days=raw_days,
                rollup_1m_days=min(raw_days, 2),
                rollup_5m_days=max(raw_days, rollup_days),
                compress_after_days=1,
            )
        )

    async def ages(self, days: Mapping[str, float]) -> None:
        """Change which metrics have an age of their own."""
        metrics = {metric: MetricRetention(keep_days=d) for metric, d in days.items()}
        await self.apply(msgspec.structs.replace(self.retention, metrics=metrics))

    async def apply(self, retention: Retention) -> None:
        self.retention = retention
        value = msgspec.to_builtins(retention)
        await config.write(self.connection, "retention", value, self.now, "test")
        for wanted in plan(retention):
            await tiers.want(self.connection, wanted)

    async def ingest(self, age_s: int, count: int, spacing_s: int) -> None:
        newest = self.now - timedelta(seconds=age_s)
        await self.send(
            [
                Sample(SERIES[i % 4], newest - timedelta(seconds=i * spacing_s), (i * 7) % 101 / 4)
                for i in range(count)
            ]
        )

    async def fill(self, days: int) -> None:
        """Take a sample of each series every half an hour of the days until now."""
        await self.ingest(age_s=0, count=days * 48 * len(SERIES), spacing_s=1800 // len(SERIES))

    async def replay(self) -> None:
        for batch in self.batches[-2:]:
            await self.send(batch)

    async def send(self, batch: list[Sample]) -> None:
        """Send what the horizon lets through, and remember the first value of each key."""
        accepted_from = await tiers.accepted_from(self.connection, self.now)
        taken = [s for s in batch if accepted_from is None or s.time >= accepted_from]
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
        self.acknowledged = {
            (series, time): value
            for (series, time), value in self.acknowledged.items()
            if time >= self.oldest(SERIES[series].metric)
        }

    def oldest(self, metric: str) -> datetime:
        """Return the start of the first day that a metric is kept."""
        policy = self.retention.metrics.get(metric)
        if policy is None or policy.keep_days is None:
            return EVER
        kept = self.now - timedelta(days=policy.keep_days)
        return kept.replace(hour=0, minute=0, second=0, microsecond=0)

    async def quiet(self) -> None:
        """Wait until nobody else looks at old rows, which keep their room as long as that."""
        async with asyncio.timeout(60):
            while await self._onlookers():
                await asyncio.sleep(0.1)

    async def _onlookers(self) -> bool:
        cursor = await self.connection.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "               AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid())"
        )
        [(found,)] = await cursor.fetchall()
        return bool(found)

    async def verify(self) -> None:
        """Compare every tier, row by row, with what the acknowledged samples give."""
        for tier in await tiers.read(self.connection):
            if tier.name not in TIERS:
                continue
            dropped_to = tier.dropped_to or EVER
            expected = recompute(self.acknowledged, tier.name)
            rows = await self.read(tier)
            assert since(rows, dropped_to) == since(expected, dropped_to), tier.name

    async def read(self, tier: tiers.Tier) -> Rows:
        width_s, roll_up = TIERS[tier.name]
        cursor = await self.connection.execute(
            f"SELECT metric, component, r.{'bucket' if width_s else 'time'}, {COLUMNS[roll_up]} "
            f"FROM {tier.relation} r JOIN series s ON s.id = r.series_id"
        )
        parts = 4 if roll_up is buckets else 3
        numbers = {(series.metric, series.component): i for i, series in enumerate(SERIES)}
        return {
            (numbers[row[0], row[1]], *row[2:parts]): row[parts:] for row in await cursor.fetchall()
        }


def since(rows: Rows, time: datetime) -> Rows:
    return {key: row for key, row in rows.items() if key[1] >= time}


def recompute(acknowledged: Mapping[Key, float], tier: str) -> Rows:
    """Roll samples up in plain Python."""
    width_s, roll_up = TIERS[tier]
    grouped: dict[Key, list[tuple[datetime, float]]] = defaultdict(list)
    for (series, time), value in sorted(acknowledged.items()):
        start = time
        if width_s:
            start = datetime.fromtimestamp(time.timestamp() // width_s * width_s, UTC)
        grouped[series, start].append((time, value))
    return {
        (*key, *part): row
        for key, values in grouped.items()
        for part, row in roll_up(key[0], values).items()
    }


def samples(_: int, values: Values) -> Rows:
    [(_, value)] = values
    return {(): (value,)}


def moments(_: int, values: Values) -> Rows:
    v = [value for _, value in values]
    return {(): (len(v), sum(v), min(v), max(v), v[0], v[-1])}


def counters(series: int, values: Values) -> Rows:
    if series != COUNTER:
        return {}
    v = [value for _, value in values]
    resets = sum(before for before, after in pairwise(v) if after < before)
    return {(): (values[0][0], values[-1][0], v[0], v[-1], resets)}


def buckets(series: int, values: Values) -> Rows:
    if series != DISTRIBUTION:
        return {}
    counts = Counter(log_bucket(value) for _, value in values)
    return {(bucket,): (count,) for bucket, count in counts.items()}


def log_bucket(value: float) -> int:
    return 0 if value == 0 else 18000 + math.ceil(math.log(value) / math.log(1.02))


TIERS: dict[str, tuple[int, Callable[[int, Values], Rows]]] = {
    "raw": (0, samples),
    "1m": (60, moments),
    "5m": (300, moments),
    "1h": (3600, moments),
    "1d": (86400, moments),
    "counters_5m": (300, counters),
    "counters_1h": (3600, counters),
    "counters_1d": (86400, counters),
    "distributions": (0, buckets),
    "distributions_5m": (300, buckets),
    "distributions_1h": (3600, buckets),
    "distributions_1d": (86400, buckets),
}
COLUMNS = {
    samples: "value",
    moments: "count, sum, min, max, first, last",
    counters: "first_time, last_time, first, last, resets",
    buckets: "log_bucket, count",
}
