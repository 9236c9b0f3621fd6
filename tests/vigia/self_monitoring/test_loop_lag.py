"""The service measures the lag of its own event loop."""

import asyncio
import time
from datetime import UTC, datetime

from vigia.self_monitoring.loop_lag import KEPT_S, LoopLag

T0 = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


async def test_a_blocked_event_loop_is_measured() -> None:
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0.1)
    time.sleep(0.3)  # noqa: ASYNC251 (this is what is measured)
    await asyncio.sleep(0.1)
    task.cancel()

    assert 0.2 < lag.status()["lag_s_max"] < 5
    assert lag.sample(T0).value > 200


def test_the_greatest_lag_is_that_of_the_last_minute_and_of_each_sample() -> None:
    now = 0.0
    lag = LoopLag(lambda: now)
    assert lag.status() == {"lag_s": 0.0, "lag_s_max": 0.0, "lag_s_p99": 0.0}
    for lag_s in [0.5, *[0.001] * 200, -0.1]:
        now += 0.1
        lag.note(lag_s)
    assert lag.status() == {"lag_s": 0.0, "lag_s_max": 0.5, "lag_s_p99": 0.001}
    assert [lag.sample(T0).value for _ in range(2)] == [500.0, 0.0]

    now += KEPT_S
    lag.note(0.002)
    assert lag.status()["lag_s_max"] == 0.002
