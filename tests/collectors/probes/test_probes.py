"""All targets are probed in each slot, and none delays, hides or fails another."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest

from collectors.probes.probes import Probes, probe_every
from model.series import Category, Kind, Sample
from model.targets import Target
from runtime.network.egress import Egress
from runtime.schedule import SlotStats
from tests.collectors.fake_targets import (
    Outside,
    dripping,
    loopback_egress,
    outside,
    response,
    saying,
    silence,
)

SLOT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with loopback_egress() as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[Outside]:
    async with outside() as opened:
        yield opened


async def take(probes: Probes, put: list[Sample], time: datetime = SLOT) -> dict[str, Sample]:
    """Run one slot; return the samples of each component by metric, phase or tunnel."""
    put.clear()
    await probes.take(time)
    assert {sample.time for sample in put} <= {time}
    return {
        "/".join([sample.series.component, *(v for _, v in sample.series.labels)])
        + f" {sample.series.metric}": sample
        for sample in put
    }


async def test_a_target_becomes_a_component_of_category_external(
    egress: Egress, server: Outside
) -> None:
    put: list[Sample] = []
    target = Target(name="api", url=server.url)

    samples = await take(Probes(lambda: [target], egress, put.extend), put)

    assert set(samples) == {
        "api external_latency_ms",
        "api/connect external_phase_ms",
        "api/first_byte external_phase_ms",
        "api/transfer external_phase_ms",
        "api external_status_code",
        "api component_up",
    }
    assert {sample.series.category for sample in put} == {Category.EXTERNAL}
    series = samples["api/connect external_phase_ms"].series
    assert (series.labels, series.unit, series.kind) == ((("phase", "connect"),), "ms", Kind.GAUGE)
    assert (samples["api component_up"].value, samples["api component_up"].reason) == (1, "")


async def test_a_target_becomes_slow_then_fails_then_recovers(
    egress: Egress, server: Outside
) -> None:
    put: list[Sample] = []
    target = Target(name="api", url=server.url, timeout_s=0.6)
    probes = Probes(lambda: [target], egress, put.extend)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        await server.answer(reader, writer)

    story = [
        ("well", server.answer, 200, 1, ""),
        ("slow", slow, 200, 1, ""),
        ("slower", dripping(b"HTTP/1.1 200 OK\r\n\r\n"), 200, 0, "no answer within 0.6 s"),
        ("broken", saying(response(503)), 503, 0, "503 Service Unavailable"),
        ("banned", saying(response(418)), 418, 0, "418 I'm a Teapot"),
        ("silent", silence, None, 0, "no answer within 0.6 s"),
        ("well", server.answer, 200, 1, ""),
    ]
    first_byte_ms = []
    for number, (chapter, act, status, up, reason) in enumerate(story):
        server.act = act
        samples = await take(probes, put, SLOT + number * timedelta(seconds=15))

        code = samples.get("api external_status_code")
        assert (chapter, code and code.value) == (chapter, status)
        verdict = samples["api component_up"]
        assert (chapter, verdict.value, verdict.reason) == (chapter, up, reason)
        answered = reason != "no answer within 0.6 s"
        assert ("api external_latency_ms" in samples) == answered
        if chapter in {"well", "slow"}:
            first_byte_ms.append(samples["api/first_byte external_phase_ms"].value)

    well_ms, slow_ms, well_again_ms = first_byte_ms
    assert slow_ms >= 149
    assert max(well_ms, well_again_ms) < slow_ms


async def test_a_hanging_target_delays_no_other(egress: Egress, server: Outside) -> None:
    put: dict[str, Sample] = {}
    well_is_put = asyncio.Event()

    def note(samples: Sequence[Sample]) -> None:
        put[samples[-1].series.component] = samples[-1]
        if "well" in put:
            well_is_put.set()

    async def hang_until_well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await well_is_put.wait()
        await saying(response(200))(reader, writer)

    async with outside(hang_until_well) as pit:
        hanging = [Target(name=f"pit{n}", url=pit.url, timeout_s=20) for n in range(50)]
        well = Target(name="well", url=server.url)
        await Probes(lambda: [*hanging, well], egress, note).take(SLOT, deadline_s=20)

    assert len(put) == 51
    assert {sample.reason for sample in put.values()} == {""}, "some waited for one that hangs"


async def test_the_deadline_of_the_slot_limits_a_longer_timeout(egress: Egress) -> None:
    put: list[Sample] = []
    async with outside(silence) as pit:
        target = Target(name="pit", url=pit.url, timeout_s=10)
        await Probes(lambda: [target], egress, put.extend).take(SLOT, deadline_s=0.1)

    assert [sample.reason for sample in put if sample.reason] == ["no answer within 0.1 s"]


async def test_changed_targets_take_effect_in_the_next_slot(
    egress: Egress, server: Outside
) -> None:
    put: list[Sample] = []
    old = Target(name="old", url=server.url)
    targets = [old]
    probes = Probes(lambda: targets, egress, put.extend)

    assert "old component_up" in await take(probes, put)
    targets[:] = [msgspec.structs.replace(old, up_status=(204,)), Target(name="new", url=old.url)]
    changed = await take(probes, put)
    targets[:] = [msgspec.structs.replace(old, enabled=False)]

    assert changed["old component_up"].reason == "200 OK"
    assert changed["new component_up"].value == 1
    assert await take(probes, put) == {}


async def test_a_bug_in_one_probe_is_that_targets_failure_alone(
    egress: Egress, server: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[Sample] = []
    targets = [Target(name="bad", url=server.url, method="HEAD"), Target(name="b", url=server.url)]
    request = egress.session.request

    def fail(method: str, *rest: object, **options: object) -> object:
        if method == "HEAD":
            raise AssertionError("a bug at http://user:CANARY@api.test/CANARY")
        return request(method, *rest, **options)  # type: ignore[arg-type] # handed on as they come

    monkeypatch.setattr(egress.session, "request", fail)
    samples = await take(Probes(lambda: targets, egress, put.extend), put)

    assert samples["bad component_up"].reason == "AssertionError: a bug at http://api.test"
    assert samples["b component_up"].value == 1


async def test_an_ngrok_agent_that_never_ran_has_no_samples(egress: Egress) -> None:
    put: list[Sample] = []
    async with outside(saying(response(200, b'{"tunnels": [{"name": "web"}]}'))) as server:
        target = Target(name="ngrok", url=server.url, kind="ngrok")
        known = Probes(lambda: [target], egress, put.extend)
        samples = await take(known, put)
    gone = await take(known, put)
    never = await take(Probes(lambda: [target], egress, put.extend), put)

    assert samples["ngrok ngrok_tunnels"].value == 1
    assert samples["ngrok/web ngrok_tunnel_up"].value == 1
    assert [(name, each.value, each.reason) for name, each in gone.items()] == [
        ("ngrok component_up", 0, "connection refused")
    ]
    assert never == {}


async def test_targets_are_probed_in_every_slot_and_a_hanging_one_is_probed_once_at_a_time(
    egress: Egress, server: Outside
) -> None:
    interval_s, enough = 0.4, asyncio.Event()
    ups: dict[str, list[Sample]] = {"well": [], "pit": []}

    def put(samples: Sequence[Sample]) -> None:
        ups[samples[-1].series.component].append(samples[-1])
        if len(ups["well"]) >= 5:
            enough.set()

    slots = SlotStats(name="external")
    async with outside(silence) as pit:
        targets = [Target(name="well", url=server.url), Target(name="pit", url=pit.url)]
        service = asyncio.ensure_future(
            probe_every(lambda: interval_s, lambda: targets, egress, put, slots)
        )
        await asyncio.wait_for(enough.wait(), 20)
        service.cancel()
        await asyncio.wait({service}, timeout=5)

        assert pit.connections <= slots.runs

    spans_s = [(b.time - a.time).total_seconds() for a, b in pairwise(ups["well"])]
    assert min(spans_s) == pytest.approx(interval_s)
    assert all(up.value == 1 for up in ups["well"])
    assert all(up.reason.startswith("no answer within 0.26") for up in ups["pit"])
    assert len(ups["pit"]) >= 4
    assert slots.failures == 0
