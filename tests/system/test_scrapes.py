"""A scrape target in the settings becomes a component, with its token, and leaves with them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.collectors.fake_targets import outside, response
from tests.system.conftest import Program

TIMEOUT_S = 60


@pytest.fixture
def environment_allowed(environment: dict[str, str], tmp_path: Path) -> None:
    environment["VIGIA_EGRESS_ALLOW"] = "127.0.0.0/8"
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "node.token").write_text("a-token")
    (secrets / "node.token").chmod(0o600)


async def until(
    program: Program, path: str, holds: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            components: Any = (await program.get(path))["components"]
            if holds(components):
                return dict(components)
            await asyncio.sleep(0.2)


def status_in(components: dict[str, Any]) -> str | None:
    status: str | None = components.get("node", {}).get("status")
    return status


@pytest.mark.slow
@pytest.mark.usefixtures("environment_allowed")
async def test_a_scrape_target_comes_and_goes_with_the_settings(program: Program) -> None:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.heard(reader)
        writer.write(response(200, b'node_load1{cpu="all"} 0.5\n'))
        await writer.drain()

    await program.start()
    async with outside() as server:
        server.act = act
        intervals = {"value": {"collect_s": 1, "health_s": 5}}
        await program.send("/config/intervals", intervals, "PUT")
        target = {"name": "node", "url": server.url, "token_file": "node.token"}
        await program.send("/config/scrapes", {"value": [target]}, "PUT")

        current = await until(program, "/metrics/current", lambda now: "node" in now)
        [load] = current["node"]["metrics"]["node_load1"]["series"]
        assert (load["labels"], load["value"]) == ({"cpu": "all"}, 0.5)
        assert "Authorization: Bearer a-token\r\n" in server.heads[0]
        await until(program, "/health", lambda now: status_in(now) == "healthy")

        await program.send("/config/scrapes", {"value": []}, "PUT")
        await until(program, "/health", lambda now: "node" not in now)
    async with program.http.get("/metrics") as answer:
        assert 'vigia_service_runs_total{service="collect scrapes"}' in await answer.text()
