"""Decodes OpenTelemetry metrics in protobuf.

The levels above the data points are read with `Wire`, without creating message objects. Number
points in the usual field order are unpacked directly. All other points are parsed by protobuf, with
their attributes left as bytes.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto  # type: ignore[import-untyped]
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2

from api.ingest.admission.parsed_write import Fault, FaultError
from api.ingest.formats.histograms import Buckets, explicit, exponential
from api.ingest.formats.otlp import (
    EMPTY,
    UNKNOWN,
    UNSPECIFIED,
    Attributes,
    HistogramPoint,
    Metric,
    Number,
    Point,
    Request,
    Summary,
)
from api.ingest.formats.protobuf_wire import Body, Wire, malformed
from model.errors import InvalidError

FIELDS_MAX = 500_000
"""Most fields outside the data points."""
POINT_BYTES_MAX = 64 * 2**10
TEXT_BYTES_MAX = 4 * 2**10
NO_RECORDED_VALUE = 1
DELTA, CUMULATIVE = 1, 2

LARGE = Fault("point", f"a data point has more than {POINT_BYTES_MAX >> 10} KiB")

FIRST, SECOND, THIRD = 0x0A, 0x12, 0x1A
"""Tags of the length-delimited fields 1, 2 and 3, the ones that matter at most levels."""
GAUGE, SUM, HISTOGRAM, EXPONENTIAL_HISTOGRAM, SUMMARY = 0x2A, 0x3A, 0x4A, 0x52, 0x5A
TEMPORALITY, MONOTONIC = 0x10, 0x18

START, TIME, AS_DOUBLE, AS_INT, ATTRIBUTE = 0x11, 0x19, 0x21, 0x31, 0x3A
"""Tags of a number data point. All known senders write them in this order, by field number."""
STARTED = struct.Struct("<BQ")
DOUBLE, INTEGER = struct.Struct("<BQBd"), struct.Struct("<BQBq")

Fields = dict[int, list[tuple[int, int]]]


def _point_classes() -> dict[str, Any]:
    """Return the message classes of data points, with attributes as undecoded bytes.

    The labels of most attributes are cached, so these need not be decoded again.
    """
    file = FileDescriptorProto()
    metrics_pb2.DESCRIPTOR.CopyToProto(file)
    points = [message for message in file.message_type if message.name.endswith("DataPoint")]
    file.ClearField("message_type")
    file.ClearField("dependency")
    file.message_type.extend(points)
    for message in file.message_type:
        fields = [each for each in message.field if each.name != "exemplars"]
        message.ClearField("field")
        message.field.extend(fields)
        for each in message.field:
            if each.name == "attributes":
                each.type = FieldDescriptorProto.TYPE_BYTES
                each.ClearField("type_name")
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    found = [pool.FindMessageTypeByName(f"{file.package}.{message.name}") for message in points]
    return {descriptor.name: GetMessageClass(descriptor) for descriptor in found}


_POINTS = _point_classes()


def request_of(body: Body) -> Request:
    """Return a request that is decoded while it is read. Reading may raise InvalidError."""
    return Request(_metrics(Wire(body, FIELDS_MAX)), _attribute)


def _metrics(wire: Wire) -> Iterator[Metric]:
    for of_resource in _fields(wire, 0, len(wire.data))[FIRST]:
        fields = _fields(wire, *of_resource)
        resource = tuple(
            wire.data[at:end] for each in fields[FIRST] for at, end in _fields(wire, *each)[FIRST]
        )
        for of_scope in fields[SECOND]:
            fields = _fields(wire, *of_scope)
            names = [place for each in fields[FIRST] for place in _fields(wire, *each)[FIRST]]
            for of_metric in fields[SECOND]:
                yield _metric(wire, _fields(wire, *of_metric), resource, _text(wire, names))


def _metric(wire: Wire, fields: Fields, resource: Attributes, scope: str) -> Metric:
    kind = next((tag for tag in _READERS if tag in fields), 0)
    data = _fields(wire, *fields[kind][-1]) if kind else fields
    temporality = data[TEMPORALITY][-1][0] if TEMPORALITY in data else 0
    read = _Numbers(wire, kind).point if kind in {GAUGE, SUM} else partial(_point, wire, kind)
    points: Iterator[Point] = (read(*each) for each in data[FIRST])
    if not kind:
        points = iter([UNKNOWN])
    elif kind in _TEMPORAL and temporality not in {DELTA, CUMULATIVE}:
        points = (UNSPECIFIED for _ in data[FIRST])
    return Metric(
        resource=resource,
        scope=scope,
        name=_text(wire, fields[FIRST]),
        unit=_text(wire, fields[THIRD]),
        is_monotonic=kind == SUM and any(value for value, _ in data[MONOTONIC]),
        is_delta=kind in _TEMPORAL and temporality == DELTA,
        points=points,
    )


def _fields(wire: Wire, at: int, end: int) -> Fields:
    """Return the positions of the fields of a message, by tag."""
    fields: Fields = defaultdict(list)
    for tag, start, stop in wire.fields(at, end):
        fields[tag].append((start, stop))
    return fields


def _text(wire: Wire, places: list[tuple[int, int]]) -> str:
    if not places:
        return ""
    at, end = places[-1]
    if end - at > TEXT_BYTES_MAX:
        raise InvalidError(f"a name or unit has more than {TEXT_BYTES_MAX >> 10} KiB; shorten it")
    try:
        return wire.data[at:end].decode()
    except UnicodeDecodeError:
        raise malformed() from None


def _point(wire: Wire, kind: int, at: int, end: int) -> Point:
    if end - at > POINT_BYTES_MAX:
        return LARGE
    message, read = _READERS[kind]
    try:
        point = message.FromString(wire.data[at:end])
    except DecodeError:
        raise malformed() from None
    if point.flags & NO_RECORDED_VALUE:
        return None
    try:
        return read(point)
    except FaultError as error:
        return error.fault


class _Numbers:
    """Unpacks number points in the usual field order directly; parses others with protobuf."""

    def __init__(self, wire: Wire, kind: int) -> None:
        self._wire = wire
        self._kind = kind
        self._attributes: dict[bytes, Attributes | None] = {}

    def point(self, at: int, end: int) -> Point:
        data = self._wire.data
        begin, started = at, 0
        if at + STARTED.size <= end and data[at] == START:
            begin, started = at + STARTED.size, STARTED.unpack_from(data, at)[1]
        if begin + DOUBLE.size <= end <= at + POINT_BYTES_MAX:
            first, time, tag, value = DOUBLE.unpack_from(data, begin)
            if first == TIME and tag in {AS_DOUBLE, AS_INT}:
                if tag == AS_INT:
                    value = float(INTEGER.unpack_from(data, begin)[3])
                attributes = self._attributes_of(data[begin + DOUBLE.size : end])
                if attributes is not None:
                    return Number(attributes, time, started, value)
        return _point(self._wire, self._kind, at, end)

    def _attributes_of(self, rest: bytes) -> Attributes | None:
        """Return the attributes in the rest of a point; None if the rest contains other fields."""
        if rest not in self._attributes:
            fields = list(Wire(rest, FIELDS_MAX).fields(0, len(rest)))
            is_all = all(tag == ATTRIBUTE for tag, _, _ in fields)
            found = tuple(rest[at:end] for _, at, end in fields)
            self._attributes[rest] = found if is_all else None
        return self._attributes[rest]


def _number(point: Any) -> Point:
    which = point.WhichOneof("value")
    if which is None:
        return EMPTY
    return Number(
        attributes=tuple(point.attributes),
        time=point.time_unix_nano,
        started=point.start_time_unix_nano,
        value=float(getattr(point, which)),
    )


def _histogram(point: Any) -> Point:
    return _histogram_point(point, explicit(point.explicit_bounds, point.bucket_counts))


def _exponential_histogram(point: Any) -> Point:
    up, down = point.positive, point.negative
    buckets = exponential(
        point.scale,
        point.zero_count,
        (up.offset, up.bucket_counts),
        (down.offset, down.bucket_counts),
    )
    return _histogram_point(point, buckets)


def _histogram_point(point: Any, buckets: Buckets | None) -> Point:
    return HistogramPoint(
        attributes=tuple(point.attributes),
        time=point.time_unix_nano,
        started=point.start_time_unix_nano,
        count=point.count,
        sum=point.sum if point.HasField("sum") else None,
        low=point.min if point.HasField("min") else None,
        high=point.max if point.HasField("max") else None,
        buckets=buckets,
    )


def _summary(point: Any) -> Point:
    quantiles = [(each.quantile, each.value) for each in point.quantile_values]
    return Summary(
        attributes=tuple(point.attributes),
        time=point.time_unix_nano,
        started=point.start_time_unix_nano,
        count=point.count,
        sum=point.sum,
        quantiles=quantiles,
    )


_READERS = {
    GAUGE: (_POINTS["NumberDataPoint"], _number),
    SUM: (_POINTS["NumberDataPoint"], _number),
    HISTOGRAM: (_POINTS["HistogramDataPoint"], _histogram),
    EXPONENTIAL_HISTOGRAM: (_POINTS["ExponentialHistogramDataPoint"], _exponential_histogram),
    SUMMARY: (_POINTS["SummaryDataPoint"], _summary),
}
_TEMPORAL = {SUM, HISTOGRAM, EXPONENTIAL_HISTOGRAM}


def _attribute(raw: bytes) -> tuple[str, Any]:
    try:
        pair = KeyValue.FromString(raw)
        return pair.key, _plain(pair.value)
    except DecodeError:
        raise malformed() from None


def _plain(value: AnyValue) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_plain(each) for each in value.array_value.values]
    if which == "kvlist_value":
        return {each.key: _plain(each.value) for each in value.kvlist_value.values}
    return getattr(value, which) if which else None
