"""Decodes a WriteRequest of Prometheus remote write 1.0 into columns."""

import re
import struct
from typing import TypeGuard

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from api.ingest.admission.parsed_write import (
    INFINITE,
    NAN,
    TOO_LARGE,
    AcceptedTimes,
    Fault,
    FaultError,
    FlatSamples,
    ParsedWrite,
    take,
)
from api.ingest.formats.names import UNSTORABLE, Component, Memory, is_unit, series_of
from api.ingest.formats.protobuf_wire import CONTINUED, Body, Wire, malformed, varint
from model.errors import InvalidError
from model.limits import REQUEST_SAMPLES_MAX
from model.series import Kind, Series

FIELDS_MAX = 500_000
"""Most fields, without samples in Prometheus' own encoding, which are not read one by one."""
LABELS_BYTES_MAX = 64 * 2**10
FAMILY_CHARS_MAX = 256
UTF8_BYTES_MAX = 4
"""Most bytes of one character."""
JOB = "job"
COMPONENT = "prometheus"
"""The component of series without a job."""

SERIES, METADATA = 0x0A, 0x1A
LABEL, SAMPLE, HISTOGRAM = 0x0A, 0x12, 0x22
NAME, TEXT = 0x0A, 0x12
VALUE, TIME = 0x09, 0x10
TYPE, FAMILY, UNIT = 0x08, 0x12, 0x2A

COMMON = re.compile(rb"\x12(?:\x10\x09(.{8})|\x07)\x10([\x80-\xff]{5}[\x00-\x7f])", re.DOTALL)
"""A sample in Prometheus' encoding: the time takes six bytes, and a value of 0 is left out."""
ALL_COMMON = re.compile(rb"(?:%b)++" % COMMON.pattern, re.DOTALL)
"""Possessive, so that the regex engine stores no backtracking positions for each sample."""
VALUED_BYTES, ZERO_BYTES, TIME_BYTES = 18, 9, 6
VALUED_START = b"\x12\x10\x09"
ZERO = bytes(8)
TIME_MS_MAX = 2**52

GAUGES = {2, 4, 6, 7}
COUNTERS = {1}
PARTS = ("_bucket", "_count", "_sum", "_total")
"""Suffixes of counter series of a family, unless its type is among GAUGES."""

NOT_TEXT = Fault("label_value", "a label is not UTF-8")
TWICE = Fault("labels", "a series has the same label twice")
LONG = Fault("labels", f"the labels of a series have more than {LABELS_BYTES_MAX >> 10} KiB")
NATIVE = Fault("native_histogram", "a native histogram; set send_native_histograms to false")

SKIPPED = (NAN, INFINITE, TOO_LARGE, LONG, *UNSTORABLE)
"""Faults of samples that the protocol allows and Vigia does not store. They are skipped silently:
after a status 400 the sender counts the whole request as failed, and for instance every summary
without observations has NaN as its quantiles."""


class Refused(Struct, frozen=True):
    """The fault of a series' labels, and its metric if known."""

    fault: Fault
    metric: str


class Family(Struct, frozen=True):
    """The metadata of a metric family, which Prometheus sends from time to time."""

    type: int
    unit: str


class RemoteWriteCache:
    """State between requests: the series of labels, and the metadata of families."""

    def __init__(self) -> None:
        self.series: Memory[Series | Refused] = Memory()
        self.families: Memory[Family] = Memory()

    def learn(self, name: str, family: Family) -> None:
        """Store the metadata of a family; if it changed, drop the cached series."""
        if self.families.get(name) != family:
            self.families.put(name, family, len(name) + len(family.unit))
            self.series.forget()

    def kind(self, metric: str) -> tuple[Kind, str]:
        """Return the kind and unit of a metric."""
        ending = next((part for part in PARTS if metric.endswith(part)), "")
        family = self.families.get(metric) or self.families.get(metric.removesuffix(ending))
        if family is None:
            return Kind.COUNTER if ending else Kind.GAUGE, ""
        is_counter = family.type in COUNTERS or (ending and family.type not in GAUGES)
        unit = "" if ending in {"_bucket", "_count"} else family.unit
        return Kind.COUNTER if is_counter else Kind.GAUGE, unit


