"""History of a histogram equals the sender's observations, at any step and in groups."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from api.ingest.formats.otlp import OtlpCache
from db.queries import Pool
from model.principal import Role
from model.times import micros_of, parse_duration, utc_now
from retention import tiers
from tests.api.ingest.otlp_requests import CUMULATIVE, DELTA, attributes, message
from tests.api.metrics import exporting
from tests.api.metrics.asking import ask

PATH = "/api/v1/monitoring/ingest/otlp/v1/metrics"
BOUNDS = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
MADE: dict[str, Callable[[list[float]], Any]] = {
    "avg": lambda values: sum(values) / len(values) if values else None,
    "count": len,
    "max": lambda values: max(values, default=None),
    "min": lambda values: min(values, default=None),
    "sum": sum,
}
KNOWN = list(MADE)
HOSTS = ("a", "b")
EVERY_S, POINTS = 20, 180

Observed = dict[int, list[float]]
"""What was observed up to each time since the one before."""


def observed(chance: random.Random) -> Observed:
    """Values of an hour until now; at some times there are none, and once they begin anew."""
    end = int(utc_now().timestamp())
    times = range(end - EVERY_S * POINTS, end, EVERY_S)
    return {
        time: [chance.uniform(1.5, 90) for _ in range(chance.choice([0, 1, 3, 50]))]
        for time in times
    }


def points(reported: Observed, temporality: int) -> list[dict[str, Any]]:
    """Return the points of a sender; one that counts on starts again in the middle."""
    times, lists = list(reported), list(reported.values())
    restart = len(lists) // 2
    if temporality == CUMULATIVE:
        lives = lists[:restart], lists[restart:]
        lists = [all_of for life in lives for all_of in accumulate(life, list.__add__)]
    found = []
    for number, (time, values) in enumerate(zip(times, lists, strict=True)):
        begun = times[restart] - 1 if number >= restart else times[0] - 1
        counts = np.bincount(np.searchsorted(BOUNDS, values), minlength=len(BOUNDS) + 1)
        found.append(
            {
                "timeUnixNano": time * 10**9,
                "startTimeUnixNano": begun * 10**9,
                "count": len(values),
                "sum": sum(values),
                "explicitBounds": BOUNDS,
                "bucketCounts": counts.tolist(),
            }
        )
    return found


@pytest.fixture
def memory(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that runs for longer than the senders of a test."""
    began = micros_of(utc_now() - timedelta(hours=2))
    monkeypatch.setattr(service.context.receivers, "otlp", OtlpCache(began))


async def send(service: Any, host: str, reported: Observed, temporality: int = CUMULATIVE) -> None:
    data = {"aggregationTemporality": temporality, "dataPoints": points(reported, temporality)}
    for point in data["dataPoints"]:
        point["attributes"] = attributes(host=host)
    headers = {
        "Authorization": f"Bearer {service.keys[Role.INGEST]}",
        "Content-Type": "application/x-protobuf",
    }
    body = message({"name": "took", "unit": "ms", "histogram": data}, {"service.name": "shop"})
    async with service.http.post(
        service.url + PATH, data=body.SerializeToString(), headers=headers
    ) as answer:
        assert (answer.status, await answer.read()) == (200, b"")


def expected(
    tellings: Sequence[Observed], start: int, step_s: int, made: Callable[[list[float]], Any]
) -> Any:
    """Return an aggregate of what was observed in a bucket; None where there was no point."""
    inside = [
        v for reported in tellings for t, v in reported.items() if start <= t < start + step_s
    ]
    values = [value for some in inside for value in some]
    return made(values) if inside else None


