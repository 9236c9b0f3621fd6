"""Hostile bodies in place of OpenTelemetry metrics are read or refused, within limits."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from api.ingest.formats import otlp
from api.ingest.formats.cumulative import Totals
from api.ingest.formats.json_parts import BYTES_AT_ONCE
from api.ingest.formats.otlp import OtlpCache, Reading
from model.errors import InvalidError
from model.limits import REQUEST_SAMPLES_MAX
from tests.api.ingest.memory import little_memory
from tests.api.ingest.otlp_requests import (
    CUMULATIVE,
    DELTA,
    EXPONENTIAL,
    HISTOGRAM,
    SHOP,
    attributes,
    gauge,
    message,
    point,
    read_json,
    read_protobuf,
)
from tests.api.ingest.remote import part


def test_a_request_has_a_most_of_points_and_parts() -> None:
    many = message(gauge(*[point()] * 100)).resource_metrics[0].SerializeToString()
    [column] = read_protobuf(part(1, many) * (REQUEST_SAMPLES_MAX // 100)).parsed.columns
    assert len(column.times) == REQUEST_SAMPLES_MAX
    with pytest.raises(InvalidError, match="data points"):
        read_protobuf(part(1, many) * (REQUEST_SAMPLES_MAX // 100 + 1))
    for body in (b"\x0a\x00" * 600_000, part(1, part(2, b"\x12\x00" * 600_000))):
        with pytest.raises(InvalidError, match="too many fields"):
            read_protobuf(body)
    with pytest.raises(InvalidError, match="too many values"):
        read_json(b'{"resourceMetrics":[' + b"{}," * 600_000 + b"{}]}")


def test_a_large_body_means_the_same_as_a_small_one() -> None:
    points = [point(attributes=attributes(host=f"h{number}", rack="1,2")) for number in range(200)]
    small = json_format.MessageToDict(message(gauge(*points)))
    [of_resource] = small["resourceMetrics"]
    large = {"resourceMetrics": [of_resource] * 100}

    [one, many] = [read_json(json.dumps(body).encode()).parsed for body in (small, large)]

    assert len(json.dumps(large)) > BYTES_AT_ONCE
    assert {column.series for column in many.columns} == {column.series for column in one.columns}
    assert sum(len(column.times) for column in many.columns) == 100 * 200


def test_a_request_has_a_most_of_rows_of_histograms() -> None:
    wide = {"offset": 0, "bucketCounts": [16] * 900}
    one = {**EXPONENTIAL, "scale": 1, "positive": wide}
    reported = [{**one, "attributes": attributes(n=n)} for n in range(20)]
    for temporality in (DELTA, CUMULATIVE):
        metric = {"aggregationTemporality": temporality, "dataPoints": reported}
        made = message({"exponentialHistogram": metric})
        with pytest.raises(InvalidError, match="buckets"):
            otlp.resolve(read_protobuf(made.SerializeToString()), Totals(0))


@pytest.mark.parametrize(
    ("around", "empty"),
    [((), b"\x0a\x00"), ((5, 2, 2, 1), b"\x0a\x00"), ((1, 5, 2, 2, 1), b"\x3a\x00")],
    ids=["resources", "points", "attributes"],
)
def test_a_body_of_empty_parts_takes_little_memory(around: tuple[int, ...], empty: bytes) -> None:
    """Each of them would be an object of a hundred bytes to a usual decoder: a gigabyte."""
    body = empty * (15 << 20)
    for number in around:
        body = part(number, body)

    with little_memory(120 << 20):
        check_any(read_protobuf, body)


def test_a_large_point_is_refused_alone() -> None:
    made = message(gauge(point(), point(attributes=attributes(a="x" * 70_000))))

    parsed = read_protobuf(made.SerializeToString()).parsed

    assert [fault.word for fault in parsed.rejected.elements()] == ["point"]
    assert len(parsed.columns) == 1


VALID = message(
    {"histogram": {"aggregationTemporality": CUMULATIVE, "dataPoints": [HISTOGRAM]}}, SHOP, "lib"
)
VALID.MergeFrom(
    message(
        {"exponentialHistogram": {"aggregationTemporality": DELTA, "dataPoints": [EXPONENTIAL]}}
    )
)
VALID.MergeFrom(message(gauge(point(attributes=attributes(a=1, b="c"))), SHOP))
VALID_PROTOBUF = VALID.SerializeToString()
VALID_JSON = json_format.MessageToJson(VALID, indent=None).encode()


def check_any(read_body: Callable[[bytes, OtlpCache], Reading], body: bytes) -> None:
    cache = OtlpCache(0)
    try:
        reading = read_body(body, cache)
    except InvalidError as error:
        refused = str(error)
        assert refused
    else:
        otlp.resolve(reading, cache.totals)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    check_any(read_protobuf, body)
    check_any(read_json, body)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3), st.integers(0, 10_000))
def test_a_damaged_request_is_read_or_refused(at: int, put: bytes, length: int) -> None:
    for reader, valid in ((read_protobuf, VALID_PROTOBUF), (read_json, VALID_JSON)):
        start, end = at % len(valid), length % len(valid)
        damaged = valid[:start] + put + valid[start + len(put) :]
        for body in (damaged, damaged[:end], valid[end:]):
            check_any(reader, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key, each in inner:
            found += places(each, (*path, key)) if isinstance(each, dict | list) else [(*path, key)]
    return found


@given(st.data(), json_values)
def test_anything_in_any_place_of_json_is_read_or_refused(data: st.DataObject, put: Any) -> None:
    document = json.loads(VALID_JSON)
    path = data.draw(st.sampled_from(places(document)))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = put

    check_any(read_json, json.dumps(document).encode())