def read(body: Body, accepted: AcceptedTimes, cache: RemoteWriteCache) -> ParsedWrite:
    """Check every sample of a WriteRequest. Raises InvalidError if the body is not one."""
    return _Request(body, cache).judge(accepted)


class _Request:
    """Decodes one body.

    Samples in Prometheus' own encoding are collected as bytes and converted all at once. Samples in
    another valid encoding are decoded one by one.
    """

    def __init__(self, body: Body, cache: RemoteWriteCache) -> None:
        self._data = body
        self._wire = Wire(body, FIELDS_MAX)
        self._cache = cache
        self._parsed = ParsedWrite()
        self._count = 0
        self._series: list[Series] = []
        self._counts: list[int] = []
        self._values: list[bytes] = []
        self._times: list[bytes] = []
        self._others: list[tuple[Series, list[tuple[int, float]]]] = []

    def judge(self, accepted: AcceptedTimes) -> ParsedWrite:
        """Return the parsed body."""
        for tag, at, end in self._wire.fields(0, len(self._data)):
            if tag == SERIES:
                self._read_series(at, end)
            elif tag == METADATA:
                self._read_family(at, end)
        values = np.frombuffer(b"".join(self._values), "<f8")
        times = _times_of(b"".join(self._times))
        take(FlatSamples(self._series, self._counts, times, values), accepted, self._parsed)
        others = [sample for _, samples in self._others for sample in samples]
        samples = FlatSamples(
            [series for series, _ in self._others],
            [len(samples) for _, samples in self._others],
            _micros(np.array([time for time, _ in others], np.int64)),
            np.array([value for _, value in others], np.float64),
        )
        take(samples, accepted, self._parsed)
        self._parsed.skip(*SKIPPED)
        return self._parsed

    def _read_series(self, at: int, end: int) -> None:
        """Read one TimeSeries; the fast path is for known labels followed by a single sample."""
        data = self._data
        labels_end = end - VALUED_BYTES
        if data[labels_end : labels_end + len(VALUED_START)] != VALUED_START:
            labels_end = end - ZERO_BYTES
        # Slicing copies, so the slice must be bounded: a series may have many samples.
        is_short = at < labels_end <= at + LABELS_BYTES_MAX
        series = self._cache.series.get(data[at:labels_end]) if is_short else None
        sample = COMMON.fullmatch(data, labels_end, end) if series else None
        if series is None or sample is None:
            self._read_any_series(at, end)
        elif self._takes(series, 1):
            value, time = sample.groups(ZERO)
            self._series.append(series)
            self._counts.append(1)
            self._values.append(value)
            self._times.append(time)

    def _read_any_series(self, at: int, end: int) -> None:
        labels_end = self._labels_end(at, end)
        # findall creates an object for each sample, so check their number first.
        is_long = end - labels_end > VALUED_BYTES * (REQUEST_SAMPLES_MAX - self._count)
        if is_long or not ALL_COMMON.fullmatch(self._data, labels_end, end):
            self._read_others(at, labels_end, end)
            return
        samples = COMMON.findall(self._data, labels_end, end)
        series = self._series_of(self._labels(at, labels_end))
        if self._takes(series, len(samples)):
            self._series.append(series)
            self._counts.append(len(samples))
            self._values += [value or ZERO for value, _ in samples]
            self._times += [time for _, time in samples]

    def _takes(self, series: Series | Refused, count: int) -> TypeGuard[Series]:
        """Count samples; return whether their series can be stored, or reject them."""
        self._check_count(count)
        self._count += count
        if isinstance(series, Series):
            return True
        self._parsed.reject(series.fault, count, series.metric)
        return False

    def _check_count(self, more: int) -> None:
        """Raise InvalidError if `more` samples would exceed the limit of a request."""
        if self._count + more > REQUEST_SAMPLES_MAX:
            raise InvalidError(
                f"a request may have at most {REQUEST_SAMPLES_MAX:,} samples; "
                "set max_samples_per_send to a lower number"
            )

    def _labels_end(self, at: int, end: int) -> int:
        """Return the end of the labels at the start of a series."""
        data = self._data
        while at + 1 < end and data[at] == LABEL:
            size = data[at + 1]
            at += 2
            if size >= CONTINUED:
                size, at = varint(data, at - 1, end)
            at += size
        if at > end:
            raise malformed()
        return at

    def _labels(self, at: int, end: int) -> bytes:
        """Return the bytes of labels, cut to one byte more than allowed."""
        return self._data[at : min(end, at + LABELS_BYTES_MAX + 1)]

    def _read_others(self, at: int, labels_end: int, end: int) -> None:
        labels = self._labels(at, labels_end)
        samples: list[tuple[int, float]] = []
        histograms = 0
        for tag, start, stop in self._wire.fields(labels_end, end):
            if tag == SAMPLE:
                self._check_count(len(samples) + 1)
                samples.append(self._sample(start, stop))
            elif tag == LABEL and len(labels) <= LABELS_BYTES_MAX:
                labels += self._labels(labels_end, stop)
            histograms += tag == HISTOGRAM
            labels_end = stop
        series = self._series_of(labels)
        if self._takes(series, len(samples) + histograms):
            self._others.append((series, samples))
            self._parsed.reject(NATIVE, histograms)

    def _sample(self, at: int, end: int) -> tuple[int, float]:
        time, value = 0, 0.0
        for tag, start, stop in self._wire.fields(at, end):
            if tag == TIME:
                time = start - (start >> 63 << 64)
            elif tag == VALUE:
                [value] = struct.unpack("<d", self._data[start:stop])
        return time, value

    def _series_of(self, labels: bytes) -> Series | Refused:
        found = self._cache.series.get(labels)
        if found is None:
            try:
                found = series_of_labels(labels, self._cache)
            except FaultError as error:
                found = Refused(error.fault, error.metric)
            if len(labels) <= LABELS_BYTES_MAX:
                self._cache.series.put(labels, found, 2 * len(labels))
        return found

    def _read_family(self, at: int, end: int) -> None:
        type_, name, unit = 0, "", ""
        for tag, start, stop in self._wire.fields(at, end):
            if tag == TYPE:
                type_ = start
            elif tag == FAMILY:
                name = self._word(start, stop)
            elif tag == UNIT:
                unit = self._word(start, stop)
        if len(name) <= FAMILY_CHARS_MAX:
            # Drop a unit that cannot be stored, but keep the samples.
            self._cache.learn(name, Family(type_, unit if is_unit(unit) else ""))

    def _word(self, at: int, end: int) -> str:
        """Return the name or unit of a family. One that is too long is cut, but stays too long."""
        longest = FAMILY_CHARS_MAX * UTF8_BYTES_MAX
        return self._data[at : min(end, at + longest + 1)].decode(errors="replace")


