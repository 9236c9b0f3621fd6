"""Compares two checkouts: the CPU time of the same work in each, in alternating rounds.

`python -m bench.compare OLD NEW [--rounds 5] [--engine native embedded] [--no-alerts]`: OLD and NEW
are folders of checkouts, each with its own `.venv` (`make setup`). In each round both store
samples, answer history queries over a day, and return the current document, old first, then new.
Then both evaluate 1,000 rules, one minute in each round. All requests go through HTTP, and answers
are first compared with the samples. The figure is CPU milliseconds of the service and its database
for each request. It does not depend on the number of cores, and little on other processes.

Native needs VIGIA_TEST_DATABASE_URL, a server on this machine, as a role that may create databases
and stop TimescaleDB's workers.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil

from bench.command import execute
from bench.compare import evaluations, questions
from bench.compare.cases import Case, CaseTaken, check_stored, make_cases, take
from bench.compare.questions import Day
from bench.compare.report import Pairs, report, summary
from bench.compare.services import EMBEDDED, NATIVE, NEW, OLD, Place, Service, place, serve

ENGINES = (NATIVE, EMBEDDED)
LOOK_S = 2.0


async def main(
    checkouts: dict[str, Path], rounds: int, engines: Sequence[str], *, with_alerts: bool
) -> None:
    began = time.monotonic()
    url = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
    engines = [engine for engine in engines if engine != NATIVE or url]
    busy = await asyncio.to_thread(psutil.cpu_percent, LOOK_S)
    print(f"Others keep {busy:.0f} % of the processors busy.\n")
    pairs: dict[str, tuple[Sequence[CaseTaken], Sequence[CaseTaken]]] = {}
    with tempfile.TemporaryDirectory(prefix="vigia-bench-") as name:
        for engine in engines:
            async with places(checkouts, engine, Path(name), url) as found:
                pairs |= await requests(found, engine, rounds)
        if with_alerts:
            pairs |= await alerts(checkouts, engines, Path(name), url, rounds)
    report(pairs)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"bench": "compare", **summary(pairs), "seconds": seconds}))


@asynccontextmanager
async def places(
    checkouts: dict[str, Path], engine: str, folder: Path, url: str
) -> AsyncIterator[list[Place]]:
    """Yield an empty place for each checkout."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(place(version, checkout, engine, Path(own), url))
                for version, checkout in checkouts.items()
            ]


async def requests(found: Sequence[Place], engine: str, rounds: int) -> Pairs:
    """Measure ingest, history and the current document."""
    day = await asyncio.to_thread(questions.make_day)
    await asyncio.gather(*(_store(where, day) for where in found))
    taken: dict[tuple[str, str], list[CaseTaken]] = {}
    async with _serving(found, "api") as services:
        for service in services:
            await questions.check(service, day)
        cases = make_cases(day, engine, rounds)
        for number in range(rounds + 1):
            for case in cases:
                for service, one in zip(services, await _round(case, services), strict=True):
                    # The first round creates series, chunks and plans, and does not count.
                    if number:
                        taken.setdefault((case.name, service.place.version), []).append(one)
        for service in services:
            for case in cases:
                await check_stored(case, service)
    return {
        f"{case.name}, {engine}": (taken[case.name, OLD], taken[case.name, NEW]) for case in cases
    }


async def _store(where: Place, day: Day) -> None:
    async with serve(where, "api") as service:
        await questions.store(service, day)
    async with serve(where, "api,retain") as service:
        await questions.wait_until_maintained(service)


async def _round(case: Case, services: Sequence[Service]) -> list[CaseTaken]:
    made = await asyncio.to_thread(case.make, case.requests)
    return [await take(case, service, made) for service in services]


async def alerts(
    checkouts: dict[str, Path], engines: Sequence[str], folder: Path, url: str, rounds: int
) -> Pairs:
    """Measure the evaluation of rules on all engines, in the same minutes."""
    async with AsyncExitStack() as stack:
        found = [
            where
            for engine in engines
            for where in await stack.enter_async_context(places(checkouts, engine, folder, url))
        ]
        services = await stack.enter_async_context(_serving(found, "api,alert"))
        await asyncio.gather(*(evaluations.prepare(service) for service in services))
        taken = await evaluations.measure(services, rounds)
    name = f"evaluation of {evaluations.RULES:,} rules"
    return {
        f"{name}, {engine}": (taken[f"{OLD}, {engine}"], taken[f"{NEW}, {engine}"])
        for engine in engines
    }


@asynccontextmanager
async def _serving(found: Sequence[Place], roles: str) -> AsyncIterator[list[Service]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(serve(where, roles)) for where in found]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The CPU that two checkouts take for the same.")
    parser.add_argument(OLD, type=Path)
    parser.add_argument(NEW, type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", nargs="*", choices=ENGINES, default=ENGINES)
    parser.add_argument("--no-alerts", action="store_true", help="leave out the rules")
    chosen = parser.parse_args()
    both = {OLD: chosen.old.resolve(), NEW: chosen.new.resolve()}
    execute(main(both, chosen.rounds, chosen.engine, with_alerts=not chosen.no_alerts))
