"""Parses samples in Vigia's own format. An invalid sample is rejected alone; others are stored."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

from api.ingest.admission.parsed_write import (
    AcceptedTimes,
    Fault,
    FaultError,
    FlatSamples,
    ParsedWrite,
    take,
)
from api.ingest.formats.json_parts import in_pieces, is_small, unreadable
from api.ingest.formats.protobuf_wire import Body
from model.errors import InvalidError
from model.limits import (
    EPOCH_S_MAX,
    IDENTITY_BYTES_MAX,
    LABEL_NAME_BYTES_MAX,
    LABEL_VALUE_BYTES_MAX,
    LABELS_MAX,
    NAME_CHARS_MAX,
    REQUEST_SAMPLES_MAX,
    REQUEST_SERIES_MAX,
    UNIT_CHARS_MAX,
)
from model.series import Category, Kind, Series, identity_bytes, labels_of
from model.text import METRIC_NAME, UNSAFE_WORDS, is_safe
from model.times import micros_of, parse_moment

NAME_RULE = (
    f"must have 1 to {NAME_CHARS_MAX} letters, digits, '_', '.', ':' or '-', "
    "and must start with a letter or '_'"
)
METRIC = Fault("name", f"metric {NAME_RULE}")
COMPONENT = Fault("name", f"component {NAME_RULE}")
UNIT = Fault("unit", f"unit may have at most {UNIT_CHARS_MAX} characters, and no {UNSAFE_WORDS}")
RESOLUTION = Fault("resolution", "resolution must be greater than 0")
LABELS = Fault("labels", f"a series may have at most {LABELS_MAX} labels")
LABEL_NAME = Fault(
    "label_name",
    f"a label name must have 1 to {LABEL_NAME_BYTES_MAX} bytes, and no {UNSAFE_WORDS}",
)
LABEL_VALUE = Fault(
    "label_value",
    f"a label value may have at most {LABEL_VALUE_BYTES_MAX} bytes, and no {UNSAFE_WORDS}",
)
LONG_LABELS = Fault(
    "labels",
    f"component and labels may have at most {IDENTITY_BYTES_MAX} bytes together; "
    "leave out long labels",
)
TIME = Fault("time", "a time is neither epoch seconds nor RFC 3339")
NULL = Fault("null", "a value is null")
NO_TIME = -1
INLINE_BYTES_MAX = 8 << 10
"""A body of up to this size is parsed within a millisecond, whatever it contains."""

Time = float | str


class Column(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Samples of one series: `times` (epoch seconds or RFC 3339) and as many `values`."""

    metric: str
    component: str
    times: list[Time]
    values: list[float | None]
    category: Category = Category.SYSTEM
    labels: dict[str, str] = {}
    unit: str = ""
    kind: Kind = Kind.GAUGE
    resolution: float | None = None


