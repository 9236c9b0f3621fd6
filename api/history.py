"""The past in buckets: one time column, and for each series a column for each aggregate."""

from datetime import datetime
from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, QueryParams
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from api import columns, grid, question, reading
from api.columns import Column, Columns
from api.export import Export
from api.limits import CONCURRENCY, Concurrency
from api.parts import KnownRequest, Parts
from api.probes import BASE
from api.question import Asked, Question
from api.reading import COVERAGE, Member
from db.grid import Grid
from db.history import AGGREGATES, About
from db.queries import Connection
from vigia.model import utc_now

POINTS = 500

Step = Annotated[
    str,
    QueryParameter(
        description="`auto`, or a duration such as 15s, 5m, 1h, 7d; for exports also `raw`: the "
        "samples themselves."
    ),
]
Form = Annotated[
    str,
    QueryParameter(
        name="format",
        description="`json`; or, as a stream of any length with a row for each series and bucket: "
        "`csv`, `ndjson`, `arrow`.",
    ),
]


class Compared(Struct, frozen=True):
    """The same columns of an earlier time, and by how many percent the present differs."""

    values: Columns
    change_percent: Columns


class SeriesHistory(Struct, frozen=True):
    """One series, or one group; every column is as long as `time`, null where there is no sample.

    `coverage` is samples seen over samples expected, at most 1. The component is null where those
    of a group differ.
    """

    metric: str
    component: str | None
    labels: dict[str, str]
    values: Columns
    coverage: Column
    compare: dict[str, Compared] | UnsetType = UNSET


class History(Struct, frozen=True):
    """Buckets from `start` to before `end`; those from `partial_from` on are not over yet.

    `tier` is the density that the answer was read from: the finest, where there were several.
    """

    start: datetime
    end: datetime
    step_s: int
    tier: str
    partial_from: datetime | None
    time: list[int]
    series: list[SeriesHistory]


@get(
    f"{BASE}/metrics/history",
    opt={CONCURRENCY: Concurrency.NONE},
    tags=["metrics"],
    summary="Aggregates in buckets of a step",
    description="`label.<name>=<value>` limits the answer to series with that label; "
    "`label.<name>!=<value>` to those without it; `label.<name>=~<pattern>` and `!=~` take an RE2 "
    "pattern for the whole value. An answer has at most "
    f"{grid.POINTS_MAX} points a series and {grid.CELLS_MAX} values in all.",
)
async def read(
    request: KnownRequest,
    parts: NamedDependency[Parts],
    query: QueryParams,
    metric: Annotated[
        list[str],
        QueryParameter(description="Metric; repeatable.", max_items=question.METRICS_MAX),
    ],
    component: Annotated[str | None, QueryParameter(description="Only this component.")] = None,
    start: Annotated[str, QueryParameter(description="RFC 3339, epoch seconds or -24h.")] = "-1h",
    end: Annotated[str, QueryParameter(description="Exclusive; as `start`, or `now`.")] = "now",
    step: Step = "auto",
    points: Annotated[
        int,
        QueryParameter(ge=2, le=grid.POINTS_MAX, description="With `auto`: at most so many."),
    ] = POINTS,
    agg: Annotated[
        list[str] | None,
        QueryParameter(description=f"Repeatable, or with commas: {', '.join(AGGREGATES)}."),
    ] = None,
    group_by: Annotated[
        list[str] | None,
        QueryParameter(description="Labels, or `component`: series alike in them are one."),
    ] = None,
    fill: Annotated[
        str,
        QueryParameter(
            description="Where there is no sample: `null`, `previous` or `linear`; or `none`: "
            "leave out times without any."
        ),
    ] = "null",
    compare: Annotated[
        list[str] | None,
        QueryParameter(description="How far back to look as well, such as 1d,7d; repeatable."),
    ] = None,
    tz: Annotated[
        str, QueryParameter(description="Time zone in which days begin, for steps of days.")
    ] = "UTC",
    form: Form = question.JSON,
) -> Response[History]:
    now = utc_now()
    asked = Asked(
        metric=metric,
        component=component,
        start=start,
        end=end,
        step=step,
        points=points,
        agg=agg,
        group_by=group_by,
        fill=fill,
        compare=compare,
        tz=tz,
        format=form,
    )
    wanted = question.parse(asked, query.dict(), now)
    if wanted.format != question.JSON:
        return Export(parts, wanted)
    slot = parts.limiters[Concurrency.HISTORY].slot(request.user.name)
    async with slot, parts.connect_reader() as connection:
        answer = await _answer(connection, wanted, parts.config().intervals.collect_s, now)
    return Response(_without_empty(answer) if fill == "none" else answer)


async def _answer(
    connection: Connection, asked: Question, interval_s: float, now: datetime
) -> History:
    """Find the series, the grid and the tiers, refuse what is too large, and read."""
    about = await reading.find(connection, asked)
    wanted = reading.grid_of(asked, about)
    lines = reading.members(asked, about.series)
    reading.check(asked, about, wanted, len(lines), interval_s)
    found = reading.sources(about, wanted, asked.aggregates)
    tables = await reading.read(connection, lines, wanted, found)
    answer = [
        _series(line, table, wanted, asked, interval_s)
        for line, table in zip(lines, tables, strict=True)
    ]
    for text, seconds in asked.compare.items():
        earlier = grid.back(wanted, seconds, asked.zone)
        answer = await _compared(connection, asked, about, earlier, text, lines, answer)
    return History(
        start=wanted.start,
        end=wanted.end,
        step_s=wanted.step_s,
        tier=reading.tier_name(found),
        partial_from=wanted.partial_from(now),
        time=list(wanted.times),
        series=answer,
    )


def _series(
    line: Member, table: Columns, wanted: Grid, asked: Question, interval_s: float
) -> SeriesHistory:
    expected = wanted.step_s / interval_s * len(line.series)
    values = {name: table[name] for name in asked.aggregates}
    counts = columns.evened(table[COVERAGE], wanted) if wanted.is_calendar else table[COVERAGE]
    return SeriesHistory(
        metric=line.metric,
        component=line.component,
        labels=line.labels,
        values=columns.fill(values, wanted.times, asked.fill),
        coverage=columns.coverage(counts, expected),
    )


async def _compared(
    connection: Connection,
    asked: Question,
    about: About,
    earlier: Grid,
    text: str,
    lines: list[Member],
    answer: list[SeriesHistory],
) -> list[SeriesHistory]:
    """Return the answer with the columns of an earlier time beside those it has."""
    found = reading.sources(about, earlier, asked.aggregates)
    tables = await reading.read(connection, lines, earlier, found)
    compared = []
    for one, table in zip(answer, tables, strict=True):
        values = {name: table[name] for name in asked.aggregates}
        then = columns.fill(values, earlier.times, asked.fill)
        change = {
            name: columns.change_percent(one.values[name], then[name]) for name in asked.aggregates
        }
        others = one.compare if isinstance(one.compare, dict) else {}
        compared.append(replace(one, compare={**others, text: Compared(then, change)}))
    return compared


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
