"""Asks for paths many times at once, in a process of its own, so that it measures nobody else.

`python -m tests.system.presser URL KEY DURATION_S AT_ONCE PATH…` prints as JSON how many answers
had which status, and how long the good ones took.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import cycle

import aiohttp


async def _ask(
    http: aiohttp.ClientSession,
    paths: Sequence[str],
    end: float,
    answers: Counter[int],
    latencies_s: list[float],
) -> None:
    for path in cycle(paths):
        began = time.monotonic()
        if began > end:
            return
        async with http.get(path) as answer:
            await answer.read()
        answers[answer.status] += 1
        if answer.status == 200:
            latencies_s.append(time.monotonic() - began)


async def _press(url: str, key: str, duration_s: float, at_once: int, paths: list[str]) -> None:
    answers: Counter[int] = Counter()
    latencies_s: list[float] = []
    end = time.monotonic() + duration_s
    headers = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        # The answers are not looked at, so they stay compressed.
        aiohttp.ClientSession(
            url, connector=connector, headers=headers, auto_decompress=False
        ) as http,
        asyncio.TaskGroup() as group,
    ):
        for number in range(at_once):
            # Each begins with another path.
            mine = [paths[(number + step) % len(paths)] for step in range(len(paths))]
            group.create_task(_ask(http, mine, end, answers, latencies_s))
    print(json.dumps({"answers": answers, "latencies_s": latencies_s}))  # noqa: T201 (its answer)


if __name__ == "__main__":
    url, key, duration_s, at_once, *paths = sys.argv[1:]
    asyncio.run(_press(url, key, float(duration_s), int(at_once), paths))
