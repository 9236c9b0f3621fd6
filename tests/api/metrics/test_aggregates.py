"""Every aggregate, at every step and from every tier, equals numpy's."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.queries import Pool
from model.series import Kind
from model.times import parse_duration
from retention import tiers
from tests.api.metrics.asking import (
    DAY_S,
    EVERY_AGGREGATE,
    START_S,
    ask,
    check,
    counter_value,
    distribution_value,
    gauge_value,
    grid_of,
    samples,
    series,
    store,
)

DAYS = 9
STEPS = {
    "7s": "raw", "1m": "1m", "5m": "5m", "7m": "1m", "1h": "1h", "6h": "1h", "1d": "1d", "3d": "1d"
}  # fmt: skip
ROLLED_UP = {
    Kind.GAUGE: ["avg", "min", "max", "sum", "count", "first", "last", "stddev"],
    Kind.COUNTER: ["count", "rate"],
    Kind.DISTRIBUTION: ["count", "p50", "p90", "p95", "p99"],
}
KINDS = {
    Kind.GAUGE: lambda: gauge_value,
    Kind.COUNTER: counter_value,
    Kind.DISTRIBUTION: lambda: distribution_value,
}


async def tell(service: Any, pool: Pool, way: str, chance: random.Random) -> dict[Kind, Any]:
    """Store samples of each kind, and return them; some come after their time was rolled up."""
    now = datetime.fromtimestamp(START_S, UTC) + timedelta(days=DAYS - 1.3)
    reported = {kind: samples(chance, value(), 2500, DAYS) for kind, value in KINDS.items()}
    late = {kind: dict(chance.sample(sorted(reported[kind].items()), 400)) for kind in KINDS}
    for kind, points in reported.items():
        early = {t: v for t, v in points.items() if t not in late[kind]}
        await store(service, series(kind.value, kind), early)
    async with pool.connection() as connection:
        if way == "compressed":
            for tier in await tiers.read(connection):
                wanted = tiers.Wanted(tier.name, None, timedelta(hours=1))
                await tiers.want(connection, wanted)
        if way != "as written":
            await tiers.maintain(connection, now)
        for kind in KINDS:
            again = dict.fromkeys(
                chance.sample(sorted(set(reported[kind]) - set(late[kind])), 50), -1.0
            )
            await store(service, series(kind.value, kind), late[kind] | again)
        if way != "as written":
            await tiers.maintain(connection, now)
    return reported


@pytest.mark.parametrize("way", ["as written", "rolled up", "compressed"])
async def test_every_aggregate_of_every_kind_equals_a_recomputation_at_every_step(
    service: Any, pool: Pool, way: str
) -> None:
    """Gaps, late samples, duplicates, resets, large means, all magnitudes and both signs.

    The last day is never rolled up. A percentile from a sketch is within 1 % of numpy's, unless it
    lies between a negative and a positive value: then within 1 % of the larger one.
    """
    reported = await tell(service, pool, way, random.Random(way))

    for step, tier in STEPS.items():
        for kind, points in reported.items():
            span = min(DAYS * DAY_S, 150 * parse_duration(step))
            start = max(START_S, sorted(points)[1000] - span / 2)
            query = {"metric": kind.value, "start": start, "end": start + span, "step": step}
            others = [name for name in EVERY_AGGREGATE if name not in ROLLED_UP[kind]]
            for names in (ROLLED_UP[kind], others):
                body = await ask(service, agg=names, **query)
                [found] = body["series"]
                sketch = kind is Kind.DISTRIBUTION
                check(found, [points], grid_of(body), sketch=sketch, where=(way, kind, step))
                # Only gauges are rolled up by minutes, and nothing for what others ask for.
                is_rolled_up = names != others and (kind is Kind.GAUGE or tier != "1m")
                assert body["tier"] == (tier if is_rolled_up else "raw"), (kind, step, names)


@pytest.mark.parametrize("step", ["15s", "5m", "1h", "1d"])
async def test_percentiles_stay_within_one_percent_at_any_zoom(service: Any, step: str) -> None:
    """Latencies as they are: log-normal, with a long tail."""
    chance = random.Random(step)
    points = {START_S + i * 4.0: chance.lognormvariate(3, 1.2) for i in range(6000)}
    await store(service, series("latency", Kind.DISTRIBUTION), points)

    body = await ask(
        service,
        metric="latency",
        start=START_S,
        end=START_S + 7 * 3600,
        step=step,
        agg="p50,p90,p95,p99",
    )

    check(body["series"][0], [points], grid_of(body), sketch=True, where=step)


async def test_a_rate_knows_each_reset_inside_of_a_bucket_and_between_two(service: Any) -> None:
    """The value before each reset is in no later value, and would otherwise be lost."""
    values = [10, 20, 5, 6, 7, 3, 100, 100, 0, 50]
    points = {START_S + 400.0 + 60 * i: float(v) for i, v in enumerate(values)}
    await store(service, series("requests_total", Kind.COUNTER), points)

    for step, rates in (
        ("1h", [(10 + 5 + 1 + 1 + 3 + 97 + 0 + 0 + 50) / 540]),
        ("5m", [None, (10 + 5 + 1) / 180, (1 + 3 + 97 + 0 + 0) / 300, 50 / 60]),
    ):
        body = await ask(
            service,
            metric="requests_total",
            start=START_S,
            end=START_S + 1000,
            step=step,
            agg="rate",
        )
        assert body["series"][0]["values"]["rate"] == pytest.approx(rates), step


async def test_a_rate_does_not_reach_over_an_empty_bucket(service: Any) -> None:
    points = {START_S + t: float(t) for t in (-10, 10, 50, 70, 200, 1000)}
    await store(service, series("n_total", Kind.COUNTER), points)

    body = await ask(
        service,
        metric="n_total",
        start=START_S,
        end=START_S + 1020,
        step="1m",
        agg=["rate", "count"],
    )

    known = {0: 1.0, 1: 1.0}
    assert body["series"][0]["values"]["rate"] == [known.get(i) for i in range(17)]
    assert body["series"][0]["values"]["count"][16] == 1


async def dropped(pool: Pool, days: int, *names: str) -> None:
    """Say that everything before the n-th day is gone of some tiers."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE tiers SET dropped_to = %s WHERE name = ANY (%s)",
            [datetime.fromtimestamp(START_S + days * DAY_S, UTC), list(names)],
        )


