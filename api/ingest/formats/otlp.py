"""Converts OpenTelemetry metrics to samples and histograms, whatever format they arrived in."""

import base64
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, field

from api.ingest.admission.parsed_write import (
    INFINITE,
    NAN,
    NO_VALUE,
    TOO_LARGE,
    AcceptedTimes,
    Fault,
    FaultError,
    FlatSamples,
    ParsedWrite,
    take,
    time_fault,
)
from api.ingest.formats import histograms
from api.ingest.formats.cumulative import StartTimes, Total, Totals
from api.ingest.formats.histograms import Buckets
from api.ingest.formats.names import Component, Memory, series_of
from model.errors import InvalidError
from model.limits import REQUEST_SAMPLES_MAX, VALUE_MAX
from model.series import Column, Histogram, Kind, Series
from model.times import micros_of

ROWS_MAX = 200_000
"""Most counts of log buckets in one request."""
COMPONENT = "opentelemetry"
"""The component of resources that name neither a service nor a host."""
NAMING = ("service.name", "host.name")
"""Resource attributes that can name the component; the first one present does."""
SENDER = "telemetry.sdk."
"""Prefix of resource attributes that describe the sending library; they are left out."""

DELTA, CUMULATIVE = "delta", "cumulative"

Attributes = tuple[bytes, ...]
"""Undecoded attributes. The labels that they map to are cached."""

Ends = tuple[float, float]
ANYWHERE: Ends = (-math.inf, math.inf)

EMPTY = Fault("empty", "a data point has no value")
UNKNOWN = Fault("unknown", "a metric is not a gauge, sum, histogram or summary")
UNSPECIFIED = Fault("temporality", "the temporality of a metric is neither delta nor cumulative")


class Number(Struct, frozen=True, gc=False):
    """A data point of a gauge or a sum; times are nanoseconds, 0 means unknown."""

    attributes: Attributes
    time: int
    started: int
    value: float


class HistogramPoint(Struct, frozen=True):
    """A data point of a histogram, explicit or exponential."""

    attributes: Attributes
    time: int
    started: int
    count: int
    sum: float | None
    low: float | None
    high: float | None
    buckets: Buckets | None

    def ends(self) -> Ends:
        """Return the lowest and the highest value; infinite if unknown."""
        low = -math.inf if self.low is None or math.isnan(self.low) else self.low
        high = math.inf if self.high is None or math.isnan(self.high) else self.high
        return (low, high) if low <= high else ANYWHERE


class Summary(Struct, frozen=True):
    """A data point of a summary."""

    attributes: Attributes
    time: int
    started: int
    count: int
    sum: float
    quantiles: Sequence[tuple[float, float]]


Point = Number | HistogramPoint | Summary | Fault | None
"""A data point; a fault if it is rejected; None if it is marked as having no value."""


class Metric(Struct, frozen=True):
    """A metric of a resource. The points of a delta count from the previous point."""

    resource: Attributes
    scope: str
    name: str
    unit: str
    is_monotonic: bool
    is_delta: bool
    points: Iterable[Point]


class Request(Struct, frozen=True):
    """A request that is decoded while it is read, which may raise InvalidError."""

    metrics: Iterable[Metric]
    attribute: Callable[[bytes], tuple[str, Any]]


class Running(Struct, frozen=True):
    """A running total of a histogram; its difference depends on the total before."""

    series: Series
    total: Total
    ends: Ends


class Reading(Struct):
    """The parsed request, without the differences of running totals, which `resolve` adds.

    `zeros` are samples of 0 at the starts of counters, which may not be stored yet.
    """

    parsed: ParsedWrite = field(default_factory=ParsedWrite)
    running: list[Running] = field(default_factory=list)
    zeros: list[Column] = field(default_factory=list)
    rows: int = 0

    def tally(self, rows: int) -> None:
        """Count rows of histograms. Raises InvalidError for too many."""
        self.rows += rows
        if self.rows > ROWS_MAX:
            raise InvalidError(
                f"a request may have at most {ROWS_MAX:,} histogram buckets; split it"
            )

    def add(self, series: Series, time: int, buckets: Buckets, ends: Ends) -> None:
        """Add the values of a histogram. Raises FaultError."""
        numbers, counts = histograms.spread(buckets, *ends)
        self.tally(len(numbers))
        if len(numbers):
            self.parsed.histograms.append(Histogram(series, time, numbers, counts))


