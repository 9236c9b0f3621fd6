"""OTLP/HTTP: the way in for what is instrumented with OpenTelemetry."""

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

from api import errors
from api.door import ROLE
from api.errors import Problem, documented
from api.ingest import otlp, otlp_json, otlp_protobuf
from api.ingest.bodies import Encoding
from api.ingest.intake import Intake
from api.ingest.store import operation_with_body, store, window
from api.ingest.wire import Body
from api.limits import CONCURRENCY, Concurrency
from api.parts import KnownRequest, Parts
from api.probes import BASE
from vigia.model import Principal, Role

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
READERS = {PROTOBUF: otlp_protobuf.request_of, JSON: otlp_json.request_of}
ENCODINGS = (Encoding.IDENTITY, Encoding.GZIP, Encoding.ZSTD)
DESCRIPTION = """\
The body is an `ExportMetricsServiceRequest`, and the answer an `ExportMetricsServiceResponse` in \
the same format; data points that cannot be stored are counted in its `partial_success`. Errors \
have a `google.rpc.Status` as their body, in the format of the request."""

INVALID_ARGUMENT, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE = 3, 8, 13, 14
CODES = {413: RESOURCE_EXHAUSTED, 500: INTERNAL, 503: UNAVAILABLE}
"""Codes of google.rpc for statuses of HTTP; others are INVALID_ARGUMENT."""


class Status(Struct, frozen=True):
    """An error as google.rpc.Status."""

    code: int
    message: str

    def to_protobuf(self) -> bytes:
        """Return the message in protobuf."""
        text = self.message.encode()
        return bytes([0x08, self.code, 0x12]) + _varint(len(text)) + text


def exception_handlers() -> ExceptionHandlersMap:
    """Return what is answered to each kind of error: what it is everywhere, in another form."""
    return {kind: _as_status(handler) for kind, handler in errors.table(lambda app: app).items()}


def _as_status(handler: Callable[..., Response[Problem]]) -> Callable[..., Response[bytes]]:
    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        answer = handler(request, error)
        status = Status(CODES.get(answer.content.status, INVALID_ARGUMENT), answer.content.detail)
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
    responses={415: documented("Neither protobuf nor JSON, or compressed in another way.")},
    tags=["metrics"],
    summary="Store metrics of OpenTelemetry",
    description=DESCRIPTION,
)
async def receive(request: KnownRequest, parts: NamedDependency[Parts]) -> Response[bytes]:
    media_type = request.content_type[0]
    if media_type not in READERS:
        raise HTTPException(f"send Content-Type {PROTOBUF} or {JSON}", status_code=415)
    accepted = await window(parts)
    receivers = parts.receivers

    def parse(body: Body) -> otlp.Reading:
        return otlp.read(READERS[media_type](body), accepted, receivers.otlp)

    reading = await receivers.bodies.read(request, ENCODINGS, parse)
    await _store(parts, reading, request.user)
    return Response(_answer(media_type, reading.intake), media_type=media_type)


async def _store(parts: Parts, reading: otlp.Reading, principal: Principal) -> None:
    if not reading.running:
        await store(parts, reading.intake, principal, "otlp")
        return
    totals = parts.receivers.otlp.totals
    async with parts.receivers.totals_limiter.slot():
        newer = await asyncio.to_thread(otlp.resolve, reading, totals)
        await store(parts, reading.intake, principal, "otlp")
        totals.settle(newer)


def _answer(media_type: str, intake: Intake) -> bytes:
    rejected, reasons = intake.rejected.total(), intake.sentence()
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
