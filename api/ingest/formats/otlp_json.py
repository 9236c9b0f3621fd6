"""Decodes OpenTelemetry metrics in protobuf's JSON mapping, with 64-bit integers as strings."""

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from api.ingest.admission.parsed_write import INFINITE, FaultError
from api.ingest.formats.histograms import Buckets, explicit, exponential
from api.ingest.formats.json_parts import in_pieces, is_small, unreadable
from api.ingest.formats.otlp import (
    CUMULATIVE,
    DELTA,
    EMPTY,
    ROWS_MAX,
    UNKNOWN,
    UNSPECIFIED,
    HistogramPoint,
    Metric,
    Number,
    Point,
    Request,
    Summary,
)
from api.ingest.formats.protobuf_wire import Body
from model.errors import InvalidError
from model.validation.words import explain

COMMAS_MAX = 2 * ROWS_MAX
"""The commas of histograms with the most buckets allowed; numbers have fewer."""
T = TypeVar("T")
N = TypeVar("N")
H = TypeVar("H")
E = TypeVar("E")
S = TypeVar("S")
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
        """Return the value as a Python object."""
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
        """Return the value as a Python object."""
        return self.value.plain() if self.value else None


class _KeyValues(Struct):
    values: list[_KeyValue] = []


class _NumberPoint(Struct, rename="camel"):
    attributes: list[Raw] = []
    start_time_unix_nano: int = 0
    time_unix_nano: int = 0
    as_double: float | None = None
    as_int: int | None = None
    flags: int = 0

    def point(self) -> Point:
        """Return the converted point. Raises FaultError."""
        value = self.as_double if self.as_int is None else self.as_int
        if value is None:
            return EMPTY
        try:
            return Number(
                attributes=_copied(self.attributes),
                time=_unsigned(self.time_unix_nano),
                started=_unsigned(self.start_time_unix_nano),
                value=float(value),
            )
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
        """Return the converted point with its buckets."""
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
        """Return the converted point. Raises FaultError."""
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
        """Return the converted point. Raises FaultError."""
        up, down = self.positive or _Side(), self.negative or _Side()
        sides = (up.offset, up.bucket_counts), (down.offset, down.bucket_counts)
        return self.with_buckets(exponential(self.scale, self.zero_count, *sides))


class _Quantile(Struct):
    quantile: float = 0.0
    value: float = 0.0


class _SummaryPoint(Struct, rename="camel"):
    attributes: list[Raw] = []
    start_time_unix_nano: int = 0
    time_unix_nano: int = 0
    count: int = 0
    sum: float = 0.0
    quantile_values: list[_Quantile] = []
    flags: int = 0

    def point(self) -> Point:
        """Return the converted point."""
        quantiles = [(each.quantile, each.value) for each in self.quantile_values]
        return Summary(
            attributes=_copied(self.attributes),
            time=_unsigned(self.time_unix_nano),
            started=_unsigned(self.start_time_unix_nano),
            count=_unsigned(self.count),
            sum=self.sum,
            quantiles=quantiles,
        )


_AnyPoint = _NumberPoint | _HistogramPoint | _ExponentialPoint | _SummaryPoint


class _Points(Struct, Generic[T], rename="camel"):
    data_points: list[T] = []


class _Sum(Struct, Generic[T], rename="camel"):
    data_points: list[T] = []
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False


class _Distribution(Struct, Generic[T], rename="camel"):
    data_points: list[T] = []
    aggregation_temporality: int | str = 0


class _Metric(Struct, Generic[N, H, E, S], rename="camel"):
    name: str = ""
    unit: str = ""
    gauge: _Points[N] | None = None
    sum: _Sum[N] | None = None
    histogram: _Distribution[H] | None = None
    exponential_histogram: _Distribution[E] | None = None
    summary: _Points[S] | None = None


class _Scope(Struct):
    name: str = ""


class _ScopeMetrics(Struct, Generic[T]):
    scope: _Scope | None = None
    metrics: list[T] = []


class _Resource(Struct):
    attributes: list[Raw] = []


class _ResourceMetrics(Struct, Generic[T], rename="camel"):
    resource: _Resource | None = None
    scope_metrics: list[T] = []


class _Body(Struct, Generic[T], rename="camel"):
    resource_metrics: list[T] = []


