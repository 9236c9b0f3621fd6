"""Runs tasks at clock-aligned slots. A failed run is logged and counted; the next slot runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog
from msgspec import Struct

NAP_S_MAX = 1.0
"""Seconds until a waiting task notices that its interval changed or that the clock was set."""

log = structlog.get_logger()

Run = Callable[[datetime], Awaitable[object]]
"""Called with the slot's time, which is a whole multiple of the interval (UTC)."""


class SlotStats(Struct, kw_only=True):
    """Statistics of one task's slots, in seconds. A delay is from the due time to the start."""

    name: str
    runs: int = 0
    missed: int = 0
    failures: int = 0
    delay_s: float = 0.0
    delay_s_max: float = 0.0
    duration_s: float = 0.0
    last_slot: datetime | None = None
    last_error: str = ""


async def every(
    interval_s: Callable[[], float],
    run: Run,
    stats: SlotStats,
    *,
    offset_s: float = 0.0,
    deadline_s: float | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Call `run` at each multiple of the interval since the epoch plus the offset, for ever.

    A run is cancelled after `deadline_s` (default: the interval). A slot that falls due during a
    run, or that the clock jumps over, counts as missed and is never made up. A changed interval
    takes effect within `NAP_S_MAX`. When the clock is set back by less than an interval, the task
    waits until it catches up, so that no slot runs twice. When it is set back by more, the slots
    restart from the new time.

    1. Read the interval. If it changed, or the clock was set far back, restart from the last slot.
    2. If the next slot is in the future, sleep for a short time, and begin again.
    3. If the next slot is due, and not yet over, run it.
    4. Count the slots that passed meanwhile as missed, and skip them.
    """
    interval = interval_s()
    # A slot is an integer. Adding up float intervals would drift, and run some slot twice.
    slot = _slot_at(clock() - offset_s, interval)
    while True:
        now = clock() - offset_s
        if interval != (wanted := interval_s()) or slot > _slot_at(now, interval) + 1:
            interval, slot = wanted, _slot_at(now, wanted)
        delay = now - (slot + 1) * interval
        if delay < 0:
            await asyncio.sleep(min(-delay, NAP_S_MAX))
            continue
        if delay < interval:
            slot += 1
            stats.delay_s = delay
            await _start(run, stats, slot * interval, deadline_s or interval)
        passed = max(0, _slot_at(clock() - offset_s, interval) - slot)
        stats.missed += passed
        slot += passed


def _slot_at(now: float, interval_s: float) -> int:
    return int(now // interval_s)


async def _start(run: Run, stats: SlotStats, due: float, deadline_s: float) -> None:
    stats.runs += 1
    stats.delay_s_max = max(stats.delay_s_max, stats.delay_s)
    stats.last_slot = datetime.fromtimestamp(due, UTC)
    started = time.monotonic()
    limit = asyncio.timeout(deadline_s)
    try:
        async with limit:
            await run(stats.last_slot)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # A task that the run awaits was cancelled, not this one. Raised on, it would end the loop.
        _fail(stats, "cancelled from within")
    except Exception as error:  # noqa: BLE001 (one bad run must not end the service)
        late = limit.expired()
        reason = f"not finished after {deadline_s:g} s"
        _fail(stats, reason if late else f"{type(error).__name__}: {error}")
    finally:
        stats.duration_s = time.monotonic() - started


def _fail(stats: SlotStats, error: str) -> None:
    stats.failures += 1
    stats.last_error = error
    log.warning("run_failed", service=stats.name, error=error)
