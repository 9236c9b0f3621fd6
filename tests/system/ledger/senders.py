"""The senders: a real Prometheus, the real OpenTelemetry SDK, and a client of our own protocol."""

import asyncio
import gzip
import json
import shutil
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.system.conftest import free_port
from tests.system.ledger.bodies import NATIVE, OTLP, PROMETHEUS
from tests.system.ledger.recorder import serving

BINARY = shutil.which("prometheus")
APPLICATION = Path(__file__).with_name("application.py")
END_TIMEOUT_S = 90
SERIES = 20
STEP_MS = 20
SAMPLES = 10
SUCCESS = {200, 202}
AGAIN_S = 0.25

CONFIG = """\
global:
  scrape_interval: 500ms
  scrape_timeout: 400ms
scrape_configs:
  - job_name: ledger_exporter
    static_configs:
      - targets: ["{target}"]
remote_write:
  - url: {url}
    remote_timeout: 20s
    authorization:
      credentials: {key}
    queue_config:
      batch_send_deadline: 500ms
      min_backoff: 100ms
      max_backoff: 1s
"""


class Exporter:
    """Shows numbers that are others each time one looks."""

    def __init__(self) -> None:
        self._run_of = 0

    async def handle(self, _: web.Request) -> web.Response:
        self._run_of += 1
        lines = ["# TYPE ledger_jobs_total counter"]
        lines += [f'ledger_jobs_total{{queue="{n}"}} {n * self._run_of}' for n in range(40)]
        lines += ["# TYPE ledger_heat gauge", f"ledger_heat {(self._run_of % 97) / 7}", ""]
        return web.Response(text="\n".join(lines))


@asynccontextmanager
async def prometheus(url: str, key: str, folder: Path) -> AsyncIterator[None]:
    """A real Prometheus that scrapes an exporter; at its end it sends what it still has."""
    async with serving(Exporter().handle, "/metrics") as target:
        config = CONFIG.format(target=target.removeprefix("http://"), url=url + PROMETHEUS, key=key)
        (folder / "prometheus.yml").write_text(config)
        with (folder / "prometheus.log").open("w") as log:
            process = await asyncio.create_subprocess_exec(
                str(BINARY),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/prometheus",
                f"--web.listen-address=127.0.0.1:{free_port()}",
                stderr=log,
            )
        try:
            yield
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), END_TIMEOUT_S)


@asynccontextmanager
async def application(url: str, key: str) -> AsyncIterator[None]:
    """A process of its own with the real SDK; at its end it exports what it still has."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(APPLICATION), url + OTLP, key),
        stdin=PIPE,
        stderr=DEVNULL,
    )
    assert process.stdin is not None
    try:
        yield
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), END_TIMEOUT_S)


class Client:
    """Sends batches in our own form, each until it is taken."""

    def __init__(self, url: str, key: str, http: aiohttp.ClientSession) -> None:
        self._url = url + NATIVE
        self._headers = {"Authorization": f"Bearer {key}", "Content-Encoding": "gzip"}
        self._http = http
        self._sent_to_ms = 0
        self.is_over = asyncio.Event()

    async def run(self) -> None:
        """Send until it is over; the last batch is taken as well."""
        while not self.is_over.is_set():
            start_ms = max(int(time.time() * 1000) - STEP_MS * SAMPLES, self._sent_to_ms)
            self._sent_to_ms = start_ms + STEP_MS * SAMPLES
            await self._insist(gzip.compress(json.dumps(_batch(start_ms)).encode(), 1))
            await asyncio.sleep(max(0.0, self._sent_to_ms / 1000 - time.time()))

    async def _insist(self, body: bytes) -> None:
        while True:
            async with self._http.post(self._url, data=body, headers=self._headers) as answer:
                if answer.status in SUCCESS:
                    return
            await asyncio.sleep(AGAIN_S)


def _batch(start_ms: int) -> dict[str, object]:
    times_ms = [start_ms + STEP_MS * n for n in range(SAMPLES)]
    series = [
        {
            "metric": "ledger_load",
            "component": "ledger_client",
            "labels": {"n": str(n)},
            "times": [time_ms / 1000 for time_ms in times_ms],
            "values": [n + (time_ms % 86_400_000) / 3 for time_ms in times_ms],
        }
        for n in range(SERIES)
    ]
    return {"series": series}


@asynccontextmanager
async def client(url: str, key: str) -> AsyncIterator[None]:
    """A client of our own protocol, which ends with a batch that was taken."""
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        made = Client(url, key, http)
        group.create_task(made.run(), name="client")
        yield
        made.is_over.set()
