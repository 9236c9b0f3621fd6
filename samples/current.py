"""The newest value of everything, in the one shape that answers and live messages share."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, Struct, UnsetType

from db import queries
from db.queries import Connection
from model.series import Sample

_QUERIES = queries.load(__file__)
CHANGES = _QUERIES["changes"]
VALUES = _QUERIES["values"]
NUMBERS = _QUERIES["numbers"]


class Current(Struct, frozen=True, gc=False):
    """The newest sample of one series; `id` is 0 where the number is not known."""

    id: int
    metric: str
    component: str
    category: str
    labels: dict[str, str]
    unit: str
    time: datetime
    value: float


class Changes(Struct, frozen=True):
    """What changed since an earlier look; `watermark` is where the next look begins."""

    watermark: str
    count: int
    """How many series have a newest sample."""
    numbers: list[int]


class LabelledValue(Struct, frozen=True):
    """The newest value of one series that has labels."""

    labels: dict[str, str]
    value: float
    time: datetime


class MetricNow(Struct):
    """A metric: `value` and `time` of the series without labels, `series` for those with."""

    unit: str
    value: float | UnsetType = UNSET
    time: datetime | UnsetType = UNSET
    series: list[LabelledValue] | UnsetType = UNSET


class ComponentNow(Struct):
    category: str
    metrics: dict[str, MetricNow] = msgspec.field(default_factory=dict)


class CurrentMetrics(Struct):
    """Every component's metrics; `time` is that of the newest value, None when there is none."""

    time: datetime | None = None
    components: dict[str, ComponentNow] = msgspec.field(default_factory=dict)

    def add(self, sample: Current) -> None:
        """Put one series' newest value in its place."""
        component = self.components.setdefault(sample.component, ComponentNow(sample.category))
        metric = component.metrics.setdefault(sample.metric, MetricNow(sample.unit))
        if not sample.labels:
            metric.value, metric.time = sample.value, sample.time
        else:
            if metric.series is UNSET:
                metric.series = []
            metric.series.append(LabelledValue(sample.labels, sample.value, sample.time))
        self.time = sample.time if self.time is None else max(self.time, sample.time)


def document(samples: Iterable[Current]) -> CurrentMetrics:
    """Arrange newest values by component and metric."""
    found = CurrentMetrics()
    for sample in samples:
        found.add(sample)
    return found


def of_sample(sample: Sample) -> Current:
    """Return a stored sample as the newest value of its series, rounded as it was stored."""
    return Current(
        id=0,
        metric=sample.series.metric,
        component=sample.series.component,
        category=sample.series.category,
        labels=dict(sample.series.labels),
        unit=sample.series.unit,
        time=sample.time,
        value=sample.series.round(sample.value),
    )


async def changes(connection: Connection, since: str | None) -> Changes:
    """Return which series changed since the watermark of an earlier look; None: all of them."""
    [found] = await queries.rows(connection, Changes, CHANGES, since=since)
    return found


async def values(connection: Connection, numbers: Sequence[int]) -> list[Current]:
    """Return the newest samples of series, by their numbers."""
    return await queries.rows(connection, Current, VALUES, numbers=list(numbers))


async def numbers(connection: Connection) -> set[int]:
    """Return the numbers of all series that have a newest sample."""
    cursor = await connection.execute(NUMBERS)
    return {number for (number,) in await cursor.fetchall()}
