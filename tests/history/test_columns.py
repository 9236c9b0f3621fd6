"""Columns of a history: placed on the grid, filled, and compared."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history import columns
from history.columns import Column
from history.grid import Grid

VALUES = st.one_of(st.none(), st.floats(-1e6, 1e6))
COLUMNS = st.lists(VALUES, min_size=1, max_size=30)


def test_values_are_placed_in_their_buckets_whatever_their_order() -> None:
    tables = {7: columns.empty(3, ["avg", "count"]), 8: columns.empty(3, ["avg", "count"])}

    columns.place(
        tables, [(8, [2, 0], [1.5, None], [4, 5]), (7, [1], [2.5], [6])], ["avg", "count"]
    )

    assert tables == {
        7: {"avg": [None, 2.5, None], "count": [None, 6, None]},
        8: {"avg": [None, None, 1.5], "count": [5, None, 4]},
    }


@pytest.mark.parametrize(
    ("counts", "expected", "shares"),
    [
        ([20, 10, None, 0], 20.0, [1, 0.5, None, 0]),
        ([5, 4, 5], 20.0, [1, 0.8, 1]),
        ([300, 150], 20.0, [1, 0.5]),
        ([11, None], 20.0, [0.55, None]),
        ([10, 5], 20.0, [1, 0.5]),
        ([1, None], 0.06, [1, None]),
        ([None, None], 20.0, [None, None]),
        ([], 20.0, []),
    ],
)
def test_coverage_is_samples_seen_over_samples_expected_and_never_more_than_one(
    counts: Column, expected: float, shares: Column
) -> None:
    assert columns.coverage(counts, expected) == shares


def test_a_day_of_23_hours_with_all_of_its_samples_is_covered() -> None:
    hours = [0, 24, 47, 72, 97]
    days = Grid([3600 * h for h in hours], 86400, -86400, is_calendar=True)
    counts: Column = [5760, 5520, None, 3000]

    assert columns.coverage(columns.evened(counts, days), 5760) == [1, 1, None, 0.5]


@given(COLUMNS)
def test_previous_fills_with_what_was_known_last(column: Column) -> None:
    filled = columns.fill({"a": column}, range(len(column)), "previous")["a"]

    for i, value in enumerate(filled):
        known = [v for v in column[: i + 1] if v is not None]
        assert value == (known[-1] if known else None)


@given(COLUMNS, st.data())
def test_linear_lies_on_the_line_between_the_neighbours_in_time(
    column: Column, data: st.DataObject
) -> None:
    """Days of a calendar are not equally long, so the line is one over time, not over buckets."""
    widths = data.draw(st.lists(st.integers(1, 100), min_size=len(column), max_size=len(column)))
    times = [sum(widths[:i]) for i in range(len(column))]

    filled = columns.fill({"a": column}, times, "linear")["a"]

    known = [i for i, value in enumerate(column) if value is not None]
    for i, value in enumerate(filled):
        before = [k for k in known if k <= i]
        after = [k for k in known if k >= i]
        if not before or not after:
            assert value is None
            continue
        a, b = before[-1], after[0]
        low, high = column[a], column[b]
        assert value is not None
        assert low is not None
        assert high is not None
        share = (times[i] - times[a]) / (times[b] - times[a]) if a != b else 0
        assert math.isclose(value, low + share * (high - low), abs_tol=1e-6)


@pytest.mark.parametrize("way", ["null", "none"])
def test_without_a_way_to_fill_gaps_stay(way: str) -> None:
    assert columns.fill({"a": [1, None, 2]}, range(3), way) == {"a": [1, None, 2]}


@pytest.mark.parametrize(
    ("now", "then", "percent"),
    [
        (150, 100, 50),
        (50, 100, -50),
        (100, 100, 0),
        (-50, -100, 50),
        (50, -100, 150),
        (0, 5, -100),
        (5, 0, None),
        (0, 0, None),
        (None, 5, None),
        (5, None, None),
        (None, None, None),
    ],
)
def test_change_is_in_percent_of_the_earlier_value(
    now: float | None, then: float | None, percent: float | None
) -> None:
    assert columns.change_percent([now], [then]) == [percent]


def test_some_buckets_can_be_kept() -> None:
    assert columns.keep({"a": [1, 2, 3], "b": [4, None, 6]}, [0, 2]) == {"a": [1, 3], "b": [4, 6]}
    assert columns.keep({"a": [1]}, []) == {"a": []}
