"""Runs the real service under load, kills it and its engine, and then checks the stored samples.

`python -m bench.soak [seconds]`: 20 clients poll the dashboard and history. One client sends 200
samples a second, a tenth of them up to 20 hours late, and records the acknowledged ones. The engine
is killed after a third of the time, and the service after two thirds (SIGKILL). Afterwards every
acknowledged sample must be stored, each row of the tiers must equal a recomputation from the
samples, and the data directory must never have been larger than DATA_MIB_MAX.
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

from bench.soak.folders import log_mib, mib
from db.engine import open_engine
from runtime.settings import load

KEY = "a-key-for-the-soak-run-0123456789abcdef"
BASE = "/api/v1/monitoring"
CLIENTS = 20
POLL_S = 1.0
WATCH_S = 5.0
SEND_S = 0.2
BEHIND_S_MAX = 60.0
"""The largest backlog of unsent samples. A delayed client sends it as fast as possible."""
BATCH = 40
LATE = 4
"""The number of late samples in a batch."""
LATE_S_MAX = 20 * 3600
SERIES = 50
DATA_MIB_MAX = 150
SETTLE_S = 30.0
"""Seconds until late samples are in every answer."""
PATHS = (
    f"{BASE}/dashboard",
    f"{BASE}/metrics/history?metric=server_cpu_percent&start=-1h&step=1m",
    f"{BASE}/metrics/history?metric=server_memory_percent&start=-24h&step=auto&agg=avg&agg=max",
)
SQL = dict(
    re.findall(
        r"-- name: (\w+)\n(.*?)(?=\n-- name|\Z)",
        Path(__file__).with_name("soak.sql").read_text(encoding="utf-8"),
        re.DOTALL,
    )
)


TABLES = ("raw_bytes", "roll_ups_1m_bytes", "roll_ups_5m_bytes")


def batch(now_s: float) -> dict[str, Any]:
    """Return a request body of new samples. The last ones are late."""
    late = [now_s - random.random() * LATE_S_MAX for _ in range(LATE)]
    times = [now_s + i / 10_000 for i in range(BATCH - LATE)] + late
    columns = [
        {"metric": "ledger", "component": f"soak{i % SERIES}", "times": [t], "values": [t]}
        for i, t in enumerate(times, random.randrange(SERIES))
    ]
    return {"series": columns}


class Soak:
    """The service under load, and the measurements of it."""

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
        self.data_dir = data_dir
        self.latencies: list[float] = []
        self.writes: list[float] = []
        self.data_mib: list[float] = []
        self.log_mib: list[float] = []
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
        """Send batches. Each is repeated until it is acknowledged."""
        due = time.monotonic()
        while time.monotonic() < self.ends:
            body = batch(time.time())
            while time.monotonic() < self.ends and not await self.send(http, body):
                await asyncio.sleep(SEND_S)
            due = max(due + SEND_S, time.monotonic() - BEHIND_S_MAX)
            await asyncio.sleep(due - time.monotonic())

    async def send(self, http: aiohttp.ClientSession, body: dict[str, Any]) -> bool:
        began = time.monotonic()
        try:
            async with http.post(f"{BASE}/metrics", json=body) as response:
                if response.status not in {200, 202}:
                    return False
        except (aiohttp.ClientError, TimeoutError):
            return False
        self.writes.append(time.monotonic() - began)
        self.acknowledged += BATCH
        return True

    async def watch(self, http: aiohttp.ClientSession) -> None:
        while time.monotonic() < self.ends:
            if status := await self.get(http, f"{BASE}/dev/status"):
                for slots in status["services"]["services"]:
                    name = slots["name"]
                    self.delays[name] = max(self.delays.get(name, 0), slots["delay_s_max"])
                    self.missed[name] = max(self.missed.get(name, 0), slots["missed"])
                self.measure()
            self.data_mib.append(await asyncio.to_thread(mib, self.data_dir))
            self.log_mib.append(await asyncio.to_thread(log_mib, self.data_dir))
            await asyncio.sleep(WATCH_S)

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
        """Compare the acknowledged samples and the tiers with the stored samples."""
        async with open_engine(load(self.environment)) as engine:
            connection = await psycopg.AsyncConnection.connect(
                engine.dsn, autocommit=True, prepare_threshold=None
            )
            async with connection:
                found: dict[str, Any] = {}
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
            "write_p99_ms": round(1000 * statistics.quantiles(self.writes, n=100)[98], 2),
            "write_max_ms": round(1000 * max(self.writes), 2),
            "data_mib_max": round(max(self.data_mib)),
            "data_mib": round(self.data_mib[-1]),
            "log_mib_max": round(max(self.log_mib)),
            "tables_mib": {name: round(found[name][0] / 2**20, 1) for name in TABLES},
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
    ratio = round(result["data_mib_max"] / DATA_MIB_MAX, 3)
    is_met = is_whole and ratio <= 1
    print(
        json.dumps({"bench": "soak", "ratio": ratio, "delay_s": worst, "is_met": is_met, **result})
    )
    sys.exit(0 if is_met else 1)


if __name__ == "__main__":
    asyncio.run(main())
