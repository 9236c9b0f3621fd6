"""The newest value of each series, in the form that HTTP answers and live messages share."""

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
    """The newest sample of one series. `id` is 0 if its number is unknown."""

    id: int
    metric: str
    component: str
    category: str
    labels: dict[str, str]
    unit: str
    time: datetime
    value: float


class Changes(Struct, frozen=True):
    """The series that changed since an earlier call. `watermark` is for the next call."""

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
    """A metric: `value` and `time` of its series without labels, and `series` with labels."""

    unit: str
    value: float | UnsetType = UNSET
    time: datetime | UnsetType = UNSET
    series: list[LabelledValue] | UnsetType = UNSET


class ComponentNow(Struct):
    category: str
    metrics: dict[str, MetricNow] = msgspec.field(default_factory=dict)


class CurrentMetrics(Struct):
    """The metrics of every component. `time` is the time of the newest value, or None."""

    time: datetime | None = None
    components: dict[str, ComponentNow] = msgspec.field(default_factory=dict)

    def add(self, sample: Current) -> None:
        """Add the newest value of one series."""
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
    """Return the newest values by component and metric."""
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
    """Return the series that changed since the watermark of an earlier call, or all for None."""
    [found] = await queries.rows(connection, Changes, CHANGES, since=since)
    return found


async def values(connection: Connection, numbers: Sequence[int]) -> list[Current]:
    """Return the newest samples of the series with these numbers."""
    return await queries.rows(connection, Current, VALUES, numbers=list(numbers))


async def numbers(connection: Connection) -> set[int]:
    """Return the numbers of all series that have a newest sample."""
    cursor = await connection.execute(NUMBERS)
    return {number for (number,) in await cursor.fetchall()}