class _Family(Struct, frozen=True, eq=False):
    """What the series of a metric share. Compared by identity, which the cache preserves."""

    name: str
    component: Component
    labels: dict[str, str]
    unit: str
    kind: Kind


class OtlpCache:
    """State between requests: the labels of attributes, running totals, and starts."""

    def __init__(self, now: int) -> None:
        self.families: Memory[_Family] = Memory()
        self.series: Memory[Series | Fault] = Memory()
        self.totals = Totals(now)
        self.start_times = StartTimes(now)


def read(request: Request, accepted: AcceptedTimes, cache: OtlpCache) -> Reading:
    """Check every data point. Raises InvalidError if the request is too large or unreadable."""
    reader = _Reader(request, accepted, cache)
    for metric in request.metrics:
        reader.take(metric)
    return reader.finish()


def resolve(reading: Reading, totals: Totals) -> list[tuple[Series, Total]]:
    """Add the differences of running totals to a reading.

    Returns the new totals; the caller remembers them (`Totals.note_stored`) after the commit.
    """
    newer: dict[Series, Total] = {}
    for running in reading.running:
        series, total = running.series, running.total
        new = totals.since(series, total, newer)
        if series not in newer or total.time > newer[series].time:
            newer[series] = total
        if new is not None:
            try:
                reading.add(series, total.time, new, running.ends)
            except FaultError as error:
                reading.parsed.reject(error.fault)
    return list(newer.items())


