"""OpenTelemetry metrics mean the same in protobuf and JSON; rejected ones are counted."""

import base64
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from api.ingest.formats import otlp
from api.ingest.formats.cumulative import Totals
from api.ingest.formats.otlp import OtlpCache, Reading
from model.series import Kind, Series
from tests.api.ingest.otlp_requests import (
    CUMULATIVE,
    DELTA,
    EXPONENTIAL,
    HISTOGRAM,
    T,
    attributes,
    gauge,
    message,
    point,
    read_json,
    read_protobuf,
)

MICROS = T // 1000


def shown(reading: Reading) -> Any:
    """All that a reading holds, so that two can be compared."""
    parsed = reading.parsed
    return (
        [(c.series, c.times.tolist(), c.values.tolist()) for c in parsed.columns],
        [(h.series, h.time, h.buckets.tolist(), h.counts.tolist()) for h in parsed.histograms],
        [(c.series, c.times.tolist()) for c in reading.zeros],
        [(r.series, r.total.time, r.total.started, r.ends) for r in reading.running],
        {fault.word: count for fault, count in parsed.rejected.items()},
        {fault.word: count for fault, count in parsed.skipped.items()},
    )


def read(made: ExportMetricsServiceRequest) -> Reading:
    """Read a request in both formats, and in each a second time with all that is remembered."""
    cache = OtlpCache(0)
    found = read_protobuf(made.SerializeToString())
    texts = (
        json_format.MessageToJson(made),
        json_format.MessageToJson(made, use_integers_for_enums=True, indent=None),
    )
    for _ in range(2):
        assert shown(read_protobuf(made.SerializeToString(), cache)) == shown(found)
        for text in texts:
            assert shown(read_json(text.encode(), cache)) == shown(found)
    return found


def samples(reading: Reading) -> dict[tuple[str, Kind], list[float]]:
    assert not reading.parsed.rejected
    return {(c.series.metric, c.series.kind): c.values.tolist() for c in reading.parsed.columns}


def rejected(reading: Reading) -> dict[str, int]:
    return {fault.word: count for fault, count in reading.parsed.rejected.items()}


def test_a_gauge_is_a_series_of_its_service() -> None:
    made = message(gauge(point(attributes=attributes(path="/a")), unit="By"), scope="lib")

    [column] = read(made).parsed.columns

    labels = (("host.name", "h1"), ("otel.scope.name", "lib"), ("path", "/a"))
    assert column.series == Series(metric="m", component="shop", labels=labels, unit="By")
    assert column.times.tolist() == [MICROS]
    assert column.values.tolist() == [1.0]


@pytest.mark.parametrize(
    ("resource", "component", "labels"),
    [
        (
            {"service.name": "a b/c", "zone": "z"},
            "a_b_c",
            (("service.name", "a b/c"), ("zone", "z")),
        ),
        ({"host.name": "h1", "zone": ""}, "h1", ()),
        ({"service.name": "", "host.name": "h1"}, "h1", ()),
        ({}, "opentelemetry", ()),
    ],
)
def test_a_resource_names_the_component(
    resource: dict[str, str], component: str, labels: tuple[tuple[str, str], ...]
) -> None:
    [column] = read(message(gauge(), resource)).parsed.columns

    assert (column.series.component, column.series.labels) == (component, labels)


def test_attributes_of_every_type_become_text() -> None:
    nested = [
        {
            "key": "list",
            "value": {"arrayValue": {"values": [{"intValue": 1}, {"stringValue": "x"}]}},
        },
        {"key": "map", "value": {"kvlistValue": {"values": attributes(a=True)}}},
        {"key": "bytes", "value": {"bytesValue": base64.b64encode(b"\x00\xff").decode()}},
        {"key": "none", "value": {}},
        {"key": "nothing"},
    ]
    reported = attributes(text="t", yes=True, no=False, zero=0, real=1.5, big=2**62, empty="")

    [column] = read(message(gauge(point(attributes=reported + nested)), {})).parsed.columns

    assert dict(column.series.labels) == {
        "text": "t", "yes": "true", "no": "false", "zero": "0", "real": "1.5",
        "big": str(2**62), "list": '[1,"x"]', "map": '{"a":true}', "bytes": "AP8=",
    }  # fmt: skip


def test_an_attribute_of_a_point_outweighs_that_of_its_resource() -> None:
    reported = point(attributes=[{"key": "zone", "value": {"stringValue": "mine"}}])

    [column] = read(message(gauge(reported), {"zone": "theirs"})).parsed.columns

    assert column.series.labels == (("zone", "mine"),)


