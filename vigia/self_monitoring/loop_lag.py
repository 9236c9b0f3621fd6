"""Measures the lag of the event loop: a task that sleeps, and compares due time and wake-up."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

from model.series import Category, Sample, Series

TICK_S = 0.05
"""A blocked loop is measured to within one tick. 20 wake-ups a second take 0.05 % of a core."""
KEPT_S = 60.0
NTH = 0.99
SERIES = Series(
    metric="service_loop_lag_ms", component="server", category=Category.SYSTEM, unit="ms"
)


class LoopLag:
    """The lags of all wake-ups of the last minute, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lags: deque[tuple[float, float]] = deque()
        self._newest_s = 0.0
        self._max_since_sample_s = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = self._clock() + TICK_S
            await asyncio.sleep(TICK_S)
            self.note(self._clock() - due)

    def note(self, lag_s: float) -> None:
        """Record the lag of a wake-up."""
        now = self._clock()
        self._newest_s = max(0.0, lag_s)
        self._lags.append((now, self._newest_s))
        self._max_since_sample_s = max(self._max_since_sample_s, self._newest_s)
        while self._lags[0][0] < now - KEPT_S:
            self._lags.popleft()

    def status(self) -> dict[str, float]:
        """Return the newest lag, and the maximum and the 99th percentile of the last minute."""
        lags = sorted(lag for _, lag in self._lags) or [0.0]
        return {
            "lag_s": self._newest_s,
            "lag_s_max": lags[-1],
            "lag_s_p99": lags[int(NTH * (len(lags) - 1))],
        }

    def sample(self, at: datetime) -> Sample:
        """Return the maximum lag since the previous sample as a sample, in milliseconds."""
        lag_s, self._max_since_sample_s = self._max_since_sample_s, 0.0
        return Sample(SERIES, at, round(1000 * lag_s, 3))
