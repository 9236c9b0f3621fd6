"""One service shows many hosts, and has every sample of theirs once, whoever was down meanwhile."""

import asyncio
import gzip
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Program, run
from vigia.agent.send_queue import Outbox

CURRENT = "/metrics/current?component=server"
HOST = "web1"
SLOTS_DOWN = 4
TIMEOUT_S = 60

Sent = tuple[str, str, float]


class Agent:
    """`vigia agent` on a host called web1, with a spool and a key of its own."""

    def __init__(self, program: Program, spool: Path, key: str) -> None:
        self.spool = spool
        self._arguments = ["--to", program.url, "--key", key, "--host-label", HOST]
        self._environment = {
            name: value
            for name, value in program.environment.items()
            if not name.startswith("VIGIA_")
        }
        self._process: Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vigia", "agent"),
            *(*self._arguments, "--spool", str(self.spool), "--interval", "1"),
            env=self._environment,
            stdout=DEVNULL,
            stderr=PIPE,
        )

    async def end(self, number: signal.Signals) -> str:
        """Send a signal; return what was logged."""
        if self._process is None or self._process.returncode is not None:
            return ""
        self._process.send_signal(number)
        async with asyncio.timeout(TIMEOUT_S):
            _, err = await self._process.communicate()
        return err.decode()

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.spool.glob("*.spool"))

    async def waiting(self) -> set[Sent]:
        """Return what is on the disk while it does not run, and leave it there."""
        box = Outbox(self.spool, 2**30)
        found: set[Sent] = set()
        for segment in box._spool.segments():
            for body in box._spool.read(segment):
                for column in json.loads(gzip.decompress(body))["series"]:
                    labels = json.dumps(column["labels"], sort_keys=True)
                    found |= {(column["metric"], labels, time) for time in column["times"]}
        await box.close()
        return found


async def stored(program: Program) -> Counter[Sent]:
    """Return every sample of the host."""
    current = await program.get(CURRENT)
    found: Counter[Sent] = Counter()
    for metric in current["components"]["server"]["metrics"]:  # type: ignore[index] # it is JSON
        query = f"metric={metric}&label.host={HOST}&start=-1h&step=raw&format=ndjson"
        async with program.http.get(f"/api/v1/monitoring/metrics/history?{query}") as answer:
            assert answer.status == 200, await answer.text()
            rows = [json.loads(line) for line in (await answer.text()).splitlines()]
        for row in rows:
            labels = json.dumps(row["labels"], sort_keys=True)
            found[metric, labels, datetime.fromisoformat(row["time"]).timestamp()] += 1
    return found


async def until_both_are_shown(program: Program) -> None:
    """Wait until there are the service's own host, whose series have no label, and web1."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            components: Any = (await program.get(CURRENT))["components"]
            load = components.get("server", {}).get("metrics", {}).get("server_load1", {})
            if "value" in load and "series" in load:
                assert [one["labels"] for one in load["series"]] == [{"host": HOST}]
                return
            await asyncio.sleep(0.1)


@pytest.fixture
async def agent(program: Program, tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent of a service that runs."""
    await program.start()
    code, key, err = await run(program.environment, "keys", "create", HOST, "--role", "ingest")
    assert code == 0, err
    made = Agent(program, tmp_path / "agent", key.strip())
    yield made
    await made.end(signal.SIGKILL)


@pytest.mark.slow
async def test_what_an_agent_collected_is_stored_once_whoever_was_down(
    program: Program, agent: Agent
) -> None:
    await agent.start()
    await until_both_are_shown(program)

    await program.end(signal.SIGTERM)
    sizes: set[int] = set()
    async with asyncio.timeout(TIMEOUT_S):
        while len(sizes) < SLOTS_DOWN:
            sizes.add(agent.size_bytes())
            await asyncio.sleep(0.05)
    await agent.end(signal.SIGKILL)
    collected = await agent.waiting()
    times = {time for metric, _, time in collected if metric == "server_load1"}
    assert len(times) >= SLOTS_DOWN - 1

    await agent.start()
    await program.start()
    async with asyncio.timeout(TIMEOUT_S):
        while not collected <= (found := await stored(program)).keys():
            await asyncio.sleep(0.5)
    assert set(found.values()) == {1}
    assert "Traceback" not in await agent.end(signal.SIGTERM)


@pytest.mark.slow
async def test_a_host_is_asked_for_by_its_label_and_leaves_the_health_alone(
    program: Program, agent: Agent
) -> None:
    intervals = {"value": {"collect_s": 1, "health_s": 5}}
    await program.send("/config/intervals", intervals, "PUT")
    await agent.start()
    await until_both_are_shown(program)

    history: Any = await program.get(f"/metrics/history?metric=server_load1&label.host={HOST}")
    assert [series["labels"] for series in history["series"]] == [{"host": HOST}]
    async with asyncio.timeout(TIMEOUT_S):
        while "server" not in (await health_of(program)):
            await asyncio.sleep(0.2)
    server = (await health_of(program))["server"]
    # The machine of the tests may be busy, which is a warning.
    assert server["status"] in {"healthy", "warning", "critical"}


async def health_of(program: Program) -> dict[str, Any]:
    components: Any = (await program.get("/health"))["components"]
    return dict(components)
