"""A local ngrok agent that is absent, running with and without tunnels, or stopped."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from collectors.probes.ngrok import NAME_CHARS_MAX, TUNNELS_MAX, Agent
from collectors.probes.probe import Asked
from model.targets import Target
from runtime.network.egress import Egress
from tests.collectors.fake_targets import Act, Outside, loopback_egress, outside, response, saying

SLOT = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT_S = 5.0


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    async with loopback_egress() as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[Outside]:
    async with outside() as opened:
        yield opened


@pytest.fixture
def agent(server: Outside) -> Agent:
    return Agent(Target(name="ngrok", url=f"{server.url}api/tunnels", kind="ngrok"))


def tunnels(*names: str) -> Act:
    """Answer as the agent does."""
    listed = [
        {
            "name": name,
            "ID": "7f3c",
            "uri": f"/api/tunnels/{name}",
            "public_url": "https://d2a1.ngrok-free.app",
            "proto": "https",
            "config": {"addr": "http://localhost:8000", "inspect": True},
            "metrics": {"conns": {"count": 0, "rate1": 0}},
        }
        for name in names
    ]
    body = json.dumps({"tunnels": listed, "uri": "/api/tunnels"}).encode()
    return saying(response(200, body, "Content-Type: application/json"))


def seen(asked: Asked | None) -> dict[str, float]:
    """Return the readings of tunnels: by name, and their count."""
    assert asked is not None
    return {
        dict(reading.labels).get("tunnel", reading.metric): reading.value
        for reading in asked.readings
        if reading.metric.startswith("ngrok")
    }


async def test_tunnels_are_counted_and_up(egress: Egress, server: Outside, agent: Agent) -> None:
    server.act = tunnels("web", "hooks")

    asked = await agent.ask(egress, SLOT, TIMEOUT_S)

    assert asked is not None
    assert asked.reason == ""
    assert seen(asked) == {"ngrok_tunnels": 2, "web": 1, "hooks": 1}
    assert asked.readings[0].metric == "external_latency_ms"


async def test_an_agent_without_tunnels_is_up(
    egress: Egress, server: Outside, agent: Agent
) -> None:
    server.act = tunnels()

    asked = await agent.ask(egress, SLOT, TIMEOUT_S)

    assert asked is not None
    assert (asked.reason, seen(asked)) == ("", {"ngrok_tunnels": 0})


async def test_a_closed_tunnel_is_down(egress: Egress, server: Outside, agent: Agent) -> None:
    server.act = tunnels("web", "hooks")
    await agent.ask(egress, SLOT, TIMEOUT_S)
    server.act = tunnels("hooks")

    assert seen(await agent.ask(egress, SLOT, TIMEOUT_S)) == {
        "ngrok_tunnels": 1,
        "web": 0,
        "hooks": 1,
    }


async def test_an_agent_that_never_ran_has_no_state_and_one_that_stopped_is_down(
    egress: Egress,
) -> None:
    async with outside(tunnels("web")) as server:
        target = Target(name="ngrok", url=server.url, kind="ngrok")
        known, unknown = Agent(target), Agent(target)
        await known.ask(egress, SLOT, TIMEOUT_S)

    gone = await known.ask(egress, SLOT, TIMEOUT_S)
    assert gone is not None
    assert (gone.reason, gone.readings) == ("connection refused", [])
    assert await unknown.ask(egress, SLOT, TIMEOUT_S) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"tunnels": 1}', b'{"tunnels": [{}]}'])
async def test_another_server_at_the_agents_port_is_a_fault(
    egress: Egress, server: Outside, agent: Agent, body: bytes
) -> None:
    server.act = saying(response(200, body))

    asked = await agent.ask(egress, SLOT, TIMEOUT_S)

    assert asked is not None
    assert asked.reason == "the answer does not come from an ngrok agent"


async def test_an_error_of_the_agent_is_reported(
    egress: Egress, server: Outside, agent: Agent
) -> None:
    server.act = saying(response(502))

    asked = await agent.ask(egress, SLOT, TIMEOUT_S)

    assert asked is not None
    assert asked.reason == "502 Bad Gateway"


async def test_names_of_tunnels_are_few_and_short(
    egress: Egress, server: Outside, agent: Agent
) -> None:
    for run in range(2):
        server.act = tunnels(*(f"{run}-{number}" for number in range(TUNNELS_MAX - 1)))
        await agent.ask(egress, SLOT, TIMEOUT_S)
    server.act = tunnels("x" * 1000)

    values = seen(await agent.ask(egress, SLOT, TIMEOUT_S))

    assert len(values) == TUNNELS_MAX + 1
    assert values["x" * NAME_CHARS_MAX] == 1
