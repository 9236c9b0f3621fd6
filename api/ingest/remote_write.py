"""The route of Prometheus remote write 1.0."""

from litestar import MediaType, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec

from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import documented
from api.http.limits import CONCURRENCY, Concurrency
from api.ingest.admission.bodies import Encoding
from api.ingest.admission.parsed_write import ParsedWrite
from api.ingest.admission.store import accepted_times, operation_with_body, store
from api.ingest.formats import remote_write as prometheus
from api.ingest.formats.protobuf_wire import Body
from api.paths import BASE
from model.errors import InvalidError
from model.principal import Role

MEDIA_TYPE = "application/x-protobuf"
OCTETS = "application/octet-stream"
"""Generated clients without protobuf support send this type."""
MESSAGE = "prometheus.WriteRequest"
DESCRIPTION = """\
The body is a `prometheus.WriteRequest` in Snappy's block format, whatever the version header says.
If a request has samples that the protocol calls invalid, the status is 400, so that the sender does
not repeat them; all other samples are stored. Valid samples that cannot be stored, such as infinite
values and labels beyond a limit, are skipped and counted."""


@post(
    [f"{BASE}/ingest/prometheus/write", "/api/v1/write"],
    status_code=204,
    opt={ROLE: Role.INGEST, CONCURRENCY: Concurrency.NONE},
    request_max_body_size=None,
    operation_class=operation_with_body(MEDIA_TYPE, OCTETS),
    responses={
        202: ResponseSpec(None, description="Spooled; the database is unavailable."),
        415: documented("The body is another message, or has another compression than snappy."),
    },
    tags=["metrics"],
    summary="Store samples of Prometheus remote write 1.0",
    description=DESCRIPTION,
)
async def receive(request: KnownRequest, context: NamedDependency[AppContext]) -> Response[None]:
    _check_headers(request)
    receivers = context.receivers
    accepted = await accepted_times(context)

    def parse(body: Body) -> ParsedWrite:
        return prometheus.read(body, accepted, receivers.prometheus)

    parsed = await receivers.bodies.read(request, (Encoding.SNAPPY,), parse)
    stored = await store(context, parsed, request.user, "prometheus")
    if parsed.rejected:
        refused = parsed.sentence()
        raise InvalidError(f"some samples were rejected, all others are stored: {refused}")
    status = 202 if stored.duplicate is None else 204
    return Response(None, status_code=status, media_type=MediaType.TEXT)


def _check_headers(request: KnownRequest) -> None:
    """Check the content type. Raises HTTPException with status 415 for another message.

    Ignores the version header, like Prometheus' own receiver: many senders set none, or that of
    their own library. Without a content type the message is taken as version 1.0.
    """
    if not request.headers.get("content-type"):
        return
    media_type, parameters = request.content_type
    if media_type not in {MEDIA_TYPE, OCTETS} or parameters.get("proto", MESSAGE) != MESSAGE:
        raise HTTPException(
            f"Content-Type must be {MEDIA_TYPE} with the message {MESSAGE} (remote write 1.0)",
            status_code=415,
        )
