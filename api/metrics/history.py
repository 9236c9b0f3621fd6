"""The history route: a time column, and for each series a column for each aggregate."""

from datetime import datetime
from typing import Annotated, Any

from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, QueryParams

from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.http.limits import CONCURRENCY, Concurrency
from api.metrics.export import Export
from api.paths import BASE
from db.queries import Connection
from history import grid, observations, planner
from history import query as history_query
from history.finish import CELLS_INLINE, Found, History, finish, finish_encoded
from history.query import HistoryQuery, RawParameters
from history.reader import AGGREGATES
from model.principal import holder_of
from model.times import utc_now
from runtime.threads import FINISHING

POINTS = 500

Step = Annotated[
    str,
    QueryParameter(
        description="`auto`, or a duration such as 15s, 5m, 1h, 7d; for exports also `raw`, which "
        "returns samples."
    ),
]
Form = Annotated[
    str,
    QueryParameter(
        name="format",
        description="`json`, or `csv`, `ndjson` or `arrow`: a stream of any length with a row for "
        "each series and bucket.",
    ),
]
UNKNOWN = {404: documented("No series has one of the metrics.")}


@get(
    f"{BASE}/metrics/history",
    opt={CONCURRENCY: Concurrency.NONE},
    responses=UNKNOWN,
    tags=["metrics"],
    summary="Aggregates in buckets of a step",
    description="`label.<name>=<value>` selects series with that label value, "
    "`label.<name>!=<value>` all others. `label.<name>=~<pattern>` and `!=~` take an RE2 "
    "pattern for the whole value. A response has at most "
    f"{grid.POINTS_MAX} points a series and {grid.CELLS_MAX} values in all.",
)
async def read(
    request: KnownRequest,
    context: NamedDependency[AppContext],
    query: QueryParams,
    metric: Annotated[
        list[str],
        QueryParameter(description="Metric; repeatable.", max_items=history_query.METRICS_MAX),
    ],
    component: Annotated[
        str | None, QueryParameter(description="Return only this component.")
    ] = None,
    start: Annotated[str, QueryParameter(description="RFC 3339, epoch seconds or -24h.")] = "-1h",
    end: Annotated[str, QueryParameter(description="Exclusive; as `start`, or `now`.")] = "now",
    step: Step = "auto",
    points: Annotated[
        int,
        QueryParameter(ge=2, le=grid.POINTS_MAX, description="Most buckets with step `auto`."),
    ] = POINTS,
    agg: Annotated[
        list[str] | None,
        QueryParameter(description=f"Repeatable, or with commas: {', '.join(AGGREGATES)}."),
    ] = None,
    group_by: Annotated[
        list[str] | None,
        QueryParameter(description="Labels or `component`: series with equal values are combined."),
    ] = None,
    fill: Annotated[
        str,
        QueryParameter(
            description="Value of buckets without samples: `null`, `previous` or `linear`. `none` "
            "leaves out times without any sample."
        ),
    ] = "null",
    compare: Annotated[
        list[str] | None,
        QueryParameter(description="Earlier times to compare with, such as 1d,7d; repeatable."),
    ] = None,
    tz: Annotated[
        str, QueryParameter(description="Time zone of days, for steps of whole days.")
    ] = "UTC",
    form: Form = history_query.JSON,
) -> Response[History]:
    now = utc_now()
    requested = RawParameters(
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
    wanted = history_query.parse(requested, query.dict(), now)
    if wanted.format != history_query.JSON:
        return Export(context, wanted)
    slot = context.limiters[Concurrency.HISTORY].slot(holder_of(request.user))
    async with slot:
        async with context.connect_reader() as connection:
            found = await _read(connection, wanted, context.config().intervals.collect_s, now)
        if found.cells <= CELLS_INLINE:
            return Response(finish(found))
        # Litestar sends bytes unchanged. The return type only serves OpenAPI.
        body: Any = await FINISHING.run(finish_encoded, found)
        return Response(body, media_type=MediaType.JSON)


async def _read(
    connection: Connection, requested: HistoryQuery, interval_s: float, now: datetime
) -> Found:
    """Plan the query, reject it if it is too large, and read its columns. Raises InvalidError."""
    available = await planner.find(connection, requested)
    wanted = planner.grid_of(requested, available)
    lines = planner.output_lines(requested, available.series)
    planner.check(requested, available, wanted, len(lines), interval_s)
    found = planner.tier_sources(available, wanted, requested.aggregates)
    tables = await planner.read(connection, lines, wanted, found)
    for line, table in zip(lines, tables, strict=True):
        observations.check(line.series, table, requested.aggregates)
    earlier = {}
    for text, seconds in requested.compare.items():
        before = grid.back(wanted, seconds, requested.zone)
        of_then = planner.tier_sources(available, before, requested.aggregates)
        earlier[text] = before, await planner.read(connection, lines, before, of_then)
    return Found(
        requested, lines, wanted, tables, earlier, planner.tier_name(found), interval_s, now
    )
