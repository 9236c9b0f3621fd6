"""Asks for the past through HTTP, beside the plain SQL and other databases with the same data.

`python -m bench.history [--keep]`: 100 series, a sample every 15 s, 30 days. Every answer is
checked against a recomputation from the samples before it is timed. `--keep` leaves the loaded data
for the next run of the same day.
"""

import asyncio
import json
import time
from functools import partial

import msgspec
import psutil

from bench import reference, verdict
from bench.command import run
from bench.contest import Contest, open_contest
from bench.processes import fetch
from bench.questions import DAY_S, QUESTIONS, auto_path
from bench.timing import Timing, measure
from bench.verdict import Growth, Measured

ROOT = "/api/v1/monitoring/"
LOOK_S = 3.0
RANGES_H = ((3, 30), (30, 300), (72, 720))


async def main(url: str, keep: bool) -> None:
    began = time.monotonic()
    data = reference.make(int(time.time()) // DAY_S * DAY_S)
    async with open_contest(url, data, keep=keep) as contest:
        print(f"{data.samples:,} samples are ready after {time.monotonic() - began:.0f} s.\n")
        busy = await asyncio.to_thread(psutil.cpu_percent, LOOK_S)
        print(
            f"Others keep {busy:.0f} % of the processors busy; more than a few, and p50 is high.\n"
        )
        measured = Measured(
            floors=await _floors(contest),
            answers={q.name: await measure(await contest.askers(q)) for q in QUESTIONS},
            growth=[await _growth(contest, *hours) for hours in RANGES_H],
        )
    verdict.report(measured)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"bench": "history", **verdict.summary(measured), "seconds": seconds}))


async def _floors(contest: Contest) -> dict[str, Timing]:
    """Measure what the service's framework, and the way to the database, cost by themselves."""

    async def select() -> object:
        return contest.select("floor")

    return await measure(
        {
            "GET /livez": partial(fetch, contest.http, "/livez"),
            f"GET {ROOT}": partial(fetch, contest.http, ROOT),
            "SELECT 1": select,
        }
    )


async def _growth(contest: Contest, short_h: int, long_h: int) -> Growth:
    paths = [auto_path(contest.data, hours) for hours in (short_h, long_h)]
    short, long = [msgspec.json.decode(await fetch(contest.http, path)) for path in paths]
    timings = await measure({path: partial(fetch, contest.http, path) for path in paths})
    return Growth(
        hours=(short_h, long_h),
        points=(len(short["time"]), len(long["time"])),
        tiers=(short["tier"], long["tier"]),
        timings=(timings[paths[0]], timings[paths[1]]),
    )


if __name__ == "__main__":
    run(main, "How fast the past is answered.")
