"""Samples in our own form: checked one by one, so that one bad sample costs only itself."""

import math
import re
from collections import Counter
from datetime import datetime

import msgspec
from msgspec import Struct

from api.times import of_epoch, parse_moment
from vigia.model import Category, InvalidError, Kind, Sample, Series, labels_of

SAMPLES_MAX = 50_000
SERIES_MAX = 10_000
REASONS_MAX = 20
LABELS_MAX = 30
LABEL_NAME_BYTES_MAX = 128
LABEL_VALUE_BYTES_MAX = 1024
UNIT_CHARS_MAX = 32
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
VALUE_MAX = 1e140
"""A sum of larger squares could be beyond what a double holds, and then no roll-up is made."""

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}", re.ASCII)

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


class Reason(Struct, frozen=True):
    """Why samples were rejected, and how many of them."""

    reason: str
    count: int


class Window(Struct, frozen=True):
    """The times in which samples are accepted."""

    start: datetime
    end: datetime


class Checked(Struct, frozen=True):
    """What of a batch can be stored, and why the rest cannot."""

    samples: list[Sample]
    rejected: Counter[str]

    def reasons(self) -> list[Reason]:
        """Return the commonest reasons; the others are summed up."""
        common = [Reason(*item) for item in self.rejected.most_common(REASONS_MAX)]
        rest = self.rejected.total() - sum(reason.count for reason in common)
        return [*common, Reason("other reasons", rest)] if rest else common


def read(body: bytes, window: Window) -> Checked:
    """Judge every sample of a request's body."""
    try:
        batch = msgspec.json.decode(body, type=Batch)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"the body cannot be read: {error}") from None
    return check(batch, window)


def check(batch: Batch, window: Window) -> Checked:
    """Judge every sample. Raises InvalidError for a batch that does not even count up."""
    _check_counts(batch)
    samples: list[Sample] = []
    rejected: Counter[str] = Counter()
    for column in batch.series:
        problem = _problem(column)
        if problem:
            rejected[problem] += len(column.times)
        else:
            _check_column(column, window, samples, rejected)
    return Checked(samples, +rejected)


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


def _check_column(
    column: Column, window: Window, samples: list[Sample], rejected: Counter[str]
) -> None:
    series = Series(
        metric=column.metric,
        component=column.component,
        category=column.category,
        labels=labels_of(column.labels),
        unit=column.unit,
        kind=column.kind,
        resolution=column.resolution,
    )
    for time, value in zip(map(_moment, column.times), column.values, strict=True):
        if time is None:
            rejected["a time is neither epoch seconds nor RFC 3339"] += 1
        elif value is None:
            rejected["a value is null"] += 1
        elif abs(value) > VALUE_MAX:
            rejected[f"a value is beyond {VALUE_MAX:g}"] += 1
        elif time < window.start:
            rejected[f"older than {window.start:%Y-%m-%dT%H:%M:%SZ}, which is no longer kept"] += 1
        elif time > window.end:
            rejected["more than 10 minutes in the future"] += 1
        else:
            samples.append(Sample(series, time, value))


def _moment(time: Time) -> datetime | None:
    try:
        return parse_moment(time) if isinstance(time, str) else of_epoch(time)
    except InvalidError:
        return None


def _problem(column: Column) -> str:
    """Say what is wrong with the series itself, if anything."""
    if not NAME.fullmatch(column.metric):
        return f"metric: the name must match {NAME.pattern}"
    if not NAME.fullmatch(column.component):
        return f"component: the name must match {NAME.pattern}"
    if len(column.unit) > UNIT_CHARS_MAX or not _is_storable(column.unit):
        return f"unit: at most {UNIT_CHARS_MAX} characters without control characters"
    if column.resolution is not None and not 0 < column.resolution < math.inf:
        return "resolution: must be more than 0"
    return _problem_of_labels(column.labels)


def _problem_of_labels(labels: dict[str, str]) -> str:
    if len(labels) > LABELS_MAX:
        return f"labels: at most {LABELS_MAX}"
    for name, value in labels.items():
        if not 0 < len(name.encode()) <= LABEL_NAME_BYTES_MAX or not _is_storable(name):
            return f"labels: a name has 1 to {LABEL_NAME_BYTES_MAX} bytes, no control characters"
        if len(value.encode()) > LABEL_VALUE_BYTES_MAX or not _is_storable(value):
            return (
                f"labels: a value has at most {LABEL_VALUE_BYTES_MAX} bytes, no control characters"
            )
    return ""


def _is_storable(text: str) -> bool:
    return CONTROL.search(text) is None
