"""The remote write route: by its protocol, and with Debian's Prometheus."""

import asyncio
import io
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from model.principal import Role
from model.times import utc_now
from tests.api.ingest.memory import little_memory
from tests.api.ingest.remote import HEADERS, metadata, part, sample, series, snappy

PATH = "/api/v1/monitoring/ingest/prometheus/write"
UP = {"__name__": "up", "instance": "a:9090", "job": "node"}
DEADLINE_S = 60
METRIC = "process_resident_memory_bytes"
PROMETHEUS = shutil.which("prometheus")

CONFIG = """\
global:
  scrape_interval: 500ms
  scrape_timeout: 400ms
  external_labels:
    host: here
scrape_configs:
  - job_name: itself
    static_configs:
      - targets: ["127.0.0.1:{port}"]
remote_write:
  - url: {url}
    authorization:
      credentials: {key}
    queue_config:
      batch_send_deadline: 500ms
      min_backoff: 100ms
    metadata_config:
      send_interval: 500ms
"""


def now_ms() -> int:
    return int(utc_now().timestamp() * 1000)


async def send(service: Any, body: Any, role: Role | None = Role.INGEST, **headers: str) -> Any:
    given = HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.ask(PATH, role, method="POST", data=body, headers=given)


async def stored(service: Any, metric: str) -> list[tuple[datetime, float]]:
    async with service.context.connect() as connection:
        cursor = await connection.execute(
            "SELECT time, value FROM metrics WHERE metric = %s ORDER BY time", (metric,)
        )
        return list(await cursor.fetchall())


async def test_repeated_writes_are_stored_once(service: Any) -> None:
    t = now_ms()
    body = snappy(series(UP, [(1, t), (0, t - 1000), (1.5, t - 2000)]))

    answers = await asyncio.gather(*(send(service, body) for _ in range(10)))

    assert [answer.status for answer in answers] == [204] * 10
    assert [answer.body for answer in answers] == [""] * 10
    assert [value for _, value in await stored(service, "up")] == [1.5, 0, 1]
    [described] = (await service.get("/metrics", metric="up")).body["items"]
    assert described["component"] == "node"
    assert described["labels"] == {"instance": "a:9090"}


async def test_samples_that_cannot_be_stored_are_named_and_the_others_stored(service: Any) -> None:
    t = now_ms()
    bad = [(1, t + 3_600_000), (1, 5)]
    before = dict(service.context.receivers.rejected)

    answer = await send(service, snappy(series(UP, [(1, t), *bad])))

    assert answer.status == 400
    for word in ("all others are stored", "in the future", "no longer kept"):
        assert word in answer.detail
    assert [value for _, value in await stored(service, "up")] == [1]
    grown = service.context.receivers.rejected
    for word in ("future", "too_old"):
        assert grown["prometheus", word] == before.get(("prometheus", word), 0) + 1


async def test_samples_that_cannot_be_stored_are_skipped_counted_and_logged_once(
    service: Any,
) -> None:
    t = now_ms()
    odd = {"__name__": "odd", "job": "node"}
    body = snappy(
        series(UP, [(1, t)])
        + series(odd, [(float("inf"), t), (-float("inf"), t), (1e300, t)])
        + series(odd | {"k": "one\ntwo"}, [(1, t)])
        + series(odd | {"k": "v" * 1025}, [(1, t)])
        + series(odd | {"job": "a\nb"}, [(1, t)])
    )
    before = dict(service.context.receivers.skipped)

    with structlog.testing.capture_logs() as logged:
        answers = [await send(service, body) for _ in range(2)]

    assert [answer.status for answer in answers] == [204, 204]
    assert await stored(service, "odd") == []
    skipped = service.context.receivers.skipped
    for word, count in (("infinite", 4), ("too_large", 2), ("label_value", 4), ("name", 2)):
        assert skipped["prometheus", word] == before.get(("prometheus", word), 0) + count
    whys = [line["why"] for line in logged if line["event"] == "samples_skipped"]
    assert len(whys) == len(set(whys)) == 4
    assert {line["metric"] for line in logged if line["event"] == "samples_skipped"} == {"odd"}
    text = (await service.ask("/metrics", Role.VIEWER)).body
    assert 'vigia_ingest_skipped_total{protocol="prometheus",reason="infinite"}' in text


async def test_the_path_that_senders_expect_at_the_root_is_the_same_way_in(service: Any) -> None:
    body = snappy(series(UP, [(1, now_ms())]))
    answer = await service.ask(
        "/api/v1/write", Role.INGEST, method="POST", data=body, headers=HEADERS
    )
    otlp = await service.ask(
        "/v1/metrics",
        Role.INGEST,
        method="POST",
        data=b"",
        headers={"Content-Type": "application/x-protobuf"},
    )

    assert (answer.status, otlp.status) == (204, 200)
    assert len(await stored(service, "up")) == 1