def check(body: Any, line: Any, tellings: Sequence[Observed]) -> None:
    """Hold what was answered against what was observed; extremes are known by their bucket."""
    for at, start in enumerate(body["time"]):
        given = {name: line["values"][name][at] for name in KNOWN}
        wanted = {
            name: expected(tellings, start, body["step_s"], made) for name, made in MADE.items()
        }
        for name in ("count", "sum", "avg"):
            if wanted[name] is not None:
                wanted[name] = pytest.approx(wanted[name])
            assert given[name] == wanted[name], (name, start)
        for name in ("min", "max"):
            assert (given[name] is None) == (wanted[name] is None), (name, start)
            if wanted[name] is not None:
                above = int(np.searchsorted(BOUNDS, wanted[name]))
                assert BOUNDS[above - 1] / 1.02 < given[name] < BOUNDS[above] * 1.02


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("temporality", [CUMULATIVE, DELTA])
@pytest.mark.parametrize("way", ["as written", "rolled up"])
async def test_a_histogram_answers_at_every_step_and_over_a_group(
    service: Any, pool: Pool, temporality: int, way: str
) -> None:
    reported = {host: observed(random.Random(host)) for host in HOSTS}
    for host, one in reported.items():
        await send(service, host, one, temporality)
    if way == "rolled up":
        async with pool.connection() as connection:
            await tiers.maintain(connection, utc_now())
    start = min(min(one) for one in reported.values())

    for step in ("1m", "5m", "15m", "1h"):
        step_s = int(parse_duration(step))
        query = {"metric": "took", "agg": ",".join([*KNOWN, "p50"]), "step": step}
        query["start"] = datetime.fromtimestamp(start // step_s * step_s, UTC).isoformat()
        whole = await ask(service, **query, group_by="")
        each = await ask(service, **query)

        [together] = whole["series"]
        check(whole, together, list(reported.values()))
        assert {one["labels"]["host"] for one in each["series"]} == set(HOSTS)
        for one in each["series"]:
            check(each, one, [reported[one["labels"]["host"]]])
            seen = [share is not None for share in one["coverage"]]
            assert seen == [count is not None for count in one["values"]["count"]]
            assert max(share or 0 for share in one["coverage"]) > 0.3


@pytest.mark.usefixtures("memory")
async def test_unknown_aggregates_of_a_histogram_are_refused_with_the_alternatives(
    service: Any,
) -> None:
    await send(service, "a", observed(random.Random(1)))

    answer = await service.get("/metrics/history", metric="took", agg="avg,stddev,rate")

    assert answer.status == 400
    assert (
        "has avg, count, max, min, sum and percentiles, but no stddev, rate"
        in (answer.body["detail"])
    )
    assert "query took_count" in answer.body["detail"]


@pytest.mark.usefixtures("memory")
async def test_an_export_has_the_same_columns(service: Any) -> None:
    await send(service, "a", observed(random.Random(1)))
    query = {"metric": "took", "agg": "avg,count,max", "step": "5m", "start": "-2h"}
    body = await ask(service, **query)

    rows = await exporting.rows(service, "csv", **query)

    [line] = body["series"]
    kept = [at for at, count in enumerate(line["values"]["count"]) if count is not None]
    assert len(kept) > 10
    for name in ("avg", "count", "max"):
        assert [row[name] for row in rows] == [line["values"][name][at] for at in kept]


@pytest.mark.usefixtures("memory")
async def test_a_comparison_knows_histograms_too(service: Any) -> None:
    await send(service, "a", observed(random.Random(1)))

    body = await ask(service, metric="took", agg="avg", step="15m", start="-30m", compare="30m")

    [line] = body["series"]
    then = line["compare"]["30m"]["values"]["avg"]
    assert any(value is not None for value in then)


async def test_samples_of_a_distribution_outweigh_what_looks_like_its_parts(service: Any) -> None:
    now = int(utc_now().timestamp())
    reported = {"component": "app", "times": [now - 60, now - 30]}
    columns = [
        {**reported, "metric": "took", "kind": "distribution", "values": [1.0, 3.0]},
        {**reported, "metric": "took_count", "kind": "counter", "values": [10.0, 90.0]},
        {**reported, "metric": "took_sum", "kind": "counter", "values": [10.0, 900.0]},
    ]
    assert (await service.post("/metrics", {"series": columns}, Role.INGEST)).status == 200

    body = await ask(service, metric="took", agg="avg,count,stddev", step="1h", start="-1h")

    [line] = body["series"]
    assert sum(count or 0 for count in line["values"]["count"]) == 2
    assert {value for value in line["values"]["avg"] if value is not None} <= {1.0, 2.0, 3.0}
