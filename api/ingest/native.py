"""Samples in our own form: checked one by one, so that one bad sample costs only itself."""

import math
import re
from collections.abc import Sequence
from itertools import chain

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from api.ingest.intake import Fault, FaultError, Flat, Intake, Window, take
from api.ingest.limits import (
    LABEL_NAME_BYTES_MAX,
    LABEL_VALUE_BYTES_MAX,
    LABELS_MAX,
    SAMPLES_MAX,
    SERIES_MAX,
    UNIT_CHARS_MAX,
)
from api.ingest.wire import Body
from api.times import EPOCH_S_MAX, parse_moment
from vigia.model import Category, InvalidError, Kind, Series, labels_of, micros_of
from vigia.text import UNSAFE_WORDS, is_safe

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}", re.ASCII)

METRIC = Fault("name", f"metric: the name must match {NAME.pattern}")
COMPONENT = Fault("name", f"component: the name must match {NAME.pattern}")
UNIT = Fault("unit", f"unit: at most {UNIT_CHARS_MAX} characters, no {UNSAFE_WORDS}")
RESOLUTION = Fault("resolution", "resolution: must be more than 0")
LABELS = Fault("labels", f"labels: at most {LABELS_MAX}")
LABEL_NAME = Fault(
    "label_name", f"labels: a name has 1 to {LABEL_NAME_BYTES_MAX} bytes, no {UNSAFE_WORDS}"
)
LABEL_VALUE = Fault(
    "label_value",
    f"labels: a value has at most {LABEL_VALUE_BYTES_MAX} bytes, no {UNSAFE_WORDS}",
)
TIME = Fault("time", "a time is neither epoch seconds nor RFC 3339")
NULL = Fault("null", "a value is null")
NO_TIME = -1

Time = float | str


class Column(Struct, frozen=True, forbid_unknown_fields=True):
    """Samples of one series: as many `times` (epoch seconds or RFC 3339) as `values`."""

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
    """What is sent to `POST /metrics`."""

    series: list[Column]


def read(body: Body, window: Window) -> Intake:
    """Judge every sample of a request's body."""
    try:
        batch = msgspec.json.decode(body, type=Batch)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"the body cannot be read: {error}") from None
    return check(batch, window)


def check(batch: Batch, window: Window) -> Intake:
    """Judge every sample. Raises InvalidError for a batch that does not even count up."""
    _check_counts(batch)
    intake = Intake()
    fine: list[Column] = []
    series: list[Series] = []
    for column in batch.series:
        try:
            series.append(_series(column))
        except FaultError as error:
            intake.reject(error.fault, len(column.times))
        else:
            fine.append(column)
    counts = [len(column.times) for column in fine]
    times = _micros(list(chain.from_iterable(column.times for column in fine)))
    # No number of JSON becomes a NaN, so that one is a null.
    values = np.array(list(chain.from_iterable(column.values for column in fine)), np.float64)
    own = [(TIME, times == NO_TIME), (NULL, np.isnan(values))]
    take(Flat(series, counts, times, values), window, intake, own)
    return intake


def _check_counts(batch: Batch) -> None:
    for index, column in enumerate(batch.series):
        if len(column.times) != len(column.values):
            raise InvalidError(
                f"series[{index}] has {len(column.times)} times and {len(column.values)} values; "
                "send as many of the one as of the other"
            )
    count = sum(len(column.times) for column in batch.series)
    if count > SAMPLES_MAX or len(batch.series) > SERIES_MAX:
        raise InvalidError(
            f"a request may hold {SAMPLES_MAX} samples of {SERIES_MAX} series; "
            f"this one holds {count} of {len(batch.series)}: split it"
        )


def _micros(times: Sequence[Time]) -> NDArray[np.int64]:
    """Return times as microseconds since 1970, NO_TIME for what is none."""
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
    if not NAME.fullmatch(column.metric):
        return METRIC
    if not NAME.fullmatch(column.component):
        return COMPONENT
    if len(column.unit) > UNIT_CHARS_MAX or not is_safe(column.unit):
        return UNIT
    if column.resolution is not None and not 0 < column.resolution < math.inf:
        return RESOLUTION
    return _fault_of_labels(column.labels)


def _fault_of_labels(labels: dict[str, str]) -> Fault | None:
    if len(labels) > LABELS_MAX:
        return LABELS
    for name, value in labels.items():
        if not 0 < len(name.encode()) <= LABEL_NAME_BYTES_MAX or not is_safe(name):
            return LABEL_NAME
        if len(value.encode()) > LABEL_VALUE_BYTES_MAX or not is_safe(value):
            return LABEL_VALUE
    return None
