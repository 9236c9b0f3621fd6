"""A host that goes dark has an alert within about three minutes, until it sends again."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.system.conftest import Program, run

TITLE = "web2 stopped sending"
ALERT_TIMEOUT_S, END_TIMEOUT_S = 200.0, 100.0
"""Two minutes of silence, or one slot; then up to a minute until rules are evaluated."""


async def send(program: Program, host: str, age_s: float = 0.0) -> None:
    series = {
        "metric": "load",
        "component": "server",
        "labels": {"host": host},
        "times": [time.time() - age_s],
        "values": [1.0],
    }
    await program.send("/metrics", {"series": [series]})


@asynccontextmanager
async def sending(program: Program, *hosts: str) -> AsyncIterator[None]:
    """Have hosts send once a second."""

    async def insist(host: str) -> None:
        while True:
            await send(program, host)
            await asyncio.sleep(1)

    tasks = [asyncio.create_task(insist(host)) for host in hosts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def titles(program: Program) -> list[str]:
    found: Any = await program.get("/alerts/active?rule=stopped-sending")
    return [alert["title"] for alert in found["items"]]


async def wait_for(program: Program, expected: list[str], timeout_s: float) -> float:
    """Wait until exactly these alerts are open; return how long it took."""
    began = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while await titles(program) != expected:
            await asyncio.sleep(1)
    return time.monotonic() - began


async def listed(program: Program, *options: str) -> dict[str, Any]:
    """Return what `vigia hosts list` prints, by name."""
    status, out, err = await run(program.environment, "hosts", "list", "--json", *options)
    assert status == 0, err
    return {host["name"]: host for host in json.loads(out)["items"]}


@pytest.mark.long
async def test_a_host_that_goes_dark_is_told(program: Program) -> None:
    await program.start()
    async with sending(program, "web1"):
        async with sending(program, "web2"):
            await asyncio.sleep(20)
        assert await titles(program) == []
        for age_s in (300.0, 3600.0):
            await send(program, "web2", age_s)

        assert await wait_for(program, [TITLE], ALERT_TIMEOUT_S) > 100
        assert list(await listed(program, "--silent")) == ["web2"]
        hosts = await listed(program)
        assert hosts["web1"]["silent_since"] is None
        assert hosts["web1"]["usual_interval_s"] == pytest.approx(1, abs=0.5)

        async with sending(program, "web2"):
            await wait_for(program, [], END_TIMEOUT_S)
        await wait_for(program, [TITLE], ALERT_TIMEOUT_S)
        removed = await run(program.environment, "hosts", "remove", "web2")
        assert removed == (0, "removed web2\n", "")
        assert await titles(program) == []
        assert list(await listed(program)) == ["web1"]
        status, out, err = await run(program.environment, "hosts", "remove", "web2")
        assert (status, out) == (1, "")
        assert "there is no host 'web2'" in err
