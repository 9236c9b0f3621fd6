"""Turns the rows of a query into samples, for SQL files of a collector and for SQL rules.

A column `label_x` is the label `x`. Every other column is a value. NULL means unknown: a NULL value
gives no sample, and a NULL label is left out.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from model.limits import (
    IDENTITY_BYTES_MAX,
    LABEL_NAME_BYTES_MAX,
    LABEL_VALUE_BYTES_MAX,
    LABELS_MAX,
    TEXT_CHARS_MAX,
    VALUE_MAX,
)
from model.series import Labels, Sample, Series, identity_bytes, labels_of
from model.text import UNSAFE_WORDS, clean, is_safe

ROWS_MAX = 1000
LABEL_PREFIX = "label_"

SeriesOf = Callable[[str, str, Labels], Series]
"""Returns the series for a column's name, a component and labels.

It must keep the component and the labels unchanged.
"""


class RowsError(ValueError):
    """The rows cannot be stored, so none of them is. The message names the column."""


class Answer(Struct, frozen=True):
    """The result of a query: each row has one field for each column.

    `component_column` is the column that names the component of its row, or None.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    component_column: str | None = None


def value_columns(answer: Answer) -> list[str]:
    """Return the columns that hold values, in their order."""
    return [
        column
        for column in answer.columns
        if not column.startswith(LABEL_PREFIX) and column != answer.component_column
    ]


def samples_of_rows(
    answer: Answer, time: datetime, component: str, series_of: SeriesOf
) -> list[Sample]:
    """Return the samples of an answer, in the order of its rows.

    A row that names no component belongs to `component`. Raises RowsError.
    """
    _check(answer)
    samples = [
        Sample(series, time, value)
        for row in answer.rows
        for series, value in _values(answer, row, component, series_of)
    ]
    _check_distinct(samples)
    return samples


def _check(answer: Answer) -> None:
    for column in answer.columns:
        if answer.columns.count(column) > 1:
            raise RowsError(f"two columns are named {clean(column)}; rename one with AS")
    if not value_columns(answer):
        raise RowsError("the query returns no value column; select at least one number")
    if len(answer.rows) > ROWS_MAX:
        raise RowsError(f"the query returns more than {ROWS_MAX} rows; add a LIMIT or a filter")


def _values(
    answer: Answer, row: Sequence[object], component: str, series_of: SeriesOf
) -> Iterator[tuple[Series, float]]:
    fields = zip(answer.columns, row, strict=True)
    known = {column: value for column, value in fields if value is not None}
    component = _component(answer, known) or component
    labels = _labels(known)
    if identity_bytes(component, labels) > IDENTITY_BYTES_MAX:
        raise RowsError(
            f"the component and labels of a row have more than {IDENTITY_BYTES_MAX} bytes together;"
            " shorten them"
        )
    for column in value_columns(answer):
        if column in known:
            yield series_of(column, component, labels), _number(column, known[column])


def _component(answer: Answer, row: Mapping[str, object]) -> str:
    """Return the component that a row names, or an empty text."""
    name = str(row.get(answer.component_column or "", ""))
    if len(name) > TEXT_CHARS_MAX or not is_safe(name):
        raise RowsError(
            f"{answer.component_column} contains {UNSAFE_WORDS}, "
            f"or more than {TEXT_CHARS_MAX} characters"
        )
    return name


def _labels(row: Mapping[str, object]) -> Labels:
    labels = {
        column.removeprefix(LABEL_PREFIX): str(value)
        for column, value in row.items()
        if column.startswith(LABEL_PREFIX)
    }
    if len(labels) > LABELS_MAX:
        raise RowsError(f"a row has more than {LABELS_MAX} labels; remove some")
    for name, value in labels.items():
        _check_label(name, value)
    return labels_of(labels)


def _check_label(name: str, value: str) -> None:
    if not name:
        raise RowsError(
            f"the column {LABEL_PREFIX} names no label; write {LABEL_PREFIX}host, for example"
        )
    if len(name.encode()) > LABEL_NAME_BYTES_MAX or not is_safe(name):
        raise RowsError(
            f"the column name {LABEL_PREFIX}{clean(name)} contains {UNSAFE_WORDS}, "
            f"or more than {LABEL_NAME_BYTES_MAX} bytes"
        )
    if len(value.encode()) > LABEL_VALUE_BYTES_MAX or not is_safe(value):
        raise RowsError(
            f"a value of {LABEL_PREFIX}{name} contains {UNSAFE_WORDS}, "
            f"or more than {LABEL_VALUE_BYTES_MAX} bytes"
        )


def _number(column: str, value: object) -> float:
    """Return a field as a number: true is 1, and false is 0."""
    if not isinstance(value, int | float | Decimal):
        raise RowsError(
            f"{column} is not a number; cast it to one, or name the column {LABEL_PREFIX}{column}"
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not abs(number) <= VALUE_MAX:
        raise RowsError(
            f"{column} is {number:g}, which cannot be stored; "
            f"write a value from {-VALUE_MAX:g} to {VALUE_MAX:g}"
        )
    return number


def _check_distinct(samples: Sequence[Sample]) -> None:
    seen = set()
    for sample in samples:
        series = sample.series
        identity = (series.metric, series.component, series.labels)
        if identity in seen:
            labels = ", ".join("=".join(label) for label in series.labels) or "none"
            raise RowsError(
                f"two rows of {series.metric} have the same component and labels: {labels}; "
                f"add a {LABEL_PREFIX} column to distinguish them"
            )
        seen.add(identity)
