"""Measures how long a service with 100,000 series blocks its event loop in each scenario.

`python -m bench.series [--series 100000]`, on a native server (VIGIA_TEST_DATABASE_URL) and on the
embedded engine. All series have one metric, 1,000 of them for each component, and are loaded before
the service starts. Then clients run one scenario at a time, for two slots of 15 s each. The service
stores the largest lag of its event loop in each slot; that is the result. The limit is 100 ms.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import aiohttp
import msgspec
from msgspec import Struct

from bench.command import execute
from bench.loading import empty
from bench.processes import fetch, serving, vigia
from bench.series.clients import BASE, SCENARIOS, Scenario
from bench.tables import print_table
from db.engine import open_engine
from db.migrate import migrate
from db.pool import open_pool
from model.series import Sample, Series, labels_of
from model.times import utc_now
from runtime.settings import Secret, Settings
from samples.insert import insert
from samples.series import SeriesNumbers

LIMIT_MS = 100.0
LOADED_TOGETHER = 5_000
PER_COMPONENT = 1_000
SLOT_S = 15.0
SLOTS = 2


class Lag(Struct, frozen=True):
    """The largest lag of the event loop in a scenario, and the number of its operations."""

    scenario: str
    max_ms: float
    times: int


async def main(count: int) -> None:
    """Measure both engines; print a table for each, and a line for programs."""
    lags: dict[str, list[Lag]] = {}
    url = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
    began = time.monotonic()
    if url:
        async with empty(url, "series") as dsn:
            lags["native"] = await measure(dsn, count)
    lags["embedded"] = await measure(None, count)
    for engine, found in lags.items():
        print(f"\n{engine}: {count:,} series; largest lag of the event loop\n")
        print_table(
            ["scenario", "ms", "times"],
            [[one.scenario, f"{one.max_ms:.0f}", f"{one.times:,}"] for one in found],
        )
    worst = max(one.max_ms for found in lags.values() for one in found)
    print(
        "\n" + msgspec.json.encode(
            {
                "bench": "series",
                "ratio": round(worst / LIMIT_MS, 3),
                "series": count,
                "lag_ms": {
                    engine: {one.scenario: round(one.max_ms, 1) for one in found}
                    for engine, found in lags.items()
                },
                "is_met": worst <= LIMIT_MS,
                "seconds": round(time.monotonic() - began),
            }
        ).decode()
    )  # fmt: skip


async def measure(dsn: str | None, count: int) -> list[Lag]:
    """Load the series, start the service, and run each scenario for two slots."""
    with tempfile.TemporaryDirectory(prefix="vigia-series-") as folder:
        data = Path(folder)
        await fill(data, dsn, count)
        async with serving(
            vigia(dsn, data, roles="api,collect"), data / "service.log", connections=32
        ) as http:
            return [await _lag(http, scenario) for scenario in SCENARIOS]


async def fill(data_dir: Path, dsn: str | None, count: int) -> None:
    """Store one sample of each series."""
    async with (
        open_engine(
            Settings(data_dir=data_dir, database_url=Secret(dsn) if dsn else None)
        ) as engine,
        open_pool(engine.dsn, embedded=engine.embedded) as pool,
        pool.connection() as connection,
    ):
        await migrate(connection)
        numbers, at = SeriesNumbers(), utc_now() - timedelta(minutes=1)
        for first in range(0, count, LOADED_TOGETHER):
            some = range(first, min(first + LOADED_TOGETHER, count))
            async with connection.transaction():
                await insert(connection, numbers, [Sample(_series(n), at, float(n)) for n in some])


def _series(number: int) -> Series:
    return Series(
        metric="load_value",
        component=f"host-{number // PER_COMPONENT:04}",
        labels=labels_of({"n": str(number)}),
    )


async def _lag(http: aiohttp.ClientSession, scenario: Scenario) -> Lag:
    start = time.time()
    times = await scenario.run(http, time.monotonic() + SLOTS * SLOT_S)
    # The lag of the last slot is stored a little after its end.
    await asyncio.sleep(SLOT_S + 1)
    path = f"{BASE}/metrics/history?metric=service_loop_lag_ms&agg=max&step=15s"
    body = await fetch(http, f"{path}&start={start + 1}&end={time.time()}")
    [series] = msgspec.json.decode(body)["series"]
    return Lag(scenario.name, max(value for value in series["values"]["max"] if value), times)


def arguments(given: Sequence[str] | None = None) -> int:
    """Return the number of series from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=100_000)
    count: int = parser.parse_args(given).series
    return count


if __name__ == "__main__":
    execute(main(arguments()))