_WholeMetric = _Metric[_NumberPoint, _HistogramPoint, _ExponentialPoint, _SummaryPoint]
_MetricOfPieces = _Metric[Raw, Raw, Raw, Raw]
_AnyMetric = _WholeMetric | _MetricOfPieces
_Whole = _Body[_ResourceMetrics[_ScopeMetrics[_WholeMetric]]]

_WHOLE = msgspec.json.Decoder(_Whole, strict=False)
_PIECES = msgspec.json.Decoder(_Body[Raw], strict=False)
_RESOURCES = msgspec.json.Decoder(list[_ResourceMetrics[Raw]], strict=False)
_SCOPES = msgspec.json.Decoder(list[_ScopeMetrics[Raw]], strict=False)
_METRICS = msgspec.json.Decoder(list[_MetricOfPieces], strict=False)
_NUMBERS = msgspec.json.Decoder(list[_NumberPoint], strict=False)
_HISTOGRAMS = msgspec.json.Decoder(list[_HistogramPoint], strict=False)
_EXPONENTIALS = msgspec.json.Decoder(list[_ExponentialPoint], strict=False)
_SUMMARIES = msgspec.json.Decoder(list[_SummaryPoint], strict=False)
_KEY_VALUE = msgspec.json.Decoder(_KeyValue, strict=False)


def request_of(body: Body) -> Request:
    """Return the request in a body. Raises InvalidError if the body is not one."""
    try:
        found = (_WHOLE if is_small(body, COMMAS_MAX) else _PIECES).decode(body)
        return Request(_metrics(found), _attribute)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unreadable(error) from None


def _metrics(body: _Whole | _Body[Raw]) -> Iterator[Metric]:
    for of_resource in in_pieces(body.resource_metrics, _RESOURCES, "resourceMetrics"):
        resource = _copied(of_resource.resource.attributes if of_resource.resource else [])
        for of_scope in in_pieces(of_resource.scope_metrics, _SCOPES, "scopeMetrics"):
            scope = of_scope.scope.name if of_scope.scope else ""
            for metric in in_pieces(of_scope.metrics, _METRICS, "metrics"):
                yield _metric(metric, resource, scope)


def _metric(metric: _AnyMetric, resource: tuple[bytes, ...], scope: str) -> Metric:
    temporal = metric.sum or metric.histogram or metric.exponential_histogram
    data = metric.gauge or temporal or metric.summary
    temporality = (
        TEMPORALITIES.get(temporal.aggregation_temporality, "") if temporal else CUMULATIVE
    )
    points: Iterator[Point] = iter([UNKNOWN])
    if data:
        points = (_point(each) if temporality else UNSPECIFIED for each in _points(metric))
    return Metric(
        resource=resource,
        scope=scope,
        name=metric.name,
        unit=metric.unit,
        is_monotonic=metric.sum is not None and metric.sum.is_monotonic,
        is_delta=temporality == DELTA,
        points=points,
    )


def _points(metric: _AnyMetric) -> Iterator[_AnyPoint]:
    """Return the data points of a metric: of the first kind of data that is present."""
    if metric.gauge:
        return in_pieces(metric.gauge.data_points, _NUMBERS, "dataPoints")
    if metric.sum:
        return in_pieces(metric.sum.data_points, _NUMBERS, "dataPoints")
    if metric.histogram:
        return in_pieces(metric.histogram.data_points, _HISTOGRAMS, "dataPoints")
    if metric.exponential_histogram:
        return in_pieces(metric.exponential_histogram.data_points, _EXPONENTIALS, "dataPoints")
    return in_pieces(metric.summary.data_points if metric.summary else [], _SUMMARIES, "dataPoints")


def _point(point: _AnyPoint) -> Point:
    if point.flags & NO_RECORDED_VALUE:
        return None
    try:
        return point.point()
    except FaultError as error:
        return error.fault


def _copied(attributes: Sequence[Raw]) -> tuple[bytes, ...]:
    """Return copies of attributes, because a raw slice keeps the whole body in memory."""
    return tuple(bytes(each) for each in attributes)


def _unsigned(number: int) -> int:
    return min(max(number, 0), 2**64 - 1)


def _attribute(raw: bytes) -> tuple[str, Any]:
    try:
        pair = _KEY_VALUE.decode(raw)
        return pair.key, pair.plain()
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
        raise InvalidError(f"an attribute cannot be read: {explain(error)}") from None
