"""Prometheus' evaluation of the same rules over the same samples, with a shortened minute.

Prometheus evaluates only at the present time. So its minute lasts a few seconds here: samples,
windows, `for` and the evaluation interval are shortened by the same factor. Each evaluation has as
many samples, alerts and changes as with full minutes. All samples are written before the first one.
"""

import asyncio
import re
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
from msgspec import Struct

from bench.alerts.alert_workload import (
    BEFORE,
    EVALUATIONS,
    MINUTE_SAMPLES,
    SERIES,
    WARM_UP,
    Workload,
)
from bench.bodies import write_request
from bench.peers import labels_of
from bench.processes import Server, fetch, serving
from model.series import Series

MINUTE_MS = {100: 2000, 1_000: 2000, 10_000: 6000}
MINUTE_MS_DEFAULT = 6000
LEAD_MS = 5000
"""Seconds from the writing of the samples to the first evaluation that can see trouble."""
REQUEST_SAMPLES = 40
HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
FIRING = 'ALERTS{alertstate="firing"}'
GROUP = re.compile(rb'^prometheus_rule_group_(\w+)\{rule_group="[^"]*"\} (\S+)$', re.MULTILINE)


class Ruled(Struct, frozen=True):
    """The duration of each evaluation, as Prometheus reports it, and the counts of changes."""

    seconds: list[float]
    opened: list[int]
    resolved: list[int]


def is_installed() -> bool:
    if not shutil.which("prometheus"):
        print("Without Prometheus; install it with: sudo apt-get install prometheus")
        return False
    return True


async def evaluate(workload: Workload) -> Ruled:
    """Write the samples, and wait for the evaluations until the trouble ends."""
    minute_ms = MINUTE_MS.get(workload.size, MINUTE_MS_DEFAULT)
    with tempfile.TemporaryDirectory(prefix="vigia-bench-") as name:
        folder = Path(name)
        config, rules = folder / "prometheus.yml", folder / "rules.yml"
        config.write_text("", encoding="utf-8")
        server = Server(partial(_command, folder, config), "/-/ready")
        async with serving(server, folder / "server.log") as http:
            start_ms = int(time.time() * 1000) + LEAD_MS
            await _write(http, workload, start_ms, minute_ms)
            # JSON is YAML.
            rules.write_bytes(msgspec.json.encode(_group(workload, minute_ms)))
            config.write_bytes(msgspec.json.encode({"rule_files": [str(rules)]}))
            async with http.post("/-/reload") as answer:
                assert answer.status == 200, await answer.text()  # noqa: PLR2004 (HTTP)
            return await _watch(http, start_ms, minute_ms)


def _command(folder: Path, config: Path, port: int) -> list[str]:
    return [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--web.enable-lifecycle",
    ]


async def _write(
    http: aiohttp.ClientSession, workload: Workload, start_ms: int, minute_ms: int
) -> None:
    step_ms = minute_ms // MINUTE_SAMPLES
    count = workload.values.shape[1]
    times = start_ms - BEFORE * minute_ms + np.arange(count) * step_ms
    for first in range(0, count, REQUEST_SAMPLES):
        some = slice(first, first + REQUEST_SAMPLES)
        body = await asyncio.to_thread(
            write_request,
            (
                (labels_of(series), times[some][there].tolist(), values[there].tolist())
                for series, values in zip(SERIES, workload.values[:, some], strict=True)
                if (there := ~np.isnan(values)).any()
            ),
        )
        async with http.post("/api/v1/write", data=body, headers=HEADERS) as answer:
            assert answer.status == 204, await answer.text()  # noqa: PLR2004 (HTTP)
    assert time.time() * 1000 < start_ms, "writing the samples took too long"


def _group(workload: Workload, minute_ms: int) -> dict[str, object]:
    rules = [_rule(workload, number, minute_ms) for number in range(workload.rules)]
    return {"groups": [{"name": "bench", "interval": f"{minute_ms}ms", "rules": rules}]}


def _rule(workload: Workload, number: int, minute_ms: int) -> dict[str, object]:
    kind = workload.kind(number)
    expression = (workload.vector and kind.vector) or kind.expression
    expression = expression.format(
        m=_selector(workload.series(number)),
        over=_selector(workload.partner(number)),
        m1=f"{minute_ms}ms",
        m5=f"{5 * minute_ms}ms",
    )
    return {
        "alert": f"r{number:05}",
        "expr": expression,
        **({"for": f"{kind.waits * minute_ms}ms"} if kind.waits else {}),
        "labels": {"severity": "warning"},
        "annotations": {"summary": "{{ $labels.component }}: the value is {{ $value }}"},
    }


def _selector(series: Series) -> str:
    labels = ",".join(f'{name}="{text}"' for name, text in labels_of(series).items() if text)
    return f"{{{labels}}}"


async def _watch(http: aiohttp.ClientSession, start_ms: int, minute_ms: int) -> Ruled:
    """Record each evaluation until the end; return those after the warm-up."""
    taken: dict[float, float] = {}
    missed = 0.0
    # Wait for the end of the last evaluation as well.
    end_ms = start_ms + (EVALUATIONS + 1) * minute_ms
    while time.time() * 1000 < end_ms:
        await asyncio.sleep(minute_ms / 2000)
        found = {name.decode(): float(n) for name, n in GROUP.findall(await _metrics(http))}
        if at := found.get("last_evaluation_timestamp_seconds", 0.0):
            taken[at] = found["last_duration_seconds"]
        missed = found.get("iterations_missed_total", 0.0)
    assert not missed, f"Prometheus missed {missed} evaluations: its minute is too short"
    seconds = [taken[at] for at in sorted(taken) if at * 1000 >= start_ms + WARM_UP * minute_ms]
    end, transition = end_ms / 1000 - minute_ms / 1000, f"{minute_ms}ms"
    span = {
        "start": end - (EVALUATIONS - WARM_UP - 1) * minute_ms / 1000,
        "end": end,
        "step": transition,
    }
    opened = await _counts(http, f"count({FIRING} unless {FIRING} offset {transition})", span)
    resolved = await _counts(http, f"count({FIRING} offset {transition} unless {FIRING})", span)
    return Ruled(seconds, opened, resolved)


async def _metrics(http: aiohttp.ClientSession) -> bytes:
    return await fetch(http, "/metrics")


async def _counts(http: aiohttp.ClientSession, query: str, span: dict[str, object]) -> list[int]:
    """Return the count of alerts of a query at each time, 0 for no result."""
    params = {"query": query, **{name: str(text) for name, text in span.items()}}
    async with http.get("/api/v1/query_range", params=params) as answer:
        found = await answer.json()
    assert found["status"] == "success", found
    [values] = [one["values"] for one in found["data"]["result"]] or [[]]
    counts = [int(count) for _, count in values]
    return counts + [0] * (EVALUATIONS - WARM_UP - len(counts))
