"""Evaluates 100, 1,000 and 10,000 rules each minute, compared with Prometheus; then a storm.

`python -m bench.alerts [--rules 10000] [--engine native] [--no-storm]`: without a number after
`--rules`, only the storm is measured. There are 1,000 series, and each rule covers one of them.
The rules are thresholds with levels, recovery, `for` and windows, absences, changes and ratios
(alert_workload.py), but no burn rates, composites, percentiles or SQL rules. In each minute 0.5 %
of the rules open and 0.5 % resolve. The measured time is the whole evaluation of the service: the
statement, reading the alerts, and appending events to the bus, in one transaction. The tiers are
maintained as in production: the newest ten to fifteen minutes are rolled up when they are read.

Prometheus (prometheus_rules.py) has the same samples and the same number of alerting rules, in one
group. With 10,000 rules, each series has a rule of each kind. Then both also make the same
comparisons in the usual form: one rule for each kind and metric, over the vector of all hosts.
Prometheus does less work: it keeps alerts in memory, appends samples of `ALERTS`, and has one level
for each rule. Vigia stores alerts as rows with transitions and levels, and events on the bus.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import psutil
from msgspec import Struct

from alerts.evaluation.evaluator import evaluate
from alerts.rules import store as rules
from alerts.rules.model import Rule
from bench.alerts import alert_storm, prometheus_rules
from bench.alerts.alert_storm import AlertStorm
from bench.alerts.alert_workload import (
    BEFORE,
    EVALUATIONS,
    MINUTE_SAMPLES,
    SERIES,
    STEP_S,
    WARM_UP,
    Workload,
)
from bench.command import execute
from bench.loading import empty
from bench.tables import print_table
from db.engine import open_engine
from db.migrate import migrate
from db.pool import open_pool
from db.queries import Pool
from model.series import Column
from model.times import micros_of
from retention import tiers
from runtime.settings import Settings
from samples.insert import insert_batch
from samples.series import SeriesNumbers
from samples.write_batch import WriteBatch

SIZES = (100, 1_000, 10_000)
ENGINES = ("native", "embedded")
PROMETHEUS = "Prometheus"
VECTOR = ", vector rules"
MINUTE = timedelta(minutes=1)
MAINTAIN_MINUTES = 5
LOOK_S = 1.0
CHANGING, CHANGING_OFF = 0.01, 0.003
"""The expected number of changing rules, and the allowed deviation, larger for few rules."""
OF_PROMETHEUS_MAX, EMBEDDED_MAX_MS, NATIVE_AIM_MS = 0.1, 250.0, 60.0
OF_PROMETHEUS_VECTOR_MAX = 2.5
"""Over a vector Prometheus reads all series at once, as Vigia always does."""


class Evaluated(Struct, frozen=True):
    """The seconds of each evaluation, and the number of alerts that opened and resolved in it."""

    who: str
    rules: int
    comparisons: int
    seconds: list[float]
    opened: list[int]
    resolved: list[int]

    @property
    def median_ms(self) -> float:
        return median(self.seconds) * 1000

    @property
    def changing(self) -> float:
        return (sum(self.opened) + sum(self.resolved)) / len(self.opened) / self.comparisons


class Simulation:
    """Simulated minutes in a database, from noon of yesterday."""

    def __init__(self, pool: Pool, workload: Workload, *, can_copy: bool) -> None:
        self.pool, self.workload, self.can_copy = pool, workload, can_copy
        self.numbers = SeriesNumbers()
        today = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
        self.start = today - timedelta(days=1)

    def minute(self, number: int) -> datetime:
        return self.start + number * MINUTE

    async def prepare(self) -> None:
        """Create the rules, and store the samples from before the trouble."""
        async with self.pool.connection() as connection:
            await migrate(connection)
            async with connection.transaction():
                for number in range(self.workload.rules):
                    rule = msgspec.convert(self.workload.rule(number), Rule)
                    assert await rules.insert(connection, rule, self.minute(-BEFORE), "bench")
            await self.store(-BEFORE, 0)
            await tiers.maintain(connection, self.minute(0))
            await evaluate(connection, self.minute(0), {}, on_transitions=[])
            if self.can_copy:
                # A server does this by itself; the embedded engine needs the statements below.
                await connection.execute("ANALYZE")
            for table in await tiers.updated_tables(connection):
                await tiers.tidy(connection, table)
            await tiers.checkpoint(connection)

    async def store(self, first: int, end: int) -> None:
        """Store the samples of minutes `first` to `end`, as the writer does."""
        begin = (BEFORE + first) * MINUTE_SAMPLES
        some = self.workload.values[:, begin : (BEFORE + end) * MINUTE_SAMPLES]
        transitions = np.arange(some.shape[1]) * STEP_S * 1_000_000
        times = micros_of(self.minute(first)) + transitions
        columns = [
            Column(series, times[there], values[there])
            for series, values in zip(SERIES, some, strict=True)
            if (there := ~np.isnan(values)).any()
        ]
        async with self.pool.connection() as connection, connection.transaction():
            found = await self.numbers.of(connection, [column.series for column in columns])
            await insert_batch(connection, found.known, WriteBatch(columns), can_copy=self.can_copy)
        self.numbers.remember(found.known)

    async def pass_minute(self, number: int) -> tuple[float, int, int]:
        """Simulate a minute; return the seconds of its evaluation, and the counts of changes."""
        await self.store(number - 1, number)
        at = self.minute(number)
        async with self.pool.connection() as connection:
            if number % MAINTAIN_MINUTES == 0:
                await tiers.maintain(connection, at)
        async with self.pool.connection() as connection:
            began = time.perf_counter()
            transitions = await evaluate(connection, at, {}, on_transitions=[])
            seconds = time.perf_counter() - began
        said = [transition.transition for transition in transitions]
        opened, resolved = said.count("opened"), said.count("resolved")
        assert opened + resolved == len(said), set(said)
        return seconds, opened, resolved


@asynccontextmanager
async def database(engine: str, url: str) -> AsyncIterator[Pool]:
    """Yield a pool for an empty database, as the service opens it."""
    with tempfile.TemporaryDirectory(prefix="vigia-bench-") as folder:
        if engine == "native":
            async with empty(url, "alerts") as dsn, open_pool(dsn, embedded=False) as pool:
                yield pool
        else:
            async with (
                open_engine(Settings(data_dir=Path(folder))) as opened,
                open_pool(opened.dsn, embedded=True) as pool,
            ):
                yield pool


async def ours(engine: str, url: str, workload: Workload) -> Evaluated:
    async with database(engine, url) as pool:
        simulation = Simulation(pool, workload, can_copy=engine == "native")
        await simulation.prepare()
        minutes = [await simulation.pass_minute(number) for number in range(1, EVALUATIONS + 1)]
    seconds, opened, resolved = map(list, zip(*minutes[WARM_UP:], strict=True))
    who = engine + VECTOR if workload.vector else engine
    found = Evaluated(who, workload.rules, workload.size, seconds, opened, resolved)
    assert abs(found.changing - CHANGING) < CHANGING_OFF, found
    return found


async def theirs(workload: Workload) -> Evaluated:
    ruled = await prometheus_rules.evaluate(workload)
    who = PROMETHEUS + VECTOR if workload.vector else PROMETHEUS
    counts = (workload.rules, workload.size)
    return Evaluated(who, *counts, ruled.seconds, ruled.opened, ruled.resolved)


def report(found: Sequence[Evaluated]) -> None:
    print("One evaluation in ms; alerts opened and resolved in a minute, on average.\n")
    print_table(
        ["", "rules", "comparisons", "median", "fastest", "slowest", "opened", "resolved"],
        [
            [
                each.who, f"{each.rules:,}", f"{each.comparisons:,}", f"{each.median_ms:.1f}",
                f"{min(each.seconds) * 1000:.1f}", f"{max(each.seconds) * 1000:.1f}",
                f"{np.mean(each.opened):.1f}", f"{np.mean(each.resolved):.1f}",
            ]
            for each in found
        ],
    )  # fmt: skip


def summary(found: Sequence[Evaluated], storms: Sequence[AlertStorm]) -> dict[str, object]:
    """Return the figures. `ratio` is the native time for most rules divided by Prometheus' time.

    `vector_ratio` is the same for rules over vectors. `is_met` is null if not everything was
    measured, or with fewer rules.
    """
    most = max((each.comparisons for each in found), default=0)
    medians = {each.who: each.median_ms for each in found if each.comparisons == most}
    ours_ms, theirs_ms, embedded_ms, vector_ms, their_vector_ms = (
        medians.get(who)
        for who in ("native", PROMETHEUS, "embedded", f"native{VECTOR}", PROMETHEUS + VECTOR)
    )
    is_whole = most == SIZES[-1]
    ratio = ours_ms / theirs_ms if ours_ms and theirs_ms else None
    vector_ratio = vector_ms / their_vector_ms if vector_ms and their_vector_ms else None
    return {
        "ratio": ratio and round(ratio, 3),
        "vector_ratio": vector_ratio and round(vector_ratio, 3),
        "median_ms": {
            who: {str(e.comparisons): round(e.median_ms, 1) for e in found if e.who == who}
            for who in dict.fromkeys(each.who for each in found)
        },
        "changing": {e.who: round(e.changing, 4) for e in found if e.comparisons == most},
        "storm": {each.engine: each.summary() for each in storms},
        "is_met": _is_met(
            {
                OF_PROMETHEUS_MAX: ratio if is_whole else None,
                OF_PROMETHEUS_VECTOR_MAX: vector_ratio,
                EMBEDDED_MAX_MS: embedded_ms if is_whole else None,
            },
            storms,
        ),
        "is_aim_met": ours_ms <= NATIVE_AIM_MS if ours_ms and is_whole else None,
    }


def _is_met(found: Mapping[float, float | None], storms: Sequence[AlertStorm]) -> bool | None:
    """Return whether every figure is within its limit (the key), and all storms met theirs.

    None means that nothing failed, but not everything was measured.
    """
    met = [
        *(None if figure is None else figure <= limit for limit, figure in found.items()),
        *(each.is_met for each in storms),
        *[None] * (len(ENGINES) - len(storms)),
    ]
    return False if False in met else None if None in met else True


async def main(sizes: Sequence[int], engines: Sequence[str], *, with_alert_storm: bool) -> None:
    began = time.monotonic()
    url = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
    engines = [engine for engine in engines if engine != "native" or url]
    busy = await asyncio.to_thread(psutil.cpu_percent, LOOK_S)
    print(f"Others keep {busy:.0f} % of the processors busy.\n")
    found = []
    for size in sizes:
        for workload in Workload(size).forms:
            found += [await ours(engine, url, workload) for engine in engines]
            if prometheus_rules.is_installed():
                found.append(await theirs(workload))
    if found:
        report(found)
    storms = (
        [await alert_storm.measure(engine, url) for engine in engines] if with_alert_storm else []
    )
    alert_storm.report(storms)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"bench": "alerts", **summary(found, storms), "seconds": seconds}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How fast rules are evaluated.")
    parser.add_argument("--rules", type=int, nargs="*", default=SIZES)
    parser.add_argument("--engine", nargs="*", choices=ENGINES, default=ENGINES)
    parser.add_argument("--no-storm", action="store_true", help="only measure the evaluation")
    chosen = parser.parse_args()
    execute(main(chosen.rules, chosen.engine, with_alert_storm=not chosen.no_storm))