class Batch(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /metrics`."""

    series: list[Column]


class _Series(Struct, frozen=True, forbid_unknown_fields=True):
    series: list[Raw]


COMMAS_MAX = 2 * REQUEST_SAMPLES_MAX + REQUEST_SERIES_MAX * (
    len(Column.__struct_fields__) + LABELS_MAX
)
"""The most commas that a batch within its limits can have."""

_BATCH = msgspec.json.Decoder(Batch)
_SERIES = msgspec.json.Decoder(_Series)
_COLUMNS = msgspec.json.Decoder(list[Column])


def read(body: Body, accepted: AcceptedTimes) -> ParsedWrite:
    """Return the parsed samples of a request body. Raises InvalidError as `check` does."""
    return check(_columns(body), accepted)


def _columns(body: Body) -> Iterable[Column]:
    """Return the columns of a body; those of a large body are decoded while they are consumed.

    Creating or freeing objects in one call blocks all other threads, so no call may take long.
    """
    try:
        if is_small(body, COMMAS_MAX):
            return _BATCH.decode(body).series
        return in_pieces(_SERIES.decode(body).series, _COLUMNS, "series")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unreadable(error) from None


def check(columns: Iterable[Column], accepted: AcceptedTimes) -> ParsedWrite:
    """Check every sample.

    Raises InvalidError for unequal numbers of times and values, and for too large requests.
    """
    parsed = ParsedWrite()
    series: list[Series] = []
    all_times: list[list[Time]] = []
    all_values: list[list[float | None]] = []
    for column in _counted(columns):
        try:
            series.append(_series(column))
        except FaultError as error:
            parsed.reject(error.fault, len(column.times))
        else:
            all_times.append(column.times)
            all_values.append(column.values)
    times = _micros(list(chain.from_iterable(all_times)))
    # JSON has no NaN, so every NaN comes from a null.
    values = np.array(list(chain.from_iterable(all_values)), np.float64)
    own = [(TIME, times == NO_TIME), (NULL, np.isnan(values))]
    take(FlatSamples(series, list(map(len, all_times)), times, values), accepted, parsed, own)
    return parsed


def _counted(columns: Iterable[Column]) -> Iterator[Column]:
    count = 0
    for index, column in enumerate(columns):
        if len(column.times) != len(column.values):
            raise InvalidError(
                f"series[{index}] has {len(column.times)} times and {len(column.values)} values; "
                "send equal numbers"
            )
        count += len(column.times)
        if count > REQUEST_SAMPLES_MAX or index >= REQUEST_SERIES_MAX:
            raise InvalidError(
                f"a request may have at most {REQUEST_SAMPLES_MAX:,} samples and "
                f"{REQUEST_SERIES_MAX:,} series; split it"
            )
        yield column


def _micros(times: Sequence[Time]) -> NDArray[np.int64]:
    """Return times as microseconds since 1970; NO_TIME for invalid ones."""
    if str in set(map(type, times)):
        return np.array([_micros_of(time) for time in times], np.int64)
    seconds = np.array(times, np.float64)
    is_time = (seconds >= 0) & (seconds <= EPOCH_S_MAX)
    seconds = np.where(is_time, seconds, 0.0)
    whole = np.floor(seconds)
    micros = whole * 1e6 + np.rint((seconds - whole) * 1e6)
    return np.where(is_time, micros, NO_TIME).astype(np.int64)


def _micros_of(time: Time) -> int:
    if not isinstance(time, str):
        return int(_micros([time])[0])
    try:
        found = parse_moment(time)
    except InvalidError:
        return NO_TIME
    return NO_TIME if found is None else micros_of(found)


def _series(column: Column) -> Series:
    """Return the series of a column. Raises FaultError."""
    if fault := _fault(column):
        raise FaultError(fault)
    return Series(
        metric=column.metric,
        component=column.component,
        category=column.category,
        labels=labels_of(column.labels),
        unit=column.unit,
        kind=column.kind,
        resolution=column.resolution,
    )


def _fault(column: Column) -> Fault | None:
    if not METRIC_NAME.fullmatch(column.metric):
        return METRIC
    if not METRIC_NAME.fullmatch(column.component):
        return COMPONENT
    if len(column.unit) > UNIT_CHARS_MAX or not is_safe(column.unit):
        return UNIT
    if column.resolution is not None and not 0 < column.resolution < math.inf:
        return RESOLUTION
    if fault := _fault_of_labels(column.labels):
        return fault
    is_long = identity_bytes(column.component, column.labels.items()) > IDENTITY_BYTES_MAX
    return LONG_LABELS if is_long else None


def _fault_of_labels(labels: dict[str, str]) -> Fault | None:
    if len(labels) > LABELS_MAX:
        return LABELS
    for name, value in labels.items():
        if not 0 < len(name.encode()) <= LABEL_NAME_BYTES_MAX or not is_safe(name):
            return LABEL_NAME
        if len(value.encode()) > LABEL_VALUE_BYTES_MAX or not is_safe(value):
            return LABEL_VALUE
    return None
