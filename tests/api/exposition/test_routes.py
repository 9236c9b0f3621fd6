"""A real Prometheus scrapes the exposition: it is correct, complete, and needs a key."""

import asyncio
import shutil
import socket
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import prometheus_client.openmetrics.parser as openmetrics
import prometheus_client.parser as prometheus
import psycopg_pool
import pytest
from prometheus_client import Metric
from prometheus_client.samples import Sample as Read

from api.exposition import self_metrics
from api.exposition.routes import form_of
from api.exposition.text import OPENMETRICS, TEXT
from model.principal import Role
from model.series import Kind, Sample, Series, labels_of
from model.times import utc_now
from runtime.schedule import SlotStats

PATHS = ["/api/v1/monitoring/metrics/export", "/metrics"]
PROMETHEUS = shutil.which("prometheus")
PROMETHEUS_ASKS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
CONFIG = """
scrape_configs:
  - job_name: vigia
    scrape_interval: 500ms
    scrape_timeout: 500ms
    metrics_path: {path}
    authorization: {{credentials: {key}}}
    static_configs: [targets: ["{target}"]]
"""


def sample(metric: str, value: float, time: datetime, **options: Any) -> Sample:
    labels = labels_of(options.pop("labels", {}))
    return Sample(Series(metric=metric, component="server", labels=labels, **options), time, value)


def samples_of(families: list[Metric]) -> dict[str, list[Read]]:
    found: dict[str, list[Read]] = {}
    for family in families:
        for one in family.samples:
            found.setdefault(one.name, []).append(one)
    return found


async def ask(service: Any, accept: str = PROMETHEUS_ASKS, path: str = "/metrics") -> list[Metric]:
    answer = await service.ask(path, Role.VIEWER, headers={"Accept": accept})
    assert answer.status == 200
    is_open = answer.headers["Content-Type"] == OPENMETRICS.media_type
    assert is_open or answer.headers["Content-Type"] == f"{TEXT.media_type}; charset=utf-8"
    parser = openmetrics if is_open else prometheus
    return list(parser.text_string_to_metric_families(answer.body))


@pytest.mark.parametrize("path", PATHS)
async def test_the_newest_values_are_there_with_the_times_they_are_of(
    service: Any, path: str
) -> None:
    now = utc_now()
    earlier = now - timedelta(seconds=15)
    await service.write(
        [
            sample("server_cpu_percent", 10.0, earlier, unit="percent"),
            sample("server_cpu_percent", 20.0, now, unit="percent"),
            sample("sent_total", 5.0, now, kind=Kind.COUNTER, labels={"host": "web1"}),
        ]
    )

    families = {family.name: family for family in await ask(service, path=path)}

    [cpu] = families["server_cpu_percent"].samples
    assert (cpu.value, cpu.labels) == (20.0, {"component": "server"})
    assert abs(float(cpu.timestamp) - now.timestamp()) <= 0.001
    assert families["server_cpu_percent"].unit == "percent"
    [sent] = families["sent"].samples
    assert families["sent"].type == "counter"
    assert sent.labels == {"component": "server", "host": "web1"}


async def test_a_series_that_is_fed_no_more_is_left_out_and_counted(service: Any) -> None:
    now = utc_now()
    await service.write(
        [
            sample("old", 1.0, now - timedelta(minutes=5, seconds=5)),
            sample("young", 1.0, now - timedelta(minutes=4)),
        ]
    )

    found = samples_of(await ask(service))

    assert "young" in found
    assert "old" not in found
    assert found["vigia_series_stale"][0].value == 1


async def test_series_that_become_the_same_are_counted(service: Any) -> None:
    now = utc_now()
    await service.write([sample("a.b", 1.0, now), sample("a-b", 2.0, now)])

    found = samples_of(await ask(service))

    assert len(found["a_b"]) == 1
    assert found["vigia_series_merged"][0].value == 1


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (PROMETHEUS_ASKS, OPENMETRICS),
        ("", OPENMETRICS),
        ("*/*", OPENMETRICS),
        ("text/html, */*;q=0.8", OPENMETRICS),
        ("text/plain", TEXT),
        ("text/plain; version=0.0.4; charset=utf-8", TEXT),
        ("text/*;q=0.9, */*;q=0.1", TEXT),
        ("text/plain;q=0.5, application/openmetrics-text;q=0.2", TEXT),
        ("TEXT/PLAIN;Q=1, application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=nonsense,,;", OPENMETRICS),
        ("image/png", OPENMETRICS),
    ],
)
def test_the_format_is_the_one_that_is_wanted_more(accept: str, form: object) -> None:
    assert form_of(accept) == form


