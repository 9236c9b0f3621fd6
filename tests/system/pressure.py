"""Many requests of one viewer at a time, and what they do to everybody else."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import aiohttp
from msgspec import Struct, field

from tests.system.conftest import BASE, Program, run

ROOT = Path(__file__).parents[2]
SERIES = 4500
AT_ONCE = 60
INGEST_EVERY_S = 3.0
READ_EVERY_S = 0.05
MISSED_MAX = {"planner": 2}
"""It looks each second for what is due; two looks that come too late delay nothing by much."""
FROM_MEMORY = ("/metrics/current?component=server", "/health", "/dashboard")
"""What other readers read."""

COSTLIEST = (
    "/metrics/current",
    "/dashboard",
    "/metrics/export",
    "/storage",
    "/metrics/history?metric=load&label.disk=d1&start=-24h&agg=avg,max,count",
)
OTHERS = (
    "",
    "/metrics?limit=1000",
    "/health?at=-1m",
    "/alerts/active",
    "/alerts/history?start=-30d",
    "/alerts/analytics",
    "/alerts/pending",
    "/alerts/rules",
    "/alerts/silences",
    "/maintenance",
    "/config",
    "/config/history",
)


class Pressure(Struct):
    """What came of it: answers of the one who presses, and what others saw meanwhile."""

    answers: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    readings_s: list[float] = field(default_factory=list)
    failed_readings: Counter[int] = field(default_factory=Counter)
    ingest: Counter[int] = field(default_factory=Counter)
    ingest_s: list[float] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Services that missed a slot or failed in one."""
    evaluated: int = 0
    checked: int = 0
    lag_s_max: float = 0.0

    def summary(self) -> dict[str, object]:
        return {
            "answers": dict(self.answers),
            "answer_p50_ms": milliseconds(self.latencies_s, 0.5),
            "reader_p50_ms": milliseconds(self.readings_s, 0.5),
            "reader_p99_ms": milliseconds(self.readings_s, 0.99),
            "readers_failed": dict(self.failed_readings),
            "ingest": dict(self.ingest),
            "ingest_p99_ms": milliseconds(self.ingest_s, 0.99),
            "late": self.late,
            "evaluated": self.evaluated,
            "checked": self.checked,
            "lag_ms_max": round(1000 * self.lag_s_max),
        }


def milliseconds(durations_s: Sequence[float], quantile: float) -> float | None:
    """Return a quantile in milliseconds."""
    in_order = sorted(durations_s)
    return round(1000 * in_order[int(quantile * (len(in_order) - 1))], 1) if in_order else None


async def new_key(program: Program, name: str, role: str = "viewer") -> dict[str, str]:
    """Make a key and return the header that shows it."""
    code, out, err = await run(
        program.environment, "keys", "create", name, "--role", role, "--json"
    )
    assert code == 0, err
    return {"Authorization": f"Bearer {json.loads(out)['key']}"}


async def send_series(program: Program, count: int = SERIES) -> tuple[int, float]:
    """Send a sample of each series, and return the status and how long it took."""
    now = time.time()
    series = [
        {
            "metric": "load",
            "component": "fleet",
            "labels": {"host": f"h{n % 50}", "disk": f"d{n // 50}"},
            "times": [now],
            "values": [n],
        }
        for n in range(count)
    ]
    began = time.monotonic()
    async with program.http.post(BASE + "/metrics", json={"series": series}) as answer:
        await answer.read()
        return answer.status, time.monotonic() - began


async def press(
    program: Program, paths: Sequence[str], duration_s: float, keys: Sequence[dict[str, str]]
) -> Pressure:
    """Ask for paths with the first key, `AT_ONCE` at a time; others read with the second."""
    found, end = Pressure(), time.monotonic() + duration_s
    before = await services(program)
    async with (
        aiohttp.ClientSession(program.url, auto_decompress=False) as http,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(_ask_much(program, paths, duration_s, keys[0], found))
        group.create_task(_read(http, end, keys[1], found))
        group.create_task(_ingest(program, end, found))
    await _look(program, before, found)
    return found


async def _ask_much(
    program: Program,
    paths: Sequence[str],
    duration_s: float,
    key: dict[str, str],
    found: Pressure,
) -> None:
    """Let another process ask, so that its work does not delay the readers of this one."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.system.presser", program.url),
        *(key["Authorization"].removeprefix("Bearer "), str(duration_s), str(AT_ONCE)),
        *(BASE + path for path in paths),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    result = json.loads(said)
    found.answers.update({int(status): count for status, count in result["answers"].items()})
    found.latencies_s += result["latencies_s"]


async def services(program: Program) -> dict[str, tuple[int, int, int]]:
    """Return turns, missed slots and failures of each service."""
    status = await program.get("/dev/status")
    found: list[dict[str, object]] = status["services"]["services"]  # type: ignore[index]
    return {
        str(one["name"]): (
            int(str(one["runs"])),
            int(str(one["missed"])),
            int(str(one["failures"])),
        )
        for one in found
    }


async def _look(program: Program, before: dict[str, tuple[int, int, int]], found: Pressure) -> None:
    after = await services(program)
    for name, (_, missed, failures) in after.items():
        _, missed_before, failures_before = before.get(name, (0, 0, 0))
        allowed = MISSED_MAX.get(name, 0)
        if missed - missed_before > allowed or failures != failures_before:
            found.late.append(name)
    found.evaluated = after["alerts"][0] - before["alerts"][0]
    found.checked = after["health"][0] - before["health"][0]
    status = await program.get("/dev/status")
    loop: dict[str, float] = status["services"].get("event_loop", {})  # type: ignore[attr-defined]
    found.lag_s_max = loop.get("lag_s_max", 0.0)


async def _read(
    http: aiohttp.ClientSession, end: float, key: dict[str, str], found: Pressure
) -> None:
    for path in cycle(FROM_MEMORY):
        began = time.monotonic()
        if began > end:
            return
        async with http.get(BASE + path, headers=key) as answer:
            await answer.read()
        found.readings_s.append(time.monotonic() - began)
        if answer.status != 200:
            found.failed_readings[answer.status] += 1
        await asyncio.sleep(READ_EVERY_S)


async def _ingest(program: Program, end: float, found: Pressure) -> None:
    while time.monotonic() < end:
        status, took_s = await send_series(program)
        found.ingest[status] += 1
        found.ingest_s.append(took_s)
        await asyncio.sleep(INGEST_EVERY_S)
