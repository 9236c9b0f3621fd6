"""Turns the columns of many series into the rows of one statement."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from model.limits import VALUE_MIN
from model.series import Column, Kind, Series


class InsertRows(Struct, frozen=True, eq=False):
    """Rows ordered by their key (series, time), without repeated keys: the first value is kept.

    `times` are microseconds since 1970. All arrays have the same length.
    """

    series_ids: NDArray[np.int32]
    times: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)

    def split(self, series_ids: Sequence[int]) -> "tuple[InsertRows, InsertRows]":
        """Return the rows of the given series, and all other rows."""
        inside = np.isin(self.series_ids, series_ids)
        return self.where(inside), self.where(~inside)

    def bounds(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the indices of the first and of the last row of each series."""
        starts = np.flatnonzero(np.r_[True, self.series_ids[1:] != self.series_ids[:-1]])
        return starts, np.r_[starts[1:], len(self)] - 1

    def where(self, mask: NDArray[np.bool_]) -> "InsertRows":
        return InsertRows(self.series_ids[mask], self.times[mask], self.values[mask])


def insert_rows_of(columns: Sequence[Column], numbers: Mapping[Series, int]) -> InsertRows:
    """Return the rows of columns, with each value as it is stored."""
    lengths = [len(column.times) for column in columns]
    ids = np.repeat(np.array([numbers[c.series] for c in columns], np.int32), lengths)
    times = np.concatenate([column.times for column in columns])
    values = np.concatenate([rounded(c.values, c.series.resolution) for c in columns])
    values = np.where((np.abs(values) < VALUE_MIN) & (values != 0), 0.0, values)
    order = np.lexsort((times, ids))
    ids, times, values = ids[order], times[order], values[order]
    # lexsort is stable, so that of equal keys the first one in the input comes first.
    first = np.r_[True, (ids[1:] != ids[:-1]) | (times[1:] != times[:-1])]
    return InsertRows(ids[first], times[first], values[first])


def rounded(values: NDArray[np.float64], resolution: float | None) -> NDArray[np.float64]:
    """Return the nearest multiples of the resolution, ties to even, as `Series.round` does."""
    if resolution is None:
        return values
    with np.errstate(over="ignore"):
        steps = values / resolution
    return np.where(np.isfinite(steps), np.round(steps) * resolution, values)


def distributions(columns: Sequence[Column], numbers: Mapping[Series, int]) -> list[int]:
    """Return the numbers of those series that are distributions."""
    return [numbers[c.series] for c in columns if c.series.kind is Kind.DISTRIBUTION]
