"""Days of a calendar have 23, 24 or 25 hours, wherever a zone's clock changes."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db.queries import Pool
from history.grid import Grid
from model.series import Kind
from model.times import utc_now
from retention import tiers
from tests.api.metrics.asking import DAY_S, ask, check, grid_of, series, store

AGGREGATES = {
    Kind.GAUGE: "avg,min,max,sum,count,first,last,stddev",
    Kind.COUNTER: "rate",
    Kind.DISTRIBUTION: "p50,p95",
}


def midnight(day: date, zone: ZoneInfo) -> int:
    """Return the moment at which a day begins; where the clock jumps over it, that of the jump."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    return int(local.timestamp())


def days_of(zone: ZoneInfo, first: date, count: int, width: int = 1) -> Grid:
    days = [first + timedelta(days=width * n) for n in range(-1, count + 1)]
    before, *edges = dict.fromkeys(midnight(day, zone) for day in days)
    return Grid(edges, width * DAY_S, before, is_calendar=True)


def samples_every(grid: Grid, every_s: float) -> dict[float, float]:
    """Return samples from an hour before a grid to an hour after it, falling now and then."""
    start, seconds = grid.edges[0] - 3600, grid.seconds + 7200
    return {start + every_s * i: float(1 + i * 7 % 97) for i in range(int(seconds / every_s))}


CHANGES = [
    ("Europe/Lisbon", date(2026, 3, 28), 3, {23, 24}, "1h"),
    ("Europe/Lisbon", date(2026, 10, 24), 3, {24, 25}, "1h"),
    ("America/Sao_Paulo", date(2018, 11, 3), 3, {23, 24}, "1h"),
    ("Africa/Cairo", date(2026, 10, 29), 2, {24, 25}, "1h"),
    ("Asia/Kolkata", date(2026, 1, 1), 3, {24}, "5m"),
    ("Australia/Lord_Howe", date(2026, 4, 4), 3, {24, 24.5}, "5m"),
    ("Australia/Lord_Howe", date(2026, 10, 3), 3, {23.5, 24}, "5m"),
    ("Pacific/Apia", date(2011, 12, 29), 3, {24}, "1h"),
    ("Asia/Kathmandu", date(1985, 12, 31), 2, {23.75, 24}, "5m"),
]


@pytest.mark.parametrize("rolled_up", [False, True])
async def test_days_of_a_calendar_hold_what_was_measured_in_them(
    service: Any, pool: Pool, rolled_up: bool
) -> None:
    # To roll up forty years takes long, and the days of 2026 are of every kind but Samoa's.
    changes = [change for change in CHANGES if not rolled_up or change[1].year == 2026]
    grids = [days_of(ZoneInfo(name), first, count) for name, first, count, *_ in changes]
    reported = [samples_every(grid, 613.0) for grid in grids]
    for i, points in enumerate(reported):
        for kind in AGGREGATES:
            await store(service, series(kind.value, kind, component=str(i)), points)
    if rolled_up:
        async with pool.connection() as connection:
            await tiers.maintain(connection, datetime(2027, 1, 1, tzinfo=UTC))

    for i, (name, _, _, hours, tier) in enumerate(changes):
        assert {(b - a) / 3600 for a, b in pairwise(grids[i].edges)} == hours
        for kind, agg in AGGREGATES.items():
            body = await ask(
                service,
                metric=kind.value,
                component=str(i),
                start=grids[i].edges[0] + 60,
                end=grids[i].edges[-1] - 60,
                step="1d",
                tz=name,
                agg=agg,
            )
            assert body["time"] == list(grids[i].times)
            assert datetime.fromisoformat(body["end"]).timestamp() == grids[i].edges[-1]
            assert (body["step_s"], body["tier"]) == (DAY_S, tier)
            [line] = body["series"]
            check(
                line, [reported[i]], grids[i], sketch=kind is Kind.DISTRIBUTION, where=(name, kind)
            )
            assert line["coverage"] == pytest.approx([1] * grids[i].points, abs=0.02)


async def test_weeks_of_a_calendar_are_put_together_from_days(service: Any) -> None:
    """They begin on Thursdays, as multiples of seven days since the epoch do."""
    zone = ZoneInfo("Europe/Lisbon")
    grid = days_of(zone, date(2026, 3, 19), 3, width=7)
    reported = samples_every(grid, 3511.0)
    await store(service, series("m"), reported)

    body = await ask(
        service,
        metric="m",
        start=grid.edges[0],
        end=grid.edges[-1],
        step="7d",
        tz=zone.key,
        agg=AGGREGATES[Kind.GAUGE],
    )

    assert body["time"] == list(grid.times)
    assert [(b - a) / 3600 for a, b in pairwise(grid.edges)] == [168, 167, 168]
    check(body["series"][0], [reported], grid)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/Sao_Paulo", "Australia/Lord_Howe"])
@pytest.mark.parametrize("step", ["15m", "1h", "6h"])
async def test_steps_shorter_than_a_day_are_multiples_of_the_epoch_in_every_zone(
    service: Any, zone: str, step: str
) -> None:
    now = int(utc_now().timestamp())
    reported = {now - 600.0 * i: float(i % 11) for i in range(200)}
    await store(service, series("m"), reported)
    query = {"metric": "m", "start": now - DAY_S, "end": now, "step": step, "agg": "avg"}

    there, here = await ask(service, tz=zone, **query), await ask(service, **query)

    assert there == here
    assert all(time % there["step_s"] == 0 for time in there["time"])
    check(there["series"][0], [reported], grid_of(there))


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "Europe/Lisbon", "Pacific/Apia"])
async def test_auto_takes_days_of_the_calendar_for_a_long_range(service: Any, zone: str) -> None:
    await service.declare("m")
    start = datetime(2026, 1, 10, 12, tzinfo=UTC)
    end = start + timedelta(days=100)

    body = await ask(
        service, metric="m", start=start.isoformat(), end=end.isoformat(), points=150, tz=zone
    )

    assert body["step_s"] == DAY_S
    assert len(body["time"]) <= 150
    days = [datetime.fromtimestamp(t, ZoneInfo(zone)) for t in body["time"]]
    assert {(day.hour, day.minute) for day in days} == {(0, 0)}


async def test_today_is_partial_in_the_calendar_of_the_zone(service: Any) -> None:
    await service.declare("m")
    zone = ZoneInfo("Pacific/Apia")
    body = await ask(service, metric="m", start="-3d", step="1d", tz=zone.key)

    partial = datetime.fromisoformat(body["partial_from"])
    assert (
        partial.timestamp() == body["time"][-1] == midnight(partial.astimezone(zone).date(), zone)
    )
    assert partial <= utc_now() < partial + timedelta(days=1, minutes=1)


async def test_days_in_utc_are_read_from_the_roll_up_of_days(service: Any) -> None:
    await service.declare("m")
    body = await ask(service, metric="m", start="-9d", step="1d")
    assert body["tier"] == "1d"
    body = await ask(service, metric="m", start="-9d", step="1d", tz="UTC")
    assert body["tier"] == "1d"
