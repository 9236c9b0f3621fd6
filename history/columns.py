"""Columns of a history: places values that were read on the grid, fills gaps, compares columns."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from history.grid import Grid
from history.reader import Row

Number = float | None
Column = list[Number]
Columns = dict[str, Column]


def empty(points: int, names: Iterable[str]) -> Columns:
    return {name: [None] * points for name in names}


def place(tables: Mapping[int, Columns], rows: Iterable[Row], names: Sequence[str]) -> None:
    """Write rows that were read into the named columns of their tables."""
    for owner, indexes, *found in rows:
        for name, values in zip(names, found, strict=True):
            column = tables[owner][name]
            for index, value in zip(indexes, values, strict=True):
                column[index] = value


def evened(counts: Column, grid: Grid) -> Column:
    """Return the counts of calendar days scaled to 24 hours: days with a clock change differ."""
    widths_s = (end - start for start, end in pairwise(grid.edges))
    return [
        count and count * grid.step_s / width_s
        for count, width_s in zip(counts, widths_s, strict=True)
    ]


def coverage(counts: Column, expected: float) -> Column:
    """Return for each bucket the share of expected samples that exist, 0 to 1.

    `expected` is the number at the interval of Vigia's collectors. If no bucket reaches half of it,
    another sender with a longer interval writes the series: its fullest bucket counts as complete.
    """
    best = max((count for count in counts if count is not None), default=0)
    expected = max(expected, best) if best > expected / 2 else max(best, 1)
    # There are few distinct counts, so each share is computed once.
    shares = {count: count and round(count / expected, 4) for count in set(counts)}
    return [shares[count] for count in counts]


def change_percent(now: Column, then: Column) -> Column:
    """Return the change of each value against the earlier one in percent; None if that is 0."""
    return [
        None if a is None or b is None or not b else 100 * (a - b) / abs(b)
        for a, b in zip(now, then, strict=True)
    ]


def fill(columns: Columns, times: Sequence[int], way: str) -> Columns:
    """Return columns with gaps filled: by the `previous` value, or by interpolation (`linear`)."""
    if way == "previous":
        return {name: _previous(column) for name, column in columns.items()}
    if way == "linear":
        return {name: _linear(column, times) for name, column in columns.items()}
    return columns


def keep(columns: Columns, kept: Sequence[int]) -> Columns:
    """Return columns reduced to the buckets at these positions."""
    return {name: [column[i] for i in kept] for name, column in columns.items()}


def _previous(column: Column) -> Column:
    filled: Column = []
    value: Number = None
    for found in column:
        value = value if found is None else found
        filled.append(value)
    return filled


def _linear(column: Column, times: Sequence[int]) -> Column:
    filled = list(column)
    known = [(i, value) for i, value in enumerate(column) if value is not None]
    for (i, a), (k, b) in pairwise(known):
        for gap in range(i + 1, k):
            share = (times[gap] - times[i]) / (times[k] - times[i])
            filled[gap] = a + share * (b - a)
    return filled
