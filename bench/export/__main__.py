"""Exports millions of samples through HTTP, while the service collects every second.

`python -m bench.export [--keep]`: 10 million rows as CSV, NDJSON and Arrow from a native server
(VIGIA_TEST_DATABASE_URL), and a tenth of that from the embedded engine. The results are the growth
of the service's memory, and the delay of its collectors. `--keep` keeps the data in the native
server for the next run.
"""

import argparse
import asyncio
import json
import logging
import os
import socket
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import structlog
import uvloop
from msgspec import Struct, field

from bench import reference
from bench.loading import loaded
from bench.reference import STEP_S, Reference
from bench.shapes import DAY_S
from bench.tables import print_table
from db.engine import open_engine
from db.migrate import migrate
from db.queries import Connection
from model.series import Sample
from retention import tiers
from runtime.settings import Settings
from samples import insert
from samples.series import SeriesNumbers

KEY = "a-key-for-measuring-0123456789abcdef"
BASE = "/api/v1/monitoring"
FORMATS = ("csv", "ndjson", "arrow")
NATIVE_ROWS, EMBEDDED_ROWS = 10_000_000, 1_000_000
RSS_GROWTH_MAX_MB, DELAY_MAX_S = 50, 1.0
READY_S, SETTLE_S, POLL_S = 90, 20, 0.5
BATCH = 10_000
MB = 1e6


class Watch(Struct):
    """The memory of the service, and its worst slot, during an export."""

    rss: list[int] = field(default_factory=list)
    delay_s: float = 0.0
    duration_s: float = 0.0
    missed: int = 0


class Result(Struct, frozen=True):
    """The result of one export."""

    engine: str
    format: str
    rows: int
    size_bytes: int
    seconds: float
    watch: Watch

    @property
    def growth_mb(self) -> float:
        return (max(self.watch.rss) - self.watch.rss[0]) / MB


class ExportService:
    """The real service on a database. It collects every second."""

    def __init__(self, folder: Path, dsn: str | None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        others = {n: text for n, text in os.environ.items() if not n.startswith("VIGIA_")}
        self.environment = others | {
            "VIGIA_DATA_DIR": str(folder), "VIGIA_PORT": str(port), "VIGIA_ADMIN_KEY": KEY,
            **({"VIGIA_DATABASE_URL": dsn} if dsn else {}),
        }  # fmt: skip
        self.log = folder / "service.log"
        self.http = aiohttp.ClientSession(
            f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {KEY}", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, sock_read=60),
        )
        self.process: psutil.Process | None = None

    async def start(self) -> Process:
        with self.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vigia", "serve", env=self.environment, stdout=log, stderr=log
            )
        self.process = psutil.Process(process.pid)
        async with asyncio.timeout(READY_S):
            while not await self._is_ready():
                await asyncio.sleep(POLL_S)
        wanted = {"value": {"collect_s": 1}}
        async with self.http.put(f"{BASE}/config/intervals", json=wanted) as answer:
            answer.raise_for_status()
        await asyncio.sleep(SETTLE_S)
        return process

    async def _is_ready(self) -> bool:
        try:
            async with self.http.get("/readyz") as answer:
                return answer.ok
        except aiohttp.ClientError:
            return False

    async def slots(self) -> list[dict[str, Any]]:
        async with self.http.get(f"{BASE}/dev/status") as answer:
            found = await answer.json()
        return [
            slot for slot in found["services"]["services"] if slot["name"].startswith("collect")
        ]

    async def watch(self, seen: Watch) -> None:
        """Measure twice a second until cancelled, because a slot is due every second."""
        before = sum(slot["missed"] for slot in await self.slots())
        while True:
            assert self.process is not None
            seen.rss.append(self.process.memory_info().rss)
            slots = await self.slots()
            seen.delay_s = max(seen.delay_s, *(slot["delay_s"] for slot in slots))
            seen.duration_s = max(seen.duration_s, *(slot["duration_s"] for slot in slots))
            seen.missed = sum(slot["missed"] for slot in slots) - before
            await asyncio.sleep(POLL_S)

    async def export(self, engine: str, form: str, data: Reference, rows: int) -> Result:
        """Download the newest rows of the data, and measure meanwhile."""
        start = data.end.timestamp() - rows / len(data.series) * STEP_S
        metrics = sorted({series.metric for series in data.series})
        query = [("metric", metric) for metric in metrics]
        query += [("start", str(start)), ("end", str(data.end.timestamp()))]
        query += [("step", "raw"), ("format", form)]
        seen, size, lines = Watch(), 0, 0
        watching = asyncio.create_task(self.watch(seen))
        while not seen.rss:
            await asyncio.sleep(POLL_S)
        began = time.monotonic()
        async with self.http.get(f"{BASE}/metrics/history", params=query) as answer:
            answer.raise_for_status()
            async for chunk in answer.content.iter_any():
                size += len(chunk)
                lines += chunk.count(b"\n")
        seconds = time.monotonic() - began
        watching.cancel()
        reported = lines - (form == "csv") if form != "arrow" else rows
        return Result(engine, form, reported, size, seconds, seen)

    async def end(self, process: Process) -> None:
        await self.http.close()
        process.terminate()
        await process.wait()


