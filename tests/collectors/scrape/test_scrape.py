"""Scrapes of real exporters, with secrets and limits, and of servers that misbehave."""

import asyncio
import shutil
import socket
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import prometheus_client.parser as prometheus
import pytest
import structlog

from collectors.scrape import scrape
from collectors.scrape.scrape import Scrapes, scrape_every
from model.series import Category, Kind, Sample
from model.targets import ScrapeTarget
from runtime.network.egress import Egress, open_egress
from runtime.schedule import SlotStats
from tests.collectors.fake_targets import (
    Act,
    loopback_egress,
    outside,
    redirecting,
    response,
    saying,
    silence,
)

SLOT = datetime(2026, 1, 1, tzinfo=UTC)
EXPORTER = shutil.which("prometheus-node-exporter")
TEXT = "Content-Type: text/plain; version=0.0.4"
OPEN = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with loopback_egress() as opened:
        yield opened


class Simulation:
    """Scrapes whose samples are remembered."""

    def __init__(self, egress: Egress, secrets: Path) -> None:
        self.put: list[Sample] = []
        self.scrapes = Scrapes(egress, secrets, self.put.extend)

    async def take(self, *targets: ScrapeTarget, deadline_s: float = 5.0) -> None:
        self.put.clear()
        await self.scrapes.take(targets, SLOT, deadline_s)

    def values(self, component: str = "node") -> dict[str, float]:
        return {
            one.series.metric: one.value for one in self.put if one.series.component == component
        }

    def reason(self, component: str = "node") -> str:
        """Why a component is down; empty when it is up."""
        [up] = [
            one
            for one in self.put
            if (one.series.component, one.series.metric) == (component, "component_up")
        ]
        assert up.value == (0 if up.reason else 1)
        return up.reason


@pytest.fixture
def simulation(egress: Egress, tmp_path: Path) -> Simulation:
    return Simulation(egress, tmp_path)


async def reason_for(simulation: Simulation, act: Act, **changes: Any) -> str:
    async with outside(act) as server:
        await simulation.take(ScrapeTarget(name="node", url=server.url, **changes))
    return simulation.reason()


async def test_a_target_becomes_a_component_with_its_samples(simulation: Simulation) -> None:
    async with outside(saying(response(200, b'a{x="1"} 1\nb_total 2\nc NaN\n', TEXT))) as server:
        await simulation.take(ScrapeTarget(name="node", url=server.url, labels={"dc": "eu"}))

    values = simulation.values()
    assert values.pop("scrape_duration_ms") > 0
    assert values == {
        "a": 1,
        "b_total": 2,
        "component_up": 1,
        "scrape_samples": 2,
        "scrape_samples_skipped": 1,
    }
    assert {one.time for one in simulation.put} == {SLOT}
    assert {one.series.category for one in simulation.put} == {Category.EXTERNAL}
    assert dict(simulation.put[0].series.labels) == {"dc": "eu", "x": "1"}


async def test_openmetrics_is_recognised_by_its_content_type(simulation: Simulation) -> None:
    seconds = f"a 1 {SLOT.timestamp()}\n"

    assert (
        await reason_for(simulation, saying(response(200, f"{seconds}# EOF\n".encode(), OPEN)))
        == ""
    )
    assert "does not end with # EOF" in await reason_for(
        simulation, saying(response(200, seconds.encode(), OPEN))
    )


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (saying(response(503)), "503 Service Unavailable"),
        (saying(response(404)), "404 Not Found"),
        (redirecting("/elsewhere"), "302 Found"),
        (saying(b"nonsense\r\n\r\n"), "not valid HTTP"),
        (saying(response(200, b"<html>", "Content-Type: text/html")), "line 1 is not a sample"),
        (saying(response(200, b"a 1\nb 2\n")), "more than 1 samples"),
    ],
)
async def test_the_reason_of_a_failed_scrape_names_the_cause(
    simulation: Simulation, act: Act, reason: str
) -> None:
    said = await reason_for(simulation, act, sample_limit=1)

    assert reason in said
    assert said.startswith("ScrapeError: ")


async def test_one_invalid_label_loses_its_series_and_is_counted_and_logged_once(
    simulation: Simulation,
) -> None:
    page = b'odd{x="one\\ntwo"} 1\nodd{x="inf"} +Inf\nwell 1\nnone NaN\n'
    async with outside(saying(response(200, page))) as server:
        target = ScrapeTarget(name="node", url=server.url)
        with structlog.testing.capture_logs() as logged:
            for _ in range(2):
                await simulation.take(target)
                assert simulation.reason() == ""
                assert simulation.values()["well"] == 1
                assert "odd" not in simulation.values()
                assert simulation.values()["scrape_samples_skipped"] == 3

    whys = [line["why"] for line in logged if line["event"] == "samples_skipped"]
    assert len(whys) == len(set(whys)) == 2
    assert all(why.startswith("odd") for why in whys)


