"""Data points read in place mean the same as those that the protobuf library reads."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import NumberDataPoint

from tests.api.ingest.otlp_requests import T, read_protobuf
from tests.api.ingest.remote import part

FIELDS = {
    "start": b"\x11" + struct.pack("<Q", T - 10**9),
    "time": b"\x19" + struct.pack("<Q", T),
    "double": b"\x21" + struct.pack("<d", 2.5),
    "int": b"\x31" + struct.pack("<q", -3),
    "attribute": b"\x3a\x0a\x0a\x01n\x12\x05\x0a\x03one",
    "flag": b"\x40\x01",
    "no flag": b"\x40\x00",
    "exemplar": b"\x2a\x09\x11" + bytes(8),
}
METRIC = part(1, b"load")


COUNTER = b"\x10\x02\x18\x01"
"""A sum that is cumulative and only grows."""


def body(raw: bytes) -> bytes:
    """Return a request with one data point of a counter."""
    return part(1, part(2, part(2, METRIC + part(7, part(1, raw) + COUNTER))))


@given(st.permutations(sorted(FIELDS)), st.integers(0, len(FIELDS)))
def test_a_number_means_the_same_in_whatever_order_its_fields_are_written(
    names: list[str], count: int
) -> None:
    raw = b"".join(FIELDS[name] for name in names[:count])
    usual = NumberDataPoint.FromString(raw).SerializeToString()

    readings = read_protobuf(body(raw)), read_protobuf(body(usual))

    one, other = (reading.parsed for reading in readings)
    is_counted = {"start", "time"} <= set(names[:count]) and len(one.columns) == 1
    for reading in readings:
        assert [c.times.tolist() for c in reading.zeros] == is_counted * [[T // 1000 - 1_000_000]]
    assert [c.series for c in one.columns] == [c.series for c in other.columns]
    assert [c.values.tolist() for c in one.columns] == [c.values.tolist() for c in other.columns]
    assert (one.rejected, one.skipped) == (other.rejected, other.skipped)
    if set(names[:count]) == {"time", "double", "attribute"}:
        [column] = one.columns
        assert column.values.tolist() == [2.5]
        assert column.times.tolist() == [T // 1000]
        assert ("n", "one") in column.series.labels
