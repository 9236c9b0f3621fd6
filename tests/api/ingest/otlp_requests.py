"""Requests of OpenTelemetry for tests, and the two ways to read them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from api.ingest.admission.parsed_write import AcceptedTimes
from api.ingest.formats import otlp, otlp_json, otlp_protobuf
from api.ingest.formats.otlp import OtlpCache, Reading

NOW = datetime(2026, 11, 23, tzinfo=UTC)
WINDOW = AcceptedTimes(NOW - timedelta(days=28), NOW + timedelta(minutes=10))
T = int(NOW.timestamp()) * 10**9
DELTA, CUMULATIVE = 1, 2
SHOP = {"service.name": "shop", "host.name": "h1", "telemetry.sdk.name": "opentelemetry"}


def message(
    metric: dict[str, Any],
    resource: dict[str, str] = SHOP,
    scope: str = "",
    others: Sequence[dict[str, Any]] = (),
) -> ExportMetricsServiceRequest:
    made = ExportMetricsServiceRequest()
    of_resource = made.resource_metrics.add()
    for key, value in resource.items():
        of_resource.resource.attributes.add(key=key).value.string_value = value
    of_scope = of_resource.scope_metrics.add()
    of_scope.scope.name = scope
    for each in (metric, *others):
        json_format.ParseDict({"name": "m", **each}, of_scope.metrics.add())
    return made


def attributes(**values: Any) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", bool: "boolValue", int: "intValue", float: "doubleValue"}
    return [{"key": key, "value": {kinds[type(value)]: value}} for key, value in values.items()]


def point(value: float | str = 1.0, time: int = T, **more: Any) -> dict[str, Any]:
    return {"asDouble": value, "timeUnixNano": time, **more}


def gauge(*points: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"gauge": {"dataPoints": list(points) or [point()]}, **more}


def read_protobuf(body: bytes, known: OtlpCache | None = None) -> Reading:
    return otlp.read(otlp_protobuf.request_of(body), WINDOW, known or OtlpCache(0))


def read_json(body: bytes, known: OtlpCache | None = None) -> Reading:
    return otlp.read(otlp_json.request_of(body), WINDOW, known or OtlpCache(0))


HISTOGRAM = {
    "timeUnixNano": T, "startTimeUnixNano": T - 10**9, "count": 30, "sum": 200.0,
    "bucketCounts": [10, 0, 20], "explicitBounds": [5, 10], "min": 1.0, "max": 20.0,
}  # fmt: skip
EXPONENTIAL = {
    "timeUnixNano": T, "startTimeUnixNano": T - 10**9, "count": 6, "sum": 9.0, "scale": 10,
    "zeroCount": 1, "positive": {"offset": -3, "bucketCounts": [2, 0, 3]},
}  # fmt: skip
