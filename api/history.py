"""The past in buckets: one time column, and for each series a column for each aggregate."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, QueryParams
from msgspec import Struct
from msgspec.structs import replace

from api import grid
from api.grid import Grid
from api.parts import Parts
from api.probes import BASE
from api.times import of_epoch, parse_time
from db import history, tiers
from db.history import Bucket
from db.queries import Connection
from db.series import Numbered, select
from vigia.model import InvalidError, utc_now

POINTS = 500
METRICS_MAX = 100
SERIES_MAX = 1000
BUCKETS_PER_QUERY = 20_000
"""Read in portions: a long read holds the embedded engine's only session, and our event loop."""

AGGREGATES = ("avg", "min", "max", "sum", "count", "first", "last")
LABEL = "label."
REPEATABLE = frozenset({"metric", "agg"})
SINGLE = frozenset({"component", "start", "end", "step", "points", "fill"})
FIXED = {"format": "json", "tz": "UTC"}
"""Parameters of the contract with the one value that is available so far."""

Number = float | None


class SeriesHistory(Struct, frozen=True):
    """One series; every column is as long as `time`, null where there is no sample.

    `coverage` is samples seen over samples expected, at most 1.
    """

    metric: str
    component: str
    labels: dict[str, str]
    values: dict[str, list[Number]]
    coverage: list[float | None]


class History(Struct, frozen=True):
    """Buckets from `start` to before `end`; those from `partial_from` on are not over yet."""

    start: datetime
    end: datetime
    step_s: int
    tier: str
    partial_from: datetime | None
    time: list[int]
    series: list[SeriesHistory]


class Question(Struct, frozen=True):
    """What is asked, checked as far as that needs no database."""

    metrics: list[str]
    component: str | None
    labels: dict[str, str]
    start: datetime
    end: datetime
    step: str
    points: int
    aggregates: list[str]


@get(
    f"{BASE}/metrics/history",
    tags=["metrics"],
    summary="Aggregates in buckets of a step",
    description="`label.<name>=<value>` limits the answer to series with that label. An answer has "
    f"at most {grid.POINTS_MAX} points a series and {grid.CELLS_MAX} values in all.",
)
async def read(
    parts: NamedDependency[Parts],
    query: QueryParams,
    metric: Annotated[
        list[str], QueryParameter(description="Metric; repeatable.", max_items=METRICS_MAX)
    ],
    component: Annotated[str | None, QueryParameter(description="Only this component.")] = None,
    start: Annotated[str, QueryParameter(description="RFC 3339, epoch seconds or -24h.")] = "-1h",
    end: Annotated[str, QueryParameter(description="Exclusive; as `start`, or `now`.")] = "now",
    step: Annotated[
        str, QueryParameter(description="`auto`, or a duration such as 15s, 5m, 1h, 7d.")
    ] = "auto",
    points: Annotated[
        int,
        QueryParameter(ge=2, le=grid.POINTS_MAX, description="With `auto`: at most so many."),
    ] = POINTS,
    agg: Annotated[
        list[str] | None, QueryParameter(description=f"Repeatable: {', '.join(AGGREGATES)}.")
    ] = None,
    fill: Annotated[
        str, QueryParameter(description="`null`, or `none`: leave out times without any sample.")
    ] = "null",
) -> History:
    now = utc_now()
    _check_query(query.dict(), fill)
    question = Question(
        metrics=list(dict.fromkeys(metric)),
        component=component,
        labels=_labels(query.dict()),
        start=parse_time(start, now),
        end=parse_time(end, now),
        step=step,
        points=points,
        aggregates=_aggregates(agg or ["avg"]),
    )
    async with parts.connect() as connection:
        answer = await _answer(connection, question, parts.config().intervals.collect_s, now)
    return _without_empty(answer) if fill == "none" else answer


async def _answer(
    connection: Connection, asked: Question, interval_s: float, now: datetime
) -> History:
    """Find the grid, the tier and the series, refuse what is too large, and read."""
    wanted = await _grid(connection, asked)
    tier = await history.tier(connection, of_epoch(wanted.start), wanted.step_s)
    found = await select(connection, asked.metrics, asked.component, asked.labels, SERIES_MAX + 1)
    if len(found) > SERIES_MAX:
        raise InvalidError(
            f"more than {SERIES_MAX} series fit; name a component or labels to choose among them"
        )
    grid.check(wanted, tier, interval_s, len(found), len(asked.aggregates))
    return History(
        start=of_epoch(wanted.start),
        end=of_epoch(wanted.end),
        step_s=wanted.step_s,
        tier=tier,
        partial_from=wanted.partial_from(now),
        time=list(wanted.times),
        series=await _read(connection, tier, found, wanted, asked.aggregates, interval_s),
    )


