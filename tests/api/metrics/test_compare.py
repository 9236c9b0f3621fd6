"""Earlier columns stand beside the present ones, bucket by bucket, with the change in percent."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db.queries import Pool
from history.grid import Grid
from model.series import Kind
from model.times import utc_now
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
from tests.api.metrics.recomputation import differences

DAYS = 12
AGGREGATES = {
    Kind.GAUGE: ["avg", "count", "stddev", "last"],
    Kind.COUNTER: ["rate", "max"],
    Kind.DISTRIBUTION: ["p50", "p99", "min"],
}


def percent(now: float | None, then: float | None) -> float | None:
    return None if now is None or then is None or then == 0 else 100 * (now - then) / abs(then)


def check_compared(
    line: Any, reported: dict[float, float], earlier: dict[str, Grid], *, sketch: bool = False
) -> None:
    """Hold earlier columns against numpy, and the change against the two columns themselves."""
    assert set(line["compare"]) == set(earlier)
    for text, buckets in earlier.items():
        compared = line["compare"][text]
        for name, column in line["values"].items():
            then = compared["values"][name]
            wrong = differences(name, then, [reported], buckets, sketch=sketch)
            assert not wrong, (text, name, wrong[:3])
            changes = [percent(a, b) for a, b in zip(column, then, strict=True)]
            assert compared["change_percent"][name] == changes


def shifted(body: Any, seconds: int) -> Grid:
    grid = grid_of(body)
    edges = [edge - seconds for edge in grid.edges]
    return Grid(edges, grid.step_s, grid.before - seconds)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("rolled_up", [False, True])
async def test_earlier_columns_are_what_the_question_would_have_told_then(
    service: Any, pool: Pool, kind: Kind, rolled_up: bool
) -> None:
    """Also when the way back is no multiple of the step, and the tiers do not fit its buckets."""
    value = {
        Kind.GAUGE: gauge_value,
        Kind.COUNTER: counter_value(),
        Kind.DISTRIBUTION: distribution_value,
    }[kind]
    reported = samples(random.Random(kind.value), value, 1500, DAYS)
    await store(service, series("m", kind), reported)
    if rolled_up:
        async with pool.connection() as connection:
            await tiers.maintain(connection, utc_now())

    for step, start_day in (("1d", 8), ("1h", 9), ("30m", 11), ("7m", 11.5)):
        body = await ask(
            service,
            metric="m",
            start=START_S + start_day * DAY_S,
            end=START_S + DAYS * DAY_S,
            step=step,
            agg=AGGREGATES[kind],
            compare=["1d,7d", "90m", "3601s"],
        )
        [line] = body["series"]
        sketch = kind is Kind.DISTRIBUTION
        check(line, [reported], grid_of(body), sketch=sketch, where=step)
        ways = {"1d": DAY_S, "7d": 7 * DAY_S, "90m": 5400, "3601s": 3601}
        earlier = {text: shifted(body, seconds) for text, seconds in ways.items()}
        check_compared(line, reported, earlier, sketch=sketch)


@pytest.mark.parametrize(
    ("zone", "start", "days", "ways"),
    [
        ("Europe/Lisbon", "2026-03-27", 5, {"1d": 1, "7d": 7}),
        ("Europe/Lisbon", "2026-10-24", 4, {"1d": 1, "7d": 7, "364d": 364}),
        ("Asia/Kolkata", "2026-01-02", 3, {"1d": 1}),
        ("Africa/Cairo", "2026-04-23", 4, {"1d": 1, "2d": 2}),
    ],
)
async def test_earlier_days_are_days_of_the_calendar_across_a_change_of_the_clock(
    service: Any, zone: str, start: str, days: int, ways: dict[str, int]
) -> None:
    local = ZoneInfo(zone)
    first = datetime.fromisoformat(start).replace(tzinfo=local)
    edges = [first + timedelta(days=n) for n in range(-1, days + 1)]
    spans = [0, *ways.values()]
    reported = {
        (edges[0] - timedelta(days=back)).timestamp() + 1117.0 * i: float((i * 7 + back) % 100 + 1)
        for back in spans
        for i in range(85 * (days + 1))
    }
    await store(service, series("m"), reported)

    body = await ask(
        service,
        metric="m",
        start=first.isoformat(),
        end=edges[-1].isoformat(),
        step="1d",
        tz=zone,
        agg=["avg", "count", "rate"],
        compare=list(ways),
    )

    def calendar(back: int) -> Grid:
        before, *rest = [int((edge - timedelta(days=back)).timestamp()) for edge in edges]
        return Grid(rest, DAY_S, before, is_calendar=True)

    [line] = body["series"]
    assert body["time"] == calendar(0).edges[:-1]
    check(line, [reported], calendar(0))
    check_compared(line, reported, {text: calendar(back) for text, back in ways.items()})


async def test_hours_go_back_by_hours_in_every_zone(service: Any) -> None:
    """Only days are of a calendar: an hour of Lisbon's short Sunday is compared 24 hours back."""
    first = int(datetime(2026, 3, 29, tzinfo=UTC).timestamp())
    reported = {first + 900.0 * i: float(i) for i in range(-96, 96)}
    await store(service, series("m"), reported)

    body = await ask(
        service,
        metric="m",
        start=first,
        end=first + DAY_S,
        step="1h",
        tz="Europe/Lisbon",
        compare="1d",
    )

    check_compared(body["series"][0], reported, {"1d": shifted(body, DAY_S)})


