"""OpenTelemetry metrics in JSON: protobuf's mapping, in which 64-bit integers are strings."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from api.ingest.histograms import Buckets, explicit, exponential
from api.ingest.intake import INFINITE, FaultError
from api.ingest.otlp import (
    CUMULATIVE,
    DELTA,
    EMPTY,
    UNKNOWN,
    UNSPECIFIED,
    HistogramPoint,
    Metric,
    Number,
    Point,
    Request,
    Summary,
)
from api.ingest.wire import Body
from vigia.model import InvalidError

PARTS_MAX = 500_000
"""Of objects, lists and members: the shortest would be objects of a hundred times their length."""
NO_RECORDED_VALUE = 1
TEMPORALITIES = {
    1: DELTA,
    2: CUMULATIVE,
    "AGGREGATION_TEMPORALITY_DELTA": DELTA,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": CUMULATIVE,
}


class _AnyValue(Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    bytes_value: str | None = None
    array_value: "_ArrayValue | None" = None
    kvlist_value: "_KeyValues | None" = None

    def plain(self) -> Any:
        """Return the value as one of Python's."""
        if self.array_value:
            return [each.plain() for each in self.array_value.values]
        if self.kvlist_value:
            return {each.key: each.plain() for each in self.kvlist_value.values}
        if self.bytes_value:
            return base64.b64decode(self.bytes_value)
        simple = (self.string_value, self.bool_value, self.int_value, self.double_value)
        return next((each for each in simple if each is not None), None)


class _ArrayValue(Struct):
    values: list[_AnyValue] = []


class _KeyValue(Struct):
    key: str = ""
    value: _AnyValue | None = None

    def plain(self) -> Any:
        """Return the value as one of Python's."""
        return self.value.plain() if self.value else None


class _KeyValues(Struct):
    values: list[_KeyValue] = []


class _NumberPoint(Struct, rename="camel"):
    attributes: list[Raw] = []
    time_unix_nano: int = 0
    as_double: float | None = None
    as_int: int | None = None
    flags: int = 0

    def point(self) -> Point:
        """Return the point as what it means. Raises FaultError."""
        value = self.as_double if self.as_int is None else self.as_int
        if value is None:
            return EMPTY
        try:
            return Number(_copied(self.attributes), _unsigned(self.time_unix_nano), float(value))
        except OverflowError:
            raise FaultError(INFINITE) from None


class _AnyHistogramPoint(Struct, rename="camel"):
    attributes: list[Raw] = []
    start_time_unix_nano: int = 0
    time_unix_nano: int = 0
    count: int = 0
    sum: float | None = None
    min: float | None = None
    max: float | None = None
    flags: int = 0

    def with_buckets(self, buckets: Buckets | None) -> Point:
        """Return the point as what it means."""
        return HistogramPoint(
            attributes=_copied(self.attributes),
            time=_unsigned(self.time_unix_nano),
            started=_unsigned(self.start_time_unix_nano),
            count=_unsigned(self.count),
            sum=self.sum,
            low=self.min,
            high=self.max,
            buckets=buckets,
        )


class _HistogramPoint(_AnyHistogramPoint):
    bucket_counts: list[int] = []
    explicit_bounds: list[float] = []

    def point(self) -> Point:
        """Return the point as what it means. Raises FaultError."""
        return self.with_buckets(explicit(self.explicit_bounds, self.bucket_counts))


class _Side(Struct, rename="camel"):
    offset: int = 0
    bucket_counts: list[int] = []


class _ExponentialPoint(_AnyHistogramPoint):
    scale: int = 0
    zero_count: int = 0
    positive: _Side | None = None
    negative: _Side | None = None

    def point(self) -> Point:
        """Return the point as what it means. Raises FaultError."""
        up, down = self.positive or _Side(), self.negative or _Side()
        sides = (up.offset, up.bucket_counts), (down.offset, down.bucket_counts)
        return self.with_buckets(exponential(self.scale, self.zero_count, *sides))


class _Quantile(Struct):
    quantile: float = 0.0
    value: float = 0.0


