"""The exposition: newest values and Vigia's own metrics, in Prometheus' formats."""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import psycopg
import structlog
from litestar import Response, get
from litestar.di import NamedDependency

from api.exposition import self_metrics
from api.exposition.families import Point
from api.exposition.self_metrics import own
from api.exposition.text import OPENMETRICS, TEXT, Exposition, Form, labels_text
from api.http.context import AppContext, KnownRequest
from api.http.limits import CONCURRENCY, Concurrency
from api.paths import BASE
from model.series import Kind
from model.times import utc_now
from samples import newest as exposition
from samples.newest import Newest

log = structlog.get_logger()

ANYTHING = "*/*"
QUALITY = re.compile(r"q=([01](?:\.[0-9]{0,3})?)", re.ASCII)

STALE = timedelta(minutes=5)
"""The lookback of Prometheus: it would take an older value for a present one."""


@get(
    [f"{BASE}/metrics/export", "/metrics"],
    opt={CONCURRENCY: Concurrency.EXPOSITION},
    media_type=OPENMETRICS.media_type,
    tags=["metrics"],
    summary="Newest values for Prometheus",
    description="OpenMetrics, or the Prometheus text format if `Accept` prefers text/plain. Each "
    "series has the time of its newest value. Series without a value in the last five minutes are "
    "left out. Names of Vigia's own metrics start with `vigia_`.",
)
async def export(request: KnownRequest, context: NamedDependency[AppContext]) -> Response[bytes]:
    form = form_of(request.headers.get("accept", ""))
    newest, points = await _read(context, utc_now() - STALE)
    # With many series this takes a tenth of a second, too long for the event loop.
    body = await asyncio.to_thread(_body, newest, points, form)
    return Response(body, media_type=form.media_type, headers={"Vary": "Accept"})


async def _read(context: AppContext, since: datetime) -> tuple[list[Newest], list[Point]]:
    """Return the newest samples and Vigia's own metrics; without a database only the latter."""
    points = [*self_metrics.points_of(context.status()), *self_metrics.of_process()]
    points += self_metrics.of_receivers(context.receivers)
    points += self_metrics.of_connections(context.connections)
    points += self_metrics.of_limits(context.limiters)
    newest, stale = [], 0
    try:
        async with context.connect() as connection:
            newest = await exposition.newest(connection, since)
            stale = await exposition.count_stale(connection, since)
        is_up = True
    except (psycopg.OperationalError, TimeoutError) as error:
        log.warning("exposition_without_samples", error=str(error).strip())
        is_up = False
    points.append(own("database_up", is_up, "Whether the database answered."))
    points.append(own("series_stale", stale, "Series left out: no value for five minutes."))
    return newest, points


def _body(newest: Sequence[Newest], points: Sequence[Point], form: Form) -> bytes:
    made = Exposition()
    made.add(map(_point, newest))
    made.add([own("series_merged", made.merged, "Series left out: another has the same name.")])
    made.add(points)
    return made.write(form)


def _point(row: Newest) -> Point:
    labels = labels_text(row.component, row.labels)
    return Point(row.metric, labels, row.value, row.time_ms, row.kind == Kind.COUNTER, row.unit)


def form_of(accept: str) -> Form:
    """Return the format that an Accept header prefers; OpenMetrics if it prefers neither."""
    wanted = dict(sorted(map(_range, (accept or ANYTHING).split(",")), key=lambda pair: pair[1]))

    def quality(form: Form) -> float:
        exact = form.media_type.partition(";")[0]
        ranges = (exact, exact.partition("/")[0] + "/*", ANYTHING)
        return next((wanted[each] for each in ranges if each in wanted), 0.0)

    return TEXT if quality(TEXT) > quality(OPENMETRICS) else OPENMETRICS


def _range(text: str) -> tuple[str, float]:
    """Return a media range of an Accept header with its quality."""
    kind, *parameters = (part.strip() for part in text.lower().split(";"))
    found = [QUALITY.fullmatch(parameter) for parameter in parameters]
    return kind, next((float(match[1]) for match in found if match), 1.0)