@pytest.mark.parametrize("step", ["1h", "auto", "1d"])
async def test_a_comparison_before_1970_is_refused(service: Any, step: str) -> None:
    await service.declare("m")
    answer = await service.get(
        "/metrics/history", metric="m", start="86400", end="172800", step=step, compare="60d"
    )

    assert answer.status == 400
    assert "before 1970" in answer.detail


async def test_days_of_a_calendar_are_compared_with_whole_days(service: Any) -> None:
    answer = await service.get(
        "/metrics/history", metric="m", start="-9d", step="1d", tz="Europe/Lisbon", compare="1h"
    )

    assert answer.status == 400
    assert "whole days" in answer.detail


async def test_a_comparison_counts_in_the_size_of_an_answer(service: Any) -> None:
    """Going back by a second, no roll-up fits: what would be read then is counted too."""
    await store(service, series("m"), {START_S: 1.0})
    query = {"metric": "m", "start": "-1000d", "step": "1d"}

    assert len((await ask(service, compare="1d", **query))["time"]) in {1000, 1001}
    refused = await service.get("/metrics/history", compare="1s", **query)

    assert refused.status == 400
    assert "rows" in refused.detail


async def test_groups_are_compared_as_groups_and_gaps_are_filled_on_both_sides(
    service: Any,
) -> None:
    for host, values in (("a", [1, None, 3, 4]), ("b", [10, None, None, 40])):
        points = {START_S + 60.0 * i: float(v) for i, v in enumerate(values) if v is not None}
        earlier = {t - 3600: v * 2 for t, v in points.items()}
        await store(service, series("m", host=host), points | earlier)
    query = {"metric": "m", "start": START_S, "end": START_S + 240, "step": "1m", "agg": "sum"}

    async def found(fill: str) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        body = await ask(service, group_by="", compare="1h", fill=fill, **query)
        [line] = body["series"]
        compared = line["compare"]["1h"]
        return line["values"]["sum"], compared["values"]["sum"], compared["change_percent"]["sum"]

    assert await found("null") == ([11, None, 3, 44], [22, None, 6, 88], [-50, None, -50, -50])
    assert await found("none") == ([11, 3, 44], [22, 6, 88], [-50, -50, -50])
    assert await found("previous") == ([11, 11, 3, 44], [22, 22, 6, 88], [-50] * 4)
    assert await found("linear") == ([11, 7, 3, 44], [22, 14, 6, 88], [-50] * 4)


async def test_there_is_no_change_from_nothing_and_none_from_zero(service: Any) -> None:
    now = {START_S + 60.0 * i: v for i, v in enumerate([5.0, 5.0, 0.0, -3.0])}
    then = {START_S - 3600.0: 0.0, START_S - 3600.0 + 120: 8.0, START_S - 3600.0 + 180: -6.0}
    await store(service, series("m"), now | then)

    body = await ask(service, metric="m", start=START_S, end=START_S + 300, step="1m", compare="1h")

    compared = body["series"][0]["compare"]["1h"]
    assert compared["change_percent"]["avg"] == [None, None, -100, 50, None]


async def test_every_aggregate_can_be_compared(service: Any) -> None:
    reported = samples(random.Random(5), gauge_value, 300, 2)
    await store(service, series("m"), reported)
    query = {"start": START_S + DAY_S, "end": START_S + 2 * DAY_S, "step": "3h"}

    body = await ask(service, metric="m", agg=EVERY_AGGREGATE, compare="1d", **query)

    check_compared(body["series"][0], reported, {"1d": shifted(body, DAY_S)})


async def test_without_a_comparison_there_is_no_word_of_it(service: Any) -> None:
    await store(service, series("m"), {START_S: 1.0})
    body = await ask(service, metric="m", start=START_S, end=START_S + 60)

    assert "compare" not in body["series"][0]
