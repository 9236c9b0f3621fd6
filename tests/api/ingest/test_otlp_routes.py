"""The OTLP route with the real SDK and exporter, and every response of the protocol."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from accounts import keys
from accounts.keys import Bound
from api.ingest.admission import series_quota
from api.ingest.formats.otlp import OtlpCache
from model.errors import UnavailableError
from model.principal import Role
from model.times import micros_of, utc_now
from samples.write_batch import WriteBatch
from tests.api.ingest.otlp_requests import gauge, message, point
from tests.api.ingest.remote import part

PATH = "/api/v1/monitoring/ingest/otlp/v1/metrics"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
FORMATS = [PROTOBUF, JSON]
NEVER_MS = 3_600_000
DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
RESOURCE = Resource({"service.name": "shop", "service.version": "1.2", "host.name": "h1"})


@asynccontextmanager
async def sdk(service: Any, **options: Any) -> AsyncIterator[MeterProvider]:
    """The SDK as an application sets it up; it pushes when it is told to, and when it ends."""
    exporter = OTLPMetricExporter(
        endpoint=service.url + PATH,
        headers={"Authorization": f"Bearer {service.keys[Role.INGEST]}"},
        **options,
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=NEVER_MS)
    fine = View(instrument_name="fine", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider([reader], resource=RESOURCE, views=[fine], shutdown_on_exit=False)
    try:
        yield provider
    finally:
        await asyncio.to_thread(provider.shutdown)


@pytest.fixture(autouse=True)
def memory(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier tests stored is gone, and must not be remembered."""
    monkeypatch.setattr(service.context.receivers, "otlp", OtlpCache(micros_of(utc_now())))


async def stored(service: Any) -> dict[str, tuple[str, list[float]]]:
    async with service.context.connect() as connection:
        cursor = await connection.execute(
            "SELECT metric, kind, array_agg(value ORDER BY time) FROM metrics GROUP BY 1, 2"
        )
        return {metric: (kind, values) for metric, kind, values in await cursor.fetchall()}