class _Reader:
    def __init__(self, request: Request, accepted: AcceptedTimes, cache: OtlpCache) -> None:
        self._attribute = request.attribute
        self._accepted = accepted
        self._cache = cache
        self._reading = Reading()
        self._points = 0
        self._series: list[Series] = []
        self._places: dict[int, int] = {}
        self._of: list[int] = []
        self._times: list[int] = []
        self._starts: list[int] = []
        self._values: list[float] = []

    def finish(self) -> Reading:
        """Check all numbers at once, sorted by series, and return the reading."""
        places = np.array(self._of, np.intp)
        order = np.argsort(places, kind="stable")
        samples = FlatSamples(
            self._series,
            np.bincount(places, minlength=len(self._series)).tolist(),
            np.array(self._times, np.int64)[order],
            np.array(self._values, np.float64)[order],
        )
        taken = take(samples, self._accepted, self._reading.parsed)
        starts = np.array(self._starts, np.int64)[order]
        taken &= starts >= micros_of(self._accepted.start)
        self._reading.zeros = self._cache.start_times.zeros(samples, starts, taken)
        return self._reading

    def take(self, metric: Metric) -> None:
        """Add the points of a metric, and count those that are rejected or skipped."""
        kind = Kind.COUNTER if metric.is_monotonic and not metric.is_delta else Kind.GAUGE
        family = self._family(metric, kind)
        parsed = self._reading.parsed
        for point in metric.points:
            self._points += 1
            if self._points > REQUEST_SAMPLES_MAX:
                raise InvalidError(
                    f"a request may have at most {REQUEST_SAMPLES_MAX:,} data points; split it"
                )
            try:
                if isinstance(point, Number):
                    self._put(self._series_of(family, point.attributes), point, point.value)
                elif isinstance(point, HistogramPoint):
                    self._take_histogram(metric, point)
                elif isinstance(point, Summary):
                    self._take_summary(metric, point)
                elif point is None:
                    parsed.skipped[NO_VALUE] += 1
                else:
                    parsed.reject(point)
            except FaultError as error:
                parsed.reject(error.fault)

    def _put(self, series: Series, point: Number | HistogramPoint | Summary, value: float) -> None:
        # Keyed by identity, which is fast. Equal series may take two places, which does no harm.
        place = self._places.setdefault(id(series), len(self._series))
        if place == len(self._series):
            self._series.append(series)
        self._of.append(place)
        self._times.append(point.time // 1000)
        self._starts.append(point.started // 1000 if series.kind is Kind.COUNTER else 0)
        self._values.append(value)

    def _take_histogram(self, metric: Metric, point: HistogramPoint) -> None:
        parts = self._parts(metric, point)
        time = point.time // 1000
        if point.buckets:
            # Delta and cumulative histograms store the same differences, so both are one series.
            cumulative = msgspec.structs.replace(metric, is_delta=False)
            series = self._series_of(self._family(cumulative, Kind.DISTRIBUTION), point.attributes)
            if metric.is_delta:
                self._reading.add(series, time, point.buckets, point.ends())
            else:
                self._reading.tally(len(point.buckets.keys))
                total = Total(point.started // 1000, time, point.buckets)
                self._reading.running.append(Running(series, total, point.ends()))
        for part, value in parts:
            self._put(part, point, value)

    def _take_summary(self, metric: Metric, point: Summary) -> None:
        parts = self._parts(metric, point)
        family = self._family(metric, Kind.GAUGE)
        for quantile, value in point.quantiles:
            # A summary without observations has NaN as its quantiles.
            if not math.isnan(value):
                series = self._series_of(family, point.attributes, f"{quantile:g}")
                parts.append((series, _check(value)))
        for part, value in parts:
            self._put(part, point, value)

    def _parts(self, metric: Metric, point: HistogramPoint | Summary) -> list[tuple[Series, float]]:
        """Return the series and values of count and sum of a point. Raises FaultError."""
        fault = time_fault(point.time // 1000, self._accepted)
        if fault:
            raise FaultError(fault)
        kind = Kind.GAUGE if metric.is_delta else Kind.COUNTER
        values = {"_count": float(point.count)}
        if point.sum is not None:
            values["_sum"] = _check(point.sum)
        return [
            (self._series_of(self._family(metric, kind, ending), point.attributes), value)
            for ending, value in values.items()
        ]

    def _family(self, metric: Metric, kind: Kind, ending: str = "") -> _Family:
        key = (
            metric.resource, metric.scope, metric.name, metric.unit, metric.is_delta, kind, ending
        )  # fmt: skip
        family = self._cache.families.get(key)
        if family is None:
            component, labels = self._identity(metric)
            unit = "" if ending == "_count" else metric.unit
            family = _Family(metric.name + ending, component, labels, unit, kind)
            size = sum(map(len, metric.resource)) + len(metric.scope) + len(metric.name)
            self._cache.families.put(key, family, 3 * size)
        return family

    def _identity(self, metric: Metric) -> tuple[Component, dict[str, str]]:
        """Return the component and the labels that come from a metric's resource and scope."""
        cumulative = {name: text_of(value) for name, value in map(self._attribute, metric.resource)}
        naming = next((name for name in NAMING if cumulative.get(name)), NAMING[0])
        component = Component(cumulative.pop(naming, "") or COMPONENT, naming)
        labels = {name: text for name, text in cumulative.items() if not name.startswith(SENDER)}
        labels["otel.scope.name"] = metric.scope
        labels["temporality"] = DELTA if metric.is_delta else ""
        return component, labels

    def _series_of(self, family: _Family, attributes: Attributes, quantile: str = "") -> Series:
        key = (family, attributes, quantile)
        found = self._cache.series.get(key)
        if found is None:
            own = {name: text_of(value) for name, value in map(self._attribute, attributes)}
            labels = family.labels | own | ({"quantile": quantile} if quantile else {})
            try:
                found = series_of(family.name, family.component, labels, family.unit, family.kind)
            except FaultError as error:
                found = error.fault
            self._cache.series.put(key, found, 3 * sum(map(len, attributes)))
        if isinstance(found, Fault):
            raise FaultError(found)
        return found


def text_of(value: Any) -> str:
    """Return the value of an attribute as a label value; lists and maps become JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes():
            return base64.b64encode(value).decode()
        case int() | float():
            return str(value)
    return msgspec.json.encode(value).decode()


def _check(value: float) -> float:
    if not math.isfinite(value):
        raise FaultError(NAN if math.isnan(value) else INFINITE)
    if abs(value) > VALUE_MAX:
        raise FaultError(TOO_LARGE)
    return value
