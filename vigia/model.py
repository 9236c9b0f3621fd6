"""The nouns every room shares. No I/O."""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

# `vigia agent` uses these nouns and no columns, and runs where numpy is not installed.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

from vigia.text import ADDRESS, LINES, NAME, TEXT

EPOCH = datetime.fromtimestamp(0, UTC)
MICROSECOND = timedelta(microseconds=1)

Labels = tuple[tuple[str, str], ...]
"""Label pairs sorted by name: hashable, so that a Series can be a cache key."""

LabelName = Annotated[str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,127}(?!\n)$")]
LabelValue = Annotated[str, Meta(pattern=TEXT, max_length=250)]
Text = LabelValue
Name = Annotated[str, Meta(pattern=NAME, max_length=250)]
Lines = Annotated[str, Meta(pattern=LINES, max_length=2000)]
"""What a person writes: several lines, with tabs."""


class Category(StrEnum):
    SYSTEM = "system"
    TRADING = "trading"
    DATABASE = "database"
    EXTERNAL = "external"
    SECURITY = "security"


class Level(StrEnum):
    """How loud an alert is, quietest first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    EMERGENCY = "emergency"


class Status(StrEnum):
    """How well a component does, best first."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    DOWN = "down"


class Kind(StrEnum):
    """How the values of a series are to be read."""

    GAUGE = "gauge"
    COUNTER = "counter"
    DISTRIBUTION = "distribution"


class Role(StrEnum):
    """What a key may do. `ingest` only writes samples; the others each include the one before."""

    INGEST = "ingest"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Series(Struct, frozen=True, kw_only=True):
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


class Sample(Struct, frozen=True):
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


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An address outside that is asked each slot; it is a component of category external.

    It is up when it answers in time with a status of `up_status` (default: 200 to 399) and, if that
    is given, with `body_contains` in the body. `ngrok` asks a local ngrok agent for its tunnels.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}(?!\n)$")]
    url: Annotated[str, Meta(pattern=ADDRESS, max_length=2048)]
    kind: Literal["http", "ngrok"] = "http"
    method: Literal["GET", "HEAD"] = "GET"
    timeout_s: Annotated[float, Meta(gt=0, le=10)] = 10.0
    up_status: tuple[Annotated[int, Meta(ge=100, le=599)], ...] = ()
    body_contains: Annotated[str, Meta(max_length=1000)] = ""
    verify_tls: bool = True
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse a password in the address: everyone who may read the settings would see it."""
        _refuse_password(self.url)


class ScrapeTarget(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """An address that answers in the Prometheus text format or OpenMetrics; it is a component.

    `labels` are added to each of its series. `token_file` names a file below `secrets` in the data
    directory, whose content is sent as a bearer token.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}(?!\n)$")]
    url: Annotated[str, Meta(pattern=ADDRESS, max_length=2048)]
    timeout_s: Annotated[float, Meta(gt=0, le=10)] = 10.0
    labels: Annotated[dict[LabelName, LabelValue], Meta(max_length=30)] = {}
    token_file: Annotated[str, Meta(pattern=r"^(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,99})?(?!\n)$")] = ""
    sample_limit: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    verify_tls: bool = True
    enabled: bool = True

    def __post_init__(self) -> None:
        """Refuse a password in the address: everyone who may read the settings would see it."""
        _refuse_password(self.url)


class Principal(Struct, frozen=True):
    """Who asks: the name of a key or user, and what it may do.

    An ingest key may be bound to a component, and to labels that its series then have.
    """

    name: str
    role: Role
    component: str | None = None
    labels: Labels = ()


class DomainError(Exception):
    """Something the caller can mend; the message says how and may be shown to anyone."""


class NotFoundError(DomainError):
    """What was named does not exist."""


class ConflictError(DomainError):
    """The thing is no longer in a state that allows this."""


class InvalidError(DomainError):
    """The request itself is wrong."""


class UnavailableError(DomainError):
    """The service cannot answer now, and will again by itself."""


def _refuse_password(url: str) -> None:
    if "@" in url.split("://", 1)[1].split("/", 1)[0]:
        raise ValueError("url: must not hold a user or password")


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


def micros_of(time: datetime) -> int:
    """Return a moment as whole microseconds since 1970."""
    return (time - EPOCH) // MICROSECOND


def time_of(micros: int) -> datetime:
    """Return microseconds since 1970 as a moment."""
    return EPOCH + micros * MICROSECOND


def utc_now() -> datetime:
    return datetime.now(UTC)
