"""History equals the aggregates of raw samples, on a grid that anyone can compute."""

import asyncio
import re
import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from db.queries import Pool
from model.principal import Role
from model.series import Sample, Series, labels_of
from samples.write_batch import write_batch_of
from tests.api.conftest import BASE
from tests.api.turns import short_turns


def series(metric: str = "load", component: str = "app", **labels: str) -> Series:
    return Series(metric=metric, component=component, labels=labels_of(labels))


async def store(service: Any, one: Series, points: dict[float, float]) -> None:
    await service.writer.store(
        write_batch_of(
            [Sample(one, datetime.fromtimestamp(t, UTC), value) for t, value in points.items()]
        )
    )


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
    await service.declare("load")
    answer = await service.get("/metrics/history", metric="load", start="-2h", end="-1h")

    assert answer.body["partial_from"] is None
    [found] = answer.body["series"]
    assert set(found["values"]["avg"]) == {None}


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
    await service.declare("m")
    body = (await service.get("/metrics/history", metric="m", start=start, points=points)).body

    assert body["step_s"] == step
    assert len(body["time"]) <= points


async def test_an_unknown_metric_is_answered_with_the_nearest(service: Any) -> None:
    await service.declare("server_cpu_percent", "server_cpu_core_percent", "server_load1", "m")

    alike = await service.get("/metrics/history", metric=["m", "server_cpu_percnt"])
    unlike = await service.get("/metrics/history", metric="zzz", format="csv")

    meant = "did you mean 'server_cpu_percent' or 'server_cpu_core_percent'?"
    assert (alike.status, alike.detail) == (404, f"there is no metric 'server_cpu_percnt'; {meant}")
    assert (unlike.status, unlike.detail) == (
        404,
        "there is no metric 'zzz'; GET /metrics lists all series",
    )


async def test_a_known_metric_without_such_series_is_answered_without_any(service: Any) -> None:
    await service.declare("m")

    answer = await service.get("/metrics/history", metric="m", component="nobody")

    assert (answer.status, answer.body["series"]) == (200, [])


async def test_auto_takes_a_step_for_which_there_still_are_samples(
    service: Any, pool: Pool
) -> None:
    await service.declare("m")
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
    await service.writer.store(
        write_batch_of(
            [Sample(series("m", n=f"{n:03}"), t, float(n)) for n in range(200) for t in times]
        )
    )

    body = (await service.get("/metrics/history", metric="m", start="-1h", step="15")).body

    assert len(body["series"]) == 200
    for n, one in enumerate(body["series"]):
        assert {v for v in one["values"]["avg"] if v is not None} == {float(n)}
        assert sum(v is not None for v in one["values"]["avg"]) == 10


async def test_too_many_series_are_refused(service: Any) -> None:
    now = datetime.now(UTC)
    await service.writer.store(
        write_batch_of([Sample(series("m", n=str(n)), now, 1.0) for n in range(1001)])
    )

    answer = await service.get("/metrics/history", metric="m")

    assert answer.status == 400
    assert "1,000 series" in answer.detail


async def test_a_refusal_names_the_limit_and_a_step_that_fits(service: Any) -> None:
    await service.declare("m")
    answer = await service.get("/metrics/history", metric="m", start="-30d", step="15s")

    assert answer.status == 400
    assert "11,000" in answer.detail
    assert "step that fits is 5m" in answer.detail
    assert (
        await service.get("/metrics/history", metric="m", start="-30d", step="5m")
    ).status == 200


