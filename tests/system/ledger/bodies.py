"""What is in the bodies that the senders send, read without any code of the service."""

import gzip
import json
import math
from collections.abc import Iterator
from typing import Any

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from tests.system.ledger.account import Row, identity_of

NATIVE = "/api/v1/monitoring/metrics"
PROMETHEUS = "/api/v1/monitoring/ingest/prometheus/write"
OTLP = "/api/v1/monitoring/ingest/otlp/v1/metrics"
SENDERS = {NATIVE: "native", PROMETHEUS: "prometheus", OTLP: "otlp"}

REMOTE_WRITE = """
name: "remote.proto" package: "ledger" syntax: "proto3"
message_type { name: "WriteRequest"
  field { name: "series" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
    type_name: ".ledger.Series" } }
message_type { name: "Series"
  field { name: "labels" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
    type_name: ".ledger.Label" }
  field { name: "samples" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE
    type_name: ".ledger.Sample" } }
message_type { name: "Label"
  field { name: "name" number: 1 type: TYPE_STRING }
  field { name: "value" number: 2 type: TYPE_STRING } }
message_type { name: "Sample"
  field { name: "value" number: 1 type: TYPE_DOUBLE }
  field { name: "time" number: 2 type: TYPE_INT64 } }
"""


def _write_request() -> Any:
    file = text_format.Parse(REMOTE_WRITE, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ledger.WriteRequest"))


WriteRequest = _write_request()


def rows_of(path: str, body: bytes) -> list[Row]:
    """Return the samples of a request; markers that a series has ended are none."""
    return list({NATIVE: _native, PROMETHEUS: _prometheus, OTLP: _otlp}[path](body))


def refused_of(path: str, answer: bytes) -> int:
    """Return how many samples an answer of success says were not taken after all."""
    if path == NATIVE:
        return int(json.loads(answer)["rejected"])
    if path == OTLP:
        reported = ExportMetricsServiceResponse.FromString(answer)
        return int(reported.partial_success.rejected_data_points)
    return 0


def _native(body: bytes) -> Iterator[Row]:
    for column in json.loads(gzip.decompress(body))["series"]:
        identity = identity_of(column["metric"], column["component"], column.get("labels", {}))
        for time, value in zip(column["times"], column["values"], strict=True):
            yield identity, round(time * 1e6), value


def _prometheus(body: bytes) -> Iterator[Row]:
    for series in WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(body))).series:
        labels = {label.name: label.value for label in series.labels}
        identity = identity_of(labels.pop("__name__"), labels.pop("job"), labels)
        for sample in series.samples:
            if not math.isnan(sample.value):
                yield identity, 1000 * sample.time, sample.value


def _otlp(body: bytes) -> Iterator[Row]:
    for of_resource in ExportMetricsServiceRequest.FromString(
        gzip.decompress(body)
    ).resource_metrics:
        resource = _pairs(of_resource.resource.attributes)
        component = resource.pop("service.name")
        kept = {k: v for k, v in resource.items() if not k.startswith("telemetry.sdk.")}
        for of_scope in of_resource.scope_metrics:
            kept["otel.scope.name"] = of_scope.scope.name
            for metric in of_scope.metrics:
                yield from _otlp_metric(metric, component, kept)


def _otlp_metric(metric: Any, component: str, labels: dict[str, str]) -> Iterator[Row]:
    """Of a histogram, its count is expected in the sketch as well, under its own name."""
    data = getattr(metric, metric.WhichOneof("data"))
    delta = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    reported = "delta" if getattr(data, "aggregation_temporality", None) == delta else ""
    for point in data.data_points:
        own, time = labels | _pairs(point.attributes), point.time_unix_nano // 1000
        marked = own | {"temporality": reported}
        if metric.HasField("histogram"):
            yield identity_of(f"{metric.name}_count", component, marked), time, float(point.count)
            yield identity_of(f"{metric.name}_sum", component, marked), time, point.sum
            if point.count:
                yield identity_of(metric.name, component, own), time, float(point.count)
        else:
            value = getattr(point, point.WhichOneof("value"))
            identity = identity_of(metric.name, component, marked)
            yield identity, time, float(value)
            if getattr(data, "is_monotonic", False) and not reported:
                # A counter was 0 when its sender started, which is stored as well.
                yield identity, point.start_time_unix_nano // 1000, 0.0


def _pairs(attributes: Any) -> dict[str, str]:
    return {
        pair.key: str(getattr(pair.value, pair.value.WhichOneof("value"))) for pair in attributes
    }
