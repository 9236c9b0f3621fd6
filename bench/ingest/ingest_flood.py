"""Measures how a flood of new series from one key delays another key: a million label sets."""

import asyncio
import json
import os
import time
from collections.abc import Iterator

import msgspec
import numpy as np
import psutil
from msgspec import Struct

from accounts import keys
from bench.command import execute
from bench.ingest.competitors import MB, IngestCompetitors, embedded, native
from bench.tables import print_table
from model.principal import Role
from model.times import utc_now
from samples.series import SERIES_MAX

PATH = "/api/v1/monitoring/metrics"
REQUEST_SERIES = 10_000
FLOOD_SERIES = 1_000_000
KNOWN_SERIES = 100
QUIET_REQUESTS = 300
WARM_UPS = 20
SLOWER_MAX = 2.0
GROWTH_MAX_MB = 40.0


class Found(Struct, frozen=True):
    """The latencies of known series, alone and during the flood, and the outcome of the flood."""

    engine: str
    quiet_ms: list[float]
    flooded_ms: list[float]
    accepted: int
    refused: int
    series: int
    growth_mb: float

    @property
    def slower(self) -> float:
        return float(np.median(self.flooded_ms) / np.median(self.quiet_ms))


def body(names: Iterator[int], component: str, label: str) -> bytes:
    now = time.time()
    columns = [
        {
            "metric": "flood",
            "component": component,
            "labels": {label: str(name)},
            "times": [now],
            "values": [1.0],
        }
        for name in names
    ]
    return msgspec.json.encode({"series": columns})


async def post(competitors: IngestCompetitors, content: bytes, key: str) -> dict[str, int]:
    headers = {"Authorization": f"Bearer {key}"}
    async with competitors.http.post(PATH, data=content, headers=headers) as answer:
        found: dict[str, int] = msgspec.json.decode(await answer.read())
        if answer.status != 200:  # noqa: PLR2004 (everything else is a failure)
            raise RuntimeError(f"{answer.status}: {found}")
        return found


async def known(competitors: IngestCompetitors, key: str, taken: list[float], count: float) -> None:
    """Send samples of existing series, one request after the other."""
    while len(taken) < count:
        content = body(iter(range(KNOWN_SERIES)), "known", "n")
        began = time.perf_counter()
        await post(competitors, content, key)
        taken.append((time.perf_counter() - began) * 1000)


async def key_of(competitors: IngestCompetitors, name: str) -> str:
    """Create a key that may only send samples."""
    _, secret = await keys.create(competitors.sql, name, Role.INGEST, utc_now(), "bench")
    return secret.reveal()


async def flood(competitors: IngestCompetitors, key: str) -> tuple[int, int]:
    """Send all requests of the flood; return the numbers of accepted and refused samples."""
    accepted = refused = 0
    for start in range(0, FLOOD_SERIES, REQUEST_SERIES):
        names = iter(range(start, start + REQUEST_SERIES))
        content = await asyncio.to_thread(body, names, "flood", "request_id")
        verdict = await post(competitors, content, key)
        accepted += verdict["accepted"]
        refused += verdict["rejected"]
    return accepted, refused


async def measure(competitors: IngestCompetitors) -> Found:
    service = psutil.Process(competitors.service.pid)
    steady, flooding = [await key_of(competitors, name) for name in ("steady", "flooding")]
    quiet: list[float] = []
    flooded: list[float] = []
    await known(competitors, steady, quiet, WARM_UPS + QUIET_REQUESTS)
    before = service.memory_info().rss
    beside = asyncio.create_task(known(competitors, steady, flooded, float("inf")))
    try:
        accepted, refused = await flood(competitors, flooding)
    finally:
        beside.cancel()
    growth_mb = (service.memory_info().rss - before) / MB
    cursor = await competitors.sql.execute("SELECT count(*) FROM series", prepare=False)
    row = await cursor.fetchone()
    series = row[0] if row else 0
    return Found(
        competitors.engine, quiet[WARM_UPS:], flooded, accepted, refused, series, growth_mb
    )


async def main() -> None:
    found = []
    url = os.environ.get("VIGIA_TEST_DATABASE_URL", "")
    for competitors in [native(url)] if url else []:
        async with competitors as opened:
            found.append(await measure(opened))
    async with embedded() as opened:
        found.append(await measure(opened))
    print_table(
        ["engine", "alone ms", "p99", "in the flood ms", "p99", "slower", "series", "growth MB"],
        [
            [each.engine, *figures(each.quiet_ms), *figures(each.flooded_ms),
             f"{each.slower:.2f}", f"{each.series:,}", f"{each.growth_mb:.0f}"]
            for each in found
        ],
    )  # fmt: skip
    is_met = all(
        each.slower <= SLOWER_MAX and each.series <= SERIES_MAX and each.growth_mb <= GROWTH_MAX_MB
        for each in found
    )
    ratios = {each.engine: round(each.slower, 2) for each in found}
    print(json.dumps({"bench": "flood", "ratio": max(ratios.values()), "slower": ratios,
                      "growth_mb": {each.engine: round(each.growth_mb) for each in found},
                      "refused": {each.engine: each.refused for each in found},
                      "is_met": is_met}))  # fmt: skip


def figures(taken: list[float]) -> list[str]:
    return [f"{np.quantile(taken, q):.1f}" for q in (0.5, 0.99)]


if __name__ == "__main__":
    execute(main())
