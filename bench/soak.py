"""Runs the real service for a while under load, kills it and its engine, and audits what is left.

`python -m bench.soak [seconds]`: 20 clients poll the dashboard and history, one sends late samples
and keeps a ledger of those acknowledged. At a third of the time the engine is killed, at two thirds
the service (SIGKILL both). Afterwards every acknowledged sample must be there, and the tiers must
equal a recomputation from the samples, row by row.
"""

import asyncio
import json
import os
import random
import re
import signal
import socket
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import psycopg

from db.engine import open_engine
from vigia.settings import load

KEY = "a-key-for-the-soak-run-0123456789abcdef"
BASE = "/api/v1/monitoring"
CLIENTS = 20
POLL_S = 1.0
SETTLE_S = 30.0
"""Late samples are in every answer within this."""
PATHS = (
    f"{BASE}/dashboard",
    f"{BASE}/metrics/history?metric=server_cpu_percent&start=-1h&step=1m",
    f"{BASE}/metrics/history?metric=server_memory_percent&start=-24h&step=auto&agg=avg&agg=max",
)
SQL = dict(
    re.findall(
        r"-- name: (\w+)\n(.*?)(?=\n-- name|\Z)",
        Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"),
        re.DOTALL,
    )
)


class Soak:
    """The service under load, and what was seen of it."""

    def __init__(self, data_dir: Path, seconds: float) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.environment = os.environ | {
            "VIGIA_DATA_DIR": str(data_dir),
            "VIGIA_PORT": str(self.port),
            "VIGIA_ADMIN_KEY": KEY,
        }
        self.log = (data_dir / "soak.log").open("wb")
        self.started = time.monotonic()
        self.ends = self.started + seconds
        self.seconds = seconds
        self.process: Process | None = None
        self.latencies: list[float] = []
        self.refused = 0
        self.acknowledged = 0
        self.delays: dict[str, float] = {}
        self.missed: dict[str, int] = {}
        self.rss_mib: dict[str, float] = {}

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "vigia", "serve",
            env=self.environment, stdout=self.log, stderr=self.log,
        )  # fmt: skip

    async def run(self) -> None:
        await self.start()
        headers = {"Authorization": f"Bearer {KEY}"}
        timeout = aiohttp.ClientTimeout(total=10)
        url = f"http://127.0.0.1:{self.port}"
        async with aiohttp.ClientSession(url, headers=headers, timeout=timeout) as http:
            while not await self.get(http, "/readyz"):
                await asyncio.sleep(0.2)
            self.latencies.clear()
            self.refused = 0
            async with asyncio.TaskGroup() as group:
                for number in range(CLIENTS):
                    group.create_task(self.poll(http, number))
                group.create_task(self.ingest(http))
                group.create_task(self.watch(http))
                group.create_task(self.disturb())
        await asyncio.sleep(SETTLE_S)
        assert self.process is not None
        self.process.terminate()
        await self.process.wait()

    async def get(self, http: aiohttp.ClientSession, path: str) -> dict[str, Any] | None:
        began = time.monotonic()
        try:
            async with http.get(path) as response:
                body: dict[str, Any] = await response.json()
                if response.status == 200:  # noqa: PLR2004 (HTTP)
                    self.latencies.append(time.monotonic() - began)
                    return body
        except (aiohttp.ClientError, TimeoutError):
            pass
        self.refused += 1
        return None

    async def poll(self, http: aiohttp.ClientSession, number: int) -> None:
        await asyncio.sleep(number * POLL_S / CLIENTS)
        while time.monotonic() < self.ends:
            await self.get(http, random.choice(PATHS))
            await asyncio.sleep(POLL_S)

    async def ingest(self, http: aiohttp.ClientSession) -> None:
        """Send ten samples at a time, each batch until it is acknowledged."""
        number = 0
        base = time.time() - 3600
        while time.monotonic() < self.ends:
            times = [base + (number + i) / 1000 for i in range(10)]
            column = {"metric": "ledger", "component": "soak", "times": times, "values": times}
            try:
                async with http.post(f"{BASE}/metrics", json={"series": [column]}) as response:
                    if response.status == 200:  # noqa: PLR2004 (HTTP)
                        self.acknowledged += len(times)
                        number += len(times)
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.2)

    async def watch(self, http: aiohttp.ClientSession) -> None:
        while time.monotonic() < self.ends:
            if status := await self.get(http, f"{BASE}/dev/status"):
                for slots in status["services"]["services"]:
                    name = slots["name"]
                    self.delays[name] = max(self.delays.get(name, 0), slots["delay_s_max"])
                    self.missed[name] = max(self.missed.get(name, 0), slots["missed"])
                self.measure()
            await asyncio.sleep(POLL_S)

    def measure(self) -> None:
        assert self.process is not None
        service = psutil.Process(self.process.pid)
        for name, process in [("service", service), *(("engine", c) for c in service.children())]:
            self.rss_mib[name] = max(self.rss_mib.get(name, 0), process.memory_info().rss / 2**20)

    async def disturb(self) -> None:
        await asyncio.sleep(self.seconds / 3)
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            child.kill()
        await asyncio.sleep(self.seconds / 3)
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        await self.start()

    async def audit(self) -> dict[str, Any]:
        """Compare the ledger and the tiers with what is stored."""
        async with open_engine(load(self.environment)) as engine:
            connection = await psycopg.AsyncConnection.connect(
                engine.dsn, autocommit=True, prepare_threshold=None
            )
            async with connection:
                found = {}
                for name, sql in SQL.items():
                    cursor = await connection.execute(sql)
                    found[name] = await cursor.fetchone()
        stored, distinct = found["stored"]
        return {
            "seconds": self.seconds,
            "requests": len(self.latencies),
            "refused": self.refused,
            "p50_ms": round(1000 * statistics.median(self.latencies), 2),
            "p99_ms": round(1000 * statistics.quantiles(self.latencies, n=100)[98], 2),
            "acknowledged": self.acknowledged,
            "stored": stored,
            "duplicated": stored - distinct,
            "differing_1m": found["differing_1m"][0],
            "differing_5m": found["differing_5m"][0],
            "buckets_1m": found["materialized"][0],
            "buckets_5m": found["materialized"][1],
            "refreshed_to": str(found["materialized"][2]),
            "delay_s_max": {name: round(s, 4) for name, s in sorted(self.delays.items())},
            "missed": self.missed,
            "rss_mib_max": {name: round(mib) for name, mib in self.rss_mib.items()},
        }


async def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1200.0
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), seconds)
        await soak.run()
        result = await soak.audit()
    worst = max(result["delay_s_max"].values())
    for name, value in result.items():
        print(f"{name:>14}  {value}")
    is_whole = result["stored"] >= result["acknowledged"]
    is_whole = is_whole and not (result["differing_1m"] or result["differing_5m"])
    print(json.dumps({"bench": "soak", "ratio": worst, "whole": is_whole, **result}))
    sys.exit(0 if is_whole else 1)


if __name__ == "__main__":
    asyncio.run(main())
