"""Times competitors in rounds, so that a disturbance of the machine affects all of them."""

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np
from msgspec import Struct

Ask = Callable[[], Awaitable[object]]

WARM_UPS = 5
REPEATS = 200
REPEATS_MIN = 20
BUDGET_S = 12.0
"""After this many seconds in total, a slow competitor is measured less often."""


class Timing(Struct, frozen=True):
    """The durations of one competitor."""

    p50_ms: float
    p95_ms: float
    repeats: int


async def measure(askers: Mapping[str, Ask], repeats: int = REPEATS) -> dict[str, Timing]:
    """Run all competitors in each round, each time in a new order."""
    taken: dict[str, list[float]] = {name: [] for name in askers}
    order = list(askers)
    turns = random.Random(0)
    for number in range(WARM_UPS + repeats):
        turns.shuffle(order)
        for name in order:
            if len(taken[name]) >= REPEATS_MIN and sum(taken[name]) > BUDGET_S:
                continue
            began = time.perf_counter()
            await askers[name]()
            if number >= WARM_UPS:
                taken[name].append(time.perf_counter() - began)
    return {name: _timing(seconds) for name, seconds in taken.items()}


def _timing(seconds: Sequence[float]) -> Timing:
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    return Timing(float(p50), float(p95), len(seconds))
