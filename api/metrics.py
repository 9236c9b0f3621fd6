"""The catalogue of series, the newest values, and the way in for samples of others."""

from typing import Annotated

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import Struct

from api.documents import NOT_MODIFIED, answer
from api.door import ROLE
from api.errors import documented
from api.ingest import native
from api.ingest.bodies import Encoding
from api.ingest.intake import Intake, Reason
from api.ingest.store import operation_with_body, store, window
from api.ingest.wire import Body
from api.limits import CONCURRENCY, Concurrency
from api.lists import LIMIT, Cursor, Limit, Page, page, position
from api.parts import KnownRequest, Parts
from api.probes import BASE
from db import current, series
from vigia.model import InvalidError, Role

ENCODINGS = (Encoding.IDENTITY, Encoding.GZIP, Encoding.ZSTD)

Metric = Annotated[str | None, QueryParameter(description="Only this metric.")]
Component = Annotated[str | None, QueryParameter(description="Only this component.")]


class Verdict(Struct, frozen=True):
    """What became of the samples; `duplicate` were there already, and are as they were.

    It is null while the database is away: what was accepted is then safe on disk.
    """

    accepted: int
    duplicate: int | None
    rejected: int
    reasons: list[Reason]


@get(f"{BASE}/metrics", tags=["metrics"], summary="Catalogue of series")
async def catalogue(
    parts: NamedDependency[Parts],
    metric: Metric = None,
    component: Component = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[series.Described]:
    async with parts.connect() as connection:
        found = await series.catalogue(
            connection, metric, component, position(cursor, 0), limit + 1
        )
    return page(found, limit, lambda row: row.id)


@get(
    f"{BASE}/metrics/current",
    opt={CONCURRENCY: Concurrency.PRESENT},
    responses=NOT_MODIFIED,
    tags=["metrics"],
    summary="Newest value of every series",
)
async def newest(
    request: KnownRequest, parts: NamedDependency[Parts], component: Component = None
) -> Response[current.CurrentMetrics]:
    if component is not None and "\0" in component:
        raise InvalidError("component must not hold U+0000")
    await parts.present()
    return await answer(request, await parts.live.documents.metrics(component))


@post(
    f"{BASE}/metrics",
    status_code=200,
    opt={ROLE: Role.INGEST, CONCURRENCY: Concurrency.NONE},
    request_max_body_size=None,
    operation_class=operation_with_body(MediaType.JSON),
    responses={
        202: ResponseSpec(Verdict, description="Safe on disk, while the database is away."),
        415: documented("Compressed in another way than gzip or zstd."),
    },
    tags=["metrics"],
    summary="Store samples",
    description="Sending the same samples again changes nothing and answers `duplicate`. While the "
    "database is away the status is 202, and what was accepted waits on disk.",
)
async def ingest(request: KnownRequest, parts: NamedDependency[Parts]) -> Response[Verdict]:
    accepted = await window(parts)

    def parse(body: Body) -> Intake:
        return native.read(body, accepted)

    intake = await parts.receivers.bodies.read(request, ENCODINGS, parse)
    stored = await store(parts, intake, request.user, "native")
    rejected = intake.rejected.total()
    verdict = Verdict(stored.accepted, stored.duplicate, rejected, intake.reasons())
    return Response(verdict, status_code=202 if stored.duplicate is None else 200)
