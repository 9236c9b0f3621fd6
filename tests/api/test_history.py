"""History: the arithmetic is that of the raw samples, on a grid that anyone can compute."""

import math
import random
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest

from db import tiers
from db.queries import Pool
from vigia.model import Sample, Series, labels_of

AGGREGATES = ["avg", "min", "max", "sum", "count", "first", "last"]
Points = dict[int, list[tuple[float, float]]]


def series(metric: str = "load", component: str = "app", **labels: str) -> Series:
    return Series(metric=metric, component=component, labels=labels_of(labels))


async def store(service: Any, one: Series, points: dict[float, float]) -> None:
    await service.writer.write(
        [Sample(one, datetime.fromtimestamp(t, UTC), value) for t, value in points.items()]
    )


def expected(points: dict[float, float], start: int, end: int, step: int) -> dict[str, list[Any]]:
    """Recompute every aggregate from the samples."""
    buckets = defaultdict(list)
    for t in sorted(points):
        buckets[int(t // step) * step].append(points[t])
    columns: dict[str, list[Any]] = {name: [] for name in AGGREGATES}
    for t in range(start, end, step):
        values = buckets.get(t)
        columns["avg"].append(math.fsum(values) / len(values) if values else None)
        columns["min"].append(min(values) if values else None)
        columns["max"].append(max(values) if values else None)
        columns["sum"].append(math.fsum(values) if values else None)
        columns["count"].append(len(values) if values else None)
        columns["first"].append(values[0] if values else None)
        columns["last"].append(values[-1] if values else None)
    return columns


def close(found: list[Any], wanted: list[Any]) -> bool:
    return len(found) == len(wanted) and all(
        (a is None and b is None)
        or (None not in {a, b} and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9))
        for a, b in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("step", [7, 15, 60, 420, 300, 3600, 86400])
@pytest.mark.parametrize("rolled_up", [False, True])
async def test_every_aggregate_equals_a_recomputation_from_the_samples(
    service: Any, pool: Pool, step: int, rolled_up: bool
) -> None:
    chance = random.Random(step)
    now = int(time.time())
    start = now - min(400 * step, 10 * 86400)
    points = {
        start + chance.uniform(0, now - start): chance.uniform(-1e6, 1e6) for _ in range(2000)
    }
    points = {round(t, 3): value for t, value in points.items()}
    await store(service, series(), points)
    if rolled_up:
        async with pool.connection() as connection:
            await tiers.maintain(connection, datetime.now(UTC))

    answer = await service.get(
        "/metrics/history", metric="load", start=start, end=now, step=f"{step}s", agg=AGGREGATES
    )

    body = answer.body
    first, last = start // step * step, -(-now // step) * step
    assert body["step_s"] == step
    assert body["time"] == list(range(first, last, step))
    assert datetime.fromisoformat(body["start"]).timestamp() == first
    assert datetime.fromisoformat(body["end"]).timestamp() == last
    [found] = body["series"]
    assert set(found["values"]) == set(AGGREGATES)
    wanted = expected(points, first, last, step)
    for name in AGGREGATES:
        assert close(found["values"][name], wanted[name]), name
    assert [c is None for c in found["coverage"]] == [c is None for c in wanted["count"]]


async def test_the_tier_is_the_coarsest_that_folds_into_the_step(service: Any) -> None:
    await store(service, series(), {time.time(): 1.0})
    tiers_found = {}
    for step in ("15s", "90s", "1m", "2m", "5m", "7m", "10m", "1h", "2h", "1d", "7d"):
        answer = await service.get("/metrics/history", metric="load", step=step)
        tiers_found[step] = answer.body["tier"]

    assert tiers_found == {
        "15s": "raw", "90s": "raw", "1m": "1m", "2m": "1m", "5m": "5m", "7m": "1m", "10m": "5m",
        "1h": "1h", "2h": "1h", "1d": "1d", "7d": "1d",
    }  # fmt: skip


async def test_without_more_it_is_the_average_of_the_last_hour(service: Any) -> None:
    now = time.time()
    await store(service, series(), {now - i * 15: 2.0 for i in range(200)})

    body = (await service.get("/metrics/history", metric="load")).body

    assert body["step_s"] == 15
    assert list(body["series"][0]["values"]) == ["avg"]
    assert 240 <= len(body["time"]) <= 242
    assert body["time"][-1] <= time.time() < body["time"][-1] + 16
    assert datetime.fromisoformat(body["partial_from"]).timestamp() == body["time"][-1]
    assert body["series"][0]["coverage"][-3] == 1


async def test_a_range_of_the_past_is_whole(service: Any) -> None:
    answer = await service.get("/metrics/history", metric="load", start="-2h", end="-1h")

    assert answer.body["partial_from"] is None
    assert answer.body["series"] == []


@pytest.mark.parametrize(
    ("start", "points", "step"),
    [
        ("-1h", 500, 15),
        ("-24h", 500, 300),
        ("-7d", 500, 1800),
        ("-30d", 500, 7200),
        ("-5m", 2, 300),
        ("-365d", 11000, 3600),
        ("-10000d", 500, 21 * 86400),
    ],
)
async def test_auto_takes_a_round_step_for_the_points(
    service: Any, start: str, points: int, step: int
) -> None:
    body = (await service.get("/metrics/history", metric="m", start=start, points=points)).body

    assert body["step_s"] == step
    assert len(body["time"]) <= points


async def test_auto_takes_a_step_for_which_there_still_are_samples(
    service: Any, pool: Pool
) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE tiers SET dropped_to = now() - interval '10 days' WHERE name IN ('raw', '1m')"
        )

    body = (await service.get("/metrics/history", metric="m", start="-20d", end="-479h")).body

    assert (body["step_s"], body["tier"]) == (300, "5m")


async def test_series_are_chosen_by_component_and_labels(service: Any) -> None:
    now = time.time()
    for one in (
        series("a", "x", disk="sda", host="h"),
        series("a", "x", disk="sdb", host="h"),
        series("a", "y"),
        series("b", "x"),
    ):
        await store(service, one, {now: 1.0})

    async def chosen(**query: Any) -> list[tuple[Any, ...]]:
        body = (await service.get("/metrics/history", **query)).body
        return [(s["metric"], s["component"], s["labels"].get("disk")) for s in body["series"]]

    assert await chosen(metric="a", component="x") == [("a", "x", "sda"), ("a", "x", "sdb")]
    assert await chosen(metric="a", **{"label.disk": "sdb"}) == [("a", "x", "sdb")]
    assert await chosen(metric="a", **{"label.disk": "sdb", "label.host": "no"}) == []
    assert await chosen(metric=["b", "a", "b"], component="x", **{"label.disk": "sda"}) == [
        ("a", "x", "sda")
    ]
    assert await chosen(metric=["a", "b"]) == [
        ("a", "x", "sda"), ("a", "x", "sdb"), ("a", "y", None), ("b", "x", None)
    ]  # fmt: skip


async def test_fill_none_leaves_out_the_times_without_any_sample(service: Any) -> None:
    base = int(time.time()) // 60 * 60 - 600
    await store(service, series("a"), {base: 1.0, base + 120: 3.0})
    await store(service, series("b"), {base + 240: 2.0})
    query = {"metric": ["a", "b"], "start": base, "end": base + 300, "step": "60"}

    filled = (await service.get("/metrics/history", **query)).body
    short = (await service.get("/metrics/history", fill="none", **query)).body

    assert filled["time"] == [base + 60 * i for i in range(5)]
    assert [s["values"]["avg"] for s in filled["series"]] == [
        [1, None, 3, None, None], [None, None, None, None, 2]
    ]  # fmt: skip
    assert short["time"] == [base, base + 120, base + 240]
    assert [s["values"]["avg"] for s in short["series"]] == [[1, 3, None], [None, None, 2]]
    assert [len(s["coverage"]) for s in short["series"]] == [3, 3]


async def test_coverage_is_samples_seen_over_samples_expected(service: Any) -> None:
    base = int(time.time()) // 300 * 300 - 3000
    ours = {base + i * 15: 1.0 for i in range(60) if not 20 <= i < 30}
    theirs = {base + i * 60: 1.0 for i in range(15) if i != 5}
    often = {base + i: 1.0 for i in range(900)}
    for name, points in (("ours", ours), ("theirs", theirs), ("often", often)):
        await store(service, series(name), points)
    query = {"start": base, "end": base + 900, "step": "5m"}

    found = {}
    for name in ("ours", "theirs", "often"):
        body = (await service.get("/metrics/history", metric=name, **query)).body
        found[name] = body["series"][0]["coverage"]

    assert found == {"ours": [1, 0.5, 1], "theirs": [1, 0.8, 1], "often": [1, 1, 1]}


async def test_many_series_are_read_in_portions_and_all_arrive(service: Any) -> None:
    now = int(time.time())
    times = [datetime.fromtimestamp(now - i * 15, UTC) for i in range(10)]
    await service.writer.write(
        [Sample(series("m", n=f"{n:03}"), t, float(n)) for n in range(200) for t in times]
    )

    body = (await service.get("/metrics/history", metric="m", start="-1h", step="15")).body

    assert len(body["series"]) == 200
    for n, one in enumerate(body["series"]):
        assert {v for v in one["values"]["avg"] if v is not None} == {float(n)}
        assert sum(v is not None for v in one["values"]["avg"]) == 10


async def test_too_many_series_are_refused(service: Any) -> None:
    now = datetime.now(UTC)
    await service.writer.write([Sample(series("m", n=str(n)), now, 1.0) for n in range(1001)])

    answer = await service.get("/metrics/history", metric="m")

    assert answer.status == 400
    assert "1000 series" in answer.detail


async def test_a_refusal_names_the_limit_and_a_step_that_fits(service: Any) -> None:
    answer = await service.get("/metrics/history", metric="m", start="-30d", step="15s")

    assert answer.status == 400
    assert "11000" in answer.detail
    assert "step that fits is 5m" in answer.detail
    assert (
        await service.get("/metrics/history", metric="m", start="-30d", step="5m")
    ).status == 200


async def test_what_is_not_there_yet_is_said_by_name(service: Any) -> None:
    for query, word in (
        ({"agg": "p95"}, "avg, min, max"),
        ({"agg": ["avg", "rate"]}, "avg, min, max"),
        ({"fill": "linear"}, "none"),
        ({"format": "csv"}, "json"),
        ({"tz": "Europe/Berlin"}, "UTC"),
        ({"group_by": "host"}, "group_by"),
        ({"compare": "7d"}, "compare"),
        ({"componet": "x"}, "componet"),
    ):
        answer = await service.get("/metrics/history", metric="m", **query)
        assert answer.status == 400, query
        assert word in answer.detail
    for query in ({"format": "json"}, {"tz": "UTC"}):
        assert (await service.get("/metrics/history", metric="m", **query)).status == 200
