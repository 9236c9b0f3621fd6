"""Turns the columns that were read into the response: fills gaps, compares, encodes as JSON.

Large responses are finished in a thread. Each column, of at most 11,000 values, is encoded by a
call of its own. The thread releases the interpreter lock only between calls, so one call for a
response of 10 MB would block the event loop.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from history import columns, observations
from history.columns import Column, Columns
from history.grid import Grid
from history.planner import COVERAGE, OutputLine
from history.query import HistoryQuery

CELLS_INLINE = 20_000
"""Responses of up to this many values are finished on the event loop, in a few milliseconds."""


class Compared(Struct, frozen=True):
    """The columns of an earlier time, and the change of the present values against them in %."""

    values: Columns
    change_percent: Columns


class SeriesHistory(Struct, frozen=True):
    """One series or group. Every column is as long as `time`, with null where there is no sample.

    `coverage` is the number of samples over the expected number, at most 1. `component` is null if
    the series of a group have different components.
    """

    metric: str
    component: str | None
    labels: dict[str, str]
    values: Columns
    coverage: Column
    compare: dict[str, Compared] | UnsetType = UNSET


class History(Struct, frozen=True):
    """Buckets from `start` to before `end`; buckets from `partial_from` on are not complete yet.

    `tier` names the density that was read; if there were several, the finest.
    """

    start: datetime
    end: datetime
    step_s: int
    tier: str
    partial_from: datetime | None
    time: list[int]
    series: list[SeriesHistory]


class Found(Struct, frozen=True):
    """The data read for a query: a table of columns for each line, and tables of earlier times."""

    query: HistoryQuery
    lines: Sequence[OutputLine]
    grid: Grid
    tables: Sequence[Columns]
    earlier: Mapping[str, tuple[Grid, Sequence[Columns]]]
    tier: str
    interval_s: float
    now: datetime

    @property
    def cells(self) -> int:
        """The number of values in the response."""
        columns_each = len(self.query.aggregates) * (1 + 2 * len(self.earlier)) + 1
        return self.grid.points * len(self.lines) * columns_each


def finish(found: Found) -> History:
    """Return the response."""
    answer = History(
        start=found.grid.start,
        end=found.grid.end,
        step_s=found.grid.step_s,
        tier=found.tier,
        partial_from=found.grid.partial_from(found.now),
        time=list(found.grid.times),
        series=[_series(found, number) for number in range(len(found.lines))],
    )
    return _without_empty(answer) if found.query.fill == "none" else answer


def finish_encoded(found: Found) -> bytes:
    """Return the response as JSON."""
    return encode(finish(found))


def encode(answer: History) -> bytes:
    """Return the same JSON as one call of msgspec, but encoded column by column."""
    head = _json(replace(answer, series=[])).removesuffix(b"]}")
    return head + b",".join(map(_encode_series, answer.series)) + b"]}"


def _encode_series(one: SeriesHistory) -> bytes:
    parts = {
        "metric": _json(one.metric),
        "component": _json(one.component),
        "labels": _json(one.labels),
        "values": _encode_columns(one.values),
        "coverage": _json(one.coverage),
    }
    if isinstance(one.compare, dict):
        compared = [(text, _encode_compared(then)) for text, then in one.compare.items()]
        parts["compare"] = _object(compared)
    return _object(parts.items())


def _encode_compared(then: Compared) -> bytes:
    values, change = _encode_columns(then.values), _encode_columns(then.change_percent)
    return _object([("values", values), ("change_percent", change)])


def _encode_columns(of: Columns) -> bytes:
    return _object((name, _json(column)) for name, column in of.items())


def _object(parts: Iterable[tuple[str, bytes]]) -> bytes:
    return b"{" + b",".join(_json(name) + b":" + value for name, value in parts) + b"}"


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _series(found: Found, number: int) -> SeriesHistory:
    line, table, grid, query = found.lines[number], found.tables[number], found.grid, found.query
    expected = grid.step_s / found.interval_s * len(line.series)
    seen = table.get(observations.SEEN, table[COVERAGE])
    counts = columns.evened(seen, grid) if grid.is_calendar else seen
    values = _filled(table, grid, query)
    earlier = {
        text: _compared(values, _filled(tables[number], then, query))
        for text, (then, tables) in found.earlier.items()
    }
    return SeriesHistory(
        metric=line.metric,
        component=line.component,
        labels=line.labels,
        values=values,
        coverage=columns.coverage(counts, expected),
        compare=earlier or UNSET,
    )


def _filled(table: Columns, grid: Grid, query: HistoryQuery) -> Columns:
    values = {name: table[name] for name in query.aggregates}
    return columns.fill(values, grid.times, query.fill)


def _compared(values: Columns, then: Columns) -> Compared:
    """Return the columns of an earlier time with the change since then."""
    change = {name: columns.change_percent(values[name], then[name]) for name in values}
    return Compared(then, change)


def _without_empty(answer: History) -> History:
    """Leave out the times at which no series has a sample."""
    covered = [series.coverage for series in answer.series]
    kept = [i for i in range(len(answer.time)) if any(column[i] is not None for column in covered)]
    return replace(
        answer,
        time=[answer.time[i] for i in kept],
        series=[_keep(one, kept) for one in answer.series],
    )


def _keep(one: SeriesHistory, kept: list[int]) -> SeriesHistory:
    compare = one.compare
    if isinstance(compare, dict):
        compare = {
            text: Compared(columns.keep(then.values, kept), columns.keep(then.change_percent, kept))
            for text, then in compare.items()
        }
    return replace(
        one,
        values=columns.keep(one.values, kept),
        coverage=[one.coverage[i] for i in kept],
        compare=compare,
    )
