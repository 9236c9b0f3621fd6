"""The columns of a history: what the database told, put on the grid and finished."""

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
    """Put what was read into the columns of these names."""
    for who, indexes, *found in rows:
        for name, values in zip(names, found, strict=True):
            column = tables[who][name]
            for index, value in zip(indexes, values, strict=True):
                column[index] = value


def evened(counts: Column, grid: Grid) -> Column:
    """Return how many samples there were, had each day of a calendar 24 hours."""
    widths_s = (end - start for start, end in pairwise(grid.edges))
    return [
        count and count * grid.step_s / width_s
        for count, width_s in zip(counts, widths_s, strict=True)
    ]


def coverage(counts: Column, expected: float) -> Column:
    """Return samples seen over samples expected at the interval of our collectors.

    A series that never comes near that interval is someone else's: it is held to its own best.
    """
    best = max((count for count in counts if count is not None), default=0)
    expected = max(expected, best) if best > expected / 2 else max(best, 1)
    # There are few different counts, and many of each.
    shares = {count: count and round(count / expected, 4) for count in set(counts)}
    return [shares[count] for count in counts]


def change_percent(now: Column, then: Column) -> Column:
    """Return by how many percent each value differs from the earlier one; None from zero."""
    return [
        None if a is None or b is None or not b else 100 * (a - b) / abs(b)
        for a, b in zip(now, then, strict=True)
    ]


def fill(columns: Columns, times: Sequence[int], way: str) -> Columns:
    """Return columns whose gaps hold the `previous` value, or what lies between (`linear`)."""
    if way == "previous":
        return {name: _previous(column) for name, column in columns.items()}
    if way == "linear":
        return {name: _linear(column, times) for name, column in columns.items()}
    return columns


def keep(columns: Columns, kept: Sequence[int]) -> Columns:
    """Return columns with only the buckets of these numbers."""
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