@pytest.mark.parametrize(
    ("query", "word", "step"),
    [
        ({"step": "15s", "agg": "avg"}, "values", "5m"),
        ({"step": "5m", "agg": "avg,max,min"}, "values", "10m"),
        ({"step": "auto", "points": 11000}, "values", "5m"),
        ({"step": "10m", "agg": "avg", "compare": "1d,7d,30d"}, "values", "1h"),
        ({"step": "1h", "agg": "avg", "compare": "1s"}, "rows", None),
        ({"step": "1h", "agg": "p95"}, "rows", None),
        ({"step": "7m", "agg": "avg"}, "rows", "10m"),
        ({"step": "1d", "tz": "Asia/Kolkata", "start": "-8d"}, "rows", None),
    ],
)
async def test_the_step_that_a_refusal_names_is_then_accepted(
    service: Any, monkeypatch: pytest.MonkeyPatch, query: dict[str, Any], word: str, step: str
) -> None:
    """Or none is named: of what must be read from samples, a wider step reads as much."""
    monkeypatch.setattr("history.grid.CELLS_MAX", 1000)
    monkeypatch.setattr("history.grid.ROWS_MAX", 2000)
    for host in "ab":
        await store(service, series("m", host=host), {time.time(): 1.0})
    asked = {"metric": "m", "start": "-1d", **query}

    refused = await service.get("/metrics/history", **asked)

    assert refused.status == 400
    assert f"{word}" in refused.detail
    advised = re.search(r"step that fits is (\w+)$", refused.detail)
    assert (advised and advised[1]) == step
    if step is None:
        assert refused.detail.endswith("choose a shorter range, fewer series or fewer aggregates")
    else:
        accepted = await service.get("/metrics/history", **{**asked, "step": step})
        assert accepted.status == 200, accepted.body


async def test_a_group_counts_once_in_the_size_of_an_answer(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history.grid.CELLS_MAX", 300)
    for n in range(20):
        await store(service, series("m", n=str(n)), {time.time(): 1.0})
    query = {"metric": "m", "start": "-1d", "step": "5m"}

    assert (await service.get("/metrics/history", **query)).status == 400
    assert (await service.get("/metrics/history", group_by="", **query)).status == 200


@pytest.mark.parametrize(
    ("start", "end"), [("0", "now"), ("0", "8589934592"), ("-36500d", "now"), ("now", "8589934592")]
)
async def test_auto_answers_for_any_range_there_is(service: Any, start: str, end: str) -> None:
    await store(service, series("m"), {time.time() - 86400: 2.0, time.time(): 4.0})
    if start == "-36500d":
        assert (await service.get("/metrics/history", metric="m", start=start)).status == 400
        return
    for points in (2, 500, 11000):
        query = {"metric": "m", "start": start, "end": end, "points": points, "agg": "sum"}
        body = (await service.get("/metrics/history", **query)).body
        assert len(body["time"]) <= points
        known = [v for v in body["series"][0]["values"]["sum"] if v is not None]
        assert sum(known) in ({6} if start == "0" else {4, 6})


async def test_gaps_are_filled_as_asked_and_coverage_still_tells_of_them(service: Any) -> None:
    base = int(time.time()) // 60 * 60 - 600
    await store(service, series("m"), {base + 60: 2.0, base + 240: 8.0})
    query = {"metric": "m", "start": base, "end": base + 360, "step": "60", "agg": "max"}

    for fill, values in (
        ("null", [None, 2, None, None, 8, None]),
        ("previous", [None, 2, 2, 2, 8, 8]),
        ("linear", [None, 2, 4, 6, 8, None]),
    ):
        [found] = (await service.get("/metrics/history", fill=fill, **query)).body["series"]
        assert found["values"]["max"] == values
        assert found["coverage"] == [None, 1, None, None, 1, None]


async def test_only_so_many_questions_are_answered_at_once_and_the_rest_soon_after(
    service: Any,
) -> None:
    await store(service, series("m"), {time.time() - i: 1.0 for i in range(100)})

    answers = await asyncio.gather(
        *(service.get("/metrics/history", metric="m", step="5m") for _ in range(36))
    )

    assert {answer.status for answer in answers} == {200}


async def test_an_answer_with_many_values_leaves_others_their_turns(service: Any) -> None:
    now = time.time()
    for number in range(100):
        await store(service, series(n=f"{number}"), {now - 280_000: 1.0, now - 60: 2.0})
    asked = {"metric": "load", "start": "-80h", "step": "30s", "fill": "linear"}

    url = f"{service.url}{BASE}/metrics/history"
    headers = {"Authorization": f"Bearer {service.keys[Role.VIEWER]}"}
    async with (
        short_turns(ms_max=50),
        service.http.get(url, params=asked, headers=headers) as answer,
    ):
        body = await answer.read()

    assert answer.headers["Content-Type"] == "application/json"
    found = msgspec.json.decode(body)
    assert len(found["time"]) * len(found["series"]) > 900_000
    assert all(value is not None for value in found["series"][7]["values"]["avg"][300:-10])