async def test_metadata_alone_is_taken(service: Any) -> None:
    t = now_ms()

    assert (await send(service, snappy(metadata("cpu", 1, "s")))).status == 204
    assert (await send(service, snappy(series({"__name__": "cpu"}, [(1, t)])))).status == 204
    assert (await send(service, snappy(b""))).status == 204

    [described] = (await service.get("/metrics", metric="cpu")).body["items"]
    assert (described["kind"], described["unit"]) == ("counter", "s")


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({"Content_Type": "application/json"}, 415, "prometheus.WriteRequest"),
        (
            {"Content_Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
            415,
            "remote write 1.0",
        ),
        ({"Content_Encoding": "gzip"}, 415, "snappy"),
        ({"Content_Encoding": "identity"}, 415, "snappy"),
    ],
)
async def test_another_protocol_is_told_from_this_one(
    service: Any, headers: dict[str, str], status: int, word: str
) -> None:
    answer = await send(service, snappy(series(UP, [(1, now_ms())])), **headers)

    assert answer.status == status
    assert word in answer.detail


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-protobuf"},
        {"Content-Type": "application/x-protobuf; proto=prometheus.WriteRequest"},
        {"Content-Type": 'Application/X-Protobuf;proto="prometheus.WriteRequest"'},
        {"X-Prometheus-Remote-Write-Version": "2.0.0"},
        {"X-Prometheus-Remote-Write-Version": "1.0.0"},
        {"X-Prometheus-Remote-Write-Version": "yolo"},
        {"Content-Encoding": "snappy"},
        {},
    ],
)
async def test_a_message_is_judged_by_its_type_whatever_its_version_header_says(
    service: Any, headers: dict[str, str]
) -> None:
    """As the receiver of Prometheus does; what is not said is remote write 1.0 in snappy."""
    key = {"Authorization": f"Bearer {service.keys[Role.INGEST]}"}
    body = snappy(series(UP, [(1, now_ms())]))

    async with service.http.post(
        service.url + PATH, data=body, headers=key | headers, skip_auto_headers={"Content-Type"}
    ) as answer:
        assert answer.status == 204


async def test_only_keys_that_may_write_do(service: Any) -> None:
    body = snappy(b"")

    assert (await send(service, body, None)).status == 401
    assert (await send(service, body, Role.VIEWER)).status == 403
    assert (await send(service, body, Role.OPERATOR)).status == 403
    assert (await send(service, body, Role.ADMIN)).status == 204


@pytest.mark.parametrize("body", [b"", b"\xff" * 20, b"\x05\x10hello", snappy(b"\x0a\x05ab")])
async def test_an_invalid_message_is_refused(service: Any, body: bytes) -> None:
    assert (await send(service, body)).status == 400


async def test_a_body_of_empty_parts_takes_little_memory(service: Any) -> None:
    """Each of them would be an object of a hundred bytes to a usual decoder: a gigabyte."""
    body = snappy(b"\x0a\x00\x12\x00" * (8 << 20))

    with little_memory(100 << 20):
        answer = await send(service, io.BytesIO(body))

    assert answer.status == 400
    assert "too many fields" in answer.detail


async def test_many_large_bodies_at_once_take_the_memory_of_one(service: Any) -> None:
    """An object for each of their samples, and memory that each thread keeps, were 700 MiB.

    A copy of each that waits, and of what is taken for labels, were 90 MiB.

    What the senders hold is of this process too.
    """
    samples = sample(1.5, now_ms()) * (30_000_000 // 20)
    body = snappy(part(1, part(1, part(1, "__name__") + part(2, "m")) + samples))

    with little_memory(160 << 20):
        answers = await asyncio.gather(*(send(service, io.BytesIO(body)) for _ in range(20)))

    # 503 is for who waited too long behind the others.
    assert {400} <= {answer.status for answer in answers} <= {400, 503}


@asynccontextmanager
async def prometheus(service: Any, folder: Path) -> AsyncIterator[str]:
    """A real Prometheus that scrapes itself; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = CONFIG.format(port=port, url=service.url + PATH, key=service.keys[Role.INGEST])
    (folder / "prometheus.yml").write_text(config)
    with (folder / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            str(PROMETHEUS),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def ask_prometheus(service: Any, address: str, query: str) -> list[Any]:
    async with service.http.get(f"{address}/api/v1/query", params={"query": query}) as answer:
        found: list[Any] = json.loads(await answer.text())["data"]["result"]
        return found


@pytest.mark.skipif(PROMETHEUS is None, reason="there is no prometheus on this machine")
async def test_a_real_prometheus_writes_what_it_scrapes(service: Any, tmp_path: Path) -> None:
    t = utc_now()
    async with prometheus(service, tmp_path) as address:
        async with asyncio.timeout(DEADLINE_S):
            while len(await stored(service, METRIC)) < 5:
                await asyncio.sleep(0.2)
        [theirs] = await ask_prometheus(service, address, f"{METRIC}[1m]")
        failed = await ask_prometheus(
            service, address, "prometheus_remote_storage_samples_failed_total"
        )
        assert [float(each["value"][1]) for each in failed] == [0]
    ours = await stored(service, METRIC)
    reported = {datetime.fromtimestamp(at, UTC): float(value) for at, value in theirs["values"]}
    assert len(reported.keys() & dict(ours).keys()) >= 5
    assert [reported[at] for at, _ in ours if at in reported] == [
        v for at, v in ours if at in reported
    ]
    items = (await service.get("/metrics", component="itself", limit=1000)).body["items"]
    assert len(items) > 300
    by_name = {item["metric"]: item for item in items}
    assert by_name["go_goroutines"]["kind"] == "gauge"
    assert by_name["go_goroutines"]["labels"]["host"] == "here"
    assert by_name["prometheus_http_requests_total"]["kind"] == "counter"
    assert by_name["process_cpu_seconds_total"]["kind"] == "counter"
    assert by_name["up"]["first_time"] > t.isoformat()
    assert "error" not in (tmp_path / "log").read_text().lower()
