"""The buckets that a question about the past asks for."""

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
    """Buckets, one from each edge to the next, in epoch seconds; the last edge ends the last one.

    They are all `step_s` wide, but for days of a calendar: those have 23 to 25 hours, and then
    `is_calendar`. `before` is where the bucket before the first begins.
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
        """The widest buckets of a tier that can be put together to these."""
        if self.is_calendar:
            return math.gcd(self.before, *self.edges)
        return math.gcd(self.edges[0], self.step_s)

    def partial_from(self, now: datetime) -> datetime | None:
        """Return the start of the first bucket that is not over yet."""
        first = max(0, bisect_right(self.edges, now.timestamp()) - 1)
        return datetime.fromtimestamp(self.edges[first], UTC) if first < self.points else None


POINTS_MAX = 11_000
CELLS_MAX = 1_000_000
ROWS_MAX = 2_000_000
"""How many rows of a tier one answer may read: a bucket may hold many."""

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
    """Return the buckets that together cover a range of time.

    They begin at multiples of the step since the epoch; whole days begin with the days of the zone.
    Unbounded, there may be more of them than an answer may hold; days of a calendar never are.
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
    """Return the same buckets so much earlier; those of a calendar go back by whole days."""
    if grid.before < seconds:
        raise InvalidError(f"compare: {duration_text(seconds)} before the start is before 1970")
    if not grid.is_calendar:
        edges = [edge - seconds for edge in (grid.before, grid.edges[0], grid.edges[-1])]
        return Grid(range(edges[1], edges[2] + 1, grid.step_s), grid.step_s, edges[0])
    if seconds % DAY_S:
        raise InvalidError("compare must be whole days where the buckets are days of a calendar")
    earlier = [
        datetime.fromtimestamp(edge, zone).date() - timedelta(seconds=seconds)
        for edge in (grid.before, *grid.edges)
    ]
    before, *edges = [_midnight(day, zone) for day in earlier]
    return Grid(edges, grid.step_s, before, is_calendar=True)


def step_of(text: str) -> int:
    """Return a step that was asked for by name, in seconds."""
    seconds = parse_duration(text)
    if seconds < 1 or seconds != int(seconds):
        raise InvalidError("step must be a whole number of seconds; the smallest is 1s")
    return int(seconds)


def auto(
    start: datetime, end: datetime, points: int, finest_s: int, zone: ZoneInfo = UTC_ZONE
) -> Grid:
    """Return the finest grid of at most `points` (2 or more) buckets, in steps of `finest_s`."""
    check_order(start, end)
    seconds = (end - start).total_seconds()
    # A range that begins and ends within buckets takes one more than its length says.
    weeks = math.ceil(seconds / (points - 1) / STEPS_S[-1])
    steps = (*STEPS_S, weeks * STEPS_S[-1], (weeks + 1) * STEPS_S[-1])
    possible = (s for s in steps if s % finest_s == 0 and seconds / s <= points)
    grids = (make(start, end, step, zone) for step in possible)
    return next(grid for grid in grids if grid.points <= points)


def check_order(start: datetime, end: datetime) -> None:
    if start >= end:
        raise InvalidError("start must be before end")


def excess(points: int, values: int, rows: float) -> str:
    """Say which limit is broken, if any: points of a series, values in all, or rows to be read."""
    if points > POINTS_MAX:
        return f"{points} points are more than {POINTS_MAX} in a series"
    if values > CELLS_MAX:
        return f"{values} values are more than {CELLS_MAX} in an answer"
    if rows > ROWS_MAX:
        return f"it would read about {rows:.0f} rows, more than {ROWS_MAX}"
    return ""


def _check_points(points: int, step_s: int) -> None:
    """Refuse before the buckets are counted out, and before the database is asked."""
    problem = excess(points, 0, 0)
    if problem:
        seconds = points * step_s
        fitting = [s for s in STEPS_S if s > step_s and seconds / s + 2 <= POINTS_MAX]
        advice = f"the nearest step that fits is {duration_text(fitting[0])}" if fitting else ""
        raise InvalidError(f"{problem}; {advice or 'ask for a shorter range'}")


def _days(start: datetime, end: datetime, days: int, zone: ZoneInfo) -> Grid:
    _check_points(int((end - start).total_seconds() / DAY_S / days), days * DAY_S)
    # A day that the calendar of a zone leaves out begins when the next one does, and is none.
    edges = list(dict.fromkeys(_midnight(day, zone) for day in _dates(start, end, days, zone)))
    first = bisect_right(edges, start.timestamp()) - 1
    return Grid(edges[first:], days * DAY_S, edges[first - 1], is_calendar=True)


def _dates(start: datetime, end: datetime, days: int, zone: ZoneInfo) -> Iterator[date]:
    """Yield each day on which a bucket begins, from two before the first to the end."""
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
    """Return the start of a day; where the clock jumps over midnight, the moment of the jump."""
    return int(datetime.combine(day, time(), zone).astimezone(UTC).timestamp())


def _floor(seconds: float, step_s: int) -> int:
    return int(seconds // step_s) * step_s
