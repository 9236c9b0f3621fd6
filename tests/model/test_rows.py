"""The rows of a query become samples, or all are refused with the name of the column."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.limits import (
    IDENTITY_BYTES_MAX,
    LABEL_VALUE_BYTES_MAX,
    LABELS_MAX,
    TEXT_CHARS_MAX,
    VALUE_MAX,
)
from model.rows import ROWS_MAX, Answer, RowsError, samples_of_rows, value_columns
from model.series import Labels, Sample, Series, identity_bytes
from model.text import is_safe

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def series_of(metric: str, component: str, labels: Labels) -> Series:
    return Series(metric=metric, component=component, labels=labels)


def samples_of(*rows: Mapping[str, object], component_column: str | None = None) -> list[Sample]:
    """Return the samples of rows that all have the columns of the first."""
    answer = Answer(list(rows[0]), [list(row.values()) for row in rows], component_column)
    return samples_of_rows(answer, NOW, "shop", series_of)


def one(metric: str, value: float, component: str = "shop", **labels: str) -> Sample:
    return Sample(series_of(metric, component, tuple(sorted(labels.items()))), NOW, value)


def test_each_value_of_a_row_is_a_sample_with_its_labels() -> None:
    row = {"label_b": "x", "orders": 3, "revenue": Decimal("10.25"), "label_a": 5}

    assert samples_of(row) == [one("orders", 3, a="5", b="x"), one("revenue", 10.25, a="5", b="x")]


def test_null_is_no_sample_and_no_label() -> None:
    first = {"label_a": None, "orders": 3, "visits": None}
    second = {"label_a": "x", "orders": None, "visits": 4}

    assert samples_of(first, second) == [one("orders", 3), one("visits", 4, a="x")]


def test_true_is_one_and_false_is_zero() -> None:
    assert samples_of({"is_up": True, "is_down": False}) == [one("is_up", 1), one("is_down", 0)]


def test_a_row_may_name_its_component() -> None:
    first, second = {"component": "bar", "value": 1}, {"component": None, "value": 2}

    assert samples_of(first, second, component_column="component") == [
        one("value", 1, "bar"),
        one("value", 2),
    ]
    with pytest.raises(RowsError, match="component is not a number"):
        samples_of(first)


def test_value_columns_are_known_even_without_rows() -> None:
    columns = ["label_a", "orders", "component", "visits"]

    assert value_columns(Answer(columns, ())) == ["orders", "component", "visits"]
    assert value_columns(Answer(columns, (), "component")) == ["orders", "visits"]
    assert samples_of_rows(Answer(columns, ()), NOW, "shop", series_of) == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"label_a": "x"}, "the query returns no value column; select at least one number"),
        ({"a": "much"}, "a is not a number; cast it to one, or name the column label_a"),
        ({"a": NOW}, "a is not a number"),
        ({"a": [1]}, "a is not a number"),
        ({"a": math.nan}, "a is nan, which cannot be stored; write a value from -1e.140 to 1e.140"),
        ({"a": Decimal("NaN")}, "a is nan, which cannot be stored"),
        ({"a": -math.inf}, "a is -inf, which cannot be stored"),
        ({"a": 10**400}, "a is inf, which cannot be stored"),
        ({"a": -1e141}, "a is -1e.141, which cannot be stored"),
        ({"a": 1, "label_": "x"}, "the column label_ names no label; write label_host"),
        ({"a": 1, "label_x\ny": "x"}, "the column name label_x y contains control characters"),
        ({"a": 1, f"label_{'x' * 129}": "x"}, "or more than 128 bytes"),
        ({"a": 1, "label_x": "a\nb"}, "label_x contains control characters or marks of text dir"),
        ({"a": 1, "label_x": "é" * 513}, "a value of label_x contains .* or more than 1024 bytes"),
        ({"a": 1} | {f"label_{n}": "x" for n in range(31)}, "a row has more than 30 labels"),
        (
            {"a": 1, "label_x": "x" * 1000, "label_y": "y" * 1000},
            "the component and labels of a row have more than 2000 bytes together",
        ),
        (
            {"a": 1, "at": "x" * 251},
            "at contains control characters .* or more than 250 characters",
        ),
        ({"a": 1, "at": "x\u202ey"}, "at contains control characters"),
    ],
)
def test_the_error_for_rows_that_cannot_be_stored_names_the_column_and_the_cause(
    row: dict[str, object], reason: str
) -> None:
    with pytest.raises(RowsError, match=reason):
        samples_of(row, component_column="at")


def test_two_columns_with_one_name_are_refused() -> None:
    with pytest.raises(RowsError, match="two columns are named a; rename one with AS"):
        samples_of_rows(Answer(["a", "a"], [(1, 2)]), NOW, "shop", series_of)


def test_two_rows_with_one_series_are_refused() -> None:
    row = {"orders": 3, "label_a": "x", "label_b": "y"}
    with pytest.raises(
        RowsError, match="two rows of orders have the same component and labels: a=x, b=y"
    ):
        samples_of(row, row)
    with pytest.raises(RowsError, match="the same component and labels: none"):
        samples_of({"orders": 3}, {"orders": 4})
    assert samples_of({"orders": 3}, {"orders": None}) == [one("orders", 3)]


def test_too_many_rows_are_refused() -> None:
    rows = [{"a": 1, "label_n": number} for number in range(ROWS_MAX + 1)]

    assert len(samples_of(*rows[:-1])) == ROWS_MAX
    with pytest.raises(RowsError, match="more than 1000 rows"):
        samples_of(*rows)


FIELDS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(allow_nan=False),
    st.just(Decimal("NaN")),
    st.text(max_size=1100),
    st.datetimes(),
    st.lists(st.integers(), max_size=2),
)
COLUMNS = st.sampled_from(["component", "a", "b", "label_x", "label_y", "label_", "label_\x85"])


@given(st.lists(st.dictionaries(COLUMNS, FIELDS, min_size=1), min_size=1, max_size=4))
def test_any_rows_are_stored_or_refused_with_a_message_of_one_line(
    rows: list[dict[str, object]],
) -> None:
    """The law: no sample breaks a limit, and no error but RowsError comes of any answer."""
    columns = list(rows[0])
    answer = Answer(columns, [[row.get(column) for column in columns] for row in rows], "component")
    samples, refused = list[Sample](), ""
    try:
        samples = samples_of_rows(answer, NOW, "shop", series_of)
    except RowsError as error:
        refused = str(error)
    assert is_safe(refused)
    for sample in samples:
        series = sample.series
        assert abs(sample.value) <= VALUE_MAX
        assert len(series.component) <= TEXT_CHARS_MAX
        assert len(series.labels) <= LABELS_MAX
        assert all(is_safe(value) for _, value in series.labels)
        assert all(len(value.encode()) <= LABEL_VALUE_BYTES_MAX for _, value in series.labels)
        assert identity_bytes(series.component, series.labels) <= IDENTITY_BYTES_MAX
    assert len({sample.series for sample in samples}) == len(samples)
