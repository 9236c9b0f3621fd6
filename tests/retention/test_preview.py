"""A preview names exactly what the maintenance then drops."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from config.model import MetricRetention, Retention
from db.queries import Connection, Pool
from retention import usage as storage
from retention.preview import preview
from retention.usage import Preview
from tests.retention.simulation import METRICS, RESET, START, Simulation

FULL = Retention(
    raw_days=9,
    rollup_1m_days=5,
    rollup_5m_days=14,
    rollup_1h_days=40,
    rollup_1d_days=100,
    compress_after_days=1,
)
Rows = dict[tuple[str, Any], tuple[int, int]]
MAPS_BYTES = 6 * 8192
"""A server's own vacuum may add its maps to a chunk and its indexes at any time."""


async def chunks(connection: Connection) -> Rows:
    return {
        (chunk.tier, chunk.start_time): (chunk.rows, chunk.bytes)
        for chunk in await storage.chunks(connection)
    }


async def rows_of(connection: Connection, metric: str) -> dict[str, int]:
    """Count the rows of a metric in every tier."""
    cursor = await connection.execute("SELECT name, hyper::text FROM series_tiers()")
    found = {}
    for name, table in await cursor.fetchall():
        counted = await connection.execute(
            f"SELECT count(*) FROM {table} JOIN series ON id = series_id WHERE metric = %s",
            [metric],
        )
        [(found[name],)] = await counted.fetchall()
    return found


async def full_simulation(connection: Connection) -> Simulation:
    await connection.execute(RESET)
    simulation = Simulation(connection)
    await simulation.apply(Retention(raw_days=30, compress_after_days=1))
    await simulation.fill(days=16)
    await simulation.maintain()
    await simulation.apply(FULL)
    await simulation.ingest(age_s=5 * 86400, count=50, spacing_s=60)
    await simulation.maintain()
    await simulation.maintain()
    return simulation


def check(reported: Preview, before: Rows, after: Rows) -> None:
    """Compare what was told with what then was there."""
    for tier in reported.tiers:
        own = {start for name, start in before if name == tier.name}
        left = {start for name, start in after if name == tier.name}
        assert {chunk.start for chunk in tier.dropped} == own - left, tier.name
        for chunk in tier.dropped:
            rows, size = before[tier.name, chunk.start]
            assert chunk.rows == rows
            assert chunk.bytes == pytest.approx(size, abs=MAPS_BYTES)
        assert tier.rows_before == sum(before[tier.name, start][0] for start in own)
        assert tier.rows_after == sum(after[tier.name, start][0] for start in left), tier.name
        assert tier.bytes_before - tier.bytes_after == sum(c.bytes for c in tier.dropped)
    for name in ("rows_before", "rows_after", "bytes_before", "bytes_after"):
        assert getattr(reported, name) == sum(getattr(tier, name) for tier in reported.tiers)


days = st.floats(4, 18)
retentions = st.builds(
    lambda chain, minute, last, metrics: msgspec.structs.replace(
        FULL,
        raw_days=min(chain),
        rollup_1m_days=min(minute, *chain),
        rollup_5m_days=sorted(chain)[1],
        rollup_1h_days=sorted(chain)[2],
        rollup_1d_days=last,
        metrics={metric: MetricRetention(keep_days=kept) for metric, kept in metrics.items()},
    ),
    st.tuples(days, days, days),
    st.floats(0.5, 10),
    st.none() | st.floats(18, 90),
    st.dictionaries(st.sampled_from(METRICS), st.floats(1, 18)),
)


@pytest.mark.timeout(600)
@settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=retentions)
@example(wanted=msgspec.structs.replace(FULL, raw_days=4, rollup_1m_days=1, rollup_5m_days=6))
@example(wanted=msgspec.structs.replace(FULL, metrics={"m_percent": MetricRetention(keep_days=5)}))
async def test_a_preview_names_exactly_what_then_disappears(pool: Pool, wanted: Retention) -> None:
    async with pool.connection() as connection:
        simulation = await full_simulation(connection)
        before = await chunks(connection)
        rows_before = {metric: await rows_of(connection, metric) for metric in METRICS}
        reported = await preview(connection, wanted, simulation.now)
        assert {k: rows for k, (rows, _) in (await chunks(connection)).items()} == {
            k: rows for k, (rows, _) in before.items()
        }

        await simulation.apply(wanted)
        await simulation.maintain()
        await simulation.maintain()
        after = await chunks(connection)
        check(reported, before, after)
        if not any(tier.dropped for tier in reported.tiers):
            for metric in METRICS:
                gone = {part.tier: part.rows for part in reported.metrics if part.metric == metric}
                rows = await rows_of(connection, metric)
                assert {k: n - gone.get(k, 0) for k, n in rows_before[metric].items()} == rows


async def test_a_longer_age_drops_nothing_and_tells_when_it_is_reached(pool: Pool) -> None:
    async with pool.connection() as connection:
        simulation = await full_simulation(connection)
        wanted = msgspec.structs.replace(FULL, raw_days=13)
        reported = await preview(connection, wanted, simulation.now)
        before = await preview(connection, FULL, simulation.now)

    assert reported.rows_after == reported.rows_before == before.rows_before
    assert all(tier.dropped == [] for tier in [*reported.tiers, *before.tiers])
    raw = reported.tiers[0]
    assert (raw.keep_days_before, raw.keep_days_after) == (9, 13)
    assert raw.dropped_before is not None
    assert raw.dropped_before < START
    assert before.tiers[0].full_at is not None
    assert raw.full_at is not None
    assert (raw.full_at - before.tiers[0].full_at).days == 4


async def test_a_preview_of_an_empty_database_is_empty(pool: Pool) -> None:
    async with pool.connection() as connection:
        reported = await preview(connection, Retention(metrics={"x": MetricRetention(5)}), START)

    assert (reported.rows_before, reported.rows_after, reported.metrics) == (0, 0, [])
    assert all(tier.dropped == [] and tier.full_at is None for tier in reported.tiers)