@pytest.mark.parametrize(
    ("temporality", "is_monotonic", "kind", "labels"),
    [
        (CUMULATIVE, True, Kind.COUNTER, ()),
        (CUMULATIVE, False, Kind.GAUGE, ()),
        (DELTA, True, Kind.GAUGE, (("temporality", "delta"),)),
        (DELTA, False, Kind.GAUGE, (("temporality", "delta"),)),
    ],
)
def test_sums_that_grow_are_counters_and_deltas_are_stored_as_they_come(
    temporality: int, is_monotonic: bool, kind: Kind, labels: tuple[tuple[str, str], ...]
) -> None:
    sums = {"aggregationTemporality": temporality, "isMonotonic": is_monotonic}
    points = [{"asInt": "7", "timeUnixNano": T}, {"asInt": "-2", "timeUnixNano": T + 1000}]

    [column] = read(message({"sum": {**sums, "dataPoints": points}}, {})).parsed.columns

    assert (column.series.kind, column.series.labels) == (kind, labels)
    assert column.values.tolist() == [7.0, -2.0]


@pytest.mark.parametrize(
    ("temporality", "is_monotonic", "starts"),
    [(CUMULATIVE, True, [MICROS - 9]), (CUMULATIVE, False, []), (DELTA, True, [])],
)
def test_a_sum_that_grows_has_a_zero_at_its_start(
    temporality: int, is_monotonic: bool, starts: list[int]
) -> None:
    sums = {"aggregationTemporality": temporality, "isMonotonic": is_monotonic}
    points = [point(7.0, startTimeUnixNano=T - 9000)]

    reading = read(message({"sum": {**sums, "dataPoints": points}}, {}))

    assert [time for column in reading.zeros for time in column.times] == starts


def test_a_point_that_is_rejected_has_no_zero() -> None:
    sums = {"aggregationTemporality": CUMULATIVE, "isMonotonic": True}
    old = T - 29 * 86_400 * 10**9
    points = [point("NaN", startTimeUnixNano=T - 9000), point(1.0, startTimeUnixNano=old)]

    reading = read(message({"sum": {**sums, "dataPoints": points}}, {}))

    assert reading.zeros == []


def test_a_delta_histogram_is_a_distribution_beside_its_count_and_sum() -> None:
    metric = {"histogram": {"aggregationTemporality": DELTA, "dataPoints": [HISTOGRAM]}}

    reading = read(message({**metric, "unit": "ms"}))

    assert samples(reading) == {("m_count", Kind.GAUGE): [30], ("m_sum", Kind.GAUGE): [200]}
    [histogram] = reading.parsed.histograms
    assert histogram.series.kind is Kind.DISTRIBUTION
    assert (histogram.series.metric, histogram.series.unit, histogram.time) == ("m", "ms", MICROS)
    assert histogram.counts.sum() == 30
    assert [c.series.unit for c in reading.parsed.columns] == ["", "ms"]
    assert "temporality" not in dict(histogram.series.labels)


def test_an_exponential_histogram_maps_bucket_by_bucket() -> None:
    metric = {"aggregationTemporality": DELTA, "dataPoints": [EXPONENTIAL]}

    [histogram] = read(message({"exponentialHistogram": metric})).parsed.histograms

    assert histogram.buckets.tolist() == [0, 18000]
    assert histogram.counts.tolist() == [1, 5]


@pytest.mark.parametrize("kind", ["histogram", "exponentialHistogram"])
def test_a_running_total_counts_from_the_one_before(kind: str) -> None:
    cache = OtlpCache(T)
    reported = HISTOGRAM if kind == "histogram" else EXPONENTIAL

    def send(seconds: int, factor: int) -> list[int]:
        now = {**reported, "timeUnixNano": T + seconds * 10**9, "startTimeUnixNano": 0}
        for name in ("bucketCounts", "count", "zeroCount"):
            if name in reported:
                now[name] = (np.array(reported[name]) * factor).tolist()
        if "positive" in reported:
            now["positive"] = {"offset": -3, "bucketCounts": [2 * factor, 0, 3 * factor]}
        metric = {kind: {"aggregationTemporality": CUMULATIVE, "dataPoints": [now]}}
        reading = read_protobuf(message(metric).SerializeToString(), cache)
        assert set(samples(reading)) == {("m_count", Kind.COUNTER), ("m_sum", Kind.COUNTER)}
        cache.totals.note_stored(otlp.resolve(reading, cache.totals))
        return [int(h.counts.sum()) for h in reading.parsed.histograms]

    whole = 30 if kind == "histogram" else 6
    assert send(1, 1) == []
    assert send(2, 3) == [2 * whole]
    assert send(2, 3) == []
    assert send(3, 3) == []
    assert send(4, 1) == [whole]


