"""Common parts of history tests: series, random samples of each kind, and queries."""

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from history.grid import Grid
from model.series import Kind, Sample, Series, labels_of
from samples.write_batch import write_batch_of
from tests.api.metrics.recomputation import Samples, buckets, differences

START_S = 1_767_225_600
"""The first second of 2026."""
DAY_S = 86400
EVERY_AGGREGATE = [
    "avg", "min", "max", "sum", "count", "first", "last", "stddev", "rate",
    "p50", "p90", "p95", "p99",
]  # fmt: skip
GROUPABLE = [name for name in EVERY_AGGREGATE if name not in {"first", "last"}]


def series(metric: str, kind: Kind = Kind.GAUGE, component: str = "app", **labels: str) -> Series:
    return Series(metric=metric, component=component, labels=labels_of(labels), kind=kind)


def gauge_value(chance: random.Random) -> float:
    """Return a value whose spread is far smaller than its mean."""
    return 1e9 + chance.gauss(0, 3)


def counter_value() -> Callable[[random.Random], float]:
    """Return what counts up, and starts again now and then."""
    total = 0.0

    def count(chance: random.Random) -> float:
        nonlocal total
        total = 0.0 if chance.random() < 0.1 else total + chance.randrange(1000) / 8
        return total

    return count


def distribution_value(chance: random.Random) -> float:
    """Return values over many magnitudes, of both signs, and zero."""
    way = chance.random()
    if way < 0.1:
        return 0.0
    return (-1 if way < 0.3 else 1) * 10 ** chance.uniform(-9, 12)


def samples(
    chance: random.Random, value: Callable[[random.Random], float], count: int, days: float
) -> dict[float, float]:
    """Return values at random times in clumps with gaps between, each an eighth of a second."""
    starts = [chance.uniform(0, days * DAY_S) for _ in range(12)]
    ends = days * DAY_S * 8 - 1
    times = {
        START_S
        + int(max(0, min(ends, 8 * (chance.choice(starts) + chance.expovariate(1 / 9000))))) / 8
        for _ in range(count)
    }
    return {time: value(chance) for time in sorted(times)}


async def store(service: Any, one: Series, points: Samples) -> None:
    await service.writer.store(
        write_batch_of([Sample(one, datetime.fromtimestamp(t, UTC), v) for t, v in points.items()])
    )


async def ask(service: Any, **query: Any) -> Any:
    answer = await service.get("/metrics/history", **query)
    assert answer.status == 200, answer.body
    return answer.body


def grid_of(body: Any, *, is_calendar: bool = False) -> Grid:
    """Return the buckets of an answer, in which days of a calendar are not equally long."""
    end = int(datetime.fromisoformat(body["end"]).timestamp())
    before = body["time"][0] - body["step_s"]
    return Grid([*body["time"], end], body["step_s"], before, is_calendar)


def check(
    found: Mapping[str, Any],
    reported: Sequence[Samples],
    grid: Grid,
    *,
    sketch: bool = False,
    where: Any = None,
) -> None:
    """Hold every column of one line of an answer against numpy."""
    for name, column in found["values"].items():
        wrong = differences(name, column, reported, grid, sketch=sketch)
        assert not wrong, (name, where, wrong[:3])
    seen = [share is not None for share in found["coverage"]]
    assert seen == [bool(values) for values in buckets(reported, grid)], where