async def test_a_dead_target_becomes_a_down_sample(simulation: Simulation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    await simulation.take(ScrapeTarget(name="node", url=f"http://127.0.0.1:{port}/"))

    assert simulation.reason() == "ScrapeError: connection refused"


async def test_a_private_address_must_be_allowed(tmp_path: Path) -> None:
    async with open_egress() as strict, outside() as server:
        simulation = Simulation(strict, tmp_path)
        await simulation.take(ScrapeTarget(name="node", url=server.url))

        assert "VIGIA_EGRESS_ALLOW" in simulation.reason()
        assert server.connections == 0


async def test_a_large_answer_is_read_only_up_to_the_limit(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape, "BODY_BYTES_MAX", 10_000)
    page = b"".join(b"a%d 1\n" % number for number in range(1250))

    assert "larger than 10000 bytes" in await reason_for(
        simulation, saying(response(200, page + b" " * (10_001 - len(page))))
    )
    assert await reason_for(simulation, saying(response(200, page[:10_000]))) == ""


async def test_a_hanging_target_delays_nobody(simulation: Simulation) -> None:
    async with outside(silence) as dead, outside(saying(response(200, b"a 1"))) as well:
        taking = asyncio.create_task(
            simulation.take(
                ScrapeTarget(name="dead", url=dead.url, timeout_s=2.0),
                ScrapeTarget(name="node", url=well.url),
            )
        )
        async with asyncio.timeout(1.8):
            while "component_up" not in simulation.values():
                await asyncio.sleep(0.01)
        assert simulation.reason() == ""
        assert not taking.done()
        await taking

    assert simulation.reason("dead") == "ScrapeError: no answer within 2 s"


async def test_a_token_is_sent_only_from_a_file_that_no_other_user_can_read(
    simulation: Simulation, tmp_path: Path
) -> None:
    file = tmp_path / "node.token"
    file.write_text("a-secret\n")
    async with outside() as server:
        target = ScrapeTarget(name="node", url=server.url, token_file=file.name)
        file.chmod(0o640)
        await simulation.take(target)
        assert simulation.reason() == (
            "ScrapeError: other users can read node.token; run chmod 600 node.token"
        )
        assert server.connections == 0

        file.chmod(0o600)
        await simulation.take(target)
        assert "Authorization: Bearer a-secret\r\n" in server.heads[0]

        for content in ("", "two\nlines", "\x00", "é"):
            file.write_text(content)
            await simulation.take(target)
            assert "must contain a token" in simulation.reason(), content
        file.unlink()
        await simulation.take(target)
        assert "No such file" in simulation.reason()
        assert server.connections == 1


async def test_a_token_does_not_follow_a_redirect(simulation: Simulation, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-secret")
    file.chmod(0o600)
    async with outside() as other:
        act = redirecting(other.url)
        assert "302 Found" in await reason_for(simulation, act, token_file=file.name)
        assert other.connections == 0


async def test_targets_can_be_added_removed_and_changed_while_scraping(
    egress: Egress, tmp_path: Path
) -> None:
    put: list[Sample] = []
    async with outside(saying(response(200, b"a 1"))) as server:
        targets = [ScrapeTarget(name="one", url=server.url)]
        scrapes = Scrapes(egress, tmp_path, put.extend)
        slots = SlotStats(name="collect scrapes")
        running = asyncio.create_task(scrape_every(lambda: 0.1, lambda: targets, scrapes, slots))

        async def seen(*labels: tuple[str, str]) -> None:
            async with asyncio.timeout(5):
                put.clear()
                while not any(one.series.labels == labels for one in put):
                    await asyncio.sleep(0.01)

        await seen()
        targets[:] = [ScrapeTarget(name="one", url=server.url, labels={"dc": "eu"})]
        await seen(("dc", "eu"))
        targets[:] = [ScrapeTarget(name="one", url=server.url, enabled=False)]
        runs = slots.runs
        async with asyncio.timeout(5):
            while slots.runs < runs + 3:
                await asyncio.sleep(0.01)
        put.clear()
        while slots.runs < runs + 5:
            await asyncio.sleep(0.01)
        running.cancel()

    assert put == []
    assert slots.failures == 0


@pytest.fixture
async def exporter() -> AsyncIterator[str]:
    """Debian's node exporter as a process."""
    if EXPORTER is None:
        pytest.skip("prometheus-node-exporter is not installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        EXPORTER, f"--web.listen-address=127.0.0.1:{port}", stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        process.terminate()
        await process.wait()


async def body_of(url: str) -> str:
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url) as answer:
                    return await answer.text()
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


async def test_all_samples_of_a_real_node_exporter_are_read(
    simulation: Simulation, exporter: str
) -> None:
    reference = {
        (one.name, tuple(sorted(item for item in one.labels.items() if item[1])))
        for family in prometheus.text_string_to_metric_families(await body_of(exporter))
        for one in family.samples
    }
    await simulation.take(ScrapeTarget(name="node", url=exporter), deadline_s=10)

    assert simulation.reason() == ""
    kinds = {one.series.metric: one.series.kind for one in simulation.put}
    assert kinds["node_cpu_seconds_total"] is Kind.COUNTER
    assert kinds["node_memory_MemTotal_bytes"] is Kind.GAUGE
    # Devices and collectors may come and go between the two questions.
    ours = {(one.series.metric, one.series.labels) for one in simulation.put}
    assert len(reference) > 300
    assert (
        len(reference - ours)
        <= 0.02 * len(reference) + simulation.values()["scrape_samples_skipped"]
    )


async def test_ten_thousand_samples_are_parsed_quickly(simulation: Simulation) -> None:
    page = "".join(
        f'metric_{n % 100}{{core="{n // 100}",host="web1"}} {n}.5\n' for n in range(10_000)
    )
    async with outside(saying(response(200, page.encode(), TEXT))) as server:
        target = ScrapeTarget(name="node", url=server.url)
        await simulation.take(target)
        before_s = time.process_time()
        await simulation.take(target)
        spent_s = time.process_time() - before_s

    assert simulation.values()["scrape_samples"] == 10_000
    assert spent_s < 0.5
