"""The newest value of everything, in the one shape that answers and live messages share."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec import UNSET, Struct, UnsetType

from db import series
from db.queries import Connection
from vigia.model import Sample


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

    def add(self, sample: series.Current) -> None:
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


async def read(connection: Connection, component: str | None = None) -> CurrentMetrics:
    """Return the newest value of every series, or of one component's."""
    return document(await series.current(connection, component))


def document(samples: Iterable[series.Current]) -> CurrentMetrics:
    """Arrange newest values by component and metric."""
    found = CurrentMetrics()
    for sample in samples:
        found.add(sample)
    return found


def of_sample(sample: Sample) -> series.Current:
    """Return a stored sample as the newest value of its series, rounded as it was stored."""
    return series.Current(
        id=0,
        metric=sample.series.metric,
        component=sample.series.component,
        category=sample.series.category,
        labels=dict(sample.series.labels),
        unit=sample.series.unit,
        time=sample.time,
        value=sample.series.round(sample.value),
    )
