"""Measures history queries through HTTP, compared with plain SQL and other databases.

`python -m bench.history [--keep]`: 100 series with a sample every 15 s for 30 days, and for the
last day 100 series of one metric, and distributions. Every answer is compared with a recomputation
from the samples before it is timed. `--keep` keeps the loaded data for the next run on that day.
"""

import asyncio
import json
import time
from functools import partial

import msgspec
import psutil

from bench import reference
from bench.command import run
from bench.history import concurrency, report
from bench.history.competitors import Competitors, open_competitors
from bench.history.questions import DAY_S, QUESTIONS, auto_path
from bench.history.report import Growth, Measured
from bench.history.timing import Timing, measure
from bench.processes import fetch

ROOT = "/api/v1/monitoring/"
LOOK_S = 3.0
RANGES_H = ((3, 30), (30, 300), (72, 720))


async def main(url: str, keep: bool) -> None:
    began = time.monotonic()
    data = reference.make(int(time.time()) // DAY_S * DAY_S, with_crowd=True)
    async with open_competitors(url, data, keep=keep) as competitors:
        print(f"{data.samples:,} samples are ready after {time.monotonic() - began:.0f} s.\n")
        busy = await asyncio.to_thread(psutil.cpu_percent, LOOK_S)
        print(
            f"Others keep {busy:.0f} % of the processors busy; more than a few, and p50 is high.\n"
        )
        measured = Measured(
            floors=await _floors(competitors),
            answers={q.name: await measure(await competitors.askers(q)) for q in QUESTIONS},
            growth=[await _growth(competitors, *hours) for hours in RANGES_H],
            served=await concurrency.measure(competitors),
        )
    report.report(measured)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"bench": "history", **report.summary(measured), "seconds": seconds}))


async def _floors(competitors: Competitors) -> dict[str, Timing]:
    """Measure the cost of the web framework alone, and of the round trip to the database alone."""

    async def select() -> object:
        return competitors.select("floor")

    return await measure(
        {
            "GET /livez": partial(fetch, competitors.http, "/livez"),
            f"GET {ROOT}": partial(fetch, competitors.http, ROOT),
            "SELECT 1": select,
        }
    )


async def _growth(competitors: Competitors, short_h: int, long_h: int) -> Growth:
    paths = [auto_path(competitors.data, hours) for hours in (short_h, long_h)]
    short, long = [msgspec.json.decode(await fetch(competitors.http, path)) for path in paths]
    timings = await measure({path: partial(fetch, competitors.http, path) for path in paths})
    return Growth(
        hours=(short_h, long_h),
        points=(len(short["time"]), len(long["time"])),
        tiers=(short["tier"], long["tier"]),
        timings=(timings[paths[0]], timings[paths[1]]),
    )


if __name__ == "__main__":
    run(main, "How fast the past is answered.")