@asynccontextmanager
async def serving(dsn: str | None, folder: Path) -> AsyncIterator[ExportService]:
    service = ExportService(folder, dsn)
    process = await service.start()
    try:
        yield service
    finally:
        await service.end(process)


async def measure(
    engine: str, dsn: str | None, data: Reference, rows: int, folder: Path
) -> list[Result]:
    """Export in every format, each from a newly started service."""
    results = []
    for form in FORMATS:
        async with serving(dsn, folder) as service:
            results.append(await service.export(engine, form, data, rows))
    return results


async def native(url: str, folder: Path, *, keep: bool) -> list[Result]:
    data = reference.make(int(time.time()) // DAY_S * DAY_S)
    async with loaded(url, "export", data, keep=keep) as dsn:
        return await measure("native", dsn, data, NATIVE_ROWS, folder)


async def embedded(folder: Path) -> list[Result]:
    data = reference.make(int(time.time()) // DAY_S * DAY_S, days=2)
    async with (
        open_engine(Settings(data_dir=folder)) as engine,
        await Connection.connect(engine.dsn, autocommit=True, prepare_threshold=None) as connection,
    ):
        await migrate(connection)
        numbers = SeriesNumbers()
        for samples in batches(data):
            async with connection.transaction():
                await insert.insert(connection, numbers, samples)
        await tiers.maintain(connection, data.end)
    return await measure("embedded", None, data, EMBEDDED_ROWS, folder)


def batches(data: Reference) -> Iterator[list[Sample]]:
    """Yield the samples slot by slot, as collectors do."""
    times = [datetime.fromtimestamp(int(time), UTC) for time in data.times]
    slots = BATCH // len(data.series)
    for first in range(0, len(times), slots):
        yield [
            Sample(series, times[i], float(data.values[number, i]))
            for i in range(first, min(first + slots, len(times)))
            for number, series in enumerate(data.series)
        ]


async def main(*, keep: bool) -> None:
    began, results = time.monotonic(), []
    url = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
    if url:
        with tempfile.TemporaryDirectory() as folder:
            results += await native(url, Path(folder), keep=keep)
    with tempfile.TemporaryDirectory() as folder:
        results += await embedded(Path(folder))
    report(results)
    reported = {
        "bench": "export",
        "ratio": round(max(of_limit(result) for result in results if result.format == "csv"), 3),
        "rows_per_s": {f"{r.engine} {r.format}": round(r.rows / r.seconds) for r in results},
        "rss_growth_mb": {f"{r.engine} {r.format}": round(r.growth_mb, 1) for r in results},
        "delay_s": round(max(result.watch.delay_s for result in results), 3),
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(reported))


def of_limit(result: Result) -> float:
    """Return the worse of memory and delay, each divided by its limit."""
    return max(result.growth_mb / RSS_GROWTH_MAX_MB, result.watch.delay_s / DELAY_MAX_S)


def report(results: Sequence[Result]) -> None:
    print("Samples exported while seven collectors measure every second.\n")
    print_table(
        ["engine", "format", "rows", "s", "rows/s", "MB", "+RSS MB", "delay s", "slot s", "missed"],
        [
            [
                r.engine, r.format, f"{r.rows:,}", f"{r.seconds:.1f}", f"{r.rows / r.seconds:,.0f}",
                f"{r.size_bytes / MB:,.0f}", f"+{r.growth_mb:.1f}", f"{r.watch.delay_s:.3f}",
                f"{r.watch.duration_s:.3f}", r.watch.missed,
            ]
            for r in results
        ],
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Exports of millions of samples.")
    parser.add_argument("--keep", action="store_true", help="leave what was loaded to the next run")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    uvloop.run(main(keep=parser.parse_args().keep))
