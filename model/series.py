"""Series, and their samples as single objects or as columns."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from model.times import micros_of, time_of

# `vigia agent` imports this module on hosts without numpy. It needs no columns.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Labels = tuple[tuple[str, str], ...]
"""Label pairs sorted by name: hashable, so that a Series can be a cache key."""

COMPONENT_UP = "component_up"
"""1 while a component answers, 0 with a reason while it does not."""
SECURITY_EVENTS = "security_events"
SQL_RULE_ROWS = "sql_rule_rows"
"""How many rows the query of a SQL rule returned. A minute without this sample is a minute without
an answer."""
HOST_SILENT_SECONDS = "host_silent_seconds"
"""For how long a host has sent nothing. It has samples only while the host is silent, and a 0 when
it is back."""
HOST = "host"
"""The label that tells hosts apart."""
SELF_METRICS = frozenset({SECURITY_EVENTS, SQL_RULE_ROWS, HOST_SILENT_SECONDS})
"""Metrics that only Vigia itself may write. `component_up` is not one: clients write it as well."""


class Category(StrEnum):
    SYSTEM = "system"
    TRADING = "trading"
    DATABASE = "database"
    EXTERNAL = "external"
    SECURITY = "security"


class Kind(StrEnum):
    """How to read the values of a series: see the glossary."""

    GAUGE = "gauge"
    COUNTER = "counter"
    DISTRIBUTION = "distribution"


class Series(Struct, frozen=True, kw_only=True, gc=False):
    """One metric of one component with one set of labels.

    `resolution` is a power of two. Values are rounded to its multiples before they are stored,
    because they compress better; None stores them unchanged.
    """

    metric: str
    component: str
    category: Category = Category.SYSTEM
    labels: Labels = ()
    unit: str = ""
    kind: Kind = Kind.GAUGE
    resolution: float | None = None

    def round(self, value: float) -> float:
        """Return the value as it is stored: the nearest multiple of the resolution."""
        if self.resolution is None:
            return value
        steps = value / self.resolution
        return round(steps) * self.resolution if math.isfinite(steps) else value


class Sample(Struct, frozen=True, gc=False):
    """One value of one series at one time. `reason` says why a component or host is down."""

    series: Series
    time: datetime
    value: float
    reason: str = ""


class Column(Struct, frozen=True, eq=False):
    """Samples of one series in two arrays of equal length, in any order.

    `times` are microseconds since 1970. `reason` belongs to the newest sample.
    """

    series: Series
    times: "NDArray[np.int64]"
    values: "NDArray[np.float64]"
    reason: str = ""

    def newest(self) -> Sample:
        """Return the sample with the newest time."""
        at = int(self.times.argmax())
        time, value = time_of(int(self.times[at])), float(self.values[at])
        return Sample(self.series, time, value, self.reason)


class Histogram(Struct, frozen=True, eq=False):
    """The count of values of a distribution in each bucket, at one time (microseconds since 1970).

    The SQL function `log_bucket` defines the numbers of the buckets. They are in ascending order.
    """

    series: Series
    time: int
    buckets: "NDArray[np.int32]"
    counts: "NDArray[np.int64]"


def identity_bytes(component: str, labels: Iterable[tuple[str, str]]) -> int:
    """Return the length in bytes of a series' component and labels together."""
    return len(component.encode()) + sum(len((name + value).encode()) for name, value in labels)


def labels_of(pairs: Mapping[str, str]) -> Labels:
    """Return the pairs sorted by name, so that equal label sets compare equal."""
    return tuple(sorted(pairs.items()))


def columns_of(samples: Iterable[Sample]) -> list[Column]:
    """Return one column for each series; its samples keep their order."""
    import numpy as np  # noqa: PLC0415 (see above)

    by_series: dict[Series, list[Sample]] = {}
    for sample in samples:
        by_series.setdefault(sample.series, []).append(sample)
    return [
        Column(
            series,
            np.array([micros_of(sample.time) for sample in some], np.int64),
            np.array([sample.value for sample in some], np.float64),
            max(some, key=lambda sample: sample.time).reason,
        )
        for series, some in by_series.items()
    ]
