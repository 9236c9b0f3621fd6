"""The OTLP/HTTP route, for applications instrumented with OpenTelemetry."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from msgspec import Struct
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)

from api.http import errors
from api.http.access import ROLE
from api.http.context import AppContext, KnownRequest
from api.http.errors import Problem, documented
from api.http.limits import CONCURRENCY, Concurrency
from api.ingest.admission.bodies import Encoding
from api.ingest.admission.key_scope import restrict
from api.ingest.admission.parsed_write import ParsedWrite
from api.ingest.admission.store import accepted_times, hold_up, operation_with_body, store_now
from api.ingest.formats import otlp, otlp_json, otlp_protobuf
from api.ingest.formats.protobuf_wire import Body
from api.paths import BASE
from model.principal import Principal, Role, holder_of
from model.series import Column
from samples.write_batch import Stored

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
READERS = {PROTOBUF: otlp_protobuf.request_of, JSON: otlp_json.request_of}
ENCODINGS = (Encoding.IDENTITY, Encoding.GZIP, Encoding.ZSTD)
DESCRIPTION = """\
The body is an `ExportMetricsServiceRequest`. The response is an `ExportMetricsServiceResponse` in \
the same format; its `partial_success` counts rejected data points. The body of an error is a \
`google.rpc.Status` in the format of the request."""

INVALID_ARGUMENT, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE = 3, 8, 13, 14
CODES = {413: RESOURCE_EXHAUSTED, 500: INTERNAL, 503: UNAVAILABLE}
"""google.rpc codes by HTTP status; all other statuses are INVALID_ARGUMENT."""


class RpcStatus(Struct, frozen=True):
    """An error as google.rpc.Status."""

    code: int
    message: str

    def to_protobuf(self) -> bytes:
        """Return the error encoded in protobuf."""
        text = self.message.encode()
        return bytes([0x08, self.code, 0x12]) + _varint(len(text)) + text


def exception_handlers() -> ExceptionHandlersMap:
    """Return the error table of all routes, with responses in OTLP's format."""
    return {kind: _as_status(handler) for kind, handler in errors.table(lambda app: app).items()}


def _as_status(handler: Callable[..., Response[Problem]]) -> Callable[..., Response[bytes]]:
    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        answer = handler(request, error)
        status = RpcStatus(
            CODES.get(answer.content.status, INVALID_ARGUMENT), answer.content.detail
        )
        is_json = request.content_type[0] == JSON
        return Response(
            msgspec.json.encode(status) if is_json else status.to_protobuf(),
            status_code=answer.status_code,
            media_type=JSON if is_json else PROTOBUF,
            headers=answer.headers,
        )

    return handle


@post(
    [f"{BASE}/ingest/otlp/v1/metrics", "/v1/metrics"],
    status_code=200,
    opt={ROLE: Role.INGEST, CONCURRENCY: Concurrency.NONE},
    request_max_body_size=None,
    exception_handlers=exception_handlers(),
    operation_class=operation_with_body(PROTOBUF, JSON),
    responses={415: documented("The body is not protobuf or JSON, or has another compression.")},
    tags=["metrics"],
    summary="Store OpenTelemetry metrics",
    description=DESCRIPTION,
)
async def receive(request: KnownRequest, context: NamedDependency[AppContext]) -> Response[bytes]:
    media_type = request.content_type[0]
    if media_type not in READERS:
        raise HTTPException(f"Content-Type must be {PROTOBUF} or {JSON}", status_code=415)
    accepted = await accepted_times(context)
    receivers = context.receivers

    def parse(body: Body) -> otlp.Reading:
        return otlp.read(READERS[media_type](body), accepted, receivers.otlp)

    reading = await receivers.bodies.read(request, ENCODINGS, parse)
    stored = await _store(context, reading, request.user)
    if reading.zeros:
        await _store_zeros(context, reading.zeros, request.user)
    await hold_up(context, request.user, stored)
    return Response(_answer(media_type, reading.parsed), media_type=media_type)


async def _store(context: AppContext, reading: otlp.Reading, principal: Principal) -> Stored:
    if not reading.running:
        return await store_now(context, reading.parsed, principal, "otlp")
    totals = context.receivers.otlp.totals
    # Difference, store, remember: a request in between would compute the same difference again, and
    # it would be stored twice. Totals are remembered after the commit, so that a retry works.
    async with context.receivers.totals_limiter.slot(holder_of(principal)):
        newer = await asyncio.to_thread(otlp.resolve, reading, totals)
        stored = await store_now(context, reading.parsed, principal, "otlp")
        totals.note_stored(newer)
    return stored


async def _store_zeros(context: AppContext, zeros: list[Column], principal: Principal) -> None:
    """Store the zeros at the starts of counters, in a write of its own after the samples.

    A zero must not create a series that was refused, so this write allows no new series. Refused
    zeros are not counted, because the sender did not send them.
    """
    parsed = ParsedWrite(columns=list(zeros))
    restrict(parsed, principal, context.config().measured)
    if parsed.columns:
        await context.write(parsed.write_batch(), 0)
    context.receivers.otlp.start_times.note_stored(zeros)


def _answer(media_type: str, parsed: ParsedWrite) -> bytes:
    rejected, reasons = parsed.rejected.total(), parsed.sentence()
    if media_type == JSON:
        partial = {"rejectedDataPoints": str(rejected), "errorMessage": reasons}
        return msgspec.json.encode({"partialSuccess": partial} if rejected else {})
    answer = ExportMetricsServiceResponse()
    if rejected:
        answer.partial_success.rejected_data_points = rejected
        answer.partial_success.error_message = reasons
    encoded: bytes = answer.SerializeToString()
    return encoded


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:  # noqa: PLR2004 (seven bits a byte)
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])
