"""The grid of buckets that a history query asks for."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from msgspec import Struct

from model.errors import InvalidError
from model.times import DAY_S, duration_text, parse_duration


class Grid(Struct, frozen=True, dict=True):
    """Adjacent buckets, each from one edge to the next, in epoch seconds.

    All are `step_s` wide, except for days of a calendar (`is_calendar`), which have 23 to 25 hours.
    `before` is the start of the bucket before the first one.
    """

    edges: Sequence[int]
    step_s: int
    before: int
    is_calendar: bool = False

    @property
    def start(self) -> datetime:
        return datetime.fromtimestamp(self.edges[0], UTC)

    @property
    def end(self) -> datetime:
        return datetime.fromtimestamp(self.edges[-1], UTC)

    @property
    def times(self) -> Sequence[int]:
        """The start of each bucket."""
        return self.edges[:-1]

    @property
    def points(self) -> int:
        return len(self.edges) - 1

    @property
    def seconds(self) -> int:
        return self.edges[-1] - self.edges[0]

    @cached_property
    def unit_s(self) -> int:
        """The widest tier bucket, in seconds, that divides every bucket of the grid."""
        if self.is_calendar:
            return math.gcd(self.before, *self.edges)
        return math.gcd(self.edges[0], self.step_s)

    def partial_from(self, now: datetime) -> datetime | None:
        """Return the start of the first incomplete bucket at a time; None if all are complete."""
        first = max(0, bisect_right(self.edges, now.timestamp()) - 1)
        return datetime.fromtimestamp(self.edges[first], UTC) if first < self.points else None


POINTS_MAX = 11_000
CELLS_MAX = 1_000_000
ROWS_MAX = 2_000_000
"""Most rows of tiers that one query may read. One bucket may be made from many rows."""

STEPS_S = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)
UTC_ZONE = ZoneInfo("UTC")


def make(
    start: datetime,
    end: datetime,
    step_s: int,
    zone: ZoneInfo = UTC_ZONE,
    *,
    bounded: bool = True,
) -> Grid:
    """Return the grid that covers a time range.

    Buckets start at multiples of the step since the epoch. Steps of whole days start at midnight in
    the zone. Raises InvalidError if `start` is not before `end`, or for more than POINTS_MAX
    buckets. Without `bounded` only calendar days have that limit, because their edges are listed.
    """
    check_order(start, end)
    if step_s % DAY_S == 0 and zone is not UTC_ZONE:
        return _days(start, end, step_s // DAY_S, zone)
    first = _floor(start.timestamp(), step_s)
    last = -_floor(-end.timestamp(), step_s)
    if bounded:
        _check_points((last - first) // step_s, step_s)
    return Grid(range(first, last + 1, step_s), step_s, first - step_s)


def back(grid: Grid, seconds: int, zone: ZoneInfo) -> Grid:
    """Return the grid moved back by some seconds; calendar days move by whole days.

    Raises InvalidError if it would start before 1970, or for a part of a day.
    """
    if grid.before < seconds:
        raise InvalidError(
            f"compare: {duration_text(seconds)} before the start lies before 1970; "
            "choose a shorter time"
        )
    if not grid.is_calendar:
        edges = [edge - seconds for edge in (grid.before, grid.edges[0], grid.edges[-1])]
        return Grid(range(edges[1], edges[2] + 1, grid.step_s), grid.step_s, edges[0])
    if seconds % DAY_S:
        raise InvalidError(
            "compare must be whole days, such as 7d, if the step is whole days in a time zone"
        )
    earlier = [
        datetime.fromtimestamp(edge, zone).date() - timedelta(seconds=seconds)
        for edge in (grid.before, *grid.edges)
    ]
    before, *edges = [_midnight(day, zone) for day in earlier]
    return Grid(edges, grid.step_s, before, is_calendar=True)


def step_of(text: str) -> int:
    """Return a step such as `5m` in seconds. Raises InvalidError for parts of a second."""
    seconds = parse_duration(text)
    if seconds < 1 or seconds != int(seconds):
        raise InvalidError("step must be whole seconds, at least 1s, such as 30s or 5m")
    return int(seconds)


def auto(
    start: datetime, end: datetime, points: int, finest_s: int, zone: ZoneInfo = UTC_ZONE
) -> Grid:
    """Return the finest grid of at most `points` (2 or more) buckets with steps of `finest_s`."""
    check_order(start, end)
    seconds = (end - start).total_seconds()
    # A range that starts and ends inside buckets covers one more than its length implies.
    weeks = math.ceil(seconds / (points - 1) / STEPS_S[-1])
    steps = (*STEPS_S, weeks * STEPS_S[-1], (weeks + 1) * STEPS_S[-1])
    possible = (s for s in steps if s % finest_s == 0 and seconds / s <= points)
    grids = (make(start, end, step, zone) for step in possible)
    return next(grid for grid in grids if grid.points <= points)


def check_order(start: datetime, end: datetime) -> None:
    if start >= end:
        raise InvalidError("start must be before end")


def excess(points: int, values: int, rows: float) -> str:
    """Return which limit is exceeded, as text: points of a series, all values, or rows to read."""
    if points > POINTS_MAX:
        return f"{points:,} points are too many: a series may have {POINTS_MAX:,}"
    if values > CELLS_MAX:
        return f"{values:,} values are too many: a response may have {CELLS_MAX:,}"
    if rows > ROWS_MAX:
        return f"the query would read about {rows:,.0f} rows, and may read {ROWS_MAX:,}"
    return ""


def _check_points(points: int, step_s: int) -> None:
    """Raise InvalidError for too many points, with a step that fits, before any are computed."""
    problem = excess(points, 0, 0)
    if problem:
        seconds = points * step_s
        fitting = [s for s in STEPS_S if s > step_s and seconds / s + 2 <= POINTS_MAX]
        advice = f"the smallest step that fits is {duration_text(fitting[0])}" if fitting else ""
        raise InvalidError(f"{problem}; {advice or 'choose a shorter range'}")


def _days(start: datetime, end: datetime, days: int, zone: ZoneInfo) -> Grid:
    _check_points(int((end - start).total_seconds() / DAY_S / days), days * DAY_S)
    # If a zone skips a whole day, that day and the next have the same midnight: keep one edge.
    edges = list(dict.fromkeys(_midnight(day, zone) for day in _dates(start, end, days, zone)))
    first = bisect_right(edges, start.timestamp()) - 1
    return Grid(edges[first:], days * DAY_S, edges[first - 1], is_calendar=True)


def _dates(start: datetime, end: datetime, days: int, zone: ZoneInfo) -> Iterator[date]:
    """Yield each day on which a bucket starts, from two before the first to the end."""
    first = start.astimezone(zone).date().toordinal()
    epoch = date(1970, 1, 1).toordinal()
    day = first - (first - epoch) % days - 2 * days
    yield date.fromordinal(day)
    while True:
        day += days
        yield date.fromordinal(day)
        if _midnight(date.fromordinal(day), zone) >= end.timestamp():
            return


def _midnight(day: date, zone: ZoneInfo) -> int:
    """Return the start of a day; if the clock skips midnight, the time of that change."""
    return int(datetime.combine(day, time(), zone).astimezone(UTC).timestamp())


def _floor(seconds: float, step_s: int) -> int:
    return int(seconds // step_s) * step_s
