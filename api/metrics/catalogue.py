"""Routes of the catalogue of series, of newest values, and of native ingest."""

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
from api.paths import BASE
from model.errors import InvalidError
from model.principal import Role
from samples import current, series

ENCODINGS = (Encoding.IDENTITY, Encoding.GZIP, Encoding.ZSTD)

Imported = Annotated[
    bool,
    QueryParameter(
        description="These samples were measured before and elsewhere: they are no sign that "
        "their hosts are alive."
    ),
]
Metric = Annotated[str | None, QueryParameter(description="Return only this metric.")]
Component = Annotated[str | None, QueryParameter(description="Return only this component.")]


class WriteResult(Struct, frozen=True):
    """The outcome of a request.

    `duplicate` samples were stored before and stay unchanged. It is null while the database is
    unavailable and accepted samples are spooled on disk.
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
        raise InvalidError("component must not contain U+0000")
    await context.present()
    return await answer(request, await context.live.documents.metrics(component))


@post(
    f"{BASE}/metrics",
    status_code=200,
    opt={ROLE: Role.INGEST, CONCURRENCY: Concurrency.NONE},
    request_max_body_size=None,
    operation_class=operation_with_body(MediaType.JSON),
    responses={
        202: ResponseSpec(WriteResult, description="Spooled; the database is unavailable."),
        415: documented("The compression is neither gzip nor zstd."),
    },
    tags=["metrics"],
    summary="Store samples",
    description="Repeated samples change nothing and count as `duplicate`. While the database is "
    "unavailable, the status is 202 and accepted samples are spooled on disk.",
)
async def ingest(
    request: KnownRequest, context: NamedDependency[AppContext], imported: Imported = False
) -> Response[WriteResult]:
    accepted = await accepted_times(context)

    def parse(body: Body) -> ParsedWrite:
        return native.read(body, accepted)

    parsed = await context.receivers.bodies.read(request, ENCODINGS, parse, native.INLINE_BYTES_MAX)
    parsed.is_import = imported
    stored = await store(context, parsed, request.user, "native")
    rejected = parsed.rejected.total()
    result = WriteResult(stored.accepted, stored.duplicate, rejected, parsed.reasons())
    return Response(result, status_code=202 if stored.duplicate is None else 200)
