"""Series, and their samples one by one or in columns."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from model.times import micros_of, time_of

# `vigia agent` uses these nouns and no columns, and runs where numpy is not installed.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Labels = tuple[tuple[str, str], ...]
"""Label pairs sorted by name: hashable, so that a Series can be a cache key."""

COMPONENT_UP = "component_up"
"""Whether a component answers: 1, or 0 with the reason."""
SECURITY_EVENTS = "security_events"
SQL_RULE_ROWS = "sql_rule_rows"
"""How many rows a question of a rule was answered with: a minute without a sample of it is one
without an answer."""
SELF_METRICS = frozenset({SECURITY_EVENTS, SQL_RULE_ROWS})
"""What only the service itself measures; of `component_up` others write as well."""


class Category(StrEnum):
    SYSTEM = "system"
    TRADING = "trading"
    DATABASE = "database"
    EXTERNAL = "external"
    SECURITY = "security"


class Kind(StrEnum):
    """How the values of a series are to be read."""

    GAUGE = "gauge"
    COUNTER = "counter"
    DISTRIBUTION = "distribution"


class Series(Struct, frozen=True, kw_only=True, gc=False):
    """What is measured: a metric of a component, told apart by its labels.

    `resolution` is the power of two its values are rounded to before they are stored, which
    compresses well; None stores them as they come.
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
    """One value of one series at one time. `reason` says why a `component_up` is 0."""

    series: Series
    time: datetime
    value: float
    reason: str = ""


class Column(Struct, frozen=True, eq=False):
    """Samples of one series: as many times (microseconds since 1970) as values, in any order.

    `reason` is that of the newest of them.
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
    """How many values of a distribution fell into each log bucket by one time (microseconds).

    The buckets are numbered as by `log_bucket` of the database, and in ascending order.
    """

    series: Series
    time: int
    buckets: "NDArray[np.int32]"
    counts: "NDArray[np.int64]"


def identity_bytes(component: str, labels: Iterable[tuple[str, str]]) -> int:
    """Return how many bytes a series' component and labels have together."""
    return len(component.encode()) + sum(len((name + value).encode()) for name, value in labels)


def labels_of(pairs: Mapping[str, str]) -> Labels:
    """Return the pairs in the one order that makes equal label sets equal."""
    return tuple(sorted(pairs.items()))


def columns_of(samples: Iterable[Sample]) -> list[Column]:
    """Return samples by series, each in the order it had."""
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