def test_a_running_total_beyond_what_can_be_summed_is_refused_when_it_is_resolved() -> None:
    huge = {**HISTOGRAM, "bucketCounts": [2**41, 0, 0]}
    metric = {"histogram": {"aggregationTemporality": CUMULATIVE, "dataPoints": [huge]}}
    reading = read(message(metric))

    otlp.resolve(reading, Totals(0))

    assert rejected(reading) == {"histogram": 1}


def test_a_histogram_without_buckets_is_its_count_and_sum() -> None:
    reported = {"timeUnixNano": T, "count": 3, "sum": 4.5}
    metric = {"histogram": {"aggregationTemporality": CUMULATIVE, "dataPoints": [reported]}}

    reading = read(message(metric))

    assert samples(reading) == {("m_count", Kind.COUNTER): [3], ("m_sum", Kind.COUNTER): [4.5]}
    assert not reading.running


def test_a_histogram_of_negative_values_has_no_sum() -> None:
    reported = {"timeUnixNano": T, "count": 3}
    metric = {"histogram": {"aggregationTemporality": CUMULATIVE, "dataPoints": [reported]}}

    assert samples(read(message(metric))) == {("m_count", Kind.COUNTER): [3]}


def test_a_summary_is_a_gauge_for_each_quantile() -> None:
    reported = {
        "timeUnixNano": T, "count": 10, "sum": 50.0,
        "quantileValues": [{"quantile": 0.5, "value": 4.0}, {"quantile": 0.99, "value": 9.0},
                           {"quantile": 1.0, "value": "NaN"}],
    }  # fmt: skip

    reading = read(message({"summary": {"dataPoints": [reported]}}, {}))

    assert [(c.series.metric, c.series.labels, c.values[0]) for c in reading.parsed.columns] == [
        ("m_count", (), 10),
        ("m_sum", (), 50),
        ("m", (("quantile", "0.5"),), 4),
        ("m", (("quantile", "0.99"),), 9),
    ]


def histogram_with(**changes: Any) -> dict[str, Any]:
    reported = {**HISTOGRAM, **changes}
    return {"histogram": {"aggregationTemporality": DELTA, "dataPoints": [reported]}}


@pytest.mark.parametrize(
    ("metric", "word"),
    [
        (gauge(point("NaN")), "nan"),
        (gauge(point("Infinity")), "infinite"),
        (gauge(point("-Infinity")), "infinite"),
        (gauge(point(1e300)), "too_large"),
        (gauge(point(1, T + 601 * 10**9)), "future"),
        (gauge(point(1, T - 29 * 86_400 * 10**9)), "too_old"),
        (gauge(point(1, 0)), "too_old"),
        (gauge(point(1, 2**64 - 1)), "future"),
        (gauge({"timeUnixNano": T}), "empty"),
        (gauge(name=""), "name"),
        (gauge(name="m" * 129), "name"),
        (gauge(unit="u" * 33), "unit"),
        (gauge(point(attributes=attributes(**{f"a{n}": "x" for n in range(31)}))), "labels"),
        (gauge(point(attributes=attributes(a="x" * 1025))), "label_value"),
        (gauge(point(attributes=attributes(**{"a" * 129: "x"}))), "label_name"),
        (gauge(point(attributes=attributes(a="\n"))), "label_value"),
        ({"sum": {"dataPoints": [point()]}}, "temporality"),
        (histogram_with(sum="NaN"), "nan"),
        (histogram_with(sum=1e200), "too_large"),
        (histogram_with(timeUnixNano=5), "too_old"),
        (histogram_with(bucketCounts=[1]), "histogram"),
        (histogram_with(explicitBounds=[2, 1]), "histogram"),
        ({"histogram": {"dataPoints": [HISTOGRAM]}}, "temporality"),
        ({}, "unknown"),
    ],
)
def test_a_point_that_cannot_be_stored_is_counted_alone(metric: dict[str, Any], word: str) -> None:
    reading = read(message(metric, {}, others=[gauge(name="fine")]))

    assert rejected(reading) == {word: 1}
    assert [column.series.metric for column in reading.parsed.columns] == ["fine"]
    assert not reading.parsed.histograms


def test_a_point_that_says_that_there_is_no_value_is_skipped() -> None:
    reading = read(message(gauge(point(flags=1), point(flags=2))))

    assert len(reading.parsed.columns) == 1
    assert [fault.word for fault in reading.parsed.skipped] == ["no_recorded_value"]
    assert not reading.parsed.rejected