def series_of_labels(labels: bytes, cache: RemoteWriteCache) -> Series:
    """Return the series for the encoded labels of a TimeSeries. Raises FaultError."""
    if len(labels) > LABELS_BYTES_MAX:
        raise FaultError(LONG)
    pairs: dict[str, str] = {}
    wire = Wire(labels, LABELS_BYTES_MAX)
    for _, at, end in wire.fields(0, len(labels)):
        pair = {tag: labels[start:stop] for tag, start, stop in wire.fields(at, end)}
        try:
            name, value = pair.get(NAME, b"").decode(), pair.get(TEXT, b"").decode()
        except UnicodeDecodeError:
            raise FaultError(NOT_TEXT) from None
        if name in pairs:
            raise FaultError(TWICE)
        pairs[name] = value
    metric = pairs.pop("__name__", "")
    component = Component(pairs.pop(JOB, "") or COMPONENT, JOB)
    kind, unit = cache.kind(metric)
    return series_of(metric, component, pairs, unit, kind)


def _times_of(records: bytes) -> NDArray[np.int64]:
    digits = np.frombuffer(records, np.uint8).reshape(-1, TIME_BYTES) & 0x7F
    places = np.arange(0, 7 * TIME_BYTES, 7)
    return _micros((digits.astype(np.int64) << places).sum(axis=1))


def _micros(milliseconds: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(milliseconds, -TIME_MS_MAX, TIME_MS_MAX) * 1000
