"""Which buckets a question about the past asks for, and how many there may be."""

import math
from datetime import datetime

from msgspec import Struct

from api.times import duration_text, of_epoch, parse_duration
from vigia.model import InvalidError

POINTS_MAX = 11_000
CELLS_MAX = 1_000_000
ROWS_MAX = 2_000_000
"""How many rows of a tier one answer may read: a bucket may hold many."""

STEPS_S = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)
TIER_WIDTHS_S = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86400}


class Grid(Struct, frozen=True):
    """Buckets of `step_s` from `start` on, the last beginning before `end`, in epoch seconds."""

    start: int
    end: int
    step_s: int

    @property
    def times(self) -> range:
        return range(self.start, self.end, self.step_s)

    def partial_from(self, now: datetime) -> datetime | None:
        """Return the start of the first bucket that is not over yet."""
        first = max(self.start, _floor(now.timestamp(), self.step_s))
        return of_epoch(first) if first < self.end else None


def make(start: datetime, end: datetime, step_s: int) -> Grid:
    """Return the buckets that together cover a range of time."""
    if start >= end:
        raise InvalidError("start must be before end")
    first = _floor(start.timestamp(), step_s)
    return Grid(first, -_floor(-end.timestamp(), step_s), step_s)


def step_of(text: str) -> int:
    """Return a step that was asked for by name, in seconds."""
    seconds = parse_duration(text)
    if seconds < 1 or seconds != int(seconds):
        raise InvalidError("step must be a whole number of seconds; the smallest is 1s")
    return int(seconds)


def auto(start: datetime, end: datetime, points: int, finest_s: int) -> Grid:
    """Return the finest grid of at most `points` (2 or more) buckets, in steps of `finest_s`."""
    if start >= end:
        raise InvalidError("start must be before end")
    # A range that begins and ends within buckets takes one more than its length says.
    weeks = math.ceil((end - start).total_seconds() / (points - 1) / STEPS_S[-1])
    steps = (*STEPS_S, weeks * STEPS_S[-1])
    grids = (make(start, end, step) for step in steps if step % finest_s == 0)
    return next(grid for grid in grids if len(grid.times) <= points)


def check(grid: Grid, tier: str, raw_interval_s: float, series: int, columns: int) -> None:
    """Refuse a question whose answer would be too large, naming the nearest step that fits."""
    row_s = TIER_WIDTHS_S.get(tier, raw_interval_s)
    problem = _excess(grid, row_s, series, columns)
    if problem:
        raise InvalidError(f"{problem}; {_advice(grid, raw_interval_s, series, columns)}")


def _excess(grid: Grid, row_s: float, series: int, columns: int) -> str:
    """Say which limit a grid breaks, if any."""
    points = len(grid.times)
    cells = points * series * columns
    rows = (grid.end - grid.start) / row_s * series
    if points > POINTS_MAX:
        return f"{points} points are more than {POINTS_MAX} in a series"
    if cells > CELLS_MAX:
        return f"{cells} values are more than {CELLS_MAX} in an answer"
    if rows > ROWS_MAX:
        return f"it would read about {rows:.0f} rows, more than {ROWS_MAX}"
    return ""


def _advice(grid: Grid, raw_interval_s: float, series: int, columns: int) -> str:
    for step in STEPS_S:
        widths = [width for width in TIER_WIDTHS_S.values() if step % width == 0]
        wider = Grid(_floor(grid.start, step), -_floor(-grid.end, step), step)
        row_s = max(widths, default=raw_interval_s)
        if step > grid.step_s and not _excess(wider, row_s, series, columns):
            return f"the nearest step that fits is {duration_text(step)}"
    return "ask for a shorter range, fewer series or fewer aggregates"


def _floor(seconds: float, step_s: int) -> int:
    return int(seconds // step_s) * step_s