async def test_both_formats_tell_the_same(service: Any) -> None:
    await service.write([sample("a.b", 1.5, utc_now(), unit="ms", labels={"x": 'a"\\\n'})])

    one = samples_of(await ask(service))["a_b"][0]
    other = samples_of(await ask(service, "text/plain"))["a_b"][0]

    assert (one.labels, one.value) == (other.labels, other.value)


async def test_only_who_may_read_may_ask(service: Any) -> None:
    for path in PATHS:
        assert (await service.ask(path, None)).status == 401
        assert (await service.ask(path, Role.INGEST)).status == 403


async def test_the_service_tells_of_itself_also_without_its_database(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = samples_of(await ask(service))
    assert found["vigia_database_up"][0].value == 1
    assert found["vigia_resident_memory_bytes"][0].value > 10_000_000
    limits = {point.labels["limit"] for point in found["vigia_limit_refused_total"]}
    assert {"history", "export", "requests", "analysis"} <= limits

    async with psycopg_pool.AsyncConnectionPool(
        "host=127.0.0.1 port=1 connect_timeout=1", min_size=0, max_size=1, timeout=0.2
    ) as away:
        monkeypatch.setattr(service.context.pool, "connection", away.connection)
        found = samples_of(await ask(service))
    assert found["vigia_database_up"][0].value == 0


def numbers_in(content: Any) -> int:
    if isinstance(content, dict):
        return sum(map(numbers_in, content.values()))
    return isinstance(content, int | float)


def test_every_number_of_the_status_is_told() -> None:
    slots = SlotStats(name="collect server", runs=3, missed=1, last_slot=utc_now())
    status = {
        "engine": {"embedded": True, "restarts": 1},
        "services": [slots],
        "writer": {"stored": 5, "pending": 6, "dropped": 7},
        "subscribers": {"mine": 2},
        "new": {"bytes": 8, "inner": {"words": 9}, "text": "none"},
    }

    points = list(self_metrics.points_of(status))

    reported = {point.metric: point for point in points}
    assert len(reported) == len(points)
    assert reported["vigia_writer_dropped_total"].value == 7
    assert reported["vigia_writer_dropped_total"].counts
    assert reported["vigia_service_missed_total"].labels == '{service="collect server"}'
    assert reported["vigia_subscriber_dropped_total"].labels == '{subscriber="mine"}'
    assert (reported["vigia_new_bytes"].value, reported["vigia_new_inner_words"].value) == (8, 9)
    # Of the slots: all but the name and the last error.
    assert len(points) == numbers_in(status) + len(SlotStats.__struct_fields__) - 2


@pytest.fixture
async def scraping(service: Any, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Debian's Prometheus, which comes to the service twice a second."""
    if PROMETHEUS is None:
        pytest.skip("prometheus is not installed")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        CONFIG.format(
            path=PATHS[0], key=service.keys[Role.VIEWER], target=service.url.removeprefix("http://")
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS,
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            yield http
    finally:
        process.terminate()
        await process.communicate()


async def scraped(http: aiohttp.ClientSession, query: str) -> list[dict[str, Any]]:
    """Return what Prometheus answers as soon as it knows something."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with http.get("/api/v1/query", params={"query": query}) as answer:
                    body = await answer.json()
            except aiohttp.ClientError:
                body = {}
            if found := body.get("data", {}).get("result"):
                result: list[dict[str, Any]] = found
                return result
            await asyncio.sleep(0.1)


async def test_prometheus_scrapes_whatever_there_is(
    service: Any, scraping: aiohttp.ClientSession
) -> None:
    now = utc_now()
    await service.write(
        [
            sample("http.server-time:ms", 1.5, now, unit="ms", labels={"a.b": 'x"\\é\n'}),
            sample("sent_total", 5.0, now, kind=Kind.COUNTER, unit="bytes"),
            sample("sent", 6.0, now),
            sample("sent_created", 7.0, now),
            sample("trading_pnl_24h", -1e-9, now, unit="usd"),
        ]
    )

    [up] = await scraped(scraping, "up")
    assert up["value"][1] == "1"
    [mine] = await scraped(scraping, "http_server_time_ms")
    assert mine["metric"]["a_b"] == 'x"\\é\n'
    assert mine["value"][1] == "1.5"
    [stamp] = await scraped(scraping, "timestamp(sent_total)")
    assert abs(float(stamp["value"][1]) - now.timestamp()) < 0.002
    for name in ("sent", "sent_created", "trading_pnl_24h", "vigia_writer_stored_total"):
        assert await scraped(scraping, name), name
    async with scraping.get("/api/v1/targets") as answer:
        [target] = (await answer.json())["data"]["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    async with scraping.get("/api/v1/metadata", params={"metric": "vigia_writer_stored"}) as answer:
        [[meta]] = (await answer.json())["data"].values()
    assert (meta["type"], meta["help"]) == ("counter", "Samples stored.")
