"""Evaluates 100, 1,000 and 10,000 rules minute after minute, beside Prometheus; then a storm.

`python -m bench.alerts [--rules 10000] [--engine native] [--no-storm]` (no number behind
`--rules`: nothing but the storm): 1,000 series, each rule over one of them: thresholds with levels,
recovery, `for` and windows, absences, changes and ratios (bench/fleet.py), but no burn rates,
composites, percentiles or questions in SQL. In each minute 0.5 % of the rules open and 0.5 %
resolve. What counts is the whole turn of the service: the evaluation, reading the alerts and
telling the bus, in its transaction.
The tiers are maintained as live: the newest ten to fifteen minutes are rolled up while being read.

Prometheus (bench/ruler.py) has the same samples and as many alerting rules, in one group; and, if
each series has a rule of each kind, the same comparisons as one rule for each kind and metric, over
the vector of all hosts, as people write them. What it does then is less: it keeps alerts in memory
and appends samples of `ALERTS`, and has one level per rule; ours are rows, with their audit, levels
and messages on the bus.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
import psutil
from msgspec import Struct

from alerts.evaluate import evaluate
from bench import ruler, storm
from bench.command import execute
from bench.fleet import BEFORE, EVALUATIONS, MINUTE_SAMPLES, SERIES, STEP_S, WARM_UP, Fleet
from bench.loading import empty
from bench.storm import Storm
from bench.tables import print_table
from db import rules, tiers
from db.engine import open_engine
from db.insert import insert_load
from db.load import Load
from db.migrate import migrate
from db.pool import open_pool
from db.queries import Pool
from db.rules import Rule
from db.series import SeriesNumbers
from vigia.model import Column, micros_of
from vigia.settings import Settings

SIZES = (100, 1_000, 10_000)
ENGINES = ("native", "embedded")
PROMETHEUS = "Prometheus"
VECTOR = "Prometheus, vector rules"
MINUTE = timedelta(minutes=1)
MAINTAIN_MINUTES = 5
LOOK_S = 1.0
CHANGING, CHANGING_OFF = 0.01, 0.003
"""How many rules are to change, and how far off the average may be: few rules change seldom."""
OF_PROMETHEUS_MAX, EMBEDDED_MAX_MS, NATIVE_AIM_MS = 0.1, 250.0, 60.0


class Evaluated(Struct, frozen=True):
    """How long each evaluation took, and how many alerts opened and resolved in it."""

    who: str
    rules: int
    seconds: list[float]
    opened: list[int]
    resolved: list[int]

    @property
    def median_ms(self) -> float:
        return median(self.seconds) * 1000

    @property
    def changing(self) -> float:
        return (sum(self.opened) + sum(self.resolved)) / len(self.opened) / self.rules


class World:
    """Minutes that pass in a database, from noon of yesterday."""

    def __init__(self, pool: Pool, fleet: Fleet, *, can_copy: bool) -> None:
        self.pool, self.fleet, self.can_copy = pool, fleet, can_copy
        self.numbers = SeriesNumbers()
        today = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
        self.start = today - timedelta(days=1)

    def minute(self, number: int) -> datetime:
        return self.start + number * MINUTE

    async def prepare(self) -> None:
        """Make the rules, and store what was before the trouble."""
        async with self.pool.connection() as connection:
            await migrate(connection)
            async with connection.transaction():
                for number in range(self.fleet.size):
                    rule = msgspec.convert(self.fleet.rule(number), Rule)
                    assert await rules.insert(connection, rule, self.minute(-BEFORE), "bench")
            await self.store(-BEFORE, 0)
            await tiers.maintain(connection, self.minute(0))
            await evaluate(connection, self.minute(0), {})
            if self.can_copy:
                # A server does this by itself; the embedded engine has what follows.
                await connection.execute("ANALYZE")
            for table in await tiers.updated_tables(connection):
                await tiers.tidy(connection, table)
            await tiers.checkpoint(connection)

    async def store(self, first: int, end: int) -> None:
        """Store the samples of some minutes as the writer does."""
        begin = (BEFORE + first) * MINUTE_SAMPLES
        some = self.fleet.values[:, begin : (BEFORE + end) * MINUTE_SAMPLES]
        steps = np.arange(some.shape[1]) * STEP_S * 1_000_000
        times = micros_of(self.minute(first)) + steps
        columns = [
            Column(series, times[there], values[there])
            for series, values in zip(SERIES, some, strict=True)
            if (there := ~np.isnan(values)).any()
        ]
        async with self.pool.connection() as connection, connection.transaction():
            found = await self.numbers.of(connection, [column.series for column in columns])
            await insert_load(connection, found.known, Load(columns), can_copy=self.can_copy)
        self.numbers.remember(found.known)

    async def turn(self, number: int) -> tuple[float, int, int]:
        """Let a minute pass; return seconds of its evaluation, and what opened and resolved."""
        await self.store(number - 1, number)
        at = self.minute(number)
        async with self.pool.connection() as connection:
            if number % MAINTAIN_MINUTES == 0:
                await tiers.maintain(connection, at)
        async with self.pool.connection() as connection:
            began = time.perf_counter()
            steps = await evaluate(connection, at, {})
            seconds = time.perf_counter() - began
        said = [step.step for step in steps]
        opened, resolved = said.count("opened"), said.count("resolved")
        assert opened + resolved == len(said), set(said)
        return seconds, opened, resolved


@asynccontextmanager
async def database(engine: str, url: str) -> AsyncIterator[Pool]:
    """Hand out connections to an empty database, as the service makes them."""
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


async def ours(engine: str, url: str, size: int) -> Evaluated:
    async with database(engine, url) as pool:
        world = World(pool, Fleet(size), can_copy=engine == "native")
        await world.prepare()
        turns = [await world.turn(number) for number in range(1, EVALUATIONS + 1)]
    seconds, opened, resolved = map(list, zip(*turns[WARM_UP:], strict=True))
    found = Evaluated(engine, size, seconds, opened, resolved)
    assert abs(found.changing - CHANGING) < CHANGING_OFF, found
    return found


async def theirs(size: int) -> list[Evaluated]:
    fleet = Fleet(size)
    ways = {PROMETHEUS: False} | ({VECTOR: True} if fleet.is_whole else {})
    ruled = {who: await ruler.evaluate(fleet, vector=vector) for who, vector in ways.items()}
    return [
        Evaluated(who, size, one.seconds, one.opened, one.resolved) for who, one in ruled.items()
    ]


def report(found: Sequence[Evaluated]) -> None:
    print("One evaluation in ms; what opened and resolved in a minute on average.\n")
    print_table(
        ["", "rules", "median", "fastest", "slowest", "opened", "resolved"],
        [
            [
                each.who, f"{each.rules:,}", f"{each.median_ms:.1f}",
                f"{min(each.seconds) * 1000:.1f}", f"{max(each.seconds) * 1000:.1f}",
                f"{np.mean(each.opened):.1f}", f"{np.mean(each.resolved):.1f}",
            ]
            for each in found
        ],
    )  # fmt: skip


def summary(found: Sequence[Evaluated], storms: Sequence[Storm]) -> dict[str, object]:
    """Return the figures; `ratio` is the native time of most rules to that of Prometheus.

    Whether the limits are met is null where not all was measured, or with fewer rules than asked.
    """
    most = max((each.rules for each in found), default=0)
    medians = {each.who: each.median_ms for each in found if each.rules == most}
    ours_ms, theirs_ms, vector_ms, embedded_ms = (
        medians.get(who) for who in ("native", PROMETHEUS, VECTOR, "embedded")
    )
    is_whole = most == SIZES[-1]
    ratio = ours_ms / theirs_ms if ours_ms and theirs_ms else None
    return {
        "ratio": ratio and round(ratio, 3),
        "of_vector_rules": round(ours_ms / vector_ms, 3) if ours_ms and vector_ms else None,
        "median_ms": {
            who: {str(e.rules): round(e.median_ms, 1) for e in found if e.who == who}
            for who in dict.fromkeys(each.who for each in found)
        },
        "changing": {e.who: round(e.changing, 4) for e in found if e.rules == most},
        "storm": {each.engine: each.summary() for each in storms},
        "is_met": _is_met(*(ratio, embedded_ms) if is_whole else (None, None), storms),
        "is_aim_met": ours_ms <= NATIVE_AIM_MS if ours_ms and is_whole else None,
    }


def _is_met(ratio: float | None, embedded_ms: float | None, storms: Sequence[Storm]) -> bool | None:
    """Say whether all that is asked is met; None when nothing failed, but not all was measured."""
    met = [
        None if ratio is None else ratio <= OF_PROMETHEUS_MAX,
        None if embedded_ms is None else embedded_ms < EMBEDDED_MAX_MS,
        *(each.is_met for each in storms),
        *[None] * (len(ENGINES) - len(storms)),
    ]
    return False if False in met else None if None in met else True


async def main(sizes: Sequence[int], engines: Sequence[str], *, with_storm: bool) -> None:
    began = time.monotonic()
    url = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
    engines = [engine for engine in engines if engine != "native" or url]
    busy = await asyncio.to_thread(psutil.cpu_percent, LOOK_S)
    print(f"Others keep {busy:.0f} % of the processors busy.\n")
    found = []
    for size in sizes:
        found += [await ours(engine, url, size) for engine in engines]
        if ruler.is_installed():
            found += await theirs(size)
    if found:
        report(found)
    storms = [await storm.measure(engine, url) for engine in engines] if with_storm else []
    storm.report(storms)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"bench": "alerts", **summary(found, storms), "seconds": seconds}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How fast rules are evaluated.")
    parser.add_argument("--rules", type=int, nargs="*", default=SIZES)
    parser.add_argument("--engine", nargs="*", choices=ENGINES, default=ENGINES)
    parser.add_argument("--no-storm", action="store_true", help="only measure the evaluation")
    chosen = parser.parse_args()
    execute(main(chosen.rules, chosen.engine, with_storm=not chosen.no_storm))