async def test_aggregates_that_need_dropped_samples_are_refused(service: Any, pool: Pool) -> None:
    for kind, value in KINDS.items():
        points = samples(random.Random(1), value(), 200, 2)
        await store(service, series(kind.value, kind), points)
    await dropped(pool, 5, "raw", "1m", "distributions")
    query = {"start": START_S, "end": START_S + 2 * DAY_S}

    for metric, agg, step, status in (
        ("gauge", "p95", "1h", 400),
        ("gauge", "rate", "1h", 400),
        ("gauge", "stddev", "1h", 200),
        ("counter", "rate", "5m", 200),
        ("counter", "rate", "1m", 400),
        ("counter", "p50", "5m", 400),
        ("distribution", "p50,p99", "5m", 200),
        ("distribution", "p50", "1m", 400),
        ("distribution", "rate", "1h", 400),
    ):
        answer = await service.get("/metrics/history", metric=metric, agg=agg, step=step, **query)
        assert answer.status == status, (metric, agg, step, answer.body)
        if status == 400:
            assert "kept only from 2026-01-06T00:00Z" in answer.detail
            assert "5m" in answer.detail

    both = await service.get(
        "/metrics/history", metric=["gauge", "distribution"], agg="p95", step="1h", **query
    )
    assert both.status == 400


async def test_the_tier_that_is_named_is_the_finest_that_was_read(service: Any) -> None:
    for kind, value in KINDS.items():
        await store(service, series(kind.value, kind), samples(random.Random(1), value(), 50, 1))
    query = {"start": START_S, "end": START_S + DAY_S, "step": "1h"}

    found = {
        (metric, agg): (await ask(service, metric=metric, agg=agg, **query))["tier"]
        for metric, agg in (
            ("gauge", "avg"), ("gauge", "avg,p95"), ("gauge", "rate"), ("counter", "rate"),
            ("distribution", "p95"), ("distribution", "rate"),
        )
    }  # fmt: skip

    assert found == {
        ("gauge", "avg"): "1h",
        ("gauge", "avg,p95"): "raw",
        ("gauge", "rate"): "raw",
        ("counter", "rate"): "1h",
        ("distribution", "p95"): "1h",
        ("distribution", "rate"): "raw",
    }


async def test_the_newest_bucket_is_in_the_answer_before_any_maintenance(
    service: Any, pool: Pool
) -> None:
    """Rolled up until an hour ago; the rest is computed as it is read."""
    now = datetime.now(UTC)
    points = {int(now.timestamp()) - 20 * i + 0.5: float(i % 17) for i in range(1, 400)}
    for kind in KINDS:
        await store(service, series(kind.value, kind), points)
    async with pool.connection() as connection:
        await tiers.maintain(connection, now - timedelta(hours=1))

    for kind in KINDS:
        body = await ask(service, metric=kind.value, start="-2h", step="5m", agg=EVERY_AGGREGATE)
        grid = grid_of(body)
        check(body["series"][0], [points], grid, sketch=kind is Kind.DISTRIBUTION, where=kind)
        partial = datetime.fromisoformat(body["partial_from"]).timestamp()
        assert partial == body["time"][-1] <= now.timestamp()
        assert body["series"][0]["values"]["count"][-2] == 15