async def _grid(connection: Connection, asked: Question) -> Grid:
    if asked.step != "auto":
        return grid.make(asked.start, asked.end, grid.step_of(asked.step))
    kept = {
        grid.TIER_WIDTHS_S.get(tier.name, 1)
        for tier in await tiers.read(connection)
        if (tier.name == "raw" or tier.name in grid.TIER_WIDTHS_S)
        and (tier.dropped_to is None or tier.dropped_to <= asked.start)
    }
    # Where even the coarsest tier ends later than the start, it is still the one with the most.
    finest_s = min(kept, default=max(grid.TIER_WIDTHS_S.values()))
    return grid.auto(asked.start, asked.end, asked.points, finest_s)


async def _read(
    connection: Connection,
    tier: str,
    found: Sequence[Numbered],
    wanted: Grid,
    aggregates: Sequence[str],
    interval_s: float,
) -> list[SeriesHistory]:
    """Return the history of each series, asking for as many at once as make a portion."""
    points = len(wanted.times)
    portion = max(1, BUCKETS_PER_QUERY // points)
    start, end = of_epoch(wanted.start), of_epoch(wanted.end)
    answer: list[SeriesHistory] = []
    for first in range(0, len(found), portion):
        some = found[first : first + portion]
        buckets: dict[int, list[Bucket]] = {one.id: [] for one in some}
        for bucket in await history.buckets(
            connection, tier, list(buckets), start, end, wanted.step_s, len(some) * points
        ):
            buckets[bucket.series_id].append(bucket)
        expected = wanted.step_s / interval_s
        answer += [_columns(one, buckets[one.id], wanted, aggregates, expected) for one in some]
    return answer


def _columns(
    one: Numbered,
    buckets: Iterable[Bucket],
    wanted: Grid,
    aggregates: Sequence[str],
    expected: float,
) -> SeriesHistory:
    points = len(wanted.times)
    values: dict[str, list[Number]] = {name: [None] * points for name in aggregates}
    counts: list[int] = [0] * points
    for bucket in buckets:
        index = (bucket.time - wanted.start) // wanted.step_s
        counts[index] = bucket.count
        for name, column in values.items():
            column[index] = bucket.sum / bucket.count if name == "avg" else getattr(bucket, name)
    return SeriesHistory(one.metric, one.component, one.labels, values, _coverage(counts, expected))


def _coverage(counts: Sequence[int], expected: float) -> list[float | None]:
    """Return samples seen over samples expected at the interval of our collectors.

    A series that never comes near that interval is someone else's: it is held to its own best.
    """
    best = max(counts, default=0)
    expected = max(expected, best) if best > expected / 2 else max(best, 1)
    return [round(count / expected, 4) if count else None for count in counts]


def _without_empty(answer: History) -> History:
    """Leave out the times at which no series has a sample."""
    covered = [series.coverage for series in answer.series]
    kept = [i for i in range(len(answer.time)) if any(column[i] is not None for column in covered)]
    return replace(
        answer,
        time=[answer.time[i] for i in kept],
        series=[
            replace(
                one,
                values={name: [column[i] for i in kept] for name, column in one.values.items()},
                coverage=[one.coverage[i] for i in kept],
            )
            for one in answer.series
        ],
    )


def _check_query(query: Mapping[str, list[str]], fill: str) -> None:
    """Refuse what would otherwise be passed over in silence."""
    for name, values in query.items():
        if name in SINGLE and len(values) > 1:
            raise InvalidError(f"{name} must be given once")
        if name in SINGLE | REPEATABLE or name.startswith(LABEL):
            continue
        if name not in FIXED:
            raise InvalidError(f"{name!r} is not available here; see /api/v1/openapi.json")
        if set(values) != {FIXED[name]}:
            raise InvalidError(f"{name}: only {FIXED[name]} is available")
    if fill not in {"null", "none"}:
        raise InvalidError("fill: only null and none are available")


def _labels(query: Mapping[str, list[str]]) -> dict[str, str]:
    given = {name: values for name, values in query.items() if name.startswith(LABEL)}
    for name, values in given.items():
        if len(values) > 1 or name == LABEL:
            raise InvalidError(f"{name} must name a label and be given once")
    return {name.removeprefix(LABEL): values[0] for name, values in given.items()}


def _aggregates(names: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in AGGREGATES:
            raise InvalidError(f"agg {name!r:.40} is not available; {', '.join(AGGREGATES)} are")
    return wanted
