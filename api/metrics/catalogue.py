"""The catalogue of series, the newest values, and the way in for samples of others."""

from typing import Annotated

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import Struct

from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.documents import NOT_MODIFIED, answer
from api.http.errors import documented
from api.http.limits import CONCURRENCY, Concurrency
from api.http.pagination import LIMIT, Cursor, Limit, Page, page, position
from api.ingest.admission.bodies import Encoding
from api.ingest.admission.parsed_write import ParsedWrite, Reason
from api.ingest.admission.store import accepted_times, operation_with_body, store
from api.ingest.formats import native
from api.ingest.formats.protobuf_wire import Body
from api.probes import BASE
from model.errors import InvalidError
from model.principal import Role
from samples import current, series

ENCODINGS = (Encoding.IDENTITY, Encoding.GZIP, Encoding.ZSTD)

Metric = Annotated[str | None, QueryParameter(description="Only this metric.")]
Component = Annotated[str | None, QueryParameter(description="Only this component.")]


class WriteResult(Struct, frozen=True):
    """What became of the samples; `duplicate` were there already, and are as they were.

    It is null while the database is away: what was accepted is then safe on disk.
    """

    accepted: int
    duplicate: int | None
    rejected: int
    reasons: list[Reason]


@get(f"{BASE}/metrics", tags=["metrics"], summary="Catalogue of series")
async def catalogue(
    context: NamedDependency[AppContext],
    metric: Metric = None,
    component: Component = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> Page[series.Described]:
    async with context.connect() as connection:
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
    request: KnownRequest, context: NamedDependency[AppContext], component: Component = None
) -> Response[current.CurrentMetrics]:
    if component is not None and "\0" in component:
        raise InvalidError("component must not hold U+0000")
    await context.present()
    return await answer(request, await context.live.documents.metrics(component))


@post(
    f"{BASE}/metrics",
    status_code=200,
    opt={ROLE: Role.INGEST, CONCURRENCY: Concurrency.NONE},
    request_max_body_size=None,
    operation_class=operation_with_body(MediaType.JSON),
    responses={
        202: ResponseSpec(WriteResult, description="Safe on disk, while the database is away."),
        415: documented("Compressed in another way than gzip or zstd."),
    },
    tags=["metrics"],
    summary="Store samples",
    description="Sending the same samples again changes nothing and answers `duplicate`. While the "
    "database is away the status is 202, and what was accepted waits on disk.",
)
async def ingest(
    request: KnownRequest, context: NamedDependency[AppContext]
) -> Response[WriteResult]:
    accepted = await accepted_times(context)

    def parse(body: Body) -> ParsedWrite:
        return native.read(body, accepted)

    parsed = await context.receivers.bodies.read(request, ENCODINGS, parse, native.INLINE_BYTES_MAX)
    stored = await store(context, parsed, request.user, "native")
    rejected = parsed.rejected.total()
    result = WriteResult(stored.accepted, stored.duplicate, rejected, parsed.reasons())
    return Response(result, status_code=202 if stored.duplicate is None else 200)