class _SummaryPoint(Struct, rename="camel"):
    attributes: list[Raw] = []
    time_unix_nano: int = 0
    count: int = 0
    sum: float = 0.0
    quantile_values: list[_Quantile] = []
    flags: int = 0

    def point(self) -> Point:
        """Return the point as what it means."""
        quantiles = [(each.quantile, each.value) for each in self.quantile_values]
        times = _unsigned(self.time_unix_nano)
        return Summary(_copied(self.attributes), times, _unsigned(self.count), self.sum, quantiles)


class _Gauge(Struct, rename="camel"):
    data_points: list[_NumberPoint] = []


class _Sum(Struct, rename="camel"):
    data_points: list[_NumberPoint] = []
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False


class _Histogram(Struct, rename="camel"):
    data_points: list[_HistogramPoint] = []
    aggregation_temporality: int | str = 0


class _ExponentialHistogram(Struct, rename="camel"):
    data_points: list[_ExponentialPoint] = []
    aggregation_temporality: int | str = 0


class _Summary(Struct, rename="camel"):
    data_points: list[_SummaryPoint] = []


class _Metric(Struct, rename="camel"):
    name: str = ""
    unit: str = ""
    gauge: _Gauge | None = None
    sum: _Sum | None = None
    histogram: _Histogram | None = None
    exponential_histogram: _ExponentialHistogram | None = None
    summary: _Summary | None = None


class _Scope(Struct):
    name: str = ""


class _ScopeMetrics(Struct):
    scope: _Scope | None = None
    metrics: list[_Metric] = []


class _Resource(Struct):
    attributes: list[Raw] = []


class _ResourceMetrics(Struct, rename="camel"):
    resource: _Resource | None = None
    scope_metrics: list[_ScopeMetrics] = []


class _Body(Struct, rename="camel"):
    resource_metrics: list[_ResourceMetrics] = []


_BODY = msgspec.json.Decoder(_Body, strict=False)
_KEY_VALUE = msgspec.json.Decoder(_KeyValue, strict=False)


def request_of(body: Body) -> Request:
    """Return the request of a body. Raises InvalidError for what is none."""
    text = bytes(body)
    if text.count(b",") + text.count(b"{") + text.count(b"[") > PARTS_MAX:
        raise InvalidError("the body has too many parts; split it")
    try:
        return Request(_metrics(_BODY.decode(text)), _attribute)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"the body cannot be read: {error}") from None


def _metrics(body: _Body) -> Iterator[Metric]:
    for of_resource in body.resource_metrics:
        resource = _copied(of_resource.resource.attributes if of_resource.resource else [])
        for of_scope in of_resource.scope_metrics:
            scope = of_scope.scope.name if of_scope.scope else ""
            for metric in of_scope.metrics:
                yield _metric(metric, resource, scope)


def _metric(metric: _Metric, resource: tuple[bytes, ...], scope: str) -> Metric:
    temporal = metric.sum or metric.histogram or metric.exponential_histogram
    data = metric.gauge or temporal or metric.summary
    temporality = (
        TEMPORALITIES.get(temporal.aggregation_temporality, "") if temporal else CUMULATIVE
    )
    points: Iterator[Point] = iter([UNKNOWN])
    if data:
        points = (_point(each) if temporality else UNSPECIFIED for each in data.data_points)
    return Metric(
        resource=resource,
        scope=scope,
        name=metric.name,
        unit=metric.unit,
        is_monotonic=metric.sum is not None and metric.sum.is_monotonic,
        is_delta=temporality == DELTA,
        points=points,
    )


def _point(point: _NumberPoint | _HistogramPoint | _ExponentialPoint | _SummaryPoint) -> Point:
    if point.flags & NO_RECORDED_VALUE:
        return None
    try:
        return point.point()
    except FaultError as error:
        return error.fault


def _copied(attributes: Sequence[Raw]) -> tuple[bytes, ...]:
    """Return attributes that do not keep the whole body."""
    return tuple(bytes(each) for each in attributes)


def _unsigned(number: int) -> int:
    return min(max(number, 0), 2**64 - 1)


def _attribute(raw: bytes) -> tuple[str, Any]:
    try:
        pair = _KEY_VALUE.decode(raw)
        return pair.key, pair.plain()
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
        raise InvalidError(f"an attribute cannot be read: {error}") from None