async def send(
    service: Any, body: bytes, media_type: str = PROTOBUF, role: Role = Role.INGEST, **more: str
) -> tuple[int, Any, bytes]:
    headers = {
        "Authorization": f"Bearer {service.keys[role]}",
        "Content-Type": media_type,
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    async with service.http.post(service.url + PATH, data=body, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()


def now_ns() -> int:
    return int(utc_now().timestamp()) * 10**9


def written(media_type: str, *metrics: dict[str, Any]) -> bytes:
    made = message(metrics[0], others=metrics[1:])
    as_json = json_format.MessageToJson(made).encode()
    return as_json if media_type == JSON else made.SerializeToString()


def status_of(media_type: str, body: bytes) -> Status:
    return json_format.Parse(body, Status()) if media_type == JSON else Status.FromString(body)


@pytest.mark.parametrize("compression", [Compression.Gzip, Compression.NoCompression])
async def test_the_real_sdk_pushes_every_instrument(service: Any, compression: Compression) -> None:
    async with sdk(service, compression=compression) as provider:
        meter = provider.get_meter("lib")
        requests = meter.create_counter("requests", unit="1")
        queue = meter.create_up_down_counter("queue")
        meter.create_observable_gauge("heat", [lambda _: [Observation(21.5, {"room": "a"})]])
        took, fine = meter.create_histogram("took", unit="ms"), meter.create_histogram("fine")
        for value in (3, 4, 5):
            requests.add(value)
            queue.add(-value)
            took.record(value)
            fine.record(value)
            assert await asyncio.to_thread(provider.force_flush)

    found = await stored(service)
    assert {name: kind for name, (kind, _) in found.items()} == {
        "requests": "counter", "queue": "gauge", "heat": "gauge",
        "took_count": "counter", "took_sum": "counter",
        "fine_count": "counter", "fine_sum": "counter",
    }  # fmt: skip
    # The last one is of the end.
    # A counter began at 0 when its sender started.
    assert found["requests"][1] == [0, 3, 7, 12, 12]
    assert found["queue"][1] == [-3, -7, -12, -12]
    assert found["fine_sum"][1] == [0, 3, 7, 12, 12]
    [heat] = (await service.get("/metrics", metric="heat")).body["items"]
    assert heat["component"] == "shop"
    assert heat["labels"] == {
        "room": "a", "host.name": "h1", "service.version": "1.2", "otel.scope.name": "lib",
    }  # fmt: skip
    totals = service.context.receivers.otlp.totals._last
    assert {series.metric: int(total.buckets.counts.sum()) for series, total in totals.items()} == {
        "took": 3,
        "fine": 3,
    }


async def test_the_real_sdk_pushes_deltas(service: Any) -> None:
    async with sdk(service, preferred_temporality=DELTA) as provider:
        requests = provider.get_meter("lib").create_counter("requests")
        for value in (3, 4):
            requests.add(value)
            assert await asyncio.to_thread(provider.force_flush)

    assert (await stored(service))["requests"] == ("gauge", [3, 4])
    [reported] = (await service.get("/metrics", metric="requests")).body["items"]
    assert reported["labels"]["temporality"] == "delta"


@pytest.mark.parametrize("media_type", FORMATS)
async def test_the_response_has_the_format_of_the_request(service: Any, media_type: str) -> None:
    body = written(media_type, gauge(point(time=now_ns())))

    for sent, more in ((body, {}), (gzip.compress(body), {"Content_Encoding": "gzip"})):
        status, headers, answer = await send(service, sent, media_type, **more)

        assert (status, headers["Content-Type"]) == (200, media_type)
        assert answer == (b"{}" if media_type == JSON else b"")
    assert (await stored(service))["m"] == ("gauge", [1])


@pytest.mark.parametrize("media_type", FORMATS)
async def test_a_partial_success_counts_what_was_rejected(service: Any, media_type: str) -> None:
    before = service.context.receivers.rejected["otlp", "too_old"]
    t = now_ns()
    body = written(media_type, gauge(point(time=t), point(time=5), point(2, t + 1)), gauge(name=""))

    status, _, answer = await send(service, body, media_type)

    reported = ExportMetricsServiceResponse()
    if media_type == JSON:
        assert json.loads(answer)["partialSuccess"]["rejectedDataPoints"] == "2"
        json_format.Parse(answer, reported)
    else:
        reported.ParseFromString(answer)
    assert status == 200
    assert reported.partial_success.rejected_data_points == 2
    assert "no longer kept" in reported.partial_success.error_message
    assert "name is empty" in reported.partial_success.error_message
    assert (await stored(service))["m"][1] == [1]
    assert service.context.receivers.rejected["otlp", "too_old"] == before + 1


@pytest.mark.parametrize("media_type", FORMATS)
@pytest.mark.parametrize(
    ("more", "status", "code", "word"),
    [
        ({}, 400, 3, ""),
        ({"Content_Encoding": "br"}, 415, 3, "gzip"),
        ({"Content_Encoding": "gzip"}, 413, 8, "split it"),
    ],
)
async def test_an_error_is_a_status_in_the_same_format(
    service: Any, media_type: str, more: dict[str, str], status: int, code: int, word: str
) -> None:
    answered, headers, body = await send(service, b"\x05hello", media_type, **more)

    assert (answered, headers["Content-Type"]) == (status, media_type)
    reported = status_of(media_type, body)
    assert reported.code == code
    assert word in reported.message
    assert reported.message


async def test_a_body_nested_too_deeply_is_refused(service: Any) -> None:
    value = b""
    for _ in range(2_000):
        value = part(5, part(1, value))
    attribute = part(1, "a") + part(2, value)
    in_json = b'{"resourceMetrics":[{"resource":{"attributes":[{"key":"a","value":'
    in_json += b'{"arrayValue":{"values":[' * 20_000 + b"]}}" * 20_000 + b"}]}}]}"
    metrics = part(2, part(2, part(5, part(1, b""))))

    for body, media_type in (
        (part(1, part(1, part(1, attribute)) + metrics), PROTOBUF),
        (in_json, JSON),
    ):
        assert (await send(service, body, media_type))[0] == 400


async def test_a_database_that_is_away_is_to_be_tried_again(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(service.writer, "store", refuse)

    status, headers, body = await send(service, written(PROTOBUF, gauge(point(time=now_ns()))))

    assert status == 503
    assert int(headers["Retry-After"]) > 0
    assert Status.FromString(body).code == 14


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-protobuf2", "application"])
async def test_only_the_two_formats_are_taken(service: Any, media_type: str) -> None:
    status, _, body = await send(service, b"", media_type)

    assert status == 415
    assert b"Content-Type must be" in body


async def test_parameters_of_the_type_are_no_other_type(service: Any) -> None:
    assert (await send(service, b"{}", "application/json; charset=utf-8"))[0] == 200


async def test_only_keys_that_may_write_do(service: Any) -> None:
    assert (await send(service, b"", role=Role.VIEWER))[0] == 403
    assert (await send(service, b"", role=Role.ADMIN))[0] == 200


async def test_the_same_request_from_ten_connections_is_stored_once(service: Any) -> None:
    t = now_ns()
    body = written(PROTOBUF, gauge(*(point(n, t - n * 10**9) for n in range(50))))

    answers = await asyncio.gather(*(send(service, body) for _ in range(10)))

    assert [answer[0] for answer in answers] == [200] * 10
    assert len((await stored(service))["m"][1]) == 50


LIVES = ([10, 30, 60], [5, 10], [100])
"""What a sender that restarts twice counts; the last of its totals passes those before."""


def living(kind: str, now: int) -> list[dict[str, Any]]:
    """Return a metric for each total of these lives, ten seconds apart; each life has a start."""
    found, time = [], now - 120 * 10**9
    for totals in LIVES:
        started = time + 10**9
        for total in totals:
            time += 10 * 10**9
            reported = {"timeUnixNano": time, "startTimeUnixNano": started}
            if kind == "sum":
                data = {"dataPoints": [{**reported, "asInt": total}], "isMonotonic": True}
            elif kind == "summary":
                data = {"dataPoints": [{**reported, "count": total, "sum": total}]}
            else:
                buckets = {"bucketCounts": [total, 0], "explicitBounds": [5]}
                data = {"dataPoints": [{**reported, **buckets, "count": total, "sum": total}]}
            if kind != "summary":
                data["aggregationTemporality"] = 2
            found.append({"name": "re.counter", kind: data})
    return found


async def increase(service: Any, metric: str) -> float:
    async with service.context.connect() as connection:
        cursor = await connection.execute(
            "SELECT sum(increase) FROM rate(%s, now() - interval '1 hour', now(), '5 minutes')",
            [metric],
        )
        [total] = await cursor.fetchone()
        return float(total)


@pytest.mark.parametrize("media_type", FORMATS)
@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("sum", "re.counter"),
        ("histogram", "re.counter_count"),
        ("histogram", "re.counter_sum"),
        ("summary", "re.counter_count"),
    ],
)
async def test_a_restart_that_passes_the_old_value_is_a_reset(
    service: Any, kind: str, metric: str, media_type: str
) -> None:
    sent = [written(media_type, each) for each in living(kind, now_ns())]

    for body in (*sent, *sent):
        assert (await send(service, body, media_type))[0] == 200

    assert (await stored(service))[metric][1] == [0, 10, 30, 60, 0, 5, 10, 0, 100]
    assert await increase(service, metric) == 60 + 10 + 100


async def test_a_start_belongs_to_the_series_of_its_key(service: Any) -> None:
    bound = Bound(labels={"host": "web1"})
    async with service.context.connect() as connection:
        _, secret = await keys.create(connection, "web", Role.INGEST, utc_now(), "test", bound)
    bearer = f"Bearer {secret.reveal()}"
    for metric in living("sum", now_ns()):
        answer = await send(service, written(PROTOBUF, metric), Authorization=bearer)
        assert answer[0] == 200

    assert (await stored(service))["re.counter"][1] == [0, 10, 30, 60, 0, 5, 10, 0, 100]
    [reported] = (await service.get("/metrics", metric="re.counter")).body["items"]
    assert reported["labels"]["host"] == "web1"


async def test_a_start_that_could_not_be_stored_comes_with_the_next_sample(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = (written(PROTOBUF, each) for each in living("sum", now_ns()))
    store = service.writer.store

    async def only_samples(load: WriteBatch, series_max: int | None) -> Any:
        if series_max == 0:
            raise UnavailableError("away")
        return await store(load, series_max)

    with monkeypatch.context() as patched:
        patched.setattr(service.writer, "store", only_samples)
        assert (await send(service, first))[0] == 503
    assert (await send(service, second))[0] == 200

    assert (await stored(service))["re.counter"][1] == [0, 10, 30]


async def test_no_start_makes_a_series_that_was_refused(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_quota, "NEW_SERIES_A_MINUTE_MAX", 0)

    _, _, body = await send(service, written(PROTOBUF, living("sum", now_ns())[0]))

    reported = ExportMetricsServiceResponse.FromString(body).partial_success
    assert reported.rejected_data_points == 1
    assert await stored(service) == {}
