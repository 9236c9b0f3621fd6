"""Opens ten thousand alerts in one minute of the real service, and measures the API meanwhile.

The service runs as in production, and evaluates by its own clock. It has 10,000 rules and five
clear minutes, and then one minute in which every rule is breached. Requests are sent at fixed
times, whether the earlier ones were answered or not. One in four acknowledges an alert from before
the storm, and waits for the lock of the evaluation. The result is the 99th percentile of the
requests that were due during the evaluation or within two seconds after it.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import numpy as np
from msgspec import Struct

from alerts.rules import store as rules
from alerts.rules.model import Rule
from bench import named
from bench.alerts.alert_workload import CALM, HOT, SERIES, STEP_S
from bench.loading import empty
from bench.processes import OK, fetch, serving, vigia
from bench.tables import print_table
from db import queries
from db.engine import open_engine
from db.queries import Connection
from model.severity import Level
from model.times import utc_now
from runtime.settings import Settings

BASE = "/api/v1/monitoring"
HEALTH, ACTIVE, DASHBOARD, ACKNOWLEDGE = (
    "/health",
    "/alerts/active?limit=100",
    "/dashboard",
    "acknowledge",
)
ASKED = (HEALTH, ACTIVE, DASHBOARD, ACKNOWLEDGE)
RECORDED = named.load(__file__)["recorded"]
RULES, RULES_TOGETHER = 10_000, 500
CALM_MINUTES = 5
REQUESTS_S = 20
BEFORE_S, AFTER_S = 10.0, 20.0
REQUESTS = round((BEFORE_S + AFTER_S) * REQUESTS_S)
HOT_AT_S, EVALUATED_AT_S = 48.0, 65.0
"""Seconds from the beginning of the minute in which every rule is breached."""
PREPARED_S = 5.0
SETTLE_S = 60.0
TAIL_S = 2.0
"""Seconds after the evaluation. Requests that had to wait for it are answered then."""
CONNECTIONS = 100
P99_MAX_MS = 500.0


class Recorded(Struct, frozen=True):
    """The number of alerts, of their transitions, and of alerts in events on the bus."""

    alerts: int
    transitions: int
    announced: int


class Asked(Struct, frozen=True):
    """A request: its due time in seconds since the start of the evaluation, and its duration."""

    what: str
    due_s: float
    ms: float


class AlertStorm(Struct, frozen=True):
    """The result of a storm."""

    engine: str
    seconds: float
    recorded: Recorded
    asked: list[Asked]

    def ms_of(self, *what: str) -> list[float]:
        """Return the durations of requests that were due during the evaluation or just after it."""
        end_s = self.seconds + TAIL_S
        return [one.ms for one in self.asked if one.what in what and 0 <= one.due_s < end_s]

    @property
    def p99_ms(self) -> float:
        return float(np.quantile(self.ms_of(*ASKED), 0.99))

    @property
    def is_met(self) -> bool:
        return self.recorded == Recorded(RULES, RULES, RULES) and self.p99_ms < P99_MAX_MS

    def summary(self) -> dict[str, object]:
        during = self.ms_of(*ASKED)
        return {
            "evaluation_ms": round(self.seconds * 1000),
            "recorded": msgspec.to_builtins(self.recorded),
            "requests": len(during),
            "p50_ms": round(float(np.median(during)), 1),
            "p99_ms": round(self.p99_ms, 1),
            "max_ms": round(max(during), 1),
            "whole_p99_ms": round(float(np.quantile([one.ms for one in self.asked], 0.99)), 1),
        }


async def measure(engine: str, url: str) -> AlertStorm:
    async with _service(engine, url) as (http, sql):
        await _make_rules(sql)
        old = await _raise_alerts(http)
        start_s = _next_minute(time.time() + PREPARED_S)
        await _post(http, CALM, start_s - CALM_MINUTES * 60, CALM_MINUTES)
        await _until(start_s + HOT_AT_S)
        await _post(http, HOT, start_s, 1)
        await _until(start_s + EVALUATED_AT_S - BEFORE_S)
        asked = await _ask(http, old, start_s + EVALUATED_AT_S)
        seconds = await _duration(http, start_s + 60)
        [recorded] = await queries.rows(sql, Recorded, RECORDED)
    return AlertStorm(engine, seconds, recorded, asked)


@asynccontextmanager
async def _service(
    engine: str, url: str
) -> AsyncIterator[tuple[aiohttp.ClientSession, Connection]]:
    """Run the service on a new database; yield an HTTP session and a connection to it."""
    with tempfile.TemporaryDirectory(prefix="vigia-bench-") as name:
        folder = Path(name)
        log = folder / "vigia.log"
        if engine == "native":
            async with (
                empty(url, "storm") as dsn,
                serving(vigia(dsn, folder, "api,alert"), log, CONNECTIONS) as http,
                await Connection.connect(dsn, autocommit=True) as sql,
            ):
                yield http, sql
        else:
            async with (
                serving(vigia(None, folder, "api,alert"), log, CONNECTIONS) as http,
                open_engine(Settings(data_dir=folder), share=True) as opened,
                await Connection.connect(opened.dsn, autocommit=True) as sql,
            ):
                sql.prepare_threshold = None
                yield http, sql


async def _make_rules(sql: Connection) -> None:
    """Insert ten rules for each series, a few hundred at a time, so that others are not blocked."""
    for first in range(0, RULES, RULES_TOGETHER):
        async with sql.transaction():
            for number in range(first, first + RULES_TOGETHER):
                series = SERIES[number % len(SERIES)]
                limit = 60.0 + number // len(SERIES)
                rule = Rule(
                    name=f"r{number:05}",
                    metric=series.metric,
                    component=series.component,
                    labels=dict(series.labels),
                    levels={Level.WARNING: limit, Level.CRITICAL: limit + 20},
                )
                assert await rules.insert(sql, rule, utc_now(), "bench")


async def _post(http: aiohttp.ClientSession, value: float, start_s: float, minutes: int) -> None:
    times = [start_s + transition for transition in range(0, 60 * minutes, STEP_S)]
    columns = [
        {
            "metric": series.metric,
            "component": series.component,
            "labels": dict(series.labels),
            "times": times,
            "values": [value] * len(times),
        }
        for series in SERIES
    ]
    body = msgspec.json.encode({"series": columns})
    async with http.post(f"{BASE}/metrics", data=body) as answer:
        found = await answer.json()
    assert found["accepted"] == len(SERIES) * len(times), found


async def _raise_alerts(http: aiohttp.ClientSession) -> list[int]:
    """Raise one alert for each later acknowledgement; return their ids."""
    ids = []
    for _ in range(-(-REQUESTS // len(ASKED))):
        async with http.post(f"{BASE}/dev/test-alert") as answer:
            ids.append((await answer.json())["id"])
    return ids


async def _ask(http: aiohttp.ClientSession, old: list[int], evaluated_at_s: float) -> list[Asked]:
    """Send requests at fixed times until the measurement ends."""
    taken: list[Asked] = []
    ahead_s = evaluated_at_s - time.time()

    async def ask(number: int, due: float) -> None:
        what = ASKED[number % len(ASKED)]
        if what == ACKNOWLEDGE:
            path = f"{BASE}/alerts/{old[number // len(ASKED)]}/acknowledge"
            async with http.post(path) as answer:
                assert answer.status == OK, await answer.text()
        else:
            await fetch(http, BASE + what)
        taken.append(Asked(what, due - began - ahead_s, (time.perf_counter() - due) * 1000))

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(REQUESTS):
            due = began + number / REQUESTS_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(number, due))
    return taken


async def _duration(http: aiohttp.ClientSession, at_s: float) -> float:
    """Return the duration of the evaluation of a minute, as the service reports it."""
    async with asyncio.timeout(SETTLE_S):
        while True:
            status = msgspec.json.decode(await fetch(http, f"{BASE}/dev/status"))
            [slots] = [s for s in status["services"]["services"] if s["name"] == "alerts"]
            last = msgspec.convert(slots["last_slot"], type=utc_now().__class__)
            assert last.timestamp() <= at_s, "another minute was evaluated meanwhile"
            if last.timestamp() == at_s and not slots["last_error"] and slots["duration_s"]:
                return float(slots["duration_s"])
            await asyncio.sleep(1)


def _next_minute(now_s: float) -> float:
    return (now_s // 60 + 1) * 60


async def _until(moment_s: float) -> None:
    await asyncio.sleep(max(0.0, moment_s - time.time()))


def report(storms: Sequence[AlertStorm]) -> None:
    if not storms:
        return
    print(
        f"{RULES:,} alerts open at once. {REQUESTS_S} requests a second; durations in ms of those"
        f" that were due during the evaluation or within {TAIL_S:.0f} s after it.\n"
    )
    rows = []
    for each in storms:
        found = each.recorded
        whole = f"{found.alerts:,} / {found.transitions:,} / {found.announced:,}"
        for name, what in [("all", ASKED), *((one, (one,)) for one in ASKED)]:
            some = each.ms_of(*what)
            figures = [f"{ms:.1f}" for ms in np.quantile(some, [0.5, 0.99, 1])]
            rows.append(
                [f"{each.engine}, {name}", f"{each.seconds * 1000:.0f}", whole, len(some), *figures]
            )
    print_table(
        ["", "evaluation", "alerts / transitions / events", "requests", "p50", "p99", "max"], rows
    )
