"""Request bodies with the same samples in every format."""

import gzip
import struct
from collections.abc import Iterable, Iterator, Mapping

import cramjam
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

SEED = 20_261_123
STEP_S = 15
METRIC, LABEL = "bench_load_percent", "core"
SAMPLE_HEAD, TIME_HEAD = b"\x12\x10\x09", b"\x10"
"""Bytes of a sample in remote write: a message of 16 bytes with a double and a 6-byte time."""


class Shape(Struct, frozen=True):
    """The number of series in a request, and the number of samples of each."""

    series: int
    each: int

    def __str__(self) -> str:
        return f"{self.series:,} x {self.each}"

    @property
    def samples(self) -> int:
        return self.series * self.each


class Batch(Struct, frozen=True, eq=False):
    """The samples of one request: times (epoch seconds), and a row of values for each series."""

    shape: Shape
    times: NDArray[np.int64]
    values: NDArray[np.float64]

    def rows(self) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64]]:
        """Return series, times in microseconds, and values. Shapes have no series in common."""
        first = self.shape.series
        ids = np.repeat(np.arange(first, 2 * first, dtype=np.int32), self.shape.each)
        return ids, np.tile(self.times * 1_000_000, self.shape.series), self.values.ravel()


def batches(shape: Shape, start_s: int, step_s: int = STEP_S) -> Iterator[Batch]:
    """Yield batches of the same series for ever. No time occurs twice.

    Values have all their digits, so that parsing them takes the longest possible time.
    """
    random = np.random.default_rng([SEED, shape.series])
    while True:
        times = np.arange(start_s, start_s + shape.each * step_s, step_s, dtype=np.int64)
        yield Batch(shape, times, random.normal(50, 20, (shape.series, shape.each)))
        start_s = int(times[-1]) + step_s


def to_json(component: str, batch: Batch) -> bytes:
    """Write the body of `POST /metrics`."""
    times = batch.times.tolist()
    columns = [
        {
            "metric": METRIC,
            "component": component,
            "labels": {LABEL: str(number)},
            "times": times,
            "values": values,
        }
        for number, values in enumerate(batch.values.tolist())
    ]
    return msgspec.json.encode({"series": columns})


def to_gzip(component: str, batch: Batch) -> bytes:
    """Write the same, compressed."""
    return gzip.compress(to_json(component, batch), compresslevel=6)


def to_otlp(component: str, batch: Batch) -> bytes:
    """Write gauge data points in protobuf."""
    request = ExportMetricsServiceRequest()
    sender = request.resource_metrics.add()
    sender.resource.attributes.add(key="service.name").value.string_value = component
    points = sender.scope_metrics.add().metrics.add(name=METRIC).gauge.data_points
    times = (batch.times * 1_000_000_000).tolist()
    for number, values in enumerate(batch.values.tolist()):
        for time, value in zip(times, values, strict=True):
            point = points.add(time_unix_nano=time, as_double=value)
            point.attributes.add(key=LABEL).value.string_value = str(number)
    encoded: bytes = request.SerializeToString()
    return encoded


def to_remote_write(component: str, batch: Batch) -> bytes:
    """Write a WriteRequest of Prometheus, in Snappy's block format."""
    times = (batch.times * 1000).tolist()
    return write_request(
        ({"__name__": METRIC, LABEL: str(number), "job": component}, times, values)
        for number, values in enumerate(batch.values.tolist())
    )


def write_request(series: Iterable[tuple[Mapping[str, str], list[int], list[float]]]) -> bytes:
    """Write a WriteRequest of series: sorted labels, times in ms, values."""
    request = bytearray()
    for labels, times, values in series:
        parts = [
            _part(1, _part(1, name.encode()) + _part(2, labels[name].encode())) for name in labels
        ]
        for time, value in zip(times, values, strict=True):
            parts.append(SAMPLE_HEAD + struct.pack("<d", value) + TIME_HEAD + _varint(time))
        request += _part(1, b"".join(parts))
    return bytes(cramjam.snappy.compress_raw(bytes(request)))


def _part(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:  # noqa: PLR2004 (seven bits a byte)
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])
